"""The columns of data frames and arrays: which of them hold categories, and their values."""

from __future__ import annotations

import decimal
import math
import re
import sys
from numbers import Real
from typing import Any

import numpy as np

from .. import training_data, validation

MAX_NUMBER = 1e300
"""Differences of larger numbers overflow in double."""

MAX_CODES = 20
"""Text of more different numbers is hardly a code of categories."""

NUMBER = (Real, decimal.Decimal, np.bool_)

NUMERAL = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$")

CATEGORY_TYPES = re.compile(r"(sparse\[)?(categor|enum|dictionary|object|bool|utf8|(large_)?str(ing)?\b)")
"""How the names of pandas', polars' and Arrow's types of categories, text and booleans begin, in lower case."""


def as_table(X: Any) -> Any:
    """A data frame, or an array of two dimensions."""
    if hasattr(X, "toarray"):
        raise TypeError(f"sparse input is not supported, X must be dense: pass toarray() of this {type(X).__name__}")
    training_data.check_unmasked("X", X)
    kind = type(X).__name__
    if not hasattr(type(X), "columns"):  # polars warns of the columns of a LazyFrame
        array = np.asarray(X)
        if array.ndim == 0 and array.dtype.kind in "OSUT":
            raise TypeError(f"X must be a data frame of pandas or polars, or an array of rows, got {kind}")
        X = np.array(X, object) if array.dtype.kind in "SUT" else array  # a list of numbers and text keeps the numbers
    elif not (hasattr(X, "iloc") or hasattr(X, "get_column")):
        ways = [f": pass {way}() of it" for way in ("collect", "to_pandas") if hasattr(X, way)]
        raise TypeError(f"X must be a data frame of pandas or polars, got {kind}{''.join(ways[:1])}")
    if len(X.shape) != 2:
        hint = ". Reshape your data: X.reshape(-1, 1) has one column, X.reshape(1, -1) one row" * (len(X.shape) == 1)
        raise ValueError(f"X must have shape (rows, columns), got {X.shape}{hint}")
    return X


def columns_of(X: Any) -> list[tuple[str, Any]]:
    """Each column, and how messages name it."""
    if not hasattr(X, "columns"):
        return [(f"X[:, {i}]", X[:, i]) for i in range(X.shape[1])]
    return [(f"X[{name!r}]", X.iloc[:, i] if hasattr(X, "iloc") else X[:, i]) for i, name in enumerate(X.columns)]


def are_categories(chosen: Any, X: Any, columns: list[tuple[str, Any]]) -> list[bool]:
    """For each column whether it holds categories; `chosen` is categorical_features."""
    if chosen is None:
        return [False] * len(columns)
    if isinstance(chosen, str):
        if chosen != "auto":
            raise ValueError(
                f"categorical_features must be 'auto', None or a list of columns, got {chosen!r}: pass [{chosen!r}]"
            )
        return [_holds_categories(column) for _, column in columns]
    given, n = np.asarray(chosen), len(columns)
    if given.dtype.kind == "b" and given.shape != (n,):
        raise ValueError(f"categorical_features must have shape ({n},) if bool, got {given.shape}")
    if given.dtype.kind == "b":
        return [named or _holds_categories(column) for named, (_, column) in zip(given.tolist(), columns)]
    has_names = given.dtype.kind in "OUT" and hasattr(X, "columns")
    names = list(X.columns) if has_names else list(range(n))
    # NumPy makes text of [0, "a"]
    listed = list(chosen) if isinstance(chosen, (list, tuple)) else given.ravel().tolist()
    unknown = [each for each in listed if each not in names]
    if unknown:
        expected = "names of columns of X" if has_names else f"indices in [0, {n})"
        near = validation.suggestion(str(unknown[0]), map(str, names)) if has_names else ""
        raise ValueError(f"categorical_features must hold {expected}, got {unknown[0]!r}{near}")
    return [name in listed or _holds_categories(column) for name, (_, column) in zip(names, columns)]


