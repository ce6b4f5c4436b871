"""Streams: their rows and the order of these, their bits, and their errors."""

import threading

import fastmlp
import numpy as np
import pytest
import scipy.sparse
from fastmlp import training_data
from fastmlp.streaming import Stream
from problems import (
    DTYPES,
    OPTIMIZERS,
    assert_equal_bits,
    parameters,
    problem,
    with_a_huge_target,
)
from streams import epoch_of, network, trained


@pytest.fixture(params=["arrays", "files", "memory maps"])
def source(request, tmp_path):
    def make(X, y):
        if request.param == "arrays":
            return X, y
        for name, array in (("x", X), ("y", y)):
            np.save(tmp_path / f"{name}.npy", array)
        if request.param == "files":
            return tmp_path / "x.npy", str(tmp_path / "y.npy")
        return tuple(np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("x", "y"))

    return make


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_one_chunk_has_the_bits_of_the_arrays(source, loss, shuffle):
    X, y = problem(70, loss)
    whole = trained(X, y, loss=loss, shuffle=shuffle)
    listed = trained(Stream([(X, y)]), loss=loss, shuffle=shuffle)
    assert_equal_bits(parameters(listed.network), parameters(whole.network))
    assert listed.history.loss == whole.history.loss and listed.history.accuracy == whole.history.accuracy
    if not shuffle:  # with it, the blocks draw from the same generator
        read = trained(Stream.of_rows(*source(X, y)), loss=loss, shuffle=False)
        assert_equal_bits(parameters(read.network), parameters(whole.network))


@pytest.mark.parametrize("blocks", [1, 4])
@pytest.mark.parametrize("optimizer", [{}, dict(momentum=0.9), dict(optimizer="adam", learning_rate=0.01)])
def test_chunks_are_trained_on_one_after_another(source, optimizer, blocks):
    X, y = problem(100)
    stream = Stream.of_rows(*source(X, y), chunk_rows=32, blocks_per_chunk=blocks)
    found = trained(stream, epochs=2, shuffle=False, **optimizer)
    expected = fastmlp.Trainer(network(), batch_size=16, shuffle=False, **optimizer)
    for _ in range(2):
        losses = [
            expected.fit(X[begin : begin + 32], y[begin : begin + 32], epochs=1).loss[0] * len(X[begin : begin + 32])
            for begin in range(0, 100, 32)
        ]
    assert_equal_bits(parameters(found.network), parameters(expected.network))
    np.testing.assert_allclose(found.history.loss[-1], sum(losses) / 100, rtol=1e-14)
    assert stream.rows == 100


@pytest.mark.parametrize(
    "rows, chunk_rows, blocks",
    [(1, 5, 2), (64, 64, 64), (100, 32, 4), (101, 30, 7), (97, 10, 99), (50, 7, 1), (9, 9, 1)],
)
def test_an_epoch_brings_each_row_once(source, rows, chunk_rows, blocks):
    X = np.arange(rows, dtype=np.float32)[:, None] * [1, 2]
    stream = Stream.of_rows(*source(X, np.arange(rows)), chunk_rows=chunk_rows, blocks_per_chunk=blocks)
    for seed in (None, 0, 1):
        chunks = epoch_of(stream, seed)
        assert all(len(x) <= chunk_rows and (x[:, 0] == y).all() for x, y in chunks)
        seen = np.concatenate([y for _, y in chunks])
        assert sorted(seen) == list(range(rows))
        if seed is None:
            assert list(seen) == list(range(rows))


