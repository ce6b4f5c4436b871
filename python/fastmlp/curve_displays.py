"""The displays of `fastmlp.plotting` that draw lines: curves over epochs or seconds, and paths over a setting."""

from __future__ import annotations

import itertools
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import validation
from .displays import Display, check_columns
from .history import History

LINE_STYLES = ("-", "--", ":", "-.")
"""Of several metrics in one figure."""


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
    ) -> None:
        self.curves = {label: _together(curve) for label, curve in curves.items()}
        self.ylabel, self.xlabel, self.styles = ylabel, xlabel, styles or {}
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
        """Training and, if there is one, validation curve.

        Parameters
        ----------
        history : History or mapping of str to sequence of float
            What `Trainer.fit` returned, or an estimator's `history_`.
        metric : str
            "loss", "accuracy", or another entry; "val_<metric>" is its validation curve.
            Raises a ValueError if the history has neither.
        ax, **style
            matplotlib Axes, optional; style of the lines.
        x : {"epoch", "seconds"}
            "seconds": the time of the training up to the end of each epoch, without validation and callbacks.
        """
        validation.check_choice("x", x, ("epoch", "seconds"))
        entries = {name: values for name, values in dict(history).items() if len(values)}
        names = {metric: "training", f"val_{metric}": "validation"}
        curves = {label: entries[name] for name, label in names.items() if name in entries}
        if not curves:
            raise ValueError(f"metric must be an entry of the history ({', '.join(entries)}), got {metric!r}")
        if x == "seconds" and x not in entries:
            raise ValueError(f"x='seconds' needs an entry of the history with them, got {', '.join(entries)}")
        seconds = None if x == "epoch" else dict.fromkeys(curves, np.cumsum(entries["seconds"]))
        return cls(curves, metric.replace("_", " "), seconds, x).plot(ax, **style)

    @classmethod
    def from_rows(
        cls,
        rows: Sequence[Mapping[str, Any]],
        metric: str | Sequence[str],
        by: str,
        ax: Any = None,
        x: str = "epoch",
        **style: Any,
    ) -> LearningCurveDisplay:
        """A curve for each value of a column of a study, over its seeds.

        Parameters
        ----------
        rows : sequence of mapping
            What a function of `fastmlp.studies` returned.
        metric : str, or sequence of str
            Column, or columns that are drawn in different line styles, such as ``["loss", "val_loss"]``.
        by : str
            Column.
        ax, **style
            matplotlib Axes, optional; style of the lines.
        x : {"epoch", "seconds"}
            "seconds": the mean time of the training up to the end of each epoch, without validation and callbacks.
        """
        validation.check_choice("x", x, ("epoch", "seconds"))
        metrics = _names_of_metrics(metric)
        if not isinstance(by, str):
            raise TypeError(f"by must be the name of a column, got {by!r}")
        check_columns(rows, *metrics, by, "seed", "epoch", *(["seconds"] if x == "seconds" else []))
        curves, seconds, styles = {}, {}, {}
        for number, value in enumerate(dict.fromkeys(row[by] for row in rows)):
            own = [row for row in rows if row[by] == value]
            times = np.cumsum(_by_seed(own, "seconds"), axis=1).mean(axis=0) if x == "seconds" else None
            for name, line_style in zip(metrics, itertools.cycle(LINE_STYLES)):
                label = f"{by} = {value}" if len(metrics) == 1 else f"{by} = {value}, {name.replace('_', ' ')}"
                curves[label], seconds[label] = _by_seed(own, name), times
                styles[label] = {"color": f"C{number}", "linestyle": line_style}
        return cls(curves, _common_label(metrics), seconds if x == "seconds" else None, x, styles).plot(ax, **style)

    def plot(self, ax: Any = None, **style: Any) -> LearningCurveDisplay:
        """Draw the mean of each curve, and its range over several nets."""
        ax = self._set_axes(ax)
        self.lines_ = []
        for label, curve in self.curves.items():
            own = self.styles.get(label, {})
            self.lines_.append(_draw_mean_and_range(ax, self.x[label], curve, label=label, **{**own, **style}))
        if self.xlabel == "epoch" and ax.get_xscale() == "linear":
            ax.locator_params(axis="x", integer=True)
        ax.set(xlabel=self.xlabel, ylabel=self.ylabel)
        ax.legend()
        return self


