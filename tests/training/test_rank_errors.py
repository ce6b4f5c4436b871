"""Ranks that differ or fail: settings, data, callbacks and divergence of one rank end the fits of all."""

import copy
import itertools
import sys
import threading
import types

import fastmlp
import numpy as np
import pytest
from fastmlp import _core, distributed
from problems import (
    LAYER_SIZES,
    OPTIMIZERS,
    TRAINER_SETTINGS,
    assert_equal_bits,
    parameters,
    problem,
    with_a_huge_target,
)
from ranks import Ranks, network, together


def outcomes_of(work, size=3):
    return Ranks(size).run(work)


def test_bad_data_of_one_rank_raise_on_every_rank():
    X, y = problem(60)
    bad = X.copy()
    bad[50, 3] = np.nan
    nets = [network() for _ in range(3)]
    before = [copy.deepcopy(parameters(net)) for net in nets]

    def work(communicator):
        rank = communicator.rank
        trainer = distributed.Trainer(nets[rank], communicator=communicator)
        trainer.fit((bad if rank == 2 else X)[rank * 20 : rank * 20 + 20], y[rank * 20 : rank * 20 + 20], epochs=1)

    first, second, third = outcomes_of(work)
    assert isinstance(third, ValueError) and "[10, 3]" in str(third)
    for error in (first, second):
        assert isinstance(error, RuntimeError) and "rank 2 could not begin" in str(error)
    for net, values in zip(nets, before):
        assert_equal_bits(parameters(net), values)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(learning_rate=0.2), "learning_rate: 0.2, rank 0 has 0.1"),
        (dict(batch_size=64), "batch_size: 64, rank 0 has 128"),
        (dict(momentum=0.5), "momentum: 0.5, rank 0 has 0.0"),
        (dict(sync_every=2), "sync_every: 2, rank 0 has 1"),
    ],
)
def test_settings_must_be_those_of_rank_0(change, message):
    X, y = problem(60)

    def work(communicator):
        trainer = distributed.Trainer(
            network(), communicator=communicator, **(change if communicator.rank == 1 else {})
        )
        trainer.fit(X, y, epochs=1)

    first, second, third = outcomes_of(work)
    assert isinstance(second, ValueError) and message in str(second)
    assert isinstance(first, RuntimeError) and "rank 1" in str(first)
    assert isinstance(third, RuntimeError)


def rejected_on_one_rank(fit):
    """The error of rank 1 of three; the other two name rank 1 in theirs."""
    outcomes = outcomes_of(fit)
    assert isinstance(outcomes[1], ValueError)
    for rank in (0, 2):
        assert isinstance(outcomes[rank], RuntimeError) and "rank 1 has settings that do not fit" in str(outcomes[rank])
    return str(outcomes[1])


OWN_TO_EACH_RANK = {"n_threads"}  # changes no bit
OF_RANK_0 = {"seed"}  # whose row order all ranks take over


def network_for(setting):
    return network(dtype="float32") if setting == "precision" else network()


@pytest.mark.parametrize("name", sorted(TRAINER_SETTINGS.keys() - OWN_TO_EACH_RANK - OF_RANK_0))
def test_every_setting_of_a_trainer_must_be_that_of_rank_0(name):
    """The table has all parameters of the constructor. A setting that differs is named with both values."""
    X, y = problem(60)
    needed, value = TRAINER_SETTINGS[name]
    default = getattr(fastmlp.Trainer(network_for(name), **needed), name)
    nets = [network_for(name) for _ in range(3)]

    def work(communicator):
        own = {name: value} if communicator.rank == 1 else {}
        trainer = distributed.Trainer(nets[communicator.rank], communicator=communicator, **needed, **own)
        trainer.fit(X, y, epochs=1)

    found = rejected_on_one_rank(work)
    assert f"all ranks must have the same settings, but rank 1 has {name}: {value}, rank 0 has {default}" in found
    for net in nets:
        assert_equal_bits(parameters(net), parameters(network_for(name)))


