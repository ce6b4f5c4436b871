"""Warnings of inputs whose scale is wrong for their network."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import validation


SMALL = 0.1
"""If all inputs are smaller after their scale, they were hardly meant to be scaled."""

IN_PIPELINES = "; a Pipeline does not transform eval_set: pass eval_X and eval_y to it"

FEW, FAR, WIDER = 30, 4, 6
"""Rows that are too few to compare; widths between the centres of columns, and a ratio of widths, that differ."""


def warn_of_scale(X: Any, network: Any, *, trains: bool = True) -> None:
    """Images without a scale, or scaled twice: a fit hardly ever succeeds on them. A few rows are looked at.

    Parameters
    ----------
    trains : bool
        Of a fit; otherwise X is to be evaluated, and of the values without a scale only bytes warn.
    """
    some = None if network.standardize else _some_rows(X)
    if some is None:
        return
    largest, scale = float(np.abs(some.astype(np.float64)).max()), network.input_scale
    is_bytes = some.dtype == np.uint8
    if scale == 1 and 127 < largest < np.inf and (is_bytes or (trains and (some == np.floor(some)).all())):
        kind = str(some.dtype) if some.dtype.kind in "iu" else "whole numbers"
        more = "" if is_bytes else ", and standardize=True for tables"
        validation.warn(
            f"X is {kind} with values above 127 and the network's input_scale is 1: pass input_scale=1/255 to Network for"
            f" images{more}"
        )
    if abs(scale) < SMALL and (0 < largest * abs(scale) < SMALL or _are_small_fractions(some * abs(scale), some)):
        validation.warn(
            f"X is within [-{largest:.3g}, {largest:.3g}] and the network's input_scale is {scale:.3g}, which makes it very"
            " small: pass X as it was before you scaled it, or leave input_scale out of Network"
        )


def _are_small_fractions(scaled: np.ndarray, some: np.ndarray) -> bool:
    """Whether most values are no whole numbers, and very small after their scale: those of a StandardScaler, for images."""
    return (some != np.floor(some)).mean() > 0.5 and 0 < np.median(np.abs(scaled)) < SMALL / 20


def warn_of_other_rows(X: Any, held_out: Any, name: str) -> None:
    """Rows to evaluate that were hardly prepared as X was: half of the columns are far away. A few rows are looked at."""
    rows, others = _some_rows(X), _some_rows(held_out)
    if rows is None or others is None or rows.ndim != 2 or rows.shape[1:] != others.shape[1:]:
        return
    if min(len(rows), len(others)) < FEW:
        return
    parts = [part[:, :: 1 + part.shape[1] // 256].astype(np.float64) for part in (rows, others)]
    with np.errstate(all="ignore"):  # of values that are not finite, which are rejected elsewhere
        differ, varies = np.logical_and.reduce(
            [_are_far(*map(scale, parts)) for scale in (_moments, _quartiles)], axis=0
        )
    if varies.any() and differ[varies].mean() >= 0.5:
        validation.warn(
            f"half of the columns of {name}, or more, have another mean or another width than those of X: scale both in"
            f" the same way{IN_PIPELINES if name == 'eval_set' else ''}"
        )


def _moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each column the centre and the width; a column of few large values may move both."""
    return rows.mean(axis=0), rows.std(axis=0)


def _quartiles(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same; a column that is half zero may move both."""
    low, middle, high = np.percentile(rows, (25, 50, 75), axis=0)
    return middle, (high - low) / 1.35  # the standard deviation of a normal distribution


def _are_far(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """For each column whether centre or width differ by far, and whether it varies, shape (2, columns)."""
    smaller, larger = np.sort([one[1], other[1]], axis=0)
    return np.stack([(np.abs(one[0] - other[0]) > FAR * smaller) | (larger > WIDER * smaller), smaller > 0])


def _some_rows(X: Any) -> np.ndarray | None:
    """Numbers of about 64 rows, or of a sparse matrix; None if there are none."""
    values = X
    if hasattr(X, "tocsr"):
        values = X.tocsr().data  # the maximum of a sparse matrix would change it
    try:
        step = max(1, len(values) // 64)
        some = np.asarray(values.iloc[::step] if hasattr(values, "iloc") else values[::step])
    except (TypeError, ValueError):  # of other array types; a fit checks them
        return None
    return some if some.dtype.kind in "iuf" and some.size else None
