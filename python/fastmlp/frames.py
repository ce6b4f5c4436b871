"""The numbers in columns of pandas and polars whose types NumPy lacks."""

from __future__ import annotations

import re
from numbers import Integral, Real
from typing import Any

import numpy as np

OF_TEXT = ": for class labels of text pass np.unique(y, return_inverse=True)[1]"
"""What an error about text in y says."""


def has_categories(values: Any) -> bool:
    """Whether this is a data frame with a column of categories, whose missing entries NumPy would turn into numbers."""
    return hasattr(values, "columns") and any(hasattr(dtype, "categories") for dtype in getattr(values, "dtypes", ()))


def of_frame(name: str, frame: Any) -> np.ndarray:
    """The values of a data frame of pandas or polars whose columns have several types, or types that NumPy lacks."""
    columns = [
        of_column(f"{name}[{column!r}]", frame.iloc[:, i] if hasattr(frame, "iloc") else frame[:, i])
        for i, column in enumerate(frame.columns)
    ]
    return np.stack(columns, axis=1) if columns else np.empty((len(frame), 0))


def of_column(name: str, column: Any) -> np.ndarray:
    """The numbers of a column of pandas or polars; missing ones are NaN."""
    array = np.asarray(column)
    if array.dtype.kind in "biuf":
        return array
    numbers = column
    if hasattr(column, "cat") and hasattr(column, "iloc"):  # pandas' categories, which may be numbers
        numbers = column.astype(column.cat.categories.dtype) if column.cat.categories.dtype.kind in "biuf" else None
    elif not re.match(r"u?int|float|double|bool|decimal", str(column.dtype).lower()):
        numbers = None
    if numbers is None:
        hint = OF_TEXT if name == "y" else ""
        if array.dtype.kind == "O" and all(isinstance(each, Real) for each in array):
            kind = "int" if all(isinstance(each, Integral) for each in array) else "float"
            hint = f": pass astype({kind}) of it"
        raise TypeError(f"{name} must hold real numbers, got a column of type {column.dtype}{hint}")
    if not hasattr(numbers, "isna"):  # polars
        return np.array([np.nan if value is None else value for value in array], np.float64)
    missing = bool(numbers.isna().any())
    if not missing and re.match(r"u?int|bool", str(numbers.dtype).lower()):
        return numbers.to_numpy(dtype=np.int64)  # labels stay integers
    return numbers.to_numpy(dtype=np.float64, na_value=np.nan)
