"""One activation for each hidden layer: results, threads, files, exports, studies, ranks, and what is rejected."""

import copy
import json
import pickle

import fastmlp
import numpy as np
import pytest
import reference
from compiled import needs_compiler, run_exported
from fastmlp import Ensemble, ModelFileError, Network, Trainer, distributed, fit_lbfgs, fit_many, plotting, studies
from fastmlp.activations import ACTIVATIONS, TABLE
from fastmlp.formats import model_file
from problems import DTYPES, activations_of, assert_close, assert_equal_bits, assert_exported, parameters, problem
from problems import row_orders
from onnx_models import run
from ranks import Ranks, together
from teams import TEAMS, team_of

SIZES = (11, 17, 9, 13, 4)
COUNT = len(ACTIVATIONS)
OWN_SLOPES = ("leaky_relu", [{"slope": 0.3}, None, {"slope": 0.05}])  # one activation with other settings


def own_settings(name):
    """Other than the defaults; None if there are none."""
    return {key: setting.default / 2 + 0.2 for key, setting in TABLE[name].settings.items()} or None


def mixture(i):
    """Each activation is in some mixture the first, the middle and the last one."""
    names = [ACTIVATIONS[i], ACTIVATIONS[(i + 1) % COUNT], ACTIVATIONS[(i + 5) % COUNT]]
    return names, [own_settings(name) for name in names]


MIXTURES = [*map(mixture, range(COUNT)), OWN_SLOPES]
EVERY_MIXTURE = pytest.mark.parametrize(
    "activation, settings", MIXTURES, ids=[*("-".join(mixture(i)[0]) for i in range(COUNT)), "own slopes"]
)


def network(activation, settings, dtype="float64", sizes=SIZES, **more):
    net = Network(sizes, activation, dtype=dtype, seed=3, activation_settings=settings, **more)
    rng = np.random.default_rng(4)
    net.set_parameters(net.weights, [rng.normal(0, 0.3, b.shape) for b in net.biases])
    return net


@EVERY_MIXTURE
def test_values_gradients_and_updates_follow_the_oracle(isa, activation, settings):
    net = network(activation, settings)
    X, y = problem(90, layer_sizes=SIZES)
    start, oracle = (net.weights, net.biases), activations_of(net)
    assert_close([net.forward(X)], [reference.forward(*start, X, oracle, net.loss)], 1e-12)
    found = net.loss_and_gradients(X, y, l2=0.1)
    expected = reference.loss_and_gradients(*start, X, y, oracle, net.loss, l2=0.1)
    assert_close(found.weights + found.biases, expected.weights + expected.biases, 1e-12)
    history = Trainer(net, learning_rate=0.05, batch_size=16, seed=2).fit(X, y, epochs=3)
    weights, biases, losses = reference.train(
        *start, X, y, row_orders(2, 90, 3), 16, reference.SGD(0.05), activation=oracle
    )
    assert_close(parameters(net), weights + biases, 1e-12)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-12)


@EVERY_MIXTURE
@pytest.mark.parametrize("dtype", DTYPES)
def test_predictions_are_exact_but_for_rounding(isa, dtype, activation, settings):
    net = network(activation, settings, dtype, input_scale=0.3)
    X = np.random.default_rng(0).normal(size=(37, SIZES[0])).astype(dtype)
    weights, biases = ([array.astype(float) for array in arrays] for arrays in (net.weights, net.biases))
    expected = reference.forward(weights, biases, 0.3 * X.astype(float), activations_of(net), net.loss)
    assert_exported(net, X, net.forward(X), net.forward(X).argmax(axis=1))
    bound = reference.rounding_bound(
        weights, biases, 0.3 * X.astype(float), activations_of(net), net.loss, np.finfo(dtype).eps
    )
    assert (np.abs(net.forward(X) - expected) <= bound).all()


