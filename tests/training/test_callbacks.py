"""Callbacks of every fit: which is called when, their arguments, and the rules of the built-in ones."""

import contextlib
import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
from fastmlp import (
    DivergenceError,
    History,
    Network,
    Trainer,
    callbacks,
    core_calls,
    distributed,
    fit_ensemble,
    fit_many,
    lbfgs,
    load,
    streaming,
    studies,
)
from fastmlp import trainer as trainer_module
from fastmlp.callbacks import Checkpoint, EarlyStopping, LearningRateSchedule
from fastmlp.estimators import solvers
from fastmlp.history import EpochInfo
from problems import assert_equal_bits, parameters, problem
from ranks import Ranks

pytest.importorskip("sklearn", reason="estimators call callbacks, too")

from fastmlp import MLPClassifier, MLPRegressor, fit_lbfgs  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SIZES = (11, 6, 4)
X, Y = problem(60, layer_sizes=SIZES)
HELD_OUT = problem(20, layer_sizes=SIZES, seed=1)


def network(**settings):
    return Network(SIZES, activation="tanh", dtype="float64", seed=1, **settings)


class Fitted(SimpleNamespace):
    """One fit: its network, its trainer if it has one, and the entries of its history by name."""


def of_trainer(trainer, history):
    return Fitted(network=trainer.network, trainer=trainer, history=vars(history))


def fit_alone(callbacks, epochs):
    trainer = Trainer(network(), batch_size=16)
    return [of_trainer(trainer, trainer.fit(X, Y, epochs, validation_data=HELD_OUT, callbacks=callbacks))]


def fit_stream(callbacks, epochs):
    trainer = Trainer(network(), batch_size=16)
    stream = streaming.Stream.of_rows(X, Y, chunk_rows=20)
    return [of_trainer(trainer, trainer.fit(stream, None, epochs, validation_data=HELD_OUT, callbacks=callbacks))]


def fit_several(callbacks, epochs):
    trainers = [Trainer(network(), batch_size=16, seed=seed) for seed in range(3)]
    histories = fit_many(trainers, X, Y, epochs, validation_data=HELD_OUT, callbacks=callbacks, n_threads=1)
    return list(map(of_trainer, trainers, histories))


def fit_by_lbfgs(callbacks, epochs):
    net = network()
    history = fit_lbfgs(net, X, Y, epochs, validation_data=HELD_OUT, callbacks=callbacks)
    return [Fitted(network=net, trainer=None, history=vars(history))]


def fit_on_a_rank(callbacks, epochs):
    trainer = distributed.Trainer(network(), communicator=Ranks.Rank(Ranks(1), 0), batch_size=16)
    return [of_trainer(trainer, trainer.fit(X, Y, epochs, validation_data=HELD_OUT, callbacks=callbacks))]


def fit_estimator(Estimator, solver):
    def fit(callbacks, epochs):
        model = Estimator(hidden_layer_sizes=(6,), solver=solver, max_iter=epochs, random_state=0, alpha=0.1)
        model.fit(X, Y, eval_set=HELD_OUT, callbacks=callbacks)
        return [Fitted(network=None, trainer=None, history=vars(model.history_))]

    return fit


FITS = {
    "Trainer": fit_alone,
    "Trainer, a stream": fit_stream,
    "fit_many": fit_several,
    "fit_lbfgs": fit_by_lbfgs,
    "distributed": fit_on_a_rank,
    **{
        f"{Estimator.__name__}, {solver}": fit_estimator(Estimator, solver)
        for Estimator in (MLPClassifier, MLPRegressor)
        for solver in ("sgd", "adam", "lbfgs")
    },
}


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


# Checkpoint


@pytest.fixture
def saved(monkeypatch):
    """The epochs after which a trainer was saved."""
    epochs = []
    monkeypatch.setattr(EpochInfo, "save", lambda info, path: epochs.append(len(info.history.loss)))
    return epochs


