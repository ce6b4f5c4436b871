"""Tests of the data room: the strict IDX reader, the search for MNIST and its download, synthetic data."""

import gzip
import hashlib
import math
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import tracemalloc
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from fastmlp import datasets
from fastmlp.errors import DataFileError
from fastmlp.idx import load_idx, read_idx

REAL_MNIST = os.environ.get("FASTMLP_DATA")  # before any fixture changes it
HTML_PAGE = b"<!DOCTYPE html>\n<html><body>Please log in to this network.</body></html>\n"


def idx_bytes(values, *, type_code=0x08, shape=None):
    """An IDX file of uint8 values, whose header may lie about the shape."""
    shape = values.shape if shape is None else shape
    header = bytes([0, 0, type_code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)
    return header + values.astype(np.uint8).tobytes()


def images_like(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture(params=["plain", "gz"])
def write(request, tmp_path):
    """Write the content of an IDX file, compressed or not, and return its path."""

    def write_file(content, name="data-idx-ubyte"):
        path = tmp_path / (name if request.param == "plain" else f"{name}.gz")
        path.write_bytes(content if request.param == "plain" else gzip.compress(content, 1))
        return path

    return write_file


# The IDX reader


@pytest.mark.parametrize("shape", [(1,), (7,), (3, 28, 28), (2, 3, 4, 5)])
def test_read_idx_returns_what_was_written(write, shape):
    expected = images_like(*shape)
    values = read_idx(write(idx_bytes(expected)), (None, *shape[1:]))
    assert values.dtype == np.uint8
    assert values.flags.c_contiguous
    np.testing.assert_array_equal(values, expected)


def test_compression_is_recognised_by_content_not_by_name(tmp_path):
    expected = images_like(5, 4)
    (tmp_path / "plain.gz").write_bytes(idx_bytes(expected))
    (tmp_path / "compressed").write_bytes(gzip.compress(idx_bytes(expected)))
    np.testing.assert_array_equal(read_idx(tmp_path / "plain.gz"), expected)
    np.testing.assert_array_equal(read_idx(str(tmp_path / "compressed")), expected)


def test_file_of_several_gzip_members(tmp_path):
    content = idx_bytes(images_like(100))
    path = tmp_path / "members.gz"
    path.write_bytes(gzip.compress(content[:50]) + gzip.compress(content[50:]))
    np.testing.assert_array_equal(read_idx(path), images_like(100))


GOOD = idx_bytes(images_like(10, 28, 28))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "not an IDX file", id="empty file"),
        pytest.param(b"\0\0", "not an IDX file", id="two bytes"),
        pytest.param(HTML_PAGE, "not an IDX file.*DOCTYPE", id="HTML page"),
        pytest.param(b"\0\1" + GOOD[2:], "not an IDX file", id="wrong magic"),
        pytest.param(b"\0\0\x0d" + GOOD[3:], "type 0x08.*type 0x0d", id="floats"),
        pytest.param(b"\0\0\x08\0" + GOOD[4:], "1 to 8 dimensions.*says 0", id="no dimensions"),
        pytest.param(b"\0\0\x08\xff" + GOOD[4:], "1 to 8 dimensions.*says 255", id="255 dimensions"),
        pytest.param(GOOD[:11], "ends inside its header", id="cut in the header"),
        pytest.param(GOOD[:16], r"\(10, 28, 28\)", id="header alone"),
        pytest.param(GOOD[:-1], r"7840 values of shape \(10, 28, 28\)", id="one byte short"),
        pytest.param(GOOD + b"\0", r"7840 values of shape \(10, 28, 28\), but goes on", id="one byte long"),
        pytest.param(idx_bytes(images_like(0, 28)), r"empty.*\(0, 28\)", id="no samples"),
        pytest.param(idx_bytes(images_like(4), shape=(2**32 - 1,) * 8), "the limit is", id="absurd dimensions"),
        pytest.param(idx_bytes(images_like(4), shape=(2**30,)), "too short to hold them", id="unlikely dimensions"),
    ],
)
def test_malformed_idx_file(write, content, message):
    path = write(content)
    with pytest.raises(DataFileError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def test_every_prefix_of_a_file_is_refused(tmp_path):
    path = tmp_path / "prefix"
    plain = idx_bytes(images_like(3, 2, 2))
    for content in (plain, gzip.compress(plain)):
        for length in range(len(content)):
            path.write_bytes(content[:length])
            with pytest.raises(DataFileError):
                read_idx(path)


def test_every_flipped_byte_of_a_gzip_file_is_refused_or_harmless(tmp_path):
    expected = images_like(3, 2, 2)
    content = gzip.compress(idx_bytes(expected))
    path = tmp_path / "flipped.gz"
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        try:
            values = read_idx(path)
        except DataFileError:
            continue
        # Time stamp and operating system in the gzip header change nothing.
        np.testing.assert_array_equal(values, expected)


def test_bad_checksum(tmp_path):
    content = bytearray(gzip.compress(GOOD))
    content[-8] ^= 1
    path = tmp_path / "bad-checksum.gz"
    path.write_bytes(content)
    with pytest.raises(DataFileError, match="CRC"):
        read_idx(path)


def test_bytes_after_the_gzip_member(tmp_path):
    path = tmp_path / "trailing.gz"
    path.write_bytes(gzip.compress(GOOD) + b"more")
    with pytest.raises(DataFileError):
        read_idx(path)


@pytest.mark.parametrize("declared", [(10,), (2**32 - 1,), (2**16, 2**16)])
def test_gzip_bomb_stays_in_bounded_memory(tmp_path, declared):
    path = tmp_path / "bomb.gz"
    bomb = bytes(32 << 20)  # 32 MB in 32 kB
    path.write_bytes(gzip.compress(idx_bytes(np.empty(0), shape=declared) + bomb, 1))
    del bomb
    tracemalloc.start()
    try:
        with pytest.raises(DataFileError):
            read_idx(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20  # the reader's own blocks are 1 MB


def test_expected_shape_is_quoted_beside_the_shape_found(write):
    path = write(GOOD)
    with pytest.raises(DataFileError, match=r"\(any, 32, 32\).*\(10, 28, 28\)"):
        read_idx(path, (None, 32, 32))
    with pytest.raises(DataFileError, match=r"\(any,\).*\(10, 28, 28\)"):
        read_idx(path, (None,))


def test_max_bytes(write):
    path = write(GOOD)
    assert read_idx(path, max_bytes=7840).shape == (10, 28, 28)
    with pytest.raises(DataFileError, match="7840 values.*limit is 7839"):
        read_idx(path, max_bytes=7839)


def test_sha256_is_of_the_decompressed_file(write):
    path = write(GOOD)
    right = hashlib.sha256(GOOD).hexdigest()
    wrong = hashlib.sha256(b"").hexdigest()
    assert read_idx(path, sha256=right).shape == (10, 28, 28)
    with pytest.raises(DataFileError, match=f"expected sha256 {wrong}.*got {right}"):
        read_idx(path, sha256=wrong)


def test_missing_file_and_folder_in_its_place(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "nothing")
    with pytest.raises(DataFileError):
        read_idx(tmp_path)


def test_load_idx_flattens_images_and_widens_labels(write):
    labels = np.arange(10, dtype=np.uint8)
    X, y = load_idx(write(GOOD, "images"), write(idx_bytes(labels), "labels"))
    assert (X.shape, X.dtype, y.shape, y.dtype) == ((10, 784), np.uint8, (10,), np.int64)
    np.testing.assert_array_equal(X.ravel(), images_like(10, 28, 28).ravel())
    np.testing.assert_array_equal(y, labels)


def test_load_idx_refuses_counts_that_differ(write):
    images, labels = write(GOOD, "images"), write(idx_bytes(np.zeros(9)), "labels")
    with pytest.raises(DataFileError, match="10 images.*9 labels"):
        load_idx(images, labels)


def test_load_idx_refuses_labels_out_of_range(write):
    images = write(GOOD, "images")
    labels = write(idx_bytes(np.array([0, 1, 9, 10, 4, 5, 6, 11, 8, 9])), "labels")
    with pytest.raises(DataFileError, match=r"\[0, 10\), got 10 at position 3"):
        load_idx(images, labels)
    assert load_idx(images, labels, classes=12)[1].max() == 11


def test_load_idx_refuses_images_in_the_place_of_labels(write):
    images = write(GOOD, "images")
    with pytest.raises(DataFileError, match=r"\(any,\)"):
        load_idx(images, images)


# The search for MNIST. A tiny set takes the place of the real one, so that
# hashes can be right.


@pytest.fixture
def tiny_mnist(monkeypatch, tmp_path):
    """Published content by file name; all places that are searched are empty, all mirrors dead."""
    published = {}
    files = []
    for part, samples in (("train", 12), ("t10k", 5)):
        random = np.random.default_rng(samples)
        images = random.integers(0, 256, (samples, 28, 28))
        labels = random.integers(0, 10, samples)
        for name, values in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            content = idx_bytes(values)
            compressed = gzip.compress(content, mtime=0)
            published[f"{name}.gz"] = compressed
            md5, sha256 = hashlib.md5(compressed).hexdigest(), hashlib.sha256(content).hexdigest()
            files.append(datasets.PublishedFile(name, values.shape, md5, sha256))
    monkeypatch.setattr(datasets, "MNIST_FILES", tuple(files))
    monkeypatch.setattr(datasets, "MNIST_MIRRORS", ("http://127.0.0.1:9/", "http://127.0.0.1:9/second/"))
    monkeypatch.setattr(datasets, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.delenv("FASTMLP_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return published


def store(folder, published):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in published.items():
        (folder / name).write_bytes(content)
    return folder


def check_tiny(result):
    x_train, y_train, x_test, y_test = result
    assert (x_train.shape, y_train.shape) == ((12, 784), (12,))
    assert (x_test.shape, y_test.shape) == ((5, 784), (5,))
    for part, x, y in (("train", x_train, y_train), ("t10k", x_test, y_test)):
        assert (x.dtype, y.dtype) == (np.uint8, np.int64)
        assert x.flags.c_contiguous
        random = np.random.default_rng(len(x))
        np.testing.assert_array_equal(x, random.integers(0, 256, (len(x), 28, 28)).reshape(-1, 784), part)
        np.testing.assert_array_equal(y, random.integers(0, 10, len(x)), part)


def damage(published):
    return {name: gzip.compress(gzip.decompress(content)[:-1] + b"\0") for name, content in published.items()}


@pytest.mark.parametrize(
    "rename",
    [
        pytest.param(lambda name: name, id="gz"),
        pytest.param(lambda name: name.removesuffix(".gz"), id="plain"),
        pytest.param(lambda name: name.removesuffix(".gz").replace("-idx", ".idx"), id="dotted"),
    ],
)
def test_names_of_files(tiny_mnist, tmp_path, rename):
    store(tmp_path / "data", {rename(name): content for name, content in tiny_mnist.items()})
    check_tiny(datasets.load_mnist(tmp_path / "data"))


def test_recompressed_and_decompressed_files_are_accepted(tiny_mnist, tmp_path):
    plain = {name.removesuffix(".gz"): gzip.decompress(content) for name, content in tiny_mnist.items()}
    again = {name: gzip.compress(gzip.decompress(content), 1, mtime=7) for name, content in tiny_mnist.items()}
    check_tiny(datasets.load_mnist(str(store(tmp_path / "plain", plain))))
    check_tiny(datasets.load_mnist(store(tmp_path / "again", again)))


def test_explicit_folder_is_the_only_place(tiny_mnist, tmp_path, monkeypatch):
    good = store(tmp_path / "good", tiny_mnist)
    store(tmp_path / "cache", tiny_mnist)
    monkeypatch.setenv("FASTMLP_DATA", str(good))
    incomplete = store(tmp_path / "incomplete", tiny_mnist)
    (incomplete / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataFileError, match=r"incomplete: lacks t10k-labels-idx1-ubyte\[.gz\]"):
        datasets.load_mnist(incomplete)
    with pytest.raises(DataFileError, match="absent: no such folder"):
        datasets.load_mnist(tmp_path / "absent")


def test_variable_comes_before_the_cache(tiny_mnist, tmp_path, monkeypatch):
    store(tmp_path / "cache", damage(tiny_mnist))
    monkeypatch.setenv("FASTMLP_DATA", str(store(tmp_path / "data", tiny_mnist)))
    check_tiny(datasets.load_mnist(download=False))


def test_damage_under_the_variable_is_not_passed_over(tiny_mnist, tmp_path, monkeypatch):
    store(tmp_path / "cache", tiny_mnist)
    monkeypatch.setenv("FASTMLP_DATA", str(store(tmp_path / "data", damage(tiny_mnist))))
    with pytest.raises(DataFileError, match="other content: expected sha256"):
        datasets.load_mnist()


@pytest.mark.parametrize("variable", ["", "empty"])
def test_cache_serves_where_the_variable_does_not(tiny_mnist, tmp_path, monkeypatch, variable):
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("FASTMLP_DATA", variable and str(tmp_path / variable))
    store(tmp_path / "cache", tiny_mnist)
    check_tiny(datasets.load_mnist())


def test_other_number_of_samples_is_quoted(tiny_mnist, tmp_path):
    content = idx_bytes(np.zeros((11, 28, 28)))
    store(tmp_path / "data", tiny_mnist | {"train-images-idx3-ubyte.gz": gzip.compress(content)})
    with pytest.raises(DataFileError, match=r"\(12, 28, 28\).*\(11, 28, 28\)"):
        datasets.load_mnist(tmp_path / "data")


def test_html_page_under_the_name(tiny_mnist, tmp_path):
    store(tmp_path / "data", tiny_mnist | {"train-labels-idx1-ubyte.gz": HTML_PAGE})
    with pytest.raises(DataFileError, match="train-labels-idx1-ubyte.gz is not an IDX file"):
        datasets.load_mnist(tmp_path / "data")


def test_nothing_found_without_download_lists_everything(tiny_mnist, tmp_path, monkeypatch):
    monkeypatch.setenv("FASTMLP_DATA", str(store(tmp_path / "data", {})))
    with pytest.raises(DataFileError) as caught:
        datasets.load_mnist(download=False)
    message = str(caught.value)
    for part in (str(tmp_path / "data"), "FASTMLP_DATA", str(tmp_path / "cache"), "download=False"):
        assert part in message
    for file in datasets.MNIST_FILES:
        assert f"{file.name}.gz (md5 {file.md5})" in message
    assert "pip install pooch" in message
    assert "make_digits" in message
    assert not (tmp_path / "cache").exists()


def test_damaged_cache_without_download(tiny_mnist, tmp_path):
    store(tmp_path / "cache", damage(tiny_mnist))
    with pytest.raises(DataFileError, match=r"(?s)cache.*other content.*download=False"):
        datasets.load_mnist(download=False)


def test_download_without_pooch_names_the_extra(tiny_mnist, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(DataFileError, match=r"needs pooch.*pip install pooch"):
        datasets.load_mnist()


# Download from local mirrors


class Mirrors:
    """A local server: the first part of a path says how the mirror of that name behaves."""

    def __init__(self, published):
        self.requests = []
        self.done = threading.Event()
        mirrors = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                _, behaviour, name = self.path.split("/")
                mirrors.requests.append((behaviour, name))
                content = published[name]
                if behaviour == "forbidden":
                    self.send_error(403)
                elif behaviour == "reset":
                    self.answer(content[:20], len(content))
                    # A linger time of zero turns the end of the connection into a reset,
                    # if the file descriptor closes at once.
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    socket.close(self.connection.detach())
                elif behaviour == "short":
                    self.answer(content[:-1], len(content))
                elif behaviour == "wrong":
                    self.answer(HTML_PAGE, len(HTML_PAGE))
                elif behaviour == "silent":
                    mirrors.done.wait(5)
                elif behaviour == "labels-only" and "images" in name:
                    self.send_error(404)
                else:
                    self.answer(content, len(content))

            def answer(self, content, announced):
                self.send_response(200)
                self.send_header("Content-Length", str(announced))
                self.end_headers()
                self.wfile.write(content)
                self.wfile.flush()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def address(self, behaviour):
        return f"http://127.0.0.1:{self.server.server_port}/{behaviour}/"

    def close(self):
        self.done.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def mirrors(tiny_mnist, monkeypatch):
    pytest.importorskip("pooch")
    served = Mirrors(tiny_mnist)

    def use(*behaviours):
        monkeypatch.setattr(datasets, "MNIST_MIRRORS", tuple(served.address(b) for b in behaviours))
        return served

    monkeypatch.setattr(datasets, "DOWNLOAD_TIMEOUT", 0.3)
    yield use
    served.close()


def test_a_file_of_the_right_md5_alone_does_not_enter_the_cache(mirrors, tiny_mnist, tmp_path, monkeypatch):
    """MD5 can be forged."""
    mirrors("good")
    first, *others = datasets.MNIST_FILES
    monkeypatch.setattr(datasets, "MNIST_FILES", (first._replace(sha256="0" * 64), *others))
    with pytest.raises(DataFileError, match="expected sha256 0000"):
        datasets.load_mnist()
    assert list((tmp_path / "cache").iterdir()) == []


FAILURES = ["forbidden", "reset", "short", "wrong", "silent"]


def test_download_fills_the_cache(mirrors, tiny_mnist, tmp_path):
    served = mirrors("good", "forbidden")
    check_tiny(datasets.load_mnist())
    assert {path.name: path.read_bytes() for path in (tmp_path / "cache").iterdir()} == tiny_mnist
    assert sorted(served.requests) == sorted(("good", name) for name in tiny_mnist)
    check_tiny(datasets.load_mnist())  # from the cache:
    assert len(served.requests) == 4


@pytest.mark.parametrize("failure", FAILURES)
def test_next_mirror_after_a_failure(mirrors, tiny_mnist, tmp_path, failure):
    served = mirrors(failure, "good")
    check_tiny(datasets.load_mnist())
    assert {path.name: path.read_bytes() for path in (tmp_path / "cache").iterdir()} == tiny_mnist
    # The failed mirror is not asked again for every further file.
    assert [behaviour for behaviour, _ in served.requests] == [failure] + ["good"] * 4


def test_each_mirror_may_lack_another_file(mirrors, tiny_mnist):
    mirrors("forbidden", "labels-only", "good")
    check_tiny(datasets.load_mnist())


@pytest.mark.parametrize("failure", FAILURES)
def test_all_mirrors_fail(mirrors, tiny_mnist, tmp_path, failure):
    served = mirrors(failure, "forbidden")
    with pytest.raises(DataFileError) as caught:
        datasets.load_mnist()
    message = str(caught.value)
    first = datasets.MNIST_FILES[0]
    for part in (
        "FASTMLP_DATA: not set",
        str(tmp_path / "cache"),
        f"{served.address(failure)}{first.name}.gz: ",
        f"{served.address('forbidden')}{first.name}.gz: ",
        "403",
        first.md5,
    ):
        assert part in message
    assert ("Timeout" in message) == (failure == "silent")
    assert list((tmp_path / "cache").iterdir()) == []


def test_dead_address(tiny_mnist, tmp_path):
    pytest.importorskip("pooch")
    with pytest.raises(DataFileError, match=r"(?s)127.0.0.1:9/train.*127.0.0.1:9/second/train"):
        datasets.load_mnist()


def test_only_bad_files_of_the_cache_are_downloaded(mirrors, tiny_mnist, tmp_path):
    served = mirrors("good")
    bad = "t10k-images-idx3-ubyte.gz"
    store(tmp_path / "cache", tiny_mnist | {bad: HTML_PAGE})
    check_tiny(datasets.load_mnist())
    assert served.requests == [("good", bad)]
    assert (tmp_path / "cache" / bad).read_bytes() == tiny_mnist[bad]


def test_cache_that_cannot_be_made(mirrors, tiny_mnist, tmp_path, monkeypatch):
    mirrors("good")
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setattr(datasets, "cache_folder", lambda: tmp_path / "file" / "cache")
    with pytest.raises(DataFileError, match=r"cache \(cache\): no such folder"):
        datasets.load_mnist()


def test_cache_folder_is_the_same_without_platformdirs(monkeypatch):
    pytest.importorskip("platformdirs")
    known = datasets.cache_folder()
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    assert datasets.cache_folder() == known


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="XDG_CACHE_HOME is Linux's")
def test_cache_folder_obeys_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert datasets.cache_folder() == tmp_path / "fastmlp"
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    assert datasets.cache_folder() == tmp_path / "fastmlp"


# Tests and the network

SWALLOWED = """
import socket, subprocess, sys, urllib.request

def try_to(reach):
    try:
        reach()
    except Exception:
        pass

def connect():
    with socket.socket() as connection:
        connection.settimeout(5)
        connection.connect(("192.0.2.1", 80))  # an address for documentation: nobody has it

def test_connection():
    try_to(connect)

def test_name():
    try_to(lambda: socket.getaddrinfo("example.org", 80))

def test_datagram():
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        try_to(lambda: sender.sendto(b"", ("192.0.2.1", 9)))

def test_download():
    try_to(lambda: urllib.request.urlopen("http://192.0.2.1/", timeout=5))

def test_loopback_is_allowed():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
    first, second = socket.socketpair()
    first.close()
    second.close()

def test_downloads_of_subprocesses_fail_at_once():
    script = "import urllib.request; urllib.request.urlopen('http://fastmlp.invalid/', timeout=60)"
    failed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert "Connection refused" in failed.stderr
"""


def test_a_test_that_uses_the_network_fails(tmp_path):
    """Even if it catches the error, as load_mnist does of each mirror."""
    (tmp_path / "conftest.py").write_bytes((Path(__file__).parent / "conftest.py").read_bytes())
    (tmp_path / "test_swallowed.py").write_text(SWALLOWED)
    command = [sys.executable, "-m", "pytest", "-q", "-rE", "-p", "no:cacheprovider", str(tmp_path)]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    failed = re.findall(r"^ERROR test_swallowed.py::(\w+)", found.stdout, re.M)
    assert failed == ["test_connection", "test_name", "test_datagram", "test_download"], found.stdout
    assert found.stdout.count("AssertionError: socket.") >= 4
    assert "6 passed, 4 errors" in found.stdout


def test_the_error_names_the_rule(network_attempts):
    with pytest.raises(RuntimeError, match=r"getaddrinfo example.org: tests must not use the network"):
        socket.getaddrinfo("example.org", 80)
    network_attempts.clear()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="XDG_CACHE_HOME is Linux's")
def test_the_users_cache_is_left_alone():
    assert Path.home() not in datasets.cache_folder().parents
    assert datasets.cache_folder().parent.name.startswith("fastmlp-tests-")


# The real MNIST


@pytest.mark.mnist
def test_real_mnist():
    if not REAL_MNIST or not any(Path(REAL_MNIST).glob("train-images*")):
        pytest.skip("FASTMLP_DATA does not name a folder with MNIST")
    x_train, y_train, x_test, y_test = datasets.load_mnist(REAL_MNIST)
    assert (x_train.shape, x_test.shape) == ((60000, 784), (10000, 784))
    assert (y_train.shape, y_test.shape) == ((60000,), (10000,))
    assert y_train[:5].tolist() == [5, 0, 4, 1, 9]
    assert np.bincount(y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert (x_train > 0).mean() == pytest.approx(0.1912, abs=1e-4)


# Synthetic digits


@pytest.fixture(scope="module")
def digits():
    pytest.importorskip("matplotlib")
    return datasets.make_digits(3000, 1000, seed=0)


def test_digits_have_the_form_of_mnist(digits):
    x_train, y_train, x_test, y_test = digits
    assert (x_train.shape, y_train.shape) == ((3000, 784), (3000,))
    assert (x_test.shape, y_test.shape) == ((1000, 784), (1000,))
    for x, y in ((x_train, y_train), (x_test, y_test)):
        assert (x.dtype, y.dtype) == (np.uint8, np.int64)
        assert x.flags.c_contiguous
        assert set(y.tolist()) == set(range(10))
    # Drawn with probability 1/10 each: six standard deviations.
    counts = np.bincount(y_train, minlength=10)
    assert np.abs(counts - 300).max() < 6 * math.sqrt(3000 * 0.1 * 0.9)
    # MNIST: 0.191 of the pixels not zero, mean intensity 0.131.
    assert 0.15 < (x_train > 0).mean() < 0.25
    assert 0.09 < x_train.mean() / 255 < 0.16
    assert x_train.max() == 255


def test_digits_are_centred_by_mass(digits):
    images = digits[0].reshape(-1, 28, 28).astype(np.float64)
    mass = images.sum((1, 2))
    assert mass.min() > 0
    for axis in (1, 2):
        centre = (images.sum(3 - axis) @ np.arange(28)) / mass
        assert abs(centre.mean() - 13.5) < 0.3
        assert np.abs(centre - 13.5).max() < 4  # shift, elastic bend and specks together


def test_digits_depend_on_the_seed_alone(digits):
    again = datasets.make_digits(3000, 1000, seed=0)
    for first, second in zip(digits, again):
        np.testing.assert_array_equal(first, second)
    other = datasets.make_digits(100, 100, seed=1)
    assert (other[0] != digits[0][:100]).any(axis=1).all()
    assert (other[1] != digits[1][:100]).any()


DRAWN = {
    "labels": [8, 3, 8, 1, 9, 5, 2, 0, 1, 2, 8, 3],
    "mass": [83.69, 102.89, 97.91, 60.02, 87.23, 71.21, 99.76, 93.56, 80.42, 33.44, 107.88, 97.8],
    "row": [13.731, 12.539, 13.483, 12.873, 13.227, 12.507, 12.737, 11.524, 13.861, 13.119, 13.952, 12.83],
    "column": [14.253, 13.599, 14.045, 12.689, 13.8, 13.44, 12.805, 13.951, 13.208, 12.689, 14.252, 13.092],
    "pixels": [185, 190, 170, 103, 139, 141, 180, 157, 126, 82, 195, 171],
    "brightest": [222, 242, 224, 244, 242, 210, 242, 221, 231, 218, 228, 249],
}


def test_digits_of_a_seed_stay_what_they_are():
    """Labels, ink and centres of mass, to a tolerance for other outlines of the same fonts."""
    pytest.importorskip("matplotlib")
    x, y, _, _ = datasets.make_digits(12, 1, seed=7)
    images = x.reshape(-1, 28, 28) / 255
    mass = images.sum((1, 2))
    assert y.tolist() == DRAWN["labels"]
    np.testing.assert_allclose(mass, DRAWN["mass"], rtol=0.01)
    np.testing.assert_allclose(images.sum(2) @ np.arange(28) / mass, DRAWN["row"], atol=0.03)
    np.testing.assert_allclose(images.sum(1) @ np.arange(28) / mass, DRAWN["column"], atol=0.03)
    np.testing.assert_allclose((x > 0).sum(1), DRAWN["pixels"], rtol=0.03)
    np.testing.assert_allclose(x.max(1), DRAWN["brightest"], atol=3)


def test_training_and_test_digits_differ(digits):
    assert not {row.tobytes() for row in digits[0]} & {row.tobytes() for row in digits[2]}
    assert len({row.tobytes() for row in digits[0]}) == 3000


@pytest.mark.parametrize(("train_samples", "test_samples"), [(1, 1), (511, 3), (512, 2), (513, 514)])
def test_fewer_digits_are_the_first_of_more(digits, train_samples, test_samples):
    fewer = datasets.make_digits(train_samples, test_samples)
    for part, whole in zip(fewer, digits):
        np.testing.assert_array_equal(part, whole[: len(part)])
    assert (len(fewer[0]), len(fewer[2])) == (train_samples, test_samples)


def test_a_linear_model_is_clearly_below_a_richer_one(digits):
    x_train, y_train, x_test, y_test = digits
    x_train, x_test = x_train / 255, x_test / 255
    means = np.stack([x_train[y_train == digit].mean(0) for digit in range(10)])
    # The nearest mean image is a linear model, the nearest neighbour is not.
    by_mean = (x_test @ means.T - (means**2).sum(1) / 2).argmax(1)
    by_neighbour = y_train[(x_test @ x_train.T - (x_train**2).sum(1) / 2).argmax(1)]
    linear, richer = (by_mean == y_test).mean(), (by_neighbour == y_test).mean()
    assert 0.5 < linear < richer - 0.05 < 0.95


def test_digits_without_matplotlib(monkeypatch):
    from fastmlp import synthetic_digits

    synthetic_digits._distance_fields.cache_clear()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="make_digits .* matplotlib.*pip install"):
        datasets.make_digits(1, 1)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"train_samples": 0}, ValueError, "train_samples must be an integer >= 1, got 0"),
        ({"test_samples": -3}, ValueError, "test_samples must be an integer >= 1, got -3"),
        ({"train_samples": 10.0}, TypeError, "train_samples must be an integer >= 1, got 10.0"),
        ({"train_samples": True}, TypeError, "train_samples must be an integer >= 1, got True"),
        ({"seed": -1}, ValueError, "seed must be an integer >= 0, got -1"),
        ({"seed": None}, TypeError, "seed must be an integer >= 0, got None"),
    ],
)
def test_digits_check_their_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        datasets.make_digits(**arguments)


