"""What tests of training share: small problems, optimizers beside their oracles, and how results are compared."""

import inspect
import os

import fastmlp
import numpy as np
import pytest
import reference
from fastmlp import Network

without_sanitizer = pytest.mark.skipif(
    "LD_PRELOAD" in os.environ, reason="a sanitizer has memory, locks and code of its own"
)

DTYPES = ["float32", "float64"]


LAYER_SIZES = (11, 17, 9, 4)
THREADED = (64, 300, 50, 10)  # wide enough that each thread has panels of its own


def _with_rate(settings, oracle):
    rate = 0.02 if settings["optimizer"] in ("adam", "nadam", "rmsprop") else 0.1
    return {**settings, "learning_rate": rate}, lambda: oracle(rate)


OPTIMIZERS = {name: _with_rate(*row) for name, row in reference.OPTIMIZERS.items()}


# Every setting of Trainer: what it needs beside it, and a value that is not its default and changes what is trained.
# n_threads alone changes no bit.
TRAINER_SETTINGS = {
    "optimizer": ({}, "adam"),
    "learning_rate": ({}, 0.07),
    "batch_size": ({}, 7),
    "momentum": ({}, 0.6),
    "nesterov": ({"momentum": 0.6}, True),
    "rho": ({"optimizer": "rmsprop"}, 0.7),
    "momentum_decay": ({"optimizer": "nadam"}, 2.0),
    "beta_1": ({"optimizer": "adam"}, 0.7),
    "beta_2": ({"optimizer": "adam"}, 0.9),
    "epsilon": ({"optimizer": "adam"}, 1e-2),
    "weight_decay": ({"optimizer": "adamw"}, 0.5),
    "l1": ({}, 0.01),
    "l2": ({}, 0.05),
    "proximal": ({"l1": 0.01}, True),
    "accumulate": ({}, 3),
    "max_gradient_norm": ({}, 0.01),
    "dropout": ({}, 0.3),
    "input_dropout": ({}, 0.3),
    "schedule": ({}, fastmlp.schedules.cosine()),
    "weight_decay_schedule": ({"optimizer": "adamw", "weight_decay": 0.5}, fastmlp.schedules.exponential(0.1)),
    "dropout_schedule": ({"dropout": 0.3}, fastmlp.schedules.flat_cos()),
    "average_decay": ({}, 0.5),
    "learning_rate_factors": ({}, (0.5, 2.0)),
    "precision": ({}, "bfloat16"),
    "shuffle": ({}, False),
    "seed": ({}, 7),
    "n_threads": ({}, 1),
}


def signature_of(function):
    return {
        name: parameter
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }


def problem(rows, loss="cross_entropy", dtype="float64", layer_sizes=LAYER_SIZES, seed=0):
    """Targets that depend on the inputs, so that there is something to learn."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, layer_sizes[0]))
    values = np.sin(X @ rng.normal(size=(layer_sizes[0], layer_sizes[-1])))
    values += 0.1 * rng.normal(size=values.shape)
    return X.astype(dtype), reference.targets_of(loss, values.astype(dtype))


def parameters(net):
    return [*net.weights, *net.biases]


def assert_equal_bits(params, expected):
    for p, q in zip(params, expected, strict=True):
        np.testing.assert_array_equal(p, q)


def assert_close(params, expected, tolerance):
    """Within the tolerance times the array's maximum, if that is above 1: small values are sums of such large terms."""
    for p, q in zip(params, expected, strict=True):
        np.testing.assert_allclose(p, q, rtol=0, atol=tolerance * np.abs(q).max(initial=1))


def row_orders(seed, rows, epochs):
    rng = np.random.default_rng(seed)
    return [rng.permutation(rows) for _ in range(epochs)]


def activations_of(net):
    """For the oracle: of each hidden layer, with its settings; any for a linear network."""
    hidden = net.spec.hidden_activations
    return [reference.with_settings(reference.ACTIVATIONS, row.name, **settings) for row, settings in hidden] or "relu"


def assert_exported(net, X, outputs, classes=None):
    """What another program made of X in the net's dtype is `forward` and `predict` but for rounding."""
    expected, eps = net.forward(X), np.finfo(net.dtype).eps
    scaled = np.asarray(X, float) * net.input_scale
    weights, biases = ([array.astype(float) for array in arrays] for arrays in (net.weights, net.biases))
    bound = reference.rounding_bound(weights, biases, scaled, activations_of(net), net.loss, eps)
    assert outputs.dtype == net.dtype and outputs.shape == expected.shape
    assert (np.abs(outputs.astype(float) - expected) <= bound).all()
    if net.loss == "cross_entropy":
        np.testing.assert_array_equal(classes, outputs.argmax(axis=1))
        largest = np.sort(expected.astype(float), axis=1)
        clear = largest[:, -1] - largest[:, :-1].max(axis=1, initial=-1) > 2 * bound.max(axis=1)
    elif net.loss == "binary_cross_entropy":
        np.testing.assert_array_equal(classes, outputs > 0.5)
        clear = np.abs(expected - 0.5) > bound
    else:
        return
    assert clear.mean() > 0.5
    np.testing.assert_array_equal(classes[clear], net.predict(X).reshape(classes.shape)[clear])


def exported_network(activation, loss, dtype, layer_sizes=(23, 17, 31, 12, 5), seed=3, input_scale=0.3):
    """A network whose biases count, too."""
    net, rng = (
        Network(layer_sizes, activation, loss, dtype, seed=seed, input_scale=input_scale),
        np.random.default_rng(5),
    )
    net.set_parameters(net.weights, [rng.normal(0, 0.3, b.shape) for b in net.biases])
    return net


def overflowing(activation, dtype):
    """A network whose only hidden unit gets infinite sums from some of these inputs."""
    net, largest = Network((1, 1, 1), activation, "squared_error", dtype), np.finfo(dtype).max
    net.set_parameters([np.full((1, 1), 10), np.full((1, 1), 0.5)], [np.zeros(1)] * 2)
    return net, np.array([[-largest], [-largest / 20], [-1e9], [-150], [1], [largest / 20], [largest]], dtype)


def with_a_huge_target(y, row):
    """The same targets of a regression, but that the loss of this row is not finite in float32."""
    y = y.copy()
    y[row] = 1e30
    return y
