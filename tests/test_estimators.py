"""MLPClassifier and MLPRegressor: scikit-learn's models to the digit, its errors and warnings, and the additions."""

import copy
import io
import os
import pickle
import re
import threading
import warnings

import numpy as np
import pytest
import reference

sklearn = pytest.importorskip("sklearn", minversion="1.9", reason="compares with scikit-learn 1.9's own models")

import joblib  # noqa: E402
import scipy.sparse  # noqa: E402
import sklearn.neural_network  # noqa: E402, F811
from fastmlp import MLPClassifier, MLPRegressor, Network, Trainer, _core  # noqa: E402
from sklearn.base import clone, is_classifier  # noqa: E402
from sklearn.datasets import (  # noqa: E402
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_linnerud,
    load_wine,
    make_multilabel_classification,
)
from sklearn.exceptions import ConvergenceWarning, NotFittedError  # noqa: E402
from sklearn.metrics import accuracy_score, log_loss, r2_score  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler, scale  # noqa: E402
from teams import TEAMS, team_of  # noqa: E402

THEIRS = {MLPClassifier: sklearn.neural_network.MLPClassifier, MLPRegressor: sklearn.neural_network.MLPRegressor}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def scaled(load):
    X, y = load(return_X_y=True)
    return scale(X), y


def diabetes():
    X, y = scaled(load_diabetes)
    return X, y / 100


def counts():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4))
    return X, rng.poisson(np.exp(X @ [0.5, -0.3, 0.2, 0.1])).astype(float)


def labels_as_text():
    X, y = scaled(load_wine)
    return X, np.array(["barolo", "grignolino", "barbera"], dtype=object)[y]


def many_labels():
    return make_multilabel_classification(n_samples=120, n_classes=4, random_state=0)


def digits(kind=np.asarray):
    X, y = load_digits(return_X_y=True)
    return kind(X[:400]), y[:400]


def row_weights(rows):
    return np.random.default_rng(1).uniform(0.1, 3, rows)


CLASSIFIERS = {
    "adam, the defaults": (lambda: scaled(load_iris), dict(max_iter=60)),
    "sgd, Nesterov": (lambda: load_iris(return_X_y=True), dict(solver="sgd", learning_rate_init=0.01, max_iter=60)),
    "sgd, invscaling, plain momentum, logistic": (
        lambda: scaled(load_iris),
        dict(
            solver="sgd",
            learning_rate="invscaling",
            momentum=0.5,
            nesterovs_momentum=False,
            learning_rate_init=0.2,
            batch_size=32,
            max_iter=40,
            activation="logistic",
        ),
    ),
    "sgd, adaptive, tanh, two layers": (
        lambda: scaled(load_iris),
        dict(
            solver="sgd",
            learning_rate="adaptive",
            learning_rate_init=0.1,
            tol=1e-3,
            hidden_layer_sizes=(8, 5),
            activation="tanh",
        ),
    ),
    "sgd without momentum, weighted rows": (
        lambda: scaled(load_iris),
        dict(solver="sgd", momentum=0, learning_rate_init=0.1, alpha=0.1, batch_size=40, max_iter=40, weighted=True),
    ),
    "two classes, early stopping": (
        lambda: scaled(load_breast_cancer),
        dict(early_stopping=True, hidden_layer_sizes=(20,), learning_rate_init=0.01),
    ),
    "three classes, early stopping, text": (labels_as_text, dict(early_stopping=True, max_iter=100, batch_size=50)),
    "no hidden layer": (lambda: scaled(load_wine), dict(hidden_layer_sizes=(), max_iter=30)),
    "in the order of the rows": (digits, dict(solver="sgd", shuffle=False, max_iter=20, alpha=0.01)),
    "many labels": (many_labels, dict(max_iter=40, hidden_layer_sizes=(20,))),
    "many labels, not 0 and 1": (lambda: (many_labels()[0], 2 * many_labels()[1] - 1), dict(max_iter=20)),
    "momentum of 1": (lambda: load_iris(return_X_y=True), dict(solver="sgd", momentum=1, max_iter=5)),
    "many labels, lbfgs": (many_labels, dict(solver="lbfgs", max_iter=15, hidden_layer_sizes=(6,))),
    "lbfgs, two classes": (lambda: scaled(load_breast_cancer), dict(solver="lbfgs", max_iter=20, alpha=1)),
    "lbfgs, weighted rows": (
        lambda: scaled(load_iris),
        dict(solver="lbfgs", max_iter=20, hidden_layer_sizes=(3,), weighted=True),
    ),
    "CSR": (lambda: digits(scipy.sparse.csr_matrix), dict(max_iter=15, batch_size=100)),
    "CSC, early stopping": (lambda: digits(scipy.sparse.csc_array), dict(max_iter=15, early_stopping=True)),
}

REGRESSORS = {
    "adam": (diabetes, dict(max_iter=50)),
    "sgd, early stopping, weighted rows": (
        diabetes,
        dict(solver="sgd", early_stopping=True, max_iter=50, learning_rate_init=0.01, weighted=True),
    ),
    "three targets": (
        lambda: scaled(load_linnerud),
        dict(max_iter=80, hidden_layer_sizes=(7,), activation="tanh"),
    ),
    "three targets, lbfgs, linear": (
        lambda: scaled(load_linnerud),
        dict(solver="lbfgs", max_iter=15, hidden_layer_sizes=(4,), activation="identity"),
    ),
    "Poisson": (counts, dict(loss="poisson", max_iter=50, learning_rate_init=0.01)),
    "Poisson, lbfgs": (
        counts,
        dict(loss="poisson", solver="lbfgs", max_iter=15, hidden_layer_sizes=(5,), activation="tanh"),
    ),
}


def assert_same_model(ours, theirs, tolerance=1e-5):
    """Each parameter within the tolerance of its size, or of a thousandth of its layer's largest."""
    assert ours.n_iter_ == theirs.n_iter_
    pairs = zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True)
    for a, b in pairs:
        assert a.shape == b.shape
        assert (np.abs(a - b) <= tolerance * np.maximum(np.abs(b), 1e-3 * np.abs(b).max())).all()


def same_fits(Ours, load, settings):
    settings = dict(settings)
    X, y = load()
    fit = {"sample_weight": row_weights(X.shape[0])} if settings.pop("weighted", False) else {}
    ours = Ours(random_state=3, **settings).fit(X, y, **fit)
    return ours, THEIRS[Ours](random_state=3, **settings).fit(X, y, **fit), X, y


