"""Data-parallel training: ranks in threads of this process, beside one process with all rows; and over MPI."""

import copy
import inspect
import itertools
import threading

import fastmlp
import numpy as np
import pytest
from fastmlp import _core, distributed
from problems import (
    DTYPES,
    LAYER_SIZES,
    OPTIMIZERS,
    TRAINER_SETTINGS,
    assert_close,
    assert_equal_bits,
    parameters,
    problem,
    with_a_huge_target,
)
from teams import TEAMS, team_of

SECONDS_TO_WAIT = 60


class Ranks:
    """`Communicator` for threads."""

    class Rank:
        def __init__(self, ranks, rank):
            self._ranks, self.rank, self.size = ranks, rank, ranks.size

        def allreduce_(self, buffer):
            self._ranks.exchange(self.rank, buffer, lambda given: sum(given[1:], start=given[0].copy()))

        def broadcast_(self, buffer):
            self._ranks.exchange(self.rank, buffer, lambda given: given[0])

        def ranks_on_these_cores(self):
            self.allreduce_(np.zeros(1))  # a question to all, as over MPI
            return self.size

    def __init__(self, size):
        self.size = size
        self._given = [None] * size
        self._barrier = threading.Barrier(size, timeout=SECONDS_TO_WAIT)

    def exchange(self, rank, buffer, combine):
        self._given[rank] = buffer.copy()
        self._barrier.wait()
        result = combine(self._given)
        self._barrier.wait()
        buffer[:] = result

    def run(self, work):
        """What work(communicator) returns or raises on each rank."""
        outcomes = [None] * self.size

        def one(rank):
            try:
                with np.errstate(all="ignore"):
                    outcomes[rank] = work(self.Rank(self, rank))
            except Exception as error:
                outcomes[rank] = error

        threads = [threading.Thread(target=one, args=(rank,)) for rank in range(self.size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return outcomes


def together(size, work):
    outcomes = Ranks(size).run(work)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
    return outcomes


def shards(rows, size):
    """As uneven as given, or even."""
    rows = [rows // size] * size if isinstance(rows, int) else rows
    ends = np.cumsum([0, *rows])
    return [slice(begin, end) for begin, end in zip(ends, ends[1:])]


def network(dtype="float64", loss="cross_entropy", seed=1):
    return fastmlp.Network(LAYER_SIZES, loss=loss, dtype=dtype, seed=seed)


def orders_of(seed, epochs, parts):
    """Of each epoch and rank, the rows of the rank's shard."""
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        epoch_seed = int(rng.integers(1 << 62))
        yield [
            np.random.default_rng((epoch_seed, rank)).permutation(part.stop - part.start) + part.start
            for rank, part in enumerate(parts)
        ]


def rows_of_batch(batch, size):
    return [batch // size + (rank < batch % size) for rank in range(size)]


def side_by_side(orders, own):
    """The rows of all ranks, batch by batch, and the sizes of the batches."""
    updates = max(-(-len(order) // rows) for order, rows in zip(orders, own))
    batches = [
        np.concatenate([order[i * rows : (i + 1) * rows] for order, rows in zip(orders, own)]) for i in range(updates)
    ]
    return batches


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("size, rows, batch", [(1, 40, 16), (2, 64, 16), (3, [20, 31, 7], 10), (4, [9, 0, 23, 1], 8)])
def test_ranks_do_what_one_process_does(size, rows, batch, optimizer, loss):
    parts = shards(rows, size)
    X, y = problem(parts[-1].stop, loss)
    settings = dict(OPTIMIZERS[optimizer][0], batch_size=batch, seed=5, l1=1e-3, l2=1e-2)

    def work(communicator):
        part = parts[communicator.rank]
        trainer = distributed.Trainer(network(loss=loss, seed=communicator.rank), communicator=communicator, **settings)
        trainer.fit(X[part], y[part], epochs=3)
        return parameters(trainer.network), trainer.history

    outcomes = together(size, work)
    alone = fastmlp.Trainer(network(loss=loss, seed=0), shuffle=False, **settings)
    losses = []
    for orders in orders_of(5, 3, parts):
        total = 0
        for chosen in side_by_side(orders, rows_of_batch(batch, size)):  # each batch an epoch of its own
            total += alone.fit(X[chosen], y[chosen], epochs=1).loss[0] * len(chosen)
        losses.append(total / len(X))
    for found, history in outcomes:
        assert_equal_bits(found, outcomes[0][0])
        assert_close(found, parameters(alone.network), 1e-12)
        np.testing.assert_allclose(history.loss, losses, rtol=1e-12)
        assert history.penalty == outcomes[0][1].penalty


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_do_not_depend_on_threads(dtype):
    X, y = problem(240, dtype=dtype)

    def work(communicator, n_threads):
        trainer = distributed.Trainer(network(dtype), communicator=communicator, batch_size=60, n_threads=n_threads)
        trainer.fit(X[communicator.rank :: 2], y[communicator.rank :: 2], epochs=2)
        return parameters(trainer.network)

    one, _ = together(2, lambda communicator: work(communicator, 1))
    for n_threads in TEAMS:
        with team_of(n_threads):
            many, _ = together(2, lambda communicator: work(communicator, n_threads))
        assert_equal_bits(one, many)


@pytest.mark.parametrize("sync_every", [1, 3])
@pytest.mark.parametrize("rows", [60, [50, 0, 10], [60, 0, 0]])
def test_all_ranks_count_the_same_updates(rows, sync_every):
    """Also one that has no rows: its next update of Adam is that of the others, and so is a checkpoint of it."""
    parts = shards(rows, 3)
    X, y = problem(60)

    def work(communicator):
        part, settings = parts[communicator.rank], dict(batch_size=6, sync_every=sync_every)
        trainer = distributed.Trainer(network(), "adam", communicator=communicator, **settings)
        counts = []
        for _ in range(2):
            trainer.fit(X[part], y[part], epochs=1)
            counts.append(trainer._core.updates)
        return counts, parameters(trainer.network)

    outcomes = together(3, work)
    assert outcomes[0][0][1] == 2 * outcomes[0][0][0] > 0
    for counts, params in outcomes[1:]:
        assert counts == outcomes[0][0]
        assert_equal_bits(params, outcomes[0][1])


@pytest.mark.parametrize("accumulate, rows", [(3, 60), ("epoch", 60), ("epoch", [50, 0, 10]), (2**62, [50, 0, 10])])
def test_accumulation_is_a_larger_batch(accumulate, rows):
    parts = shards(rows, 3)
    X, y = problem(60)

    def work(communicator, **settings):
        part = parts[communicator.rank]
        trainer = distributed.Trainer(network(), communicator=communicator, shuffle=False, **settings)
        trainer.fit(X[part], y[part], epochs=2)
        return parameters(trainer.network)

    found = together(3, lambda communicator: work(communicator, batch_size=6, accumulate=accumulate))[0]
    if accumulate in ("epoch", 2**62):
        alone = fastmlp.Trainer(network(), batch_size=60, shuffle=False)
        alone.fit(X, y, epochs=2)
        expected = parameters(alone.network)
    else:
        expected = together(3, lambda communicator: work(communicator, batch_size=18))[0]
    assert_close(found, expected, 1e-12)


def test_validation_is_of_all_ranks_rows():
    X, y = problem(90)

    def work(communicator):
        own = slice(communicator.rank, None, 3)
        trainer = distributed.Trainer(network(), communicator=communicator, batch_size=30)
        held_out = (X[60:][own], y[60:][own]) if communicator.rank else (X[:0], y[:0])
        trainer.fit(X[:60][own], y[:60][own], epochs=2, validation_data=held_out)
        return trainer

    trainers = together(3, work)
    seen = np.concatenate([np.arange(60, 90)[rank::3] for rank in (1, 2)])
    expected = trainers[0].network.evaluate(X[seen], y[seen])
    for trainer in trainers:
        np.testing.assert_allclose(trainer.history.val_loss[-1], expected.loss, rtol=1e-12)
        assert trainer.history.val_accuracy[-1] == expected.accuracy


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("rows", [64, [40, 24], [64, 0]])
def test_sync_every_averages_what_the_ranks_have_learnt(optimizer, rows):
    parts = shards(rows, 2)
    X, y = problem(64)
    settings = dict(OPTIMIZERS[optimizer][0], batch_size=16, shuffle=False)

    def work(communicator):
        part = parts[communicator.rank]
        trainer = distributed.Trainer(network(), communicator=communicator, sync_every=3, **settings)
        trainer.fit(X[part], y[part], epochs=1)
        return parameters(trainer.network), trainer._core.updates

    (first, steps), (second, _) = together(2, work)
    assert_equal_bits(first, second)

    # By hand: trainers that go on from the mean of parameters and states.
    updates = max(-(-(part.stop - part.start) // 8) for part in parts)
    assert steps == updates
    values, done = None, 0
    while done < updates:
        begin, done = done, min(done + 3, updates)
        after, used = [], []
        for part in parts:
            trainer = fastmlp.Trainer(network(), **{**settings, "batch_size": 8})
            if values is not None:
                trainer._core.set_memory(values)
                trainer._core.updates = begin
            chosen = np.arange(part.start, part.stop)[begin * 8 : done * 8]
            if len(chosen):
                trainer.fit(X[chosen], y[chosen], epochs=1)
            after.append(trainer._core.memory())
            used.append(len(chosen))
        values = sum(array * count for array, count in zip(after, used)) / sum(used)
    trainer._core.set_memory(values)
    assert_close(first, parameters(trainer.network), 1e-12)


def test_checkpoints_resume_with_the_bits_of_an_uninterrupted_fit_and_on_other_numbers_of_ranks(tmp_path):
    X, y = problem(60)
    path = tmp_path / "ranks.safetensors"

    def fit(trainer, epochs):
        rank, size = trainer.communicator.rank, trainer.communicator.size
        trainer.fit(X[rank::size], y[rank::size], epochs=epochs)
        return trainer

    def new(communicator):
        return distributed.Trainer(network(), "adam", 0.01, 20, communicator=communicator, seed=3)

    whole = together(2, lambda communicator: fit(new(communicator), 6))
    together(2, lambda communicator: fit(new(communicator), 3).save(path))
    resumed = together(2, lambda communicator: fit(distributed.Trainer.resume(path, communicator=communicator), 3))
    for trainer in resumed:
        assert_equal_bits(parameters(trainer.network), parameters(whole[0].network))
        assert trainer.history.loss == whole[0].history.loss

    def behind(communicator):  # a rank that has not read the file
        has_read = communicator.rank == 0
        return fit(distributed.Trainer.resume(path, communicator=communicator) if has_read else new(communicator), 3)

    for trainer in together(2, behind):
        assert trainer.history.loss == whole[0].history.loss

    three = together(3, lambda communicator: fit(distributed.Trainer.resume(path, communicator=communicator), 3))
    assert len(three[0].history.loss) == 6
    assert_equal_bits(parameters(three[0].network), parameters(three[2].network))
    assert three[0].history.loss[-1] < three[0].history.loss[0]
    alone = fastmlp.Trainer.resume(path)
    alone.fit(X, y, epochs=3)
    assert alone.history.loss[:3] == three[0].history.loss[:3]


def test_checkpoint_callbacks_write_once(tmp_path):
    X, y = problem(40)
    path = tmp_path / "ranks.safetensors"

    def work(communicator):
        trainer = distributed.Trainer(network(), communicator=communicator, batch_size=8)
        callbacks = [
            fastmlp.callbacks.Checkpoint(path),
            fastmlp.callbacks.EarlyStopping("loss", patience=1, min_delta=9),
        ]
        trainer.fit(X[communicator.rank :: 2], y[communicator.rank :: 2], epochs=50, callbacks=callbacks)
        return trainer

    trainers = together(2, work)
    assert [len(trainer.history.loss) for trainer in trainers] == [2, 2]
    assert_equal_bits(parameters(fastmlp.load(path)), parameters(trainers[1].network))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def outcomes_of(work, size=3):
    return Ranks(size).run(work)


def test_one_ranks_bad_data_are_everybodys_error():
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
        (dict(momentum=0.5), "momentum: 0.5, rank 0 has None"),
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


def refused_on_one_rank(fit):
    """What rank 1 of three says, beside the two others, who say that it is rank 1."""
    outcomes = outcomes_of(fit)
    assert isinstance(outcomes[1], ValueError)
    for rank in (0, 2):
        assert isinstance(outcomes[rank], RuntimeError) and "rank 1 has settings that do not fit" in str(outcomes[rank])
    return str(outcomes[1])


OWN_TO_EACH_RANK = {"n_threads"}  # changes no bit
OF_RANK_0 = {"seed"}  # whose row order all ranks take over


@pytest.mark.parametrize("name", sorted(TRAINER_SETTINGS.keys() - OWN_TO_EACH_RANK - OF_RANK_0))
def test_every_setting_of_a_trainer_must_be_that_of_rank_0(name):
    """The table has all parameters of the constructor. A setting that differs is named with both values."""
    X, y = problem(60)
    needed, value = TRAINER_SETTINGS[name]
    default = inspect.signature(fastmlp.Trainer).parameters[name].default
    nets = [network() for _ in range(3)]

    def work(communicator):
        own = {name: value} if communicator.rank == 1 else {}
        trainer = distributed.Trainer(nets[communicator.rank], communicator=communicator, **needed, **own)
        trainer.fit(X, y, epochs=1)

    found = refused_on_one_rank(work)
    of_rank_0 = None if name == "momentum" else default  # which plain SGD does not have
    assert f"all ranks must have the same settings, but rank 1 has {name}: {value}, rank 0 has {of_rank_0}" in found
    for net in nets:
        assert_equal_bits(parameters(net), parameters(network()))


@pytest.mark.parametrize("name", sorted(TRAINER_SETTINGS.keys() - OWN_TO_EACH_RANK - OF_RANK_0))
def test_a_setting_of_rank_0_alone_is_refused_by_the_others(name):
    """Also one that they do not have at all, such as a momentum."""
    X, y = problem(60)
    needed, value = TRAINER_SETTINGS[name]

    def work(communicator):
        own = {name: value} if communicator.rank == 0 else {}
        distributed.Trainer(network(), communicator=communicator, **needed, **own).fit(X, y, epochs=1)

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

    own_part, _, rank_0_part = refused_on_one_rank(work).partition("rank 0 has")
    assert own in own_part and of_rank_0 in rank_0_part


@pytest.mark.parametrize(
    "change, found",
    [
        (dict(epochs=2), "epochs: 2, rank 0 has 1"),
        (dict(validation_data=(np.zeros((1, 11)), [0])), "validation_data: given, rank 0 has none"),
    ],
)
def test_arguments_of_a_fit_must_be_those_of_rank_0(change, found):
    X, y = problem(60)

    def work(communicator):
        own = change if communicator.rank == 1 else {}
        distributed.Trainer(network(), communicator=communicator).fit(X, y, **{"epochs": 1, **own})

    assert found in refused_on_one_rank(work)


def test_the_instruction_set_must_be_that_of_rank_0(monkeypatch):
    """Sums of other vector lengths have other bits."""
    X, y = problem(60)

    class Core:
        def __getattr__(self, name):
            return getattr(_core, name)

        def current_isa(self):
            return "other" if threading.current_thread().name == "rank 1" else "own"

    monkeypatch.setattr(distributed, "_core", Core())

    def work(communicator):
        threading.current_thread().name = f"rank {communicator.rank}"
        distributed.Trainer(network(), communicator=communicator).fit(X, y, epochs=1)

    assert "instruction set: other, rank 0 has own" in refused_on_one_rank(work)


@pytest.mark.parametrize("name", ["learning_rate", "batch_size", "l1", "l2", "accumulate"])
def test_every_setting_that_one_ranks_callback_changes_is_told(name):
    X, y = problem(60)
    value = TRAINER_SETTINGS[name][1]

    def work(communicator):
        def change(info):
            if communicator.rank == 1 and info.epoch == 2:
                setattr(info.trainer, name, value)

        trainer = distributed.Trainer(network(), communicator=communicator)
        trainer.fit(X, y, epochs=4, callbacks=[change])

    assert f"{name}: {value}, rank 0 has " in refused_on_one_rank(work)


@pytest.mark.parametrize("sync_every", [1, 3])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_divergence_in_any_update_is_told_with_its_place(name, sync_every):
    """That of the rows side by side in one process; with sync_every, that of the mean. Earlier weights remain."""
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
            with np.errstate(all="ignore"), pytest.raises(fastmlp.DivergenceError) as told:
                trainer.fit(X[own], bad[own], epochs=2)
            return told.value.epoch, told.value.step, trainer._core.updates, parameters(trainer.network)

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


def test_a_setting_that_one_ranks_callback_changes_is_told():
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
def test_divergence_is_told_on_every_rank_and_good_weights_remain(sync_every):
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


def test_the_cores_of_a_machine_are_shared_out_also_where_one_rank_names_its_threads():
    def work(communicator):
        n_threads = 1 if communicator.rank == 0 else None
        return distributed.Trainer(network(), communicator=communicator, n_threads=n_threads).n_threads

    first, *others = together(3, work)
    assert first == 1 and all(threads >= 1 for threads in others)


def test_a_batch_size_that_a_callback_makes_too_small_is_told():
    X, y = problem(60)

    def work(communicator):
        def change(info):
            info.trainer.batch_size = 2

        distributed.Trainer(network(), communicator=communicator).fit(X, y, epochs=2, callbacks=[change])

    for error in outcomes_of(work):
        assert isinstance(error, ValueError) and "at least the number of ranks, 3, got 2" in str(error)


def test_a_network_in_use_by_another_fit_is_told_on_every_rank():
    X, y = problem(60)
    nets = [network() for _ in range(3)]

    def work(communicator):
        trainer = distributed.Trainer(nets[communicator.rank], communicator=communicator)
        trainer.fit(X, y, epochs=1)

    with nets[1]._core.lock_parameters():
        before = parameters(nets[1])
        first, second, third = outcomes_of(work)
    assert "another" in str(second)
    for error in (first, third):
        assert isinstance(error, RuntimeError) and "rank 1 could not begin" in str(error)
    assert_equal_bits(parameters(nets[1]), before)


@pytest.mark.parametrize("wrong", [dict(n_threads=0), dict(sync_every=0)])
def test_resume_tells_bad_arguments_from_bad_files(tmp_path, wrong):
    alone = Ranks.Rank(Ranks(1), 0)
    distributed.Trainer(network(), communicator=alone).save(tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="must be at least 1") as told:
        distributed.Trainer.resume(tmp_path / "a.safetensors", communicator=alone, **wrong)
    assert not isinstance(told.value, fastmlp.ModelFileError)
