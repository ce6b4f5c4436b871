"""The operations of a network one by one, on plain arrays: for tests and for learning.

All take and return C-contiguous float32 or float64 arrays with two dimensions; other layouts are copied once, mixed or
other dtypes raise a TypeError, other shapes a ValueError. A loss is the mean over the rows, and its gradient that of
the mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import _core, activations, losses, training_data, validation
from .threads import default_thread_count


class LossAndGradient(NamedTuple):
    """What the losses return: the mean over the rows, and its gradient with the shape of the first argument."""

    loss: float
    gradient: np.ndarray


def matmul(
    a: Any,
    b: Any,
    transpose_a: bool = False,
    transpose_b: bool = False,
    n_threads: int | None = None,
    precision: str | None = None,
) -> np.ndarray:
    """The matrix product op(a) @ op(b), where op may transpose; raises a ValueError if the inner dimensions differ.

    Parameters
    ----------
    a : array, shape (m, k), or (k, m) if transpose_a
    b : array, shape (k, n), or (n, k) if transpose_b
    transpose_a, transpose_b : bool
    n_threads : int >= 1, optional
    precision : {"bfloat16", "bfloat16_amx"}, optional
        Of the factors, which must be float32 arrays then: they are rounded to bfloat16, which has the exponent of float32
        and 8 significant bits, and their products are added in float32. The two add them in the order of AVX512_BF16 or of
        AMX. None: that of the arrays.

    Returns
    -------
    array, shape (m, n)
        Each element is one chain of multiply-adds over k, for every number of threads. On x86, numbers that are denormal
        (nonzero, but smaller than ``numpy.finfo(dtype).tiny``) count as zero. With bfloat16 the chain takes the
        second of each two elements first; with bfloat16_amx two chains of each 32 elements, the even ones and the odd
        ones, are added to the sum so far. Denormal sums become zero. So both have the same bits on every processor,
        whether it multiplies bfloat16 itself (`show_config`) or not.
    """
    a, b = _matrices(a=a, b=b)
    transpose_a = validation.check_flag("transpose_a", transpose_a)
    transpose_b = validation.check_flag("transpose_b", transpose_b)
    inner_a, inner_b = a.shape[0 if transpose_a else 1], b.shape[1 if transpose_b else 0]
    if inner_a != inner_b:
        shapes = f"shapes {a.shape} and {b.shape}"
        raise ValueError(f"the inner dimensions of a and b must agree, got {inner_a} and {inner_b} ({shapes})")
    n_threads = validation.check_threads(n_threads) or default_thread_count()
    if precision is None:
        return _core.matmul(a, b, transpose_a, transpose_b, n_threads)
    validation.check_precision(precision, "arrays", a.dtype)
    order = getattr(_core.PairOrder, precision)
    return _core.matmul_bfloat16(a, b, transpose_a, transpose_b, order, n_threads)


def activate(z: Any, activation: str, settings: Mapping[str, float] | None = None) -> np.ndarray:
    """activation(z), element by element; activation and its settings as in `Network`."""
    part, numbers = _part("activation", activations.TABLE, activations.ACTIVATIONS, activation, settings)
    (z,) = _matrices(z=z)
    return _core.activate(z, getattr(_core.Activation, part.name), numbers(z.dtype))


def relu(z: Any) -> np.ndarray:
    """max(z, 0)."""
    return activate(z, "relu")


def tanh(z: Any) -> np.ndarray:
    """The hyperbolic tangent."""
    return activate(z, "tanh")


def logistic(z: Any) -> np.ndarray:
    """1 / (1 + exp(-z))."""
    return activate(z, "logistic")


def activation_gradient(
    output: Any, grad_output: Any, activation: str, settings: Mapping[str, float] | None = None, z: Any = None
) -> np.ndarray:
    """The gradient with respect to z, from output = activation(z) and the gradient with respect to it.

    All arrays have the same shape. The derivative is written in terms of the output, as in backpropagation, or of z
    for activations that need it: gelu, gelu_tanh, silu, mish. At 0, relu's is 0, leaky_relu's slope, elu's alpha.
    """
    part, numbers = _part("activation", activations.TABLE, activations.ACTIVATIONS, activation, settings)
    kind = getattr(_core.Activation, part.name)
    if z is None:
        output, grad_output = _matrices_of_one_shape(output=output, grad_output=grad_output)
        return _core.activation_gradient(output, grad_output, kind, numbers(output.dtype))
    output, grad_output, z = _matrices_of_one_shape(output=output, grad_output=grad_output, z=z)
    return _core.activation_gradient(output, grad_output, kind, numbers(output.dtype), z)


def softmax(z: Any) -> np.ndarray:
    """exp(z) / sum of exp(z) over each row, without overflow."""
    (z,) = _matrices(z=z)
    return _core.softmax(z)


def loss_and_gradient(
    loss: str, z: Any, y: Any, settings: Mapping[str, float | Sequence[float]] | None = None
) -> LossAndGradient:
    """A loss of `Network`, the mean over rows, and its gradient with respect to z, before the output's activation.

    Parameters
    ----------
    loss, settings
        As in `Network`.
    z : array, shape (rows, outputs), both >= 1
    y : integers in [0, outputs), shape (rows,), for losses on labels; otherwise array, shape (rows, outputs)
    """
    return _loss(loss, settings, z=z, y=y)


def softmax_cross_entropy(z: Any, labels: Any) -> LossAndGradient:
    """`loss_and_gradient` of "cross_entropy": the mean over rows of -log softmax(z)[label]."""
    return _loss("cross_entropy", None, z=z, labels=labels)


def squared_error(prediction: Any, target: Any) -> LossAndGradient:
    """`loss_and_gradient` of "squared_error": the mean over rows of 1/2 * sum over outputs of (prediction - target)^2."""
    return _loss("squared_error", None, prediction=prediction, target=target)


def _loss(loss: str, settings: Any, **arguments: Any) -> LossAndGradient:
    part, numbers = _part("loss", losses.TABLE, losses.LOSSES, loss, settings)
    (z_name, y_name), (z, y) = arguments, arguments.values()
    z, *_ = matrices = _matrices(**{z_name: z}) if part.has_labels else _matrices_of_one_shape(**arguments)
    if z.size == 0:
        raise ValueError(f"{z_name} must have at least one row and one column, got shape {z.shape}")
    if part.has_labels:
        y = training_data.check_labels(y, *z.shape, part.name)
    else:
        y = matrices[1]
        training_data.check_range(y_name, y, part.targets, part.name)
    return LossAndGradient(*_core.loss(z, y, getattr(_core.Loss, part.name), numbers(z.dtype)))


def _part(name: str, table: Any, choices: Any, value: Any, settings: Any) -> tuple[Any, Any]:
    """The row of a part, and what makes its checked settings for a dtype."""
    part = table[validation.check_choice(name, value, choices)]

    def numbers(dtype: np.dtype) -> list[float]:
        checked = validation.check_part_settings("settings", part, settings, dtype).values()
        return [number for value in checked for number in (value if isinstance(value, tuple) else (value,))]

    return part, numbers


def _matrices(**arguments: Any) -> list[np.ndarray]:
    arrays = {name: training_data.as_array(name, array) for name, array in arguments.items()}
    for name, array in arrays.items():
        if array.dtype not in (np.float32, np.float64):
            raise TypeError(f"{name} must be float32 or float64, got {array.dtype}")
        if array.ndim != 2:
            raise ValueError(f"{name} must have 2 dimensions, got shape {array.shape}")
    if len({array.dtype for array in arrays.values()}) > 1:
        dtypes = ", ".join(f"{name} {array.dtype}" for name, array in arrays.items())
        raise TypeError(f"arrays must share one dtype, got {dtypes}")
    return [
        np.require(array, dtype=array.dtype.newbyteorder("="), requirements=["C", "A"]) for array in arrays.values()
    ]


def _matrices_of_one_shape(**arguments: Any) -> list[np.ndarray]:
    arrays, (first, *_) = _matrices(**arguments), arguments
    for name, array in zip(arguments, arrays):
        if array.shape != arrays[0].shape:
            raise ValueError(f"{name} must have the shape of {first}, {arrays[0].shape}, got {array.shape}")
    return arrays
