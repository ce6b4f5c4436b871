"""Model files: what is loaded is what was saved, and any other file raises, without running code or crashing."""

import io
import json
import os
import pickle
import re
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import fastmlp
import numpy as np
import pytest
from fastmlp import ModelFileError, Network, Trainer
from fastmlp.formats import model_file
from fastmlp.losses import LOSSES
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import assert_equal_bits, parameters

safetensors = pytest.importorskip("safetensors.numpy")

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


def counting(shape, dtype, start=0):
    """0.25, 0.5, 0.75 ...: numbers that any float holds and that are easy to check."""
    return (start + np.arange(1, 1 + np.prod(shape))).reshape(shape).astype(dtype) / 4


def golden_network():
    net = Network((3, 2, 4), activation="tanh", loss="binary_cross_entropy", dtype="float64", input_scale=1 / 255)
    net.set_parameters(
        [counting((3, 2), "float64"), counting((2, 4), "float64", 6)],
        [counting(2, "float64", 14), counting(4, "float64", 16)],
    )
    return net


def content_of(net, tmp_path):
    net.save(tmp_path / "net.safetensors")
    return (tmp_path / "net.safetensors").read_bytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layer_sizes", [(1, 1), (5, 3), (17, 9, 33, 2)])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_loaded_network_is_the_saved_one(tmp_path, layer_sizes, loss, dtype):
    net = Network(layer_sizes, "logistic", loss, dtype, seed=3, input_scale=0.1)
    net.save(tmp_path / "a net.safetensors")
    found = fastmlp.load(str(tmp_path / "a net.safetensors"))
    assert repr(found) == repr(net) and found.loss == net.loss and found.dtype == net.dtype
    assert_equal_bits(parameters(found), parameters(net))
    X = np.random.default_rng(0).normal(size=(6, layer_sizes[0]))
    np.testing.assert_array_equal(found.forward(X), net.forward(X))
    assert os.listdir(tmp_path) == ["a net.safetensors"]


def test_paths_of_bytes_are_taken(tmp_path):
    path = os.fsencode(tmp_path) + b"/net"
    net = Network((2, 3), seed=1)
    net.save(path)
    assert_equal_bits(parameters(fastmlp.load(path)), parameters(net))
    with open(path, "wb") as file:
        file.write(NOT_MODELS["pickle"])
    with pytest.raises(ModelFileError, match=re.escape(os.fsdecode(path)) + " is not a model file"):
        fastmlp.load(path)


def test_files_of_version_1_are_read():
    """These files were written by the first version that had the format; every later version must read them."""
    net = fastmlp.load(GOLDEN / "network_1.safetensors")
    assert repr(net) == repr(golden_network()) and net.loss == "binary_cross_entropy"
    assert_equal_bits(parameters(net), parameters(golden_network()))


def test_an_estimator_s_network_keeps_how_it_reports_losses(tmp_path):
    pytest.importorskip("sklearn")
    X, y = np.random.default_rng(0).normal(size=(30, 4)), np.arange(30) % 3
    model = fastmlp.MLPClassifier((5,), max_iter=3, random_state=0, tol=0, n_iter_no_change=9)
    saved = []

    def save(info):  # the network of the fit, which reports losses as scikit-learn does
        info.network.save(tmp_path / "fitting.safetensors")
        saved.append((info.network, info.network.evaluate(1e4 * X, y)))

    with pytest.warns(Warning, match="iterations"):
        model.fit(X, y, callbacks=[save])
    model.to_network().save(tmp_path / "net.safetensors")
    in_fit, afterwards = (fastmlp.load(tmp_path / f"{name}.safetensors") for name in ("fitting", "net"))
    assert (in_fit.spec.clips_loss, afterwards.spec.clips_loss) == (True, False)
    assert in_fit.evaluate(1e4 * X, y) == saved[-1][1]
    assert afterwards.evaluate(1e4 * X, y) == model.to_network().evaluate(1e4 * X, y)
    assert_equal_bits(parameters(in_fit), parameters(afterwards))
    assert in_fit.evaluate(1e4 * X, y).loss < 36.1 < afterwards.evaluate(1e4 * X, y).loss, "-log(eps) at most"


