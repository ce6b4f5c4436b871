"""Settings of networks, trainers and estimators, in loops over all of them: defaults, bounds, effects, copies, files."""

import copy
import inspect
import math
import pickle
import re
import types

import fastmlp
import numpy as np
import pytest
from fastmlp import Network, Trainer, fit_many, ops, validation
from fastmlp.streaming import Stream
from problems import TRAINER_SETTINGS, assert_equal_bits, parameters, problem

SIZES = (11, 6, 4)
X, Y = problem(60, layer_sizes=SIZES)
TARGETS = problem(60, "binary_cross_entropy", layer_sizes=SIZES)[1]


def signature_of(function):
    return {
        name: parameter
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }


# Defaults

OF_ESTIMATORS = dict(
    hidden_layer_sizes=(100,),
    activation="relu",
    solver="adam",
    alpha=0.0001,
    batch_size="auto",
    learning_rate="constant",
    learning_rate_init=0.001,
    power_t=0.5,
    max_iter=200,
    shuffle=True,
    random_state=None,
    tol=0.0001,
    verbose=False,
    warm_start=False,
    momentum=0.9,
    nesterovs_momentum=True,
    early_stopping=False,
    validation_fraction=0.1,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-8,
    n_iter_no_change=10,
    max_fun=15000,
    l1=0.0,
    l2=0.0,
    stopping_metric="score",
    n_threads=None,
)
OF_TRAINER = dict(
    optimizer="sgd",
    learning_rate=0.1,
    batch_size=128,
    momentum=0.0,
    nesterov=False,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-8,
    l1=0.0,
    l2=0.0,
    proximal=False,
    accumulate=1,
    shuffle=True,
    seed=0,
    n_threads=None,
)
OF_FIT = dict(validation_data=None, callbacks=(), verbose="auto")
OF_RANKS = dict(sync_every=1, communicator=None, n_threads=None)
DEFAULTS = {
    "MLPClassifier": OF_ESTIMATORS | dict(class_weight=None),
    "MLPRegressor": OF_ESTIMATORS | dict(loss="squared_error"),
    "Network": dict(activation="relu", loss="cross_entropy", dtype="float32", seed=0, input_scale=1.0),
    "Network.evaluate": dict(n_threads=None),
    "Network.forward": dict(n_threads=None),
    "Network.from_state_dict": dict(input_scale=1.0, dtype=None),
    "Network.loss_and_gradients": dict(l1=0.0, l2=0.0, n_threads=None),
    "Network.predict": dict(n_threads=None),
    "Network.to_c": dict(name="network"),
    "Network.to_onnx": dict(input_type=None),
    "Network.to_state_dict": dict(fold_input_scale=False),
    "Trainer": OF_TRAINER,
    "Trainer.fit": OF_FIT,
    "Trainer.resume": dict(n_threads=None),
    "callbacks.Checkpoint": dict(every_epochs=1, every_seconds=None, best=None),
    "callbacks.EarlyStopping": dict(metric="val_loss", patience=10, min_delta=0.0),
    "datasets.hill_and_valley_grid": dict(points=1000),
    "datasets.load_idx": dict(classes=10),
    "datasets.load_mnist": dict(folder=None, download=True),
    "datasets.make_digits": dict(train_samples=60000, test_samples=10000, seed=0),
    "datasets.make_hill_and_valley": dict(noise=0.0, seed=0),
    "distributed.MPICommunicator": dict(comm=None),
    "distributed.Trainer": dict(optimizer="sgd", learning_rate=0.1, batch_size=128) | OF_RANKS,
    "distributed.Trainer.fit": OF_FIT,
    "distributed.Trainer.resume": OF_RANKS,
    "fit_lbfgs": dict(max_iter=1000, l1=0.0, l2=0.0, tol=1e-6, validation_data=None, callbacks=(), n_threads=None),
    "fit_many": OF_FIT | dict(n_threads=None, return_diverged=False),
    "ops.matmul": dict(transpose_a=False, transpose_b=False, n_threads=None),
    "plotting.HeatMapDisplay.from_rows": dict(ax=None),
    "plotting.HeatMapDisplay.plot": dict(ax=None, text="{:.3g}"),
    "plotting.LearningCurveDisplay.from_history": dict(metric="loss", ax=None),
    "plotting.LearningCurveDisplay.from_rows": dict(ax=None),
    "plotting.LearningCurveDisplay.plot": dict(ax=None),
    "plotting.SurfaceDisplay.from_network": dict(points=41, minus=None, ax=None),
    "plotting.SurfaceDisplay.plot": dict(ax=None),
    "plotting.WeightsDisplay.from_network": dict(neurons=12, ax=None),
    "plotting.WeightsDisplay.plot": dict(ax=None, columns=6),
    "show_config": dict(mode="stdout"),
    "streaming.Stream.of_rows": dict(chunk_rows=None, blocks_per_chunk=64),
    "studies.architectures": dict(ratio=0.75),
    "studies.compare": dict(seeds=(0,), evaluation_sets=None, verbose="auto", n_threads=None),
    "studies.widths": dict(ratio=0.75),
}


