"""Callbacks of every fit: which is called when, their arguments, and the rules of the built-in ones."""

import itertools
import math

import numpy as np
import pytest
from callback_fits import FITS, HELD_OUT, X, Y, fit_estimator, network
from fastmlp import MLPClassifier, Network, Trainer, core_calls, distributed, lbfgs, load
from fastmlp import trainer as trainer_module
from fastmlp.callbacks import Checkpoint, EarlyStopping, LearningRateSchedule
from fastmlp.estimators import solvers
from problems import assert_equal_bits, parameters
from ranks import Ranks

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("stopping", [0, 1, 2])
@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
def test_every_callback_is_called_in_every_epoch_also_after_one_that_stops(fit, stopping):
    calls = {}

    def numbered(number):
        def callback(info):
            calls.setdefault(id(info.network), []).append((info.epoch, number))
            return number == stopping and info.epoch == 2

        return callback

    fits = fit([numbered(number) for number in range(3)], 5)
    assert list(calls.values()) == [list(itertools.product((1, 2), range(3)))] * len(fits)


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
def test_a_callback_gets_the_epoch_and_its_entries_of_the_history(fit):
    seen = {}
    fits = fit([lambda info: seen.setdefault(id(info.network), []).append(info)], 4)
    assert len(seen) == len(fits)
    for fitted, infos in zip(fits, seen.values()):
        assert [info.epoch for info in infos] == [1, 2, 3, 4]
        assert {info.epochs for info in infos} == {4}
        assert all(info.trainer is fitted.trainer for info in infos)
        if fitted.network is not None:
            assert all(info.network is fitted.network for info in infos)
        entries = {name: values for name, values in fitted.history.items() if values}
        assert {"loss", "penalty", "seconds"} < entries.keys()
        assert entries == {name: [info.metrics[name] for info in infos] for name in infos[0].metrics}


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
def test_callbacks_may_come_from_an_iterator(fit):
    seen = []
    fits = fit((callback for callback in [lambda info: seen.append(info.epoch)]), 3)
    assert sorted(seen) == sorted([1, 2, 3] * len(fits))


@pytest.mark.parametrize("stopping", [0, 1, 2])
def test_every_rank_s_callbacks_are_called_also_where_another_rank_stops(stopping):
    def work(communicator):
        calls = []

        def numbered(number):
            def callback(info):
                calls.append((info.epoch, number))
                return (communicator.rank, number, info.epoch) == (stopping, 0, 2)

            return callback

        trainer = distributed.Trainer(network(), communicator=communicator, batch_size=16)
        trainer.fit(X[communicator.rank :: 3], Y[communicator.rank :: 3], 5, callbacks=[numbered(0), numbered(1)])
        return calls

    assert Ranks(3).run(work) == [[(1, 0), (1, 1), (2, 0), (2, 1)]] * 3


# What an epoch's seconds are


