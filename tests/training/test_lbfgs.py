"""fit_lbfgs: its gradient against the oracle, minima that are known, zeros under l1, and what every fit promises."""

import math

import numpy as np
import pytest
import reference
from fastmlp import DivergenceError, History, Network, Trainer, core_calls, training_data
from fastmlp.epoch_loop import EpochLoop
from problems import parameters, problem
from teams import TEAMS, team_of

pytest.importorskip("scipy", reason="L-BFGS is SciPy's")

from fastmlp import fit_lbfgs, lbfgs  # noqa: E402

SIZES = (11, 7, 4)


def loss_and_gradient(net, X, y):
    core = core_calls.new_core_trainer(net, "sgd")
    return core_calls.sum_gradients(core, data_of(net, X, y), lambda: 2), core.gradient_vector()


def data_of(net, X, y):
    return training_data.training_data(net, X, y, None, 1, skips_columns=False)


@pytest.mark.parametrize("loss", reference.LOSSES)
def test_loss_and_gradient_of_a_vector_are_the_oracles(isa, loss):
    X, y = problem(300, loss, layer_sizes=SIZES)  # two chunks of rows
    net = Network(SIZES, activation="tanh", loss=loss, dtype="float64", seed=1)
    rng = np.random.default_rng(0)
    weights, biases = [rng.normal(size=w.shape) for w in net.weights], [rng.normal(size=b.shape) for b in net.biases]
    expected = reference.loss_and_gradients(weights, biases, X, y, "tanh", loss)
    vector = np.concatenate([array.ravel() for array in weights + biases])
    net.core.parameter_vector = vector
    value, gradient = loss_and_gradient(net, X, y)
    np.testing.assert_allclose(value, expected.loss, rtol=1e-12)
    np.testing.assert_allclose(
        gradient, np.concatenate([g.ravel() for g in expected.weights + expected.biases]), rtol=1e-10, atol=1e-12
    )
    for got, wanted in zip(parameters(net), weights + biases, strict=True):
        np.testing.assert_array_equal(got, wanted)
    np.testing.assert_array_equal(net.core.parameter_vector, vector)
    net.core.parameter_vector = -vector
    for got, wanted in zip(parameters(net), weights + biases, strict=True):
        np.testing.assert_array_equal(got, -wanted)
    with pytest.raises(ValueError, match="all weights and biases"):
        net.core.parameter_vector = vector[1:]


def test_least_squares_is_solved():
    X, y = problem(60, "squared_error", layer_sizes=(5, 2))
    net = Network((5, 2), loss="squared_error", dtype="float64")
    history = fit_lbfgs(net, X, y, tol=1e-10)
    solution = np.linalg.lstsq(np.column_stack([X, np.ones(60)]), y, rcond=None)[0]
    np.testing.assert_allclose(net.weights[0], solution[:5], atol=1e-8)
    np.testing.assert_allclose(net.biases[0], solution[5], atol=1e-8)
    assert history.loss == sorted(history.loss, reverse=True)
    assert len(history.loss) == len(history.penalty) == len(history.seconds)


def test_l1_and_l2_rest_where_the_penalized_loss_is_stationary():
    X, y = problem(200, layer_sizes=SIZES)
    l1, l2 = 0.01, 0.003
    net = Network(SIZES, activation="tanh", dtype="float64", seed=1)
    history = fit_lbfgs(net, X, y, 5000, l1=l1, l2=l2, tol=1e-8)
    g = net.loss_and_gradients(X, y, l1, l2)
    assert sum((w == 0).sum() for w in net.weights) > 10
    for w, gradient in zip(net.weights, g.weights):
        assert (np.abs(gradient[w == 0]) <= l1 + 1e-6).all()  # there the subgradient of |w| is any in [-1, 1]
        assert (np.abs(gradient[w != 0]) < 1e-6).all()
    np.testing.assert_allclose(history.penalty[-1], g.penalty, rtol=1e-9)
    np.testing.assert_allclose(history.loss[-1], g.loss, rtol=1e-9)


def test_validation_callbacks_and_an_early_end():
    X, y = problem(80, layer_sizes=SIZES)
    net = Network(SIZES, dtype="float64", seed=1)
    seen = []
    history = fit_lbfgs(
        net, X, y, validation_data=(X[:9], y[:9]), callbacks=[lambda info: seen.append(info) or info.epoch == 5]
    )
    assert [info.epoch for info in seen] == [1, 2, 3, 4, 5] and len(history.loss) == 5
    assert history.val_loss[-1] == net.evaluate(X[:9], y[:9]).loss
    assert history.val_accuracy[-1] == net.evaluate(X[:9], y[:9]).accuracy


def test_the_result_does_not_depend_on_threads():
    X, y = problem(700, layer_sizes=(11, 200, 4))
    nets = [Network((11, 200, 4), dtype="float64", seed=1) for _ in (1, *TEAMS)]
    for net, n_threads in zip(nets, (1, *TEAMS), strict=True):
        with team_of(n_threads):
            fit_lbfgs(net, X, y, 10, n_threads=n_threads)
        for a, b in zip(parameters(net), parameters(nets[0]), strict=True):
            np.testing.assert_array_equal(a, b)


