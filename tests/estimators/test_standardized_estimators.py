"""standardize=True in the estimators: the model of one that is fitted on rows that were standardized before."""

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn")

import scipy.sparse
from fastmlp import Ensemble, MLPClassifier, MLPRegressor
from problems import assert_equal_bits
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 5)) * [1e-3, 1, 10, 1e3, 1e4] + [0, 5, -100, 1e3, 3e5]
CLASSES = (X[:, 1] > 5).astype(int) + (X[:, 2] > -100)
TARGETS = 1e4 + 20 * np.stack([np.sin(X[:, 1]), X[:, 3] / 1e3], axis=1)
WEIGHTS = RNG.integers(0, 3, len(X))
COMMON = {"hidden_layer_sizes": (8,), "random_state": 1, "max_iter": 15}

CASES = {
    "adam": {},
    "sgd": {"solver": "sgd", "momentum": 0.5},
    "lbfgs": {"solver": "lbfgs"},
    "early stopping": {"early_stopping": True},
    "on the loss": {"early_stopping": True, "stopping_metric": "loss"},
    "dropout": {"dropout": 0.2, "input_dropout": 0.1},
    "batches": {"batch_size": 17, "shuffle": False},
}


def targets_of(Mlp):
    return CLASSES if Mlp is MLPClassifier else TARGETS


def by_hand(model, rows, targets=None):
    known = model.standardization_
    Z = ((rows - known.input_mean) * (1 / known.input_std)).astype(rows.dtype)
    if targets is None or known.target_std is None:
        return Z, targets
    return Z, ((targets - known.target_mean) / known.target_std).astype(rows.dtype)


def in_units(model, outputs):
    known = model.standardization_
    return (
        outputs if known.target_std is None else (outputs * known.target_std + known.target_mean).astype(outputs.dtype)
    )


def outputs_of(model, rows):
    return model.predict_proba(rows) if hasattr(model, "predict_proba") else model.predict(rows)


def assert_same(model, plain, rows):
    assert_equal_bits(model.coefs_ + model.intercepts_, plain.coefs_ + plain.intercepts_)
    expected = in_units(model, outputs_of(plain, by_hand(model, rows)[0]))
    np.testing.assert_array_equal(outputs_of(model, rows), expected)
    np.testing.assert_array_equal(outputs_of(model, rows[:1]), expected[:1])  # in place, and not
    outputs = model.to_network().forward(rows)
    np.testing.assert_allclose(
        outputs[:, -expected.shape[1] :], expected, rtol=1e-6 if rows.dtype == np.float32 else 1e-13
    )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("Mlp", [MLPClassifier, MLPRegressor])
def test_a_fit_is_that_on_standardized_rows(Mlp, case, dtype, weighted):
    if case == "lbfgs":
        dtype = "float64"  # in which it computes; rows standardized before would be rounded to float32
    rows, y = X.astype(dtype), targets_of(Mlp)
    weights = WEIGHTS.astype(float) if weighted else None
    model = Mlp(standardize=True, **COMMON, **CASES[case]).fit(rows, y, sample_weight=weights, eval_set=None)
    plain = Mlp(**COMMON, **CASES[case])
    plain.fit(*by_hand(model, rows, y), sample_weight=weights)
    assert_same(model, plain, rows)
    assert model.loss_ == plain.loss_
    for curve in ("loss_curve_", "validation_scores_"):
        found, expected = (getattr(each, curve, None) for each in (model, plain))
        np.testing.assert_allclose(found or [], expected or [], rtol=1e-3 if dtype == "float32" else 1e-9)
    if "early_stopping" not in CASES[case]:
        scaler = StandardScaler().fit(rows.astype(float), sample_weight=weights)
        np.testing.assert_allclose(model.standardization_.input_mean, scaler.mean_, rtol=1e-12)
        np.testing.assert_allclose(model.standardization_.input_std, scaler.scale_, rtol=1e-10)


@pytest.mark.parametrize("Mlp", [MLPClassifier, MLPRegressor])
def test_rows_of_early_stopping_are_not_learned_from(Mlp):
    """Rows that are held out do not change what is learned; others do."""
    y, known = targets_of(Mlp), []
    for changed in [None, *range(len(X))]:
        rows = X.copy()
        if changed is not None:
            rows[changed] *= 2
        model = Mlp(standardize=True, early_stopping=True, validation_fraction=0.25, **{**COMMON, "max_iter": 1}).fit(
            rows, y
        )
        known.append(model.standardization_.input_mean)
    unchanged = sum(np.array_equal(mean, known[0]) for mean in known[1:])
    assert unchanged == len(X) // 4


@pytest.mark.parametrize("Mlp", [MLPClassifier, MLPRegressor])
def test_eval_sets_are_in_the_units_of_fit(Mlp):
    y = targets_of(Mlp)
    model = Mlp(standardize=True, **COMMON).fit(X[:80], y[:80], eval_set=(X[80:], y[80:]))
    assert model.validation_scores_[-1] == model.score(X[80:], y[80:])
    plain = Mlp(**COMMON).fit(*by_hand(model, X[:80], y[:80]), eval_set=by_hand(model, X[80:], y[80:]))
    assert model.validation_loss_curve_ == plain.validation_loss_curve_