def public_functions():
    """Those of the package, with constructors and methods, by their names."""
    found = {}

    def visit(name, value):
        if inspect.isfunction(value):
            found[name] = value
        elif inspect.isclass(value) and not issubclass(value, (tuple, Exception)):
            found[name] = value
            for method in vars(value).items():
                if not method[0].startswith("_"):
                    function = method[1].__func__ if isinstance(method[1], classmethod) else method[1]
                    if inspect.isfunction(function):
                        found[f"{name}.{method[0]}"] = function

    for name in fastmlp.__all__:
        value = getattr(fastmlp, name)
        if not isinstance(value, types.ModuleType):
            visit(name, value)
            continue
        own = {key for key, part in vars(value).items() if getattr(part, "__module__", "") == value.__name__}
        for key in getattr(value, "__all__", own):
            if not key.startswith("_"):
                visit(f"{name}.{key}", getattr(value, key))
    found.pop("History")  # lists
    return found


def test_defaults_are_the_promised_ones():
    """They are the interface as much as the names are: this table changes only with the documentation."""
    pytest.importorskip("sklearn")
    found = {}
    for name, function in public_functions().items():
        defaults = {
            key: parameter.default
            for key, parameter in signature_of(function).items()
            if parameter.default is not parameter.empty
        }
        if defaults:
            found[name] = defaults
    assert found == DEFAULTS


def test_docstrings_name_the_defaults_of_the_signature():
    """Where they name one: "default=0.9, 0.999" for two parameters, "default 10" for one."""
    pytest.importorskip("sklearn")
    named = 0
    for name, function in public_functions().items():
        for names, values in re.findall(r"^ *([\w, ]+) : .*?default[= ](.+)$", inspect.getdoc(function) or "", re.M):
            names = names.split(", ")
            values = values.split(", ", len(names) - 1) if len(names) > 1 else [values]
            if len(names) != len(values):  # one for all
                values *= len(names)
            for key, value in zip(names, values, strict=True):
                default = signature_of(function)[key].default
                assert eval(re.sub(r" bytes| values", "", value)) == default, f"{name}, {key}"
                named += 1
    assert named > 30


def test_estimators_share_scikit_learns_defaults_and_bounds():
    pytest.importorskip("sklearn", minversion="1.9", reason="compares with scikit-learn 1.9's own")
    import sklearn.neural_network

    for name in ("MLPClassifier", "MLPRegressor"):
        ours, theirs = getattr(fastmlp, name), getattr(sklearn.neural_network, name)
        for key, parameter in signature_of(theirs).items():
            assert signature_of(ours)[key].default == parameter.default, f"{name}, {key}"
            assert signature_of(ours)[key].kind == parameter.kind, f"{name}, {key}"
            # their texts, in which the choices are sets
            bounds = [
                [sorted(re.findall(r"[^\s,{}]+", str(bound))) for bound in kind._parameter_constraints[key]]
                for kind in (ours, theirs)
            ]
            assert bounds[0] == bounds[1], f"{name}, {key}"


