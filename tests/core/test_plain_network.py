"""Predictions from weights in NumPy's arrays: the bits of Network, for rows of every kind, and nothing is written."""

import numpy as np
import pytest
import scipy.sparse
from fastmlp import Network, _core, training_data
from fastmlp.activations import ACTIVATIONS, TABLE
from fastmlp.core_calls import core_activations
from fastmlp.losses import LOSSES
from teams import TEAMS, team_of

SIZES = [(5, 3), (70, 9, 5), (33, 100, 17, 2), (20, 1, 1), (150, 300, 40, 4)]
ROWS = [1, 2, 7, 129, 1100]


def network(sizes, activation="relu", loss="squared_error", dtype="float64"):
    net = Network(sizes, activation, loss, dtype, seed=1)
    rng = np.random.default_rng(2)
    net.set_parameters(net.weights, [rng.normal(size=b.shape) for b in net.biases])
    return net


def forward(net, X, begin=0, end=None, n_threads=1, weights=None, biases=None, hidden=None):
    return _core.forward_plain(
        net.weights if weights is None else weights,
        net.biases if biases is None else biases,
        core_activations(net.spec.hidden_activations) if hidden is None else hidden,
        getattr(_core.Loss, net.loss),
        None,
        X,
        begin,
        len(X) if end is None else end,
        n_threads,
    )


def inputs(rows, columns, dtype, sparse):
    rng = np.random.default_rng(rows)
    X = (5 * rng.normal(size=(rows, columns)) * (rng.random((rows, columns)) < 0.3)).astype(dtype)
    return X, training_data.check_input_array(scipy.sparse.csr_matrix(X), columns) if sparse else X


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("kind", ["float32", "float64", "uint8"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_predictions_have_the_bits_of_the_network(isa, sizes, dtype, kind, sparse):
    net = network(sizes, dtype=dtype)
    for rows in ROWS:
        dense, X = inputs(rows, sizes[0], kind, sparse)
        np.testing.assert_array_equal(forward(net, X), net.forward(dense))
        begin = rows // 3
        np.testing.assert_array_equal(forward(net, X, begin, rows), net.forward(dense[begin:]))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("loss", LOSSES)
def test_every_part_predicts(isa, activation, loss):
    net = network((6, 5, 4), activation, loss)
    assert TABLE[activation].name == activation
    for rows in (1, 9):
        X = np.random.default_rng(3).normal(size=(rows, 6))
        np.testing.assert_array_equal(forward(net, X), net.forward(X))


@pytest.mark.parametrize("rows", [1, 40, 1100])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("workers", TEAMS)
def test_no_team_changes_a_bit(workers, kind, sparse, rows):
    net = network((33, 100, 17, 2), "tanh")
    dense, X = inputs(rows, 33, kind, sparse)
    with team_of(workers):
        found = forward(net, X, n_threads=workers)
    np.testing.assert_array_equal(found, net.forward(dense))


def inputs_with(value, rows, row, sparse):
    """Without the check in Python, which would come first."""
    _, X = inputs(rows, 33, "float64", False)
    X[row, 7] = value
    csr = scipy.sparse.csr_matrix(X)
    return _core.CsrInputs(csr.data, csr.indices.astype(np.int32), csr.indptr.astype(np.int64), 33) if sparse else X


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("workers", [1, *TEAMS])
def test_an_input_that_is_not_finite_is_none(workers, sparse):
    net = network((33, 10, 2))
    for value in (np.nan, np.inf, -np.inf):
        assert forward(net, inputs_with(value, 1, 0, sparse)) is None
        for row in (0, 70, 100, 199):
            with team_of(workers):
                assert forward(net, inputs_with(value, 200, row, sparse), n_threads=workers) is None, row
    X = inputs(200, 33, "float64", False)[1]
    X[150, 3] = np.nan
    np.testing.assert_array_equal(forward(net, X, 0, 150), net.forward(X[:150]))


def test_an_empty_csr_row_and_no_rows():
    net = network((33, 10, 2))
    empty = _core.CsrInputs(np.zeros(0), np.zeros(0, np.int32), np.zeros(4, np.int64), 33)
    np.testing.assert_array_equal(forward(net, empty), net.forward(np.zeros((3, 33))))
    assert forward(net, np.zeros((3, 33)), 2, 2).shape == (0, 2)


def test_wrong_shapes_and_types_are_rejected():
    net = network((5, 4, 3))
    X, weights, biases = np.zeros((2, 5)), net.weights, net.biases
    for change in (
        dict(weights=[weights[0], weights[1][:3]]),
        dict(weights=weights[:1]),
        dict(weights=[], biases=[]),
        dict(biases=[biases[0], biases[1][:2]]),
        dict(hidden=[]),
        dict(hidden=[(_core.Activation.relu, [])] * 2),
        dict(hidden=[(_core.Activation.relu, [0.1])]),
        dict(biases=[biases[0][:, None], biases[1]]),
        dict(begin=-1),
        dict(end=3),
        dict(begin=2, end=1),
    ):
        with pytest.raises(ValueError):
            forward(net, X, **change)
    with pytest.raises(ValueError):
        forward(net, np.zeros((2, 4)))
    for wrong in ([w.astype(np.float32) for w in weights], [np.asfortranarray(w) for w in weights]):
        with pytest.raises(TypeError):
            forward(net, X, weights=wrong)
    for read_only in weights + biases:
        read_only.flags.writeable = False
    np.testing.assert_array_equal(forward(net, X, weights=weights, biases=biases), net.forward(X))