@pytest.mark.parametrize("name", sorted(TRAINER_SETTINGS.keys() - OWN_TO_EACH_RANK - OF_RANK_0))
def test_a_setting_of_rank_0_alone_is_rejected_by_the_others(name):
    """Also one that they do not have at all, such as a momentum."""
    X, y = problem(60)
    needed, value = TRAINER_SETTINGS[name]

    def work(communicator):
        own = {name: value} if communicator.rank == 0 else {}
        distributed.Trainer(network_for(name), communicator=communicator, **needed, **own).fit(X, y, epochs=1)

    first, *others = outcomes_of(work)
    assert isinstance(first, RuntimeError) and "rank 1, 2 has settings that do not fit" in str(first)
    for error in others:
        assert isinstance(error, ValueError) and f"rank 0 has {value}" in str(error)


@pytest.mark.parametrize("name", sorted(OWN_TO_EACH_RANK | OF_RANK_0))
def test_other_settings_may_differ_and_change_nothing(name):
    X, y = problem(60)

    def work(communicator, differs):
        own = {name: TRAINER_SETTINGS[name][1]} if differs and communicator.rank == 1 else {}
        trainer = distributed.Trainer(network(), communicator=communicator, batch_size=16, **own)
        trainer.fit(X[communicator.rank :: 2], y[communicator.rank :: 2], epochs=3)
        return parameters(trainer.network)

    expected, _ = together(2, lambda communicator: work(communicator, False))
    for found in together(2, lambda communicator: work(communicator, True)):
        assert_equal_bits(found, expected)


@pytest.mark.parametrize(
    "change, own, of_rank_0",
    [
        (dict(layer_sizes=(11, 17, 8, 4)), "network: Network((11, 17, 8, 4)", "Network((11, 17, 9, 4)"),
        (dict(activation="tanh"), "activation='tanh'", "activation='relu'"),
        (dict(loss="squared_error"), "loss='squared_error'", "loss='cross_entropy'"),
        (dict(dtype="float64"), "dtype='float64')", "dtype='float32')"),
        (dict(input_scale=0.5), "input_scale=0.5", "dtype='float32')"),
    ],
)
def test_the_network_must_be_like_that_of_rank_0(change, own, of_rank_0):
    X, y = problem(60)

    def work(communicator):
        settings = {"layer_sizes": LAYER_SIZES, **(change if communicator.rank == 1 else {})}
        net = fastmlp.Network(**settings)
        targets = np.eye(4)[y] if net.loss == "squared_error" else y
        distributed.Trainer(net, communicator=communicator).fit(X, targets, epochs=1)

    own_part, _, rank_0_part = rejected_on_one_rank(work).partition("rank 0 has")
    assert own in own_part and of_rank_0 in rank_0_part


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(epochs=2), "epochs: 2, rank 0 has 1"),
        (dict(max_seconds=60.0), "max_seconds: 60.0, rank 0 has None"),
        (dict(sample_weight=np.ones(60)), "sample_weight: True, rank 0 has False"),
        (dict(validation_data=(np.zeros((1, 11)), [0])), "validation_data: {'val': False}, rank 0 has {}"),
    ],
)
def test_arguments_of_a_fit_must_be_those_of_rank_0(change, message):
    X, y = problem(60)

    def work(communicator):
        own = change if communicator.rank == 1 else {}
        distributed.Trainer(network(), communicator=communicator).fit(X, y, **{"epochs": 1, **own})

    assert message in rejected_on_one_rank(work)


def test_the_instruction_set_must_be_that_of_rank_0(monkeypatch):
    """Sums of other vector lengths have other bits."""
    X, y = problem(60)

    class Core:
        def __getattr__(self, name):
            return getattr(_core, name)

        def current_isa(self):
            return "other" if threading.current_thread().name == "rank 1" else "own"

    monkeypatch.setattr(distributed.trainer, "_core", Core())

    def work(communicator):
        threading.current_thread().name = f"rank {communicator.rank}"
        distributed.Trainer(network(), communicator=communicator).fit(X, y, epochs=1)

    assert "instruction set: other, rank 0 has own" in rejected_on_one_rank(work)


@pytest.mark.parametrize("name", ["learning_rate", "batch_size", "l1", "l2", "accumulate"])
def test_every_setting_that_the_callback_of_one_rank_changes_raises(name):
    X, y = problem(60)
    value = TRAINER_SETTINGS[name][1]

    def work(communicator):
        def change(info):
            if communicator.rank == 1 and info.epoch == 2:
                setattr(info.trainer, name, value)

        trainer = distributed.Trainer(network(), communicator=communicator)
        trainer.fit(X, y, epochs=4, callbacks=[change])

    assert f"{name}: {value}, rank 0 has " in rejected_on_one_rank(work)