# Bounds. Of each number: the first value on either side of them that is let in, and those that are not.

TINY = 5e-324
BOUNDS = {
    "learning_rate": ([TINY, 1e300], [0, -TINY]),
    "batch_size": ([1, 2**63 - 1], [0, 2**63]),
    "momentum": ([0, np.nextafter(1, 0)], [-TINY, 1]),
    "beta_1": ([0, np.nextafter(1, 0)], [-TINY, 1]),
    "beta_2": ([0, np.nextafter(1, 0)], [-TINY, 1]),
    "epsilon": ([TINY, 1e300], [0, -TINY]),
    "l1": ([0, 1e300], [-TINY, math.inf]),
    "l2": ([0, 1e300], [-TINY, math.inf]),
    "accumulate": ([1, 2**63 - 1, "epoch"], [0, 2**63, "epochs"]),
    "seed": ([0, 2**63 - 1], [-1, 2**63]),
    "n_threads": ([1, 1024, None], [0, 1025]),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_a_trainers_numbers_are_let_in_up_to_their_bounds(name):
    needed = TRAINER_SETTINGS[name][0]
    good, bad = BOUNDS[name]
    for value in good:
        trainer = Trainer(Network((3, 2), dtype="float64"), **needed, **{name: value})
        if hasattr(trainer, name):
            assert getattr(trainer, name) == value
    for value in bad:
        with pytest.raises(ValueError, match=rf"^{name} must be .*, got {re.escape(repr(value))}"):
            Trainer(Network((3, 2), dtype="float64"), **needed, **{name: value})
    for value in (True, "x", [1], 1j) + (() if name == "n_threads" else (None,)):
        with pytest.raises((TypeError, ValueError), match=f"^{name} must be .*, got {re.escape(repr(value))}"):
            Trainer(Network((3, 2), dtype="float64"), **needed, **{name: value})


def test_flags_are_booleans_and_every_setting_has_its_bounds():
    flags = {"nesterov", "proximal", "shuffle"}
    assert flags | BOUNDS.keys() | {"optimizer"} == TRAINER_SETTINGS.keys()
    for name in flags:
        for value in (0, 1, None, "True"):
            with pytest.raises(TypeError, match=f"^{name} must be True or False, got {value!r}"):
                Trainer(Network((3, 2)), **{name: value})
        for value in (np.True_, np.False_):
            Trainer(Network((3, 2)), momentum=0.5, **{name: value})


FLAGS = {  # of functions; those of trainers are above
    "transpose_a": lambda value: ops.matmul(np.ones((2, 2)), np.ones((2, 2)), transpose_a=value),
    "transpose_b": lambda value: ops.matmul(np.ones((2, 2)), np.ones((2, 2)), transpose_b=value),
    "fold_input_scale": lambda value: Network((3, 2)).to_state_dict(fold_input_scale=value),
    "return_diverged": lambda value: fit_many([Trainer(Network(SIZES))], X, Y, 1, return_diverged=value),
}


@pytest.mark.parametrize("name", FLAGS)
def test_flags_of_functions_are_booleans(name):
    for value in (0, 1, None, "True", np.ones(1, bool)):
        with pytest.raises(TypeError, match=f"^{name} must be True or False, got "):
            FLAGS[name](value)
    for value in (True, False, np.True_, np.False_):
        FLAGS[name](value)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "name, side", [("momentum", 1), ("beta_1", 1), ("beta_2", 1), ("learning_rate", 0), ("epsilon", 0)]
)
def test_bounds_hold_for_the_number_that_the_core_gets(dtype, name, side):
    """Not 1, but a number that float32 rounds to it: refused for float32, and the next but one below is not."""
    needed = TRAINER_SETTINGS[name][0]
    kind = np.finfo(dtype)
    inside = float(np.nextafter(kind.dtype.type(1), kind.dtype.type(0))) if side else float(kind.smallest_subnormal)
    Trainer(Network((3, 2), dtype=dtype), **needed, **{name: inside})
    between = 1 - kind.epsneg / 8 if side else inside / 8
    with pytest.raises(ValueError, match=name):
        Trainer(Network((3, 2), dtype=dtype), **needed, **{name: between})


