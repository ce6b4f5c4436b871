"""State dicts: bits that come back, PyTorch's modules as the reference, and errors that name the key.

PyTorch is the installed one, and everywhere a stand-in of NumPy.
"""

import math

import numpy as np
import pytest
from fastmlp import Network
from libraries import KINDS, library
from problems import DTYPES, assert_equal_bits, assert_exported, exported_network, parameters

LOSSES = ["cross_entropy", "squared_error", "binary_cross_entropy", "poisson"]
ACTIVATIONS = {"relu": "ReLU", "tanh": "Tanh", "logistic": "Sigmoid", "identity": "Identity"}


def back(state, activation="relu", loss="cross_entropy", **settings):
    return Network.from_state_dict(state, activation=activation, loss=loss, **settings)


def valid():
    return Network((4, 3, 3, 2)).to_state_dict()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layer_sizes", [(1, 1), (4, 3), (5, 7, 7, 7, 2)])
def test_what_goes_out_comes_back(layer_sizes, dtype):
    net = exported_network("tanh", "poisson", dtype, layer_sizes, input_scale=1.0)
    state = net.to_state_dict()
    assert list(state)[:2] == ["0.weight", "0.bias"] and len(state) == 2 * len(layer_sizes) - 2
    for i, (w, b) in enumerate(zip(net.weights, net.biases)):
        np.testing.assert_array_equal(state[f"{2 * i}.weight"], w.T)
        np.testing.assert_array_equal(state[f"{2 * i}.bias"], b)
        assert state[f"{2 * i}.weight"].dtype == dtype and state[f"{2 * i}.weight"].flags.c_contiguous
    found = back(state, "tanh", "poisson")
    assert repr(found) == repr(net)
    assert_equal_bits(parameters(found), parameters(net))
    state["0.weight"][:] = 0  # copies on either side
    assert_equal_bits(parameters(found), parameters(net))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_torch_computes_the_same_both_ways(activation, loss, dtype, kind, monkeypatch):
    torch = library("torch", kind, monkeypatch)
    nn = torch.nn
    layers = []
    for inputs, outputs in ((23, 17), (17, 31), (31, 5)):
        layers += [nn.Linear(inputs, outputs), getattr(nn, ACTIVATIONS[activation])()]
    module = nn.Sequential(*layers[:-1]).to(getattr(torch, dtype))
    finish = {
        "cross_entropy": lambda z: z.softmax(1),
        "squared_error": lambda z: z,
        "binary_cross_entropy": torch.sigmoid,
        "poisson": torch.exp,
    }[loss]
    X = np.random.default_rng(0).normal(size=(40, 23)).astype(dtype)

    def by_torch():
        with torch.no_grad():
            outputs = finish(module(torch.from_numpy(X))).numpy()
        classes = outputs.argmax(axis=1) if loss == "cross_entropy" else outputs > 0.5
        return outputs, classes

    assert_exported(back(dict(module.named_parameters()), activation, loss), X, *by_torch())  # they require gradients
    net = exported_network(activation, loss, dtype, (23, 17, 31, 5), input_scale=1.0)
    module.load_state_dict({name: torch.from_numpy(array) for name, array in net.to_state_dict().items()}, strict=True)
    assert_exported(net, X, *by_torch())
    assert_equal_bits(parameters(back(module.state_dict(), activation, loss)), parameters(net))


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_input_scale_is_folded_if_requested(dtype):
    net = exported_network("relu", "cross_entropy", dtype, input_scale=1 / 255)
    with pytest.raises(ValueError, match=r"no place for input_scale=0.0039\d+: pass fold_input_scale=True"):
        net.to_state_dict()
    state = net.to_state_dict(fold_input_scale=True)
    np.testing.assert_array_equal(state["0.weight"], net.weights[0].T * net.dtype.type(1 / 255))
    np.testing.assert_array_equal(state["2.weight"], net.weights[1].T)
    X = np.random.default_rng(0).integers(0, 256, (50, 23)).astype(np.uint8)
    found = back(state)
    assert_exported(net, X, found.forward(X), found.predict(X))
    kept = back(Network((4, 3)).to_state_dict(fold_input_scale=True), input_scale=0.5)  # nothing to fold
    assert kept.input_scale == 0.5


