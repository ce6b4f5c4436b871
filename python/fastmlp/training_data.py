"""The one way in for data: X, y and sample_weight become what the core reads, or an error that names what is wrong."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from . import _core, frames, input_scales, validation
from .model_state import ModelSpec, Standardization

Checked = TypeVar("Checked")


def _quietly(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator: casts may overflow or lose digits, which checks find where it matters, whatever np.seterr says."""

    @functools.wraps(function)
    def quiet(*arguments: Any, **keywords: Any) -> Any:
        with np.errstate(all="ignore"):
            return function(*arguments, **keywords)

    return quiet


class TrainingData(NamedTuple):
    """Checked rows, for one kind of network."""

    core: Any  # the core's data set
    rows: int
    weight: float  # the sum of the sample weights; the number of rows without them
    chosen: np.ndarray | None = None  # int64, (rows,): rows of the core's data set to train on; None: all of them
    column_targets: bool = False  # y has shape (rows, 1)


def training_data(
    network: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    n_threads: int,
    *,
    skips_columns: bool,
    checked: bool = False,
    weight_name: str = "sample_weight",
) -> TrainingData:
    """X, y and sample_weight, checked.

    Parameters
    ----------
    network : Network
    X, y, sample_weight
        As in `Trainer.fit`.
    skips_columns : bool
        Whether to find the columns that are zero in whole micro-batches, which pays in training.
    checked : bool
        The values of X are known to be finite.
    weight_name : str
        Of sample_weight, in messages.
    """
    spec, standardization = network.spec, network.standardization
    if checked and standardization is None:
        X = check_input_array(X, spec.layer_sizes[0])
    else:
        X = check_inputs(spec, X, n_threads, standardization)
    targets = check_y(spec, y, len(X), n_threads, standardization)
    weights = None if sample_weight is None else check_sample_weight(sample_weight, len(X), spec.dtype, weight_name)
    return bind(network, X, y, targets, weights, _core.NonzeroBits(X, n_threads) if skips_columns else None)


def bind(network: Any, X: Any, y: Any, targets: np.ndarray, weights: np.ndarray | None, nonzero: Any) -> TrainingData:
    """Checked arrays as the core's data set; `targets` are y, checked."""
    total = len(X) if weights is None else float(weights.sum(dtype=np.float64))
    is_column = targets.ndim == 2 and targets.shape[1] == 1 and np.ndim(y) == 2
    return TrainingData(network.core.dataset(X, targets, nonzero, weights), len(X), total, None, is_column)


def evaluation_data(network: Any, X: Any, y: Any, sample_weight: Any, n_threads: int) -> TrainingData:
    """Rows to take a mean over."""
    data = check_total_weight("X", training_data(network, X, y, sample_weight, n_threads, skips_columns=False))
    input_scales.warn_of_scale(X, network, trains=False)
    return data


