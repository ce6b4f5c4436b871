"""Settings of activations and losses, in loops over all of them: results, files, exports, rejected values."""

import copy
import pickle

import fastmlp
import numpy as np
import pytest
import reference
from compiled import needs_compiler, run_exported
from fastmlp import Network, Trainer, activations, fit_many
from fastmlp.validation import Levels, Number
from problems import (
    DTYPES,
    activations_of,
    assert_close,
    assert_equal_bits,
    assert_exported,
    parameters,
    problem,
    row_orders,
)

SIZES = (11, 17, 9, 4)
PARTS = [
    (f"{kind}_settings", kind, row, name)
    for kind, table in (("activation", activations.TABLE), ("loss", fastmlp.losses.TABLE))
    for row in table.values()
    for name in row.settings
]
EVERY_SETTING = pytest.mark.parametrize("argument, kind, row, name", PARTS, ids=[f"{p[2].name}-{p[3]}" for p in PARTS])


def another(setting):
    """A value in the setting's range that is not its default."""
    value = setting.default / 2 + 0.2
    return setting.check("value", value, np.dtype("float64"))


def network(argument, kind, row, name, dtype="float64", **more):
    return Network(
        SIZES, **{kind: row.name, argument: {name: another(row.settings[name])}}, dtype=dtype, seed=3, **more
    )


def oracle_of(net):
    """Names of activation and loss for the oracle, with the settings of this network bound."""
    return (
        activations_of(net),
        reference.with_settings(reference.LOSSES, net.loss, **net.spec.loss_settings),
    )


@EVERY_SETTING
def test_training_follows_the_oracle(isa, argument, kind, row, name):
    net = network(argument, kind, row, name)
    X, y = problem(90, net.loss, layer_sizes=SIZES)
    start = net.weights, net.biases
    history = Trainer(net, learning_rate=0.05, batch_size=16, seed=2).fit(X, y, epochs=3)
    weights, biases, losses = reference.train(
        *start,
        X,
        y,
        row_orders(2, 90, 3),
        16,
        reference.SGD(0.05),
        activation=oracle_of(net)[0],
        loss=oracle_of(net)[1],
    )
    assert_close(parameters(net), weights + biases, 1e-12)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-12)
    np.testing.assert_allclose(
        net.evaluate(X, y).loss, reference.loss_and_gradients(weights, biases, X, y, *oracle_of(net)).loss, rtol=1e-12
    )


@EVERY_SETTING
def test_a_setting_changes_results_and_survives_every_copy(argument, kind, row, name, tmp_path):
    net, plain = network(argument, kind, row, name), Network(SIZES, **{kind: row.name}, dtype="float64", seed=3)
    X, y = problem(90, net.loss, layer_sizes=SIZES)
    assert net.evaluate(X, y).loss != plain.evaluate(X, y).loss
    assert f"{name!r}: {another(row.settings[name])!r}" in repr(net)
    net.save(tmp_path / "net.safetensors")
    trainer = Trainer(net, optimizer="adam", batch_size=16, seed=1)
    trainer.save(tmp_path / "trainer.safetensors")
    resumed = Trainer.resume(tmp_path / "trainer.safetensors")
    same = [fastmlp.load(tmp_path / "net.safetensors"), copy.deepcopy(net), pickle.loads(pickle.dumps(net))]
    settings = {"activation_settings": net.spec.activation_settings, "loss_settings": net.spec.loss_settings}
    same.append(Network.from_state_dict(net.to_state_dict(), activation=net.activation, loss=net.loss, **settings))
    for other in same:
        assert repr(other) == repr(net)
        assert other.evaluate(X, y).loss == net.evaluate(X, y).loss
    fit_many([trainer], X, y, epochs=2)
    resumed.fit(X, y, epochs=2)
    assert_equal_bits(parameters(resumed.network), parameters(net))