@pytest.mark.parametrize(
    "least, most, good, bad",
    [(1, 5, [1, 5, np.int8(3)], [0, 6]), (0, 0, [0], [-1, 1]), (-2, 2**63 - 1, [-2, 2**63 - 1], [-3, 2**63])],
)
def test_integers_between_bounds(least, most, good, bad):
    for value in good:
        found = validation.check_integer("n", value, least, most)
        assert found == value and type(found) is int
    for value in bad:
        both = f" and at most {most}" if most < 2**63 - 1 or value > most else ""
        with pytest.raises(ValueError, match=f"^n must be at least {least}{both}, got {value}$"):
            validation.check_integer("n", value, least, most)


@pytest.mark.parametrize(
    "bounds, good, bad, told",
    [
        (dict(above=0), [TINY, 1], [0, -0.0, -1], "> 0"),
        (dict(least=0), [0, -0.0, 1], [-TINY], ">= 0"),
        (dict(below=1), [-1, np.nextafter(1, 0)], [1, 2], "< 1"),
        (dict(least=0, below=1), [0, 0.5], [1, -TINY], ">= 0 and < 1"),
        ({}, [-1e308, 1e308], [math.inf, -math.inf, math.nan, 10**400], ""),
    ],
)
def test_numbers_between_bounds(bounds, good, bad, told):
    for value in good:
        found = validation.check_number("r", value, **bounds)
        assert found == value and type(found) is float
    for value in bad:
        with pytest.raises(ValueError, match=f"^r must be a finite number {told}".rstrip() + f", got {value!r}$"):
            validation.check_number("r", value, **bounds)


# Effects


def trained(fit=lambda trainer: trainer.fit(X, Y, epochs=3), dtype="float64", **settings):
    trainer = Trainer(Network(SIZES, activation="tanh", dtype=dtype, seed=1), **{"batch_size": 16, **settings})
    fit(trainer)
    return trainer


def differ(first, second):
    return any((p != q).any() for p, q in zip(parameters(first.network), parameters(second.network), strict=True))


FITS = {
    "arrays": lambda trainer: trainer.fit(X, Y, epochs=3),
    "a stream": lambda trainer: trainer.fit(Stream.of_rows(X, Y, chunk_rows=30), None, epochs=3),
    "fit_many": lambda trainer: fit_many([trainer], X, Y, epochs=3),
}


def test_the_table_has_every_setting_at_another_value_than_its_default():
    assert TRAINER_SETTINGS.keys() == signature_of(Trainer).keys() - {"network"}
    for name, (_, value) in TRAINER_SETTINGS.items():
        assert value != OF_TRAINER[name]


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
@pytest.mark.parametrize("name", TRAINER_SETTINGS)
def test_every_setting_of_a_trainer_changes_what_is_trained(name, fit):
    """But the number of threads, which must not."""
    needed, value = TRAINER_SETTINGS[name]
    plain, changed = trained(fit, **needed), trained(fit, **needed, **{name: value})
    assert differ(plain, changed) == (name != "n_threads")
    if name in ("l1", "l2"):
        assert changed.history.penalty[-1] > plain.history.penalty[-1] == 0


@pytest.mark.parametrize("name", ["learning_rate", "batch_size", "l1", "l2", "accumulate", "n_threads"])
def test_a_setting_changed_between_fits_is_that_of_a_new_trainer(name):
    """Of one without a state beside the row order."""
    needed, value = TRAINER_SETTINGS[name]
    changed = Trainer(Network(SIZES, dtype="float64", seed=1), **{"batch_size": 16, **needed})
    setattr(changed, name, value)
    assert getattr(changed, name) == value
    new = Trainer(Network(SIZES, dtype="float64", seed=1), **{"batch_size": 16, **needed, name: value})
    for trainer in (changed, new):
        trainer.fit(X, Y, epochs=2)
    assert_equal_bits(parameters(changed.network), parameters(new.network))
    assert changed.history.penalty == new.history.penalty


