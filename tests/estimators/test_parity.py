"""MLPClassifier and MLPRegressor are scikit-learn's models to the digit, also at bounds and ties."""

import re

import numpy as np
import pytest
from estimator_problems import (
    THEIRS,
    assert_same_attributes,
    assert_same_model,
    counts,
    diabetes,
    digits,
    labels_as_text,
    many_labels,
    row_weights,
    scaled,
    ties,
)
from fastmlp import MLPClassifier, MLPRegressor
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    load_iris,
    load_linnerud,
    load_wine,
    make_multilabel_classification,
)
from sklearn.metrics import r2_score

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


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
    "CSR": (lambda: digits(sparse.csr_matrix), dict(max_iter=15, batch_size=100)),
    "CSC, early stopping": (lambda: digits(sparse.csc_array), dict(max_iter=15, early_stopping=True)),
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


def same_fits(Ours, load, settings):
    settings = dict(settings)
    X, y = load()
    fit = {"sample_weight": row_weights(X.shape[0])} if settings.pop("weighted", False) else {}
    ours = Ours(random_state=3, **settings).fit(X, y, **fit)
    return ours, THEIRS[Ours](random_state=3, **settings).fit(X, y, **fit), X, y


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
        for i, activation in enumerate(["relu", "relu", "tanh", "tanh", "relu"]):
            model.set_params(activation=activation).partial_fit(X[i::5], y[i::5], classes=[0, 1, 2])
    assert_same_model(*models)
    for model in models:
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


def test_regression_scores_are_scikit_learns():
    X, y = diabetes()
    model = MLPRegressor(max_iter=5, random_state=0).fit(X, y, eval_set=(X, y))
    assert model.validation_scores_[-1] == pytest.approx(r2_score(y, model.predict(X)))


RULES = {
    "adam": dict(solver="adam", learning_rate_init=0.05),
    "sgd": dict(solver="sgd", learning_rate_init=0.3),
    "sgd, invscaling": dict(solver="sgd", learning_rate_init=0.5, learning_rate="invscaling"),
    "sgd, adaptive": dict(solver="sgd", learning_rate_init=0.3, learning_rate="adaptive"),
    "sgd, adaptive, at its end": dict(solver="sgd", learning_rate_init=1e-6, learning_rate="adaptive"),
}


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


@pytest.mark.parametrize("stopping", [dict(early_stopping=True), dict(early_stopping=True, validation_fraction=0.3)])
def test_the_split_of_many_labels_is_scikit_learns(stopping):
    X, y = make_multilabel_classification(n_samples=60, n_classes=4, random_state=0)
    models = [
        Either(random_state=0, max_iter=8, **stopping).fit(X, y) for Either in (MLPClassifier, THEIRS[MLPClassifier])
    ]
    np.testing.assert_allclose(models[0].validation_scores_, models[1].validation_scores_)
    for ours, theirs in zip(models[0].coefs_, models[1].coefs_):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


# Data with nothing to learn from, or hardly any.

DEGENERATE_X = {
    "rows": lambda rows: np.random.default_rng(0).normal(size=(rows, 4)),
    "constant": lambda rows: np.ones((rows, 4)),
    "zeros": lambda rows: np.zeros((rows, 4)),
    "one constant column": lambda rows: np.c_[np.random.default_rng(0).normal(size=(rows, 3)), np.full(rows, 7.0)],
    "one feature": lambda rows: np.random.default_rng(0).normal(size=(rows, 1)),
}
DEGENERATE_Y = {
    "one class": lambda rows: np.zeros(rows, int),
    "one class of text": lambda rows: np.full(rows, "a"),
    "one row of its class": lambda rows: np.r_[1, np.zeros(rows - 1, int)],
    "three classes": lambda rows: np.arange(rows) % 3,
    "labels, one constant": lambda rows: np.stack([np.arange(rows) % 2, np.ones(rows, int)], axis=1),
    "no labels": lambda rows: np.zeros((rows, 3), int),
    "reals": lambda rows: np.random.default_rng(1).normal(size=rows),
    "constant reals": lambda rows: np.full(rows, 3.0),
    "two constant targets": lambda rows: np.ones((rows, 2)),
}


def of_degenerate(Mlp, X, y, settings):
    """Attributes, curves, scores and predictions, or the error."""
    model = Mlp(hidden_layer_sizes=(5,), max_iter=4, random_state=0, **settings)
    try:
        model.fit(X, y)
    except ValueError as error:
        return {"error": str(error)}
    names = (
        "loss_",
        "loss_curve_",
        "best_loss_",
        "validation_scores_",
        "best_validation_score_",
        "n_iter_",
        "classes_",
    )
    found = {name: np.array(getattr(model, name)) for name in names if getattr(model, name, None) is not None}
    found |= {"predict": model.predict(X), "score": model.score(X, y)}
    if hasattr(model, "predict_proba"):
        found["predict_proba"] = model.predict_proba(X)
    if settings.get("solver") != "lbfgs" and not settings.get("early_stopping"):
        found["partial_fit"] = model.partial_fit(X, y).loss_
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("rows", [1, 2, 9, 30])
@pytest.mark.parametrize("target", DEGENERATE_Y)
def test_degenerate_data_end_as_in_scikit_learn(target, rows):
    Mlp = MLPRegressor if DEGENERATE_Y[target](2).dtype == float else MLPClassifier
    for name, make in DEGENERATE_X.items():
        X, y = make(rows), DEGENERATE_Y[target](rows)
        for settings in ({}, {"early_stopping": True}, {"early_stopping": True, "validation_fraction": 0.5},
                         {"solver": "sgd", "batch_size": min(7, rows)}, {"solver": "lbfgs"}):  # fmt: skip
            ours, theirs = (of_degenerate(each, X, y, settings) for each in (Mlp, THEIRS[Mlp]))
            assert ours.keys() == theirs.keys(), (name, settings)
            for key, expected in theirs.items():
                if isinstance(expected, str) or np.asarray(expected).dtype.kind in "US":
                    assert np.array_equal(ours[key], expected), (name, settings)
                else:
                    # L-BFGS' search may end elsewhere along directions that change nothing
                    tolerance = 1e-4 if settings.get("solver") == "lbfgs" else 1e-9
                    np.testing.assert_allclose(
                        ours[key], expected, rtol=tolerance, atol=1e-9, err_msg=f"{name} {settings}"
                    )