def test_the_shuffle_is_as_good_as_it_says():
    """A chunk holds so many blocks from all over the data, and each epoch others."""
    y = np.arange(10_000)
    stream = Stream.of_rows(y[:, None].astype(np.float32), y, chunk_rows=1000, blocks_per_chunk=50)
    first, second = (epoch_of(stream, seed) for seed in (0, 1))
    for chunks in (first, second):
        assert len(chunks) == 10
        for _, rows in chunks:
            blocks = np.unique(rows // 20)
            assert len(blocks) == 50 and blocks.min() < 150 and blocks.max() > 350  # of 500
    assert set(first[0][1]) != set(second[0][1])


def test_sorted_rows_are_learnt_like_shuffled_ones():
    pytest.importorskip("matplotlib")
    x_train, y_train, x_test, y_test = fastmlp.datasets.make_digits(4000, 1000)
    by_label = np.argsort(y_train, kind="stable")
    x_train, y_train = x_train[by_label], y_train[by_label]

    def accuracy(X, y=None, shuffle=True):
        net = fastmlp.Network((784, 32, 10), input_scale=1 / 255)
        fastmlp.Trainer(net, learning_rate=0.1, batch_size=50, shuffle=shuffle).fit(X, y, epochs=4)
        return net.evaluate(x_test, y_test).accuracy

    stream = Stream.of_rows(x_train, y_train, chunk_rows=1000, blocks_per_chunk=50)
    assert accuracy(stream) > accuracy(x_train, y_train) - 0.05  # which seeds differ by, too
    assert accuracy(stream, shuffle=False) < 0.3  # the last label alone is remembered


def test_streams_resume_with_the_bits_of_an_uninterrupted_fit(tmp_path):
    X, y = problem(100)
    stream = Stream.of_rows(X, y, chunk_rows=32)
    whole = trained(stream, epochs=6, optimizer="adam")
    trained(stream, epochs=3, optimizer="adam").save(tmp_path / "half.safetensors")
    resumed = fastmlp.Trainer.resume(tmp_path / "half.safetensors")
    resumed.fit(stream, None, epochs=3)
    assert_equal_bits(parameters(resumed.network), parameters(whole.network))


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_any_iterable_of_chunks_will_do(dtype, shuffle):
    """Chunks of other types and sizes; an object whose __iter__ begins anew. The bits of one fit per chunk."""
    X, y = problem(90)

    class Chunks:
        def __iter__(self):
            yield X[:30].astype(np.float32), y[:30].tolist()
            yield scipy.sparse.csr_matrix(X[30:50]), y[30:50]
            yield X[50:], y[50:]

    stream = Stream(Chunks())
    net = network(dtype)
    settings = dict(batch_size=10, shuffle=shuffle, momentum=0.5, seed=3)
    history = fastmlp.Trainer(net, **settings).fit(stream, None, epochs=3, validation_data=(X, y))
    assert stream.rows == 90
    expected, losses, held_out = fastmlp.Trainer(network(dtype), **settings), [], []
    for _ in range(3):
        parts = [(expected.fit(*chunk, epochs=1), len(chunk[1])) for chunk in Chunks()]
        losses.append(sum(part.loss[0] * rows for part, rows in parts) / 90)
        held_out.append(expected.network.evaluate(X, y).loss)
    assert_equal_bits(parameters(net), parameters(expected.network))
    np.testing.assert_allclose(history.loss, losses, rtol=1e-14)
    assert history.val_loss == held_out


def test_the_order_of_shuffled_rows_is_that_of_the_seed(source):
    """Blocks are permuted, then the rows of each chunk, by the trainer's one generator: written out, on arrays."""
    X, y = problem(100)
    found = trained(Stream.of_rows(*source(X, y), chunk_rows=32, blocks_per_chunk=4), epochs=2)
    expected, rng = fastmlp.Trainer(network(), batch_size=16, shuffle=False), np.random.default_rng(5)
    for _ in range(2):
        blocks = [np.arange(100)[8 * block : 8 * block + 8] for block in rng.permutation(13)]  # one of four rows
        for first in range(0, 13, 4):
            rows = np.concatenate(blocks[first : first + 4])
            rows = rows[rng.permutation(len(rows))]
            expected.fit(X[rows], y[rows], epochs=1)
    assert_equal_bits(parameters(found.network), parameters(expected.network))


def test_rows_are_those_of_the_last_epoch_and_a_loss_is_the_mean_over_its_epoch_s():
    X, y = problem(90)

    class Growing:
        epochs = 0

        def __iter__(self):
            self.epochs += 1
            for begin in range(0, 20 * self.epochs, 20):
                yield X[begin : begin + 20], y[begin : begin + 20]

    stream = Stream(Growing())
    assert stream.rows is None
    trainer = fastmlp.Trainer(network(), learning_rate=1e-30)  # no weight changes
    seen = []
    history = trainer.fit(stream, None, epochs=4, callbacks=[lambda info: seen.append(stream.rows)])
    assert seen == [20, 40, 60, 80]
    losses = [trainer.network.evaluate(X[:rows], y[:rows]) for rows in seen]
    np.testing.assert_allclose(history.loss, [found.loss for found in losses], rtol=1e-12)
    assert history.accuracy == [found.accuracy for found in losses]


@pytest.mark.parametrize(
    "chunks, error, message",
    [
        (lambda X, y: [], ValueError, "at least one chunk"),
        (lambda X, y: [(X, y), (X, y[:-1])], ValueError, "y must have shape"),
        (lambda X, y: [(X, y), X], TypeError, "a chunk must be a pair"),
        (lambda X, y: [(X, y), (np.full_like(X, np.nan), y)], ValueError, r"finite, got nan at \[0, 0\]"),
        (lambda X, y: [(X[:, :3], y)], ValueError, "shape"),
        (lambda X, y: [(X, y + 4)], ValueError, r"labels must lie in \[0, 4\)"),
    ],
)
def test_bad_chunks_raise(chunks, error, message):
    X, y = problem(40)
    given = chunks(X, y)
    net = network()
    with pytest.raises(error, match=message) as caught:
        fastmlp.Trainer(net, batch_size=8).fit(Stream(given), None, epochs=2)
    if given and error is ValueError:
        assert f"chunk {len(given) - 1} of the stream" in caught.value.__notes__
    assert all(np.isfinite(p).all() for p in parameters(net))
    fastmlp.Trainer(net).fit(X, y, epochs=1)  # no lock is left behind


FAULTS_OF_CHUNKS = {
    "NaN": (lambda X, y: (np.where(np.arange(20)[:, None] == 7, np.nan, X), y), "X must be finite, got nan at .7, 0."),
    "infinity": (lambda X, y: (np.where(X == X[3, 2], np.inf, X), y), "X must be finite, got inf at .3, 2."),
    "CSR with NaN": (lambda X, y: (scipy.sparse.csr_matrix(X * ([np.nan] + [1] * 10)), y), "X must be finite, got nan"),
    "beyond the range": (lambda X, y: (X * 1e300, y), "X must be within the range of float32"),
    "a label too large": (lambda X, y: (X, np.where(np.arange(20) == 5, 4, y)), r"labels must lie in \[0, 4\), got 4"),
    "a label below zero": (lambda X, y: (X, np.where(np.arange(20) == 5, -1, y)), r"in \[0, 4\), got -1 in row 5"),
    "labels of another kind": (lambda X, y: (X, y + 0.5), "y must be integer class labels"),
    "text": (lambda X, y: (X.astype(str), y), "X must be an array of real numbers"),
    "other features": (lambda X, y: (X[:, :10], y), r"X must have shape \(samples, 11\), got \(20, 10\)"),
    "fewer labels": (lambda X, y: (X, y[:-1]), r"y must have shape \(20,\), one label per row of X, got \(19,\)"),
    "no rows": (lambda X, y: (X[:0], y[:0]), "at least one row"),
    "no pair": (lambda X, y: (X, y, y, y), r"a chunk must be a pair \(X, y\) or a triple .*, got a tuple of 4"),
}


@pytest.mark.parametrize("epoch", [1, 2, 4])
@pytest.mark.parametrize("fault", FAULTS_OF_CHUNKS)
def test_chunks_are_checked_in_every_epoch(fault, epoch):
    """The error names the chunk, and the network is as after the one before it."""
    X, y = problem(60)
    spoil, message = FAULTS_OF_CHUNKS[fault]
    for bad in range(3):

        class Chunks:
            epochs = 0

            def __iter__(self):
                self.epochs += 1
                for number in range(3):
                    rows = slice(20 * number, 20 * number + 20)
                    here = (self.epochs, number) == (epoch, bad)
                    yield spoil(X[rows], y[rows]) if here else (X[rows], y[rows])

        trainer, twin = (fastmlp.Trainer(network("float32"), batch_size=8, seed=5) for _ in range(2))
        with np.errstate(all="ignore"), pytest.raises((ValueError, TypeError), match=message) as caught:
            trainer.fit(Stream(Chunks()), None, epochs=5)
        assert caught.value.__notes__ == [f"chunk {bad} of the stream"]
        assert len(trainer.history.loss) == epoch - 1
        for _ in range(epoch - 1):
            for number in range(3):
                twin.fit(X[20 * number : 20 * number + 20], y[20 * number : 20 * number + 20], epochs=1)
        for number in range(bad):
            twin.fit(X[20 * number : 20 * number + 20], y[20 * number : 20 * number + 20], epochs=1)
        assert_equal_bits(parameters(trainer.network), parameters(twin.network))


@pytest.mark.parametrize("what, value", [("X", np.nan), ("X", np.inf), ("y", 4), ("y", -1)])
def test_values_of_files_and_arrays_are_checked_in_each_fit(source, what, value):
    """In its first epoch, whichever row they stand in, and again in the next fit."""
    X, y = problem(60)
    for row in (0, 31, 59):
        bad = {"X": X.copy(), "y": y.copy()}
        bad[what][row] = value
        stream = Stream.of_rows(*source(bad["X"], bad["y"]), chunk_rows=16, blocks_per_chunk=4)
        trainer = fastmlp.Trainer(network(), batch_size=8)
        for _ in range(2):
            with pytest.raises(ValueError, match=f"got {value}"):
                trainer.fit(stream, None, epochs=1)
        assert trainer.history.loss == []


def test_rows_of_files_and_arrays_are_checked_once_a_fit_and_other_chunks_in_each_epoch(monkeypatch, source):
    X, y = problem(60)
    checked, check = [], training_data.check_inputs
    monkeypatch.setattr(training_data, "check_inputs", lambda *arguments: checked.append(1) or check(*arguments))
    trainer = fastmlp.Trainer(network())
    stream = Stream.of_rows(*source(X, y), chunk_rows=20)
    for fits in (1, 2):
        trainer.fit(stream, None, epochs=4)
        assert len(checked) == 3 * fits
    checked.clear()
    trainer.fit(Stream([(X[:30], y[:30]), (X[30:], y[30:])]), None, epochs=4)
    assert len(checked) == 2 * 4


def test_an_iterator_ends_with_its_first_epoch():
    X, y = problem(40)
    trainer = fastmlp.Trainer(network())
    with pytest.raises(ValueError, match="got none; an iterator ends with its first epoch"):
        trainer.fit(Stream(chunk for chunk in [(X, y)]), None, epochs=2)
    assert len(trainer.history.loss) == 1


def test_an_error_while_a_chunk_is_made_is_raised_where_the_fit_was_called():
    X, y = problem(40)

    class Chunks:
        def __iter__(self):
            yield X, y
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        fastmlp.Trainer(network()).fit(Stream(Chunks()), None, epochs=1)


class Chunks:
    """Yields chunks; without a len()."""

    def __init__(self, chunks):
        self.chunks = chunks

    def __iter__(self):
        return iter(self.chunks)


class SizedChunks(Chunks):
    def __len__(self):
        return len(self.chunks)


class MoreChunks(Chunks):
    """Than their len() says."""

    def __len__(self):
        return len(self.chunks) - 1


def chunks_of(rows, size):
    X, y = problem(rows)
    return [(X[begin : begin + size], y[begin : begin + size]) for begin in range(0, rows, size)]


SCHEDULED = {
    "schedule": dict(schedule="cosine"),
    "dropout": dict(dropout=0.4, dropout_schedule="cosine"),
    "weight decay": dict(optimizer="adamw", weight_decay_schedule="flat_cos"),
}


@pytest.mark.parametrize("settings", SCHEDULED.values(), ids=SCHEDULED)
@pytest.mark.parametrize("kind", [list, SizedChunks, Chunks])
def test_a_schedule_of_chunks_does_not_depend_on_former_epochs(tmp_path, kind, settings):
    stream = Stream(kind(chunks_of(100, 32)))
    whole = trained(stream, epochs=4, **settings)
    again = trained(stream, epochs=4, **settings)  # the stream knows its rows now
    assert_equal_bits(parameters(again.network), parameters(whole.network))

    def interrupt(info):
        if info.epoch == 1:
            raise KeyboardInterrupt

    part = fastmlp.Trainer(network(), batch_size=16, seed=5, **settings)
    keep = fastmlp.callbacks.Checkpoint(tmp_path / "part.safetensors")
    with pytest.raises(KeyboardInterrupt):
        part.fit(Stream(kind(chunks_of(100, 32))), None, 4, callbacks=[keep, interrupt])
    resumed = fastmlp.Trainer.resume(tmp_path / "part.safetensors")
    resumed.fit(Stream(kind(chunks_of(100, 32))), None, 3)
    assert_equal_bits(parameters(resumed.network), parameters(whole.network))


def test_the_progress_counts_chunks_that_have_a_len():
    X, y = problem(64)
    whole = trained(X, y, epochs=2, schedule="cosine")
    assert_equal_bits(
        parameters(trained(Stream([(X, y)]), epochs=2, schedule="cosine").network), parameters(whole.network)
    )
    rates = {kind: [] for kind in (SizedChunks, Chunks, MoreChunks)}
    for kind, seen in rates.items():

        def rate(progress, seen=seen):
            seen.extend(np.atleast_1d(progress).tolist())
            return 1 - progress / 2

        fastmlp.Trainer(network(), batch_size=16, schedule=rate).fit(Stream(kind(chunks_of(96, 32))), None, 2)
    expected = [(epoch + (chunk + batch / 2) / 3) / 2 for epoch in range(2) for chunk in range(3) for batch in range(2)]
    assert set(np.round(expected, 12)) <= set(np.round(rates[SizedChunks], 12)) <= {*np.round(expected, 12), 1.0}
    assert set(rates[Chunks]) <= {0.0, 0.5, 1.0}
    assert set(rates[MoreChunks]) == {0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1}


def test_a_warm_up_of_a_stream_without_a_len_warns():
    warm_up = fastmlp.schedules.cosine(warmup=0.1)
    with pytest.warns(UserWarning, match="stays at a learning rate of 0 in the whole first epoch"):
        fastmlp.Trainer(network(), schedule=warm_up).fit(Stream(Chunks(chunks_of(64, 32))), None, 1)
    fastmlp.Trainer(network(), schedule=warm_up).fit(Stream(chunks_of(64, 32)), None, 1)
    fastmlp.Trainer(network(), schedule="cosine").fit(Stream(Chunks(chunks_of(64, 32))), None, 1)


def test_chunks_of_one_batch_leave_nothing_to_accumulate():
    X, y = np.ones((40, 6)), np.zeros(40, int)
    net = fastmlp.Network((6, 3))
    with pytest.warns(
        UserWarning, match="accumulate has no effect on the first chunk .* 20 rows are one batch"
    ) as warned:
        fastmlp.Trainer(net, batch_size=20, accumulate=2).fit(Stream([(X[:20], y[:20]), (X[20:], y[20:])]), None, 2)
    assert len(warned) == 1
    fastmlp.Trainer(net, batch_size=19, accumulate=2).fit(Stream([(X[:20], y[:20])]), None, 1)
    fastmlp.Trainer(net, batch_size=20).fit(Stream([(X[:20], y[:20])]), None, 1)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_divergence_raises_with_its_place_in_the_epoch(name, accumulate):
    """That of the same rows as one array; weights and optimizer are as before it, in the chunk that diverged."""
    X, y = problem(120, "squared_error", "float32")
    rows_of_update, of_chunk = 10 * accumulate, 4 // accumulate

    def new():
        settings = {**OPTIMIZERS[name][0], "batch_size": 10, "accumulate": accumulate, "shuffle": False}
        return fastmlp.Trainer(network("float32", "squared_error"), **settings)

    for step in range(1, 1 + 120 // rows_of_update):
        bad = with_a_huge_target(y, step * rows_of_update - 1)
        whole, parts, twin = new(), new(), new()
        places = []
        for trainer, data in ((whole, (X, bad)), (parts, (Stream.of_rows(X, bad, chunk_rows=40), None))):
            with (
                np.errstate(all="ignore"),
                pytest.raises(fastmlp.DivergenceError, match=f"at update {step} of") as caught,
            ):
                trainer.fit(*data, epochs=3)
            places.append((caught.value.epoch, caught.value.step, caught.value.learning_rate))
        assert places == [(1, step, parts.learning_rate)] * 2
        before_chunk = (step - 1) // of_chunk * of_chunk
        good = max(step - 2, before_chunk)
        if good:
            twin.fit(X[: good * rows_of_update], y[: good * rows_of_update], epochs=1)
        assert parts.core.updates == twin.core.updates == good
        for trainer in (parts, twin):
            trainer.fit(X, y, epochs=1)
        assert_equal_bits(parameters(parts.network), parameters(twin.network))


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov"])
@pytest.mark.parametrize("chunk", [0, 1, 2])
def test_weights_that_blow_up_in_a_chunk_s_last_update_raise_with_its_place(name, chunk):
    """No loss has shown it yet. Rows of zeros change no weight."""
    X, y = problem(120, "squared_error", "float32")
    taught = np.arange(120) // 20 == 2 * chunk + 1  # a chunk has two updates
    X, y = np.where(taught[:, None], 100 * X, 0), np.where(taught[:, None], y, 0)
    settings = {**OPTIMIZERS[name][0], "learning_rate": 3e38, "batch_size": 20, "shuffle": False}
    net = fastmlp.Network((11, 4), loss="squared_error", seed=1)
    before = parameters(net)
    trainer = fastmlp.Trainer(net, **settings)
    with pytest.raises(fastmlp.DivergenceError, match="the weights are not finite in epoch 1 at update") as caught:
        trainer.fit(Stream.of_rows(X, y, chunk_rows=40), None, epochs=2)
    assert (caught.value.epoch, caught.value.step, trainer.core.updates) == (1, 2 * chunk + 2, 2 * chunk + 1)
    assert_equal_bits(parameters(net), before)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_divergence_in_a_later_epoch_raises_with_its_number(name):
    X, y = problem(120, "squared_error", "float32")
    errors = []
    for data in ((X, y), (Stream.of_rows(X, y, chunk_rows=40), None)):
        settings = {**OPTIMIZERS[name][0], "batch_size": 10, "shuffle": False}
        trainer = fastmlp.Trainer(network("float32", "squared_error"), **settings)

        def explode(info):
            if info.epoch == 2:
                info.trainer.learning_rate = 1e30

        with np.errstate(all="ignore"), pytest.raises(fastmlp.DivergenceError, match=r"learning_rate=1e\+30") as error:
            trainer.fit(*data, epochs=5, callbacks=[explode])
        errors.append((error.value.epoch, error.value.step, error.value.learning_rate, len(trainer.history.loss)))
    assert errors[0] == errors[1] and errors[0][0] == 3 and errors[0][2:] == (1e30, 2)


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda X, y: Stream(5), TypeError, "iterable of"),
        (lambda X, y: Stream.of_rows(X, y[:-1]), ValueError, r"one entry per row of X, 40, got shape \(39,\)"),
        (lambda X, y: Stream.of_rows(X[:0], y[:0]), ValueError, r"samples >= 1, features >= 1\), got \(0, 11\)"),
        (lambda X, y: Stream.of_rows(X[0], y), ValueError, r"got \(11,\)"),
        (lambda X, y: Stream.of_rows(X.astype(str), y), TypeError, "real numbers"),
        (
            lambda X, y: Stream.of_rows(scipy.sparse.csr_matrix(X), y),
            TypeError,
            "sparse matrix: give parts of it as chunks",
        ),
        (lambda X, y: Stream.of_rows(X, y, chunk_rows=0), ValueError, "chunk_rows must be at least 1, got 0"),
        (lambda X, y: Stream.of_rows(X, y, blocks_per_chunk=0), ValueError, "blocks_per_chunk must be at least 1"),
    ],
)
def test_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make(*problem(40))


