"""Checkpoints: five epochs, a new process and five more have the bits of ten; damaged ones raise."""

import contextlib
import copy
import enum
import functools
import json
import operator
import os
import pickle
import struct
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import fastmlp
import numpy as np
import pytest
from fastmlp import DivergenceError, History, ModelFileError, Network, Trainer
from fastmlp.callbacks import Checkpoint, EarlyStopping, LearningRateSchedule
from fastmlp.formats import model_file
from fastmlp.history import EpochInfo
from fastmlp.model_state import unchanged
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import assert_equal_bits, parameters, problem

safetensors = pytest.importorskip("safetensors.numpy")

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
SIZES = (11, 17, 4)
X, Y = problem(150, layer_sizes=SIZES)
KINDS = {
    "sgd": {},
    "momentum": {"momentum": 0.9, "l2": 1e-3},
    "nesterov": {"momentum": 0.8, "nesterov": True, "accumulate": 3},
    "adam": {"optimizer": "adam", "l1": 1e-4, "proximal": True},
    "rows in order": {"shuffle": False, "accumulate": "epoch"},
}


def trainer(kind="momentum", dtype="float32"):
    net = Network(SIZES, dtype=dtype, seed=1)
    return Trainer(net, learning_rate=0.05, batch_size=16, seed=5, **KINDS[kind])


