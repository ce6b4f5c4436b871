"""The displays of `fastmlp.plotting` that draw lines: curves over epochs or seconds, and paths over a setting."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import figure_labels, history_figure, validation
from .displays import Display, check_rows, last_epochs
from .history import History

LINE_STYLES = ("-", "--", ":", "-.")
"""Of several metrics in one figure."""

CYCLE = [f"C{number}" for number in range(10)]
"""matplotlib's colours of lines, which repeat after the last."""

MAX_LEGEND = 4
"""Entries of a legend inside the axes."""

CHARACTER = 0.03
"""The width of a character of a tick label, as a share of the x axis of a small figure."""


class LearningCurveDisplay(Display):
    """Curves over epochs or seconds, each with the range over several nets of the same kind.

    Parameters
    ----------
    curves : mapping of str to array, shape (nets, epochs)
        By label. Where nets have different numbers of epochs, the curve of their mean ends with the shortest.
    ylabel : str
    x : mapping of str to array, shape (epochs,), optional
        Where the values of each curve are. Default: 1, 2, ...
    xlabel : str
    styles : mapping of str to dict, optional
        The style of each curve, before that of `plot`.
    title : str
        Of the legend, which is beside the axes if it has more than 4 entries and the figure has a layout, such as
        "constrained".

    Attributes
    ----------
    lines_ : list of matplotlib Line2D

    Examples
    --------
    >>> import numpy as np, fastmlp
    >>> X, y = np.random.default_rng(0).normal(size=(60, 4)), np.arange(60) % 3
    >>> history = fastmlp.Trainer(fastmlp.Network((4, 8, 3))).fit(X, y, epochs=5, validation_data=(X, y))
    >>> display = fastmlp.plotting.LearningCurveDisplay.from_history(history)  # doctest: +SKIP
    """

    def __init__(
        self,
        curves: Mapping[str, Any],
        ylabel: str,
        x: Mapping[str, Any] | None = None,
        xlabel: str = "epoch",
        styles: Mapping[str, Mapping[str, Any]] | None = None,
        title: str = "",
    ) -> None:
        self.curves = {label: _together(curve) for label, curve in curves.items()}
        self.ylabel, self.xlabel, self.styles, self.title = ylabel, xlabel, styles or {}, title
        self.x = x or {label: np.arange(1, curve.shape[1] + 1) for label, curve in self.curves.items()}

    @classmethod
    def from_history(
        cls,
        history: History | Mapping[str, Sequence[float]],
        metric: str = "loss",
        ax: Any = None,
        x: str = "epoch",
        **style: Any,
    ) -> LearningCurveDisplay:
        """The curve of the training, and one for each set of validation data.

        Parameters
        ----------
        history : History, mapping of str to sequence of float, or data frame
            What `Trainer.fit` returned, an estimator's `history_`, or ``history.to_frame()``.
        metric : str
            "loss", "accuracy", or another entry; "val_<metric>" and "<name>_<metric>" are its validation curves. The
            name of one of these, such as "val_loss", draws it alone. Raises a ValueError if the history has none.
        ax, **style
            matplotlib Axes, optional; style of the lines.
        x : {"epoch", "seconds"}
            "seconds": the time of the training up to the end of each epoch, without validation and callbacks.
        """
        validation.check_choice("x", x, ("epoch", "seconds"))
        if hasattr(history, "columns"):  # a data frame of `History.to_frame`
            history = {str(name): history[name].to_list() for name in history.columns}
        if isinstance(history, Sequence):
            raise TypeError("history must be a History or a mapping, got a sequence: from_rows draws rows of a study")
        if not hasattr(history, "keys"):
            own = next((f": pass its {name}" for name in ("history", "history_") if hasattr(history, name)), "")
            raise TypeError(f"history must be a History or a mapping, got {validation.shown(history)}{own}")
        _check_style(style)
        entries = {name: values for name, values in dict(history).items() if len(values)}
        own = [name for name in entries if name == metric or figure_labels.set_and_metric(name, entries)[1] == metric]
        own.sort(key=lambda name: figure_labels.set_and_metric(name, entries)[0] != "")  # the training first
        curves = {label: entries[name] for label, name in zip(figure_labels.of_each_data(own, entries), own)}
        if not curves:
            raise ValueError(f"metric must be an entry of the history ({', '.join(entries)}), got {metric!r}")
        if x == "seconds" and x not in entries:
            raise ValueError(f"x='seconds' needs an entry of the history with them, got {', '.join(entries)}")
        seconds = None if x == "epoch" else dict.fromkeys(curves, np.cumsum(entries["seconds"]))
        label = figure_labels.of_column(metric, entries if metric in entries else ())
        return cls(curves, label, seconds, x).plot(ax, **style)

    @classmethod
    def from_rows(
        cls,
        rows: Any,
        metric: str | Sequence[str],
        by: str,
        ax: Any = None,
        x: str = "epoch",
        **style: Any,
    ) -> LearningCurveDisplay:
        """A curve for each value of a column of a study, over its seeds.

        Parameters
        ----------
        rows : sequence of mapping, or data frame
            What a function of `fastmlp.studies` returned, or a selection of it. For each value of `by` and each seed there
            must be one network: rows that also differ in another setting raise a ValueError.
        metric : str, or sequence of str
            Column, or columns that are drawn in different line styles, such as ``["loss", "val_loss"]``.
        by : str
            Column of a setting.
        ax, **style
            matplotlib Axes, optional; style of the lines.
        x : {"epoch", "seconds"}
            "seconds": the mean time of the training up to the end of each epoch, without validation and callbacks.
        """
        validation.check_choice("x", x, ("epoch", "seconds"))
        metrics = _names_of_metrics(metric)
        _check_style(style)
        rows = check_rows(rows, metrics, {"by": by}, ["seconds"] if x == "seconds" else [])
        ylabel, names = figure_labels.of_metrics(metrics, rows[0])
        values = list(dict.fromkeys(row[by] for row in rows))
        title, texts = figure_labels.of_values(by, values)
        curves, places, styles = {}, {}, {}
        colours = _colours(len(values))
        for colour, value, text in zip(colours, values, texts):
            own = [row for row in rows if row[by] == value]
            epochs = sorted({row["epoch"] for row in own})
            if x == "seconds" and epochs != list(range(1, len(epochs) + 1)):
                raise ValueError(
                    f"x='seconds' needs the rows of all epochs, got those of {', '.join(map(str, epochs))}"
                )
            times = np.cumsum(_by_seed(own, "seconds", epochs), axis=1).mean(axis=0) if x == "seconds" else epochs
            for name, column, line_style in zip(names, metrics, itertools.cycle(LINE_STYLES)):
                label = text if len(metrics) == 1 else f"{text}, {name}"
                curves[label], places[label] = _by_seed(own, column, epochs), times
                styles[label] = {"color": colour, "linestyle": line_style}
        return cls(curves, ylabel, places, x, styles, title).plot(ax, **style)

    def plot(self, ax: Any = None, **style: Any) -> LearningCurveDisplay:
        """Draw the mean of each curve, and its range over several nets."""
        ax = self._set_axes(ax)
        self.lines_ = []
        colours = _colours(len(self.curves)) if len(self.curves) > len(CYCLE) else [None] * len(self.curves)
        for colour, (label, curve) in zip(colours, self.curves.items()):
            own = self.styles.get(label, {} if colour is None else {"color": colour})
            self.lines_.append(_draw_mean_and_range(ax, self.x[label], curve, label=label, **{**own, **style}))
        if self.xlabel == "epoch":
            history_figure.set_whole_ticks(ax)
        ax.set(xlabel=self.xlabel, ylabel=self.ylabel)
        has_space = len(self.curves) > MAX_LEGEND and self.figure_.get_layout_engine() is not None
        ax.legend(title=self.title, **({"loc": "upper left", "bbox_to_anchor": (1, 1)} if has_space else {}))
        return self


