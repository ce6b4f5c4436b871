"""The search for MNIST and Fashion-MNIST, their download from mirrors, and tests that must not use the network."""

import gzip
import hashlib
import os
import re
import socket
import struct
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from fastmlp import datasets
from fastmlp.datasets import mnist
from fastmlp.errors import DataFileError
from idx_files import HTML_PAGE, idx_bytes

REAL_MNIST = os.environ.get("FASTMLP_DATA")  # before any fixture changes it


# The search for MNIST. A tiny set takes the place of the real one, so that hashes can be right.


def replace_published(monkeypatch, **parts):
    for name in ("MNIST", "FASHION_MNIST"):
        monkeypatch.setattr(mnist, name, getattr(mnist, name)._replace(**parts))


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
            files.append(mnist.PublishedFile(name, values.shape, md5, sha256))
    replace_published(monkeypatch, files=tuple(files), mirrors=("http://127.0.0.1:9/", "http://127.0.0.1:9/second/"))
    monkeypatch.setattr(mnist, "cache_folder", lambda: tmp_path / "cache")
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


def test_a_number_is_no_folder():
    with pytest.raises(TypeError, match=r"folder must be a path, got 4000; all images are loaded, so take some with"):
        datasets.load_mnist(4000, 1000)


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
    for file in mnist.MNIST.files:
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
        replace_published(monkeypatch, mirrors=tuple(served.address(b) for b in behaviours))
        return served

    monkeypatch.setattr(mnist, "DOWNLOAD_TIMEOUT", 0.3)
    yield use
    served.close()


def test_a_file_of_the_right_md5_alone_does_not_enter_the_cache(mirrors, tiny_mnist, tmp_path, monkeypatch):
    """MD5 can be forged."""
    mirrors("good")
    first, *others = mnist.MNIST.files
    replace_published(monkeypatch, files=(first._replace(sha256="0" * 64), *others))
    with pytest.raises(DataFileError, match="expected sha256 0000"):
        datasets.load_mnist()
    assert list((tmp_path / "cache").iterdir()) == []


def test_fashion_mnist_has_a_folder_of_its_own(mirrors, tiny_mnist, tmp_path, monkeypatch):
    """Its files have the names of MNIST's."""
    served = mirrors("good")
    monkeypatch.setenv("FASTMLP_DATA", str(store(tmp_path / "data", damage(tiny_mnist))))
    store(tmp_path / "cache", damage(tiny_mnist))
    check_tiny(datasets.load_fashion_mnist())
    folder = tmp_path / "cache" / "fashion-mnist"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == tiny_mnist
    assert len(served.requests) == 4
    check_tiny(datasets.load_fashion_mnist(download=False))
    check_tiny(datasets.load_fashion_mnist(folder))
    store(tmp_path / "data" / "fashion-mnist", damage(tiny_mnist))
    with pytest.raises(DataFileError, match="other content: expected sha256"):
        datasets.load_fashion_mnist()


def test_the_message_names_fashion_mnists_folder(tiny_mnist, tmp_path, monkeypatch):
    monkeypatch.setenv("FASTMLP_DATA", str(tmp_path))
    with pytest.raises(DataFileError) as caught:
        datasets.load_fashion_mnist(download=False)
    message = str(caught.value)
    for part in ("Fashion-MNIST was not found", str(tmp_path / "fashion-mnist"), "load_fashion_mnist(folder)"):
        assert part in message
    assert "folder above it in FASTMLP_DATA, if it is called fashion-mnist" in message


def test_published_hashes_of_fashion_mnist():
    """Of the files beside MNIST's, where they are."""
    folder = REAL_MNIST and Path(REAL_MNIST).with_name("fashion-mnist")
    if not folder or not folder.is_dir():
        pytest.skip("no folder fashion-mnist lies beside FASTMLP_DATA")
    x_train, y_train, x_test, y_test = datasets.load_fashion_mnist(folder)
    assert (x_train.shape, x_test.shape) == ((60000, 784), (10000, 784))
    assert np.bincount(y_train).tolist() == [6000] * 10 and np.bincount(y_test).tolist() == [1000] * 10


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
    # The failed mirror is not tried again for every further file.
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
    first = mnist.MNIST.files[0]
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
    monkeypatch.setattr(mnist, "cache_folder", lambda: tmp_path / "file" / "cache")
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
        connection.connect(("192.0.2.1", 80))  # an address for documentation: no machine has it

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
    (tmp_path / "conftest.py").write_bytes((Path(__file__).resolve().parents[1] / "conftest.py").read_bytes())
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