class PathDisplay(Display):
    """Metrics by the value of one setting, such as the strength of a penalty, each with its range over several nets.

    Parameters
    ----------
    x : sequence
        Values of the setting. Numbers are drawn on a logarithmic axis, with zero at its left end; other values, and
        numbers below zero, side by side.
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
    def from_rows(
        cls, rows: Sequence[Mapping[str, Any]], metric: str | Sequence[str], x: str, ax: Any = None, **style: Any
    ) -> PathDisplay:
        """After the last epoch of each net, over the seeds.

        Parameters
        ----------
        rows : sequence of mapping
            What a function of `fastmlp.studies` returned.
        metric : str, or sequence of str
            Columns, such as ``["accuracy", "val_accuracy"]``.
        x : str
            Column, such as "l2".
        ax, **style
            matplotlib Axes, optional; style of the lines.
        """
        metrics = _names_of_metrics(metric)
        check_columns(rows, *metrics, x, "seed", "epoch")
        last: dict[Any, dict[Any, Mapping[str, Any]]] = {}
        for row in sorted(rows, key=lambda row: row["epoch"]):
            last.setdefault(row[x], {})[row["seed"]] = row
        values = sorted(last) if all(_is_number(value) for value in last) else list(last)
        curves = {
            name.replace("_", " "): np.transpose(_together([[row[name] for row in last[v].values()] for v in values]))
            for name in metrics
        }
        return cls(values, curves, x.replace("_", " "), _common_label(metrics)).plot(ax, **style)

    def plot(self, ax: Any = None, **style: Any) -> PathDisplay:
        """Draw the mean of each curve, and its range over several nets."""
        ax, places = self._set_axes(ax), self.x
        if all(_is_number(value) and value >= 0 for value in self.x) and any(self.x):
            smallest = min(value for value in self.x if value > 0)
            if 0 in self.x:
                ax.set_xscale("symlog", linthresh=smallest)
            else:
                ax.set_xscale("log")
        else:
            places = list(range(len(self.x)))
            ax.set_xticks(places, self.x)
        self.lines_ = [
            _draw_mean_and_range(ax, places, curve, label=label, **{"marker": "o", **style})
            for label, curve in self.curves.items()
        ]
        ax.set(xlabel=self.xlabel, ylabel=self.ylabel)
        if len(self.curves) > 1:
            ax.legend()
        return self


def _together(curve: Any) -> np.ndarray:
    """Curves of several nets as one array, shape (nets, values); nan where a shorter one has ended."""
    if np.ndim(curve[0]) == 0:
        return np.asarray([curve], float)
    together = np.full((len(curve), max(map(len, curve))), np.nan)
    for row, values in zip(together, curve):
        row[: len(values)] = values
    return together


def _by_seed(rows: Sequence[Mapping[str, Any]], column: str) -> np.ndarray:
    """The values of each seed in the order of the epochs, shape (seeds, epochs)."""
    seeds: dict[Any, list[float]] = {}
    for row in sorted(rows, key=lambda row: row["epoch"]):
        seeds.setdefault(row["seed"], []).append(row[column])
    return _together(list(seeds.values()))


def _draw_mean_and_range(ax: Any, x: Any, curves: np.ndarray, **style: Any) -> Any:
    (line,) = ax.plot(x, curves.mean(axis=0), **style)
    if len(curves) > 1:
        low, high = curves.min(axis=0), curves.max(axis=0)
        ax.fill_between(x, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    return line


def _names_of_metrics(metric: Any) -> list[str]:
    names = [metric] if isinstance(metric, str) else metric
    if not isinstance(names, Sequence) or not names or not all(isinstance(name, str) for name in names):
        raise TypeError(f"metric must be the name of a column or several, got {metric!r}")
    return list(names)


def _common_label(metrics: Sequence[str]) -> str:
    """Of one metric its name, of several their common last word, or all names."""
    last = {name.rpartition("_")[2] for name in metrics}
    return (metrics[0] if len(metrics) == 1 else last.pop() if len(last) == 1 else ", ".join(metrics)).replace("_", " ")


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
