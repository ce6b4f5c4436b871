"""Figures of the experiment on penalties."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from fastmlp.plotting import WeightsDisplay
from harness.figures import (
    BLUE,
    DARK_ORANGE,
    GREEN,
    GREY,
    PURPLE,
    as_pixels,
    label,
    panels,
    plain_ticks,
    stretch_near_one,
)
from harness.tables import Table
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import PercentFormatter

Key = tuple[str, float]  # norm and strength

NONE: Key = ("none", 0.0)
NAMES = {"l1": "L1", "l2": "L2"}
NORMS = tuple(NAMES)
REPORT_STRENGTHS = (5e-5, 5e-4, 5e-3)
LINES = dict(zip(REPORT_STRENGTHS, ((BLUE, "--"), (GREEN, "-."), (DARK_ORANGE, "-"))))
COUNTED = {"once": "counted once", "per_batch": "once per mini-batch"}
BINS = np.linspace(-0.3, 0.3, 121)  # of first-layer weights


def _curve(ax: Axes, table: Table, counted: str, key: Key, **style: Any) -> np.ndarray:
    """Validation accuracy: the mean over the seeds, and their range."""
    part = table.where(counted=counted, norm=key[0], strength=key[1])
    curves, epochs = part.by_seed("val_accuracy"), part.by_seed("epoch")[0]
    (line,) = ax.plot(epochs, curves.mean(axis=0), **style)
    if len(curves) > 1:
        ax.fill_between(epochs, curves.min(axis=0), curves.max(axis=0), color=line.get_color(), alpha=0.15, linewidth=0)
    ax.set_ylim(0, 1)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    return curves.mean(axis=0)


def headline(table: Table) -> Drawing:
    """L2 at the report's largest strength, counted once and once per mini-batch."""
    drawing, axes = panels(1, 1, (4.7, 3.4))
    ax = axes[0, 0]
    key = ("l2", REPORT_STRENGTHS[-1])
    last = table["epoch"].max()
    _curve(ax, table, "once", NONE, color=GREY, linestyle=":", label="no penalty")
    for (counted, text), colour, gap in zip(COUNTED.items(), (BLUE, DARK_ORANGE), (-9, 9)):
        mean = _curve(ax, table, counted, key, color=colour)
        side = "top" if gap < 0 else "bottom"
        label(ax, f"λ = {key[1]:g} {text}", last, mean[-1], colour, (-4, gap), ha="right", va=side)
    ax.set(xlabel="epoch, one update each", ylabel="validation accuracy", title="L2 penalty", xlim=(0, None))
    ax.legend(loc="center right")
    return drawing


def report_rule(table: Table) -> Drawing:
    """Accuracy under the report's rule: a row per way of counting, a column per norm."""
    drawing, axes = panels(2, 2, (8.4, 5.6), sharex=True, sharey=True)
    for row, (counted, title) in enumerate(COUNTED.items()):
        for ax, norm in zip(axes[row], NORMS):
            _curve(ax, table, "once", NONE, color=GREY, linestyle=":", label="none")
            for strength, (colour, style) in LINES.items():
                _curve(ax, table, counted, (norm, strength), color=colour, linestyle=style, label=f"λ = {strength:g}")
            ax.set_title(f"{NAMES[norm]}, {title}")
        axes[row, 0].set_ylabel("accuracy")
    for ax in axes[1]:
        ax.set_xlabel("epoch")
    drawing.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return drawing


def path(table: Table, chosen: Mapping[str, Key]) -> Drawing:
    """Accuracy, gap and zeros by strength, a column per norm; no penalty stands left of the weakest."""
    drawing, axes = panels(2, 2, (8.4, 5.6), sharex="col", sharey="row")
    for (top, bottom), (norm, choice) in zip(axes.T, chosen.items()):
        nets = {key[1]: part for key, part in table.groups("norm", "strength").items() if key[0] in (norm, "none")}
        leftmost = min(strength for strength in nets if strength) / 4
        places = [strength or leftmost for strength in nets]

        def means(name: str, nets: Mapping[float, Table] = nets) -> np.ndarray:
            return np.array([part[name].mean() for part in nets.values()])

        for name, text, colour, marker in (
            ("train_accuracy", "training", BLUE, "s"),
            ("val_accuracy", "validation", DARK_ORANGE, "o"),
            ("test_accuracy", "test", "black", "^"),
        ):
            top.plot(places, means(name), color=colour, marker=marker, markersize=5, label=text)
        top.axvline(choice[1] or leftmost, color=GREY, linestyle=":", linewidth=1)
        stretch_near_one(top)
        top.set_title(NAMES[norm])
        gap = means("train_accuracy") - means("test_accuracy")
        bottom.plot(places, gap, color=PURPLE, marker="D", markersize=5, label="gap")
        bottom.plot(places, means("zeros"), color=GREEN, marker="v", markersize=5, label="zeros")
        bottom.set(xscale="log", xlabel="λ")
        bottom.set_yscale("symlog", linthresh=0.01)
        bottom.set_ylim(-0.005, 1.2)
        bottom.yaxis.set_major_formatter(PercentFormatter(1))
        ticks = [places[0], *places[2::2]]
        plain_ticks(bottom.xaxis, ticks, lambda x, leftmost=leftmost: "none" if x == leftmost else f"{x:g}")
    axes[0, 0].set_ylabel("accuracy")
    axes[1, 0].set_ylabel("training - test accuracy, zero weights")
    handles = [pair for ax in axes[:, 0] for pair in zip(*ax.get_legend_handles_labels())]
    drawing.legend(*zip(*handles), loc="outside upper center", ncols=5)
    return drawing


def weights(nets: Mapping[str, Mapping[str, Any]]) -> Drawing:
    """Histograms of the first layer's weights, and images of some neurons' weights, a row per net."""
    drawing, axes = panels(len(nets), 2, (8.4, 1.6 * len(nets)), width_ratios=(1, 2.6))
    for (left, right), (title, observed) in zip(axes, nets.items()):
        left.stairs(observed["histogram"], BINS, color=BLUE, fill=True)
        left.set(yscale="log", ylim=(0.8, None), title=title)
        WeightsDisplay(np.array(observed["images"]).reshape(-1, 28, 28)).plot(right)
    axes[-1, 0].set_xlabel("weight")
    return as_pixels(drawing)
