"""Files of ensembles: model files and ONNX of all members, and what is no such file."""

import os
import re
import shutil

import fastmlp
import numpy as np
import pytest
from compiled import needs_compiler, run_exported
from fastmlp import Ensemble, ModelFileError, Network, Trainer, __version__
from fastmlp.activations import TABLE as ACTIVATIONS
from fastmlp.formats import model_file
from fastmlp.losses import LOSSES
from onnx_models import run
from problems import DTYPES, assert_equal_bits, assert_exported, exported_network, parameters

COUNT = 11  # members 10 and 2 sort otherwise as text


def ensemble(loss="cross_entropy", dtype="float32", count=3, activations=("relu", "tanh", "leaky_relu")):
    """Members whose hidden layers, settings and scales differ."""
    return Ensemble(
        [
            Network((5, *[4 + i % 3] * (i % 3), 3), activations[i % 3], loss, dtype, seed=i, input_scale=1 / (i + 1))
            for i in range(count)
        ]
    )


def assert_same(found, expected):
    assert isinstance(found, Ensemble) and len(found) == len(expected)
    for one, other in zip(found.members, expected.members):
        assert one.spec == other.spec
        assert_equal_bits(parameters(one), parameters(other))


@pytest.mark.parametrize("count", [1, 3, COUNT])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
def test_a_loaded_ensemble_is_the_saved_one(tmp_path, loss, dtype, count):
    pytest.importorskip("safetensors")
    path = tmp_path / "ensemble.safetensors"
    saved = ensemble(loss, dtype, count)
    saved.save(path)
    assert_same(fastmlp.load(path), saved)
    assert_same(Ensemble.load(os.fsencode(path)), saved)
    assert os.listdir(tmp_path) == ["ensemble.safetensors"]


def test_each_reader_names_what_it_finds(tmp_path):
    pytest.importorskip("safetensors")
    network, trainer, many = tmp_path / "network", tmp_path / "trainer", tmp_path / "ensemble"
    Network((5, 3)).save(network)
    Trainer(Network((5, 3))).save(trainer)
    ensemble().save(many)
    for reader, path, message in [
        (Network.load, many, "holds an ensemble; fastmlp.load reads it"),
        (Trainer.resume, many, "holds an ensemble, not a checkpoint: fastmlp.load reads it"),
        (Ensemble.load, network, "holds one network, no ensemble"),
        (Ensemble.load, trainer, "holds one network, no ensemble"),
    ]:
        with pytest.raises(ModelFileError, match=message):
            reader(path)
    for path in (network, trainer):
        assert type(fastmlp.load(path)) is Network


def forged(path, change):
    """The file of an ensemble of two, with other tensors or metadata."""
    Ensemble([Network((2, 3), seed=0), Network((2, 3), seed=1)]).save(path)
    arrays, metadata = model_file.read(path)
    metadata = {name: text for name, text in metadata.items() if name not in ("format", "content", "written_by")}
    change(arrays, metadata)
    content = metadata.pop("content", "ensemble")
    version = metadata.pop("format_version")
    model_file.write(path, content, arrays, metadata)
    written = path.read_bytes()
    own = f'"format_version":"{1 if content != "ensemble" else 2}"'.encode()
    assert written.count(own) == 1
    path.write_bytes(written.replace(own, f'"format_version":"{version}"'.encode()))