def validation_sets(given: Any) -> dict[str, tuple[Any, Any, Any]]:
    """validation_data as {name: (X, y, sample_weight)}: one set without a name is "val"."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        return {"val": validation.check_triple("validation_data", given)}
    for name in given:
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError(f"the names in validation_data must be identifiers such as 'test', got {name!r}")
    return {name: validation.check_triple(f"validation_data[{name!r}]", value) for name, value in given.items()}


def evaluation_sets(given: Any, X: Any, check: Callable[[Any, Any, Any], Checked]) -> dict[str, Checked]:
    """validation_data by the names that the metrics begin with, each set checked; an error names the set.

    Rows that are scaled unlike X, which is trained on, warn.
    """
    sets = {}
    for name, triple in validation_sets(given).items():
        try:
            sets[name] = check(*triple)
            input_scales.warn_of_other_rows(X, triple[0], "validation_data")
        except Exception as error:
            error.add_note(f"validation_data[{name!r}]" if isinstance(given, Mapping) else "validation_data")
            raise
    return sets


def check_total_weight(name: str, data: TrainingData) -> TrainingData:
    """For means: ValueError unless the sample weights have a positive sum."""
    if not data.weight > 0:
        raise ValueError(f"the sample weights of {name} must have a positive sum, got {data.weight:g}")
    return data


def check_y(
    spec: ModelSpec,
    y: Any,
    rows: int,
    n_threads: int,
    standardization: Standardization | None = None,
    dtype: Any = None,
) -> np.ndarray:
    """Labels or targets, whichever the loss compares with; targets in the network's dtype, or in `dtype`."""
    loss, given = spec.loss_row, y
    if loss.targets is None:
        return check_labels(y, rows, spec.layer_sizes[-1], loss.name)
    repeated = max(1, len(spec.levels))
    standardizes = standardization is not None and standardization.target_std is not None
    dtype = np.dtype(np.float64) if standardizes else dtype or spec.dtype
    y = check_targets(y, rows, spec.layer_sizes[-1] // repeated, dtype, n_threads)
    if repeated > 1:
        y = np.repeat(y, repeated, axis=1)
    if standardizes:
        with np.errstate(all="ignore"):
            y = _in_dtype("standardized y", standardization.of_targets(y), spec.dtype, n_threads)
    if math.isfinite(loss.targets.minimum):
        check_range("y", y[:, 0] if np.ndim(given) == 1 else y, loss.targets, loss.name)
    return y


@_quietly
def check_sample_weight(sample_weight: Any, rows: int, dtype: np.dtype, name: str = "sample_weight") -> np.ndarray:
    """sample_weight in `dtype`, shape (rows,), if it is >= 0, and it, its sums and their inverses are normal numbers."""
    weights = real_array(name, sample_weight)
    if weights.shape != (rows,):
        raise ValueError(f"{name} must have shape ({rows},), one weight per row of X, got {weights.shape}")
    minimum = float(np.finfo(dtype).tiny)
    maximum = 1 / minimum / rows
    values = weights.astype(np.float64, copy=False)
    bad = ~((values == 0) | ((values >= minimum) & (values <= maximum)))  # NaN, too
    if bad.any():
        row = int(bad.argmax())
        allowed = ">= 0" if values[row] < 0 else f"0 or in [{minimum:.3g}, {maximum:.3g}] for {dtype}"
        raise ValueError(f"{name} must be {allowed}, got {weights[row]} in row {row}")
    return plain(weights, dtype)


def check_inputs(
    spec: ModelSpec, X: Any, n_threads: int, standardization: Standardization | None = None
) -> np.ndarray | _core.CsrInputs:
    """X as `check_input_array` returns it; each value, as read, scaled and standardized, a finite number of the dtype."""
    X, dtype, scale = check_input_array(X, spec.layer_sizes[0]), spec.dtype, spec.input_scale
    values = X.values if isinstance(X, _core.CsrInputs) else X
    position_of = None if values is X else X.position
    if values.dtype != np.uint8:
        check_finite("X", values, dtype, n_threads, position_of)
    if abs(scale) > 1 and values.dtype != np.uint8:
        roundings = 4 * float(np.finfo(dtype).eps)  # of the scale, the value, their product, and this quotient
        maximum = float(np.finfo(dtype).max) / abs(scale) * (1 - roundings)
        index = _core.first_not_finite(values, maximum, n_threads)
        if index >= 0:
            raise ValueError(
                f"X times input_scale={scale:g} must be within the range of {dtype}, which ends at X = {maximum:g}, got "
                + _value_at(values, index, position_of)
            )
    if standardization is not None:
        check_standardized(X, dtype, n_threads, standardization)
    return X


def check_standardized(X: Any, dtype: np.dtype, n_threads: int, standardization: Standardization) -> None:
    """Raises ValueError if a value leaves the range of the dtype when it is standardized."""
    mean, std = standardization.input_mean, standardization.input_std
    with np.errstate(all="ignore"):
        roundings = 8 * float(np.finfo(dtype).eps)
        limits = float(np.finfo(dtype).max) * (1 - roundings) * std - np.abs(mean)  # of the values of each column
    values, lowest = X.values if isinstance(X, _core.CsrInputs) else X, float(limits.min())
    if values.dtype == np.uint8:
        if lowest >= 255:
            return
    elif lowest > 0:
        if _core.first_not_finite(values, min(lowest, float(np.finfo(values.dtype).max)), n_threads) < 0:
            return
    bad = np.abs(values) > (limits if values is X else limits[X.positions()[1]])
    if bad.any():
        index = int(bad.argmax())
        row, column = np.unravel_index(index, X.shape) if values is X else X.position(index)
        raise ValueError(
            f"X must stay within the range of {dtype} when it is standardized, got {values.flat[index]} at [{row}, {column}],"
            f" where the mean is {mean[column]:g} and the standard deviation {std[column]:g}"
        )


def check_input_array(X: Any, features: int) -> np.ndarray | _core.CsrInputs:
    """X, shape (samples >= 1, features), as an array or CSR inputs of uint8, float32 or float64 that the core reads."""
    sparse = hasattr(X, "tocsr")
    if sparse:
        X = X.tocsr() if len(X.shape) == 2 else X
    elif not isinstance(X, _core.CsrInputs):  # one that comes back from an earlier check
        X = real_array("X", X)
    if len(X.shape) != 2 or X.shape[1] != features:
        raise ValueError(f"X must have shape (samples, {features}), got {X.shape}{_hint_of_shape(X.shape, features)}")
    if X.shape[0] == 0:
        raise ValueError(f"X must have at least one row, got shape {X.shape}")
    if isinstance(X, _core.CsrInputs):
        return X
    return _csr_inputs(X) if sparse else _input_values(X)


def _hint_of_shape(shape: tuple[int, ...], features: int) -> str:
    if shape == (features,):
        return ": pass X[None] for one row"
    return ": pass X.reshape(len(X), -1)" if len(shape) > 2 and math.prod(shape[1:]) == features else ""


def _input_values(X: np.ndarray) -> np.ndarray:
    """The same values as a C-contiguous, aligned, native array of uint8, float32 or float64."""
    if X.dtype.kind in "biu" and X.dtype != np.uint8:
        X = X.astype(np.float64)
    elif X.dtype.kind == "f" and X.dtype.itemsize == 2:
        X = X.astype(np.float32)
    elif X.dtype.kind == "f" and X.dtype.itemsize > 8:
        raise TypeError(f"X must be float32, float64 or integers, got {X.dtype}")
    return plain(X)


def _csr_inputs(X: Any) -> _core.CsrInputs:
    """A CSR matrix whose rows name no column twice; X itself stays as it is."""
    inputs = _checked_csr(X)
    if not inputs.ascending:
        X = _quietly(_without_duplicates)(X)
        inputs = _checked_csr(X)
        if not inputs.ascending:
            raise ValueError("X was changed by another thread while it was read")
    return inputs


def _without_duplicates(X: Any) -> Any:
    X = X.copy()
    X.sum_duplicates()
    return X


def _checked_csr(X: Any) -> _core.CsrInputs:
    """Its values in a type that the core reads; its indices the core copies, and checks again in its copy."""
    rows, columns = X.shape
    values, indices, indptr = real_array("X", X.data), _indices("indices", X), _indices("indptr", X)
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
        plain(indices.astype(np.int32, copy=False)),
        plain(indptr.astype(np.int64, copy=False)),
        columns,
    )


