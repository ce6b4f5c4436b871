"""Streams of files: damage and changes under them, what they read, and the memory that they need."""

import json
import os
import subprocess
import sys

import fastmlp
import numpy as np
import pytest
from fastmlp import _core
from fastmlp.streaming import Stream
from problems import (
    assert_equal_bits,
    parameters,
    problem,
    without_sanitizer,
)
from streams import epoch_of, network, trained


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda data: data[:-1], "must have 448 bytes for shape .40.., got 447"),
        (lambda data: data + b"\0", "must have 448 bytes"),
        (lambda data: b"PK" + data[2:], "is not a .npy file"),
        (lambda data: data[:20], "is not a .npy file"),
        (lambda data: b"", "is not a .npy file"),
        (lambda data: data.replace(b"'<i8'", b"'|O8'"), "numbers, got object"),
        (lambda data: data.replace(b"{'descr'", b"{'des((("), "is not a .npy file"),
        (lambda data: data.replace(b"'descr': '<i8'", b"'descr':  ()  "), "is not a .npy file"),
        (lambda data: data.replace(b"{'descr': '<i8'", b"{[]: 1, 2:    1"), "is not a .npy file"),
        (lambda data: data.replace(b"(40,)", b"(-4,)"), "its shape must not be negative"),
        (lambda data: data.replace(b"(40,)", b"(" + b"-" * 9000 + b"1,)"), "is not a .npy file"),
        (lambda data: data[:6] + b"\x09" + data[7:], "its version must be 1.0, 2.0 or 3.0, got 9.0"),
    ],
)
def test_damaged_files_raise(tmp_path, damage, message):
    X, y = problem(40)
    np.save(tmp_path / "y.npy", y)
    (tmp_path / "y.npy").write_bytes(damage((tmp_path / "y.npy").read_bytes()))
    with pytest.raises(fastmlp.DataFileError, match=message):
        Stream.of_rows(X, tmp_path / "y.npy")


def test_other_damage(tmp_path):
    X, y = problem(40)
    with pytest.raises(FileNotFoundError):
        Stream.of_rows(tmp_path / "none.npy", y)
    np.save(tmp_path / "columns.npy", np.asfortranarray(X))
    with pytest.raises(fastmlp.DataFileError, match="row-major numbers, got column-major"):
        Stream.of_rows(tmp_path / "columns.npy", y)
    np.save(tmp_path / "x.npy", X)
    stream = Stream.of_rows(tmp_path / "x.npy", y)
    os.truncate(tmp_path / "x.npy", 1000)
    with pytest.raises(fastmlp.DataFileError, match="has become shorter while it was used: it has 1000 bytes"):
        fastmlp.Trainer(network()).fit(stream, None, epochs=1)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_pieces_of_a_file_go_where_they_belong(tmp_path, threads):
    rng = np.random.default_rng(threads)
    contents = rng.integers(0, 256, 3_000_000, np.uint8)
    contents.tofile(tmp_path / "file")
    sizes = rng.integers(0, 60_000, 80)
    places = np.cumsum(sizes) - sizes + np.arange(80)  # a byte between two of them stays as it is
    pieces = np.stack([rng.integers(0, 2_900_000, 80), places, sizes], axis=1)
    found = np.full(places[-1] + sizes[-1] + 1, 77, np.uint8)
    expected = found.copy()
    for begin, place, size in pieces:
        expected[place : place + size] = contents[begin : begin + size]
    with open(tmp_path / "file", "rb") as file:
        assert _core.read_pieces(file.fileno(), found, pieces, threads)
        np.testing.assert_array_equal(found, expected)
        assert not _core.read_pieces(file.fileno(), found, np.array([[2_999_999, 0, 1], [2_999_999, 1, 2]]), threads)
        assert found[0] == found[1] == contents[-1]


