"""sample_weight at every entry point: integer weights are repeated rows, and all entry points agree."""

import pickle

import numpy as np
import pytest
from fastmlp import Network, Trainer, distributed, fit_many, studies
from fastmlp.losses import LOSSES
from fastmlp.streaming import Stream
from problems import assert_close, assert_equal_bits, parameters, problem
from ranks import Ranks
from teams import TEAMS, team_of

SIZES = (7, 6, 3)
ROWS = 60
RNG = np.random.default_rng(0)
WEIGHTS = RNG.integers(0, 4, ROWS)


def data(loss):
    return problem(ROWS, loss, layer_sizes=SIZES)


def network(loss, dtype="float64"):
    return Network(SIZES, activation="tanh", loss=loss, dtype=dtype, seed=1)


def repeated(X, y):
    return np.repeat(X, WEIGHTS, axis=0), np.repeat(y, WEIGHTS, axis=0)


def whole_batches(net, **settings):
    """One update per epoch, so that the order of the rows changes the last digits only."""
    return Trainer(net, learning_rate=0.1, batch_size=1000, l2=0.01, **settings)


def fit_trainer(net, X, y, weights):
    return whole_batches(net).fit(X, y, 5, sample_weight=weights)


def fit_one_of_many(net, X, y, weights):
    other = whole_batches(Network(SIZES, loss=net.loss, seed=2))
    return fit_many([other, whole_batches(net)], X, y, 5, sample_weight=weights)[1]


def fit_chunks(net, X, y, weights):
    return whole_batches(net).fit(Stream([(X, y, weights)]), None, 5)


def fit_rows_of_a_stream(net, X, y, weights):
    stream = Stream.of_rows(X, y, chunk_rows=len(X), blocks_per_chunk=5, sample_weight=weights)
    return whole_batches(net).fit(stream, None, 5)


def fit_ranks(net, X, y, weights, ranks=3):
    def work(communicator):
        part = slice(communicator.rank, None, communicator.size)
        own = net if communicator.rank == 0 else network(net.loss)
        trainer = distributed.Trainer(own, learning_rate=0.1, batch_size=1000, l2=0.01, communicator=communicator)
        return trainer.fit(X[part], y[part], 5, sample_weight=None if weights is None else weights[part])

    return Ranks(ranks).run(work)[0]


def fit_by_lbfgs(net, X, y, weights):
    pytest.importorskip("scipy")
    from fastmlp import fit_lbfgs

    return fit_lbfgs(net, X, y, 5, l2=0.01, sample_weight=weights)