class PathDisplay(Display):
    """Metrics by the value of one setting, such as the strength of a penalty, each with its range over several nets.

    Parameters
    ----------
    x : sequence
        Values of the setting. Whole numbers from 1 to 10 have a linear axis. Other finite numbers from 0 on have a
        logarithmic one, with 0 at the left end. All other values are side by side, without lines between them.
    curves : mapping of str to array, shape (nets, values)
        By label.
    xlabel, ylabel : str

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
    """

    def __init__(self, x: Sequence[Any], curves: Mapping[str, Any], xlabel: str, ylabel: str) -> None:
        self.x, self.xlabel, self.ylabel = list(x), xlabel, ylabel
        self.curves = {label: _together(curve) for label, curve in curves.items()}

    @classmethod
    def from_rows(cls, rows: Any, metric: str | Sequence[str], x: str, ax: Any = None, **style: Any) -> PathDisplay:
        """The last epoch of each net, over the seeds; ``loss`` and ``accuracy`` are means over it, not those after it.

        ``EarlyStopping(restore_best=True)`` changes the networks, not the rows: these end with the last epoch.

        Parameters
        ----------
        rows : sequence of mapping, or data frame
            As in `LearningCurveDisplay.from_rows`, with `x` in place of `by`.
        metric : str, or sequence of str
            Columns, such as ``["accuracy", "val_accuracy"]``.
        x : str
            Column of a setting, such as "l2".
        ax, **style
            matplotlib Axes, optional; style of the lines.
        """
        metrics = _names_of_metrics(metric)
        _check_style(style)
        rows = check_rows(rows, metrics, {"x": x})
        values = list(dict.fromkeys(row[x] for row in rows))
        if all(map(figure_labels.is_number, values)):
            values.sort()
        last = last_epochs(rows, x)
        ylabel, names = figure_labels.of_metrics(metrics, rows[0])
        curves = {
            name: np.transpose(_of_equal_length([[row[column] for row in last[v,]] for v in values]))
            for name, column in zip(names, metrics)
        }
        title, texts = figure_labels.of_values(x, values)
        places = values if all(map(figure_labels.is_number, values)) else texts
        return cls(places, curves, title, ylabel).plot(ax, **style)

    def plot(self, ax: Any = None, **style: Any) -> PathDisplay:
        """Draw the mean of each curve, and its range over several nets."""
        ax, places, own = self._set_axes(ax), self.x, {"marker": "o"}
        texts = figure_labels.of_values(self.xlabel, self.x)[1]
        if all(figure_labels.is_number(value) and 0 <= value < math.inf for value in self.x) and any(self.x):
            smallest = min(value for value in self.x if value > 0)
            if 0 in self.x:
                ax.set_xscale("symlog", linthresh=smallest)
            elif not all(value == int(value) and value <= 10 for value in self.x):
                ax.set_xscale("log")
            shown = _without_overlap(ax.xaxis.get_transform().transform(np.asarray(places, float)), texts)
            ax.set_xticks([places[i] for i in shown], [texts[i] for i in shown])
            ax.set_xticks([], minor=True)
        else:
            places, own = list(range(len(self.x))), {"marker": "o", "linestyle": "none"}
            is_narrow = CHARACTER * max(map(len, texts)) * len(texts) > 1
            rotated = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if is_narrow else {}
            ax.set_xticks(places, texts, **rotated)
        self.lines_ = [
            _draw_mean_and_range(ax, places, curve, label=label, **{**own, **style})
            for label, curve in self.curves.items()
        ]
        ax.set(xlabel=self.xlabel, ylabel=self.ylabel)
        if len(self.curves) > 1:
            ax.legend()
        return self