def test_pieces_that_cannot_be_read_raise(tmp_path):
    (tmp_path / "file").write_bytes(b"12345678")
    to = np.zeros(8, np.uint8)
    with open(tmp_path / "file", "rb") as file:
        for piece in ([0, 1, 8], [0, 9, 0], [0, -1, 2], [-1, 0, 2], [0, 0, -1], [0, 2**62, 2**62]):
            with pytest.raises(ValueError, match="must lie in the file and in the array"):
                _core.read_pieces(file.fileno(), to, np.array([[0, 0, 8], piece]), 2)
        with pytest.raises(ValueError, match=r"shape \(pieces, 3\)"):
            _core.read_pieces(file.fileno(), to, np.array([0, 0, 8]), 2)
        with pytest.raises(ValueError, match="C-contiguous"):
            _core.read_pieces(file.fileno(), to[::2], np.array([[0, 0, 4]]), 2)
        to.flags.writeable = False
        with pytest.raises(ValueError, match="not writeable"):
            _core.read_pieces(file.fileno(), to, np.array([[0, 0, 8]]), 2)
        to.flags.writeable = True
    with pytest.raises(OSError, match="Bad file descriptor"):
        _core.read_pieces(-1, to, np.array([[0, 0, 8]]), 2)
    assert not to.any()


@pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT"), reason="the system does not say what it has in memory")
@pytest.mark.parametrize("blocks", [1, 4])
def test_what_is_not_in_memory_is_prefetched(tmp_path, monkeypatch, blocks):
    X = np.zeros((4000, 50), np.float32)
    np.save(tmp_path / "x.npy", X)
    stream = Stream.of_rows(tmp_path / "x.npy", np.zeros(4000), chunk_rows=1000, blocks_per_chunk=blocks)
    prefetched = np.zeros(os.path.getsize(tmp_path / "x.npy"), int)

    def advise(file, begin, size, advice):
        assert size <= 1 << 17 and advice == os.POSIX_FADV_WILLNEED
        prefetched[begin : begin + size] += 1

    monkeypatch.setattr(os, "posix_fadvise", advise)
    epoch_of(stream)
    assert not prefetched.any(), "it is all in memory"
    monkeypatch.setattr(os, "preadv", lambda *arguments: 0)
    epoch_of(stream)
    np.testing.assert_array_equal(prefetched, np.arange(len(prefetched)) >= len(prefetched) - X.nbytes)


@pytest.mark.parametrize("missing", ["RWF_NOWAIT", "posix_fadvise"])
def test_systems_that_take_no_advice(tmp_path, monkeypatch, missing):
    X, y = problem(100)
    np.save(tmp_path / "x.npy", X)
    stream = Stream.of_rows(tmp_path / "x.npy", y, chunk_rows=32, blocks_per_chunk=4)
    expected = trained(stream)
    monkeypatch.delattr(os, missing, raising=False)
    assert_equal_bits(parameters(trained(stream).network), parameters(expected.network))


LIMITED = """
import json, resource, sys
import numpy as np
import fastmlp
from fastmlp.streaming import Stream

path, budget = sys.argv[1], int(sys.argv[2])
net = fastmlp.Network((784, 16, 10), input_scale=1 / 255)
trainer = fastmlp.Trainer(net, learning_rate=0.2, batch_size=256)
warm = np.zeros((512, 784), np.uint8)
trainer.fit(warm, np.zeros(512, int), epochs=1)  # threads and their stacks

def used(field):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field))

before = used("VmSize")
resource.setrlimit(resource.RLIMIT_AS, (before + budget, before + budget))
rejected = []
for name, load in {"load": lambda: np.load(path + "x.npy"), "map": lambda: np.load(path + "x.npy", mmap_mode="r")}.items():
    try:
        load()
    except (MemoryError, OSError):
        rejected.append(name)
stream = Stream.of_rows(path + "x.npy", path + "y.npy", chunk_rows=30_000)
history = trainer.fit(stream, None, epochs=1)
print(json.dumps({"rejected": rejected, "loss": history.loss, "rows": stream.rows, "resident": used("VmHWM"), "before": before}))
"""


