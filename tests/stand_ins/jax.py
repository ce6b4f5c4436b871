"""A stand-in for JAX in NumPy: gradients of dense nets with cross-entropy, as far as the experiments use them.

It shows that code which uses JAX runs and computes the right numbers. That JAX itself has these names and does the
same is shown where JAX is installed.
"""

from types import SimpleNamespace

import numpy as np


class Traced:
    """An array in a function that `grad` differentiates. `pull(gradient)` passes a gradient on to its operands."""

    __array_ufunc__ = None  # NumPy leaves array @ traced to __rmatmul__

    def __init__(self, array, pull=None):
        self.array, self.pull, self.gradient = array, pull or self._add, 0

    def _add(self, gradient):
        self.gradient = self.gradient + gradient

    def __matmul__(self, w):
        def pull(gradient):
            w.pull(self.array.T @ gradient)
            self.pull(gradient @ w.array.T)

        return Traced(self.array @ w.array, pull)

    def __rmatmul__(self, x):
        return Traced(x) @ self

    def __add__(self, b):
        def pull(gradient):
            self.pull(gradient)
            b.pull(gradient.sum(axis=0))

        return Traced(self.array + b.array, pull)

    def astype(self, dtype):
        return self

    def __neg__(self):
        return Traced(-self.array, lambda gradient: self.pull(-gradient))

    def mean(self):
        share = np.full_like(self.array, 1 / self.array.size)
        return Traced(self.array.mean(), lambda gradient: self.pull(gradient * share))


def _relu(x):
    return Traced(np.maximum(x.array, 0), lambda gradient: x.pull(gradient * (x.array > 0)))


def _log_softmax(x):
    shifted = x.array - x.array.max(axis=-1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return Traced(logs, lambda gradient: x.pull(gradient - np.exp(logs) * gradient.sum(axis=-1, keepdims=True)))


def _take_along_axis(x, indices, axis):
    def pull(gradient):
        whole = np.zeros_like(x.array)
        np.put_along_axis(whole, indices, gradient, axis)
        x.pull(whole)

    return Traced(np.take_along_axis(x.array, indices, axis), pull)


def grad(function):
    """The gradient with respect to the first argument, a list of tuples of arrays.

    Products in bfloat16 stay float32's, which differ by the digits of bfloat16.
    """

    def gradient(parameters, *arguments):
        leaves = [tuple(map(Traced, layer)) for layer in parameters]
        function(leaves, *arguments).pull(1)
        return [tuple(leaf.gradient for leaf in layer) for layer in leaves]

    return gradient


def _scan(step, carry, rows):
    for row in rows:
        carry, _ = step(carry, row)
    return carry, None


def _tree_map(function, *trees):
    return [tuple(map(function, *layers)) for layers in zip(*trees)]


def jit(function, donate_argnums):
    return function


def block_until_ready(tree):
    return tree


lax = SimpleNamespace(scan=_scan)
tree = SimpleNamespace(map=_tree_map)
nn = SimpleNamespace(relu=_relu, log_softmax=_log_softmax)
numpy = SimpleNamespace(
    asarray=np.asarray,
    array=np.array,
    bfloat16=np.float32,
    float32=np.float32,
    arange=np.arange,
    zeros=lambda shape: np.zeros(shape, np.float32),
    take_along_axis=_take_along_axis,
)


class random:
    """Keys are seeds."""

    key = int

    @staticmethod
    def split(key):
        return 2 * key + 1, 2 * key + 2

    @staticmethod
    def permutation(key, count):
        return np.random.default_rng(key).permutation(count)
