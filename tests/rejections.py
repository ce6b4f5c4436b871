"""Small networks and data, and how data are rejected by every function that takes them."""

import numpy as np
import pytest
from fastmlp import Network, Trainer

REJECTED = (ValueError, TypeError)


def classifier(dtype="float32"):
    return Network((5, 7, 3), dtype=dtype, seed=1)


def regressor(outputs=2, dtype="float64"):
    return Network((5, 7, outputs), loss="squared_error", dtype=dtype, seed=1)


def data(rows=20):
    rng = np.random.default_rng(0)
    return rng.normal(size=(rows, 5)), rng.integers(0, 3, rows), rng.normal(size=(rows, 2))


def assert_rejected(net, X, y, match, error=ValueError):
    """By every function that takes data. The network is unchanged and still usable."""
    before = net.weights + net.biases
    calls = [net.loss_and_gradients, net.evaluate, lambda X, y: Trainer(net, batch_size=4).fit(X, y, epochs=1)]
    for call in calls:
        with pytest.raises(error, match=match):
            call(X, y)
    for p, expected in zip(net.weights + net.biases, before, strict=True):
        np.testing.assert_array_equal(p, expected)


def assert_inputs_rejected(net, X, y, match, error=ValueError):
    assert_rejected(net, X, y, match, error)
    for call in (net.forward, net.predict):
        with pytest.raises(error, match=match):
            call(X)
