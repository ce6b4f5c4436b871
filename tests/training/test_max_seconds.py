"""max_seconds: every kind of fit ends before the epoch that would be too late, by a clock of the test."""

import io
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from fastmlp import History, Network, Trainer, distributed, epoch_loop, fit_many
from fastmlp.streaming import Stream
from problems import LAYER_SIZES, assert_equal_bits, parameters, problem
from ranks import together

X, Y = problem(30)
TARGETS = Y[:, None].astype(float)


@pytest.fixture
def clock(monkeypatch):
    """It moves on by a second in each epoch, times the speed that a thread has set."""
    now = SimpleNamespace(seconds=100.0, of_thread=threading.local())
    read = SimpleNamespace(perf_counter=lambda: now.seconds * getattr(now.of_thread, "speed", 1.0))
    monkeypatch.setattr(epoch_loop, "time", read)

    def tick(info):
        now.seconds += 1

    now.tick = tick
    return now


def trainer(kind=Trainer, **more):
    return kind(Network(LAYER_SIZES, dtype="float64", seed=1), batch_size=8, **more)


def on_two_ranks(clock, **more):
    """The clock of the second rank decides: that of the first one is slow."""

    def work(communicator):
        clock.of_thread.speed = (0.01, 1.0)[communicator.rank]
        each = trainer(distributed.Trainer, communicator=communicator)
        tick = clock.tick if communicator.rank else lambda info: None
        return each.fit(X[communicator.rank :: 2], Y[communicator.rank :: 2], callbacks=[tick], **more)

    histories = together(2, work)
    assert [len(history.loss) for history in histories] == [len(histories[0].loss)] * 2
    assert histories[0].out_of_time == histories[1].out_of_time
    return histories[0]


def of_estimator(name, **settings):
    def fit(clock, epochs, max_seconds):
        pytest.importorskip("sklearn")
        import fastmlp

        settings_of_fit = {"max_iter": epochs, "max_seconds": max_seconds, "tol": 0, "n_iter_no_change": 10**9}
        model = getattr(fastmlp, name)(hidden_layer_sizes=(5,), random_state=0, **settings_of_fit, **settings)
        return model.fit(X, Y, callbacks=[clock.tick]).history_

    return fit


def of_lbfgs(clock, epochs, max_seconds):
    pytest.importorskip("scipy")
    from fastmlp import fit_lbfgs

    net = Network((11, 5, 1), "tanh", "squared_error", "float64")
    return fit_lbfgs(net, X, TARGETS, epochs, tol=0, callbacks=[clock.tick], max_seconds=max_seconds)


FITS = {
    "fit": lambda clock, **more: trainer().fit(X, Y, callbacks=[clock.tick], **more),
    "stream": lambda clock, **more: trainer().fit(Stream([(X, Y)]), None, callbacks=[clock.tick], **more),
    "fit_many": lambda clock, **more: fit_many([trainer()], X, Y, callbacks=[clock.tick], **more)[0],
    "ranks": on_two_ranks,
    "fit_lbfgs": of_lbfgs,
    "classifier": of_estimator("MLPClassifier"),
    "lbfgs": of_estimator("MLPClassifier", solver="lbfgs"),
}


@pytest.mark.filterwarnings("ignore:.*onverge:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
@pytest.mark.parametrize(
    "epochs, max_seconds, done, out_of_time",
    [(9, 3.5, 3, True), (9, 4, 4, True), (9, 1e-3, 1, True), (3, 3.5, 3, False), (1, 0.5, 1, False), (2, 99, 2, False)],
)
def test_no_epoch_ends_too_late(clock, fit, epochs, max_seconds, done, out_of_time):
    history = fit(clock, epochs=epochs, max_seconds=max_seconds)
    assert (len(history.loss), history.out_of_time) == (done, out_of_time)


def test_the_last_epoch_is_the_measure(clock):
    lengths = iter([5.0, 1.0, 1.0, 2.0, 1.0])

    def tick(info):
        clock.seconds += next(lengths)

    assert len(trainer().fit(X, Y, epochs=5, callbacks=[tick], max_seconds=10.0).loss) == 4  # 5 + 1 + 1 + 2, then 2


def test_nets_one_after_another_share_the_time(clock):
    many = [trainer(seed=i) for i in range(3)]
    histories = fit_many(many, X, Y, epochs=9, callbacks=[clock.tick], max_seconds=7, n_threads=1)
    assert [len(history.loss) for history in histories] == [2, 2, 2]  # of 7/3 seconds each


@pytest.mark.filterwarnings("ignore:.*onverge:sklearn.exceptions.ConvergenceWarning")
def test_members_of_an_estimator_one_after_another_share_the_time(clock):
    pytest.importorskip("sklearn")
    from fastmlp import MLPClassifier

    settings = {"max_iter": 9, "tol": 0, "n_iter_no_change": 10**9, "random_state": 0, "n_threads": 1}
    model = MLPClassifier((5,), n_ensemble=4, max_seconds=10, **settings)
    model.fit(X, Y, callbacks=[clock.tick])
    assert [member.n_iter_ for member in model.estimators_] == [2] * 4  # of 2.5 seconds each


def test_what_is_trained_is_the_begin_of_a_longer_fit(clock):
    short, complete = trainer(), trainer()
    short.fit(X, Y, epochs=9, callbacks=[clock.tick], max_seconds=3)
    assert short.history.out_of_time and "out of time" in repr(short.history)
    complete.fit(X, Y, epochs=3)
    assert_equal_bits(parameters(short.network), parameters(complete.network))
    short.fit(X, Y, epochs=2)
    complete.fit(X, Y, epochs=2)
    assert_equal_bits(parameters(short.network), parameters(complete.network))
    assert not short.history.out_of_time


def test_a_callback_that_ends_the_fit_comes_first(clock):
    clock.seconds += 1
    history = trainer().fit(X, Y, epochs=9, callbacks=[clock.tick, lambda info: info.epoch == 3], max_seconds=3)
    assert len(history.loss) == 3 and not history.out_of_time


def test_it_is_said(clock, capfd):
    trainer().fit(X, Y, epochs=9, callbacks=[clock.tick], max_seconds=2, verbose=True)
    lines = capfd.readouterr().err.splitlines()
    assert [line[:9] for line in lines] == ["epoch 1/9", "epoch 2/9", "max_secon"]
    assert lines[-1] == "max_seconds=2 leave no time for another epoch"


def test_a_terminal_shows_it_before_what_does_not_fit(clock, monkeypatch):
    stream = io.StringIO()
    stream.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("COLUMNS", "70")
    trainer().fit(X, Y, epochs=9, callbacks=[clock.tick], max_seconds=2)
    last = stream.getvalue().rpartition("\r")[2]
    assert last.startswith("max_seconds=2 leave no time for another epoch  epoch 2/9  loss")


@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_an_estimator_says_it(clock, capfd, solver):
    of_estimator("MLPRegressor", solver=solver, verbose=True)(clock, 9, 2)
    assert "max_seconds=2 leave no time" in capfd.readouterr().out
    of_estimator("MLPRegressor", solver=solver)(clock, 9, 2)
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("value", [0, -1.0, np.nan, "1", [1.0]])
@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
def test_max_seconds_is_a_positive_number(clock, fit, value):
    with pytest.raises((TypeError, ValueError), match="max_seconds"):
        fit(clock, epochs=1, max_seconds=value)


def test_a_copy_of_a_history_keeps_the_end():
    history = History(loss=[1.0])
    assert not history.out_of_time and vars(history.copy()) == vars(history)
    history.out_of_time = True
    assert history.copy().out_of_time