@pytest.mark.parametrize("sync_every", [1, 3])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_divergence_in_any_update_raises_with_its_place(name, sync_every):
    """The place is that of one process with all rows; with sync_every, that of the mean. Earlier weights remain."""
    X, y = problem(80, "squared_error", "float32")
    settings = {**OPTIMIZERS[name][0], "batch_size": 20, "shuffle": False}

    def new(communicator):
        net = network("float32", "squared_error")
        return distributed.Trainer(net, communicator=communicator, sync_every=sync_every, **settings)

    def rows(communicator, count):
        """The first of this rank's half, in which each update takes ten."""
        return slice(40 * communicator.rank, 40 * communicator.rank + count)

    for step, bad_rank in itertools.product((1, 2, 3, 4), (0, 1)):
        bad = with_a_huge_target(y, 40 * bad_rank + 10 * step - 1)

        def diverge(communicator):
            trainer = new(communicator)
            own = rows(communicator, 40)
            with np.errstate(all="ignore"), pytest.raises(fastmlp.DivergenceError) as caught:
                trainer.fit(X[own], bad[own], epochs=2)
            return caught.value.epoch, caught.value.step, trainer.core.updates, parameters(trainer.network)

        begin = (step - 1) // sync_every * sync_every  # of the updates up to this mean
        good = max(begin - 1 if sync_every == 1 else begin - sync_every, 0)

        def stop(communicator):
            trainer, own = new(communicator), rows(communicator, 10 * good)
            if good:
                trainer.fit(X[own], y[own], epochs=1)
            return parameters(trainer.network)

        for found, expected in zip(together(2, diverge), together(2, stop)):
            assert found[:3] == (1, min(begin + sync_every, 4), good)
            assert_equal_bits(found[3], expected)


def test_a_setting_that_the_callback_of_one_rank_changes_raises():
    X, y = problem(60)

    def work(communicator):
        trainer = distributed.Trainer(network(), communicator=communicator)

        def change(info):
            if communicator.rank == 1:
                info.trainer.learning_rate = 0.7

        trainer.fit(X, y, epochs=2, callbacks=[change])

    outcomes = outcomes_of(work)
    assert isinstance(outcomes[1], ValueError) and "learning_rate: 0.7, rank 0 has 0.1" in str(outcomes[1])
    assert all(isinstance(outcomes[rank], RuntimeError) for rank in (0, 2))


def test_an_error_in_one_ranks_callback_ends_all_fits():
    X, y = problem(60)

    def work(communicator):
        def fail(info):
            if communicator.rank == 0 and info.epoch == 2:
                raise ValueError("no more paper")

        distributed.Trainer(network(), communicator=communicator).fit(X, y, epochs=5, callbacks=[fail])

    first, *others = outcomes_of(work)
    assert str(first) == "no more paper"
    assert all(
        isinstance(error, RuntimeError) and "rank 0 raised an error in a callback" in str(error) for error in others
    )


def test_one_ranks_callback_can_stop_all():
    X, y = problem(60)

    def work(communicator):
        trainer = distributed.Trainer(network(), communicator=communicator)
        return trainer.fit(X, y, epochs=9, callbacks=[lambda info: communicator.rank == 1 and info.epoch == 4])

    assert [len(history.loss) for history in together(3, work)] == [4, 4, 4]


@pytest.mark.parametrize("sync_every", [1, 4])
def test_divergence_raises_on_every_rank_and_good_weights_remain(sync_every):
    X, y = problem(120, "squared_error")
    nets = [network(loss="squared_error") for _ in range(2)]

    def work(communicator):
        trainer = distributed.Trainer(
            nets[communicator.rank], learning_rate=1e6, batch_size=20, communicator=communicator, sync_every=sync_every
        )
        trainer.fit(X[communicator.rank :: 2], y[communicator.rank :: 2], epochs=40)

    for error in outcomes_of(work, 2):
        assert isinstance(error, fastmlp.DivergenceError), error
        assert error.epoch >= 1 and error.step >= 1
    assert_equal_bits(parameters(nets[0]), parameters(nets[1]))
    assert all(np.isfinite(array).all() for array in parameters(nets[0]))