NETWORK_SETTINGS = {
    "layer_sizes": (11, 7, 4),
    "activation": "logistic",
    "loss": "binary_cross_entropy",
    "dtype": "float64",
    "seed": 5,
    "input_scale": 0.7,
}


def outputs_of(net):
    return net.forward(X[:5])


@pytest.mark.parametrize("name", NETWORK_SETTINGS)
def test_every_setting_of_a_network_changes_its_outputs_and_is_what_it_says(name):
    assert NETWORK_SETTINGS.keys() == signature_of(Network).keys()
    plain, changed = Network(SIZES), Network(**{"layer_sizes": SIZES, name: NETWORK_SETTINGS[name]})
    assert (outputs_of(plain) != outputs_of(changed)).any()
    if name != "seed":
        assert getattr(changed, name) == NETWORK_SETTINGS[name]
        word = "dtype='float64'" if name == "dtype" else str(NETWORK_SETTINGS[name])
        assert word in repr(changed) and word not in repr(plain)


@pytest.mark.parametrize("layer_sizes", [(1, 1), (5, 3), (3, 5), (11, 7, 4, 1)])
def test_parameters_are_counted(layer_sizes):
    net = Network(layer_sizes)
    assert net.parameter_count == sum(array.size for array in parameters(net))
    assert [w.shape for w in net.weights] == list(zip(layer_sizes, layer_sizes[1:]))
    assert [b.shape for b in net.biases] == [(outputs,) for outputs in layer_sizes[1:]]


# Copies and files

TRAVELS = {
    "pickle": lambda thing, path: pickle.loads(pickle.dumps(thing)),
    "copy": lambda thing, path: copy.copy(thing),
    "deepcopy": lambda thing, path: copy.deepcopy(thing),
}


def resumed(trainer, path):
    trainer.save(path)
    return Trainer.resume(path, n_threads=trainer.n_threads)


def loaded(net, path):
    net.save(path)
    return fastmlp.load(path)


def loaded_from_checkpoint(net, path):
    Trainer(net).save(path)
    return fastmlp.load(path)


def needs_safetensors(kinds):
    return {
        name: pytest.param(
            kind,
            marks=pytest.mark.skipif(name not in TRAVELS and not has_safetensors(), reason="no safetensors"),
            id=name,
        )
        for name, kind in kinds.items()
    }


def has_safetensors():
    try:
        import safetensors  # noqa: F401
    except ModuleNotFoundError:
        return False
    return True


@pytest.mark.parametrize("travel", needs_safetensors({**TRAVELS, "file": resumed}).values())
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", TRAINER_SETTINGS)
def test_every_setting_of_a_trainer_survives(tmp_path, name, dtype, travel):
    """Each at another value than its default, and what is trained afterwards has the same bits."""
    needed, value = TRAINER_SETTINGS[name]
    first = trained(dtype=dtype, **needed, **{name: value})
    second = travel(first, tmp_path / "checkpoint")
    for key in signature_of(Trainer).keys() - {"network"}:
        if hasattr(Trainer, key):
            assert getattr(second, key) == getattr(first, key)
    assert vars(second.history) == vars(first.history)
    if second.network is first.network:  # copy.copy: they train the same network, one after the other
        second = copy.deepcopy(second)
    for trainer in (first, second):
        trainer.fit(X, Y, epochs=2)
    assert_equal_bits(parameters(second.network), parameters(first.network))
    assert second.history.loss == first.history.loss and second.history.penalty == first.history.penalty