def halving():
    return LearningRateSchedule(lambda epochs: 0.05 * 0.5 ** (epochs // 3))


def without_times(history):
    return {name: values for name, values in vars(history).items() if name != "seconds"}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_five_and_five_epochs_are_ten(tmp_path, kind, dtype):
    path = tmp_path / "checkpoint.safetensors"
    whole, first = trainer(kind, dtype), trainer(kind, dtype)
    whole.fit(X, Y, epochs=10, validation_data=(X[:40], Y[:40]), callbacks=[halving()])
    first.fit(X, Y, epochs=5, validation_data=(X[:40], Y[:40]), callbacks=[halving(), Checkpoint(path)])
    second = Trainer.resume(path)
    assert second.learning_rate == first.learning_rate and second.network.dtype == dtype
    second.fit(X, Y, epochs=5, validation_data=(X[:40], Y[:40]), callbacks=[halving()])
    assert_equal_bits(parameters(second.network), parameters(whole.network))
    assert without_times(second.history) == without_times(whole.history)
    assert len(second.history.seconds) == 10


def test_a_new_process_goes_on_with_the_same_bits(tmp_path):
    path, end = tmp_path / "checkpoint", tmp_path / "end"
    first, whole = trainer("adam"), trainer("adam")
    first.fit(X, Y, epochs=5, callbacks=[Checkpoint(path)])
    whole.fit(X, Y, epochs=10)
    np.savez(tmp_path / "data.npz", X=X, Y=Y)
    script = f"""
        import numpy as np, fastmlp
        data = np.load({str(tmp_path / "data.npz")!r})
        trainer = fastmlp.Trainer.resume({str(path)!r}, n_threads=1)
        trainer.fit(data["X"], data["Y"], epochs=10 - len(trainer.history.loss))
        trainer.save({str(end)!r})
    """
    subprocess.run([sys.executable, "-W", "error", "-c", textwrap.dedent(script)], check=True, timeout=60)
    assert_equal_bits(parameters(fastmlp.load(end)), parameters(whole.network))
    assert Trainer.resume(end).history.loss == whole.history.loss


@pytest.mark.parametrize("travel", [copy.deepcopy, lambda trainer: pickle.loads(pickle.dumps(trainer))])
@pytest.mark.parametrize("kind", KINDS)
def test_a_copied_or_pickled_trainer_goes_on_alike(kind, travel):
    first = trainer(kind)
    first.fit(X, Y, epochs=3)
    other = travel(first)
    assert other.network is not first.network and other.history.loss == first.history.loss
    for each in (first, other):
        each.fit(X, Y, epochs=2)
    assert_equal_bits(parameters(other.network), parameters(first.network))


def test_checkpoints_of_version_1_are_read():
    """Written by the first version that had the format; every later version must read it."""
    found = Trainer.resume(GOLDEN / "checkpoint_1.safetensors")
    assert (found.optimizer, found.learning_rate, found.batch_size, found.l1, found.l2) == ("adam", 0.01, 7, 0.5, 0.25)
    assert found.accumulate == "epoch" and found.core.optimizer_state()[0] == 2 and found.beta_2 == 0.99
    assert len(found.history.loss) == len(found.history.val_accuracy) == 2
    net = fastmlp.load(GOLDEN / "checkpoint_1.safetensors")
    assert_equal_bits(parameters(net), parameters(found.network))
    found.fit(np.eye(3), [0, 1, 1], epochs=1)


@pytest.mark.parametrize("metric", ["val_loss", "val_accuracy"])
def test_the_best_epoch_is_kept(tmp_path, metric):
    path = tmp_path / "best"
    noisy = Trainer(Network(SIZES, seed=1), learning_rate=0.08, batch_size=16)
    noisy.fit(X[:60], Y[:60], epochs=30, validation_data=(X[60:], Y[60:]), callbacks=[Checkpoint(path, best=metric)])
    values = getattr(noisy.history, metric)
    best = int(np.argmin(values) if metric == "val_loss" else np.argmax(values))
    assert 0 < best < 29, "this problem has its best epoch in the middle"
    found = Trainer.resume(path)
    assert len(found.history.loss) == best + 1
    evaluation = found.network.evaluate(X[60:], Y[60:])
    assert (evaluation.loss if metric == "val_loss" else evaluation.accuracy) == values[best]


def test_how_often_checkpoints_are_made(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(Trainer, "save", lambda trainer, path: saved.append(len(trainer.history.loss)))
    trainer().fit(X, Y, epochs=7, callbacks=[Checkpoint(tmp_path / "a", every_epochs=3)])
    assert saved == [3, 6, 7], "and the last"
    saved.clear()
    trainer().fit(X, Y, epochs=3, callbacks=[Checkpoint(tmp_path / "a", every_seconds=1000)])
    assert saved == [3]
    saved.clear()
    trainer().fit(X, Y, epochs=3, callbacks=[Checkpoint(tmp_path / "a", every_seconds=0)])
    assert saved == [1, 2, 3]


def test_paths_of_bytes_are_taken(tmp_path):
    path = os.fsencode(tmp_path) + b"/checkpoint"
    first = trainer()
    first.fit(X, Y, epochs=1, callbacks=[Checkpoint(path)])
    assert Trainer.resume(path).history.loss == first.history.loss
    with pytest.raises(TypeError, match="PathLike object, not int"):
        Checkpoint(3)


class Name(str, enum.Enum):
    NADAM = "nadam"
    BFLOAT16 = "bfloat16"
    EPOCH = "epoch"
    COSINE = "cosine"


@pytest.mark.parametrize(
    "setting",
    [{"optimizer": Name.NADAM}, {"precision": Name.BFLOAT16}, {"accumulate": Name.EPOCH}, {"schedule": Name.COSINE}],
    ids=lambda setting: next(iter(setting)),
)
def test_settings_that_are_members_of_an_enum_survive(tmp_path, setting):
    saved = Trainer(Network(SIZES), **setting)
    saved.fit(X, Y, epochs=1)
    saved.save(tmp_path / "checkpoint")
    (name,) = setting
    expected = Trainer(Network(SIZES), **{name: setting[name].value})
    assert getattr(Trainer.resume(tmp_path / "checkpoint"), name) == getattr(expected, name)


def test_early_stopping_counts_the_epochs_before_a_resume(tmp_path):
    def stopping():
        return EarlyStopping("loss", patience=4, min_delta=10)  # an improvement that never comes again

    whole = trainer()
    assert len(whole.fit(X, Y, epochs=20, callbacks=[stopping()]).loss) == 5
    first = trainer()
    first.fit(X, Y, epochs=3, callbacks=[stopping(), Checkpoint(tmp_path / "a")])
    second = Trainer.resume(tmp_path / "a")
    assert len(second.fit(X, Y, epochs=20, callbacks=[stopping()]).loss) == 2
    assert_equal_bits(parameters(second.network), parameters(whole.network))


def test_early_stopping_waits_for_the_better_direction():
    accuracies = iter([0.5, 0.6, 0.55, 0.6, 0.58])
    each, history = trainer(), History()
    stopping = EarlyStopping("accuracy", patience=3)
    answers = []
    for epoch in range(1, 6):
        history.append({"accuracy": next(accuracies)})
        info = EpochInfo(epoch, 5, {}, each.network, each, history)
        answers.append(stopping(info))
    assert answers == [False, False, False, False, True]


def test_the_history_survives_what_ends_a_fit():
    each = trainer()

    def fail(info):
        if info.epoch == 2:
            raise KeyError("two")

    with pytest.raises(KeyError):
        each.fit(X, Y, epochs=5, callbacks=[fail])
    assert len(each.history.loss) == 2
    each.history.loss.append(0.0)
    assert len(each.history.loss) == 2, "a copy"


@pytest.mark.parametrize(
    "save",
    [
        lambda each, path: each.save(path),
        lambda each, path: Trainer(each.network).save(path),
        lambda each, path: each.network.save(path),
        lambda each, path: pickle.dumps(each),
        lambda each, path: copy.deepcopy(each.network),
        lambda each, path: each.network.to_c(),
    ],
)
def test_what_is_at_work_is_saved_and_copied_by_its_callbacks_alone(tmp_path, save):
    """Otherwise some layers would be of one update and some of another."""
    each, errors = trainer(), []

    def save_elsewhere(info):
        def attempt():
            try:
                save(each, tmp_path / "a")
            except RuntimeError as error:
                errors.append(str(error))

        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()

    each.fit(X, Y, epochs=1, callbacks=[save_elsewhere, lambda info: save(each, tmp_path / "a") and None])
    assert len(errors) == 1 and "another thread" in errors[0]
    save_elsewhere(None)
    assert len(errors) == 1, "after the fit any thread may"
    with pytest.raises(RuntimeError, match="another thread"), unchanged(each.network.core):
        each.fit(X, Y, epochs=1)  # began and ended while another thread copied


class Named(Trainer):
    def __init__(self, *arguments, name="", **settings):
        super().__init__(*arguments, **settings)
        self.name = name


class Slotted(Trainer):
    __slots__ = ("name", "unset")


def test_subclasses_keep_what_is_theirs():
    named, slotted = Named(Network((3, 2)), name="mine"), Slotted(Network((3, 2)))
    slotted.name = "mine, too"
    assert pickle.loads(pickle.dumps(named)).name == "mine"
    assert copy.deepcopy(slotted).name == "mine, too"


def test_callbacks_name_what_does_not_fit(tmp_path):
    with pytest.raises(ValueError, match=r"metric.*'loss'.*'val_loss'"):
        trainer().fit(X, Y, epochs=1, callbacks=[EarlyStopping()])
    with pytest.raises(ValueError, match="patience.*0"):
        EarlyStopping(patience=0)
    with pytest.raises(ValueError, match="every_epochs.*0"):
        Checkpoint(tmp_path / "a", every_epochs=0)
    with pytest.raises(TypeError, match="callable.*3"):
        LearningRateSchedule(3)
    with pytest.raises(TypeError, match="L-BFGS has none"):
        LearningRateSchedule(lambda epochs: 0.1)(EpochInfo(1, 1, {}, Network((2, 2))))
    with pytest.raises(ValueError, match="learning_rate.*-1"):
        trainer().fit(X, Y, epochs=1, callbacks=[LearningRateSchedule(lambda epochs: -1)])


def test_second_moments_beyond_the_range_do_not_end_a_fit(tmp_path):
    """Squares of gradients overflow long before the weights do, which then just stand still."""
    first, whole = (Trainer(Network((1, 1), loss="squared_error"), optimizer="adam") for _ in range(2))
    data = np.full((8, 1), 1e3), np.full((8, 1), 1e18)
    first.fit(*data, epochs=2, callbacks=[Checkpoint(tmp_path / "a")])
    assert any(np.isinf(array).any() for layer in first.core.optimizer_state()[1] for array in layer)
    whole.fit(*data, epochs=4)
    second = Trainer.resume(tmp_path / "a")
    second.fit(*data, epochs=2)
    assert_equal_bits(parameters(second.network), parameters(whole.network))


def test_a_trainer_that_diverged_is_saved_and_resumed(tmp_path):
    first = Trainer(Network((1, 1), loss="squared_error"))
    ones, huge = np.ones((8, 1)), np.full((8, 1), 1e30)
    with pytest.raises(DivergenceError):
        first.fit(ones, ones, epochs=2, validation_data=(huge, ones))
    assert not np.isfinite(first.history.val_loss).all()
    first.save(tmp_path / "a")
    second = Trainer.resume(tmp_path / "a")
    np.testing.assert_array_equal(second.history.val_loss, first.history.val_loss)
    assert_equal_bits(parameters(second.network), parameters(first.network))


def altered(path, metadata=None, **tensors):
    """The file with some metadata and tensors changed or, where None, left out."""
    arrays, found = model_file.read(path)
    arrays, found = {**arrays, **tensors}, {**found, **(metadata or {})}
    content = safetensors.save(
        {name: array for name, array in arrays.items() if array is not None},
        {name: value for name, value in found.items() if value is not None},
    )
    path.write_bytes(content)


@pytest.mark.parametrize(
    "metadata, tensors, reason",
    [
        ({"content": "network"}, {}, "checkpoint holds a network, not a checkpoint: fastmlp.load reads"),
        ({"content": "x" * 100_000}, {}, "holds a x{100}"),
        ({"trainer.learning_rate": "x" * 100_000}, {}, "learning_rate"),
        ({"trainer.optimizer": "x" * 100_000}, {}, "optimizer"),
        ({}, {"x" * 100_000: np.zeros(1, np.float32)}, "do not belong"),
        ({"trainer.learning_rate": "-1.0"}, {}, "learning_rate"),
        ({"trainer.learning_rate": None}, {}, "learning_rate"),
        ({"trainer.optimizer": "adagrad"}, {}, "adagrad"),
        ({"trainer.momentum": "0.0"}, {}, "another optimizer"),
        ({"trainer.momentum": "1.5"}, {}, "momentum"),
        ({"trainer.batch_size": "0"}, {}, "batch_size"),
        ({"trainer.accumulate": "Epoch"}, {}, "accumulate"),
        ({"trainer.shuffle": "yes"}, {}, "shuffle"),
        ({"rows.state": "-1"}, {}, "rows.state"),
        ({"rows.state": str(2**128)}, {}, "rows.state"),
        ({"rows.has_uint32": "2"}, {}, "has_uint32"),
        ({"steps": "-1"}, {}, "steps"),
        ({"steps": str(2**64)}, {}, "steps"),
        ({"steps": str(2**63 - 1)}, {}, "steps"),  # the next would overflow
        ({"steps": str(2**62)}, {}, "steps"),
        ({}, {"optimizer.0.0": None}, "optimizer.0.0"),
        ({}, {"optimizer.0.1": np.zeros((1, 17), np.float32)}, "optimizer.0.1"),
        ({}, {"weights.1": np.full((17, 4), np.nan, np.float32)}, "weights.1 must be finite, got nan"),
        ({}, {"biases.0": np.full(17, np.inf, np.float32)}, "biases.0 must be finite, got inf"),
        ({}, {"optimizer.9.0": np.zeros(1, np.float32)}, "optimizer.9.0"),
        ({}, {"history.loss": np.zeros((2, 2))}, "history.loss"),
        ({}, {"history.loss": np.zeros(2, np.float32)}, "history.loss"),
        ({}, {"history.not a name": np.zeros(2)}, "not a name"),
        ({}, {"history.copy": np.zeros(2)}, "'copy' is no name of a metric"),
        ({}, {"history.out_of_time": np.zeros(2)}, "'out_of_time' is no name of a metric"),
        ({"trainer.learning_rate_factors": "5"}, {}, "learning_rate_factors"),
        ({"trainer.learning_rate_factors": "null"}, {}, "learning_rate_factors"),
        ({"trainer.learning_rate_factors": '["a", "bb"]'}, {}, "learning_rate_factors"),
        ({"trainer.learning_rate_factors": '{"a": 1, "b": 2}'}, {}, "learning_rate_factors"),
        ({"trainer.learning_rate_factors": "[[1, 2]]"}, {}, "learning_rate_factors"),
    ],
)
def test_damaged_checkpoints_raise(tmp_path, metadata, tensors, reason):
    path = tmp_path / "checkpoint"
    first = trainer()
    first.fit(X, Y, epochs=2)
    first.save(path)
    altered(path)
    Trainer.resume(path)
    altered(path, metadata, **tensors)
    with pytest.raises(ModelFileError, match=reason) as error:
        Trainer.resume(path)
    assert len(str(error.value)) < 500, "a message, not a copy of the file"


@pytest.mark.parametrize(
    "name, value", [("optimizer.1.0", np.nan), ("optimizer.1.2", np.nan), ("optimizer.0.4", np.inf)]
)
def test_damaged_state_of_an_optimizer_raises(tmp_path, name, value):
    """The first moment, the second one, and the running mean of the weights."""
    path = tmp_path / "checkpoint"
    first = Trainer(Network((3, 2, 2)), optimizer="adam", average_decay=0.9)
    first.fit(np.eye(3), [0, 1, 1], epochs=1)
    first.save(path)
    array = model_file.read(path)[0][name].copy()
    array[0, 0] = value
    altered(path, **{name: array})
    with pytest.raises(ModelFileError, match=name):
        Trainer.resume(path)


def checkpoint_bytes(folder):
    first = Trainer(Network((3, 2)), optimizer="adam", batch_size=2)
    first.fit(np.eye(3), [0, 1, 1], epochs=1, validation_data=(np.eye(3), [0, 1, 1]))
    first.save(folder / "whole")
    return (folder / "whole").read_bytes()


def assert_told_or_trains(path):
    try:
        found = Trainer.resume(path)
    except ModelFileError as error:
        assert len(str(error)) < 500
        return
    net = found.network
    with contextlib.suppress(DivergenceError):  # of a learning rate of 1e300, say
        found.fit(np.zeros((3, net.layer_sizes[0])), np.zeros(3, int), epochs=1)
    assert all(np.isfinite(array).all() for array in parameters(net))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_flipped_bits_give_an_error_or_a_trainer_that_trains(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("flips")
    whole = bytearray(checkpoint_bytes(folder))
    for place in data.draw(st.lists(st.integers(0, 8 * len(whole) - 1), min_size=1, max_size=8)):
        whole[place // 8] ^= 1 << place % 8
    (folder / "flipped").write_bytes(whole)
    assert_told_or_trains(folder / "flipped")


def places(value, before=()):
    """The keys that lead to each entry of a header."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield (*before, key)
        yield from places(value[key], (*before, key))


FORGERIES = [None, True, -1, 2**63, 2**64, 1e308, "", "0", "1", "-0", "nan", "1e400", "1e-300", str(2**62 - 1)]
FORGERIES += [str(2**63 - 1), "9" * 5000, "F64", "I8", "sgd", "epoch", "1, 1", "checkpoint", [], {}, [0, 0], [2**63, 2]]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_forged_headers_give_an_error_or_a_trainer_that_trains(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("forged")
    whole = checkpoint_bytes(folder)
    end = 8 + int.from_bytes(whole[:8], "little")
    header = dict(sorted(json.loads(whole[8:end]).items()))  # safetensors writes the metadata in any order, and
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))  # what is drawn must not depend on it
    for _ in range(data.draw(st.integers(1, 3))):
        *before, last = data.draw(st.sampled_from(list(places(header))))
        forgery = copy.deepcopy(data.draw(st.sampled_from(FORGERIES)))  # the next one may change a list in it
        functools.reduce(operator.getitem, before, header)[last] = forgery
    content = json.dumps(header).encode()
    (folder / "forged").write_bytes(struct.pack("<Q", len(content)) + content + whole[end:])
    assert_told_or_trains(folder / "forged")