def test_a_network_that_is_not_finite_is_not_saved(tmp_path):
    net = Network((2, 3, 2))
    net.core.set_layer(1, np.full((3, 2), np.nan, np.float32), np.zeros(2, np.float32))
    with pytest.raises(ValueError, match=r"finite.*weights\.1.*nan"):
        net.save(tmp_path / "net.safetensors")
    assert os.listdir(tmp_path) == []


def test_a_header_that_would_not_be_read_is_not_saved(tmp_path, monkeypatch):
    """Of a network of some hundred thousand layers."""
    net = Network((2,) * 20)
    length = int.from_bytes(content_of(net, tmp_path)[:8], "little")
    monkeypatch.setattr(model_file, "MAX_HEADER_BYTES", length)
    fastmlp.load(tmp_path / "net.safetensors")
    net.save(tmp_path / "net.safetensors")
    monkeypatch.setattr(model_file, "MAX_HEADER_BYTES", length - 1)
    with pytest.raises(ValueError, match=rf"at most {length - 1} bytes, got {length}"):
        net.save(tmp_path / "other")
    assert os.listdir(tmp_path) == ["net.safetensors"]


def of_header(header, data=b"", length=None):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def forged(**changes):
    """A file of one small network, with other metadata, tensors or bytes."""
    metadata = {
        "format": "fastmlp",
        "format_version": "1",
        "content": "network",
        "layer_sizes": "3, 2",
        "activation": "relu",
        "loss": "cross_entropy",
        "input_scale": "1.0",
        "clips_loss": "0",
        **changes.pop("metadata", {}),
    }
    metadata = {name: value for name, value in metadata.items() if value is not None}
    tensors = {"weights.0": counting((3, 2), "float32"), "biases.0": counting(2, "float32")} | changes
    return safetensors.save({name: array for name, array in tensors.items() if array is not None}, metadata)


def with_offsets(first, second):
    spec = {"dtype": "F32", "shape": [3, 2]}, {"dtype": "F32", "shape": [2]}
    header = {
        "__metadata__": {"format": "fastmlp", "format_version": "1"},
        "weights.0": {**spec[0], "data_offsets": first},
        "biases.0": {**spec[1], "data_offsets": second},
    }
    return of_header(header, bytes(32))


class Runs:
    def __reduce__(self):
        return (os.system, ("echo a pickle was executed >&2",))


def zipped():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # as torch.save makes
        archive.writestr("archive/data.pkl", pickle.dumps(Runs()))
    return buffer.getvalue()