def test_an_interrupt_leaves_the_last_iteration():
    X, y = problem(80, layer_sizes=SIZES)
    net = Network(SIZES, dtype="float64", seed=1)
    kept = []

    def interrupt(info):
        kept.append(parameters(info.network))
        if info.epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_lbfgs(net, X, y, callbacks=[interrupt])
    for a, b in zip(parameters(net), kept[-1], strict=True):
        np.testing.assert_array_equal(a, b)
    Trainer(net).fit(X, y, epochs=1)  # nothing is left locked


@pytest.mark.parametrize(
    "loss, X, weights",
    [
        ("squared_error", 1e200, (1, 1)),
        ("poisson", 1e4, (1, 1)),
        ("squared_error", 1e-40, (1e-10, 1e200)),  # a loss of 5e299 whose gradient is infinite
    ],
)
def test_a_search_that_cannot_start_raises(loss, X, weights):
    net = Network((1, 1, 1), activation="identity", loss=loss, dtype="float64")
    net.set_parameters([np.full((1, 1), w) for w in weights], [np.zeros(1)] * 2)
    before = parameters(net)
    with np.errstate(all="ignore"), pytest.raises(DivergenceError, match="the loss.* is nan in iteration 1 ") as caught:
        fit_lbfgs(net, np.full((5, 1), X), np.ones(5), 10)
    assert (caught.value.epoch, caught.value.step) == (1, 1) and math.isnan(caught.value.learning_rate)
    for a, b in zip(parameters(net), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_search_that_meets_no_finite_loss_later_keeps_its_last_iteration(monkeypatch):
    X, y = problem(80, layer_sizes=SIZES)
    net = Network(SIZES, dtype="float64", seed=1)
    kept, sum_gradients = [], core_calls.sum_gradients
    monkeypatch.setattr(
        core_calls, "sum_gradients", lambda *given: sum_gradients(*given) if len(kept) < 3 else math.inf
    )
    with pytest.raises(DivergenceError, match="the loss.* is inf in iteration 4 ") as caught:
        fit_lbfgs(net, X, y, callbacks=[lambda info: kept.append(parameters(info.network))])
    assert caught.value.epoch == 4 and len(kept) == 3
    for a, b in zip(parameters(net), kept[-1], strict=True):
        np.testing.assert_array_equal(a, b)


def test_bad_arguments_change_nothing():
    X, y = problem(20, layer_sizes=SIZES)
    net = Network(SIZES, dtype="float64", seed=1)
    before = parameters(net)
    for arguments, settings, found in [
        ((Network(SIZES), X, y), {}, "float64.*float32"),
        ((None, X, y), {}, "network.*None"),
        ((net, X[:, 1:], y), {}, "shape"),
        ((net, X, y), {"max_iter": 0}, "max_iter.*0"),
        ((net, X, y), {"l1": -1.0}, "l1.*-1"),
        ((net, X, y), {"tol": float("nan")}, "tol.*nan"),
        ((net, X, y), {"callbacks": 3}, "callbacks.*3"),
    ]:
        with pytest.raises((ValueError, TypeError), match=found):
            fit_lbfgs(*arguments, **settings)
    with net.core.lock_parameters(), pytest.raises(RuntimeError, match="under way"):
        fit_lbfgs(net, X, y)
    for a, b in zip(parameters(net), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_the_estimators_call_is_the_same(isa):
    X, y = problem(60, layer_sizes=SIZES)
    nets = [Network(SIZES, dtype="float64", seed=1) for _ in range(2)]
    fit_lbfgs(nets[0], X, y, 7, l2=0.1)
    options = {"maxiter": 7, "gtol": 1e-6}
    loop = EpochLoop(nets[1], 7, [], evaluate=dict, divergence=ArithmeticError, record=History())
    lbfgs.minimize(nets[1], data_of(nets[1], X, y), 0.0, 0.1, 1.0, options, lambda: 1, loop)
    for a, b in zip(parameters(nets[0]), parameters(nets[1]), strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(loop.history.loss) == 7


@pytest.mark.parametrize("max_iter", [1, 2, 3, 7, 20, 60])
def test_the_requested_number_of_iterations_is_made(max_iter):
    """However often a line search evaluates the loss."""
    X, y = problem(60, "squared_error", layer_sizes=SIZES)
    net = Network(SIZES, activation="tanh", loss="squared_error", dtype="float64", seed=3)
    assert len(fit_lbfgs(net, 10 * X, 100 * y, max_iter, tol=0).loss) == max_iter


@pytest.mark.parametrize("l2", [0.0, 0.01])
def test_the_penalty_is_that_of_the_network_after_the_iteration(l2):
    X, y = problem(60, layer_sizes=SIZES)
    net = Network(SIZES, dtype="float64")
    by_hand = []

    def add(info):
        w = np.concatenate([weights.ravel() for weights in info.network.weights])
        by_hand.append(1e-3 * np.abs(w).sum() + l2 / 2 * w @ w)

    history = fit_lbfgs(net, X, y, 10, l1=1e-3, l2=l2, callbacks=[add])
    np.testing.assert_allclose(history.penalty, by_hand, rtol=1e-12)
