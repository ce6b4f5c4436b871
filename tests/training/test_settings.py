"""Settings of networks, trainers and estimators, in loops over all of them: effects, copies, files."""

import copy
import dataclasses
import pickle

import fastmlp
import numpy as np
import pytest
from fastmlp import Network, Trainer, fit_many
from fastmlp.model_state import ModelState
from fastmlp.streaming import Stream
from problems import TRAINER_SETTINGS, assert_equal_bits, parameters, problem, signature_of

SIZES = (11, 6, 4)
X, Y = problem(60, layer_sizes=SIZES)
TARGETS = problem(60, "binary_cross_entropy", layer_sizes=SIZES)[1]


# Effects


def trained(fit=lambda trainer: trainer.fit(X, Y, epochs=3), dtype="float64", **settings):
    trainer = Trainer(Network(SIZES, activation="tanh", dtype=dtype, seed=1), **{"batch_size": 16, **settings})
    fit(trainer)
    return trainer


def differ(first, second):
    return any((p != q).any() for p, q in zip(parameters(first.network), parameters(second.network), strict=True))


def dtype_of(name, dtype="float64"):
    """Of a network of a trainer with this setting."""
    return "float32" if name == "precision" else dtype


FITS = {
    "arrays": lambda trainer: trainer.fit(X, Y, epochs=3),
    "a stream": lambda trainer: trainer.fit(Stream.of_rows(X, Y, chunk_rows=30), None, epochs=3),
    "fit_many": lambda trainer: fit_many([trainer], X, Y, epochs=3),
}


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
@pytest.mark.parametrize("name", TRAINER_SETTINGS)
def test_every_setting_of_a_trainer_changes_what_is_trained(name, fit):
    """But the number of threads, which must not, and the running mean, which is beside it."""
    needed, value = TRAINER_SETTINGS[name]
    needed = {"dtype": dtype_of(name), **needed}
    plain, changed = trained(fit, **needed), trained(fit, **needed, **{name: value})
    assert differ(plain, changed) == (name not in ("n_threads", "average_decay"))
    if name == "average_decay":
        assert any((p != q).any() for p, q in zip(parameters(changed.average), parameters(changed.network)))
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
    "standardize": True,
}


def outputs_of(net):
    return net.forward(X[:5])


@pytest.mark.parametrize("name", NETWORK_SETTINGS)
def test_every_setting_of_a_network_changes_its_outputs_and_is_what_it_says(name):
    assert NETWORK_SETTINGS.keys() | {"activation_settings", "loss_settings"} == signature_of(Network).keys()
    plain, changed = Network(SIZES), Network(**{"layer_sizes": SIZES, name: NETWORK_SETTINGS[name]})
    if name == "standardize":
        changed.learn_standardization(X)
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
    first = trained(dtype=dtype_of(name, dtype), **needed, **{name: value})
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


def clipping(net, weights, clips_loss):
    return Network.from_state(ModelState(dataclasses.replace(net.spec, clips_loss=clips_loss), weights, net.biases))


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
    first = clipping(seeded, weights, clips_loss)
    second = travel(first, tmp_path / "net")
    assert repr(second) == repr(first) and second.input_scale == first.input_scale
    assert_equal_bits(parameters(second), parameters(first))
    np.testing.assert_array_equal(outputs_of(second), outputs_of(first))
    y = TARGETS if first.loss == "binary_cross_entropy" else Y
    assert second.evaluate(X, y) == first.evaluate(X, y)
    other = clipping(seeded, weights, not clips_loss)
    assert other.evaluate(X, y).loss != first.evaluate(X, y).loss, "the clipping shows"


# L-BFGS and gradients