# The regression problem


def test_hill_and_valley_has_its_known_extremes():
    peak = math.exp(-0.5) / math.sqrt(2)
    X = np.array([[0.0, 1.0], [math.sqrt(0.5), 0.0], [-math.sqrt(0.5), 0.0], [1.0, 1.0]])
    # The exponents have size 2 at most, so that exp carries over a few eps.
    np.testing.assert_allclose(
        datasets.hill_and_valley(X), [0.0, peak, -peak, math.exp(-2.0)], rtol=8 * np.finfo(float).eps
    )
    with pytest.raises(ValueError, match=r"\(samples, 2\), got \(4,\)"):
        datasets.hill_and_valley(X[:, 0])


def test_make_hill_and_valley_covers_the_square():
    X, y = datasets.make_hill_and_valley(5000, seed=3)
    assert (X.shape, X.dtype, y.shape, y.dtype) == ((5000, 2), np.float64, (5000,), np.float64)
    assert -2 <= X.min() < -1.99
    assert 1.99 < X.max() < 2
    assert np.abs(X.mean(0)).max() < 6 * 4 / math.sqrt(12 * 5000)  # six standard deviations
    np.testing.assert_array_equal(y, datasets.hill_and_valley(X))


def test_make_hill_and_valley_depends_on_the_seed():
    X, y = datasets.make_hill_and_valley(10, seed=1)
    again = datasets.make_hill_and_valley(np.int64(10), seed=1)
    np.testing.assert_array_equal(X, again[0])
    np.testing.assert_array_equal(y, again[1])
    assert (X != datasets.make_hill_and_valley(10, seed=2)[0]).all()


