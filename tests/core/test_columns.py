"""Input columns that are zero in a whole batch: skipping them changes nothing."""

import numpy as np
import pytest
import reference
from fastmlp import Network, Trainer, _core, training_data
from problems import DTYPES, OPTIMIZERS, assert_close, assert_equal_bits, parameters, problem, row_orders
from teams import TEAMS, team_of


@pytest.mark.parametrize("l1, l2", [(0.003, 0.02), (0.003, 0.0), (0.0, 0.02), (0.0, 0.0)])
@pytest.mark.parametrize("proximal", [False, True])
def test_columns_that_are_zero_change_nothing(isa, l1, l2, proximal):
    """Skipping inputs that are zero in a batch must be exact, also for each penalty alone and for momentum."""
    X, y = problem(120, layer_sizes=(40, 8, 4))
    X[np.random.default_rng(1).random(X.shape) < 0.9] = 0
    X[:, ::3] = 0
    for name, (settings, oracle_optimizer) in OPTIMIZERS.items():
        net = Network((40, 8, 4), activation="tanh", dtype="float64", seed=1)
        weights, biases, _ = reference.train(
            net.weights,
            net.biases,
            X,
            y,
            row_orders(2, 120, 4),
            7,
            oracle_optimizer(),
            l1,
            l2,
            activation="tanh",
            proximal=proximal,
        )
        Trainer(net, batch_size=7, l1=l1, l2=l2, proximal=proximal, seed=2, **settings).fit(X, y, epochs=4)
        assert_close(parameters(net), weights + biases, 1e-10)


@pytest.mark.parametrize("penalties", [dict(), dict(l1=1e-3, l2=1e-2)])
@pytest.mark.parametrize("x_dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("dtype", DTYPES)
def test_skipped_columns_give_the_bits_of_the_full_product(isa, dtype, x_dtype, penalties, monkeypatch):
    """Half of the columns are zero in any batch, none in all rows; one layer and three, for each thread count."""
    rng = np.random.default_rng(0)
    X = rng.integers(1, 200, (400, 150)).astype(x_dtype)
    X[rng.random(X.shape) < 0.97] = 0
    y = rng.integers(0, 5, 400)
    for layer_sizes in [(150, 5), (150, 300, 40, 5)]:
        results = []
        for skip, n_threads in [(False, 1), (True, 1), *((True, workers) for workers in TEAMS)]:
            net = Network(layer_sizes, dtype=dtype, seed=1, input_scale=1 / 64)
            trainer = Trainer(net, learning_rate=0.1, batch_size=21, seed=2, n_threads=n_threads, **penalties)
            with monkeypatch.context() as patch, team_of(n_threads):
                if not skip:  # a data set that was never searched for zeros
                    patch.setattr(training_data, "_core", WithoutNonzeroBits())
                history = trainer.fit(X, y, epochs=2)
            results.append((parameters(net), history.loss))
        for params, loss in results[1:]:
            assert_equal_bits(params, results[0][0])
            assert loss == results[0][1]


class WithoutNonzeroBits:
    """The core, but for the search for zeros."""

    def __getattr__(self, name):
        return (lambda *arguments: None) if name == "NonzeroBits" else getattr(_core, name)


def test_a_batch_of_zeros_still_trains_the_biases(isa):
    """Every column of such a batch may be skipped, but the biases have a gradient."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 20)), rng.integers(0, 3, 30)
    X[:, 5:] = 0
    X[::2] = 0
    net = Network((20, 7, 3), activation="tanh", dtype="float64", seed=1)
    weights, biases, _ = reference.train(
        net.weights, net.biases, X, y, [np.arange(30)] * 2, 1, reference.SGD(0.1), l2=0.01, activation="tanh"
    )
    Trainer(net, learning_rate=0.1, batch_size=1, l2=0.01, shuffle=False).fit(X, y, epochs=2)
    assert_close(parameters(net), weights + biases, 1e-12)


@pytest.mark.parametrize("kind", ["dense", "CSR"])
def test_several_threads_meet_batches_of_zeros(isa, kind):
    X, y = np.zeros((384, 300), np.float32), np.arange(384) % 10
    X[:100, 7] = 1
    if kind == "CSR":
        X = pytest.importorskip("scipy.sparse").csr_matrix(X)
    results = []
    for n_threads in (1, *TEAMS):
        net = Network((300, 256, 10), seed=1)
        with team_of(n_threads):
            Trainer(net, batch_size=128, shuffle=False, n_threads=n_threads).fit(X, y, epochs=2)
        results.append([*parameters(net), net.forward(X, n_threads=n_threads)])
    for found in results[1:]:
        assert_equal_bits(found, results[0])