def test_arguments():
    X, y = problem(60)
    alone = Ranks.Rank(Ranks(1), 0)
    with pytest.raises(ValueError, match="sync_every must be at least 1, got 0"):
        distributed.Trainer(network(), communicator=alone, sync_every=0)
    with pytest.raises(TypeError, match="momentun"):
        distributed.Trainer(network(), communicator=alone, momentun=0.5)
    with pytest.raises(TypeError, match="must be an array or a CSR matrix"):
        distributed.Trainer(network(), communicator=alone).fit(fastmlp.streaming.Stream([(X, y)]), None, epochs=1)
    with pytest.raises(TypeError, match="got a distributed Trainer"):
        fastmlp.fit_many([distributed.Trainer(network(), communicator=alone)], X, y, epochs=1)

    def few(communicator):
        distributed.Trainer(network(), communicator=communicator, batch_size=2).fit(X, y, epochs=1)

    for error in outcomes_of(few):
        assert isinstance(error, ValueError) and "at least the number of ranks, 3, got 2" in str(error)

    def none(communicator):
        distributed.Trainer(network(), communicator=communicator).fit(X[:0], y[:0], epochs=1)

    for error in outcomes_of(none):
        assert isinstance(error, ValueError) and "at least one row together" in str(error)

    def pickled(communicator):
        copy.deepcopy(distributed.Trainer(network(), communicator=communicator))

    assert isinstance(outcomes_of(pickled, 1)[0], TypeError)


def test_the_cores_of_a_machine_are_shared_out_also_where_one_rank_names_its_threads(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(distributed.trainer, "default_thread_count", lambda: 6)

    def work(communicator):
        n_threads = 1 if communicator.rank == 0 else None
        return distributed.Trainer(network(), communicator=communicator, n_threads=n_threads).n_threads

    assert together(3, work) == [1, 2, 2]


def test_a_batch_size_that_a_callback_makes_too_small_raises():
    X, y = problem(60)

    def work(communicator):
        def change(info):
            info.trainer.batch_size = 2

        distributed.Trainer(network(), communicator=communicator).fit(X, y, epochs=2, callbacks=[change])

    for error in outcomes_of(work):
        assert isinstance(error, ValueError) and "at least the number of ranks, 3, got 2" in str(error)


def test_a_network_in_use_by_another_fit_raises_on_every_rank():
    X, y = problem(60)
    nets = [network() for _ in range(3)]

    def work(communicator):
        trainer = distributed.Trainer(nets[communicator.rank], communicator=communicator)
        trainer.fit(X, y, epochs=1)

    with nets[1].core.lock_parameters():
        before = parameters(nets[1])
        first, second, third = outcomes_of(work)
    assert "another" in str(second)
    for error in (first, third):
        assert isinstance(error, RuntimeError) and "rank 1 could not begin" in str(error)
    assert_equal_bits(parameters(nets[1]), before)


@pytest.mark.parametrize("wrong", [dict(n_threads=0), dict(sync_every=0)])
def test_resume_distinguishes_bad_arguments_from_bad_files(tmp_path, wrong):
    alone = Ranks.Rank(Ranks(1), 0)
    distributed.Trainer(network(), communicator=alone).save(tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="must be at least 1") as caught:
        distributed.Trainer.resume(tmp_path / "a.safetensors", communicator=alone, **wrong)
    assert not isinstance(caught.value, fastmlp.ModelFileError)


def test_communicators_of_another_kind_are_rejected():
    """Such as one of mpi4py, which has Allreduce."""

    class OfMPI:
        rank, size, Allreduce = 0, 1, None

    with pytest.raises(TypeError, match="must be a Communicator, got 5 without rank, size, allreduce_, broadcast_$"):
        distributed.Trainer(network(), communicator=5)
    with pytest.raises(TypeError, match=r"without allreduce_, broadcast_: pass MPICommunicator\(comm\)$"):
        distributed.Trainer(network(), communicator=OfMPI())


@pytest.mark.parametrize("error", [RuntimeError, ImportError])
def test_a_missing_mpi_library_is_named(monkeypatch, error):
    def fails(name):
        raise error("cannot load libmpi.so")

    package = types.ModuleType("mpi4py")
    package.__getattr__ = fails
    monkeypatch.setitem(sys.modules, "mpi4py", package)
    with pytest.raises(ImportError, match="needs an MPI library: pip install mpich\ncannot load libmpi.so$"):
        distributed.MPICommunicator()