NOT_ENSEMBLES = {
    "version 1": lambda arrays, metadata: metadata.update(format_version="1"),
    "a later version": lambda arrays, metadata: metadata.update(format_version="3"),
    "no count": lambda arrays, metadata: metadata.pop("members"),
    "count no number": lambda arrays, metadata: metadata.update(members="two"),
    "no members": lambda arrays, metadata: (arrays.clear(), metadata.update(members="0")),
    "a negative count": lambda arrays, metadata: metadata.update(members="-2"),
    "a member too many": lambda arrays, metadata: metadata.update(members="1"),
    "a member too few": lambda arrays, metadata: metadata.update(members="3"),
    "a billion members": lambda arrays, metadata: metadata.update(members="1000000000"),
    "another number": lambda arrays, metadata: arrays.update({"members.7.biases.0": arrays.pop("members.1.biases.0")}),
    "a leading zero": lambda arrays, metadata: arrays.update({"members.00.x": arrays.pop("members.1.biases.0")}),
    "no weights": lambda arrays, metadata: arrays.pop("members.1.weights.0"),
    "a tensor of no member": lambda arrays, metadata: arrays.update(x=np.zeros(2, np.float32)),
    "a tensor too many": lambda arrays, metadata: arrays.update({"members.1.x": np.zeros(2, np.float32)}),
    "no metadata": lambda arrays, metadata: metadata.pop("members.1.layer_sizes"),
    "metadata of a network": lambda arrays, metadata: metadata.update(
        layer_sizes=metadata.pop("members.1.layer_sizes")
    ),
    "NaN": lambda arrays, metadata: arrays.update({"members.1.biases.0": np.full(3, np.nan, np.float32)}),
    "another loss": lambda arrays, metadata: metadata.update({"members.1.loss": "squared_error"}),
    "no such loss": lambda arrays, metadata: metadata.update({"members.1.loss": "hinge"}),
    "another dtype": lambda arrays, metadata: arrays.update(
        {f"members.1.{name}": arrays[f"members.1.{name}"].astype(float) for name in ("weights.0", "biases.0")}
    ),
    "content of a network": lambda arrays, metadata: metadata.update(content="network", format_version="1"),
}


@pytest.mark.parametrize("change", NOT_ENSEMBLES.values(), ids=NOT_ENSEMBLES)
def test_what_is_not_an_ensemble_raises(tmp_path, change):
    pytest.importorskip("safetensors")
    path = tmp_path / "ensemble.safetensors"
    forged(path, lambda arrays, metadata: None)
    assert len(fastmlp.load(path)) == 2, "the forgery is an ensemble but for what is changed"
    forged(path, change)
    for reader in (fastmlp.load, Ensemble.load):
        with pytest.raises(ModelFileError, match=r"ensemble\.safetensors"):
            reader(path)


def test_the_file_of_an_ensemble_has_a_version_of_its_own(tmp_path):
    """Programs that know no ensembles then say that they are too old."""
    pytest.importorskip("safetensors")
    for saved, version in [(Network((2, 3)), "1"), (Trainer(Network((2, 3))), "1"), (ensemble(), "2")]:
        saved.save(tmp_path / "file")
        assert model_file.read(tmp_path / "file")[1]["format_version"] == version


def test_an_ensemble_that_is_not_finite_is_not_saved(tmp_path):
    pytest.importorskip("safetensors")
    failed = Network((2, 3))
    failed.core.set_layer(0, np.full((2, 3), np.nan, np.float32), np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="finite"):
        Ensemble([Network((2, 3)), failed]).save(tmp_path / "file")
    assert os.listdir(tmp_path) == []


class Mean:
    """What `assert_exported` compares with: the bound of the member with the largest errors holds for their mean."""

    def __init__(self, members):
        self.spec, self.members = members[0].spec, members
        for name in ("weights", "biases", "input_scale", "activation", "loss", "dtype", "layer_sizes"):
            setattr(self, name, getattr(members[0], name))

    def forward(self, X):
        return Ensemble(self.members).forward(X)

    def predict(self, X):
        return Ensemble(self.members).predict(X)

    def to_c(self, name):
        return Ensemble(self.members).to_c(name)


def mirrored_members(loss, dtype):
    """Networks of equal weights but for their signs, so that one bound of the rounding holds for all."""
    members = [exported_network("tanh", loss, dtype) for _ in range(3)]
    members[1].set_parameters([-w for w in members[1].weights], members[1].biases)
    members[2].set_parameters(members[2].weights, [-b for b in members[2].biases])
    return members


