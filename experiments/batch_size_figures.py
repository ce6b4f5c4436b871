"""The figures of the batch-size experiment."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from batch_size_measurements import Measurements, RateLine, scaled_rate
from curves import Curves
from figures import (
    BLUE,
    DARK_ORANGE,
    GREY,
    ORANGE,
    in_thousands,
    label,
    panels,
    plain_ticks,
    stretch_near_one,
    ticks_between,
)
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from wording import duration, in_bytes

# Smallest batch first. Broad under narrow under dashed: where the curves coincide, all three still show.
LINES = (
    {"color": BLUE, "linewidth": 3.6, "solid_capstyle": "butt"},
    {"color": ORANGE, "linewidth": 1.9, "solid_capstyle": "butt"},
    {"color": "black", "linewidth": 1.1, "linestyle": (0, (5, 2))},
)
TEXT_COLOURS = (BLUE, DARK_ORANGE, "black")

LEAST_LOSS_SHOWN = 0.01  # training losses go on towards zero, and would press all else together
LOSS_AT_RANDOM = math.log(10)  # ten classes, each given a tenth


def two_rules(measured: Measurements) -> Drawing:
    """Validation loss and accuracy by epoch: one update per epoch beside mini-batch SGD, on the same axes."""
    drawing, axes = panels(2, 2, (8.4, 5.6), sharex=True, sharey="row")
    for column, (title, group) in enumerate(
        (("One update per epoch", measured.one_update), ("One update per batch", measured.mini_batch))
    ):
        for row, name in enumerate(("val_loss", "val_accuracy")):
            _draw(axes[row, column], group, name, "epochs")
        axes[0, column].set_title(title)
        axes[1, column].set_xlabel("epoch")
        _linear_axes(axes[:, column])
    axes[0, 0].set_ylabel("validation loss")
    axes[1, 0].set_ylabel("validation accuracy")
    _key(axes[0, 0], measured.one_update)
    return drawing


def rule_in_detail(group: Mapping[int, Curves], logarithmic: bool, levels: tuple[float, float] | None) -> Drawing:
    """Training and validation curves by epoch, and validation curves by seconds.

    levels : (loss, accuracy) that the report reads at its end, to be marked
    """
    drawing, axes = panels(2, 3, (9.6, 5.4), sharey="row")
    columns = (
        ("Training, by epoch", "", "epochs"),
        ("Validation, by epoch", "val_", "epochs"),
        ("Validation, by time", "val_", "elapsed"),
    )
    for column, (title, prefix, x) in enumerate(columns):
        for row, name in enumerate(("loss", "accuracy")):
            _draw(axes[row, column], group, prefix + name, x)
        axes[0, column].set_title(title)
        axes[1, column].set_xlabel("seconds of training" if x == "elapsed" else "epoch")
        axes[0, column].sharex(axes[1, column])
        axes[0, column].tick_params(labelbottom=False)
        if logarithmic:
            _logarithmic_axes(axes[:, column], group, x)
        else:
            _linear_axes(axes[:, column])
    axes[0, 0].set_ylabel("loss")
    axes[1, 0].set_ylabel("accuracy")
    if levels:
        # Beside the start of the curves, on the side that they come to later: loss from above, accuracy from below.
        for ax, level, (side, gap) in zip(axes[:, 0], levels, (("top", -2), ("bottom", 2))):
            ax.axhline(level, color=GREY, linewidth=0.9, linestyle=":")
            label(ax, f"report: {level:g}", 0, level, GREY, (3, gap), va=side)
    _key(axes[1, 1] if logarithmic else axes[0, 0], group)
    return drawing


def by_updates(group: Mapping[int, Curves]) -> Drawing:
    """Validation loss of mini-batch SGD by epoch and by number of updates."""
    drawing, axes = panels(1, 2, (8.4, 3.6), sharey=True)
    for ax, x, name in zip(axes[0], ("epochs", "updates"), ("epoch", "update")):
        _draw(ax, group, "val_loss", x)
        ax.set(xscale="log", yscale="log", xlabel=name)
        limits = [getattr(curves, x)[end] for curves in group.values() for end in (0, -1)]
        plain_ticks(ax.xaxis, ticks_between(min(limits), max(limits), (1, 3) if x == "epochs" else (1,)), in_thousands)
        plain_ticks(ax.yaxis, ticks_between(*_limits(group, ("val_loss",)), (1, 2, 5)))
        ax.set_title(f"By {name}")
    axes[0, 0].set_ylabel("validation loss")
    _key(axes[0, 0], group)
    return drawing


def learning_rates(measured: Measurements) -> Drawing:
    """Loss after a fixed number of epochs by batch size: constant against scaled learning rate."""
    rates = sorted({line.base_rate for line in measured.rate_lines})
    drawing, axes = panels(1, len(rates), (8.4, 4.2), sharey=True)
    finite = np.concatenate([line.losses[np.isfinite(line.losses)] for line in measured.rate_lines])
    top = max(finite.max(), LOSS_AT_RANDOM) * 1.3
    for ax, rate in zip(axes[0], rates):
        ax.set(xscale="log", yscale="log", xlabel="batch size", ylim=(finite.min() * 0.85, top))
        ax.axhline(LOSS_AT_RANDOM, color=GREY, linewidth=0.9, linestyle=":")
        for line in (line for line in measured.rate_lines if line.base_rate == rate):
            _draw_rates(ax, line, top)
        sizes = measured.plan.scaling_sizes
        plain_ticks(ax.xaxis, sizes[:: 2 if len(sizes) > 6 else 1], "{:.0f}".format)
        plain_ticks(ax.yaxis, ticks_between(finite.min() * 0.85, top))
        upper = ax.secondary_xaxis("top")  # the scaled rate of each batch size
        upper.set_xlabel("scaled learning rate", color=BLUE)
        upper.tick_params(colors=BLUE)
        plain_ticks(
            upper.xaxis,
            sizes[:: 2 if len(sizes) > 6 else 1],
            lambda size, rate=rate: f"{scaled_rate(rate, size):g}",
        )
    label(axes[0, 0], "guessing", measured.plan.scaling_sizes[0], LOSS_AT_RANDOM, GREY, (0, -3), va="top")
    axes[0, 0].set_ylabel(f"validation loss after {measured.plan.scaling_epochs} epochs")
    axes[0, 0].legend(loc="best")
    return drawing


def times(measured: Measurements) -> Drawing:
    """Seconds per epoch and per batch by batch size, for one thread and for all."""
    drawing, axes = panels(1, 2, (8.4, 3.7))
    rows = measured.plan.train_rows
    for (threads, sizes), colour, marker in zip(sorted(measured.epoch_seconds.items()), (BLUE, "black"), "so"):
        x = np.array(list(sizes))
        rounds = np.array(list(sizes.values()))
        for ax, seconds in zip(axes[0], (rounds, rounds / np.ceil(rows / x)[:, None])):
            middle = np.median(seconds, axis=1)
            spread = np.abs(np.array([seconds.min(axis=1), seconds.max(axis=1)]) - middle)
            text = "1 thread" if threads == 1 else f"{threads} threads"
            ax.errorbar(
                x,
                middle,
                spread,
                color=colour,
                marker=marker,
                markersize=4.5,
                elinewidth=1,
                linestyle="--" if threads == 1 else "-",
                label=text,
            )
    for ax, title in zip(axes[0], ("Time per epoch", "Time per batch")):
        ax.set(xscale="log", yscale="log", xlabel="batch size", title=title)
        plain_ticks(ax.xaxis, ticks_between(*ax.get_xlim(), (1,)), in_thousands)
        low, high = ax.get_ylim()
        plain_ticks(
            ax.yaxis,
            ticks_between(low, high, (1, 1.5, 2, 3, 5, 7) if high / low < 30 else (1,)),
            lambda seconds: duration(seconds).replace(".0 ", " "),
        )
        ax.legend()
    return drawing


def memory(measured: Measurements) -> Drawing:
    """Peak memory beyond the data set by batch size, for fastmlp and the plain NumPy trainer."""
    drawing, axes = panels(1, 1, (6.6, 3.7))
    ax = axes[0, 0]
    for (trainer, sizes), colour, marker, name in zip(
        measured.peak_bytes.items(), ("black", BLUE), "os", ("fastmlp", "NumPy, whole batches")
    ):
        counts = list(sizes.values())
        ax.plot(
            list(sizes),
            counts,
            color=colour,
            marker=marker,
            markersize=4.5,
            linestyle="-" if trainer == "fastmlp" else "--",
        )
        label(ax, name, list(sizes)[-1], counts[-1], colour, (-2, 9), ha="right", va="bottom")
    images = measured.digits.x_train.nbytes
    ax.axhline(images, color=GREY, linewidth=0.9, linestyle=":")
    label(
        ax,
        f"the images themselves: {in_bytes(images)}",
        measured.plan.memory_sizes[0],
        images,
        GREY,
        (0, 3),
        va="bottom",
    )
    ax.set(xscale="log", yscale="log", xlabel="batch size", ylabel="peak beyond the data")
    ax.margins(y=0.12)
    plain_ticks(ax.xaxis, ticks_between(*ax.get_xlim(), (1,)), in_thousands)
    plain_ticks(ax.yaxis, ticks_between(*ax.get_ylim(), (1, 3)), lambda count: in_bytes(count).replace(".0 ", " "))
    return drawing


def _draw(ax: Axes, group: Mapping[int, Curves], name: str, x: str) -> None:
    """The mean over the seeds, and the range of all seeds as a band."""
    for (size, curves), line in zip(group.items(), LINES):
        values = getattr(curves, name)
        places = getattr(curves, x)
        ax.fill_between(places, values.min(axis=0), values.max(axis=0), color=line["color"], alpha=0.2, linewidth=0)
        ax.plot(places, values.mean(axis=0), label=f"{size}", **line)


def _key(ax: Axes, group: Mapping[int, Curves]) -> None:
    legend = ax.legend(title="batch size", loc="best", handlelength=2.4)
    for text, colour in zip(legend.get_texts(), TEXT_COLOURS):
        text.set_color(colour)


def _linear_axes(column: np.ndarray) -> None:
    column[0].set_ylim(bottom=0)
    column[1].set_ylim(0, 1)
    for ax in column:
        ax.set_xlim(left=0)


def _logarithmic_axes(column: np.ndarray, group: Mapping[int, Curves], x: str) -> None:
    loss_axis, accuracy_axis = column
    places = [getattr(curves, x)[end] for curves in group.values() for end in (0, -1)]
    low, high = _limits(group, ("loss", "val_loss"))
    low = max(low, LEAST_LOSS_SHOWN)
    loss_axis.set(xscale="log", yscale="log", ylim=(low, high))
    accuracy_axis.set_xscale("log")
    stretch_near_one(accuracy_axis)
    plain_ticks(accuracy_axis.xaxis, ticks_between(min(places), max(places), (1, 3)))
    plain_ticks(loss_axis.yaxis, ticks_between(low, high, (1,) if high / low > 100 else (1, 3)))


def _limits(group: Mapping[int, Curves], names: tuple[str, ...]) -> tuple[float, float]:
    values = np.concatenate([getattr(curves, name).ravel() for curves in group.values() for name in names])
    return float(values[values > 0].min()) * 0.9, float(values.max()) * 1.1


def _draw_rates(ax: Axes, line: RateLine, top: float) -> None:
    finite = np.isfinite(line.losses).all(axis=1)
    shown = np.where(np.isfinite(line.losses), line.losses, top / 1.1)
    style = (
        {"color": BLUE, "marker": "o", "linestyle": "-"}
        if line.scaled
        else {"color": "black", "marker": "s", "linestyle": "--"}
    )
    ax.plot(
        line.batch_sizes,
        shown.mean(axis=1),
        markersize=4.5,
        label="scaled with the batch size" if line.scaled else "constant",
        **style,
    )
    ax.fill_between(
        line.batch_sizes, shown.min(axis=1), shown.max(axis=1), color=style["color"], alpha=0.2, linewidth=0
    )
    gone = np.array(line.batch_sizes)[~finite]
    ax.plot(gone, np.full(len(gone), top / 1.1), "x", color=style["color"], markersize=8)
    if not line.scaled:
        label(ax, f"{line.base_rate:g}", line.batch_sizes[-1], shown.mean(axis=1)[-1], "black", (5, 0))
