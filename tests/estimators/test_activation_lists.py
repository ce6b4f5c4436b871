"""Estimators with one activation for each hidden layer: fits, initial weights, copies, searches, and what is rejected."""

import copy
import pickle

import numpy as np
import pytest
import reference
from estimator_problems import diabetes, digits, scaled
from fastmlp import MLPClassifier, MLPRegressor
from fastmlp.activations import TABLE
from problems import assert_close, assert_equal_bits
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

HIDDEN = (6, 5, 4)
CASES = [
    (["tanh", "logistic", "relu"], None),  # logistic has another factor of its initial weights
    (["logistic", "leaky_relu", "silu"], [None, {"slope": 0.3}, None]),
    (["mish", "elu", "logistic"], [None, {"alpha": 0.3}, None]),
    ("elu", [{"alpha": 0.3}, None, {"alpha": 2.0}]),
]
EVERY_CASE = pytest.mark.parametrize("activation, settings", CASES, ids=["0", "1", "2", "own settings"])


def estimator(Mlp, activation, settings=None, **more):
    more = {"max_iter": 4, "random_state": 1, "hidden_layer_sizes": HIDDEN, **more}
    return Mlp(activation=activation, activation_settings=settings, **more)


PROBLEMS = {MLPClassifier: (scaled(load_iris), "cross_entropy"), MLPRegressor: (diabetes(), "squared_error")}


def oracle_activations(activation, settings):
    names = [activation] * 3 if isinstance(activation, str) else activation
    of_each = [None] * 3 if settings is None else settings
    return [reference.with_settings(reference.ACTIVATIONS, n, **(s or {})) for n, s in zip(names, of_each)], names


@EVERY_CASE
@pytest.mark.parametrize("Mlp", PROBLEMS)
def test_fits_follow_the_oracle_from_scikit_learns_initial_weights(Mlp, activation, settings):
    (X, y), loss = PROBLEMS[Mlp]
    sgd = dict(solver="sgd", momentum=0, alpha=0, batch_size=32, shuffle=False, learning_rate_init=0.1)
    model = estimator(Mlp, activation, settings, **sgd).fit(X, y)
    parts, names = oracle_activations(activation, settings)
    rng, weights, biases = np.random.RandomState(1), [], []
    sizes = (X.shape[1], *HIDDEN, model.n_outputs_)
    for name, inputs, outputs in zip([*names, names[-1]], sizes, sizes[1:]):
        bound = np.sqrt(TABLE[name].scikit_learn_factor / (inputs + outputs))
        weights.append(rng.uniform(-bound, bound, (inputs, outputs)))
        biases.append(rng.uniform(-bound, bound, outputs))
    orders = [np.arange(len(X))] * 4
    expected = reference.train(
        weights, biases, X, y.reshape(len(y), -1) if loss == "squared_error" else y, orders, 32,
        reference.SGD(0.1), activation=parts, loss=loss,
    )  # fmt: skip
    assert_close(model.coefs_ + model.intercepts_, expected[0] + expected[1], 1e-12)
    outputs = reference.forward(*expected[:2], X, parts, loss)
    found = model.predict_proba(X) if Mlp is MLPClassifier else model.predict(X)[:, None]
    assert_close([found], [outputs], 1e-12)
    assert_close([model.to_network().forward(X)], [outputs], 1e-12)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("Mlp", PROBLEMS)
