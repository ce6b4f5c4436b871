"""Exported C: strict compilers take it, it computes what the network computes, and its text keeps every bit."""

import re
import shutil

import numpy as np
import pytest
from compiled import STRICT, needs_compiler, run_checked, run_exported
from fastmlp import Network
from fastmlp.activations import ACTIVATIONS
from fastmlp.losses import LOSSES
from problems import DTYPES, assert_exported, exported_network, overflowing

SHAPES = {"deep": (23, 17, 31, 12, 5), "shallow": (23, 9, 1), "linear": (23, 4)}
NAMES = [f"{a}_{loss}_{dtype}" for a in ACTIVATIONS for loss in LOSSES for dtype in DTYPES]


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """Every kind of network in one library, which shows that their names do not collide, and what it computes."""
    nets = {
        f"{a}_{loss}_{dtype}": exported_network(a, loss, dtype)
        for a in ACTIVATIONS
        for loss in LOSSES
        for dtype in DTYPES
    }
    X = np.random.default_rng(0).normal(size=(38, 23))
    X[-1, 7] = np.nan
    return nets, X, run_exported(nets, X, tmp_path_factory.mktemp("c"))


@needs_compiler
@pytest.mark.parametrize("name", NAMES)
def test_c_predicts_the_same(everything, name):
    nets, X, results = everything
    outputs, classes = results[name]
    assert_exported(nets[name], X[:-1].astype(nets[name].dtype), outputs[:-1], classes[:-1])


@needs_compiler
@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_a_number_stays_so(everything, name):
    """C checks no input: the outputs for NaN of a broken sensor must not look like a prediction."""
    outputs, _ = everything[2][name]
    assert np.isnan(outputs[-1]).all() and np.isfinite(outputs[:-1]).all()