def assert_same_attributes(ours, theirs):
    for name in ("loss_curve_", "validation_scores_", "best_loss_", "best_validation_score_", "loss_"):
        assert hasattr(ours, name) == hasattr(theirs, name) or name == "validation_scores_"
        value = getattr(theirs, name, None)
        if value is None:
            assert getattr(ours, name, None) is None
        else:
            np.testing.assert_allclose(getattr(ours, name), value, rtol=1e-6, atol=1e-9)
    for name in ("t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(ours, name) == getattr(theirs, name)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_same_classifier_as_scikit_learns(name):
    ours, theirs, X, y = same_fits(MLPClassifier, *CLASSIFIERS[name])
    assert_same_model(ours, theirs)
    assert_same_attributes(ours, theirs)
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(ours.predict_log_proba(X), theirs.predict_log_proba(X), rtol=1e-4, atol=1e-6)
    assert ours.score(X, y) == theirs.score(X, y)


@pytest.mark.parametrize("name", REGRESSORS)
def test_the_same_regressor_as_scikit_learns(name):
    ours, theirs, X, y = same_fits(MLPRegressor, *REGRESSORS[name])
    assert_same_model(ours, theirs)
    assert_same_attributes(ours, theirs)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(ours.score(X, y), theirs.score(X, y), rtol=1e-6)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_further_calls_go_on_as_in_scikit_learn(solver):
    X, y = scaled(load_iris)
    models = [
        Mlp(solver=solver, random_state=np.random.RandomState(5)) for Mlp in (MLPClassifier, THEIRS[MLPClassifier])
    ]
    for model in models:
        for i in range(5):
            model.partial_fit(X[i::5], y[i::5], classes=[0, 1, 2])
        model.fit(X, y).set_params(warm_start=True, max_iter=3).fit(X, y)
    assert_same_model(*models)
    assert models[0].t_ == models[1].t_
    np.testing.assert_allclose(models[0].loss_curve_, models[1].loss_curve_, rtol=1e-9)


@pytest.mark.parametrize("max_iter", [1, 30])
def test_warm_starts_with_early_stopping_go_on_as_in_scikit_learn(max_iter):
    """What a call has trained without improvement is kept."""
    X, y = scaled(load_iris)
    settings = dict(max_iter=max_iter, warm_start=True, early_stopping=True, random_state=0, n_iter_no_change=3)
    models = [Mlp(**settings) for Mlp in (MLPClassifier, THEIRS[MLPClassifier])]
    for _ in range(4):
        for model in models:
            model.fit(X, y)
        assert_same_model(*models)
        assert models[0].validation_scores_ == models[1].validation_scores_


def test_a_schedule_is_that_of_the_first_call():
    X, y = scaled(load_iris)
    models = [
        Mlp(solver="sgd", learning_rate="invscaling", random_state=0) for Mlp in (MLPClassifier, THEIRS[MLPClassifier])
    ]
    for model in models:
        model.partial_fit(X, y, classes=[0, 1, 2])
        model.set_params(learning_rate_init=0.5, power_t=0.1)
        for _ in range(10):
            model.partial_fit(X, y)
    assert_same_model(*models)


def test_other_layers_cannot_go_on():
    X, y = scaled(load_iris)
    for sizes in ((50,), (100, 3)):
        model = MLPClassifier(warm_start=True, max_iter=2, random_state=0).fit(X, y)
        with pytest.raises(ValueError, match="same layers"):
            model.set_params(hidden_layer_sizes=sizes).fit(X, y)


def test_parameters_are_the_users_to_change():
    X, y = scaled(load_iris)
    models = [Mlp(random_state=0, max_iter=5).fit(X, y) for Mlp in (MLPClassifier, THEIRS[MLPClassifier])]
    for model in models:
        model.coefs_[0][:2] = 0
        model.intercepts_[-1] = np.array([1.0, 0.0, 0.0])
        model.partial_fit(X, y)
    assert_same_model(*models)


@pytest.mark.parametrize("Mlp", THEIRS)
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_float32_is_kept(Mlp, solver):
    X, y = scaled(load_iris)
    model = Mlp(solver=solver, max_iter=5, random_state=0).fit(X.astype(np.float32), y)
    assert {a.dtype for a in model.coefs_ + model.intercepts_} == {np.dtype(np.float32)}
    outputs = model.predict_proba if is_classifier(model) else model.predict
    assert outputs(X.astype(np.float32)).dtype == np.float32
    assert outputs(X).dtype == np.float64


BAD = [
    (dict(hidden_layer_sizes=-1), {}),
    (dict(hidden_layer_sizes=(5, 0)), {}),
    (dict(alpha=-1), {}),
    (dict(activation="ghost"), {}),
    (dict(solver="hadoken"), {}),
    (dict(momentum=2), {}),
    (dict(learning_rate="warp"), {}),
    (dict(max_iter=0), {}),
    (dict(early_stopping=True, validation_fraction=0.001), {}),
    ({}, dict(X=np.full((150, 4), np.nan))),
    ({}, dict(X=np.zeros((149, 4)))),
    ({}, dict(y=np.full(150, np.nan))),
    ({}, dict(sample_weight=np.ones(3))),
    (dict(solver="sgd", learning_rate_init=1e300, max_iter=3), {}),
]


@pytest.mark.parametrize("settings, arguments", BAD)
@pytest.mark.parametrize("Mlp", THEIRS)
def test_errors_are_scikit_learns(Mlp, settings, arguments):
    X, y = load_iris(return_X_y=True)
    arguments = {"X": X, "y": y} | arguments
    errors = []
    for Either in (Mlp, THEIRS[Mlp]):
        with warnings.catch_warnings(), np.errstate(all="ignore"), pytest.raises(Exception) as caught:
            warnings.simplefilter("ignore")
            Either(random_state=0, **settings).fit(**arguments)
        errors.append(caught.value)
    assert type(errors[0]) is type(errors[1])
    assert sorted(re.findall(r"\w+", str(errors[0]))) == sorted(re.findall(r"\w+", str(errors[1])))  # choices: a set


@pytest.mark.parametrize(
    "settings, category",
    [
        (dict(max_iter=2), ConvergenceWarning),
        (dict(solver="sgd", max_iter=2), ConvergenceWarning),
        (dict(solver="lbfgs", max_iter=2), ConvergenceWarning),
        (dict(batch_size=1000, tol=1e9), UserWarning),
    ],
)
@pytest.mark.parametrize("Mlp", THEIRS)
def test_warnings_are_scikit_learns(Mlp, settings, category):
    X, y = load_iris(return_X_y=True)
    messages = []
    for Either in (Mlp, THEIRS[Mlp]):
        with pytest.warns(category) as caught:
            Either(random_state=0, **settings).fit(X, y)
        messages.append([str(warning.message) for warning in caught])
        assert caught[0].category is category
    assert messages[0] == messages[1]


def test_lbfgs_that_cannot_start_warns_as_scikit_learn_does():
    X, y = np.full((5, 2), 1e200), np.ones(5)
    messages = []
    for Either in (MLPRegressor, THEIRS[MLPRegressor]):
        model = Either(solver="lbfgs", activation="identity", random_state=0)
        with np.errstate(all="ignore"), pytest.warns(ConvergenceWarning, match="after 0 iteration") as caught:
            model.fit(X, y)
        messages.append([str(warning.message) for warning in caught])
        assert np.isnan(model.loss_) and all(np.isfinite(w).all() for w in model.coefs_)
    assert messages[0] == messages[1]


def test_verbose_prints_what_scikit_learn_prints(capsys):
    X, y = scaled(load_iris)
    printed = []
    for Either in (MLPClassifier, THEIRS[MLPClassifier]):
        settings = dict(verbose=True, random_state=0, tol=1e-2, learning_rate_init=0.05, n_iter_no_change=2)
        Either(early_stopping=True, **settings).fit(X, y)
        Either(solver="sgd", learning_rate="adaptive", max_iter=60, **settings).fit(X, y)
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert "Validation score" in printed[0] and "Setting learning rate" in printed[0]


# The additions


def oracle_sgd(model, X, y, loss, sample_weight=None, l2=0.0, l1=0.0, momentum=0.0):
    """The epochs of solver="sgd" from the model's own first weights and orders; l1 by a proximal step."""
    rng = np.random.RandomState(model.random_state)
    weights, biases = [], []
    for inputs, outputs in zip((X.shape[1], *model.hidden_layer_sizes), (*model.hidden_layer_sizes, model.n_outputs_)):
        bound = np.sqrt(6 / (inputs + outputs))
        weights.append(rng.uniform(-bound, bound, (inputs, outputs)))
        biases.append(rng.uniform(-bound, bound, outputs))
    velocities = [np.zeros_like(p) for p in weights + biases]
    rate, order = model.learning_rate_init, np.arange(len(X))
    for _ in range(model.max_iter):
        permutation = np.arange(len(X))
        rng.shuffle(permutation)
        order = order[permutation]
        for start in range(0, len(X), model.batch_size):
            rows = order[start : start + model.batch_size]
            own = None if sample_weight is None else sample_weight[rows]
            g = reference.loss_and_gradients(weights, biases, X[rows], y[rows], model.activation, loss, 0, l2, own)
            for p, gradient, v in zip(weights + biases, g.weights + g.biases, velocities):
                v *= momentum
                v -= rate * gradient
                p += v
            shrink = rate * l1 / (1 - momentum)
            weights = [np.sign(w) * np.maximum(np.abs(w) - shrink, 0) for w in weights]
    return weights + biases


SGD = dict(
    solver="sgd",
    momentum=0,
    alpha=0,
    hidden_layer_sizes=(6,),
    activation="tanh",
    batch_size=32,
    max_iter=4,
    learning_rate_init=0.1,
    random_state=1,
)


def assert_follows(model, expected):
    for got, wanted in zip(model.coefs_ + model.intercepts_, expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-12)


def test_weighted_losses_follow_the_oracle():
    X, y = scaled(load_iris)
    weights = row_weights(150)
    model = MLPClassifier(**SGD).fit(X, y, weights)
    assert_follows(model, oracle_sgd(model, X, y, "cross_entropy", weights))
    two = (y > 0).astype(float)
    model = MLPClassifier(**SGD).fit(X, two, weights)
    assert_follows(model, oracle_sgd(model, X, two[:, None], "binary_cross_entropy", weights))
    model = MLPRegressor(**SGD).fit(X, y, weights)
    assert_follows(model, oracle_sgd(model, X, y[:, None], "squared_error", weights))
    model = MLPRegressor(loss="poisson", **SGD).fit(X, y, weights)
    assert_follows(model, oracle_sgd(model, X, y[:, None], "poisson", weights))


@pytest.mark.parametrize("class_weight", [{0: 3.0, 1: 0.5}, "balanced"])
def test_class_weights_are_weights_of_rows(class_weight):
    X, y = scaled(load_iris)
    X, y = X[20:], y[20:]
    factors = len(y) / 3 / np.bincount(y) if class_weight == "balanced" else np.array([3.0, 0.5, 1.0])
    given = row_weights(len(y))
    model = MLPClassifier(class_weight=class_weight, **SGD).fit(X, y, given)
    assert_follows(model, oracle_sgd(model, X, y, "cross_entropy", given * factors[y]))


def test_class_weights_of_many_labels():
    X, Y = many_labels()
    factors = [{0: 1.0, 1: 3.0}, {0: 0.5, 1: 1.0}, {0: 1.0, 1: 1.0}, {0: 1.0, 1: 1.0}]
    weights = np.prod([np.where(Y[:, i], f[1], f[0]) for i, f in enumerate(factors)], axis=0)
    models = [
        MLPClassifier(max_iter=5, random_state=0, class_weight=factors).fit(X, Y),
        MLPClassifier(max_iter=5, random_state=0).fit(X, Y, weights),
    ]
    assert_same_model(*models, tolerance=1e-12)


def test_partial_fit_knows_classes_that_a_call_does_not_see():
    X, y = scaled(load_iris)
    model = MLPClassifier(class_weight={0: 2.0}, random_state=0).partial_fit(X[50:], y[50:], classes=[0, 1, 2])
    plain = MLPClassifier(random_state=0).partial_fit(X[50:], y[50:], classes=[0, 1, 2])
    assert_same_model(model, plain)


def test_classes_of_a_further_call_are_a_set():
    X, y = scaled(load_iris)
    models = [
        Mlp(random_state=0).partial_fit(X, y, classes=[0, 1, 2]) for Mlp in (MLPClassifier, THEIRS[MLPClassifier])
    ]
    for model in models:
        for same in ([2, 0, 1], [0, 1, 2, 1], np.array([1, 2, 0]), None):
            model.partial_fit(X[:50], y[:50], classes=same)
        for other in ([0, 1], [0, 1, 2, 3], [0, 1, 3]):
            with pytest.raises(ValueError, match="classes"):
                model.partial_fit(X, y, classes=other)
    assert_same_model(*models)


def test_class_weight_refuses():
    X, y = scaled(load_iris)
    with pytest.raises(ValueError, match="not zero"):
        MLPClassifier(class_weight={0: 0, 1: 0, 2: 0}).fit(X, y)
    with pytest.raises(ValueError, match="not in class_weight|not in"):
        MLPClassifier(class_weight={7: 1.0}).fit(X, y)
    with pytest.raises(ValueError, match="class_weight"):
        MLPClassifier(class_weight="heavy").fit(X, y)
    with pytest.raises(ValueError, match=r"balanced.*not all rows"):
        MLPClassifier(class_weight="balanced").partial_fit(X, y, classes=[0, 1, 2])


@pytest.mark.parametrize("weight", [1e-60, 1e-40, 1e37, 1e300])
def test_weights_beyond_float32_are_refused_where_it_computes(weight):
    """1e37: a float32, but not the sum of a batch."""
    X, y = scaled(load_iris)
    X, weights = X.astype(np.float32), np.ones(150)
    weights[7] = weight
    model = MLPClassifier(random_state=0, max_iter=2, early_stopping=True).fit(X, y)
    before = dict(vars(model))
    found = re.escape(f"[1.18e-38, 5.67e+35] in size for float32, got {weight} in row 7")
    with pytest.raises(ValueError, match=f"sample_weight must be 0 or in {found}"):
        model.fit(X, y, weights)
    assert_untouched(model, before)
    with pytest.raises(ValueError, match=r"sample_weight times class_weight .* in row 50"):
        MLPClassifier(class_weight={1: weight}).fit(X, y, np.ones(150))
    MLPClassifier(solver="lbfgs", max_iter=2).fit(X, y, weights)  # computes in float64
    MLPClassifier(max_iter=2).fit(X.astype(float), y, weights)


@pytest.mark.parametrize("batch_size", [10, 150])
def test_l2_does_not_depend_on_the_batch_size(batch_size):
    X, y = scaled(load_iris)
    settings = SGD | {"batch_size": batch_size}
    model = MLPClassifier(l2=0.05, **settings).fit(X, y)
    assert_follows(model, oracle_sgd(model, X, y, "cross_entropy", l2=0.05))
    squares = sum((w**2).sum() for w in model.coefs_)
    assert model.history_["penalty"][-1] == pytest.approx(0.05 / 2 * squares, rel=0.2)  # seen while training


@pytest.mark.parametrize("momentum", [0, 0.8])
def test_l1_takes_proximal_steps(momentum):
    X, y = scaled(load_iris)
    settings = SGD | {"momentum": momentum, "nesterovs_momentum": False}
    model = MLPClassifier(l1=0.02, l2=0.01, **settings).fit(X, y)
    assert_follows(model, oracle_sgd(model, X, y, "cross_entropy", l1=0.02, l2=0.01, momentum=momentum))


def stationarity(model, X, y, l1):
    """How far the penalized loss is from a point of rest: |g + l1 sign(w)| where w != 0, |g| - l1 elsewhere."""
    g = reference.loss_and_gradients(model.coefs_, model.intercepts_, X, y, model.activation, "cross_entropy")
    worst = 0.0
    for w, gradient in zip(model.coefs_, g.weights):
        off = np.where(w != 0, np.abs(gradient + l1 * np.sign(w)), np.maximum(np.abs(gradient) - l1, 0))
        worst = max(worst, off.max())
    return worst


@pytest.mark.parametrize(
    "solver",
    [
        dict(solver="sgd", momentum=0, learning_rate_init=0.5),
        dict(solver="sgd", momentum=0.9, learning_rate_init=0.1),
        dict(solver="sgd", momentum=0.9, nesterovs_momentum=False, learning_rate_init=0.1),
        dict(solver="adam", learning_rate_init=0.02),
        dict(solver="lbfgs", tol=1e-7, max_fun=100_000),
    ],
    ids=["sgd", "Nesterov", "momentum", "adam", "lbfgs"],
)
def test_l1_rests_where_the_penalized_loss_is_stationary(solver):
    X, y = scaled(load_iris)
    l1 = 0.02
    settings = dict(hidden_layer_sizes=(5,), activation="tanh", alpha=0, batch_size=150, max_iter=3000, random_state=1)
    model = MLPClassifier(l1=l1, tol=0, n_iter_no_change=np.inf, **settings).set_params(**solver).fit(X, y)
    zeros = sum((w == 0).sum() for w in model.coefs_)
    assert 10 <= zeros <= 30  # of 35
    assert stationarity(model, X, y, l1) < 1e-4
    assert model.score(X, y) > 0.9


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("Mlp", THEIRS)
def test_l1_large_enough_leaves_only_zeros(Mlp, solver):
    X, y = scaled(load_iris)
    settings = dict(learning_rate_init=0.05, hidden_layer_sizes=(6,), random_state=0, max_iter=300)
    model = Mlp(l1=10.0, solver=solver, **settings).fit(X, y)
    assert all((w == 0).all() for w in model.coefs_)
    biases = [b.copy() for b in model.intercepts_]
    assert any(b.any() for b in biases)  # no penalty on them


def test_l1_needs_a_momentum_below_one():
    X, y = scaled(load_iris)
    with pytest.raises(ValueError, match="momentum below 1, got momentum=1"):
        MLPClassifier(solver="sgd", momentum=1, l1=0.1).fit(X, y)


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_eval_set_curves_equal_an_evaluation_by_hand(solver):
    X, y = scaled(load_iris)
    train, held = np.arange(0, 150, 2), np.arange(1, 150, 2)
    seen = []

    def look(info):
        p = info.network.forward(X[held])
        seen.append((log_loss(y[held], p), accuracy_score(y[held], p.argmax(axis=1)), info.metrics))

    model = MLPClassifier(solver=solver, max_iter=7, alpha=5.0, random_state=0)
    model.fit(X[train], y[train], eval_set=(X[held], y[held]), callbacks=[look])
    losses, scores, metrics = zip(*seen)
    assert len(losses) == model.n_iter_ == 7
    np.testing.assert_allclose(model.validation_loss_curve_, losses, rtol=1e-12)
    np.testing.assert_allclose(model.validation_scores_, scores)
    assert set(model.history_) == {"loss", "penalty", "seconds", "validation_loss", "validation_score"}
    for name, values in model.history_.items():
        assert values == [m[name] for m in metrics]
    np.testing.assert_allclose(model.loss_, model.history_["loss"][-1] + model.history_["penalty"][-1])


@pytest.mark.parametrize(
    "Mlp, load, loss",
    [
        (MLPRegressor, lambda: scaled(load_linnerud), lambda t, p: ((t - p) ** 2).mean() / 2),
        (MLPRegressor, diabetes, lambda t, p: ((t - p) ** 2).mean() / 2),
        (MLPClassifier, many_labels, lambda t, p: -(t * np.log(p) + (1 - t) * np.log(1 - p)).sum(axis=1).mean()),
    ],
)
def test_the_validation_loss_is_defined_as_the_training_loss(Mlp, load, loss):
    X, y = load()
    model = Mlp(solver="sgd", learning_rate_init=1e-12, max_iter=2, random_state=0).fit(X, y, eval_set=(X, y))
    outputs = model.predict_proba(X) if Mlp is MLPClassifier else model.predict(X)
    np.testing.assert_allclose(model.validation_loss_curve_, [loss(y, outputs)] * 2, rtol=1e-6)
    np.testing.assert_allclose(model.history_["loss"], model.validation_loss_curve_, rtol=1e-6)


@pytest.mark.parametrize("metric", ["score", "loss"])
def test_early_stopping_on_an_eval_set_keeps_the_best_weights(metric):
    X, y = load_digits(return_X_y=True)
    settings = dict(learning_rate_init=0.05, early_stopping=True, stopping_metric=metric, n_iter_no_change=4)
    model = MLPClassifier(random_state=0, **settings).fit(X[:300], y[:300], eval_set=(X[1000:], y[1000:]))
    assert model.n_iter_ < model.max_iter
    curve = {"score": model.validation_scores_, "loss": -np.array(model.validation_loss_curve_)}[metric]
    best = int(np.argmax(curve))
    assert best < model.n_iter_ - 1
    assert model.score(X[1000:], y[1000:]) == model.validation_scores_[best] == model.best_validation_score_
    assert log_loss(y[1000:], model.predict_proba(X[1000:])) == pytest.approx(model.validation_loss_curve_[best])


def test_partial_fit_takes_an_eval_set():
    X, y = scaled(load_iris)
    model = MLPClassifier(random_state=0)
    for _ in range(3):
        model.partial_fit(X[::2], y[::2], classes=[0, 1, 2], eval_set=(X[1::2], y[1::2]))
    assert len(model.validation_loss_curve_) == len(model.validation_scores_) == len(model.history_["loss"]) == 3
    model.partial_fit(X, y)  # and goes on without
    assert len(model.validation_loss_curve_) == 3 and len(model.loss_curve_) == 4


@pytest.mark.parametrize(
    "eval_set, found",
    [
        (([[1, 2]], [0]), "features"),
        ((np.full((2, 4), np.nan), [0, 1]), "NaN"),
        ((np.zeros((2, 4)), [0, 7]), r"eval_set.*\[0 7\]"),
        ((np.zeros((2, 4)), [0]), "inconsistent"),
        (np.zeros((2, 4)), "pair"),
    ],
)
def test_eval_set_is_checked(eval_set, found):
    X, y = load_iris(return_X_y=True)
    with pytest.raises((ValueError, TypeError), match=found):
        MLPClassifier().fit(X, y, eval_set=eval_set)


def test_refused_arguments_leave_the_model_as_it_was():
    X, y = scaled(load_iris)
    regressor = MLPRegressor(random_state=0, max_iter=20).fit(X, y)
    classifier = MLPClassifier(random_state=0, max_iter=20).fit(X, y == 1)
    predicted = regressor.predict(X), classifier.predict_proba(X)
    with pytest.raises(ValueError, match="eval_set must have 1 targets"):
        regressor.fit(X, y, eval_set=(X, np.c_[y, y]))
    with pytest.raises(ValueError, match=r"eval_set.*\[1 2 3\]"):
        classifier.fit(X, y, eval_set=(X, y + 1))
    with pytest.raises(ValueError, match="eval_set must have targets like"):
        classifier.fit(X, y, eval_set=(X, np.c_[y == 0, y == 1]))
    with pytest.raises(ValueError, match="2 rows"):
        regressor.set_params(early_stopping=True).fit(X[:, :2], y, eval_set=(X[:1, :2], y[:1]))
    np.testing.assert_array_equal(regressor.predict(X), predicted[0])
    np.testing.assert_array_equal(classifier.predict_proba(X), predicted[1])


def assert_untouched(model, before):
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is value for name, value in before.items())