@without_sanitizer
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="address space is limited as Linux does")
def test_a_file_of_many_times_the_memory_is_trained_on(tmp_path):
    """Its holes take no space on the disk: they are black images of class 0."""
    rows, budget = 1_000_000, 160 << 20
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.uint8, (rows, 784))
    y = np.zeros(rows, np.int64)
    rng = np.random.default_rng(0)
    for begin in range(0, rows, 50_000):
        y[begin : begin + 1000] = rng.integers(0, 10, 1000)
        x[begin : begin + 1000] = rng.integers(0, 30, (1000, 784)) + 20 * y[begin : begin + 1000, None]
    x.flush()
    del x
    np.save(tmp_path / "y.npy", y)
    assert (tmp_path / "x.npy").stat().st_size > 4 * budget
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LIMITED, f"{tmp_path}{os.sep}", str(budget)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "2", "MALLOC_ARENA_MAX": "2"},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["rejected"] == ["load", "map"]
    assert found["rows"] == rows and 0 < found["loss"][0] < 0.2
    assert found["resident"] < 100e6 + budget


FORKED = """
import hashlib, os, signal, threading
import numpy as np
import fastmlp
from fastmlp.streaming import Stream

rng = np.random.default_rng(0)
X, y = rng.normal(size=(6000, 50)), rng.integers(0, 2, 6000)
parent, children, forked = os.getpid(), [], threading.Event()

class Rows:
    shape, dtype, reads = X.shape, X.dtype, 0

    def __getitem__(self, rows):  # in the thread that reads
        self.reads += 1
        if forks and os.getpid() == parent and self.reads % 10 == 5:
            forked.clear()
            signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
            forked.wait()
        return X[rows]

def fork(number, frame):
    pid = os.fork()
    if pid:
        children.append(pid)
        forked.set()

def fitted():
    trainer = fastmlp.Trainer(fastmlp.Network((50, 64, 2)), batch_size=10)
    trainer.fit(Stream.of_rows(Rows(), y, chunk_rows=500, blocks_per_chunk=5), None, 2)
    return hashlib.sha256(b"".join(p.tobytes() for p in trainer.network.weights)).hexdigest()

signal.signal(signal.SIGUSR1, fork)
forks = False
undisturbed = fitted()
forks = True
same = fitted() == undisturbed
if os.getpid() != parent:
    os._exit(0 if same else 3)
assert same
print(*(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children))
"""


@without_sanitizer
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_forked_while_a_chunk_is_read_reads_it_itself():
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0"] * 12, done.stderr


def test_sources_that_change_under_a_stream(tmp_path, monkeypatch):
    X, y = problem(40)
    np.save(tmp_path / "x.npy", X)
    monkeypatch.chdir(tmp_path)
    stream = Stream.of_rows("x.npy", y, chunk_rows=10, blocks_per_chunk=1)
    monkeypatch.chdir("/")
    fastmlp.Trainer(network()).fit(stream, None, epochs=1)  # the same file, wherever the process has gone
    os.truncate(tmp_path / "x.npy", 1000)
    with pytest.raises(fastmlp.DataFileError, match="shorter while it was used: it has 1000 bytes") as caught:
        fastmlp.Trainer(network()).fit(stream, None, epochs=1)
    assert "of the stream" in caught.value.__notes__[0]

    class Short:
        shape, dtype = X.shape, X.dtype

        def __getitem__(self, rows):
            return X[rows][:1]

    with pytest.raises(ValueError, match=r"rows \[\d+, \d+\) must be \d+ rows, got 1"):
        fastmlp.Trainer(network()).fit(Stream.of_rows(Short(), y, blocks_per_chunk=2), None, epochs=1)


