"""ONNX: onnxruntime predicts what the network predicts, and what ONNX cannot hold is rejected."""

import numpy as np
import pytest
from fastmlp import Network, __version__
from fastmlp.activations import ACTIVATIONS, TABLE
from fastmlp.formats import onnx_graph
from fastmlp.losses import LOSSES
from fastmlp.model_state import ModelSpec
from onnx_models import run
from problems import DTYPES, assert_exported, exported_network, overflowing
from subprocesses import run_python

onnx = pytest.importorskip("onnx")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_onnxruntime_predicts_the_same(activation, loss, dtype):
    net = exported_network(activation, loss, dtype)
    if dtype not in TABLE[activation].onnx_dtypes:
        with pytest.raises(ValueError, match=f"activation='{activation}' must be float32 .* got float64"):
            net.to_onnx()
        return
    X = np.random.default_rng(0).normal(size=(41, 23)).astype(dtype)
    found = run(net.to_onnx(), X)
    assert_exported(net, X, found["outputs"], found.get("classes"))
    assert_exported(net, X[:1], *(output[:1] for output in run(net.to_onnx(), X[:1]).values()))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_sums_that_overflow_are_activated_alike(activation, dtype):
    if dtype in TABLE[activation].onnx_dtypes:
        net, X = overflowing(activation, dtype)
        np.testing.assert_allclose(run(net.to_onnx(), X)["outputs"], net.forward(X), rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ["elu", "selu", "softplus", "mish", "tanh"])
def test_small_activations_have_all_their_digits(activation, dtype):
    net = Network((1, 1, 1), activation, "squared_error", dtype)
    net.set_parameters([np.ones((1, 1))] * 2, [np.zeros(1)] * 2)
    X = np.array([[-1e-20], [-1e-8], [-1e-5], [-1e-2], [-1], [-20], [-80], [1e-20], [1e-5], [1]], dtype)
    tolerance = 20 * np.finfo(dtype).eps
    np.testing.assert_allclose(run(net.to_onnx(), X)["outputs"], net.forward(X), rtol=tolerance)


@pytest.mark.parametrize("input_scale", [1.0, 1 / 255])
@pytest.mark.parametrize("input_type", ["float32", "float64", "uint8"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_inputs_of_every_type(dtype, input_type, input_scale):
    net = exported_network("relu", "cross_entropy", dtype, input_scale=input_scale)
    X = np.random.default_rng(1).integers(0, 256, (30, 23)).astype(input_type)
    if input_type == "float64":
        X += 0.1  # not a float32: converted by both
    found = run(net.to_onnx(input_type), X)
    assert_exported(net, X, found["outputs"], found["classes"])


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_model_holds_the_very_parameters(dtype):
    """Rows of the identity matrix, no bias: each output is one weight, whatever the order of a sum."""
    weights, info = np.random.default_rng(0).normal(size=(9, 4)).astype(dtype), np.finfo(dtype)
    weights[0] = [info.max, info.tiny, -info.max, 1 / 3]
    net = Network((9, 4), loss="squared_error", dtype=dtype)
    net.set_parameters([weights], [np.zeros(4)])
    np.testing.assert_array_equal(run(net.to_onnx(), np.eye(9, dtype=dtype))["outputs"], weights)


def test_what_a_model_says_of_itself():
    net = exported_network("tanh", "binary_cross_entropy", "float64", input_scale=1 / 255)
    model = net.to_onnx("uint8")
    onnx.checker.check_model(model, full_check=True)
    assert (model.producer_name, model.producer_version) == ("fastmlp", __version__)
    assert model.ir_version == 7 and [(used.domain, used.version) for used in model.opset_import] == [("", 13)]
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["loss"] == "binary_cross_entropy" and metadata["activation"] == "tanh"
    assert metadata["layer_sizes"] == "23, 17, 31, 12, 5" and float(metadata["input_scale"]) == 1 / 255

    def described(values):
        shapes = [[d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim] for value in values]
        types = [onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name for value in values]
        return [(value.name, shape, kind) for value, shape, kind in zip(values, shapes, types)]

    assert described(model.graph.input) == [("inputs", ["rows", 23], "uint8")]
    assert described(model.graph.output) == [("outputs", ["rows", 5], "float64"), ("classes", ["rows", 5], "int64")]


@pytest.mark.parametrize("loss, outputs", [("cross_entropy", 2), ("squared_error", 1), ("poisson", 1)])
def test_only_classifiers_have_classes(loss, outputs):
    assert len(exported_network("relu", loss, "float32").to_onnx().graph.output) == outputs


def test_the_default_input_type_is_the_networks():
    for dtype in DTYPES:
        graph = exported_network("relu", "poisson", dtype, input_scale=1.0).to_onnx().graph
        assert not {"Cast", "Mul"} & {node.op_type for node in graph.node}
        assert graph.input[0].type.tensor_type.elem_type == graph.output[0].type.tensor_type.elem_type


def test_old_runtimes_load_float64():
    """onnxruntime up to 1.17 replaces Gemm and the activation behind it by a kernel that float64 lacks."""
    graph = exported_network("relu", "binary_cross_entropy", "float64").to_onnx().graph
    assert "Gemm" not in {node.op_type for node in graph.node}


def test_a_network_that_is_not_finite_is_rejected():
    net = Network((2, 3, 2))
    net.core.set_layer(1, np.full((3, 2), np.nan, np.float32), np.zeros(2, np.float32))
    with pytest.raises(ValueError, match="finite to be exported, got weights.1 with nan"):
        net.to_onnx()


@pytest.mark.parametrize(
    "input_type, error",
    [
        ("int64", ValueError),
        ("float16", ValueError),
        ("", ValueError),
        (np.float32, TypeError),
        (0, TypeError),
        ([], TypeError),
    ],
)
def test_other_input_types_are_rejected(input_type, error):
    with pytest.raises(error, match="input_type must be one of 'float32', 'float64', 'uint8', got"):
        Network((2, 2)).to_onnx(input_type)


def test_a_path_in_place_of_the_type_is_explained():
    with pytest.raises(ValueError, match=r"writes no file: onnx.save\(net.to_onnx\(\), 'n.onnx'\)"):
        Network((2, 2)).to_onnx("n.onnx")


def test_models_that_protobuf_cannot_write_are_rejected(monkeypatch):
    net = Network((2,) + (1,) * 300 + (2,), "tanh", "binary_cross_entropy")  # of names more than of numbers
    size = net.to_onnx("uint8").ByteSize()
    monkeypatch.setattr(onnx_graph, "MAX_MODEL_BYTES", size - 1)
    with pytest.raises(ValueError, match=rf"at most {size - 1} bytes, the limit of protobuf, got a network of \d+"):
        net.to_onnx()
    monkeypatch.undo()
    spec = ModelSpec((30000, 20000, 2), "relu", "cross_entropy", np.dtype("float32"))  # its parameters would need 4 GB
    with pytest.raises(ValueError, match="got a network of 2400247176"):
        onnx_graph._check_size(spec)


def test_without_onnx_the_extra_is_named():
    script = "import sys; sys.modules['onnx'] = None\nimport fastmlp\nfastmlp.Network((2, 2)).to_onnx()"
    result = run_python(script)
    assert (
        result.returncode != 0
        and "ImportError: Network.to_onnx needs onnx: pip install 'fastmlp[onnx]'" in result.stderr
    )