@pytest.mark.parametrize(
    "travel", needs_safetensors({**TRAVELS, "file": loaded, "checkpoint": loaded_from_checkpoint}).values()
)
@pytest.mark.parametrize("clips_loss", [False, True])
@pytest.mark.parametrize("name", NETWORK_SETTINGS)
def test_every_setting_of_a_network_survives(tmp_path, name, clips_loss, travel):
    """Also how losses are reported, which the networks of estimators change: at most -log(eps) for each probability."""
    settings = {"layer_sizes": SIZES, name: NETWORK_SETTINGS[name]}
    seeded = Network(**settings)
    weights = [w * 300 for w in seeded.weights]  # some probabilities are zero
    first = Network._of_parameters(
        weights, seeded.biases, seeded.activation, seeded.loss, seeded.dtype, clips_loss, seeded.input_scale
    )
    second = travel(first, tmp_path / "net")
    assert repr(second) == repr(first) and second.input_scale == first.input_scale
    assert_equal_bits(parameters(second), parameters(first))
    np.testing.assert_array_equal(outputs_of(second), outputs_of(first))
    y = TARGETS if first.loss == "binary_cross_entropy" else Y
    assert second.evaluate(X, y) == first.evaluate(X, y)
    other = Network._of_parameters(
        weights, seeded.biases, seeded.activation, seeded.loss, seeded.dtype, not clips_loss, seeded.input_scale
    )
    assert other.evaluate(X, y).loss != first.evaluate(X, y).loss, "the clipping shows"


# L-BFGS and gradients