def test_arguments_of_fit():
    X, y = problem(40)
    with pytest.raises(TypeError, match="y must be None with a Stream, whose chunks hold it"):
        fastmlp.Trainer(network()).fit(Stream([(X, y)]), y, epochs=1)
    with pytest.raises(ValueError, match="accumulate='epoch'"):
        fastmlp.Trainer(network(), accumulate="epoch").fit(Stream([(X, y)]), None, epochs=1)


def test_other_functions_reject_a_stream():
    X, y = problem(40)
    stream, net = Stream([(X, y)]), network()
    for call in (
        lambda: net.evaluate(stream, None),
        lambda: net.forward(stream),
        lambda: fastmlp.Trainer(net).fit(X, y, 1, validation_data=(stream, None)),
        lambda: fastmlp.fit_many([fastmlp.Trainer(net)], stream, None, 1),
    ):
        with pytest.raises(TypeError, match="got a Stream, which only Trainer.fit accepts: .* mmap_mode"):
            call()


def test_a_callback_cannot_request_one_update_per_epoch():
    X, y = problem(40)

    def request(info):
        info.trainer.accumulate = "epoch"

    with pytest.raises(ValueError, match="accumulate='epoch'"):
        fastmlp.Trainer(network()).fit(Stream.of_rows(X, y, chunk_rows=20), None, epochs=2, callbacks=[request])


