"""Figures of the experiment on penalties."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from fastmlp.plotting import WeightsDisplay
from figures import BLUE, DARK_ORANGE, GREEN, GREY, PURPLE, panels, plain_ticks, stretch_near_one
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import PercentFormatter
from regularization_measurements import BINS, NONE, NORMS, REPORT_STRENGTHS, Key, Measurements, Nets

LINES = dict(zip(REPORT_STRENGTHS, ((BLUE, "--"), (GREEN, "-."), (DARK_ORANGE, "-"))))
TITLES = {"l1": "L1", "l2": "L2"}


def _curve(ax: Axes, nets: Nets, name: str, **style: object) -> None:
    """The mean over the seeds, and their range."""
    curves = nets.curves[name]
    epochs = np.arange(1, curves.shape[1] + 1)
    (line,) = ax.plot(epochs, curves.mean(axis=0), **style)
    if len(curves) > 1:
        ax.fill_between(epochs, curves.min(axis=0), curves.max(axis=0), color=line.get_color(), alpha=0.15, linewidth=0)


def draw_report(measured: Measurements) -> Drawing:
    """Accuracy under the report's rule: a row per way of counting, a column per norm."""
    drawing, axes = panels(2, 2, (8.4, 5.6), sharex=True, sharey=True)
    for row, (ways, title) in enumerate(((measured.once, "counted once"), (measured.per_batch, "once per mini-batch"))):
        for column, norm in enumerate(NORMS):
            ax = axes[row, column]
            _curve(ax, measured.once[NONE], "val_accuracy", color=GREY, linestyle=":", label="none")
            for strength, (colour, style) in LINES.items():
                label = f"λ = {strength:g}"
                _curve(ax, ways[norm, strength], "val_accuracy", color=colour, linestyle=style, label=label)
            ax.set(title=f"{TITLES[norm]}, {title}", ylim=(0, 1))
            ax.yaxis.set_major_formatter(PercentFormatter(1))
            if row:
                ax.set_xlabel("epoch")
            if not column:
                ax.set_ylabel("accuracy")
    drawing.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return drawing


def _of_norm(path: Mapping[Key, Nets], norm: str) -> tuple[list[float], list[Nets]]:
    """Strengths and nets; none stands left of the weakest."""
    strengths = sorted(strength for name, strength in path if name == norm)
    return [strengths[0] / 4, *strengths], [path[NONE], *(path[norm, strength] for strength in strengths)]


def draw_path(measured: Measurements) -> Drawing:
    """Accuracy, gap and zeros by strength, a column per norm."""
    drawing, axes = panels(2, 2, (8.4, 5.6), sharex="col", sharey="row")
    for column, norm in enumerate(NORMS):
        strengths, nets = _of_norm(measured.path, norm)
        top, bottom = axes[0, column], axes[1, column]
        for name, label, colour, marker in (
            ("train_accuracy", "training", BLUE, "s"),
            ("val_accuracy", "validation", DARK_ORANGE, "o"),
            ("test_accuracy", "test", "black", "^"),
        ):
            means = [net.final(name).mean() for net in nets]
            top.plot(strengths, means, color=colour, marker=marker, markersize=5, label=label)
        name, strength = measured.chosen(norm)
        top.axvline(strengths[0] if name == "none" else strength, color=GREY, linestyle=":", linewidth=1)
        stretch_near_one(top)
        top.set(title=TITLES[norm])
        bottom.plot(strengths, [net.gap.mean() for net in nets], color=PURPLE, marker="D", markersize=5, label="gap")
        bottom.plot(strengths, [net.zeros.mean() for net in nets], color=GREEN, marker="v", markersize=5, label="zeros")
        bottom.set(xscale="log", xlabel="λ")
        bottom.set_yscale("symlog", linthresh=0.01)
        bottom.set_ylim(-0.005, 1.2)
        bottom.yaxis.set_major_formatter(PercentFormatter(1))
        plain_ticks(
            bottom.xaxis,
            [strengths[0], *strengths[2::2]],
            lambda x, least=strengths[0]: "none" if x == least else f"{x:g}",
        )
    axes[0, 0].set_ylabel("accuracy")
    axes[1, 0].set_ylabel("training - test accuracy, zero weights")
    handles = [pair for ax in (axes[0, 0], axes[1, 0]) for pair in zip(*ax.get_legend_handles_labels())]
    drawing.legend(*zip(*handles), loc="outside upper center", ncols=5)
    return drawing


def draw_weights(measured: Measurements) -> Drawing:
    """Histograms of the first layer's weights, and as images: none, and the largest strength of each norm that still learns."""
    shown = {
        "none": measured.path[NONE],
        **{f"{TITLES[norm]}, λ = {s:g}": measured.path[norm, s] for norm, s in strong(measured)},
    }
    drawing, axes = panels(len(shown), 2, (8.4, 1.6 * len(shown)), width_ratios=(1, 2.6))
    for row, (title, nets) in enumerate(shown.items()):
        left, right = axes[row]
        left.stairs(nets.histogram, BINS, color=BLUE, fill=True)
        left.set(yscale="log", ylim=(0.8, None), title=title)
        WeightsDisplay(nets.images).plot(right)
    axes[-1, 0].set_xlabel("weight")
    return drawing


def strong(measured: Measurements) -> list[Key]:
    """Of each norm, the largest strength whose validation accuracy stays within two points of no penalty."""
    without = measured.path[NONE].final("val_accuracy").mean()
    found = []
    for norm in NORMS:
        strengths = [strength for name, strength in measured.path if name == norm]
        near = [s for s in strengths if measured.path[norm, s].final("val_accuracy").mean() > without - 0.02]
        found.append((norm, max(near, default=min(strengths))))
    return found