@pytest.mark.parametrize("workers", TEAMS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation, settings", [mixture(0), mixture(5), mixture(9)])
def test_no_team_changes_a_bit(activation, settings, dtype, workers):
    sizes = (64, 300, 50, 40, 10)
    X, y = problem(900, dtype=dtype, layer_sizes=sizes)  # a prediction has a worker per 128 rows at most
    nets = [network(activation, settings, dtype, sizes) for _ in range(2)]
    alone, team = [
        Trainer(net, optimizer="adam", learning_rate=1e-3, batch_size=64, n_threads=n)
        for net, n in zip(nets, (1, workers))
    ]
    alone.fit(X, y, epochs=2)
    with team_of(workers):
        team.fit(X, y, epochs=2)
        outputs = nets[1].forward(X, n_threads=workers)
    assert_equal_bits(parameters(nets[1]), parameters(nets[0]))
    np.testing.assert_array_equal(outputs, nets[0].forward(X, n_threads=1))


@pytest.mark.parametrize("activation, settings", [mixture(i) for i in range(COUNT)])
def test_initial_weights_are_for_the_activation_of_the_layer(activation, settings):
    net = Network(SIZES, activation, dtype="float64", seed=7, activation_settings=settings)
    weights, biases = reference.initial_parameters(SIZES, activation, 7)
    assert_equal_bits(parameters(net), weights + biases)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_equal_activations_are_one(name, tmp_path):
    settings = own_settings(name)
    one = Network(SIZES, name, seed=1, activation_settings=settings)
    for names, of_each in (([name] * 3, settings), ((name,) * 3, [settings] * 3), (name, (settings,) * 3)):
        several = Network(SIZES, names, seed=1, activation_settings=of_each)
        assert several.spec == one.spec and several.activation == name and repr(several) == repr(one)
        assert_equal_bits(parameters(several), parameters(one))
    assert Network(SIZES[:2], []).spec == Network(SIZES[:2]).spec
    assert Network(SIZES[:2], name, activation_settings=[]).activation == name


@EVERY_MIXTURE
def test_every_copy_keeps_the_activations(activation, settings, tmp_path):
    net = network(activation, settings)
    X, y = problem(90, layer_sizes=SIZES)
    net.save(tmp_path / "net.safetensors")
    trainer = Trainer(net, optimizer="adam", batch_size=16, seed=1)
    trainer.save(tmp_path / "trainer.safetensors")
    resumed = Trainer.resume(tmp_path / "trainer.safetensors")
    state, of_state = net.to_state_dict(), dict(activation_settings=settings, loss=net.loss)
    copies = [
        fastmlp.load(tmp_path / "net.safetensors"),
        copy.deepcopy(net),
        pickle.loads(pickle.dumps(net)),
        Network.from_state(net.state()),
        Network.from_state_dict(state, activation=activation, **of_state),
        resumed.network,
    ]
    for other in copies:
        assert other.spec == net.spec and repr(other) == repr(net)
        np.testing.assert_array_equal(other.forward(X), net.forward(X))
    assert eval(repr(net)).spec == net.spec
    fit_many([trainer], X, y, epochs=2)
    resumed.fit(X, y, epochs=2)
    assert_equal_bits(parameters(resumed.network), parameters(net))
    before = net.evaluate(X, y).loss
    fit_lbfgs(net, X, y, max_iter=3)
    assert net.evaluate(X, y).loss < before


@pytest.mark.parametrize("dtype", DTYPES)
@EVERY_MIXTURE
def test_onnx_keeps_the_activations(activation, settings, dtype):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    net = network(activation, settings, dtype, input_scale=0.3)
    refused = [row.name for row, _ in net.spec.hidden_activations if dtype not in row.onnx_dtypes]
    if refused:
        with pytest.raises(ValueError, match=f"activation='{refused[0]}' must be float32"):
            net.to_onnx()
        return
    X = np.random.default_rng(0).normal(size=(37, SIZES[0])).astype(dtype)
    model = net.to_onnx()
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert_exported(net, X, *session.run(None, {"inputs": X}))
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["activation"] == ", ".join(net.activation)


@needs_compiler
@pytest.mark.parametrize("dtype", DTYPES)
def test_c_keeps_the_activations(dtype, tmp_path):
    nets = {f"net{i}": network(*given, dtype, input_scale=0.3) for i, given in enumerate([*MIXTURES[::3], OWN_SLOPES])}
    X = np.random.default_rng(0).normal(size=(37, SIZES[0])).astype(dtype)
    for name, found in run_exported(nets, X, tmp_path).items():
        assert_exported(nets[name], X, *found)
        assert f"{', '.join(nets[name].activation)} between them" in nets[name].to_c()


def test_ensembles_keep_the_activations(tmp_path):
    pytest.importorskip("onnxruntime")
    several = Ensemble([network(*given, "float32") for given in (OWN_SLOPES, mixture(5), ("relu", None))])
    X, _ = problem(37, dtype="float32", layer_sizes=SIZES)
    several.save(tmp_path / "net.safetensors")
    loaded = fastmlp.load(tmp_path / "net.safetensors")
    assert [net.spec for net in loaded.members] == [net.spec for net in several.members]
    assert_equal_bits(loaded.forward(X), several.forward(X))
    np.testing.assert_allclose(run(several.to_onnx(), X)["outputs"], several.forward(X), rtol=1e-4, atol=1e-6)
    assert header_of(several, tmp_path)[0]["format_version"] == "3"


def header_of(net, folder):
    net.save(folder / "net.safetensors")
    content = (folder / "net.safetensors").read_bytes()
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size])["__metadata__"], content[8 + size :]