def test_every_setting_of_lbfgs_changes_what_is_trained():
    pytest.importorskip("scipy")

    def fitted(**settings):
        net = Network(SIZES, activation="tanh", dtype="float64", seed=1)
        history = fastmlp.fit_lbfgs(net, X, Y, **{"max_iter": 30, **settings})
        return net, history

    plain, whole = fitted()
    changes = {"max_iter": 7, "l1": 0.01, "l2": 0.01, "tol": 1e-2, "n_threads": 1}
    assert signature_of(fastmlp.fit_lbfgs).keys() - changes.keys() == {
        "network",
        "X",
        "y",
        "validation_data",
        "callbacks",
    }
    for name, value in changes.items():
        net, history = fitted(**{name: value})
        same = all((p == q).all() for p, q in zip(parameters(plain), parameters(net)))
        assert same == (name == "n_threads"), name
        if name in ("max_iter", "tol"):
            assert len(history.loss) < len(whole.loss) and history.loss == whole.loss[: len(history.loss)]
        if name == "max_iter":
            assert len(history.loss) == 7
        if name in ("l1", "l2"):
            norm = {"l1": 0.0, "l2": 0.0, name: value}
            assert history.penalty[-1] == pytest.approx(net.loss_and_gradients(X, Y, **norm).penalty, rel=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_penalties_of_gradients_are_the_formula(dtype):
    """Zero weights and biases, too: sign(0) is 0, and biases have no penalty."""
    net = Network(SIZES, dtype=dtype, seed=1)
    net.set_parameters([np.where(np.abs(w) < 0.2, 0, w) for w in net.weights], [b + 0.5 for b in net.biases])
    plain = net.loss_and_gradients(X, Y)
    assert plain.penalty == 0
    for l1, l2 in [(0.3, 0), (0, 0.2), (0.3, 0.2)]:
        found = net.loss_and_gradients(X, Y, l1, l2)
        assert found.loss == plain.loss
        expected = sum(l1 * np.abs(w).sum(dtype=float) + l2 / 2 * (w.astype(float) ** 2).sum() for w in net.weights)
        assert found.penalty == pytest.approx(expected, rel=1e-6)
        for w, g, without in zip(net.weights, found.weights, plain.weights):
            np.testing.assert_allclose(g - without, l2 * w + l1 * np.sign(w), atol=4 * np.finfo(dtype).eps)
        assert_equal_bits(found.biases, plain.biases)


# Estimators: what each setting needs beside it, and another value that changes the fit.

SGD = dict(solver="sgd", learning_rate_init=0.1)
HELD_OUT = dict(early_stopping=True, learning_rate_init=0.1, max_iter=20)
ESTIMATOR_SETTINGS = {
    "hidden_layer_sizes": ({}, (7,)),
    "activation": ({}, "tanh"),
    "solver": ({}, "sgd"),
    "alpha": ({}, 0.5),
    "batch_size": ({}, 7),
    "learning_rate": (SGD, "invscaling"),
    "learning_rate_init": ({}, 0.01),
    "power_t": (SGD | dict(learning_rate="invscaling"), 0.9),
    "max_iter": ({}, 3),
    "shuffle": ({}, False),
    "random_state": ({}, 1),
    "tol": (dict(n_iter_no_change=2, max_iter=9), 10.0),
    "warm_start": ({}, True),
    "momentum": (SGD, 0.5),
    "nesterovs_momentum": (SGD, False),
    "early_stopping": ({}, True),
    "validation_fraction": (HELD_OUT, 0.3),
    "beta_1": ({}, 0.5),
    "beta_2": ({}, 0.9),
    "epsilon": ({}, 1e-2),
    "n_iter_no_change": (dict(tol=10.0, max_iter=15), 4),
    "max_fun": (dict(solver="lbfgs", max_iter=30), 5),
    "l1": ({}, 0.05),
    "l2": ({}, 0.05),
    "class_weight": ({}, {0: 3.0}),
    "stopping_metric": (HELD_OUT, "loss"),
    "loss": ({}, "poisson"),
    "verbose": ({}, True),
    "n_threads": ({}, 1),
}
WITHOUT_EFFECT = {"verbose", "n_threads"}  # on the model


def estimators():
    pytest.importorskip("sklearn")
    for Estimator in (fastmlp.MLPClassifier, fastmlp.MLPRegressor):
        yield Estimator, {name: ESTIMATOR_SETTINGS[name] for name in signature_of(Estimator)}


def fit_of(model):
    """Everything that a second fit and the first have made of it, which only warm starts make depend on each other."""
    y = Y if hasattr(model, "class_weight") else Y + 1.0
    model.fit(X, y).fit(X, y)
    losses = np.array(model.validation_loss_curve_ or [], float)
    return [*model.coefs_, *model.intercepts_, np.array([model.n_iter_, model.loss_]), losses]


def equal(first, second):
    return all(a.shape == b.shape and (a == b).all() for a, b in zip(first, second, strict=True))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", ESTIMATOR_SETTINGS)
def test_every_setting_of_an_estimator_changes_the_fit_and_survives(name, capsys):
    from sklearn.base import clone

    tried = 0
    for Estimator, settings in estimators():
        if name not in settings:
            continue
        needed, value = settings[name]
        base = {"hidden_layer_sizes": (6,), "max_iter": 6, "random_state": 0, **needed}
        plain = fit_of(Estimator(**base))
        capsys.readouterr()
        model = Estimator(**{**base, name: value})
        changed = fit_of(model)
        assert bool(capsys.readouterr().out) == (name == "verbose")
        assert equal(plain, changed) == (name in WITHOUT_EFFECT)
        for other in (clone(model), pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
            assert other.get_params() == model.get_params()
            assert getattr(other, name) == value
        assert equal(fit_of(clone(model)), changed)
        tried += 1
    assert tried == (1 if name in ("class_weight", "loss") else 2)


@pytest.mark.parametrize(
    "name, good, bad",
    [
        ("l1", [0, 0.1], [-1e-9, "x"]),
        ("l2", [0, 0.1], [-1e-9, "x"]),
        ("stopping_metric", ["score", "loss"], ["accuracy", None]),
        ("n_threads", [None, 1, 1024], [0, 1025, 1.0]),
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_additions_to_estimators_are_checked_up_to_their_bounds(name, good, bad):
    for Estimator, _ in estimators():
        for value in good:
            model = Estimator(hidden_layer_sizes=(2,), max_iter=1, **{name: value})
            model.fit(X[:10], Y[:10])
        for value in bad:
            with pytest.raises(
                ValueError, match=rf"The {name!r} parameter of {Estimator.__name__} must be .* Got {value!r}"
            ):
                Estimator(**{name: value}).fit(X, Y)