def test_what_a_fit_finds_late_leaves_the_model_as_it_was():
    X, y = scaled(load_iris)
    X = X.astype(np.float32)
    classifier = MLPClassifier(random_state=0, max_iter=3).fit(X, y == 1).set_params(early_stopping=True)
    regressor = MLPRegressor(random_state=0, max_iter=3).fit(X, y).set_params(early_stopping=True)
    too_large = r"must be within the range of float32, got 1e\+300"
    for model, arguments, found in [
        (classifier, dict(X=X[:8], y=y[:8] == 1), "validation set is too small"),
        (classifier, dict(X=X, y=np.arange(150) == 0), "least populated class"),
        (classifier, dict(X=X, y=y == 1, eval_set=(np.full((2, 4), 1e300), y[:2] == 1)), f"X {too_large}"),
        (regressor, dict(X=X, y=y, eval_set=(X[:2], [0.0, 1e300])), f"y {too_large}"),
        (regressor, dict(X=X, y=np.where(y, 1e300, 0)), f"y {too_large}"),
        (regressor, dict(X=X[:8, :3], y=y[:8]), "validation set is too small"),
    ]:
        before = dict(vars(model))
        with pytest.raises(ValueError, match=found):
            model.fit(**arguments)
        assert_untouched(model, before)


