"""Figures of the experiment on architecture, and the nets that they show."""

from collections.abc import Mapping

import numpy as np
from fastmlp.plotting import HeatMapDisplay
from harness.figures import BLUE, DARK_ORANGE, GREEN, in_thousands, panels, plain_ticks, stretch_near_one, ticks_between
from harness.tables import Table
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import PercentFormatter

ONE_UPDATE, MINI_BATCH = "one update per epoch", "mini-batch"
DEPTHS = (1, 2, 3)
REPORT_NETS = (*("128", "254", "512"), *("128-96", "254-190", "512-384"), *("128-96-72", "254-190-142", "512-384-288"))
CURVE_NETS = ("128", "512-384")  # of the learning curves
OF_DEPTH = {1: (BLUE, "s"), 2: (DARK_ORANGE, "^"), 3: (GREEN, "o")}
OF_WIDTH = ("-", "--", ":")


def depth_of(hidden: str) -> int:
    return hidden.count("-") + 1


def report_rule(curves: Mapping[str, Table]) -> Drawing:
    """Validation accuracy of the nine nets with one update per epoch, a panel per depth."""
    drawing, axes = panels(1, 3, (8.4, 3.4), sharey=True)
    for ax, depth in zip(axes[0], DEPTHS):
        nets = {hidden: curve for hidden, curve in curves.items() if depth_of(hidden) == depth}
        for (hidden, curve), style in zip(nets.items(), OF_WIDTH):
            ax.plot(curve["epoch"], curve["accuracy"], color=OF_DEPTH[depth][0], linestyle=style, label=hidden)
        ax.set(title=f"depth {depth}", xlabel="epoch", ylim=(0, 1))
        ax.yaxis.set_major_formatter(PercentFormatter(1))
        ax.legend(loc="lower right", fontsize=8)
    axes[0, 0].set_ylabel("validation accuracy")
    return drawing


def grid(table: Table) -> Drawing:
    """Test accuracy as a heat map of first width and depth, and against the number of weights."""
    drawing, axes = panels(1, 2, (8.4, 3.4), width_ratios=(1.2, 1))
    left, right = axes[0]
    widths = table.distinct("width")
    heat = np.array([[table.mean("test_accuracy", width=width, depth=depth) for width in widths] for depth in DEPTHS])
    HeatMapDisplay(heat, "width of the first hidden layer", "depth", widths, DEPTHS).plot(left, text="{:.2%}")
    for text in left.texts:
        text.set_fontsize(7.5)
    left.set_title("Test accuracy")
    left.grid(False)
    for depth, (colour, marker) in OF_DEPTH.items():
        parameters = [table.mean("parameters", width=width, depth=depth) for width in widths]
        right.plot(parameters, heat[DEPTHS.index(depth)], color=colour, marker=marker, label=f"depth {depth}")
    right.set(xscale="log", xlabel="weights and biases", title="By the number of weights")
    plain_ticks(right.xaxis, ticks_between(*right.get_xlim(), (1, 3)), in_thousands)
    right.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    right.legend()
    return drawing


def learning_curve(table: Table) -> Drawing:
    """Training and test accuracy by the number of training rows."""
    drawing, axes = panels(1, 1, (6.2, 3.8))
    ax = axes[0, 0]
    sizes = table.distinct("train_rows")
    for hidden, (colour, marker) in zip(CURVE_NETS, ((BLUE, "s"), (DARK_ORANGE, "^"))):
        for name, text, style in (("train_accuracy", "training", ":"), ("test_accuracy", "test", "-")):
            means = [table.mean(name, hidden=hidden, train_rows=size) for size in sizes]
            ax.plot(sizes, means, color=colour, marker=marker, linestyle=style, label=f"{hidden}, {text}")
    ax.set(xscale="log", xlabel="training rows", ylabel="accuracy")
    plain_ticks(ax.xaxis, ticks_between(*ax.get_xlim(), (1, 2, 5)), in_thousands)
    stretch_near_one(ax)
    ax.legend(loc="center left")
    return drawing