def test_folding_beyond_the_range_is_rejected():
    net = Network((2, 2), input_scale=1e38)
    net.set_parameters([np.full((2, 2), 1e3)], net.biases)
    with pytest.raises(ValueError, match=r"weights.0 times input_scale must be finite, got inf at \[0, 0\]"):
        net.to_state_dict(fold_input_scale=True)
    with pytest.raises(TypeError, match="fold_input_scale must be True or False"):
        net.to_state_dict(fold_input_scale=1)


@pytest.mark.parametrize(
    "names",
    [
        ["0", "1", "2"],
        ["net.8", "net.9", "net.10"],
        ["fc8", "fc9", "fc10"],
        ["module.encoder", "module.middle", "module.a_head"],
        ["a.fc1", "b.fc0", "c.fc2"],
        ["layers.2", "layers.10", "out"],
        ["8.fc", "body.8", "body.10"],
        ["layers.8.linear", "layers.9.linear", "layers.10.linear"],
        ["blocks.8.fc2", "blocks.8.fc10", "blocks.10.fc1"],
    ],
    ids=str,
)
def test_layers_come_in_order_whatever_their_names(names):
    net = exported_network("relu", "cross_entropy", "float32", (3, 3, 3, 3), input_scale=1.0)
    state = {}
    for name, w, b in zip(names, net.weights, net.biases):
        state |= {f"{name}.bias": b, f"{name}.weight": w.T}
    assert_equal_bits(parameters(back(state)), parameters(net))
    if "8" in names[0] or names[0] == "0":  # numbered: a file of them may be sorted by the alphabet
        assert_equal_bits(parameters(back(dict(sorted(state.items())))), parameters(net))


def test_each_group_of_numbered_layers_is_sorted_in_its_places():
    net = exported_network("relu", "cross_entropy", "float32", (3, 3, 3, 3), input_scale=1.0)
    for given in (["l10", "l9", "out"], ["l10", "mid", "l9"], ["in", "b.1", "b.0"]):
        ordered = {"l10": "l9", "l9": "l10", "b.1": "b.0", "b.0": "b.1"}
        state = {}
        layers = {ordered.get(name, name): pair for name, pair in zip(given, zip(net.weights, net.biases))}
        for name in given:
            w, b = layers[name]
            state |= {f"{name}.weight": w.T, f"{name}.bias": b}
        assert_equal_bits(parameters(back(state)), parameters(net))


def test_a_layer_without_a_number_among_numbered_ones_raises():
    state = Network((2, 3)).to_state_dict()
    with pytest.raises(ValueError, match="must number all layers or none, got 'fc.weight'"):
        back({"fc." + key: a for key, a in state.items()} | {"fc." + key[2:]: a for key, a in state.items()})


def test_one_layer_needs_no_name():
    found = back({"weight": np.ones((3, 2)), "bias": np.zeros(3)}, loss="squared_error")
    assert found.layer_sizes == (2, 3) and found.dtype == np.float64


