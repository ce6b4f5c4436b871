"""The figures of the batch-size experiment."""

import math
from collections.abc import Callable, Mapping

import numpy as np
from harness.figures import (
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
from harness.number_text import duration, in_bytes
from harness.tables import Table
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from learning.batch_size_analysis import SCALING_REFERENCE, Group, elapsed

# Smallest batch first. Broad under narrow under dashed: where the curves coincide, all three still show.
LINES = (
    {"color": BLUE, "linewidth": 3.6, "solid_capstyle": "butt"},
    {"color": ORANGE, "linewidth": 1.9, "solid_capstyle": "butt"},
    {"color": "black", "linewidth": 1.1, "linestyle": (0, (5, 2))},
)
TEXT_COLOURS = (BLUE, DARK_ORANGE, "black")
MIN_LOSS_SHOWN = 0.01  # training losses fall towards zero, which would compress all else
LOSS_AT_RANDOM = math.log(10)  # ten classes, each with probability 1/10


def headline(one_update: Group, mini_batch: Group) -> Drawing:
    """Accuracy by epoch under both rules in one panel."""
    drawing, axes = panels(1, 1, (4.7, 3.4))
    ax = axes[0, 0]
    _draw(ax, one_update, "val_accuracy")
    for curves, line in zip(list(mini_batch.values())[:-1], LINES):
        mean = curves.by_seed("val_accuracy").mean(axis=0)
        ax.plot(np.arange(1, len(mean) + 1), mean, color=line["color"], linewidth=1.4, linestyle=":")
    label(ax, "one update per batch", len(mean), mean[-1], "black", (-4, -5), ha="right", va="top")
    label(ax, "one update per epoch", len(mean), 0.92, "black", (-4, 0), ha="right", va="top")
    ax.set(xlabel="epoch", ylabel="accuracy on the test images", ylim=(0.75, 1.0), title="Batch size", xlim=(0, None))
    _legend(ax, one_update)
    return drawing


def two_rules(rules: Mapping[str, Group]) -> Drawing:
    """Validation loss and accuracy by epoch, a column per rule, on the same axes."""
    drawing, axes = panels(2, 2, (8.4, 5.6), sharex=True, sharey="row")
    for column, (title, group) in enumerate(rules.items()):
        for row, name in enumerate(("val_loss", "val_accuracy")):
            _draw(axes[row, column], group, name)
        axes[0, column].set_title(title)
        axes[1, column].set_xlabel("epoch")
        _linear_axes(axes[:, column])
    axes[0, 0].set_ylabel("validation loss")
    axes[1, 0].set_ylabel("validation accuracy")
    _legend(axes[0, 0], next(iter(rules.values())))
    return drawing


def rule_in_detail(group: Group, logarithmic: bool, levels: Mapping[str, float]) -> Drawing:
    """Training and validation curves by epoch, and validation curves by seconds; `levels` of the report are marked."""
    drawing, axes = panels(2, 3, (9.6, 5.4), sharey="row")
    columns = (
        ("Training, by epoch", "", "epoch", None),
        ("Validation, by epoch", "val_", "epoch", None),
        ("Validation, by time", "val_", "seconds of training", elapsed),
    )
    for column, (title, prefix, xlabel, x) in enumerate(columns):
        for row, name in enumerate(("loss", "accuracy")):
            places = _draw(axes[row, column], group, prefix + name, x)
        axes[0, column].set_title(title)
        axes[1, column].set_xlabel(xlabel)
        axes[0, column].sharex(axes[1, column])
        axes[0, column].tick_params(labelbottom=False)
        if logarithmic:
            _logarithmic_axes(axes[:, column], group, places)
        else:
            _linear_axes(axes[:, column])
    # Beside the start of the curves, on the side from which they come: loss from above, accuracy from below.
    for row, (name, level) in enumerate(levels.items()):
        axes[row, 0].axhline(level, color=GREY, linewidth=0.9, linestyle=":")
        side, gap = {"loss": ("top", -2), "accuracy": ("bottom", 2)}[name]
        label(axes[row, 0], f"report: {level:g}", 0, level, GREY, (3, gap), va=side)
    axes[0, 0].set_ylabel("loss")
    axes[1, 0].set_ylabel("accuracy")
    _legend(axes[1, 1] if logarithmic else axes[0, 0], group)
    return drawing


def by_updates(group: Group) -> Drawing:
    """Validation loss of mini-batch SGD by epoch and by number of updates."""
    drawing, axes = panels(1, 2, (8.4, 3.6), sharey=True)
    for ax, name in zip(axes[0], ("epoch", "update")):
        places = _draw(ax, group, "val_loss", None if name == "epoch" else lambda each: each.by_seed("updates")[0])
        ax.set(xscale="log", yscale="log", xlabel=name, title=f"By {name}")
        plain_ticks(ax.xaxis, ticks_between(*places, (1, 3) if name == "epoch" else (1,)), in_thousands)
        plain_ticks(ax.yaxis, ticks_between(*_limits(group, ("val_loss",)), (1, 2, 5)))
    axes[0, 0].set_ylabel("validation loss")
    _legend(axes[0, 0], group)
    return drawing


def learning_rates(table: Table, epochs: int) -> Drawing:
    """Loss after a fixed number of epochs by batch size: constant against scaled learning rate."""
    rates, sizes = table.distinct("rate_at_128"), table.distinct("batch_size")
    drawing, axes = panels(1, len(rates), (8.4, 4.2), sharey=True)
    finite = table["val_loss"][np.isfinite(table["val_loss"])]
    top = max(finite.max(), LOSS_AT_RANDOM) * 1.3
    ticks = sizes[:: 2 if len(sizes) > 6 else 1]
    for ax, rate in zip(axes[0], rates):
        ax.set(xscale="log", yscale="log", xlabel="batch size", ylim=(finite.min() * 0.85, top))
        ax.axhline(LOSS_AT_RANDOM, color=GREY, linewidth=0.9, linestyle=":")
        for kind, line in table.where(rate_at_128=rate).groups("learning_rates").items():
            _draw_rates(ax, kind, rate, line, top)
        plain_ticks(ax.xaxis, ticks, "{:.0f}".format)
        plain_ticks(ax.yaxis, ticks_between(finite.min() * 0.85, top))
        upper = ax.secondary_xaxis("top")  # the scaled rate of each batch size
        upper.set_xlabel("scaled learning rate", color=BLUE)
        upper.tick_params(colors=BLUE)
        plain_ticks(upper.xaxis, ticks, lambda size, rate=rate: f"{rate * size / SCALING_REFERENCE:g}")
    label(axes[0, 0], "guessing", sizes[0], LOSS_AT_RANDOM, GREY, (0, -3), va="top")
    axes[0, 0].set_ylabel(f"validation loss after {epochs} epochs")
    axes[0, 0].legend(loc="best")
    return drawing


def _draw_rates(ax: Axes, kind: str, rate: float, line: Table, top: float) -> None:
    sizes, losses = line.distinct("batch_size"), line.by_seed("val_loss")
    diverged = ~np.isfinite(losses)
    shown = np.where(diverged, top / 1.1, losses)
    colour, marker, style, text = {
        "scaled": (BLUE, "o", "-", "scaled with the batch size"),
        "constant": ("black", "s", "--", "constant"),
    }[kind]
    mean = shown.mean(axis=0)
    ax.plot(sizes, mean, color=colour, marker=marker, linestyle=style, markersize=4.5, label=text)
    ax.fill_between(sizes, shown.min(axis=0), shown.max(axis=0), color=colour, alpha=0.2, linewidth=0)
    crosses = np.array(sizes)[diverged.any(axis=0)]
    ax.plot(crosses, np.full(len(crosses), top / 1.1), "x", color=colour, markersize=8)
    if kind == "constant":
        label(ax, f"{rate:g}", sizes[-1], mean[-1], "black", (5, 0))


def times(table: Table) -> Drawing:
    """Seconds per epoch and per batch by batch size, for one thread and for all."""
    drawing, axes = panels(1, 2, (8.4, 3.7))
    for (threads, part), colour, marker in zip(sorted(table.groups("threads").items()), (BLUE, "black"), "so"):
        for ax, name in zip(axes[0], ("seconds_per_epoch", "seconds_per_batch")):
            rounds = [each[name] for each in part.groups("batch_size").values()]
            middle = np.median(rounds, axis=1)
            spread = np.abs(np.array([np.min(rounds, axis=1), np.max(rounds, axis=1)]) - middle)
            style = {"color": colour, "marker": marker, "linestyle": "--" if threads == 1 else "-"}
            text = "1 thread" if threads == 1 else f"{threads} threads"
            ax.errorbar(part.distinct("batch_size"), middle, spread, markersize=4.5, elinewidth=1, label=text, **style)
    for ax, title in zip(axes[0], ("Time per epoch", "Time per batch")):
        ax.set(xscale="log", yscale="log", xlabel="batch size", title=title)
        plain_ticks(ax.xaxis, ticks_between(*ax.get_xlim(), (1,)), in_thousands)
        low, high = ax.get_ylim()
        steps = (1, 1.5, 2, 3, 5, 7) if high / low < 30 else (1,)
        plain_ticks(ax.yaxis, ticks_between(low, high, steps), lambda seconds: duration(seconds).replace(".0 ", " "))
        ax.legend()
    return drawing


def memory(table: Table, image_bytes: int) -> Drawing:
    """Peak memory beyond the data set by batch size, for fastmlp and the plain NumPy trainer."""
    drawing, axes = panels(1, 1, (6.6, 3.7))
    ax = axes[0, 0]
    styles = {"fastmlp": ("black", "o", "-", "fastmlp"), "numpy": (BLUE, "s", "--", "NumPy, whole batches")}
    for trainer, part in table.groups("trainer").items():
        colour, marker, style, text = styles[trainer]
        sizes, counts = part["batch_size"], part["peak_bytes_beyond_data"]
        ax.plot(sizes, counts, color=colour, marker=marker, markersize=4.5, linestyle=style)
        label(ax, text, sizes[-1], counts[-1], colour, (-2, 9), ha="right", va="bottom")
    ax.axhline(image_bytes, color=GREY, linewidth=0.9, linestyle=":")
    text = f"the images themselves: {in_bytes(image_bytes)}"
    label(ax, text, table["batch_size"].min(), image_bytes, GREY, (0, 3), va="bottom")
    ax.set(xscale="log", yscale="log", xlabel="batch size", ylabel="peak beyond the data")
    ax.margins(y=0.12)
    plain_ticks(ax.xaxis, ticks_between(*ax.get_xlim(), (1,)), in_thousands)
    plain_ticks(ax.yaxis, ticks_between(*ax.get_ylim(), (1, 3)), lambda count: in_bytes(count).replace(".0 ", " "))
    return drawing


def _draw(ax: Axes, group: Group, name: str, x: Callable[[Table], np.ndarray] | None = None) -> tuple[float, float]:
    """The mean over the seeds, and their range as a band, by epoch or by `x`; returns the smallest and the largest x."""
    ends = []
    for (size, curves), line in zip(group.items(), LINES):
        values = curves.by_seed(name)
        places = x(curves) if x else np.arange(1, values.shape[1] + 1)
        ax.fill_between(places, values.min(axis=0), values.max(axis=0), color=line["color"], alpha=0.2, linewidth=0)
        ax.plot(places, values.mean(axis=0), label=f"{size}", **line)
        ends += [float(places[0]), float(places[-1])]
    return min(ends), max(ends)


def _legend(ax: Axes, group: Group) -> None:
    lines = ax.get_lines()[: len(group)]
    legend = ax.legend(lines, [str(size) for size in group], title="batch size", loc="best", handlelength=2.4)
    for text, colour in zip(legend.get_texts(), TEXT_COLOURS):
        text.set_color(colour)


def _linear_axes(column: np.ndarray) -> None:
    column[0].set_ylim(bottom=0)
    column[1].set_ylim(0, 1)
    for ax in column:
        ax.set_xlim(left=0)


def _logarithmic_axes(column: np.ndarray, group: Group, places: tuple[float, float]) -> None:
    loss_axis, accuracy_axis = column
    low, high = _limits(group, ("loss", "val_loss"))
    low = max(low, MIN_LOSS_SHOWN)
    loss_axis.set(xscale="log", yscale="log", ylim=(low, high))
    accuracy_axis.set_xscale("log")
    stretch_near_one(accuracy_axis)
    plain_ticks(accuracy_axis.xaxis, ticks_between(*places, (1, 3)))
    plain_ticks(loss_axis.yaxis, ticks_between(low, high, (1,) if high / low > 100 else (1, 3)))


def _limits(group: Group, names: tuple[str, ...]) -> tuple[float, float]:
    values = np.concatenate([curves[name] for curves in group.values() for name in names])
    return float(values[values > 0].min()) * 0.9, float(values.max()) * 1.1
