"""Figures of the experiment on architecture."""

from __future__ import annotations

import numpy as np
from architecture_measurements import CURVE_NETS, DEPTHS, REPORT_NETS, Measurements, Nets, name_of
from fastmlp.plotting import HeatMapDisplay
from figures import BLUE, DARK_ORANGE, GREEN, in_thousands, panels, plain_ticks, stretch_near_one, ticks_between
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import PercentFormatter

OF_DEPTH = {1: (BLUE, "s", "-"), 2: (DARK_ORANGE, "^", "--"), 3: (GREEN, "o", "-.")}
OF_WIDTH = ("-", "--", ":")


def draw_report_rule(measured: Measurements) -> Drawing:
    """Validation accuracy of the nine nets with one update per epoch, a panel per depth."""
    drawing, axes = panels(1, 3, (8.4, 3.4), sharey=True)
    for ax, depth in zip(axes[0], DEPTHS):
        nets = {hidden: measured.report[hidden] for hidden in REPORT_NETS if len(hidden) == depth}
        for (hidden, each), style in zip(nets.items(), OF_WIDTH):
            mean = each.curves["val_accuracy"].mean(axis=0)
            ax.plot(np.arange(1, len(mean) + 1), mean, color=OF_DEPTH[depth][0], linestyle=style, label=name_of(hidden))
        ax.set(title=f"depth {depth}", xlabel="epoch", ylim=(0, 1))
        ax.yaxis.set_major_formatter(PercentFormatter(1))
        ax.legend(loc="lower right", fontsize=8)
    axes[0, 0].set_ylabel("validation accuracy")
    return drawing


def draw_grid(measured: Measurements) -> Drawing:
    """Test accuracy as a heat map of first width and depth, and against the number of weights."""
    drawing, axes = panels(1, 2, (8.4, 3.4), width_ratios=(1.2, 1))
    left, right = axes[0]
    widths = list(measured.plan.first_widths)
    heat = np.array(
        [[measured.grid[width, depth].final("test_accuracy").mean() for width in widths] for depth in DEPTHS]
    )
    HeatMapDisplay(heat, "width of the first hidden layer", "depth", widths, DEPTHS).plot(left, text="{:.2%}")
    for text in left.texts:
        text.set_fontsize(7.5)
    left.set_title("Test accuracy")
    left.grid(False)
    for depth in DEPTHS:
        colour, marker, _ = OF_DEPTH[depth]
        nets: list[Nets] = [measured.grid[width, depth] for width in widths]
        accuracies = [net.final("test_accuracy").mean() for net in nets]
        right.plot([net.parameters for net in nets], accuracies, color=colour, marker=marker, label=f"depth {depth}")
    right.set(xscale="log", xlabel="weights and biases", title="By the number of weights")
    plain_ticks(right.xaxis, ticks_between(*right.get_xlim(), (1, 3)), in_thousands)
    right.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    right.legend()
    return drawing


def draw_learning_curve(measured: Measurements) -> Drawing:
    """Training and test accuracy by the number of training rows."""
    drawing, axes = panels(1, 1, (6.2, 3.8))
    ax = axes[0, 0]
    for hidden, (colour, marker) in zip(CURVE_NETS, ((BLUE, "s"), (DARK_ORANGE, "^"))):
        sizes = list(measured.plan.train_sizes)
        nets = [measured.curve[hidden, size] for size in sizes]
        ax.plot(
            sizes,
            [net.train_accuracy.mean() for net in nets],
            color=colour,
            marker=marker,
            linestyle=":",
            label=f"{name_of(hidden)}, training",
        )
        ax.plot(
            sizes,
            [net.final("test_accuracy").mean() for net in nets],
            color=colour,
            marker=marker,
            label=f"{name_of(hidden)}, test",
        )
    ax.set(xscale="log", xlabel="training rows", ylabel="accuracy")
    plain_ticks(ax.xaxis, ticks_between(*ax.get_xlim(), (1, 2, 5)), in_thousands)
    stretch_near_one(ax)
    ax.legend(loc="center left")
    return drawing
