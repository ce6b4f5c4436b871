"""EarlyStopping: when a fit ends, and which weights the network has then."""

import contextlib
import itertools
import math

import numpy as np
import pytest
from callback_fits import FITS, HELD_OUT, X, Y, altered, entries_of, network
from fastmlp import DivergenceError, MLPClassifier, Network, Trainer, fit_many
from fastmlp.callbacks import Checkpoint, EarlyStopping
from problems import assert_equal_bits, parameters

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


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


def test_defaults_of_early_stopping():
    stopping = EarlyStopping()
    assert [stopping(info) for info in entries_of("val_loss", [1.0] * 11)] == [False] * 10 + [True]
    eager = EarlyStopping(patience=1)
    assert [eager(info) for info in entries_of("val_loss", [1.0, 1.0 - 1e-15])] == [False, False], "min_delta is 0"


# restore_best, and the end of a fit


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


def test_early_stopping_without_validation_data_says_what_to_pass():
    with pytest.raises(ValueError, match="got 'val_loss': pass validation data .*eval_set of an estimator"):
        Trainer(network()).fit(X, Y, 1, callbacks=[EarlyStopping()])


def test_an_unknown_metric_of_validation_data_is_no_reason_to_pass_them():
    with pytest.raises(ValueError, match=r"got 'val_acc'; did you mean 'val_accuracy'\?$"):
        Trainer(network()).fit(X, Y, 1, validation_data=(X, Y), callbacks=[EarlyStopping("val_acc")])
    with pytest.raises(ValueError, match="got 'val_accuracy'$"):
        Trainer(network()).fit(X, Y, 1, validation_data={"test": (X, Y)}, callbacks=[EarlyStopping("val_accuracy")])
