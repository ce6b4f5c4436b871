"""What the displays of `fastmlp.plotting` share: their axes, and the check of a study's rows."""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from . import figure_labels, validation

Rows = list[dict[str, Any]]


class Display:
    """In scikit-learn's convention: `ax_` and `figure_` are what was drawn on."""

    def _set_axes(self, ax: Any, projection: str | None = None) -> Any:
        """Set and return `ax_`: the given axes, or those of a new figure."""
        try:
            from matplotlib import pyplot
        except ModuleNotFoundError:
            raise ImportError("fastmlp.plotting needs matplotlib: pip install matplotlib") from None
        if ax is not None and projection is not None and getattr(ax, "name", None) != projection:
            raise ValueError(
                f"ax must have projection={projection!r}, got {ax!r}: "
                f"pyplot.subplots(subplot_kw={{'projection': {projection!r}}})"
            )
        self.ax_ = pyplot.figure(layout="constrained").add_subplot(projection=projection) if ax is None else ax
        self.figure_ = self.ax_.figure
        return self.ax_


def check_rows(rows: Any, metrics: Sequence[str], settings: Mapping[str, Any], others: Sequence[str] = ()) -> Rows:
    """The rows of a study, in which a value of each setting, a seed and an epoch are those of one network.

    `settings` are columns by the name of the argument that chose them. Their values become hashable: lists are tuples.
    nan, which data frames have in place of None, is None again.
    """
    for argument, name in settings.items():
        if not isinstance(name, str):
            raise TypeError(f"{argument} must be the name of a column, got {name!r}")
        if re.fullmatch(r"epoch|penalty|seconds|epoch_learning_rate|(.*_)?(loss|accuracy)", name):
            raise ValueError(f"{argument} must be a column of settings, such as 'batch_size', got {name!r}")
    if isinstance(rows, tuple):
        raise TypeError("rows must be the rows of a study, got a tuple: pass its first element")
    if hasattr(rows, "columns"):  # a data frame of pandas or polars
        rows = rows.to_dicts() if hasattr(rows, "to_dicts") else rows.to_dict("records")
    if not isinstance(rows, Sequence) or not all(isinstance(row, Mapping) for row in rows):
        raise TypeError(f"rows must be the rows of a study, a list of dicts or a data frame, got {rows!r}")
    if not rows:
        raise ValueError("rows must have at least one entry, got none")
    required = (*metrics, *settings.values(), "seed", "epoch", *others)
    missing = [name for name in dict.fromkeys(required) if any(name not in row for row in rows)]
    if missing:
        common = [name for name in rows[0] if all(name in row for row in rows)]
        raise ValueError(
            f"rows must have columns {_quoted(required)}, and lack {_quoted(missing)}; "
            f"all rows have {_quoted(common)}{validation.suggestion(missing[0], common)}"
        )
    for name in metrics:
        for row in rows:
            if not figure_labels.is_number(row[name]):
                raise ValueError(f"a metric must be a column of numbers, got {name!r} with {row[name]!r}")
    checked = [{**row, **{name: _hashable(row[name]) for name in settings.values()}} for row in rows]
    _check_networks(checked, settings)
    return checked


def last_epochs(rows: Rows, *settings: str) -> dict[tuple[Any, ...], Rows]:
    """The row of each network's last epoch, one per seed, by the values of the settings."""
    last = {(*(row[name] for name in settings), row["seed"]): row for row in sorted(rows, key=lambda row: row["epoch"])}
    cells: dict[tuple[Any, ...], Rows] = {}
    for row in sorted(last.values(), key=lambda row: row["seed"]):
        cells.setdefault(tuple(row[name] for name in settings), []).append(row)
    return cells


def _check_networks(rows: Rows, settings: Mapping[str, Any]) -> None:
    keys = [*dict.fromkeys((*settings.values(), "seed", "epoch"))]
    first: dict[Any, dict[str, Any]] = {}
    for row in rows:
        other = first.setdefault(_values(row, keys), row)
        if other is row:
            continue
        where = ", ".join(f"{name} = {row[name]!r}" for name in keys)
        differ = [
            name
            for name in row
            if figure_labels.set_and_metric(name, row) == ("", name)
            and name not in ("loss", "accuracy", "penalty", "seconds", "epoch_learning_rate")
            and not _equal(row[name], other.get(name))
        ]
        if not differ:
            raise ValueError(f"rows must have one network for each seed, got several rows with {where}")
        raise ValueError(
            f"rows also differ in {_quoted(differ)}, got several with {where}: select the rows of one value, "
            f"as in [row for row in rows if row[{differ[0]!r}] == {row[differ[0]]!r}]"
            + _alternative(rows, differ, next(iter(settings)) if len(settings) == 1 else "")
        )


def _alternative(rows: Rows, differ: Sequence[str], argument: str) -> str:
    """The end of an error message: a column by which the rows are those of one network each."""
    for name in sorted(differ, key=lambda name: name != "layer_sizes"):
        keys = [_values(row, (name, "seed", "epoch")) for row in rows if name in row]
        if argument and len(set(keys)) == len(rows):
            return f", or use {argument}={name!r}"
    return ""


def _values(row: Mapping[str, Any], names: Sequence[str]) -> tuple[Any, ...]:
    return tuple(_hashable(row[name]) for name in names)


def _equal(a: Any, b: Any) -> bool:
    return bool(_hashable(a) == _hashable(b))


def _hashable(value: Any) -> Any:
    if isinstance(value, (list, tuple, np.ndarray)):
        return tuple(map(_hashable, value))
    if isinstance(value, numbers.Real) and math.isnan(value):
        return None
    return value if isinstance(value, Hashable) else repr(value)


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