def test_a_model_of_float32_goes_on_only_within_its_range():
    X, y = scaled(load_iris)
    model = MLPClassifier(random_state=0).partial_fit(X.astype(np.float32), y, classes=[0, 1, 2])
    before = dict(vars(model))
    with pytest.raises(ValueError, match=r"X must be within the range of float32, got 1e\+300"):
        model.partial_fit(np.where(X > 1, 1e300, X), y)
    assert_untouched(model, before)


def test_a_refused_first_call_of_partial_fit_leaves_the_classes_open():
    X, y = scaled(load_iris)
    model = MLPClassifier(random_state=0)
    before = dict(vars(model))
    with pytest.raises(ValueError, match="NaN"):
        model.partial_fit(X * np.nan, y > 0, classes=[0, 1])
    assert_untouched(model, before)
    model.partial_fit(X, y, classes=[0, 1, 2])


def test_an_interrupt_before_the_first_update_leaves_the_model_as_it_was(monkeypatch):
    X, y = scaled(load_iris)
    model = MLPClassifier(random_state=0, max_iter=3).fit(X, y)
    before = dict(vars(model))

    def interrupt(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(MLPClassifier, "_dataset", interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert_untouched(model, before)


def test_another_stopping_metric_starts_anew():
    X, y = scaled(load_iris)
    settings = dict(warm_start=True, early_stopping=True, max_iter=20, n_iter_no_change=50, random_state=0)
    model = MLPClassifier(**settings).fit(X, y, eval_set=(X, y))
    before = model.validation_loss_curve_[-1]
    model.set_params(stopping_metric="loss").fit(X, y, eval_set=(X, y))
    least = min(model.validation_loss_curve_)
    assert least < before
    assert log_loss(y, model.predict_proba(X)) == pytest.approx(least)


def test_a_loss_is_not_measured_against_an_accuracy():
    """The negative loss is never as high as an accuracy was, but it improves: the fit goes on for all of its epochs."""
    X, y = scaled(load_iris)
    settings = dict(warm_start=True, early_stopping=True, max_iter=8, n_iter_no_change=3, tol=0.0, random_state=0)
    model = MLPClassifier(**settings).fit(X, y, eval_set=(X, y))
    epochs = len(model.loss_curve_)
    model.set_params(stopping_metric="loss").fit(X, y, eval_set=(X, y))
    assert len(model.loss_curve_) - epochs == 8


def test_the_split_may_be_watched_by_its_loss():
    X, y = scaled(load_iris)
    weights = row_weights(150)
    model = MLPClassifier(early_stopping=True, stopping_metric="loss", random_state=0, max_iter=30)
    held_out = []
    model.fit(X, y, weights, callbacks=[lambda info: held_out.append(info.metrics["validation_loss"])])
    assert model.validation_loss_curve_ == held_out
    _, rows = sklearn.model_selection.train_test_split(
        np.arange(150), random_state=drawn_before_the_split(model), test_size=0.1
    )
    p = model.predict_proba(X[rows])
    assert log_loss(y[rows], p, sample_weight=weights[rows]) == pytest.approx(min(held_out), rel=1e-9)


def drawn_before_the_split(model):
    """The random state after the initial weights."""
    rng = np.random.RandomState(model.random_state)
    for w, b in zip(model.coefs_, model.intercepts_):
        rng.uniform(size=w.shape)
        rng.uniform(size=b.shape)
    return rng


def test_callbacks_see_every_epoch():
    X, y = scaled(load_iris)
    for settings in (dict(tol=1, n_iter_no_change=2), dict(early_stopping=True, n_iter_no_change=1), dict(max_iter=3)):
        seen = []
        model = MLPClassifier(random_state=0, **settings)
        model.fit(X, y, callbacks=[lambda info, seen=seen: seen.append(info.epoch)])
        assert seen == list(range(1, model.n_iter_ + 1))


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_a_callback_ends_the_fit(solver):
    X, y = scaled(load_iris)
    model = MLPClassifier(solver=solver, random_state=0)
    kept = []

    def stop(info):
        kept.append([*info.network.weights, *info.network.biases])
        return info.epoch == 4

    model.fit(X, y, callbacks=[stop])
    assert model.n_iter_ == 4
    for got, expected in zip(model.coefs_ + model.intercepts_, kept[-1], strict=True):
        np.testing.assert_array_equal(got, expected)
    with pytest.raises(TypeError, match="callbacks"):
        model.fit(X, y, callbacks=[1])


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_an_interrupt_keeps_the_model_so_far(solver):
    X, y = scaled(load_iris)

    def interrupt(info):
        if info.epoch == 3:
            raise KeyboardInterrupt

    model = MLPClassifier(solver=solver, random_state=0)
    with pytest.warns(UserWarning, match="interrupted"):
        model.fit(X, y, callbacks=[interrupt])
    assert model.n_iter_ == 3 and model.score(X, y) > 0.3
    model.fit(X, y)
    assert model.n_iter_ > 3


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_a_callback_cannot_train_the_network_that_is_being_fitted(solver):
    X, y = scaled(load_iris)
    model = MLPClassifier(solver=solver, random_state=0, max_iter=3)
    with pytest.raises(RuntimeError, match="of this network is under way"):
        model.fit(X, y, callbacks=[lambda info: Trainer(info.network).fit(X, y, epochs=1)])
    assert model.fit(X, y).n_iter_ == 3


@pytest.mark.parametrize("call", ["fit", "partial_fit"])
def test_an_estimator_cannot_be_fitted_twice_at_once(call):
    X, y = scaled(load_iris)
    model, refused = MLPClassifier(random_state=0, max_iter=3), []

    def fit_again():
        with pytest.raises(RuntimeError, match="of this estimator is under way"):
            getattr(model, call)(X, y)
        refused.append(call)

    def fit_here_and_in_a_thread(info):
        fit_again()
        thread = threading.Thread(target=fit_again)
        thread.start()
        thread.join()

    model.fit(X, y, callbacks=[fit_here_and_in_a_thread])
    undisturbed = MLPClassifier(random_state=0, max_iter=3).fit(X, y)
    assert len(refused) == 6 and model.loss_curve_ == undisturbed.loss_curve_
    for a, b in zip(model.coefs_, undisturbed.coefs_):
        np.testing.assert_array_equal(a, b)
    getattr(model, call)(X, y)


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_the_model_is_the_same_for_every_number_of_threads(solver):
    X, y = load_digits(return_X_y=True)
    models = []
    for n_threads in (1, *TEAMS):
        model = MLPClassifier((300,), solver=solver, max_iter=4, random_state=0, n_threads=n_threads)
        with team_of(n_threads):
            models.append(model.fit(X, y))
    for model in models[1:]:
        for a, b in zip(models[0].coefs_, model.coefs_):
            np.testing.assert_array_equal(a, b)


def test_to_network_is_a_copy():
    X, y = scaled(load_iris)
    model = MLPClassifier(max_iter=5, random_state=0).fit(X, y)
    net = model.to_network()
    assert isinstance(net, Network)
    np.testing.assert_array_equal(net.forward(X), model.predict_proba(X))
    net.set_parameters([w * 0 for w in net.weights], net.biases)
    assert model.coefs_[0].any()
    with pytest.raises(NotFittedError):
        MLPClassifier().to_network()


# scikit-learn's tools


@pytest.mark.parametrize("copied", [lambda model: pickle.loads(pickle.dumps(model)), copy.deepcopy])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_copy_trains_on_as_the_original(copied, solver):
    X, y = scaled(load_iris)
    model = MLPClassifier(solver=solver, random_state=0, max_iter=5).fit(X, y)
    other = copied(model)
    for m in (model, other):
        m.partial_fit(X, y)
    for a, b in zip(model.coefs_, other.coefs_):
        np.testing.assert_array_equal(a, b)
    stream = io.BytesIO()
    joblib.dump(model, stream)
    stream.seek(0)
    np.testing.assert_array_equal(joblib.load(stream).predict_proba(X), model.predict_proba(X))


def test_clone_keeps_every_parameter():
    model = MLPRegressor(l1=0.1, l2=0.2, n_threads=2, stopping_metric="loss", loss="poisson", hidden_layer_sizes=(3,))
    assert clone(model).get_params() == model.get_params()
    assert "l1=0.1" in repr(model)
    assert "MLPRegressor" in model._repr_html_()


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_searches_run_in_parallel(backend):
    X, y = scaled(load_iris)
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(max_iter=20, random_state=0))
    with joblib.parallel_backend(backend, n_jobs=2):
        search = GridSearchCV(
            pipeline, {"mlpclassifier__l2": [0, 1.0], "mlpclassifier__solver": ["adam", "lbfgs"]}, cv=2
        )
        search.fit(X, y)
        scores = cross_val_score(pipeline, X, y, cv=3)
    assert search.best_score_ > 0.7 and scores.mean() > 0.7


def threads_of_a_worker():
    import fastmlp

    return fastmlp.show_config("dicts")["threads"]


def test_workers_of_joblib_get_their_share_of_the_cores():
    if _core.threading_name() != "OpenMP" or "OMP_NUM_THREADS" in os.environ:
        pytest.skip("loky tells its workers by OMP_NUM_THREADS, where it is not set")
    counts = joblib.Parallel(n_jobs=2, backend="loky")(joblib.delayed(threads_of_a_worker)() for _ in range(2))
    assert counts == [max(1, joblib.cpu_count() // 2)] * 2


def test_metadata_is_routed():
    X, y = scaled(load_iris)
    weights = row_weights(150)
    with sklearn.config_context(enable_metadata_routing=True):
        model = MLPClassifier(max_iter=5, random_state=0).set_fit_request(sample_weight=True, eval_set=True)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), model)
        pipeline.fit(X, y, sample_weight=weights, eval_set=(X, y))
    expected = MLPClassifier(max_iter=5, random_state=0).fit(scale(X), y, weights)
    np.testing.assert_allclose(pipeline[-1].coefs_[0], expected.coefs_[0], rtol=1e-9)
    assert len(pipeline[-1].validation_scores_) == 5


def test_data_frames_bring_their_names():
    pandas = pytest.importorskip("pandas")
    X, y = load_iris(return_X_y=True, as_frame=True)
    model = MLPClassifier(max_iter=5, random_state=0).fit(X, y, eval_set=(X, y))
    assert list(model.feature_names_in_) == list(X.columns)
    np.testing.assert_array_equal(
        model.predict(X), MLPClassifier(max_iter=5, random_state=0).fit(X.to_numpy(), y).predict(X.to_numpy())
    )
    with pytest.raises(ValueError, match="feature names"):
        model.predict(X[X.columns[::-1]])
    with sklearn.config_context(transform_output="pandas"):
        assert isinstance(make_pipeline(StandardScaler(), model).fit(X, y).predict(X), np.ndarray)
    assert isinstance(X, pandas.DataFrame)


def test_skl2onnx_converts_them():
    """As in its documentation for a class that it does not know, with its own converters."""
    skl2onnx = pytest.importorskip("skl2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    from skl2onnx.common.shape_calculator import (
        calculate_linear_classifier_output_shapes,
        calculate_linear_regressor_output_shapes,
    )
    from skl2onnx.operator_converters.multilayer_perceptron import (
        convert_sklearn_mlp_classifier,
        convert_sklearn_mlp_regressor,
    )

    skl2onnx.update_registered_converter(
        MLPClassifier,
        "FastmlpMLPClassifier",
        calculate_linear_classifier_output_shapes,
        convert_sklearn_mlp_classifier,
        options={"zipmap": [True, False, "columns"], "output_class_labels": [False, True], "nocl": [True, False]},
    )
    skl2onnx.update_registered_converter(
        MLPRegressor, "FastmlpMLPRegressor", calculate_linear_regressor_output_shapes, convert_sklearn_mlp_regressor
    )
    X, y = scaled(load_iris)
    X, names = X.astype(np.float32), np.array(["setosa", "versicolor", "virginica"])[y]
    problems = [(MLPClassifier(), labels) for labels in (y, y > 0, names, np.where(y > 0, "other", "setosa"))]
    for model, labels in [*problems, (MLPRegressor(), y + X[:, 0])]:
        model.set_params(max_iter=5, random_state=0).fit(X, labels)
        options = {"zipmap": False} if is_classifier(model) else None
        exported = skl2onnx.to_onnx(model, X[:1], options=options)
        session = onnxruntime.InferenceSession(exported.SerializeToString(), providers=["CPUExecutionProvider"])
        outputs = session.run(None, {session.get_inputs()[0].name: X})
        if is_classifier(model):
            np.testing.assert_array_equal(outputs[0], model.predict(X))  # the labels themselves, text as text
            np.testing.assert_allclose(outputs[1], model.predict_proba(X), atol=1e-5)
        else:
            np.testing.assert_allclose(outputs[0], model.predict(X)[:, None], atol=1e-5)


def test_regression_scores_are_scikit_learns():
    X, y = diabetes()
    model = MLPRegressor(max_iter=5, random_state=0).fit(X, y, eval_set=(X, y))
    assert model.validation_scores_[-1] == pytest.approx(r2_score(y, model.predict(X)))


# At bounds and ties

RULES = {
    "adam": dict(solver="adam", learning_rate_init=0.05),
    "sgd": dict(solver="sgd", learning_rate_init=0.3),
    "sgd, invscaling": dict(solver="sgd", learning_rate_init=0.5, learning_rate="invscaling"),
    "sgd, adaptive": dict(solver="sgd", learning_rate_init=0.3, learning_rate="adaptive"),
    "sgd, adaptive, at its end": dict(solver="sgd", learning_rate_init=1e-6, learning_rate="adaptive"),
}


def ties(kind):
    """Few rows, of which 16 are held out: scores are k/16, often the same, and steps of one are exactly 0.0625."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(64, 4))
    separable = X[:, 0] > 0
    if kind == "separable":
        return X + 2 * np.c_[separable, separable, separable, separable], separable.astype(int)
    return X, np.where(rng.random(64) < 0.3, rng.integers(0, 3, 64), separable)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("tol", [0.0, 1e-4, 0.0625])
@pytest.mark.parametrize("rule", RULES)
def test_a_fit_ends_where_scikit_learns_does(rule, tol, early_stopping):
    """Also where scores tie, and where an improvement is exactly tol."""
    ended, best = [], []
    for kind, n_iter_no_change in (("separable", 1), ("noisy", 2)):
        X, y = ties(kind)
        models = [
            Mlp(
                hidden_layer_sizes=(5,),
                max_iter=30,
                batch_size=24,
                random_state=1,
                alpha=0.01,
                tol=tol,
                early_stopping=early_stopping,
                validation_fraction=0.25,
                n_iter_no_change=n_iter_no_change,
                **RULES[rule],
            ).fit(X, y)
            for Mlp in (MLPClassifier, THEIRS[MLPClassifier])
        ]
        assert_same_model(*models)
        assert_same_attributes(*models)
        if rule != "adam":  # whose rate is corrected in each step of scikit-learn's
            assert models[0]._optimizer.learning_rate == models[1]._optimizer.learning_rate
        ended.append(models[0].n_iter_)
        best.append(models[0].best_validation_score_)
    assert min(ended) < 30 or tol == 0
    if early_stopping and "end" not in rule:
        assert best[0] == 1.0, "no later epoch can be better"


@pytest.mark.parametrize("tol", [0.0, 1e-4])
@pytest.mark.parametrize("Mlp", THEIRS)
def test_a_loss_that_does_not_move_is_an_improvement_only_without_tol(Mlp, tol):
    X, y = ties("noisy")
    settings = dict(solver="sgd", learning_rate_init=1e-300, shuffle=False, max_iter=9, n_iter_no_change=3, tol=tol)
    models = [Either(hidden_layer_sizes=(5,), random_state=1, **settings).fit(X, y) for Either in (Mlp, THEIRS[Mlp])]
    for model in models:
        assert len(set(model.loss_curve_)) == 1
        assert model.n_iter_ == len(model.loss_curve_) == (9 if tol == 0 else 5)


TARGETS = {
    "two classes": lambda y: (y > 0).astype(int),
    "two texts": lambda y: np.where(y > 0, "a", "b"),
    "three classes": lambda y: y,
    "three texts": lambda y: np.array(["c", "a", "b"])[y],
    "an indicator matrix": lambda y: np.c_[y > 0, y == 0, y == 1].astype(int),
    "regression": lambda y: y + 0.5,
}


@pytest.mark.parametrize("kind", TARGETS)
def test_ties_of_outputs_are_decided_as_in_scikit_learn(kind):
    """All weights zero: a probability of exactly 0.5, or equal ones. Predictions and scores in a fit are the same."""
    X, y = ties("noisy")
    y = TARGETS[kind](y)
    Mlp = MLPRegressor if kind == "regression" else MLPClassifier
    settings = dict(solver="sgd", learning_rate_init=1e-300, max_iter=1, random_state=0, momentum=0)
    models = [Either(hidden_layer_sizes=(3,), **settings).fit(X, y) for Either in (Mlp, THEIRS[Mlp])]
    for model in models:
        for array in model.coefs_ + model.intercepts_:
            array[:] = 0
    np.testing.assert_array_equal(models[0].predict(X), models[1].predict(X))
    assert models[0].score(X, y) == models[1].score(X, y)
    if kind != "regression":
        expected = models[1].predict_proba(X)
        assert len(np.unique(expected)) == 1
        np.testing.assert_array_equal(models[0].predict_proba(X), expected)
    more = {} if kind == "regression" else {"classes": np.unique(y) if y.ndim == 1 else [0, 1, 2]}
    models[0].partial_fit(X, y, eval_set=(X, y), **more)
    assert models[0].validation_scores_ == pytest.approx([models[1].score(X, y)], abs=1e-15)


@pytest.mark.parametrize("rows", [199, 200, 201, 401])
def test_a_batch_is_by_default_of_200_rows_or_of_all(rows):
    X, y = load_digits(return_X_y=True)
    models = [
        Mlp((5,), random_state=0, max_iter=3).fit(X[:rows] / 16, y[:rows])
        for Mlp in (MLPClassifier, THEIRS[MLPClassifier])
    ]
    assert_same_model(*models)
    np.testing.assert_allclose(models[0].loss_curve_, models[1].loss_curve_, rtol=1e-9)


def test_a_batch_of_all_rows_is_not_clipped():
    X, y = ties("noisy")
    MLPClassifier((3,), batch_size=64, tol=10, n_iter_no_change=1, random_state=0).fit(X, y)
    with pytest.warns(UserWarning, match="clipped"):
        MLPClassifier((3,), batch_size=65, tol=10, n_iter_no_change=1, random_state=0).fit(X, y)


@pytest.mark.parametrize("held_out", [1, 2, 3])
@pytest.mark.parametrize("Mlp", THEIRS)
def test_two_held_out_rows_are_the_fewest(Mlp, held_out):
    X, y = ties("noisy")
    X, y = X[:20], np.arange(20) % 3  # not stratified
    outcomes = []
    for Either in (Mlp, THEIRS[Mlp]):
        model = Either(
            hidden_layer_sizes=(3,),
            early_stopping=True,
            validation_fraction=(held_out - 0.5) / 20,
            max_iter=2,
            random_state=0,
        )
        try:
            outcomes.append(model.fit(X, y).validation_scores_)
        except ValueError as error:
            outcomes.append(re.findall(r"\w+", str(error)))
    if held_out == 1:
        assert outcomes[0] == outcomes[1] and "small" in outcomes[0]
    else:
        np.testing.assert_allclose(outcomes[0], outcomes[1], rtol=1e-9)
        Mlp(hidden_layer_sizes=(3,), early_stopping=True, max_iter=1).fit(X, y, eval_set=(X[:2], y[:2]))
    with pytest.raises(ValueError, match="at least 2 rows for early_stopping, got 1"):
        Mlp(hidden_layer_sizes=(3,), early_stopping=True, max_iter=1).fit(X, y, eval_set=(X[:1], y[:1]))


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_each_penalty_alone_is_in_the_history(solver):
    """Of weights that nearly stand still, or of the last iteration; alpha is divided by the rows."""
    X, y = ties("noisy")
    settings = dict(solver=solver, learning_rate_init=1e-12, batch_size=64, max_iter=3, random_state=0)
    if solver == "lbfgs":  # until p or q is zero in each w = p - q
        settings |= dict(max_iter=300)
    for name, strength in (("alpha", 0.5), ("l1", 0.01), ("l2", 0.02)):
        model = MLPClassifier((4,), **{"alpha": 0, **settings, name: strength}).fit(X, y)
        squares = sum((w**2).sum() for w in model.coefs_)
        expected = {
            "alpha": 0.5 / 2 * squares / 64,
            "l1": 0.01 * sum(np.abs(w).sum() for w in model.coefs_),
            "l2": 0.02 / 2 * squares,
        }[name]
        penalty = model.history_["penalty"][-1]
        assert penalty == pytest.approx(expected, rel=1e-4 if solver == "lbfgs" else 1e-6)
        assert model.loss_ == pytest.approx(model.history_["loss"][-1] + penalty, rel=1e-12)
    plain = MLPClassifier((4,), **{"alpha": 0, **settings}).fit(X, y)
    assert set(plain.history_["penalty"]) == {0.0}


def test_lbfgs_prints_its_iterations(capsys):
    X, y = ties("noisy")
    model = MLPClassifier((4,), solver="lbfgs", verbose=True, max_iter=5, random_state=0).fit(X, y)
    losses = np.add(model.history_["loss"], model.history_["penalty"])
    printed = capsys.readouterr().out.splitlines()
    assert printed == [f"Iteration {i}, loss = {loss:.8f}" for i, loss in enumerate(losses, 1)]


CLASSES = {
    "fewer in a warm start": lambda model, X, y: model.set_params(warm_start=True).fit(X, y).fit(X, y > 0),
    "others in a warm start": lambda model, X, y: model.set_params(warm_start=True).fit(X, y).fit(X, y + 1),
    "none in a first call": lambda model, X, y: model.partial_fit(X, y),
    "others in a later call": lambda model, X, y: model.partial_fit(X, y, classes=[0, 1, 2]).partial_fit(
        X, y, classes=[0, 1, 3]
    ),
    "unknown labels": lambda model, X, y: model.partial_fit(X, y, classes=[0, 1, 2]).partial_fit(X, y + 1),
    "unknown labels at first": lambda model, X, y: model.partial_fit(X, y, classes=[0, 1]),
}


@pytest.mark.parametrize("kind", CLASSES)
def test_classes_that_do_not_fit_are_refused_as_in_scikit_learn(kind):
    X, y = ties("noisy")
    errors = []
    for Mlp in (MLPClassifier, THEIRS[MLPClassifier]):
        with pytest.raises(ValueError) as told:
            CLASSES[kind](Mlp((3,), max_iter=1, random_state=0), X, y)
        errors.append(sorted(re.findall(r"\w+", str(told.value))))
    assert errors[0] == errors[1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_of_rows_are_let_in_up_to_their_bounds(dtype):
    X, y = ties("noisy")
    least = float(np.finfo(dtype).tiny)
    most = 1 / least / 64
    for weight in (0.0, least, most, -least):
        MLPClassifier((2,), max_iter=1).fit(X.astype(dtype), y, np.where(np.arange(64) == 5, weight, 1.0))
    for weight in (np.nextafter(least, 0), np.nextafter(most, np.inf), least / 2):
        with pytest.raises(ValueError, match=rf"in size for {dtype}, got .* in row 5"):
            MLPClassifier((2,), max_iter=1).fit(X.astype(dtype), y, np.where(np.arange(64) == 5, weight, 1.0))