@pytest.mark.parametrize("input_type", [None, "uint8"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
def test_onnxruntime_predicts_the_mean(loss, dtype, input_type):
    pytest.importorskip("onnx")
    members = mirrored_members(loss, dtype)
    X = np.random.default_rng(0).integers(0, 4, (41, 23)).astype(input_type or dtype)
    found = run(Ensemble(members).to_onnx(input_type), X)
    assert_exported(Mean(members), X, found["outputs"], found.get("classes"))
    assert ("classes" in found) == ("cross_entropy" in loss)


@needs_compiler
def test_c_predicts_the_mean(tmp_path):
    """In one library with a network, which shows that their names do not collide."""
    nets = {f"{loss}_{dtype}": Mean(mirrored_members(loss, dtype)) for loss in LOSSES for dtype in DTYPES}
    nets["one"] = Mean([exported_network("relu", "poisson", "float32")])
    nets["alone"] = exported_network("relu", "gamma", "float64")
    X = np.random.default_rng(0).normal(size=(21, 23))
    for name, (outputs, classes) in run_exported(nets, X, tmp_path).items():
        assert_exported(nets[name], X.astype(nets[name].dtype), outputs, classes)


@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler under the name of c++")
def test_c_plus_plus_takes_it(tmp_path):
    losses = ("cross_entropy", "binary_cross_entropy", "huber")
    nets = {loss: Mean(mirrored_members(loss, "float32")) for loss in losses}
    X = np.random.default_rng(0).normal(size=(5, 23)).astype("float32")
    for name, results in run_exported(nets, X, tmp_path, ["c++", "-std=c++17", "-x", "c++"]).items():
        assert_exported(nets[name], X, *results)


def huge_members():
    """Their sum, but not their mean, is beyond the range of float32."""
    members = [Network((1, 1), loss="squared_error") for _ in range(2)]
    for member in members:
        member.set_parameters([np.full((1, 1), 3e38)], [np.zeros(1)])
    return members


def test_onnxruntime_sums_in_double():
    pytest.importorskip("onnx")
    X = np.ones((2, 1), np.float32)
    found = run(Ensemble(huge_members()).to_onnx(), X)["outputs"]
    assert_equal_bits([found], [Ensemble(huge_members()).forward(X)])


@needs_compiler
def test_c_sums_in_double(tmp_path):
    X = np.ones((2, 1), np.float32)
    found, _ = run_exported({"network": Mean(huge_members())}, X, tmp_path)["network"]
    assert_equal_bits([found], [Ensemble(huge_members()).forward(X)])


def test_members_of_different_shapes_are_exported():
    pytest.importorskip("onnx")
    for count in (1, 3, COUNT):
        each = ensemble(count=count)
        X = np.random.default_rng(0).normal(size=(9, 5)).astype("float32")
        found = run(each.to_onnx(), X)
        np.testing.assert_allclose(found["outputs"], each.forward(X), atol=1e-5)
        np.testing.assert_array_equal(found["classes"], found["outputs"].argmax(axis=1))


def test_what_an_onnx_model_says_of_itself():
    onnx = pytest.importorskip("onnx")
    model = ensemble("poisson").to_onnx()
    onnx.checker.check_model(model, full_check=True)
    assert (model.producer_name, model.producer_version, model.ir_version) == ("fastmlp", __version__, 7)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["members"] == "3" and metadata["members.2.loss"] == "poisson"
    assert [output.name for output in model.graph.output] == ["outputs"]
    assert "half" not in [array.name for array in model.graph.initializer]


def test_onnx_and_c_refuse_by_name(monkeypatch):
    pytest.importorskip("onnx")
    from fastmlp.formats import onnx_graph

    name = next(name for name, row in ACTIVATIONS.items() if "float64" not in row.onnx_dtypes)
    with pytest.raises(ValueError, match=f"activation='{name}' must be float32"):
        ensemble(dtype="float64", activations=("relu", name, "relu")).to_onnx()
    monkeypatch.setattr(onnx_graph, "MAX_MODEL_BYTES", 20_000)
    with pytest.raises(ValueError, match=re.escape("at most 20000 bytes, the limit of protobuf, got an ensemble of")):
        ensemble(count=40).to_onnx()
    for name in ("0", "a__b", "double"):
        with pytest.raises(ValueError, match="name must be a C identifier"):
            ensemble().to_c(name)