def test_dtypes_are_kept_or_converted_as_requested():
    state = {"0.weight": np.full((1, 1), 1 / 3), "0.bias": np.zeros(1)}
    assert back(state).dtype == np.float64
    assert back(state, dtype="float32").weights[0] == np.float32(1 / 3)
    mixed = state | {"0.bias": np.zeros(1, np.float32)}
    with pytest.raises(ValueError, match="one dtype, got float32 and float64: pass dtype="):
        back(mixed)
    assert back(mixed, dtype="float64").weights[0] == 1 / 3
    with pytest.raises(ValueError, match=r"state\['0.weight'\] must be within the range of float32, got 1e\+300"):
        back({"0.weight": np.full((1, 1), 1e300), "0.bias": np.zeros(1)}, dtype="float32")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"2.bias": None}, r"must hold '2.bias' beside its other half; for a layer without one, zeros"),
        ({"2.weight": None}, r"must hold '2.weight' beside"),
        ({"1.running_mean": np.zeros(3)}, r"must end in 'weight' or 'bias', .* got '1.running_mean'"),
        ({"0.weights": np.zeros((3, 4))}, r"got '0.weights'"),
        ({7: np.zeros((3, 4))}, "got 7"),
        (
            {"1.weight": np.ones(3, "f4"), "1.bias": np.ones(3, "f4")},
            r"must hold dense layers only, got '1.weight' of shape \(3,\), as PReLU and normalization layers have it",
        ),
        ({"1.weight": np.full(1, 0.25, "f4")}, r"must hold dense layers only, got '1.weight' of shape \(1,\)"),
        ({"0.weight": np.zeros((0, 4), "f4"), "0.bias": np.zeros(0, "f4")}, r"both at least 1, got \(0, 4\)"),
        (
            {"2.weight": np.zeros((3, 5), np.float32)},
            r"state\['2.weight'\] must have shape \(outputs, 3\), the outputs of the layer before it, got \(3, 5\)",
        ),
        ({"4.bias": np.zeros(3, np.float32)}, r"state\['4.bias'\] must have shape \(2,\), got \(3,\)"),
        ({"4.bias": np.zeros((1, 2), np.float32)}, r"state\['4.bias'\] must have shape \(2,\), got \(1, 2\)"),
        (
            {"weight": np.zeros((3, 4), "f4"), "bias": np.zeros(3, "f4")},
            r"must number all layers or none, got 'weight' beside numbered ones",
        ),
        ({"2.bias": np.array([1, math.nan, 2], "f4")}, r"state\['2.bias'\] must be finite, got nan at \[1\]"),
        ({"0.weight": np.full((3, 4), -math.inf, "f4")}, r"state\['0.weight'\] must be finite, got -inf at \[0, 0\]"),
        ({"2.bias": np.ma.masked_array(np.zeros(3, "f4"), [0, 1, 0])}, "masked"),
    ],
)
def test_what_does_not_fit_is_named(changes, message):
    state = {**valid(), **changes}
    with pytest.raises(ValueError, match=message):
        back({key: value for key, value in state.items() if value is not None})


@pytest.mark.parametrize("dtype", ["float16", "int64", "bool", "complex64", "O", ">f4"])
def test_other_dtypes_are_rejected(dtype):
    with pytest.raises(TypeError, match=r"state\['2.bias'\] must be an array of float32 or float64, got"):
        back({**valid(), "2.bias": np.zeros(3, dtype)}, dtype="float32")


@pytest.mark.parametrize("kind", KINDS)
def test_other_tensors_are_rejected(kind, monkeypatch):
    torch = library("torch", kind, monkeypatch)
    assert str(torch.zeros(3, dtype=torch.bfloat16).dtype) == "torch.bfloat16"
    with pytest.raises(TypeError, match=r"must be an array of float32 or float64, got bfloat16"):
        back({**valid(), "2.bias": torch.zeros(3, dtype=torch.bfloat16)})


@pytest.mark.parametrize(
    "state, error, message",
    [
        ({}, ValueError, "at least one layer, got an empty mapping"),
        ([("0.weight", 1)], TypeError, "must be a mapping from names to arrays, got list"),
        (None, TypeError, "got NoneType"),
        ({"0.weight": [[1.0]], "0.bias": [0.0]}, TypeError, r"state\['0.weight'\] must be an array .* got list"),
    ],
)
def test_what_is_no_state_dict_is_rejected(state, error, message):
    with pytest.raises(error, match=message):
        back(state)


def test_settings_are_checked_and_must_be_given():
    with pytest.raises(TypeError, match="activation"):
        Network.from_state_dict(valid(), loss="poisson")
    for settings, message in (
        (dict(activation="softsign"), "activation must be one of"),
        (dict(loss="hinge"), "loss must be one of"),
        (dict(input_scale=0.0), "input_scale must not be zero"),
        (dict(dtype="float16"), "dtype must be 'float32' or 'float64'"),
    ):
        with pytest.raises(ValueError, match=message):
            back(valid(), **settings)


def test_a_network_that_is_not_finite_is_rejected():
    net = Network((2, 3, 2))
    net.core.set_layer(1, np.full((3, 2), np.nan, np.float32), np.zeros(2, np.float32))
    with pytest.raises(ValueError, match="finite to be exported, got weights.1 with nan"):
        net.to_state_dict()