@needs_compiler
@pytest.mark.parametrize("layer_sizes", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("loss", LOSSES)
def test_every_depth(tmp_path, layer_sizes, loss):
    net = exported_network("relu", loss, "float32", layer_sizes, input_scale=1.0)
    X = np.random.default_rng(0).normal(size=(20, 23)).astype(np.float32)
    assert_exported(net, X, *run_exported({"network": net}, X, tmp_path)["network"])


@needs_compiler
@pytest.mark.parametrize("activation", ["relu", "logistic"])
@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_large_sums_do_not_overflow(tmp_path, loss, activation):
    net = exported_network(activation, loss, "float32", input_scale=1.0)
    X = np.random.default_rng(0).normal(0, 3e3, size=(20, 23)).astype(np.float32)
    outputs, classes = run_exported({"network": net}, X, tmp_path)["network"]
    assert np.isfinite(outputs).all() and (activation == "logistic" or outputs.max() > 0.999)
    assert_exported(net, X, outputs, classes)


@needs_compiler
def test_sums_that_overflow_are_activated_alike(tmp_path):
    for dtype in DTYPES:
        nets = {name: overflowing(name, dtype)[0] for name in ACTIVATIONS}
        X = overflowing("relu", dtype)[1]
        folder = tmp_path / dtype
        folder.mkdir()
        for name, (outputs, _) in run_exported(nets, X, folder).items():
            np.testing.assert_allclose(outputs, nets[name].forward(X), rtol=1e-6, err_msg=name)


@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler under the name of c++")
@pytest.mark.parametrize("loss", LOSSES)
def test_c_plus_plus_takes_it_and_keeps_the_names(tmp_path, loss):
    net = exported_network("tanh", loss, "float64")
    X = np.random.default_rng(0).normal(size=(20, 23))
    results = run_exported({"network": net}, X, tmp_path, ["c++", "-std=c++17", "-x", "c++"])
    assert_exported(net, X, *results["network"])


def constants(text):
    """The arrays of the file, by their names."""
    found = {}
    for name, shape, body in re.findall(r"static const \w+ (\w+)((?:\[\d+\])+) = (\{.*?\});", text, re.S):
        values = [float.fromhex(number.rstrip("f")) for number in re.findall(r"-?0x[^,{}\s]+", body)]
        found[name] = np.reshape(values, [int(n) for n in re.findall(r"\d+", shape)])
    return found


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_text_holds_the_very_parameters(dtype):
    info, weights = np.finfo(dtype), np.random.default_rng(0).normal(size=(5, 8)).astype(dtype)
    weights[0] = [info.max, -info.max, info.tiny, info.smallest_subnormal, -0.0, 0, 1, -1 / 3]
    net = Network((5, 8), loss="squared_error", dtype=dtype)
    net.set_parameters([weights], [np.arange(8) / 7])
    found = constants(net.to_c("net"))
    np.testing.assert_array_equal(found["net_weights_0"], weights)
    np.testing.assert_array_equal(np.signbit(found["net_weights_0"]), np.signbit(weights))
    np.testing.assert_array_equal(found["net_biases_0"], net.biases[0])


@needs_compiler
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_compiler_reads_the_very_parameters(tmp_path, dtype):
    """Rows of the identity matrix, no bias: each output is one weight."""
    info, weights = np.finfo(dtype), np.random.default_rng(0).normal(size=(5, 5)).astype(dtype)
    weights[0] = [info.max, -info.max, info.tiny, info.smallest_subnormal, -1 / 3]
    net = Network((5, 5), loss="squared_error", dtype=dtype)
    net.set_parameters([weights], [np.zeros(5)])
    outputs, _ = run_exported({"network": net}, np.eye(5, dtype=dtype), tmp_path)["network"]
    np.testing.assert_array_equal(outputs, weights)


@needs_compiler
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("layer_sizes", [(9, 900, 3, 400, 2, 100), (30, 20)])
def test_the_stack_is_what_the_comment_says(tmp_path, layer_sizes, loss):
    text = Network(layer_sizes, loss=loss).to_c()
    stack, constant_bytes = (int(re.search(p, text)[1]) for p in (r"stack (\d+) bytes", r"(\d+) bytes of constants"))
    classifies = loss in ("cross_entropy", "binary_cross_entropy")
    hidden = 900 + 3 if len(layer_sizes) > 2 else 0
    assert stack == 4 * (hidden + classifies * layer_sizes[-1])
    assert constant_bytes == 4 * Network(layer_sizes, loss=loss).parameter_count
    (tmp_path / "network.c").write_text(text)
    max_bytes = stack + 256  # registers and the return address
    run_checked(["cc", "-std=c99", *STRICT, f"-Wframe-larger-than={max_bytes}", "-c", "network.c"], tmp_path)
    if hidden:  # the counterpart: the compiler does report it
        with pytest.raises(AssertionError, match="frame"):
            run_checked(
                ["cc", "-std=c99", *STRICT, f"-Wframe-larger-than={4 * hidden - 500}", "-c", "network.c"], tmp_path
            )


def test_the_comment_names_what_a_user_must_know():
    text = exported_network("logistic", "poisson", "float64", input_scale=1 / 255).to_c("rate_2")
    for words in (
        "23-17-31-12-5",
        "logistic",
        "poisson",
        "double",
        "0.00392156862745098",
        "-lm",
        "rate_2.c",
        "fastmlp",
    ):
        assert words in text.partition("*/")[0]
    assert "#define RATE_2_INPUTS 23\n#define RATE_2_OUTPUTS 5\n" in text and 'extern "C"' in text
    assert "malloc" not in text and text.isascii() and not re.search(r"^(?!static const).*\bstatic\b", text, re.M)


@pytest.mark.parametrize("dtype, max_chars", [("float32", 17), ("float64", 23)])
def test_the_size_of_the_text(dtype, max_chars):
    net = Network((300, 100, 10), dtype=dtype)
    net.set_parameters(net.weights, [b + 0.1 for b in net.biases])
    assert max_chars - 2 < len(net.to_c()) / net.parameter_count < max_chars


@pytest.mark.parametrize(
    "name",
    ["", "2nd", "a-b", "a b", "float", "class", "restrict", "_net", "a__b", "net_", "netz\u00e9", "a\n", "x;y", "*/"],
)
def test_names_that_are_no_identifiers_are_rejected(name):
    with pytest.raises(ValueError, match="name must be a C identifier such as 'network'"):
        Network((2, 2)).to_c(name)


@pytest.mark.parametrize("name", [None, 3, b"net"])
def test_names_that_are_no_text_are_rejected(name):
    with pytest.raises(TypeError, match="name must be a C identifier"):
        Network((2, 2)).to_c(name)


def test_a_network_that_is_not_finite_is_rejected():
    net = Network((2, 3, 2))
    net.core.set_layer(0, np.ones((2, 3), np.float32), np.full(3, np.inf, np.float32))
    with pytest.raises(ValueError, match="finite to be exported, got biases.0 with inf"):
        net.to_c()