NOT_MODELS = {
    "empty": b"",
    "short": b"\x10\0\0\0",
    "pickle": pickle.dumps(Runs()),
    "zip": zipped(),
    "HTML": b"<!doctype html><html><body>404 Not Found</body></html>",
    "header of 2^63 bytes": of_header(b"{}", length=2**63),
    "header of 2^64 - 1 bytes": of_header(b"{}", length=2**64 - 1),
    "header longer than the file": of_header(b'{"fastmlp": 1}', length=10**6),
    "no JSON": of_header(b'"fastmlp" {'),
    "JSON of another kind": of_header(["fastmlp"]),
    "tensors of another kind": of_header({"fastmlp": 3}),
    "metadata that are a list": of_header({"__metadata__": ["fastmlp"], "a": {"dtype": "I8"}}),
    "metadata that are text": of_header({"__metadata__": "fastmlp", "a": {"dtype": "I8"}}),
    "metadata that are a number": of_header({"__metadata__": 5, "fastmlp": {"dtype": "I8"}}),
    "a long name for itself": safetensors.save({}, {"format": "x" * 5_000_000, "fastmlp": "fastmlp"}),
    "a long version": forged(metadata={"format_version": "1" * 5_000_000}),
    "a million negative sizes": forged(metadata={"layer_sizes": ", ".join(["-3"] * 10**6)}),
    "a long name of a loss": forged(metadata={"loss": "x" * 5_000_000}),
    "a hundred thousand integers": of_header(
        {
            "__metadata__": {"format": "fastmlp", "format_version": "1"},
            **{f"weights.{i}": {"dtype": "I8"} for i in range(100_000)},
        }
    ),
    "a tensor of a long name": forged(**{"x" * 1_000_000: np.zeros(2, np.float32)}),
    "deep JSON": of_header(b'{"fastmlp":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "deep metadata": of_header(b'{"__metadata__":{"fastmlp":' + b'{"a":' * 5000 + b"1" + b"}" * 5002),
    "no UTF-8": of_header(b'{"fastmlp\xff":1}'),
    "another safetensors file": safetensors.save({"x": np.zeros(3, np.float32)}, {"format": "pt"}),
    "another's name for itself": safetensors.save({"x": np.zeros(3, np.float32)}, {"format": '"fastmlp"'}),
    "overlapping tensors": with_offsets([0, 24], [20, 28]),
    "negative offsets": with_offsets([-8, 16], [16, 24]),
    "offsets beyond the end": with_offsets([0, 24], [10**18, 10**18 + 8]),
    "offsets that overflow": with_offsets([0, 24], [2**64 - 8, 2**64]),
    "offsets backwards": with_offsets([24, 0], [24, 32]),
    "a hole": with_offsets([0, 24], [28, 36]),
    "later version": forged(metadata={"format_version": "2"}),
    "no version": forged(metadata={"format_version": None}),
    "no layer_sizes": forged(metadata={"layer_sizes": None}),
    "one size": forged(metadata={"layer_sizes": "3"}),
    "other sizes": forged(metadata={"layer_sizes": "3, 4"}),
    "more layers": forged(metadata={"layer_sizes": "3, 2, 2"}),
    "huge sizes": forged(metadata={"layer_sizes": f"{10**9}, {10**9}"}),
    "sizes of 5000 digits": forged(metadata={"layer_sizes": "3, " + "9" * 5000}),
    "sizes that are no numbers": forged(metadata={"layer_sizes": "3, two"}),
    "negative sizes": forged(metadata={"layer_sizes": "-3, -2"}),
    "a million sizes": forged(metadata={"layer_sizes": ", ".join(["3"] * 10**6)}),
    "no such activation": forged(metadata={"activation": "__import__('os')"}),
    "no such loss": forged(metadata={"loss": "hinge"}),
    "scale not finite": forged(metadata={"input_scale": "nan"}),
    "scale no number": forged(metadata={"input_scale": "one"}),
    "no flag": forged(metadata={"clips_loss": "maybe"}),
    "a tensor missing": forged(**{"biases.0": None}),
    "no weights": forged(**{"weights.0": None}),
    "a tensor too many": forged(more=np.zeros(2, np.float32)),
    "optimizer's state in a network": forged(**{"optimizer.0.0": np.zeros((3, 2), np.float32)}),
    "another dtype": forged(**{"biases.0": counting(2, "float64")}),
    "integers": forged(**{"weights.0": np.zeros((3, 2), np.int32)}),
    "integers alone": forged(**{"weights.0": np.zeros((3, 2), np.int32), "biases.0": np.zeros(2, np.int32)}),
    "float16": forged(**{"weights.0": counting((3, 2), "float16"), "biases.0": counting(2, "float16")}),
    "transposed": forged(**{"weights.0": counting((2, 3), "float32")}),
    "NaN": forged(**{"weights.0": np.full((3, 2), np.nan, np.float32)}),
    "inf": forged(**{"biases.0": np.array([0, np.inf], np.float32)}),
}


def test_the_forgery_is_a_model_but_for_what_is_changed(tmp_path):
    (tmp_path / "net").write_bytes(forged())
    assert_equal_bits(parameters(fastmlp.load(tmp_path / "net")), [counting((3, 2), "float32"), counting(2, "float32")])


@pytest.mark.parametrize("kind", NOT_MODELS)
def test_what_is_not_a_model_file_raises(tmp_path, kind, capfd):
    path = tmp_path / "model.safetensors"
    path.write_bytes(NOT_MODELS[kind])
    for reader in (fastmlp.load, Trainer.resume):
        with pytest.raises(ModelFileError, match=r"model\.safetensors") as caught:
            reader(path)
        assert len(str(caught.value)) < 500, "a message, not a copy of the file"
    assert capfd.readouterr().err == ""


def test_nothing_is_unpickled(tmp_path):
    """An audit hook sees every unpickling of a class; it cannot be taken away again, so a process of its own."""
    (tmp_path / "pickle").write_bytes(NOT_MODELS["pickle"])
    script = f"""
import sys, fastmlp.formats.model_file
fastmlp.formats.model_file._safetensors()  # what it needs is imported before the hook starts
seen = []
sys.addaudithook(lambda event, args: seen.append(event) if event.startswith(("pickle.", "os.system")) else None)
fastmlp.load({str(GOLDEN / "network_1.safetensors")!r})
try:
    fastmlp.load({str(tmp_path / "pickle")!r})
except fastmlp.ModelFileError:
    print(seen)
import pickle
try:
    pickle.loads(open({str(tmp_path / "pickle")!r}, "rb").read())
finally:
    print(seen[0])
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert result.stdout.split() == ["[]", "pickle.find_class"], result.stderr


def test_every_prefix_and_every_longer_file_raises(tmp_path):
    whole = content_of(Network((3, 2), seed=1), tmp_path)
    path = tmp_path / "part"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFileError):
            fastmlp.load(path)
    for more in (b"\0", b"\n", b"12345678"):
        path.write_bytes(whole + more)
        with pytest.raises(ModelFileError):
            fastmlp.load(path)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_flipped_bits_give_an_error_or_a_valid_network(tmp_path_factory, data):
    whole = bytearray(content_of(golden_network(), tmp_path_factory.mktemp("flips")))
    for place in data.draw(st.lists(st.integers(0, 8 * len(whole) - 1), min_size=1, max_size=8)):
        whole[place // 8] ^= 1 << place % 8
    path = tmp_path_factory.mktemp("flips") / "net"
    path.write_bytes(whole)
    try:
        net = fastmlp.load(path)
    except ModelFileError:
        return
    assert all(np.isfinite(array).all() for array in parameters(net))
    assert net.forward(np.zeros((2, net.layer_sizes[0]))).shape == (2, net.layer_sizes[-1])


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_random_bytes_raise(tmp_path_factory, content, with_header):
    path = tmp_path_factory.mktemp("random") / "net"
    path.write_bytes(of_header(b'{"fastmlp"' + content) if with_header else content)
    with pytest.raises(ModelFileError):
        fastmlp.load(path)


@pytest.mark.parametrize("length", [100, 2**39])
def test_a_large_file_of_another_kind_is_not_read(tmp_path, length):
    """A sparse file of a terabyte: its size is not what memory depends on, nor the length it gives for its header."""
    path = tmp_path / "film.mp4"
    with open(path, "wb") as file:
        file.write(of_header(b"{}" + b" " * 98, length=length))
        file.truncate(2**40)
    with pytest.raises(ModelFileError, match="header"):
        fastmlp.load(path)


def test_paths_that_cannot_be_read_are_os_errors(tmp_path):
    with pytest.raises(FileNotFoundError):
        fastmlp.load(tmp_path / "nothing")
    with pytest.raises(IsADirectoryError):
        fastmlp.load(tmp_path)


def test_without_safetensors_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match=r"fastmlp\[files\]"):
        Network((2, 2)).save(tmp_path / "net")
    with pytest.raises(ImportError, match=r"fastmlp\[files\]"):
        fastmlp.load(tmp_path / "net")
