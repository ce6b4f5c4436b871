"""Some rows of a data set that stays one copy: rows held out for validation, folds, and bootstrap rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import training_data, validation
from .streaming import Stream
from .training_data import TrainingData

SPLIT_SEED = 2**32 - 1  # far from the seeds that users count from 0, which draw row orders

OF_MEMBERS = ("all", "bootstrap", "folds")
"""Which rows the members of an ensemble are trained on."""


def check_validation_split(validation_split: Any, X: Any, validation_data: Any) -> float | None:
    """A fraction in (0, 1), or None; not for streams, and not beside validation_data."""
    if validation_split is None:
        return None
    if validation_data is not None:
        raise TypeError("pass validation_data or validation_split, got both")
    if isinstance(X, Stream):
        raise TypeError("validation_split needs an array or a sparse matrix, got a Stream: pass validation_data")
    return validation.check_number("validation_split", validation_split, above=0, below=1)


def hold_out(rows: int, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """The rows to train on and the rows held out, in ascending order; the same in each call."""
    count = round(fraction * rows)
    if not 0 < count < rows:
        raise ValueError(
            f"validation_split={fraction:g} must leave rows to train on and rows to validate on, got {count} of {rows}"
            " rows to validate on"
        )
    order = np.random.default_rng(SPLIT_SEED).permutation(rows)
    return np.sort(order[count:]), np.sort(order[:count])


def folds(rows: int, count: int) -> list[np.ndarray]:
    """The rows in so many parts of equal sizes, up to one row; the same in each call."""
    if rows < count:
        raise ValueError(f"X must have at least {count} rows for {count} folds, got {rows}")
    order = np.random.default_rng(SPLIT_SEED).permutation(rows)
    return [np.sort(part) for part in np.array_split(order, count)]


def bootstrap(rows: int, seed: int) -> np.ndarray:
    """As many rows, drawn with replacement, in ascending order."""
    return np.sort(np.random.default_rng((SPLIT_SEED, seed)).integers(rows, size=rows))


def of_members(kind: str, rows: int, seeds: Sequence[int]) -> tuple[list[np.ndarray], list[np.ndarray | None]]:
    """The folds, if there are any, and for each member the rows that it is trained on; None: all."""
    if kind == "bootstrap":
        return [], [bootstrap(rows, seed) for seed in seeds]
    if kind == "all":
        return [], [None] * len(seeds)
    parts = folds(rows, len(seeds))
    return parts, [np.setdiff1d(np.arange(rows), part, assume_unique=True) for part in parts]


def only(data: TrainingData, rows: np.ndarray, sample_weight: Any) -> TrainingData:
    """The same data set, of which a fit trains on these rows alone."""
    weight = float(len(rows))
    if sample_weight is not None:
        weight = float(take("sample_weight", sample_weight, rows).sum(dtype=np.float64))
    return training_data.check_total_weight("X", TrainingData(data.core, len(rows), weight, rows, data.column_targets))


def take(name: str, values: Any, rows: np.ndarray) -> Any:
    """These rows of X, y or sample_weight, copied."""
    return values.tocsr()[rows] if hasattr(values, "tocsr") else training_data.as_array(name, values)[rows]


def take_all(X: Any, y: Any, sample_weight: Any, rows: np.ndarray) -> tuple[Any, Any, Any]:
    """These rows of all three, copied; sample_weight may be None."""
    weights = None if sample_weight is None else take("sample_weight", sample_weight, rows)
    return take("X", X, rows), take("y", y, rows), weights