def test_a_first_call_of_few_rows_warns():
    model = MLPRegressor(standardize=True, **COMMON)
    with pytest.warns(UserWarning, match="the first call of partial_fit has 29 rows, .* begin with more rows"):
        model.partial_fit(X[:29], X[:29, 0])
    model.partial_fit(X[:5], X[:5, 0])
    MLPRegressor(standardize=True, **COMMON).partial_fit(X[:30], X[:30, 0])
    MLPRegressor(**COMMON).partial_fit(X[:5], X[:5, 0])


@pytest.mark.parametrize("Mlp", [MLPClassifier, MLPRegressor])
def test_later_calls_keep_what_the_first_has_learned(Mlp):
    y, more = targets_of(Mlp), {"classes": [0, 1, 2]} if Mlp is MLPClassifier else {}
    model, plain = Mlp(standardize=True, **COMMON), Mlp(**COMMON)
    model.partial_fit(X[:60], y[:60], **more)
    first = model.standardization_
    np.testing.assert_allclose(first.input_mean, X[:60].mean(axis=0))
    model.partial_fit(X[60:], y[60:])
    assert model.standardization_ is first
    for part in (slice(60), slice(60, None)):
        plain.partial_fit(*by_hand(model, X[part], y[part]), **more)
    assert_same(model, plain, X)
    warm = Mlp(standardize=True, warm_start=True, **COMMON).fit(X, y)
    second = warm.standardization_
    warm.fit(X[::2], y[::2])
    assert warm.standardization_ is second
    warm.set_params(warm_start=False).fit(X[::2], y[::2])
    assert warm.standardization_ is not second
    assert warm.set_params(standardize=False).fit(X, y).standardization_ is None


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("first", [True, False])
def test_later_calls_cannot_change_it(method, first):
    model = MLPClassifier((4,), max_iter=2, warm_start=True, standardize=first, random_state=0).fit(X, CLASSES)
    before = model.predict_proba(X)
    model.set_params(standardize=not first)
    with pytest.raises(ValueError, match=f"standardize={first} cannot change .* got {not first}"):
        getattr(model, method)(X, CLASSES)
    np.testing.assert_array_equal(model.predict_proba(X), before)
    model.set_params(warm_start=False).fit(X, CLASSES)
    assert (model.standardization_ is None) == first


@pytest.mark.parametrize("Mlp", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("rows", ["all", "bootstrap", "folds"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_each_member_of_an_ensemble_learns_from_its_rows(Mlp, rows, solver):
    y = targets_of(Mlp)
    model = Mlp(standardize=True, n_ensemble=2, ensemble_rows=rows, solver=solver, **COMMON).fit(X, y)
    first, second = (member.standardization_ for member in model.estimators_)
    assert np.array_equal(first.input_mean, second.input_mean) == (rows == "all")
    if rows == "folds":
        np.testing.assert_allclose(first.input_mean + second.input_mean, 2 * X.mean(axis=0), rtol=1e-9)
    assert not hasattr(model, "standardization_") and isinstance(model.to_network(), Ensemble)
    outputs = model.to_network().forward(X)
    np.testing.assert_allclose(outputs, outputs_of(model, X), rtol=1e-12)


def test_sparse_rows_stay_sparse():
    rows = scipy.sparse.random(120, 300, 0.05, format="csr", random_state=0) * 50
    dense, y = rows.toarray(), CLASSES
    model = MLPClassifier(standardize=True, **COMMON).fit(rows, y)
    plain = MLPClassifier(**COMMON).fit(scipy.sparse.csr_matrix(by_hand(model, dense)[0]), y)
    assert_same(model, plain, dense)
    np.testing.assert_array_equal(model.predict_proba(rows), model.predict_proba(dense))
    for each in (rows.tocsc(), rows.tocoo(), rows[:1]):
        np.testing.assert_array_equal(model.predict_proba(each), model.predict_proba(each.toarray()))
    with pytest.raises(ValueError, match="X must be dense .* got a sparse matrix"):
        MLPClassifier(standardize=True, **COMMON).fit(dense, y).predict(rows)


def test_copies_know_it():
    model = MLPRegressor(standardize=True, **COMMON).fit(X, TARGETS)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))
    assert clone(model).standardize is True and not hasattr(clone(model), "standardization_")


def test_callbacks_predict_in_the_units_of_the_targets():
    model, found = MLPRegressor(standardize=True, **COMMON), []
    model.fit(X, TARGETS, callbacks=[lambda info: found.append((model.predict(X), info.network.forward(X)))])
    for of_estimator, of_network in found:
        np.testing.assert_array_equal(of_estimator, of_network)
        assert abs(of_estimator.mean() / TARGETS.mean() - 1) < 0.1


def test_rows_outside_of_the_range_are_found():
    model = MLPRegressor(standardize=True, **COMMON).fit((X * [1e-25, 1, 1, 1, 1]).astype(np.float32), TARGETS)
    rows = X.astype(np.float32)
    rows[3, 0] = 1e20
    with pytest.raises(ValueError, match=r"range of float32 when it is standardized, got 1.0+e?.*20 at \[3, 0\]"):
        model.predict(rows)