@pytest.mark.parametrize(
    "seconds_of_epoch, every_seconds, expected",
    [
        (4.0, 10.0, [3, 6, 9, 10]),  # each time from the last checkpoint on
        (5.0, 10.0, [2, 4, 6, 8, 10]),  # exactly so long is enough
        (4.0, 0.0, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        (20.0, 10.0, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        (4.0, 1000.0, [10]),
    ],
)
@pytest.mark.parametrize("every_epochs", [1, 7])
def test_seconds_between_checkpoints(monkeypatch, saved, seconds_of_epoch, every_seconds, expected, every_epochs):
    """A clock that only epochs move; every_epochs counts no more."""
    now = [100.0]
    monkeypatch.setattr(callbacks, "time", SimpleNamespace(monotonic=lambda: now[0]))
    checkpoint = Checkpoint("path", every_epochs, every_seconds)

    def pass_time(info):
        now[0] += seconds_of_epoch

    Trainer(network()).fit(X, Y, 10, callbacks=[pass_time, checkpoint])
    assert saved == expected


@pytest.mark.parametrize("before", [0, 1, 2, 3])
@pytest.mark.parametrize("every", [1, 2, 3])
def test_epochs_between_checkpoints_count_those_of_earlier_fits(saved, before, every):
    trainer = Trainer(network())
    if before:
        trainer.fit(X, Y, before)
    trainer.fit(X, Y, 5, callbacks=[Checkpoint("path", every)])
    last = before + 5
    assert saved == [epoch for epoch in range(before + 1, last + 1) if epoch % every == 0 or epoch == last]


def entries_of(name, values):
    """A trainer whose history gets one value after another, and what a callback returns for each."""
    trainer, history = Trainer(network()), History()

    def add(value):
        history.append({name: value} if name == "loss" else {name: value, "loss": 0.0})
        return EpochInfo(len(history.loss), len(values), {}, trainer.network, trainer, history)

    return map(add, values)


@pytest.mark.parametrize("name", ["loss", "val_loss", "penalty", "accuracy", "val_accuracy"])
def test_the_best_of_all_epochs_is_saved_and_one_as_good_is_not(saved, name):
    """Also of six values of which many are equal, in any order."""
    sign = -1 if "accuracy" in name else 1
    for values in itertools.product([0.25, 0.5, 0.75], repeat=4):
        saved.clear()
        checkpoint = Checkpoint("path", best=name)
        for info in entries_of(name, [sign * value for value in values]):
            checkpoint(info)
        assert saved == [i + 1 for i in range(4) if all(values[i] < earlier for earlier in values[:i])]


# EarlyStopping


def first_to_stop(costs, patience, min_delta):
    """The first epoch with so many behind the last improvement, or None."""
    best, last = math.inf, 0
    for epoch, cost in enumerate(costs, start=1):
        if best - cost > min_delta:
            best, last = cost, epoch
        if epoch - last == patience:
            return epoch
    return None


@pytest.mark.parametrize("name", ["loss", "val_loss", "penalty", "accuracy", "val_accuracy"])
def test_early_stopping_counts_epochs_without_improvement(name):
    """Values with many ties, and steps of exactly min_delta, which are no improvement."""
    rng = np.random.default_rng(0)
    stopped = set()
    for patience, min_delta in itertools.product((1, 2, 3), (0.0, 0.25, 0.5)):
        for _ in range(20):
            costs = (rng.integers(0, 9, 7) * 0.25).tolist()
            values = [-cost for cost in costs] if "accuracy" in name else costs
            stopping = EarlyStopping(name, patience, min_delta)
            answers = []
            for info in entries_of(name, values):
                answers.append(stopping(info))
                # one that begins anew, as after a resume, says the same
                assert EarlyStopping(name, patience, min_delta)(info) is answers[-1]
            expected = first_to_stop(costs, patience, min_delta)
            assert (answers.index(True) + 1 if True in answers else None) == expected
            stopped.add(expected)
    assert {2, 3, 4, 5, None} <= stopped


def test_early_stopping_of_values_that_are_not_numbers_waits():
    stopping = EarlyStopping("loss", 2)
    assert [stopping(info) for info in entries_of("loss", [math.nan, 1.0, math.nan, math.nan])] == [False] * 3 + [True]


def test_early_stopping_warns_of_a_metric_that_is_never_a_number():
    stopping = EarlyStopping("val_a", 2, larger_is_better=True)
    with pytest.warns(UserWarning, match="EarlyStopping ends the fit: val_a has been NaN or infinite in all epochs"):
        history = Trainer(network()).fit(
            X, Y, 9, validation_data=HELD_OUT, callbacks=[stopping], metrics={"a": lambda y, predictions: math.nan}
        )
    assert len(history.loss) == 2


def test_one_early_stopping_counts_each_net_by_itself():
    rates = (0.1, 1e-30)  # the second stands still: a loss that does not improve
    trainers = [Trainer(network(), learning_rate=rate, batch_size=60, shuffle=False) for rate in rates]
    histories = fit_many(trainers, X, Y, 9, callbacks=[EarlyStopping("loss", patience=3)], n_threads=1)
    assert [len(history.loss) for history in histories] == [9, 4]


def test_a_new_one_counts_from_the_beginning_of_its_fit(tmp_path):
    def stopping():
        return EarlyStopping("loss", patience=3, min_delta=9)  # one improvement, the first

    trainer = Trainer(network())
    assert len(trainer.fit(X, Y, 9, callbacks=[stopping()]).loss) == 4
    assert len(trainer.fit(X, Y, 9, callbacks=[stopping()]).loss) == 4, "not one"
    (history,) = fit_many([trainer], X, Y, 9, callbacks=[stopping()])
    assert len(history.loss) == 4
    again = stopping()
    for epochs in (2, 1, 1):
        assert len(trainer.fit(X, Y, epochs, callbacks=[again]).loss) == epochs
    assert len(trainer.fit(X, Y, 9, callbacks=[again]).loss) == 4, "the same one, too, counts anew in each fit"
    assert len(trainer.fit(X, Y, 9, callbacks=[again]).loss) == 4

    model = MLPClassifier((3,), max_iter=9, random_state=0, warm_start=True)
    for _ in range(3):
        model.fit(X, Y, callbacks=[stopping()])
    assert len(model.loss_curve_) == 12


@pytest.mark.parametrize("epochs_before", [0, 5])
def test_a_resumed_fit_stops_where_it_would_have(tmp_path, epochs_before):
    def stopping():
        return EarlyStopping("loss", patience=4, min_delta=9)

    def trainer():
        made = Trainer(network(), batch_size=16)
        if epochs_before:
            made.fit(X, Y, epochs_before)
        return made

    whole, cut = trainer(), trainer()
    assert len(whole.fit(X, Y, 9, callbacks=[stopping()]).loss) == 5
    cut.fit(X, Y, 3, callbacks=[stopping(), Checkpoint(tmp_path / "a")])
    resumed = Trainer.resume(tmp_path / "a")
    assert len(resumed.fit(X, Y, 9, callbacks=[stopping(), Checkpoint(tmp_path / "a")]).loss) == 2
    assert_equal_bits(parameters(resumed.network), parameters(whole.network))
    assert len(resumed.fit(X, Y, 9, callbacks=[stopping()]).loss) == 5, "a fit of its own"
    assert len(Trainer.resume(tmp_path / "a").fit(X, Y, 9, callbacks=[stopping()]).loss) == 1


def test_begin_is_the_number_of_epochs_before_the_fit(tmp_path):
    seen = []

    def note(info):
        seen.append((info.begin, info.epoch, len(info.history.loss)))

    trainer = Trainer(network())
    trainer.fit(X, Y, 2, callbacks=[note])
    trainer.fit(X, Y, 2, callbacks=[note, Checkpoint(tmp_path / "a", every_epochs=3)])
    Trainer.resume(tmp_path / "a").fit(X, Y, 1, callbacks=[note])
    assert seen == [(0, 1, 1), (0, 2, 2), (2, 1, 3), (2, 2, 4), (2, 1, 5)]


def test_a_new_checkpoint_of_the_best_epoch_looks_at_its_own_fit(tmp_path):
    costs = iter([1.0, 2.0, 9.0, 5.0, 6.0, 7.0, 4.0])

    def set_cost(info):
        info.history.loss[-1] = next(costs)

    trainer = Trainer(network())
    trainer.fit(X, Y, 2, callbacks=[set_cost, Checkpoint(tmp_path / "a", best="loss")])
    keep = Checkpoint(tmp_path / "b", best="loss")
    trainer.fit(X, Y, 3, callbacks=[set_cost, keep])
    assert len(Trainer.resume(tmp_path / "b").history.loss) == 4, "the best of the second fit"
    trainer.fit(X, Y, 1, callbacks=[set_cost, keep])
    assert len(Trainer.resume(tmp_path / "b").history.loss) == 4, "7 is worse than 5"
    trainer.fit(X, Y, 1, callbacks=[set_cost, keep])
    assert len(Trainer.resume(tmp_path / "b").history.loss) == 7
    assert len(Trainer.resume(tmp_path / "a").history.loss) == 1


def test_defaults_of_early_stopping():
    stopping = EarlyStopping()
    assert [stopping(info) for info in entries_of("val_loss", [1.0] * 11)] == [False] * 10 + [True]
    eager = EarlyStopping(patience=1)
    assert [eager(info) for info in entries_of("val_loss", [1.0, 1.0 - 1e-15])] == [False, False], "min_delta is 0"


# restore_best, and the end of a fit


def altered(values):
    """A callback that replaces the validation loss by these, in turn."""

    def alter(info):  # before the others are called
        info.history.val_loss[-1] = values[len(info.history.loss) - 1]

    return alter


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("end", ["patience", "epochs", "another callback"])
def test_the_weights_of_the_best_epoch_are_restored_whatever_ends_the_fit(name, end):
    """The second epoch is the best one, by the numbers that the test itself puts in."""
    kept, seen = {}, []

    def keep(info):
        kept[id(info.network), info.epoch] = parameters(info.network)

    def end_early(info):
        return end == "another callback" and info.epoch == 3

    patience = 2 if end == "patience" else 9
    stopping = EarlyStopping("val_loss", patience, restore_best=True)
    fits = FITS[name]([altered([3.0, 1.0, 2.0, 2.0, 2.0]), keep, stopping, end_early, seen.append], 5)
    networks = {id(info.network): info.network for info in seen}
    assert len(networks) == len(fits)
    for key, net in networks.items():
        assert_equal_bits(parameters(net), kept[key, 2])
    epochs = {"patience": 4, "epochs": 5, "another callback": 3}[end]
    assert all(len(fitted.history["loss"]) == epochs for fitted in fits)


@pytest.mark.parametrize("error", [OSError("no"), KeyboardInterrupt()])
@pytest.mark.parametrize("name", FITS)
@pytest.mark.filterwarnings("ignore:Training interrupted")
def test_the_weights_of_the_best_epoch_are_restored_after_an_exception(name, error):
    kept, seen = {}, []

    def keep(info):
        kept[id(info.network), info.epoch] = parameters(info.network)
        seen.append(info)
        if info.epoch == 3:
            raise error

    stopping = EarlyStopping("val_loss", 9, restore_best=True)
    with contextlib.suppress(OSError, KeyboardInterrupt):
        FITS[name]([altered([3.0, 1.0, 2.0]), stopping, keep], 5)
    last = seen[-1].network
    assert not np.array_equal(kept[id(last), 3][0], kept[id(last), 2][0])
    assert_equal_bits(parameters(last), kept[id(last), 2])


@pytest.mark.parametrize("epochs_before", [0, 2])
def test_the_weights_of_the_best_epoch_are_restored_after_a_divergence(epochs_before):
    trainer, kept = Trainer(Network((11, 4), loss="squared_error", dtype="float64")), []
    values, y = altered([2.0, 1.0, 3.0]), np.random.default_rng(0).normal(size=(60, 4))

    def diverge(info):
        kept.append(parameters(info.network))
        info.trainer.learning_rate = 0.01 if info.epoch < epochs_before else 1e300

    stopping = EarlyStopping("val_loss", 9, restore_best=True)
    trainer.learning_rate = 0.01 if epochs_before else 1e300
    with pytest.raises(DivergenceError) as caught:
        trainer.fit(X, y, 5, validation_data=(X, y), callbacks=[values, stopping, diverge])
    found = [str(caught.value), *getattr(caught.value, "__notes__", [])]
    assert any("has restored the weights of the best epoch" in each for each in found) == bool(epochs_before)
    if epochs_before:
        assert_equal_bits(parameters(trainer.network), kept[1])


def test_an_estimator_and_a_fit_without_restoring_keep_the_right_weights():
    models = []
    for restores in (True, False):
        last = []
        model = MLPClassifier((6,), max_iter=4, random_state=0, learning_rate_init=0.1)
        stopping = EarlyStopping("val_loss", 9, restore_best=restores)
        watch = lambda info: last.append(parameters(info.network))  # noqa: E731
        model.fit(X, Y, eval_set=HELD_OUT, callbacks=[altered([3.0, 1.0, 2.0, 2.0]), stopping, watch])
        assert_equal_bits([*model.coefs_, *model.intercepts_], last[1] if restores else last[3])
        models.append(model)
    assert not np.array_equal(models[0].coefs_[0], models[1].coefs_[0])


def test_min_delta_does_not_choose_the_best_epoch_and_nan_is_never_best():
    def of(values):
        trainer, kept = Trainer(network()), []
        stopping = EarlyStopping("val_loss", 9, min_delta=0.5, restore_best=True)
        keep = lambda info: kept.append(parameters(info.network))  # noqa: E731
        trainer.fit(X, Y, len(values), validation_data=HELD_OUT, callbacks=[altered(values), stopping, keep])
        return [all(map(np.array_equal, found, parameters(trainer.network))) for found in kept]

    assert of([1.0, 0.9, 0.8, 2.0]) == [False, False, True, False]
    assert of([math.nan, 2.0, 2.0, math.nan]) == [False, True, False, False]


def test_a_resumed_fit_restores_what_it_has_seen_and_says_if_that_was_not_the_best(tmp_path):
    def stopping():
        return EarlyStopping("val_loss", 9, restore_best=True)

    def resumed(values):
        trainer = Trainer(network())
        pair = [altered(values), Checkpoint(tmp_path / "a")]
        trainer.fit(X, Y, 2, validation_data=HELD_OUT, callbacks=pair)
        kept = []
        keep = lambda info: kept.append(parameters(info.network))  # noqa: E731
        again = Trainer.resume(tmp_path / "a")
        again.fit(X, Y, 3, validation_data=HELD_OUT, callbacks=[altered(values), stopping(), keep])
        return parameters(again.network), kept

    found, kept = resumed([3.0, 2.0, 5.0, 1.0, 5.0])
    assert_equal_bits(found, kept[1])
    with pytest.warns(UserWarning, match="the best epoch was before the trainer was resumed") as warned:
        found, kept = resumed([3.0, 1.0, 5.0, 2.0, 5.0])
    assert_equal_bits(found, kept[2])
    assert warned[0].filename == __file__


def test_the_weights_of_an_earlier_fit_are_not_restored():
    trainer, stopping, kept = Trainer(network()), EarlyStopping("val_loss", 9, restore_best=True), []
    keep = lambda info: kept.append(parameters(info.network))  # noqa: E731
    values = altered([1.0, 2.0, 9.0, 7.0, 8.0])
    for epochs in (2, 3):
        trainer.fit(X, Y, epochs, validation_data=HELD_OUT, callbacks=[values, stopping, keep])
    assert_equal_bits(parameters(trainer.network), kept[3])


def test_a_fit_after_one_that_ended_in_an_error_counts_anew():
    trainer, stopping = Trainer(network()), EarlyStopping("loss", 3, min_delta=9, restore_best=True)

    def fail(info):
        if info.epoch == 3:
            raise OSError("no")

    with pytest.raises(OSError):
        trainer.fit(X, Y, 9, callbacks=[stopping, fail])
    assert len(trainer.fit(X, Y, 9, callbacks=[stopping]).loss) == 4


@pytest.mark.parametrize("kind", ["Trainer", "estimator"])
def test_a_mean_of_the_weights_is_not_restored(kind):
    before = parameters(network())
    trainer = Trainer(network(), average_decay=0.9)
    stopping = EarlyStopping("val_loss", restore_best=True)
    advice = {"Trainer": r"Trainer.resume\(path\).average", "estimator": r"fastmlp.load\(path\)"}[kind]
    with pytest.raises(
        ValueError, match=f"restore_best needs a fit without average_decay: .* {advice} is the best mean"
    ):
        if kind == "Trainer":
            trainer.fit(X, Y, 3, validation_data=HELD_OUT, callbacks=[stopping])
        else:
            MLPClassifier((3,), average_decay=0.9).fit(X, Y, eval_set=HELD_OUT, callbacks=[stopping])
    assert_equal_bits(parameters(trainer.network), before)


@pytest.mark.parametrize("name", [name for name in FITS if name != "fit_many"])
def test_the_end_of_a_fit_is_saved_also_where_a_callback_ends_it(tmp_path, name):
    path, last = tmp_path / "a", {}

    def stop(info):
        last["parameters"] = parameters(info.network)
        return info.epoch == 3

    FITS[name]([Checkpoint(path, every_epochs=2), stop], 9)
    assert_equal_bits(parameters(load(path)), last["parameters"])
    if name == "Trainer":
        assert len(Trainer.resume(path).history.loss) == 3


def test_early_stopping_without_validation_data_says_what_to_pass():
    with pytest.raises(ValueError, match="got 'val_loss': pass validation data .*eval_set of an estimator"):
        Trainer(network()).fit(X, Y, 1, callbacks=[EarlyStopping()])


def test_an_unknown_metric_of_validation_data_is_no_reason_to_pass_them():
    with pytest.raises(ValueError, match=r"got 'val_acc'; did you mean 'val_accuracy'\?$"):
        Trainer(network()).fit(X, Y, 1, validation_data=(X, Y), callbacks=[EarlyStopping("val_acc")])
    with pytest.raises(ValueError, match="got 'val_accuracy'$"):
        Trainer(network()).fit(X, Y, 1, validation_data={"test": (X, Y)}, callbacks=[EarlyStopping("val_accuracy")])


def test_a_checkpoint_that_cannot_be_written_ends_a_fit_before_its_first_epoch(tmp_path):
    before = parameters(net := network())
    for trainer, path, error in (
        (Trainer(net), tmp_path / "missing" / "a", FileNotFoundError),
        (Trainer(net), tmp_path, IsADirectoryError),
        (Trainer(net, schedule=np.cos), tmp_path / "a", ValueError),
    ):
        with pytest.raises(
            error, match="an existing folder: .*missing'|path of a file, not of a folder|got the function cos"
        ):
            trainer.fit(X, Y, 1, callbacks=[Checkpoint(path)])
        assert not trainer.history.loss
    assert_equal_bits(parameters(net), before)
    Trainer(net, schedule=np.cos).fit(X, Y, 1, callbacks=[lambda info: None])


def test_a_checkpoint_that_is_listed_after_the_restoring_holds_what_is_restored(tmp_path):
    kept = []
    keep = lambda info: kept.append(parameters(info.network))  # noqa: E731
    stopping = EarlyStopping("val_loss", 2, restore_best=True)
    callbacks = [altered([3.0, 1.0, 2.0, 2.0]), keep, Checkpoint(tmp_path / "a"), stopping, Checkpoint(tmp_path / "b")]
    Trainer(network()).fit(X, Y, 9, validation_data=HELD_OUT, callbacks=callbacks)
    assert_equal_bits(parameters(load(tmp_path / "a")), kept[3])
    assert_equal_bits(parameters(load(tmp_path / "b")), kept[1])


def test_the_best_epoch_alone_is_saved_with_best(saved):
    keep = Checkpoint("path", best="val_loss")
    Trainer(network()).fit(X, Y, 3, validation_data=HELD_OUT, callbacks=[altered([2.0, 1.0, 3.0]), keep])
    assert saved == [1, 2]


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


# Which direction is better


@pytest.mark.parametrize(
    "name, better",
    [
        ("val_brier_score_loss", min),
        ("score_loss", min),
        ("val_error_score", max),
        ("loss_accuracy", max),
        ("val_score", max),
        ("val_penalty", min),
    ],
)
def test_the_end_of_a_name_says_which_direction_is_better(saved, name, better):
    values = [2.0, 3.0, 1.0, 4.0]
    checkpoint = Checkpoint("path", best=name)
    for info in entries_of(name, values):
        checkpoint(info)
    assert saved == [i + 1 for i, value in enumerate(values) if value == better(values[: i + 1])]


def test_a_name_that_says_both_directions_is_rejected():
    with pytest.raises(ValueError, match="larger_is_better must be True or False for the metric 'val_score_loss_2'"):
        for info in entries_of("val_score_loss_2", [1.0]):
            EarlyStopping("val_score_loss_2")(info)


def test_an_epoch_whose_metric_is_no_number_is_not_the_best(saved):
    checkpoint = Checkpoint("path", best="val_loss")
    for info in entries_of("val_loss", [math.nan, 3.0, math.nan, 2.0, 2.5]):
        checkpoint(info)
    assert saved == [1, 2, 4]


@pytest.mark.parametrize("larger, expected, epochs", [(True, [1, 2, 3, 4, 5], 5), (False, [1], 3)])
def test_the_direction_of_a_metric_may_be_given(saved, larger, expected, epochs):
    """Values that rise: each is the best, or the first is and the fit ends two epochs later."""
    values = iter([1.0, 2.0, 3.0, 4.0, 5.0])

    def add(info):
        info.history.append({"val_auc": next(values)})

    keep = Checkpoint("path", best="val_auc", larger_is_better=larger)
    stopping = EarlyStopping("val_auc", 2, larger_is_better=larger)
    history = Trainer(network()).fit(X, Y, 5, callbacks=[add, keep, stopping])
    assert saved == expected
    assert len(history.loss) == epochs


@pytest.mark.parametrize(
    "make",
    [EarlyStopping, lambda name: Checkpoint("p", best=name), callbacks.ReduceOnPlateau],
    ids=["EarlyStopping", "Checkpoint", "ReduceOnPlateau"],
)
def test_a_metric_of_unknown_direction_is_rejected_and_so_is_one_that_is_no_name(make):
    def add(info):
        info.history.append({"val_auc": 0.5})

    with pytest.raises(ValueError, match="larger_is_better must be True or False for the metric 'val_auc', got None"):
        Trainer(network()).fit(X, Y, 1, callbacks=[add, make("val_auc")])
    with pytest.raises(TypeError, match="must be the name of a metric such as 'val_loss', got 5"):
        make(5)


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


def fit_to_several(kind, trainers, callbacks):
    """With or without joblib's processes."""
    import joblib

    if kind == "fit_many":
        return fit_many(trainers, X, Y, 2, callbacks=callbacks)
    if kind == "fit_ensemble":
        return fit_ensemble({"layer_sizes": SIZES}, X, Y, 2, seeds=range(len(trainers)), callbacks=callbacks)
    if kind == "estimator":
        return MLPClassifier((6,), n_ensemble=len(trainers)).fit(X, Y, callbacks=callbacks)
    backend = joblib.parallel_config("loky", n_jobs=2) if kind == "study, processes" else contextlib.nullcontext()
    with backend:
        return studies.compare([{"layer_sizes": SIZES}], X, Y, 2, seeds=range(len(trainers)), callbacks=callbacks)


@pytest.mark.parametrize("kind", ["fit_many", "fit_ensemble", "study", "study, processes", "estimator"])
def test_one_file_is_not_for_several_networks(tmp_path, kind):
    trainers = [Trainer(network()) for _ in range(2)]
    with pytest.raises(
        TypeError, match=r"Checkpoint writes one file, but this fit has 2 networks: .* info\.save\(path\)"
    ):
        fit_to_several(kind, trainers, [Checkpoint(tmp_path / "a")])
    assert not list(tmp_path.iterdir())
    fit_many(trainers[:1], X, Y, 1, callbacks=[Checkpoint(tmp_path / "a")])
    assert_equal_bits(parameters(load(tmp_path / "a")), parameters(trainers[0].network))


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