def test_chunks_have_the_requested_rows_if_blocks_divide_them():
    X, y = problem(6000)
    assert [len(y) for _, y in epoch_of(Stream.of_rows(X, y, chunk_rows=1000))] == [1000] * 6
    assert [len(y) for _, y in epoch_of(Stream.of_rows(X, y))] == [6000]


@pytest.mark.parametrize("blocks", [1, 4])
@pytest.mark.parametrize("masked", ["X", "y"])
def test_masked_entries_of_a_stream_are_rejected(masked, blocks):
    arrays = dict(zip(("X", "y"), problem(40)))
    arrays[masked] = np.ma.array(arrays[masked], mask=False)
    arrays[masked][7] = np.ma.masked
    stream = Stream.of_rows(arrays["X"], arrays["y"], chunk_rows=20, blocks_per_chunk=blocks)
    with pytest.raises(ValueError, match=f"{masked} must have no masked entries"):
        trained(stream)


@pytest.mark.parametrize("chunk_rows", [700, 1000, 1024, 2**61, None])
def test_one_block_per_chunk_is_a_part_of_the_array(chunk_rows):
    X, y = problem(1000)
    for x, *_ in (
        load()(2) for load in Stream.of_rows(X, y, chunk_rows=chunk_rows, blocks_per_chunk=1)._epoch(None, [])
    ):
        assert np.shares_memory(x, X)


