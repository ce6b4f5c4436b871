"""Predictions with products in bfloat16: the oracle's bits, for every team, and what is rejected."""

import functools

import numpy as np
import pytest
import reference_bfloat16 as oracle
from fastmlp import Network
from problems import assert_equal_bits
from reference_bfloat16 import multiply_adds
from scipy import sparse
from teams import TEAMS, team_of

SHAPES = [(6, 5, 3), (7, 9, 1), (33, 17, 18, 2), (40, 64, 31, 10), (20, 30, 300), (40, 17), (11, 40, 16)]


def network_of(shape, **settings):
    net = Network(shape, loss="squared_error", seed=1, **settings)
    rng = np.random.default_rng(2)
    net.set_parameters(net.weights, [rng.normal(size=b.shape).astype(np.float32) / 8 for b in net.biases])
    return net


def exact_inputs(rows, columns):
    """With few digits, so that a float32 layer of these has no rounding errors of its own."""
    return np.random.default_rng(rows).integers(-64, 65, (rows, columns)).astype(np.float32) / 32


def outputs_of(net, X, precision, chain):
    """Of a relu network; an output layer of up to 16 outputs is computed in float32, from rounded units."""
    last = len(net.weights) - 1
    for i, (w, b) in enumerate(zip(net.weights, net.biases)):
        is_float = i == last and net.layer_sizes[-1] <= 16
        product = chain if is_float else functools.partial(oracle.matmul, precision=precision)
        z = product(X, w) + b
        X = oracle.rounded(np.maximum(z, 0)) if i < last else z
    return X


@pytest.mark.parametrize("rows", [1, 2, 29, 200])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "-".join(map(str, shape)))
def test_outputs_have_the_oracles_bits(arithmetic, precision, isa, shape, rows):
    net, X = network_of(shape), exact_inputs(rows, shape[0])
    found = net.forward(X, n_threads=1, precision=precision)
    np.testing.assert_array_equal(found, outputs_of(net, X, precision, multiply_adds(is_fused=isa != "generic")))


def test_all_teams_and_types_of_inputs_give_equal_bits(arithmetic, precision):
    net = network_of((45, 40, 33, 20), activation="tanh", input_scale=1 / 64)
    X = np.random.default_rng(0).integers(0, 256, (301, 45), dtype=np.uint8)
    one = net.forward(X, n_threads=1, precision=precision)
    for n_threads in TEAMS:
        with team_of(n_threads):
            assert_equal_bits([net.forward(X, n_threads=n_threads, precision=precision)], [one])
    for same in (X.astype(np.float32), X.astype(np.float64)):
        assert_equal_bits([net.forward(same, precision=precision)], [one])
    parts = [net.forward(X[i : i + 1], precision=precision) for i in range(3)]
    assert_equal_bits([np.concatenate(parts)], [one[:3]])


def test_the_precision_changes_the_outputs_by_its_digits(precision):
    net = Network((45, 40, 33, 5), "tanh", seed=1)
    X = np.random.default_rng(0).normal(size=(50, 45)).astype(np.float32)
    exact, rounded = net.forward(X), net.forward(X, precision=precision)
    assert (exact != rounded).any()
    np.testing.assert_allclose(rounded, exact, atol=0.02)
    assert_equal_bits([net.predict(X, precision=precision)], [rounded.argmax(1)])


def test_outputs_keep_the_units_of_targets(precision):
    rng = np.random.default_rng(0)
    X, y = 5 + 3 * rng.normal(size=(50, 4)), 1000 + 100 * rng.normal(size=50)
    net = Network((4, 30, 1), loss="squared_error", standardize=True, seed=1)
    net.learn_standardization(X, y)
    np.testing.assert_allclose(net.forward(X, precision=precision), net.forward(X), atol=5)


def test_what_is_not_supported_is_rejected(precision):
    X = np.ones((3, 4), np.float32)
    with pytest.raises(ValueError, match=f"precision '{precision}' is for float32 networks, got float64"):
        Network((4, 2), dtype="float64").forward(X, precision=precision)
    with pytest.raises(TypeError, match=f"X must be an array for precision='{precision}', got a sparse matrix"):
        Network((4, 2)).forward(sparse.csr_matrix(X), precision=precision)
    with pytest.raises(ValueError, match="precision must be one of"):
        Network((4, 2)).forward(X, precision="half")
    with pytest.raises(ValueError, match="X must be finite"):
        Network((4, 20)).forward(np.full((3, 4), np.nan, np.float32), precision=precision)