def test_files_of_one_activation_are_those_of_before(tmp_path):
    """Only what older readers cannot know has another version, so that they say that a later one is needed."""
    one, _ = header_of(network("leaky_relu", {"slope": 0.3}), tmp_path)
    assert one["format_version"] == "1" and one["activation"] == "leaky_relu" and one["activation.slope"] == "0.3"
    assert header_of(network(["leaky_relu"] * 3, [{"slope": 0.3}] * 3), tmp_path)[0] == one
    several, _ = header_of(network(["relu", "elu", "elu"], [None, {"alpha": 0.3}, None]), tmp_path)
    changed = {"format_version": "3", "activation": "relu, elu, elu", "activation.1.alpha": "0.3"}
    del one["activation.slope"]
    assert several == {**one, **changed, "activation.2.alpha": "1.0"}


@pytest.mark.parametrize(
    "entries, message",
    [
        ({"activation": "relu, elu"}, "each hidden layer, 3 of them, got 2"),
        ({"activation": "relu, elu, nonsense"}, r"activation\[2\] must be one of .* got 'nonsense'"),
        ({"activation": "relu,elu,elu"}, "got 'relu,elu,elu'"),
        ({"activation.1.alpha": "-1.0"}, r"activation_settings\[1\]\['alpha'\] must be"),
        ({"activation.1.alpha": "x"}, "activation.1.alpha must be a number, got 'x'"),
    ],
)
def test_damaged_files_are_rejected(tmp_path, entries, message):
    net = network(["relu", "elu", "tanh"], None)
    metadata = model_file.model_metadata(net.spec) | entries
    model_file.write(tmp_path / "net.safetensors", "network", net.state().finite_arrays("saved"), metadata)
    with pytest.raises(ModelFileError, match=message):
        fastmlp.load(tmp_path / "net.safetensors")


@pytest.mark.parametrize(
    "activation, settings, error, message",
    [
        (["relu", "tanh"], None, ValueError, "activation must .* each hidden layer, 3 of them, got 2: .*'tanh'"),
        ((), None, ValueError, "each hidden layer, 3 of them, got 0"),
        (["relu"] * 4, None, ValueError, "3 of them, got 4"),
        (["relu", "tanh", "rleu"], None, ValueError, r"activation\[2\] must be one of .* did you mean 'relu'"),
        (["relu", "sigmoid", "relu"], None, ValueError, r"activation\[1\] .* did you mean 'logistic'"),
        (["relu", "tanh", "softmax"], None, ValueError, r"activation\[2\] must be one of"),
        (["relu", "tanh", None], None, TypeError, r"activation\[2\] must be one of .* got None"),
        (["elu", ["elu"], "elu"], None, TypeError, r"activation\[1\] must be one of"),
        ({"relu"}, None, TypeError, "activation must be one of"),
        ("elu", [None, None], ValueError, "activation_settings must .* 3 of them, got 2"),
        (["elu", "relu", "elu"], {"alpha": 0.5}, ValueError, r"activation_settings\[1\] of 'relu' must be empty"),
        (["elu", "relu", "tanh"], [None, {"alpha": 0.5}, None], ValueError, "of 'relu' must be empty, got 'alpha'"),
        ("elu", [None, {"alhpa": 0.5}, None], ValueError, r"\[1\] of 'elu' may hold alpha.* did you mean 'alpha'"),
        ("elu", [None, {"alpha": -1}, None], ValueError, r"activation_settings\[1\]\['alpha'\] must be .* got -1"),
        ("elu", [None, 0.5, None], TypeError, r"activation_settings\[1\] must be a dict, got 0.5"),
    ],
)
def test_wrong_activations_are_rejected(activation, settings, error, message):
    with pytest.raises(error, match=message):
        Network(SIZES, activation, activation_settings=settings)
    state = Network(SIZES).to_state_dict()
    with pytest.raises(error, match=message):
        Network.from_state_dict(state, activation=activation, activation_settings=settings, loss="cross_entropy")