def _holds_categories(column: Any) -> bool:
    if str(column.dtype).startswith(("object", "Sparse[object")):  # of pandas, too: numbers stay numbers
        column = np.asarray(column)
    if not isinstance(column, np.ndarray):
        return CATEGORY_TYPES.match(str(column.dtype).lower()) is not None
    if column.dtype.kind != "O":
        return False
    if is_missing(column).all():  # with no known category, rows to predict may hold any text or number
        return True
    return any(issubclass(kind, (str, bool, np.bool_)) for kind in set(map(type, column)))


def split_column(label: str, column: Any, like: Any, *, is_known: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Which rows of a column are missing, shape (rows,), and the values of the others: numbers, or objects of text.

    `like` is one of the values in `fit`; None: the first that is not missing. `is_known`: `fit` has seen the column.
    """
    values = _exact(column)
    if values.dtype.kind in "UT":  # NumPy's text, as polars makes it
        values = values.astype(object)
    if values.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {label} must hold real numbers, got {column.dtype}")
    if values.dtype.kind not in "biufO" or values.ndim != 1:
        hint = "" if values.ndim != 1 else ": .astype(str) makes text of them"
        raise TypeError(f"{label} must hold numbers or text, got values of type {column.dtype}{hint}")
    is_object = values.dtype.kind == "O"
    missing = is_missing(values) if is_object else np.isnan(values)
    present = values[~missing]
    if like is None and len(present):
        like = present[0]
    is_text = isinstance(like, str)
    is_right = _is_text if is_text else is_number
    if is_text and not len(present):
        return missing, present.astype(object)
    if not all(map(is_right, set(map(type, present)) if is_object else {present.dtype.type})):
        found = present.tolist()
        i = next(i for i, value in enumerate(found) if not is_right(type(value)))
        expected = (f"text such as {like!r}" if is_text else "numbers") + " as in fit" * is_known
        hint = "" if _is_text(type(found[i])) or is_number(type(found[i])) else ": .astype(str) makes text of it"
        if isinstance(found[i], str) and not isinstance(like, str) and not is_known:
            hint = (
                ": columns of text are categories, unless categorical_features=None, and .astype(str) makes text of all"
            )
        raise TypeError(f"{label} must hold {expected}, got {found[i]!r} in row {np.flatnonzero(~missing)[i]}{hint}")
    if is_text:
        return missing, present
    if is_object:
        present = np.array(present.tolist())
    if present.dtype.kind in "fO":  # objects are decimals and huge integers, which may be beyond double
        try:
            present = present.astype(np.float64)
        except OverflowError:
            present = np.array(list(map(as_double, present)))
    bad = ~(np.abs(present) <= MAX_NUMBER)
    if bad.any():
        i = int(bad.argmax())
        raise ValueError(
            f"{label} must hold finite numbers within {MAX_NUMBER:g},"
            f" got {present[i]} in row {np.flatnonzero(~missing)[i]}"
        )
    return missing, present


def _is_text(kind: type) -> bool:
    return issubclass(kind, str)


def is_number(kind: type) -> bool:
    return issubclass(kind, NUMBER) and not issubclass(kind, np.timedelta64)  # which NumPy counts among the integers


def as_double(number: Any) -> float:
    """Infinite if the number is beyond the range of double."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _exact(column: Any) -> np.ndarray:
    """The values of a column; objects where float64 would merge large integers, as beside missing values."""
    values = np.asarray(column)
    if (
        isinstance(column, np.ndarray)
        or values.dtype != np.float64
        or not np.nanmax(np.abs(values), initial=0) >= 2**53
    ):
        return values
    return np.asarray(column.astype(object) if hasattr(column, "astype") else column.to_list(), object)


def warn_of_numbers(label: str, known: list[Any] | None) -> None:
    if known is not None and len(known) > MAX_CODES and isinstance(known[0], str) and all(map(NUMERAL.match, known)):
        validation.warn(
            f"{label} is text, so that each of its {len(known)} different values is a category, but all of them are"
            " numbers: pass pandas.to_numeric of it, or name it in categorical_features"
        )


def is_missing(objects: np.ndarray) -> np.ndarray:
    if "pandas" in sys.modules:  # else no value is pandas.NA, which cannot be compared
        return np.asarray(sys.modules["pandas"].isna(objects))
    return np.equal(objects, np.asarray(None)) | (objects != objects)
