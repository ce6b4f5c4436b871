"""Checkpoint: after which epochs it saves, and which value of a metric is better."""

import contextlib
import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
from callback_fits import FITS, HELD_OUT, SIZES, X, Y, altered, entries_of, network
from fastmlp import MLPClassifier, Trainer, callbacks, fit_ensemble, fit_many, load, studies
from fastmlp.callbacks import Checkpoint, EarlyStopping
from fastmlp.history import EpochInfo
from problems import assert_equal_bits, parameters

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


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