def test_a_dict_of_settings_is_for_all_hidden_layers():
    net = Network(SIZES, ["leaky_relu"] * 3, activation_settings={"slope": 0.2})
    assert net.activation == "leaky_relu" and net.spec.activation_settings == {"slope": 0.2}
    given = [None, {"slope": 0.2}, {}]
    net = Network(SIZES, "leaky_relu", activation_settings=given)
    assert net.activation == ("leaky_relu",) * 3 and "[None, {'slope': 0.2}, None]" in repr(net)


def test_a_study_of_activations_has_labels():
    X, y = problem(60, layer_sizes=SIZES)
    grid = [dict(layer_sizes=SIZES, activation=names) for names in ("relu", ["relu", "tanh", "gelu"], ("elu",) * 3)]
    rows, networks = studies.compare(grid, X, y, 2, seeds=[0, 1], return_networks=True)
    assert [row["activation"] for row in rows[::4]] == ["relu", "relu, tanh, gelu", "elu, elu, elu"]
    assert networks[2].activation == ("relu", "tanh", "gelu") and networks[4].activation == "elu"
    pytest.importorskip("matplotlib")
    curves = plotting.LearningCurveDisplay.from_rows(rows, "loss", by="activation").curves
    assert list(curves) == ["relu", "relu, tanh, gelu", "elu, elu, elu"]
    heat = plotting.HeatMapDisplay.from_rows(rows, "loss", x="activation", y="seed")
    assert heat.xticks == ["elu, elu, elu", "relu", "relu, tanh, gelu"]


def test_ranks_do_what_one_process_does():
    X, y = problem(64, layer_sizes=SIZES)

    def train(communicator):
        net = network(*mixture(5))
        part = slice(32 * communicator.rank, 32 * communicator.rank + 32)
        trainer = distributed.Trainer(net, communicator=communicator, batch_size=64, shuffle=False)
        trainer.fit(X[part], y[part], epochs=3)
        return net

    alone = network(*mixture(5))
    Trainer(alone, batch_size=64, shuffle=False).fit(X, y, epochs=3)
    for net in together(2, train):
        assert_close(parameters(net), parameters(alone), 1e-12)


def test_ranks_with_other_activations_are_rejected():
    X, y = problem(64, layer_sizes=SIZES)

    def train(communicator):
        net = network(*(mixture(5) if communicator.rank else (mixture(5)[0], None)))
        distributed.Trainer(net, communicator=communicator).fit(X, y, epochs=1)

    of_0, of_1 = Ranks(2).run(train)
    assert isinstance(of_0, RuntimeError) and isinstance(of_1, ValueError)
    assert "activation_settings=[None, {'alpha': 0.7}, None]" in str(of_1)


@pytest.mark.parametrize("activation, settings", [mixture(5), OWN_SLOPES])
def test_streams_train_what_arrays_do(activation, settings):
    X, y = problem(96, layer_sizes=SIZES)
    nets = [network(activation, settings) for _ in range(2)]
    Trainer(nets[0], batch_size=16, shuffle=False).fit(X, y, epochs=2)
    stream = fastmlp.streaming.Stream([(X[:48], y[:48]), (X[48:], y[48:])])
    Trainer(nets[1], batch_size=16, shuffle=False).fit(stream, None, epochs=2)
    assert_equal_bits(parameters(nets[1]), parameters(nets[0]))
