"""The operations of a network one by one, on plain arrays: for tests and for learning.

All take and return C-contiguous float32 or float64 arrays with two dimensions; other layouts are copied once, mixed or
other dtypes raise a TypeError, other shapes a ValueError. A loss is the mean over the rows, and its gradient that of
the mean.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from . import _core, training_data, validation
from .activations import ACTIVATIONS
from .threads import default_thread_count


class LossAndGradient(NamedTuple):
    """What the losses return: the mean over the rows, and its gradient with the shape of the first argument."""

    loss: float
    gradient: np.ndarray


def matmul(
    a: Any, b: Any, transpose_a: bool = False, transpose_b: bool = False, n_threads: int | None = None
) -> np.ndarray:
    """The matrix product op(a) @ op(b), where op may transpose; raises a ValueError if the inner dimensions differ.

    Parameters
    ----------
    a : array, shape (m, k), or (k, m) if transpose_a
    b : array, shape (k, n), or (n, k) if transpose_b
    transpose_a, transpose_b : bool
    n_threads : int >= 1, optional

    Returns
    -------
    array, shape (m, n)
        Each element is one chain of multiply-adds over k, for every number of threads.
    """
    a, b = _matrices(a=a, b=b)
    transpose_a = validation.check_flag("transpose_a", transpose_a)
    transpose_b = validation.check_flag("transpose_b", transpose_b)
    inner_a, inner_b = a.shape[0 if transpose_a else 1], b.shape[1 if transpose_b else 0]
    if inner_a != inner_b:
        shapes = f"shapes {a.shape} and {b.shape}"
        raise ValueError(f"the inner dimensions of a and b must agree, got {inner_a} and {inner_b} ({shapes})")
    return _core.matmul(a, b, transpose_a, transpose_b, validation.check_threads(n_threads) or default_thread_count())


def activate(z: Any, activation: str) -> np.ndarray:
    """activation(z), element by element; {"relu", "tanh", "logistic", "identity"}."""
    validation.check_choice("activation", activation, ACTIVATIONS)
    (z,) = _matrices(z=z)
    return _core.activate(z, getattr(_core.Activation, activation))


def relu(z: Any) -> np.ndarray:
    """max(z, 0)."""
    return activate(z, "relu")


def tanh(z: Any) -> np.ndarray:
    """The hyperbolic tangent."""
    return activate(z, "tanh")


def logistic(z: Any) -> np.ndarray:
    """1 / (1 + exp(-z))."""
    return activate(z, "logistic")


def activation_gradient(output: Any, grad_output: Any, activation: str) -> np.ndarray:
    """The gradient with respect to z, from output = activation(z) and the gradient with respect to it.

    Both arrays have the same shape. The derivative is written in terms of the output, as in backpropagation; relu's is
    0 at 0.
    """
    validation.check_choice("activation", activation, ACTIVATIONS)
    output, grad_output = _matrices_of_one_shape(output=output, grad_output=grad_output)
    return _core.activation_gradient(output, grad_output, getattr(_core.Activation, activation))


def softmax(z: Any) -> np.ndarray:
    """exp(z) / sum of exp(z) over each row, without overflow."""
    (z,) = _matrices(z=z)
    return _core.softmax(z)


def softmax_cross_entropy(z: Any, labels: Any) -> LossAndGradient:
    """The mean over rows of -log softmax(z)[label], and its gradient with respect to z.

    Parameters
    ----------
    z : array, shape (rows, classes), both >= 1
    labels : integers in [0, classes), shape (rows,)
    """
    (z,) = _matrices(z=z)
    _check_not_empty("z", z)
    labels = training_data.check_labels(labels, len(z), z.shape[1], "cross_entropy")
    return LossAndGradient(*_core.softmax_cross_entropy(z, labels))


def squared_error(prediction: Any, target: Any) -> LossAndGradient:
    """The mean over rows of 1/2 * sum over outputs of (prediction - target)^2, and its gradient.

    Parameters
    ----------
    prediction, target : array, shape (rows, outputs), both >= 1
    """
    prediction, target = _matrices_of_one_shape(prediction=prediction, target=target)
    _check_not_empty("prediction", prediction)
    return LossAndGradient(*_core.squared_error(prediction, target))


def _matrices(**arguments: Any) -> list[np.ndarray]:
    arrays = {name: np.asarray(array) for name, array in arguments.items()}
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
    (name, other_name), (array, other) = arguments, _matrices(**arguments)
    if other.shape != array.shape:
        raise ValueError(f"{other_name} must have the shape of {name}, {array.shape}, got {other.shape}")
    return [array, other]


def _check_not_empty(name: str, array: np.ndarray) -> None:
    if array.size == 0:
        raise ValueError(f"{name} must have at least one row and one column, got shape {array.shape}")