def _indices(name: str, X: Any) -> np.ndarray:
    array = np.asarray(getattr(X, name))
    if array.dtype.kind not in "iu":
        raise TypeError(f"X.{name} must be integers, got {array.dtype}")
    return array


def check_labels(y: Any, rows: int, classes: int, loss: str) -> np.ndarray:
    """y as int64, shape (rows,), each in [0, classes)."""
    y = as_array("y", y)
    one_hot = y.shape == (rows, classes) and classes > 1
    if y.dtype.kind not in "biu":
        such = f" such as {y.ravel()[0]}" if y.size else ""
        hint = {"f": ": pass y.astype(int)", "U": frames.OF_TEXT, "O": frames.OF_TEXT}.get(y.dtype.kind, "")
        hint = ": pass y.argmax(axis=1) of one-hot labels" if one_hot else hint
        if y.dtype.kind == "f" and (y != np.floor(y)).any():
            hint = ": for real targets pass loss='squared_error' to Network"
        raise TypeError(f"y must be integer class labels for {loss}, got {y.dtype}{such}{hint}")
    if y.shape != (rows,):
        hint = ": pass y.ravel()" if y.shape == (rows, 1) else ": pass y.argmax(axis=1)" if one_hot else ""
        raise ValueError(f"y must have shape ({rows},), one label per row of X, got {y.shape}{hint}")
    bad = (y < 0) | (y >= classes) if y.dtype.kind == "i" else y >= classes
    if bad.any():
        row = int(bad.argmax())
        hint = ""
        if classes == 1:
            hint = ": cross_entropy needs an output for each class; for two classes and one output use binary_cross_entropy"
        elif y.min() == 1 and y.max() == classes:
            hint = ": labels begin with 0, pass y - 1"
        raise ValueError(f"labels must lie in [0, {classes}), got {y[row]} in row {row} of y{hint}")
    return plain(y.astype(np.int64))


def check_targets(y: Any, rows: int, outputs: int, dtype: np.dtype, n_threads: int) -> np.ndarray:
    """y in `dtype`, shape (rows, outputs); (rows,) is the same as (rows, 1)."""
    given = real_array("y", y)
    y = given[:, None] if given.ndim == 1 and outputs == 1 else given
    if y.shape != (rows, outputs):
        also = f" or ({rows},)" if outputs == 1 else ""
        raise ValueError(f"y must have shape ({rows}, {outputs}){also}, one target per row of X, got {given.shape}")
    return _in_dtype("y", given, dtype, n_threads).reshape(y.shape)


def check_range(name: str, array: np.ndarray, interval: Any, loss: str) -> None:
    """Raises ValueError if a value lies outside the interval of the loss."""
    bad = (array < interval.minimum) | (array > interval.maximum) | (interval.open & (array == interval.minimum))
    if bad.any():
        place = np.unravel_index(int(bad.argmax()), array.shape)
        position = ", ".join(map(str, place))
        raise ValueError(f"{name} must be {interval} for {loss}, got {array[place]} at [{position}]")


