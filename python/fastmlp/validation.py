"""Every check of what users hand in, and every message. Both sides are quoted: what was found, what was expected."""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import _core

MOST_THREADS = 1024
"""More than any machine has cores; a larger number is a mistake."""


def check_choice(name: str, value: Any, choices: Sequence[str]) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return value


def check_integer(name: str, value: Any, least: int, most: int = 2**63 - 1) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if not least <= value <= most:
        upper = f" and at most {most}" if most < 2**63 - 1 or value > most else ""
        raise ValueError(f"{name} must be at least {least}{upper}, got {value!r}")
    return int(value)


def check_number(
    name: str,
    value: Any,
    above: float = -math.inf,
    least: float = -math.inf,
    below: float = math.inf,
    dtype: np.dtype | None = None,
) -> float:
    """A finite number > above, >= least and < below; with a dtype, also once it is rounded to that."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    found = _as_float(value)
    with np.errstate(over="ignore", under="ignore"):
        rounded = found if dtype is None else float(dtype.type(found))
    if not all(math.isfinite(number) and above < number and least <= number < below for number in (found, rounded)):
        bounds = [
            f"{sign} {bound:g}" for sign, bound in ((">", above), (">=", least), ("<", below)) if math.isfinite(bound)
        ]
        as_used = "" if rounded == found or not math.isfinite(found) else f", which {dtype} rounds to {rounded:g}"
        raise ValueError(
            f"{name} must be a finite number {' and '.join(bounds)}".rstrip() + f", got {value!r}{as_used}"
        )
    return found


def check_scale(name: str, value: Any, dtype: np.dtype) -> float:
    """A finite number other than zero, of either sign."""
    scale = check_number(name, value, dtype=dtype)
    if float(dtype.type(scale)) == 0:
        raise ValueError(f"{name} must not be zero in {dtype}, got {value!r}")
    return scale


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        return math.inf


def check_pair(name: str, value: Any) -> None:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        kind = type(value).__name__
        found = f"a {kind} of {len(value)}" if isinstance(value, (tuple, list)) else kind
        raise TypeError(f"{name} must be a pair (X, y), got {found}")


def check_flag(name: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def check_seed(seed: Any) -> int:
    return check_integer("seed", seed, 0)


def check_threads(n_threads: Any) -> int | None:
    return None if n_threads is None else check_integer("n_threads", n_threads, 1, MOST_THREADS)


def check_dtype(dtype: Any) -> np.dtype:
    try:
        found = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"dtype must be 'float32' or 'float64', got {dtype!r}") from None
    if found not in (np.float32, np.float64):
        raise ValueError(f"dtype must be 'float32' or 'float64', got {found.name!r}")
    return found


def check_layer_sizes(layer_sizes: Any, dtype: np.dtype) -> tuple[int, ...]:
    if isinstance(layer_sizes, np.ndarray) and layer_sizes.ndim == 1:
        layer_sizes = tuple(layer_sizes)
    if isinstance(layer_sizes, (str, bytes)) or not isinstance(layer_sizes, Sequence):
        raise TypeError(f"layer_sizes must be a sequence of integers such as (784, 128, 10), got {layer_sizes!r}")
    if len(layer_sizes) < 2:
        raise ValueError(f"layer_sizes must have at least two entries (features, outputs), got {tuple(layer_sizes)!r}")
    sizes = tuple(check_integer(f"layer_sizes[{i}]", size, 1, 2**31 - 1) for i, size in enumerate(layer_sizes))
    # The weights, each row padded to a cache line, and for training their transposed copy.
    padded = sum(inputs * (outputs + 15) + outputs * (inputs + 15) for inputs, outputs in zip(sizes, sizes[1:]))
    needed, present = padded * dtype.itemsize, _physical_memory()
    if needed > present:
        raise MemoryError(f"layer_sizes {sizes} need {needed:.3g} bytes for weights, this machine has {present:.3g}")
    return sizes


def _physical_memory() -> float:
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # not every system tells
        return math.inf


def check_inputs(X: Any, features: int, dtype: np.dtype, scale: float, threads: int) -> np.ndarray | _core.CsrInputs:
    """X as `check_input_array` returns it; each value and its product with `scale` a finite number of `dtype`."""
    X = check_input_array(X, features)
    values = X.values if isinstance(X, _core.CsrInputs) else X
    if values.dtype == np.uint8:
        return X
    position_of = None if values is X else X.position
    check_finite("X", values, dtype, threads, position_of)
    if abs(scale) > 1:
        roundings = 4 * float(np.finfo(dtype).eps)  # of the scale, the value, their product, and this quotient
        most = float(np.finfo(dtype).max) / abs(scale) * (1 - roundings)
        index = _core.first_not_finite(values, most, threads)
        if index >= 0:
            raise ValueError(
                f"X times input_scale={scale:g} must be within the range of {dtype}, which ends at X = {most:g}, got "
                + _value_at(values, index, position_of)
            )
    return X


def check_input_array(X: Any, features: int) -> np.ndarray | _core.CsrInputs:
    """X, shape (samples >= 1, features), as an array or CSR inputs of uint8, float32 or float64 that the core reads."""
    sparse = hasattr(X, "tocsr")
    if sparse:
        X = X.tocsr()
    elif not isinstance(X, _core.CsrInputs):  # one that comes back from an earlier check
        X = _real_array("X", X)
    if len(X.shape) != 2 or X.shape[1] != features:
        raise ValueError(f"X must have shape (samples, {features}), got {X.shape}")
    if X.shape[0] == 0:
        raise ValueError(f"X must have at least one row, got shape {X.shape}")
    if isinstance(X, _core.CsrInputs):
        return X
    return _csr_inputs(X) if sparse else _input_values(X)


def _input_values(X: np.ndarray) -> np.ndarray:
    """The same values as a C-contiguous, aligned, native array of uint8, float32 or float64."""
    if X.dtype.kind in "biu" and X.dtype != np.uint8:
        X = X.astype(np.float64)
    elif X.dtype.kind == "f" and X.dtype.itemsize == 2:
        X = X.astype(np.float32)
    elif X.dtype.kind == "f" and X.dtype.itemsize > 8:
        raise TypeError(f"X must be float32, float64 or integers, got {X.dtype}")
    return _plain(X)


def _csr_inputs(X: Any) -> _core.CsrInputs:
    """A CSR matrix whose rows name no column twice; X itself stays as it is."""
    inputs = _checked_csr(X)
    if not inputs.ascending:
        X = X.copy()
        X.sum_duplicates()
        inputs = _checked_csr(X)
        if not inputs.ascending:
            raise ValueError("X was changed by another thread while it was read")
    return inputs


def _checked_csr(X: Any) -> _core.CsrInputs:
    """Its values in a type that the core reads; its indices the core copies, and checks again in its copy."""
    rows, columns = X.shape
    values, indices, indptr = _real_array("X", X.data), _indices("indices", X), _indices("indptr", X)
    if values.shape != indices.shape or values.ndim != 1:
        raise ValueError(f"X.indices must have the shape of X.data, (values,), got {indices.shape} and {values.shape}")
    if indptr.shape != (rows + 1,):
        raise ValueError(f"X.indptr must have shape ({rows + 1},), one more than rows, got {indptr.shape}")
    if indptr[0] != 0 or indptr[-1] != len(values):
        raise ValueError(
            f"X.indptr must go from 0 to {len(values)}, the length of X.data, got {indptr[0]} to {indptr[-1]}"
        )
    falls = indptr[1:] < indptr[:-1]
    if falls.any():
        row = int(falls.argmax())
        raise ValueError(f"X.indptr must not decrease, got {indptr[row + 1]} after {indptr[row]} at row {row}")
    if len(indices) and not 0 <= indices.min() <= indices.max() < columns:
        index = int(((indices < 0) | (indices >= columns)).argmax())
        row = int(np.searchsorted(indptr, index, side="right")) - 1
        raise ValueError(f"X.indices must lie in [0, {columns}), got {indices[index]} in row {row}")
    return _core.CsrInputs(
        _input_values(values),
        _plain(indices.astype(np.int32, copy=False)),
        _plain(indptr.astype(np.int64, copy=False)),
        columns,
    )


def _indices(name: str, X: Any) -> np.ndarray:
    array = np.asarray(getattr(X, name))
    if array.dtype.kind not in "iu":
        raise TypeError(f"X.{name} must be integers, got {array.dtype}")
    return array


def check_labels(y: Any, rows: int, classes: int) -> np.ndarray:
    """y as int64, shape (rows,), each in [0, classes)."""
    y = as_array("y", y)
    if y.dtype.kind not in "biu":
        found = y.dtype
        if y.dtype.kind == "f" and y.size:
            found = f"{y.dtype} such as {y.ravel()[0]!r}"
        raise TypeError(f"y must be integer class labels for cross_entropy, got {found}")
    if y.shape != (rows,):
        raise ValueError(f"y must have shape ({rows},), one label per row of X, got {y.shape}")
    bad = (y < 0) | (y >= classes) if y.dtype.kind == "i" else y >= classes
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(f"labels must lie in [0, {classes}), got {y[row]} in row {row} of y")
    return _plain(y.astype(np.int64))


def check_targets(y: Any, rows: int, outputs: int, dtype: np.dtype, threads: int) -> np.ndarray:
    """y in `dtype`, shape (rows, outputs); (rows,) is the same as (rows, 1)."""
    given = _real_array("y", y)
    y = given[:, None] if given.ndim == 1 and outputs == 1 else given
    if y.shape != (rows, outputs):
        also = f" or ({rows},)" if outputs == 1 else ""
        raise ValueError(f"y must have shape ({rows}, {outputs}){also}, one target per row of X, got {given.shape}")
    return _in_dtype("y", y, dtype, threads)


def check_range(name: str, array: np.ndarray, least: float, most: float, loss: str) -> None:
    """Raises ValueError if a value lies outside [least, most]."""
    bad = (array < least) | (array > most)
    if bad.any():
        place = np.unravel_index(int(bad.argmax()), array.shape)
        expected = f"in [{least:g}, {most:g}]" if math.isfinite(most) else f"at least {least:g}"
        position = ", ".join(map(str, place))
        raise ValueError(f"{name} must be {expected} for {loss}, got {array[place]} at [{position}]")


def check_parameters(
    name: str, given: Any, shapes: Sequence[tuple[int, ...]], dtype: np.dtype, threads: int
) -> list[np.ndarray]:
    if isinstance(given, str) or not hasattr(given, "__len__"):
        raise TypeError(f"{name} must be a list of {len(shapes)} arrays, got {given!r}")
    if len(given) != len(shapes):
        raise ValueError(f"{name} must be a list of {len(shapes)} arrays, got {len(given)}")
    arrays = []
    for i, (array, shape) in enumerate(zip(given, shapes)):
        arrays.append(check_parameter(f"{name}[{i}]", array, shape, dtype, threads))
    return arrays


def check_parameter(name: str, array: Any, shape: tuple[int, ...], dtype: np.dtype, threads: int) -> np.ndarray:
    array = _real_array(name, array)
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    return _in_dtype(name, array, dtype, threads)


def check_finite(
    name: str,
    array: np.ndarray,
    dtype: np.dtype,
    threads: int,
    position_of: Callable[[int], tuple[int, ...]] | None = None,
) -> None:
    """Raises ValueError if a value of a float array is NaN, infinite or beyond the range of dtype."""
    index = _core.first_not_finite(array, float(np.finfo(dtype).max), threads)
    if index >= 0:
        value, found = array.flat[index], _value_at(array, index, position_of)
        if np.isfinite(value) and abs(value) <= np.finfo(dtype).max:
            raise ValueError(f"{name} was changed by another thread while it was checked, got {found}")
        expected = "finite" if not np.isfinite(value) else f"within the range of {dtype}"
        raise ValueError(f"{name} must be {expected}, got {found}")


def _value_at(array: np.ndarray, index: int, position_of: Callable[[int], tuple[int, ...]] | None) -> str:
    place = position_of(index) if position_of else np.unravel_index(index, array.shape)
    return f"{array.flat[index]} at [{', '.join(map(str, place))}]"


def add_note(error: Exception, where: str) -> None:
    """Says where an error arose: in a note, or in its message before Python 3.11."""
    if hasattr(error, "add_note"):
        error.add_note(where)
    else:
        error.args = (f"{where}: {error}", *error.args[1:])


def as_array(name: str, values: Any) -> np.ndarray:
    if type(values) is np.ndarray:
        return values
    parts = values if isinstance(values, (list, tuple)) else [values]  # NumPy drops the masks of a list's arrays
    masked = sum(np.ma.count_masked(part) for part in parts if isinstance(part, np.ma.MaskedArray))
    if masked:
        raise ValueError(f"{name} must have no masked entries, got {masked} of them")
    return np.asarray(values)


def _real_array(name: str, values: Any) -> np.ndarray:
    array = as_array(name, values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be an array of real numbers, got dtype {array.dtype}")
    return array


def _plain(array: np.ndarray) -> np.ndarray:
    """The same values, C-contiguous, aligned and in native byte order; a copy only where needed."""
    flags = array.flags
    if flags.c_contiguous and flags.aligned and array.dtype.isnative:
        return array
    return np.require(array, dtype=array.dtype.newbyteorder("="), requirements=["C", "A"])


def _in_dtype(name: str, array: np.ndarray, dtype: np.dtype, threads: int) -> np.ndarray:
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        raise TypeError(f"{name} must be float32, float64 or integers, got {array.dtype}")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    array = _plain(array)
    check_finite(name, array, dtype, threads)
    return array.astype(dtype, copy=False)