def test_noise_leaves_the_points_alone():
    X, y = datasets.make_hill_and_valley(20000)
    noisy_X, noisy_y = datasets.make_hill_and_valley(20000, noise=0.1)
    np.testing.assert_array_equal(X, noisy_X)
    assert (noisy_y - y).std() == pytest.approx(0.1, rel=6 / math.sqrt(2 * 20000))


@pytest.mark.parametrize("points", [2, 3, 1000])
def test_grid(points):
    X, y = datasets.hill_and_valley_grid(points)
    axis = np.linspace(-2, 2, points)
    assert (X.shape, y.shape) == ((points**2, 2), (points**2,))
    assert X.flags.c_contiguous
    np.testing.assert_array_equal(X.reshape(points, points, 2)[:, 0, 0], axis)
    np.testing.assert_array_equal(X.reshape(points, points, 2)[0, :, 1], axis)
    np.testing.assert_array_equal(y, datasets.hill_and_valley(X))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: datasets.make_hill_and_valley(0), ValueError, "samples must be an integer >= 1, got 0"),
        (lambda: datasets.make_hill_and_valley("9"), TypeError, "samples must be an integer >= 1, got '9'"),
        (lambda: datasets.make_hill_and_valley(9, noise=-1), ValueError, "noise must be .* >= 0, got -1"),
        (lambda: datasets.make_hill_and_valley(9, noise=math.nan), ValueError, "noise must be .* got nan"),
        (lambda: datasets.hill_and_valley_grid(1), ValueError, "points must be an integer >= 2, got 1"),
    ],
)
def test_hill_and_valley_checks_its_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_import_brings_no_optional_package():
    program = (
        "import sys, numpy\n"
        "before = set(sys.modules)\n"
        "import fastmlp.datasets\n"
        "late = {'gzip', 'urllib.request', 'http', 'matplotlib', 'pooch', 'platformdirs', 'requests'}\n"
        "sys.exit(', '.join(late & set(sys.modules) - before) or None)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr


# Bounds of headers and labels


@pytest.mark.parametrize("dimensions", range(12))
def test_one_to_eight_dimensions_are_read(write, dimensions):
    path = write(bytes([0, 0, 8, dimensions]) + struct.pack(f">{dimensions}I", *[1] * dimensions) + b"\x07")
    if 1 <= dimensions <= 8:
        assert read_idx(path).shape == (1,) * dimensions and read_idx(path).item() == 7
    else:
        with pytest.raises(DataFileError, match=f"must have 1 to 8 dimensions, its header says {dimensions}"):
            read_idx(path)


def test_every_other_type_and_first_bytes_are_refused(tmp_path):
    path = tmp_path / "data"
    for code in (0, 7, 9, 0x0B, 0x0C, 0x0D, 0x0E, 0x18, 0x88, 255):
        path.write_bytes(idx_bytes(images_like(3), type_code=code))
        with pytest.raises(DataFileError, match=f"type 0x08.*its header says type 0x{code:02x}"):
            read_idx(path)
    for place, value in ((0, 1), (0, 255), (1, 1), (1, 8)):
        content = bytearray(idx_bytes(images_like(3)))
        content[place] = value
        path.write_bytes(content)
        with pytest.raises(DataFileError, match="expected two zero bytes first, it starts with"):
            read_idx(path)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_length_of_zero_is_refused_in_any_place(write, place):
    shape = [2, 3, 4]
    shape[place] = 0
    with pytest.raises(DataFileError, match=re.escape(f"is empty: its header says shape {tuple(shape)}")):
        read_idx(write(idx_bytes(np.zeros(24), shape=tuple(shape))))


def test_sizes_up_to_the_limit_are_tried(tmp_path):
    """The default limit is 2^30 values; a plain file holds at most its bytes, a compressed one 1032 times as many."""
    path = tmp_path / "data"
    for size, found in [(2**30 + 1, "the limit is 1073741824"), (2**30, "too short to hold them")]:
        path.write_bytes(idx_bytes(images_like(4), shape=(size,)))
        with pytest.raises(DataFileError, match=f"declares {size} values of shape .{size},., .*{found}"):
            read_idx(path)
    for declared, found in [(12, "ends after 4"), (13, "too short to hold them")]:  # of twelve bytes in all
        path.write_bytes(idx_bytes(images_like(4), shape=(declared,)))
        with pytest.raises(DataFileError, match=found):
            read_idx(path)
    for more, found in [(0, "ends after 4"), (1, "too short to hold them")]:
        stored = len(gzip.compress(idx_bytes(images_like(4), shape=(2**16,)), mtime=0))
        for _ in range(9):  # until the length no longer depends on the number in the header
            content = gzip.compress(idx_bytes(images_like(4), shape=(1032 * stored + more,)), mtime=0)
            if len(content) == stored:
                break
            stored = len(content)
        path.write_bytes(content)
        with pytest.raises(DataFileError, match=found):
            read_idx(path)


@pytest.mark.parametrize("size", [1, 3, 4, 5, 8, 9])
def test_files_of_any_number_of_blocks_are_read(write, monkeypatch, size):
    from fastmlp import idx

    monkeypatch.setattr(idx, "_BLOCK", 4)
    np.testing.assert_array_equal(read_idx(write(idx_bytes(images_like(size)))), images_like(size))


@pytest.mark.parametrize("classes", [1, 2, 9, 10, 11, 200, 255])
def test_labels_lie_below_the_number_of_classes(write, classes):
    """Exactly that number is too large, wherever it stands, and the first such label is named."""
    images = write(GOOD, "images")
    for place in (0, 4, 9):
        labels = np.full(10, classes - 1)
        assert (load_idx(images, write(idx_bytes(labels), "good"), classes=classes)[1] == classes - 1).all()
        labels[place] = classes
        found = re.escape(f"must hold labels in [0, {classes}), got {classes} at position {place}")
        with pytest.raises(DataFileError, match=found):
            load_idx(images, write(idx_bytes(labels), "bad"), classes=classes)
    labels = np.full(10, 255)
    assert load_idx(images, write(idx_bytes(labels), "all"), classes=256)[1].max() == 255


@pytest.mark.parametrize("labels", [1, 9, 11])
def test_as_many_labels_as_images(write, labels):
    with pytest.raises(DataFileError, match=f"images.* holds 10 images, but .*labels.* holds {labels} labels"):
        load_idx(write(GOOD, "images"), write(idx_bytes(np.zeros(labels)), "labels"))


@pytest.mark.parametrize("noise", [0, 0.0, 5e-324, 0.25])
def test_samples_of_a_seed_stay_what_they_are(noise):
    rng = np.random.default_rng(4)
    points = rng.uniform(-2, 2, (20, 2))
    values = points[:, 0] * np.exp(-(points[:, 0] ** 2) - points[:, 1] ** 2) + rng.normal(0, noise, 20)
    X, y = datasets.make_hill_and_valley(20, noise=noise, seed=4)
    np.testing.assert_array_equal(X, points)
    np.testing.assert_allclose(y, values, rtol=1e-14)
    for bad in (-5e-324, math.inf, math.nan):
        with pytest.raises(ValueError, match=f"noise must be a finite number >= 0, got {bad}"):
            datasets.make_hill_and_valley(20, noise=bad)


def test_grids_run_through_the_second_variable_first():
    X, _ = datasets.hill_and_valley_grid(3)
    assert X.tolist() == [[a, b] for a in (-2, 0, 2) for b in (-2, 0, 2)]