def check_parameters(
    name: str, given: Any, shapes: Sequence[tuple[int, ...]], dtype: np.dtype, n_threads: int
) -> list[np.ndarray]:
    if isinstance(given, str) or not hasattr(given, "__len__"):
        raise TypeError(f"{name} must be a list of {len(shapes)} arrays, got {given!r}")
    if len(given) != len(shapes):
        raise ValueError(f"{name} must be a list of {len(shapes)} arrays, got {len(given)}")
    arrays = []
    for i, (array, shape) in enumerate(zip(given, shapes)):
        arrays.append(check_parameter(f"{name}[{i}]", array, shape, dtype, n_threads))
    return arrays


def check_parameter(name: str, array: Any, shape: tuple[int, ...], dtype: np.dtype, n_threads: int) -> np.ndarray:
    array = real_array(name, array)
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    if array.dtype == dtype and array.flags.carray:  # needs no cast, whose error state costs microseconds
        check_finite(name, array, dtype, n_threads)
        return array
    return _in_dtype(name, array, dtype, n_threads)


def check_finite(
    name: str,
    array: np.ndarray,
    dtype: np.dtype,
    n_threads: int,
    position_of: Callable[[int], tuple[int, ...]] | None = None,
) -> None:
    """Raises ValueError if a value of a float array is NaN, infinite or beyond the range of dtype."""
    index = _core.first_not_finite(array, float(np.finfo(dtype).max), n_threads)
    if index >= 0:
        value, found = array.flat[index], _value_at(array, index, position_of)
        if np.isfinite(value) and abs(value) <= np.finfo(dtype).max:
            raise ValueError(f"{name} was changed by another thread while it was checked, got {found}")
        expected = "finite" if not np.isfinite(value) else f"within the range of {dtype}"
        raise ValueError(f"{name} must be {expected}, got {found}")


def _value_at(array: np.ndarray, index: int, position_of: Callable[[int], tuple[int, ...]] | None) -> str:
    place = position_of(index) if position_of else np.unravel_index(index, array.shape)
    return f"{array.flat[index]} at [{', '.join(map(str, place))}]"


def as_array(name: str, values: Any) -> np.ndarray:
    if type(values) is np.ndarray:
        return values
    if hasattr(values, "tocsr"):
        raise TypeError(f"{name} must be a dense array, got a sparse {type(values).__name__}: pass its toarray()")
    check_unmasked(name, values)
    if values is None:
        raise TypeError(f"{name} must be an array, got None")
    if frames.has_categories(values):
        return frames.of_frame(name, values)
    try:
        array = np.asarray(values)
    except ValueError as error:
        if not isinstance(values, (list, tuple)):
            raise TypeError(
                f"{name} must be an array, got {type(values).__name__}, which NumPy cannot convert; pass the arrays in it"
            ) from error
        raise ValueError(
            f"{name} must be an array of rows, got a {type(values).__name__} of {len(values)} entries of different shapes;"
            " batches are for fastmlp.streaming.Stream(batches)"
        ) from error
    if array.dtype.kind == "O" and hasattr(values, "columns"):
        return frames.of_frame(name, values)
    return frames.of_column(name, values) if array.dtype.kind == "O" and hasattr(values, "dtype") else array


def check_unmasked(name: str, values: Any) -> None:
    parts = values if isinstance(values, (list, tuple)) else [values]  # NumPy drops the masks of a list's arrays
    masked = sum(np.ma.count_masked(part) for part in parts if isinstance(part, np.ma.MaskedArray))
    if masked:
        raise ValueError(f"{name} must have no masked entries, got {masked} of them")


def real_array(name: str, values: Any) -> np.ndarray:
    array = as_array(name, values)
    if array.dtype.kind not in "biuf":
        loader = ", or fastmlp.streaming.Stream(chunks)" if array.ndim == 0 and hasattr(values, "__iter__") else ""
        raise TypeError(f"{name} must be an array of real numbers{loader}, got dtype {array.dtype}")
    return array


def plain(values: Any, dtype: np.dtype | None = None) -> np.ndarray:
    """The same values as the core reads them: C-contiguous, aligned, in native byte order. A copy only where needed."""
    array = np.asarray(values, dtype)
    flags = array.flags
    if flags.c_contiguous and flags.aligned and array.dtype.isnative:
        return array
    return np.require(array, dtype=array.dtype.newbyteorder("="), requirements=["C", "A"])


@_quietly
def _in_dtype(name: str, array: np.ndarray, dtype: np.dtype, n_threads: int) -> np.ndarray:
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        raise TypeError(f"{name} must be float32, float64 or integers, got {array.dtype}")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    array = plain(array)
    check_finite(name, array, dtype, n_threads)
    return array.astype(dtype, copy=False)