@EVERY_SETTING
@pytest.mark.parametrize("dtype", DTYPES)
def test_exports_keep_a_setting(argument, kind, row, name, dtype, tmp_path):
    net = network(argument, kind, row, name, dtype, input_scale=0.3)
    X = np.random.default_rng(0).normal(size=(37, SIZES[0])).astype(dtype)
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    assert onnx.checker.check_model(net.to_onnx()) is None
    session = runtime.InferenceSession(net.to_onnx().SerializeToString(), providers=["CPUExecutionProvider"])
    assert_exported(net, X, *session.run(None, {"inputs": X}))


@needs_compiler
@EVERY_SETTING
@pytest.mark.parametrize("dtype", DTYPES)
def test_exported_c_keeps_a_setting(argument, kind, row, name, dtype, tmp_path):
    net = network(argument, kind, row, name, dtype, input_scale=0.3)
    X = np.random.default_rng(0).normal(size=(37, SIZES[0])).astype(dtype)
    outputs, classes = run_exported({"network": net}, X, tmp_path)["network"]
    assert_exported(net, X, outputs, classes)


@EVERY_SETTING
def test_wrong_settings_are_rejected(argument, kind, row, name):
    setting = row.settings[name]
    if isinstance(setting, Levels):
        setting = Number(setting.default, above=0, below=1)  # of one; more in test_quantiles.py
    bad = [np.nan, np.inf] + [bound - 1 for bound in (setting.minimum, setting.above) if np.isfinite(bound)]
    bad += [setting.below] if np.isfinite(setting.below) else []
    for value in bad:
        with pytest.raises(ValueError, match=name):
            Network(SIZES, **{kind: row.name, argument: {name: value}})
    with pytest.raises(TypeError, match=name):
        Network(SIZES, **{kind: row.name, argument: {name: "0.5"}})
    with pytest.raises(ValueError, match=f"did you mean '{name}'"):
        Network(SIZES, **{kind: row.name, argument: {name + "s": 0.5}})
    with pytest.raises(TypeError, match="dict"):
        Network(SIZES, **{kind: row.name, argument: 0.5})


@EVERY_SETTING
def test_estimators_take_the_settings(argument, kind, row, name):
    sklearn = pytest.importorskip("sklearn")
    settings = {name: another(row.settings[name])}
    with_labels = kind == "loss" and row.decision is not None
    Mlp = fastmlp.MLPClassifier if with_labels else fastmlp.MLPRegressor
    loss = {"loss": row.name} if kind == "loss" and not with_labels else {}
    activation = {"activation": row.name} if kind == "activation" else {}
    X, y = problem(90, row.name if kind == "loss" else "squared_error", layer_sizes=SIZES)
    if row.name == "binary_cross_entropy":
        y = y[:, 0].astype(int)  # two classes train this loss
    made = Mlp(hidden_layer_sizes=(9,), random_state=0, max_iter=3, **loss, **activation, **{argument: settings})
    model = sklearn.base.clone(made)
    with pytest.warns(sklearn.exceptions.ConvergenceWarning):
        model.fit(X, y)
    net = model.to_network()
    assert getattr(net.spec, argument) == settings and model.get_params()[argument] == settings
    expected = net.predict(X) if Mlp is fastmlp.MLPClassifier else net.forward(X)
    assert_close([model.predict(X).reshape(-1).astype(float)], [np.asarray(expected).reshape(-1)], 1e-12)
    with pytest.warns(sklearn.exceptions.ConvergenceWarning):
        default = sklearn.base.clone(made).set_params(**{argument: None}).fit(X, y)
    assert not np.array_equal(default.coefs_[0], model.coefs_[0])
    before = copy.deepcopy(vars(model))
    with pytest.raises(ValueError, match=f"{argument}.*'nonsense'"):
        model.set_params(**{argument: {"nonsense": 1.0}}).fit(X, y)
    model.set_params(**{argument: settings})
    assert_equal_bits(model.coefs_, before["coefs_"])