def _colours(count: int) -> list[Any]:
    """A colour for each of so many curves: none twice."""
    if count <= len(CYCLE):
        return CYCLE[:count]
    import matplotlib

    return [matplotlib.colormaps["turbo"](place) for place in np.linspace(0, 1, count)]


def _together(curve: Any) -> np.ndarray:
    """Curves of several nets as one array, shape (nets, values); nan where a shorter one has ended."""
    curve = list(curve)  # the index of a column of a data frame may begin at 1
    if not curve or np.ndim(curve[0]) == 0:
        return np.asarray([curve], float)
    together = np.full((len(curve), max(map(len, curve))), np.nan)
    for row, values in zip(together, curve):
        row[: len(values)] = values
    return together


def _of_equal_length(of_seeds: Sequence[Sequence[float]]) -> np.ndarray:
    """The values of the seeds of each setting; where it has fewer seeds, their mean, which keeps mean and range."""
    count = max(map(len, of_seeds))
    return np.array([[*values, *[np.mean(values)] * (count - len(values))] for values in of_seeds], float)


def _by_seed(rows: Sequence[Mapping[str, Any]], column: str, epochs: Sequence[int]) -> np.ndarray:
    """The values of each seed, shape (seeds, epochs); nan where a seed has no row of an epoch."""
    place = {epoch: index for index, epoch in enumerate(epochs)}
    seeds: dict[Any, np.ndarray] = {}
    for row in rows:
        seeds.setdefault(row["seed"], np.full(len(epochs), np.nan))[place[row["epoch"]]] = row[column]
    return np.array(list(seeds.values()))


def _draw_mean_and_range(ax: Any, x: Any, curves: np.ndarray, **style: Any) -> Any:
    line = history_figure.draw_curve(ax, x, curves.mean(axis=0), **style)
    if len(curves) > 1:
        low, high = curves.min(axis=0), curves.max(axis=0)
        if line.get_linestyle() == "None":
            ax.vlines(x, low, high, color=line.get_color(), alpha=0.5)
        else:
            ax.fill_between(x, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    return line


def _without_overlap(places: np.ndarray, texts: Sequence[str]) -> list[int]:
    """The indices of the tick labels that do not overlap one shown before."""
    shares = (places - places[0]) / max(places[-1] - places[0], 1e-300)
    shown = [0]
    for i in range(1, len(texts)):
        if shares[i] - shares[shown[-1]] >= CHARACTER * ((len(texts[shown[-1]]) + len(texts[i])) / 2 + 1):
            shown.append(i)
    return shown


def _names_of_metrics(metric: Any) -> list[str]:
    names = [metric] if isinstance(metric, str) else metric
    if not isinstance(names, Sequence) or not names or not all(isinstance(name, str) for name in names):
        raise TypeError(f"metric must be the name of a column or several, got {metric!r}")
    return list(names)


def _check_style(style: Mapping[str, Any]) -> None:
    if "label" in style:
        raise TypeError(
            f"label must not be given, because each curve has its own, got {style['label']!r}: "
            "change it with display.lines_[0].set_label, then display.ax_.legend()"
        )
