"""Data-parallel training: ranks in threads of this process, beside one process with all rows."""

import fastmlp
import numpy as np
import pytest
from fastmlp import distributed
from problems import (
    DTYPES,
    OPTIMIZERS,
    assert_close,
    assert_equal_bits,
    parameters,
    problem,
)
from ranks import network, together
from teams import TEAMS, team_of


def shards(rows, size):
    """As uneven as given, or even."""
    rows = [rows // size] * size if isinstance(rows, int) else rows
    ends = np.cumsum([0, *rows])
    return [slice(begin, end) for begin, end in zip(ends, ends[1:])]


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
            counts.append(trainer.core.updates)
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


@pytest.mark.parametrize("sync_every", [1, 2])
def test_one_rank_has_the_bits_of_one_process_in_each_precision(sync_every):
    X, y = problem(60)
    settings = {"batch_size": 16, "shuffle": False}
    trained = {}
    for precision in (None, "bfloat16", "bfloat16_amx"):
        one, alone = (fastmlp.Network((X.shape[1], 24, 20), loss="cross_entropy", seed=3) for _ in range(2))
        fastmlp.Trainer(alone, precision=precision, **settings).fit(X, y, epochs=2)

        def work(communicator, net=one, precision=precision):
            more = {"sync_every": sync_every, "communicator": communicator}
            distributed.Trainer(net, precision=precision, **settings, **more).fit(X, y, epochs=2)

        together(1, work)
        assert_equal_bits(parameters(one), parameters(alone))
        trained[precision] = parameters(one)
    assert not np.array_equal(trained[None][0], trained["bfloat16"][0])


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
        return parameters(trainer.network), trainer.core.updates

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
                trainer.core.set_memory(values)
                trainer.core.updates = begin
            chosen = np.arange(part.start, part.stop)[begin * 8 : done * 8]
            if len(chosen):
                trainer.fit(X[chosen], y[chosen], epochs=1)
            after.append(trainer.core.memory())
            used.append(len(chosen))
        values = sum(array * count for array, count in zip(after, used)) / sum(used)
    trainer.core.set_memory(values)
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


def test_ranks_without_the_checkpoint_take_the_place_in_its_fit(tmp_path):
    """It was written in a fit that was to be longer, so the schedule and EarlyStopping go on with that fit."""
    X, y = problem(60)
    path = tmp_path / "ranks.safetensors"

    def fit(trainer, **more):
        rank = trainer.communicator.rank
        trainer.fit(X[rank::2], y[rank::2], epochs=2, **more)
        return parameters(trainer.network), trainer.history.learning_rate

    def new(communicator):
        return distributed.Trainer(network(), batch_size=20, schedule="cosine", seed=3, communicator=communicator)

    def interrupted(info):
        info.trainer.save(path)
        return True

    def go_on(communicator, has_read):
        resumes = communicator.rank in has_read
        trainer = distributed.Trainer.resume(path, communicator=communicator) if resumes else new(communicator)
        begins = []
        return fit(trainer, callbacks=[lambda info: begins.append(info.begin)]), begins

    together(2, lambda communicator: fit(new(communicator), callbacks=[interrupted]))
    expected = together(2, lambda communicator: go_on(communicator, [0, 1]))[0]
    for (params, rates), begins in together(2, lambda communicator: go_on(communicator, [0])):
        assert_equal_bits(params, expected[0][0])
        assert (rates, begins) == (expected[0][1], expected[1])


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