FITS = [fit_trainer, fit_one_of_many, fit_chunks, fit_rows_of_a_stream, fit_ranks, fit_by_lbfgs]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("fit", FITS)
def test_integer_weights_are_repeated_rows(fit, loss):
    X, y = data(loss)
    weighted, plain = network(loss), network(loss)
    with_weights = fit(weighted, X, y, WEIGHTS)
    without = fit(plain, *repeated(X, y), None)
    assert_close(parameters(weighted), parameters(plain), 1e-11)
    np.testing.assert_allclose(with_weights.loss, without.loss, rtol=1e-11)
    np.testing.assert_allclose(with_weights.accuracy, without.accuracy, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", LOSSES)
def test_an_evaluation_weighs_loss_and_accuracy(loss, dtype):
    X, y = data(loss)
    net = network(loss, dtype)
    weighted, repeats = net.evaluate(X, y, sample_weight=WEIGHTS), net.evaluate(*repeated(X, y))
    np.testing.assert_allclose(weighted, repeats, rtol=1e-6 if dtype == "float32" else 1e-13)
    assert net.evaluate(X, y, sample_weight=np.full(ROWS, 2.0)) == pytest.approx(net.evaluate(X, y), nan_ok=True)


@pytest.mark.parametrize("loss", LOSSES)
def test_weights_of_one_change_no_bit(loss):
    X, y = data(loss)
    nets = [network(loss, "float32") for _ in range(2)]
    histories = [
        Trainer(net, batch_size=16, seed=3).fit(X, y, 3, sample_weight=weights)
        for net, weights in zip(nets, (None, np.ones(ROWS)))
    ]
    assert_equal_bits(parameters(nets[0]), parameters(nets[1]))
    assert histories[0].loss == histories[1].loss and histories[0].accuracy == histories[1].accuracy


@pytest.mark.parametrize("workers", TEAMS)
@pytest.mark.parametrize("accumulate", [1, 3])
def test_equal_bits_for_every_team(workers, accumulate):
    X, y = data("cross_entropy")
    nets = [network("cross_entropy", "float32") for _ in range(2)]
    for net, n_threads in zip(nets, (1, workers)):
        trainer = Trainer(net, batch_size=7, accumulate=accumulate, n_threads=n_threads)
        with team_of(n_threads):
            trainer.fit(X, y, 2, sample_weight=WEIGHTS)
    assert_equal_bits(parameters(nets[0]), parameters(nets[1]))


def test_trainers_weigh_like_estimators():
    """Mini-batches, too: an estimator's loss is the mean of its mini-batches' weighted means."""
    pytest.importorskip("sklearn")
    from fastmlp import MLPClassifier

    X, y = data("cross_entropy")
    model = MLPClassifier(
        SIZES[1:-1], "tanh", solver="sgd", momentum=0, alpha=0, batch_size=16, learning_rate_init=0.1, shuffle=False
    )
    model.set_params(max_iter=1).partial_fit(X, y, WEIGHTS, classes=range(3))
    begin = MLPClassifier(SIZES[1:-1], "tanh", random_state=0, max_iter=1)
    model = model.set_params(random_state=0)
    begin.partial_fit(X[:1], y[:1], np.zeros(1) + 1e-30, classes=range(3))
    model.coefs_, model.intercepts_ = begin.coefs_, begin.intercepts_
    net = model.to_network()
    model.partial_fit(X, y, WEIGHTS)
    history = Trainer(net, batch_size=16, learning_rate=0.1, shuffle=False).fit(X, y, 1, sample_weight=WEIGHTS)
    assert_close(parameters(net), model.coefs_ + model.intercepts_, 1e-13)
    assert history.loss[0] == pytest.approx(model.history_.loss[-1], rel=1e-13)


def test_validation_data_may_have_weights_and_names():
    X, y = data("cross_entropy")
    net = network("cross_entropy")
    history = Trainer(net).fit(X, y, 2, validation_data={"seen": (X, y), "weighed": (X, y, WEIGHTS)})
    assert history["seen_loss"][-1] == net.evaluate(X, y).loss
    assert history["weighed_loss"][-1] == net.evaluate(X, y, sample_weight=WEIGHTS).loss
    assert history["weighed_accuracy"][-1] == net.evaluate(X, y, sample_weight=WEIGHTS).accuracy
    assert history.val_loss == []
    rows = studies.compare([{"layer_sizes": SIZES}], X, y, 2, validation_data=(X, y, WEIGHTS), sample_weight=WEIGHTS)
    assert set(rows[0]) >= {"val_loss", "val_accuracy", "loss"}


BAD = [
    (np.ones(ROWS - 1), ValueError, r"sample_weight must have shape \(60,\)"),
    (np.ones((ROWS, 1)), ValueError, r"sample_weight must have shape \(60,\)"),
    (["a"] * ROWS, TypeError, "sample_weight must be an array of real numbers"),
    (np.r_[np.ones(ROWS - 1), np.nan], ValueError, "got nan in row 59"),
    (np.r_[np.inf, np.ones(ROWS - 1)], ValueError, "got inf in row 0"),
    (np.zeros(ROWS), ValueError, "positive sum, got 0"),
    (np.r_[np.ones(ROWS - 1), -0.5], ValueError, r"sample_weight must be >= 0, got -0.5 in row 59"),
    (-np.ones(ROWS, int), ValueError, "got -1 in row 0"),
]


@pytest.mark.parametrize("weights, error, message", BAD)
@pytest.mark.parametrize("fit", [fit_trainer, fit_one_of_many, fit_by_lbfgs, lambda net, *more: net.evaluate(*more)])
def test_bad_weights_change_nothing(fit, weights, error, message):
    if fit not in FITS:
        fit = lambda net, X, y, weights: net.evaluate(X, y, sample_weight=weights)  # noqa: E731
    X, y = data("cross_entropy")
    net = network("cross_entropy")
    before = parameters(net)
    with pytest.raises(error, match=message):
        fit(net, X, y, weights)
    assert_equal_bits(parameters(net), before)


def test_a_stream_takes_weights_from_its_chunks_alone():
    X, y = data("cross_entropy")
    with pytest.raises(TypeError, match="sample_weight must be None with a Stream"):
        Trainer(network("cross_entropy")).fit(Stream([(X, y)]), None, 1, sample_weight=WEIGHTS)
    with pytest.raises(ValueError, match=r"sample_weight must have shape \(60,\)"):
        Stream.of_rows(X, y, sample_weight=WEIGHTS[1:])


def test_ranks_agree_on_whether_rows_have_weights():
    X, y = data("cross_entropy")

    def work(communicator):
        trainer = distributed.Trainer(network("cross_entropy"), communicator=communicator)
        weights = WEIGHTS if communicator.rank == 0 else None
        with pytest.raises((ValueError, RuntimeError), match="sample_weight|settings"):
            trainer.fit(X, y, 1, sample_weight=weights)
        return True

    assert Ranks(2).run(work) == [True, True]


def test_a_rank_may_have_no_rows():
    X, y = data("cross_entropy")
    alone, together = network("cross_entropy"), network("cross_entropy")
    whole_batches(alone, shuffle=False).fit(X, y, 3, sample_weight=WEIGHTS)

    def work(communicator):
        own = together if communicator.rank == 0 else network("cross_entropy")
        trainer = distributed.Trainer(own, learning_rate=0.1, batch_size=1000, l2=0.01, communicator=communicator)
        rows = slice(None) if communicator.rank == 0 else slice(0, 0)
        trainer.fit(X[rows], y[rows], 3, sample_weight=WEIGHTS[rows])

    Ranks(2).run(work)
    assert_close(parameters(together), parameters(alone), 1e-12)


@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_a_mini_batch_without_weight_has_the_gradient_of_the_penalty_alone(l2):
    X, y = data("cross_entropy")
    weights = WEIGHTS.astype(float)
    weights[:20] = 0  # the first of three mini-batches
    net, without = (network("cross_entropy") for _ in range(2))
    settings = dict(batch_size=20, learning_rate=0.1, shuffle=False, l2=l2)
    history = Trainer(net, **settings).fit(X, y, 2, sample_weight=weights)
    assert np.isfinite(history.loss).all()
    for _ in range(2):
        without.set_parameters([w - 0.1 * l2 * w for w in without.weights], without.biases)
        Trainer(without, **settings).fit(X[20:], y[20:], 1, sample_weight=weights[20:])
    if l2:
        assert_close(parameters(net), parameters(without), 1e-14)
    else:
        assert_equal_bits(parameters(net), parameters(without))


@pytest.mark.parametrize("loss", LOSSES)
def test_an_evaluation_in_several_calls_is_one_of_all_rows(monkeypatch, loss):
    X, y = problem(500, loss, layer_sizes=SIZES)
    weights = np.random.default_rng(1).random(500)
    net = network(loss)
    for given in ({}, {"sample_weight": weights}):
        expected = net.evaluate(X, y, **given)
        monkeypatch.setattr(net, "rows_per_call", 128)
        np.testing.assert_allclose(net.evaluate(X, y, **given), expected, rtol=1e-13)
        monkeypatch.undo()


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_batches_may_grow_between_fits(optimizer):
    """Whatever is kept for the rows of a batch grows with them: weights, labels or targets, inputs, outputs."""
    for loss in ("cross_entropy", "squared_error"):
        X, y = problem(5000, loss, layer_sizes=SIZES)
        weights = np.linspace(0.5, 2, 5000)
        grown = Trainer(network(loss, "float32"), optimizer=optimizer, batch_size=2)
        grown.fit(X[:8], y[:8], 1, sample_weight=weights[:8])
        new = pickle.loads(pickle.dumps(grown))
        for trainer in (grown, new):
            for batch_size in (16, 5000, 3):
                trainer.batch_size = batch_size
                trainer.fit(X, y, 1, sample_weight=weights)
        assert_equal_bits(parameters(grown.network), parameters(new.network))
