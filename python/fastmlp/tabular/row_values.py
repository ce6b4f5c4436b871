"""Targets and weights of rows, as numbers in double precision."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_array

from .. import training_data
from .columns import is_missing, is_number

MAX_WEIGHT = 1e100
"""Products with class weights, and their sums over rows, are within the range of double."""


def targets(y: Any) -> np.ndarray:
    """y of a regression, shape (rows,) or (rows, outputs), finite."""
    _check_real("y", y)
    return check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")


def check_labels(name: str, y: np.ndarray) -> None:
    """Raises an error about missing labels, and about text beside other labels, which have no order."""
    if y.dtype.kind != "O":
        return
    missing = is_missing(y)
    if missing.any():
        row = int(missing.argmax())
        raise ValueError(f"{name} must have a label in each row, got {y[row]!r} in row {row}")
    is_text = np.array([isinstance(label, str) for label in y], bool)
    if is_text.any() and not is_text.all():
        text, other = y[is_text.argmax()], y[is_text.argmin()]
        raise TypeError(f"{name} must hold labels of one type, got {text!r} and {other!r}")


def weights(sample_weight: Any, rows: int, name: str = "sample_weight") -> np.ndarray | None:
    """Shape (rows,), each in [0, MAX_WEIGHT] and not all 0; one number is that of all rows."""
    if sample_weight is None:
        return None
    _check_real(name, sample_weight)
    given = np.asarray(sample_weight, np.float64)
    if given.ndim == 0:
        given = np.full(rows, given)
    if given.shape != (rows,):
        raise ValueError(f"{name} must have shape ({rows},), got {given.shape}")
    bad = ~((given >= 0) & (given <= MAX_WEIGHT))  # NaN, too
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(f"{name} must hold numbers in [0, {MAX_WEIGHT:g}], got {given[row]} in row {row}")
    if not given.any():
        raise ValueError(f"{name} must hold a number above 0, got zeros only")
    return given


def _check_real(name: str, values: Any) -> None:
    """Raises an error about masks, complex numbers, text and dates, of which NumPy would make numbers."""
    training_data.check_unmasked(name, values)
    array = np.atleast_1d(np.asarray(values))
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {name} must hold real numbers, got dtype {array.dtype}")
    of_objects = array.dtype.kind == "O"
    kinds = set(map(type, array[~is_missing(array)])) if of_objects else {array.dtype.type}
    wrong = [kind for kind in kinds if not is_number(kind)]
    if wrong:
        found = f"values of type {wrong[0].__name__}" if of_objects else f"dtype {array.dtype}"
        hint = f": pass {name}.astype(float)" if name == "y" and issubclass(wrong[0], (str, bytes)) else ""
        raise TypeError(f"{name} must be an array of real numbers, got {found}{hint}")