@pytest.mark.parametrize("dtype", ["u1", "?", "i1", "<i8", "f2", "<f4", ">f4", "<f8"])
def test_chunks_by_default_take_64_mib_as_the_core_holds_them(dtype):
    class Rows:
        shape, dtype = (10**6, 2000), np.dtype("u1")

    Rows.dtype = np.dtype(dtype)
    stream = Stream.of_rows(Rows(), np.zeros(10**6, int))
    chunk = np.zeros((100, 2000), dtype)
    taken = training_data.check_inputs(fastmlp.Network((2000, 2)).spec, chunk, 1)
    bytes_of_row = (chunk.nbytes + (0 if taken is chunk else taken.nbytes)) / 100
    rows = stream._per_chunk * stream._block_rows
    assert 0.8 * 2**26 < rows * bytes_of_row <= 2**26


def test_an_interrupt_while_the_reading_thread_starts_leaves_no_thread(monkeypatch):
    X, y = problem(40)
    start = threading.Thread.start

    def start_and_interrupt(self):
        start(self)
        raise KeyboardInterrupt

    before = threading.active_count()
    monkeypatch.setattr(threading.Thread, "start", start_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        trained(Stream([(X, y)]))
    assert threading.active_count() == before


@pytest.mark.parametrize("rows", [1, 1000, 1023, 1024, 1025, 2047, 2048, 2049, 3000])
def test_chunks_by_default_are_a_multiple_of_1024_rows_where_that_is_less(monkeypatch, rows):
    monkeypatch.setattr(fastmlp.streaming, "CHUNK_BYTES", 3 * rows + 2)
    X = np.zeros((7000, 3), np.uint8)
    first, *_ = epoch_of(Stream.of_rows(X, np.zeros(7000), blocks_per_chunk=1))
    assert len(first[1]) == (rows if rows < 1024 else rows - rows % 1024)


@pytest.mark.parametrize("rows", [64, 65, 611])  # 611 is prime: no block of several rows divides it
def test_rows_of_a_single_chunk_are_trained_as_in_memory(rows):
    X, y = problem(rows, layer_sizes=(11, 4))
    nets = [fastmlp.Network((11, 9, 4), seed=1) for _ in range(2)]
    trainers = [fastmlp.Trainer(net, batch_size=50, shuffle=False) for net in nets]
    trainers[0].fit(X, y, epochs=2)
    trainers[1].fit(Stream.of_rows(X, y, chunk_rows=10**6), None, epochs=2)
    assert_equal_bits(parameters(nets[1]), parameters(nets[0]))