class Clock:
    """A clock that stands still until it is moved: training by 1, evaluations by 100, callbacks by 10,000."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now

    def moved_by(self, function, seconds):
        def moving(*arguments, **settings):
            self.now += seconds
            return function(*arguments, **settings)

        return moving


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for module in (trainer_module, solvers, lbfgs):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(core_calls, "train", clock.moved_by(core_calls.train, 1))
    monkeypatch.setattr(core_calls, "evaluate", clock.moved_by(core_calls.evaluate, 100))
    return clock


@pytest.mark.parametrize("name", [name for name in FITS if "lbfgs" not in name and name != "distributed"])
def test_seconds_are_those_of_the_training_without_validation_and_callbacks(clock, name):
    def pause(info):
        clock.now += 10_000

    chunks = 3 if name == "Trainer, a stream" else 1
    for fitted in FITS[name]([pause], 4):
        assert fitted.history["seconds"] == [chunks] * 4
    assert clock.now >= 4 * 10_100


@pytest.mark.parametrize("name", [name for name in FITS if "lbfgs" in name])
def test_seconds_of_an_iteration_are_those_of_its_evaluations_of_the_loss(clock, monkeypatch, name):
    minimize, evaluations = lbfgs.scipy.optimize.minimize, []

    def counted(objective, *arguments, **settings):
        def evaluate(point):
            clock.now += 1
            evaluations.append(clock.now)
            return objective(point)

        return minimize(evaluate, *arguments, **settings)

    def pause(info):
        spent.append(len(evaluations))
        clock.now += 10_000

    monkeypatch.setattr(lbfgs.scipy.optimize, "minimize", counted)
    spent = [0]
    (fitted,) = FITS[name]([pause], 4)
    assert fitted.history["seconds"] == np.diff(spent).tolist() and spent[-1] >= 4


@pytest.mark.parametrize("name", FITS)
def test_a_callback_may_have_hooks_for_the_begin_and_the_end_of_a_fit(name):
    calls = {}

    class Watch:
        def begin_fit(self, info):
            calls.setdefault(id(info.network), []).append(("begin", info.epoch, info.metrics))

        def __call__(self, info):
            calls[id(info.network)].append(info.epoch)

        def end_fit(self, info):
            calls[id(info.network)].append(("end", info.epoch, sorted(info.metrics)))

    fits = FITS[name]([Watch()], 3)
    metrics = sorted(name for name, values in fits[0].history.items() if values)
    assert list(calls.values()) == [[("begin", 0, {}), 1, 2, 3, ("end", 3, metrics)]] * len(fits)


class Fails:
    def begin_fit(self, info):
        raise OSError("no")

    def __call__(self, info): ...


def test_an_error_in_a_hook_comes_before_anything_is_trained():
    trainer = Trainer(network())
    before = parameters(trainer.network)
    with pytest.raises(OSError, match="no"):
        trainer.fit(X, Y, 3, callbacks=[Fails()])
    assert_equal_bits(parameters(trainer.network), before)


def test_schedules_go_on_after_an_error_in_a_hook(tmp_path):
    """In the fit that a checkpoint was written in."""
    Trainer(network(), schedule="cosine").fit(
        X, Y, 10, callbacks=[lambda info: info.epoch == 6 and info.save(tmp_path / "a")]
    )
    rates = []
    for fails in (False, True):
        trainer = Trainer.resume(tmp_path / "a")
        if fails:
            with pytest.raises(OSError, match="no"):
                trainer.fit(X, Y, 4, callbacks=[Fails()])
        rates.append(trainer.fit(X, Y, 4)["learning_rate"])
    assert rates[0] == rates[1] and max(rates[0]) < 0.05


# LearningRateSchedule


def test_a_schedule_is_not_asked_for_an_epoch_that_does_not_follow():
    rates = [0.3, 0.2, 0.1]
    trainer = Trainer(network())
    trainer.fit(X, Y, 3, callbacks=[LearningRateSchedule(rates.__getitem__)])
    assert trainer.learning_rate == 0.1
    trainer = Trainer(network())
    trainer.fit(X, Y, 2, callbacks=[LearningRateSchedule(rates.__getitem__)])
    trainer.fit(X, Y, 1, callbacks=[LearningRateSchedule(rates.__getitem__)])
    assert trainer.learning_rate == 0.1


@pytest.mark.parametrize("before", [0, 2])
def test_a_schedule_sets_each_next_epoch_s_rate(before):
    trainer = Trainer(network(), learning_rate=0.5, batch_size=16)
    if before:
        trainer.fit(X, Y, before)
    requested, used = [], []

    def rate(epochs):
        requested.append(epochs)
        return 0.1 / (epochs + 1)

    trainer.fit(X, Y, 4, callbacks=[lambda info: used.append(info.trainer.learning_rate), LearningRateSchedule(rate)])
    assert requested == [before + epoch for epoch in (0, 1, 2, 3)], "none follows the last epoch"
    assert used == [0.1 / (before + epoch + 1) for epoch in (0, 1, 2, 3)], "of the first epoch, too"
    twin = Trainer(network(), learning_rate=0.5, batch_size=16)
    if before:
        twin.fit(X, Y, before)
    for epoch in (0, 1, 2, 3):
        twin.learning_rate = 0.1 / (before + epoch + 1)
        twin.fit(X, Y, 1)
    for a, b in zip(trainer.network.weights, twin.network.weights):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: Checkpoint("p", every_epochs=0), ValueError, "every_epochs must be at least 1, got 0"),
        (lambda: Checkpoint("p", every_seconds=-1e-9), ValueError, "every_seconds must be .* >= 0, got -1e-09"),
        (lambda: EarlyStopping(patience=0), ValueError, "patience must be at least 1, got 0"),
        (lambda: EarlyStopping(min_delta=-0.5), ValueError, "min_delta must be .* >= 0, got -0.5"),
        (lambda: EarlyStopping(min_delta=math.nan), ValueError, "min_delta must be a finite number .*, got nan"),
        (lambda: LearningRateSchedule(0.1), TypeError, "rate must be callable, got 0.1"),
        (lambda: EarlyStopping(restore_best=1), TypeError, "restore_best must be True or False, got 1"),
        (lambda: EarlyStopping(larger_is_better=1), TypeError, "larger_is_better must be True or False, got 1"),
    ],
)
def test_arguments_are_checked_up_to_their_bounds(make, error, message):
    with pytest.raises(error, match=message):
        make()
    Checkpoint("p", every_epochs=1, every_seconds=0)
    EarlyStopping(patience=1, min_delta=0)


@pytest.mark.parametrize("name", FITS)
def test_built_in_callbacks_work_in_every_fit(tmp_path, name):
    """The second epoch is the best of all by the numbers that the test itself puts in."""
    values = [3.0, 1.0, 2.0, 2.0, 2.0, 2.0]

    def alter(info):  # before the others are called
        info.history.val_loss[-1] = values[info.epoch - 1]

    path, networks = tmp_path / "a.safetensors", []
    keep = lambda info: networks.append((info.network, parameters(info.network)))  # noqa: E731
    saving = [Checkpoint(path, best="val_loss")] if name != "fit_many" else []
    fits = FITS[name]([alter, keep, *saving, EarlyStopping("val_loss", patience=2)], 6)
    assert all(len(fitted.history["loss"]) == 4 for fitted in fits)
    last = networks[-1][0]
    best = [kept for net, kept in networks if net is last][1]
    if saving:
        assert_equal_bits(parameters(load(path)), best)


@pytest.mark.parametrize("name", FITS)
def test_a_schedule_sets_the_learning_rate_of_every_fit_that_has_one(name):
    rates = []

    def read(info):
        rates.append(info.optimizer.learning_rate)

    callbacks = [LearningRateSchedule(lambda epochs: 0.1 / max(epochs, 1)), read]
    if "lbfgs" in name:
        with pytest.raises(TypeError, match="L-BFGS has none"):
            FITS[name](callbacks, 3)
    else:
        fits = FITS[name](callbacks, 3)
        assert sorted(rates) == sorted([0.1, 0.1 / 2, 0.1 / 2] * len(fits))  # that of the last epoch stays


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_schedule_changes_what_an_estimator_learns(solver):
    fits = [
        fit_estimator(MLPClassifier, solver)([LearningRateSchedule(lambda epochs: rate)], 3)[0].history["loss"]
        for rate in (0.001, 0.5)
    ]
    assert fits[0][:1] == fits[1][:1] and fits[0][1] != fits[1][1]  # each loss is that before its update


def test_a_metric_that_the_history_lacks_raises_with_those_that_it_has():
    for callback in (EarlyStopping("val_los"), Checkpoint("p", best="val_los")):
        with pytest.raises(ValueError, match=r"\('loss', 'penalty', 'accuracy', 'seconds'\), got 'val_los'"):
            Trainer(network()).fit(X, Y, 1, callbacks=[callback])


@pytest.mark.parametrize("sets", [["validation"], ["validation", "val"]])
def test_a_set_may_be_named_as_an_old_entry_was(sets):
    """history["validation_loss"] of an estimator is "val_loss" now."""
    data = {"validation": HELD_OUT, "val": (X, Y)}
    trainer = Trainer(network())
    stopping = EarlyStopping("validation_loss", 99)
    history = trainer.fit(X, Y, 2, validation_data={name: data[name] for name in sets}, callbacks=[stopping])
    assert trainer.history["validation_loss"] == history["validation_loss"]
    assert history["validation_loss"][-1] == pytest.approx(trainer.network.evaluate(*HELD_OUT).loss, rel=1e-12)
    assert trainer.history.copy().keys() == history.keys()


def test_a_history_holds_the_metrics_that_were_measured():
    X, y = np.eye(6), np.arange(6) % 2
    history = Trainer(Network((6, 2))).fit(X, y, epochs=2)
    assert "loss" in history and "accuracy" in history
    assert "val_loss" not in history and "val_accuracy" not in history and "nothing" not in history
    assert sorted(history) == sorted(name for name in ("loss", "penalty", "accuracy", "seconds") if name in history)
    for name, callback in (("metric", EarlyStopping("val_loss")), ("best", Checkpoint("x", best="val_loss"))):
        with pytest.raises(ValueError, match=f"{name} must be an entry of the history"):
            Trainer(Network((6, 2))).fit(X, y, epochs=1, callbacks=[callback])