def test_a_list_of_equal_activations_is_one_of_them(Mlp, solver):
    (X, y), _ = PROBLEMS[Mlp]
    for name, settings in (("tanh", None), ("logistic", None), ("elu", {"alpha": 0.3})):
        one = estimator(Mlp, name, settings, solver=solver).fit(X, y)
        for names, given in (([name] * 3, settings), ((name,) * 3, [settings] * 3)):
            several = estimator(Mlp, names, given, solver=solver).fit(X, y)
            assert_equal_bits(several.coefs_ + several.intercepts_, one.coefs_ + one.intercepts_)
            assert several.to_network().spec == one.to_network().spec


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@EVERY_CASE
def test_copies_are_the_same_model(activation, settings, solver):
    (X, y), _ = PROBLEMS[MLPClassifier]
    model = estimator(MLPClassifier, activation, settings, solver=solver).fit(X, y)
    assert model.get_params()["activation"] is activation and model.get_params()["activation_settings"] is settings
    again = clone(model).fit(X, y)
    assert again.activation == activation and again.activation_settings == settings
    for other in (again, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert_equal_bits(other.coefs_, model.coefs_)
        np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))
    assert model.to_network().activation == (("elu",) * 3 if isinstance(activation, str) else tuple(activation))


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_single_rows_and_many_have_the_bits_of_the_network(kind):
    X, y = digits()
    X = (X / 16).astype(kind)
    model = estimator(MLPClassifier, ["relu", "tanh", "mish"]).fit(X, y)
    outputs = model.to_network().forward(X)
    np.testing.assert_array_equal(model.predict_proba(X), outputs)
    for i in range(3):
        np.testing.assert_array_equal(model.predict_proba(X[i : i + 1]), outputs[i : i + 1])


def test_a_search_over_activations():
    (X, y), _ = PROBLEMS[MLPClassifier]
    choices = ["tanh", ["tanh", "relu", "gelu"], ("elu", "elu", "silu")]
    search = GridSearchCV(estimator(MLPClassifier, "relu"), {"activation": choices}, cv=2).fit(X, y)
    assert [params["activation"] for params in search.cv_results_["params"]] == choices
    assert search.best_estimator_.activation in choices


@pytest.mark.parametrize("partial", [False, True])
def test_activations_may_change_between_calls(partial):
    (X, y), _ = PROBLEMS[MLPRegressor]
    sgd = dict(solver="sgd", momentum=0, alpha=0, batch_size=len(X), max_iter=1, learning_rate_init=1e-3)
    model = estimator(MLPRegressor, "tanh", warm_start=not partial, **sgd)
    train = model.partial_fit if partial else model.fit
    train(X, y)
    for activation, settings in (*CASES, ("relu", None)):
        before = model.set_params(activation=activation, activation_settings=settings).to_network()
        train(X, y)
        assert model.loss_ == pytest.approx(before.evaluate(X, y).loss, rel=1e-12)
        assert model.to_network().spec == before.spec


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(activation=["relu", "tanh"]), "each hidden layer, 3 of them, got 2"),
        (dict(activation=["relu", "tanh", "rleu"]), "did you mean 'relu'"),
        (dict(activation=["relu", "tanh", 1]), "must be one of .* got 1"),
        (dict(activation=1), "'activation' parameter"),
        (dict(activation="rleu"), "'activation' parameter"),
        (dict(activation_settings=[None, None]), "activation_settings must .* 3 of them, got 2"),
        (dict(activation_settings=[None, {"slope": 1.0}, None]), "of 'relu' must be empty, got 'slope'"),
        (dict(hidden_layer_sizes=(6, 5), activation=["relu"] * 3), "each hidden layer, 2 of them, got 3"),
    ],
)
@pytest.mark.parametrize("Mlp", PROBLEMS)
def test_wrong_activations_change_nothing(Mlp, change, message):
    (X, y), _ = PROBLEMS[Mlp]
    model = estimator(Mlp, "relu").fit(X, y)
    coefs, parameters = [w.copy() for w in model.coefs_], model.get_params()
    with pytest.raises((ValueError, TypeError), match=message):
        model.set_params(**change).fit(X, y)
    assert_equal_bits(model.coefs_, coefs)
    if "hidden_layer_sizes" not in change and "parameter" not in message:
        with pytest.raises((ValueError, TypeError), match=message):
            model.predict(X)
    model.set_params(**parameters).predict(X)


def test_a_model_without_hidden_layers():
    (X, y), _ = PROBLEMS[MLPClassifier]
    models = [estimator(MLPClassifier, names, hidden_layer_sizes=()).fit(X, y) for names in ("relu", [])]
    assert_equal_bits(models[1].coefs_, models[0].coefs_)
