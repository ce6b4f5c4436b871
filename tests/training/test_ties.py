"""Ties of outputs: the first class of the largest, and 0 at a probability of exactly one half, in every prediction."""

import fastmlp
import numpy as np
import pytest
from compiled import needs_compiler, run_exported
from fastmlp import Network, Trainer
from onnx_models import run
from problems import DTYPES

ROWS = 5
BIASES = {  # of the outputs, which are all that a net without weights has, and the class of every row
    "all equal": ([0, 0, 0, 0], 0),
    "the last two": ([0, -1, 1, 1], 2),
    "the first and the last": ([2, 0, 1, 2], 0),
    "three": ([-3, 5, 5, 5], 1),
    "large ones": ([0, 1e30, 0, 1e30], 1),
    "minus zero": ([-1, -0.0, 0.0, -1], 1),
    "none": ([0, 0, 0, 1e-3], 3),
}


def without_weights(loss, dtype, biases):
    """Its outputs come from the biases alone, whatever the rows are; with one hidden layer and without."""
    for layer_sizes in ((3, len(biases)), (3, 2, len(biases))):
        net = Network(layer_sizes, loss=loss, dtype=dtype)
        others = [np.zeros(b.shape) for b in net.biases[:-1]]
        net.set_parameters([np.zeros(w.shape) for w in net.weights], [*others, np.array(biases, float)])
        yield net


def labels(dtype):
    """Nets of cross_entropy with their class."""
    for biases, expected in BIASES.values():
        for net in without_weights("cross_entropy", dtype, biases):
            yield net, np.full(ROWS, expected)


def halves(dtype):
    """Nets of binary_cross_entropy: one half, and the next probabilities on both sides of it."""
    step = 8 * np.finfo(dtype).eps  # of z: the probability changes by a quarter of it
    biases, expected = [0.0, -0.0, step, -step, 1.0, -1.0], [0, 0, 1, 0, 1, 0]
    for net in without_weights("binary_cross_entropy", dtype, biases):
        yield net, np.tile(expected, (ROWS, 1))
    for net in without_weights("binary_cross_entropy", dtype, [0.0]):
        yield net, np.zeros((ROWS, 1))


def one_per_row(expected):
    """As `predict` returns those of one output."""
    return expected[:, 0] if expected.shape[1:] == (1,) else expected


NETS = {"cross_entropy": labels, "binary_cross_entropy": halves}


def inputs(dtype):
    return np.random.default_rng(0).normal(size=(ROWS, 3)).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("nets", NETS.values(), ids=NETS)
def test_predictions(isa, nets, dtype):
    sparse = pytest.importorskip("scipy.sparse")
    X = inputs(dtype)
    for net, expected in nets(dtype):
        for rows in (X, sparse.csr_matrix(X), X[:1]):
            found = net.predict(rows)
            assert found.dtype == np.int64
            np.testing.assert_array_equal(found, one_per_row(expected)[: rows.shape[0]])
        if net.layer_sizes[-1] == 1:
            assert (net.forward(X) == 0.5).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_accuracies(isa, dtype):
    """Of evaluations, and as seen while training at a rate that leaves the weights as they are."""
    X = inputs(dtype)
    for net, expected in labels(dtype):
        for label in range(4):
            y = np.full(ROWS, label)
            right = float(label == expected[0])
            assert net.evaluate(X, y).accuracy == right
            history = Trainer(net, learning_rate=1e-30).fit(0 * X, y, epochs=1)
            assert history.accuracy == [right]


@needs_compiler
def test_c(tmp_path):
    X = inputs("float64")
    cases = {
        f"{loss}_{dtype}_{number}": (net, expected)
        for loss, nets in NETS.items()
        for dtype in DTYPES
        for number, (net, expected) in enumerate(nets(dtype))
        if len(net.layer_sizes) == 2  # each is a file to compile
    }
    results = run_exported({name: net for name, (net, _) in cases.items()}, X, tmp_path)
    for name, (net, expected) in cases.items():
        np.testing.assert_array_equal(results[name][1], expected)
        assert results[name][0].dtype == net.dtype


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("nets", NETS.values(), ids=NETS)
def test_onnx(nets, dtype):
    pytest.importorskip("onnx")

    X = inputs(dtype)
    for net, expected in nets(dtype):
        np.testing.assert_array_equal(run(net.to_onnx(), X)["classes"], expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("nets", NETS.values(), ids=NETS)
def test_model_files_and_state_dicts(tmp_path, nets, dtype):
    pytest.importorskip("safetensors")
    X = inputs(dtype)
    for net, expected in nets(dtype):
        net.save(tmp_path / "net")
        again = Network.from_state_dict(net.to_state_dict(), activation=net.activation, loss=net.loss)
        for other in (fastmlp.load(tmp_path / "net"), again):
            np.testing.assert_array_equal(other.predict(X), one_per_row(expected))