@pytest.mark.parametrize("blocks", [1, 4])
def test_another_file_under_the_name_raises(tmp_path, blocks):
    X, y = problem(40)
    np.save(tmp_path / "x.npy", X)
    stream = Stream.of_rows(tmp_path / "x.npy", y, chunk_rows=20, blocks_per_chunk=blocks)
    np.save(tmp_path / "new.npy", X + 1)

    def replace(info):
        if info.epoch == 2:
            os.replace(tmp_path / "new.npy", tmp_path / "x.npy")

    trainer = fastmlp.Trainer(network())
    with pytest.raises(fastmlp.DataFileError, match="replaced by another file while it was used"):
        trainer.fit(stream, None, epochs=5, callbacks=[replace])
    assert len(trainer.history.loss) == 2


@pytest.mark.parametrize("other", [lambda X: X.astype(np.int64), np.asfortranarray], ids=["dtype", "order"])
@pytest.mark.parametrize("blocks", [1, 4])
def test_other_contents_of_the_same_length_are_rejected(tmp_path, blocks, other):
    X, y = problem(40)
    X = X.astype(np.float64)
    np.save(tmp_path / "x.npy", X)
    stream = Stream.of_rows(tmp_path / "x.npy", y, chunk_rows=20, blocks_per_chunk=blocks)
    length = (tmp_path / "x.npy").stat().st_size

    def overwrite(info):
        if info.epoch == 2:
            np.save(tmp_path / "x.npy", other(X))
            assert (tmp_path / "x.npy").stat().st_size == length

    trainer = fastmlp.Trainer(network())
    with pytest.raises(fastmlp.DataFileError, match="another header while it was used"):
        trainer.fit(stream, None, epochs=5, callbacks=[overwrite])
    assert len(trainer.history.loss) == 2


@pytest.mark.parametrize("bytes_more", [-8, -1, 1, 8, 10_000])
@pytest.mark.parametrize("which", ["x", "y"])
@pytest.mark.parametrize("blocks", [1, 4])
def test_a_file_of_another_length_is_rejected(tmp_path, blocks, which, bytes_more):
    X, y = problem(40)
    for name, array in (("x", X), ("y", y)):
        np.save(tmp_path / f"{name}.npy", array)
    names = [tmp_path / "x.npy", tmp_path / "y.npy"]
    stream = Stream.of_rows(*names, chunk_rows=20, blocks_per_chunk=blocks)
    path = tmp_path / f"{which}.npy"
    length = path.stat().st_size + bytes_more

    def change(info):
        if info.epoch == 2:
            os.truncate(path, length)  # it makes files longer, too

    trainer = fastmlp.Trainer(network())
    word = "shorter" if bytes_more < 0 else "longer"
    with pytest.raises(fastmlp.DataFileError, match=f"{word} while it was used: it has {length} bytes"):
        trainer.fit(stream, None, epochs=5, callbacks=[change])
    assert len(trainer.history.loss) == 2


@pytest.mark.parametrize("chunk_rows, blocks, chunks", [(20, 4, 2), (20, 1, 0), (100, 4, 1), (1000, 4, 1)])
def test_as_many_chunks_are_in_memory_as_promised(tmp_path, chunk_rows, blocks, chunks):
    """One where there is one only, or where X is a file; none where parts are mapped or sliced."""
    X, y = problem(100)
    np.save(tmp_path / "x.npy", X)
    for data, expected in ((X, chunks), (tmp_path / "x.npy", min(chunks, 1))):
        stream = Stream.of_rows(data, y, chunk_rows=chunk_rows, blocks_per_chunk=blocks)
        assert len(stream._buffers()) == expected
        assert all(len(part) == min(chunk_rows, 100) for buffers in stream._buffers() for part in buffers.values())


def test_a_file_of_one_dimension_is_row_major_whatever_it_says(tmp_path):
    X, y = problem(40)
    np.save(tmp_path / "y.npy", y)
    content = (tmp_path / "y.npy").read_bytes()
    (tmp_path / "y.npy").write_bytes(content.replace(b"'fortran_order': False", b"'fortran_order': True "))
    found = trained(Stream.of_rows(X, tmp_path / "y.npy", chunk_rows=40), shuffle=False)
    assert_equal_bits(parameters(found.network), parameters(trained(X, y, shuffle=False).network))