def test_every_setting_of_lbfgs_changes_what_is_trained():
    pytest.importorskip("scipy")

    def fitted(**settings):
        net = Network(SIZES, activation="tanh", dtype="float64", seed=1)
        history = fastmlp.fit_lbfgs(net, X, Y, **{"max_iter": 30, **settings})
        return net, history

    plain, whole = fitted()
    changes = {"max_iter": 7, "l1": 0.01, "l2": 0.01, "tol": 1e-2, "max_seconds": 1e-9, "n_threads": 1}
    assert signature_of(fastmlp.fit_lbfgs).keys() - changes.keys() == {
        "network",
        "X",
        "y",
        "validation_data",
        "callbacks",
        "sample_weight",
        "verbose",
        "metrics",
    }
    for name, value in changes.items():
        net, history = fitted(**{name: value})
        same = all((p == q).all() for p, q in zip(parameters(plain), parameters(net)))
        assert same == (name == "n_threads"), name
        if name in ("max_iter", "tol", "max_seconds"):
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
    "weight_decay": (dict(solver="adamw"), 0.5),
    "standardize": ({}, True),
    "dropout": ({}, 0.3),
    "input_dropout": ({}, 0.3),
    "max_gradient_norm": ({}, 0.01),
    "schedule": ({}, "cosine"),
    "rho": (dict(solver="rmsprop"), 0.5),
    "momentum_decay": (dict(solver="nadam"), 2.0),
    "weight_decay_schedule": (dict(solver="adamw", weight_decay=0.5), "cosine"),
    "dropout_schedule": (dict(dropout=0.3), "cosine"),
    "average_decay": ({}, 0.9),
    "learning_rate_factors": ({}, (0.5, 2.0)),
    "precision": ({}, "bfloat16"),
    "activation_settings": (dict(activation="elu"), {"alpha": 0.3}),
    "loss_settings": ({}, {"label_smoothing": 0.2}),
    "loss": ({}, "poisson"),
    "verbose": ({}, True),
    "max_seconds": ({}, 1e-9),
    "n_ensemble": ({}, 2),
    "ensemble_rows": (dict(n_ensemble=2), "bootstrap"),
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
    rows = X.astype(np.float32)  # which bfloat16 needs
    model.fit(rows, y).fit(rows, y)
    made = []
    for each in getattr(model, "estimators_", [model]):
        losses = np.array(each.validation_loss_curve_ or [], float)
        made += [*each.coefs_, *each.intercepts_, np.array([each.n_iter_, each.loss_]), losses]
    return made


def equal(first, second):
    same = (a.shape == b.shape and (a == b).all() for a, b in zip(first, second))
    return len(first) == len(second) and all(same)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", ESTIMATOR_SETTINGS)
def test_every_setting_of_an_estimator_changes_the_fit_and_survives(name, capsys):
    from sklearn.base import clone

    tried = 0
    for Estimator, settings in estimators():
        if name not in settings:
            continue
        needed, value = settings[name]
        if name == "loss_settings" and "loss" in settings:  # the regressor's
            needed, value = {"loss": "huber"}, {"delta": 0.01}
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
        ("dropout", [0, 0.99], [-1e-9, 1]),
        ("input_dropout", [0, 0.99], [-1e-9, 1]),
        ("max_gradient_norm", [None, 1e-9], [0, -1.0]),
        ("schedule", [None, "cosine", np.cos], ["cosin", 1]),
        ("weight_decay_schedule", [None], ["cosin", 1]),
        ("dropout_schedule", [None, "cosine"], ["cosin", 1]),
        ("average_decay", [None, 0.5], [0, 1]),
        ("learning_rate_factors", [None, (1, 0)], [1, "x"]),
        ("precision", [None], ["float32", 16]),
        ("rho", [0, 0.9], [-0.1, 1]),
        ("momentum_decay", [0, 3], [-0.1]),
        ("stopping_metric", ["score", "loss"], ["accuracy", None]),
        ("n_threads", [None, 1, 1024], [0, 1025, 1.0]),
        ("max_seconds", [None, 1, 0.5], [0, -1.0, "1"]),
        ("n_ensemble", [1, 2], [0, 1.0, None]),
        ("ensemble_rows", ["all", "bootstrap", "folds"], ["half", None]),
    ],
)
@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore:stopping_metric", "ignore:.* has no effect with"
)
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
