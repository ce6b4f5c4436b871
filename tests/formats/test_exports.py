"""Exports of a network trained on images: what other programs compute from all the test images.

The images are MNIST's where FASTMLP_DATA names its folder, and drawn digits elsewhere.
"""

import fastmlp
import numpy as np
import pytest
from compiled import needs_compiler, run_exported
from fastmlp import Network
from images import mnist_or_digits
from libraries import KINDS, library
from onnx_models import run
from problems import assert_exported


@pytest.fixture(scope="module", params=[(784, 128, 10), (784, 512, 384, 10)], ids=["128", "512-384"])
def trained(request):
    """A network after three epochs of MNIST, or as many updates on fewer digits, and the test images."""
    x_train, y_train, x_test, y_test = mnist_or_digits()
    net = Network(request.param, input_scale=1 / 255)
    fastmlp.Trainer(net, learning_rate=0.1, batch_size=128).fit(x_train, y_train, epochs=180_000 // len(x_train))
    assert net.evaluate(x_test, y_test).accuracy > 0.9
    return net, x_test


def judge(trained, outputs, classes, record_property):
    net, X = trained
    difference = float(np.abs(outputs.astype(float) - net.forward(X)).max())
    record_property("maximum difference of a probability", difference)
    print(f"\nmaximum difference of a probability: {difference:.3g}")
    print(f"rows whose class differs: {np.count_nonzero(classes != net.predict(X))} of {len(X)}")
    assert_exported(net, X, outputs, classes)


def test_onnx_on_images(trained, record_property):
    pytest.importorskip("onnx")

    found = run(trained[0].to_onnx("uint8"), trained[1])
    judge(trained, found["outputs"], found["classes"], record_property)


@needs_compiler
def test_c_on_images(trained, record_property, tmp_path):
    net, X = trained
    judge(trained, *run_exported({"network": net}, X, tmp_path)["network"], record_property)


def test_a_state_dict_on_images(trained, record_property):
    """Out with the input scale folded into the weights, and back."""
    net, X = trained
    state = net.to_state_dict(fold_input_scale=True)
    found = Network.from_state_dict(state, activation="relu", loss="cross_entropy")
    judge(trained, found.forward(X), found.predict(X), record_property)


@pytest.mark.parametrize("kind", KINDS)
def test_torch_on_images(trained, record_property, kind, monkeypatch):
    torch = library("torch", kind, monkeypatch)
    net, X = trained
    layers = []
    for inputs, outputs in zip(net.layer_sizes, net.layer_sizes[1:]):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
    module = torch.nn.Sequential(*layers[:-1])
    state = net.to_state_dict(fold_input_scale=True)
    module.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()}, strict=True)
    with torch.no_grad():
        outputs = module(torch.from_numpy(X.reshape(len(X), -1).astype(np.float32))).softmax(1).numpy()
    judge(trained, outputs, outputs.argmax(axis=1), record_property)
