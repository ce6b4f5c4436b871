"""Targets and weights of the tabular estimators: objectives, quantiles, scales, class weights."""

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6", reason="needs scikit-learn")

from fastmlp.tabular import RealMLPClassifier, RealMLPRegressor, TabMRegressor  # noqa: E402
from sklearn.metrics import r2_score  # noqa: E402
from sklearn.model_selection import cross_val_score  # noqa: E402
from small_tables import SMALL, friedman  # noqa: E402


@pytest.mark.parametrize("kind", [RealMLPClassifier, RealMLPRegressor])
def test_missing_values_of_y_are_named(kind):
    """Those of X are allowed."""
    y = np.arange(20) % 2.0
    y[3] = np.nan
    with pytest.raises(ValueError, match="Input y contains NaN"):
        kind(n_epochs=1).fit(np.ones((20, 2)), y)


def test_targets_of_text_are_rejected():
    X, y = friedman()
    with pytest.raises(TypeError, match=r"y must be an array of real numbers, got dtype <U.*: pass y.astype\(float\)"):
        RealMLPRegressor(**SMALL).fit(X, y.astype(str))


def test_quantiles():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (1500, 2))
    y = X[:, 0] + rng.normal(size=1500)
    settings = SMALL | {"n_epochs": 60, "variant": "TD-S", "lr": 0.02}
    model = RealMLPRegressor(objective="quantile", quantiles=(0.1, 0.5, 0.9), **settings).fit(X, y)
    predictions = model.predict(X)
    assert predictions.shape == (1500, 3)
    np.testing.assert_allclose((y[:, None] < predictions).mean(axis=0), (0.1, 0.5, 0.9), atol=0.06)
    assert "val_pinball" in model.history_


def test_quantiles_of_several_targets():
    """A column for each quantile of the first target, then of the second one."""
    X, y = friedman()
    both = np.stack([y, y + 1000], axis=1)
    model = RealMLPRegressor(objective="quantile", quantiles=(0.1, 0.9), **SMALL).fit(X, both)
    predictions = model.predict(X)
    assert predictions.shape == (300, 4)
    assert (predictions[:, :2] < 500).all() and (predictions[:, 2:] > 500).all()
    for target in (0, 1):
        low, high = predictions[:, 2 * target : 2 * target + 2].T
        assert (low < high).mean() > 0.9
        assert np.corrcoef(low, both[:, target])[0, 1] > 0.5


@pytest.mark.parametrize("objective", ["absolute_error", "huber"])
def test_objectives_that_outliers_do_not_move(objective):
    X, y = friedman(400)
    y = y.copy()
    y[::10] += 300
    clean = np.arange(400) % 10 != 0
    model = RealMLPRegressor(objective=objective, variant="TD-S", **(SMALL | {"n_epochs": 60})).fit(X, y)
    assert "val_mae" in model.history_
    squared = RealMLPRegressor(variant="TD-S", **(SMALL | {"n_epochs": 60})).fit(X, y)
    error = [np.abs(each.predict(X[clean]) - y[clean]).mean() for each in (model, squared)]
    assert error[0] < error[1]


def test_several_targets():
    X, y = friedman()
    both = np.stack([y, 100 * X[:, 0]], axis=1)
    model = RealMLPRegressor(**(SMALL | {"n_epochs": 60})).fit(X, both)
    assert model.predict(X).shape == (300, 2) and model.predict(X[:0]).shape == (0, 2)
    assert model.score(X, both) > 0.9


def test_predictions_of_td_stay_within_the_range_of_the_training():
    X, y = friedman()
    far = 10 * X
    clamped = RealMLPRegressor(val_fraction=0.0, **SMALL).fit(X, y).predict(far)
    assert clamped.min() >= y.min() - 1e-9 and clamped.max() <= y.max() + 1e-9
    free = RealMLPRegressor(val_fraction=0.0, clamp_output=False, **SMALL).fit(X, y).predict(far)
    assert free.max() > y.max() or free.min() < y.min()


@pytest.mark.parametrize("kind", [RealMLPRegressor, TabMRegressor])
def test_rows_of_weight_zero_have_no_part_in_a_fit(kind):
    X, y = friedman()
    X = X.copy()
    absent = np.arange(300) % 6 == 0
    X[absent], y[absent] = 1e3, 1e5  # instead of missing values
    settings = {"n_epochs": 4, "random_state": 0, "val_fraction": 0.2} | (
        {"d_block": 16, "k": 4} if kind is TabMRegressor else {}
    )
    weights = np.where(absent, 0.0, 1.0 + np.arange(300) % 2)
    found = kind(**settings).fit(X, y, weights)
    expected = kind(**settings).fit(X[~absent], y[~absent], weights[~absent])
    np.testing.assert_array_equal(found.predict(X), expected.predict(X))
    mean = np.average(y[~absent], weights=weights[~absent])
    model = kind(**{**settings, "val_fraction": 0.0}).fit(X, y, weights)
    deviation = np.sqrt(np.average((y[~absent] - mean) ** 2, weights=weights[~absent]))
    np.testing.assert_allclose([model.target_mean_[0], model.target_std_[0]], [mean, deviation], rtol=1e-12)


def test_a_zero_weight_in_all_rows_is_named():
    X, y = friedman()
    labels = (y > np.median(y)).astype(int)
    with pytest.raises(
        ValueError, match="sample_weight and class_weight must leave a row with a weight that is not zero"
    ):
        RealMLPClassifier(class_weight={0: 0, 1: 1}, **SMALL).fit(X, labels, labels == 0)
    with pytest.raises(ValueError, match="the sample_weight of eval_set, times class_weight, must leave a row"):
        RealMLPClassifier(class_weight={0: 0, 1: 1}, **SMALL).fit(X, labels, eval_set=(X, labels, labels == 0))


def test_class_weights_and_sample_weights_are_factors_of_the_loss():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 3))
    y = (X[:, 0] + rng.normal(size=500) > 1.3).astype(int)
    plain, balanced, weighted, other = (
        RealMLPClassifier(class_weight=each, **SMALL)
        for each in (None, "balanced", None, {0: 1.0, 1: 500 / y.sum() - 1})
    )
    weights = np.where(y == 1, 250 / y.sum(), 250 / (500 - y.sum()))
    found = [
        plain.fit(X, y).predict_proba(X)[:, 1],
        balanced.fit(X, y).predict_proba(X)[:, 1],
        weighted.fit(X, y, weights).predict_proba(X)[:, 1],
        other.fit(X, y).predict_proba(X)[:, 1],
    ]
    assert found[1].mean() > 1.3 * found[0].mean()
    np.testing.assert_allclose(found[2], found[1], atol=1e-4)
    np.testing.assert_allclose(found[3], found[1], atol=1e-4)
    assert np.array_equal(weighted.fit(X, y, 2.0**20 * weights).predict_proba(X)[:, 1], found[2])  # only ratios matter


def test_class_weights_of_labels_that_y_lacks():
    """As in scikit-learn: ignored beside weights of all classes, an error otherwise."""
    X, y = friedman()
    y = np.where(y > 14, 2, 0)
    found = [
        RealMLPClassifier(class_weight=each, **SMALL).fit(X, y).predict_proba(X)
        for each in ({0: 1, 2: 3}, {0: 1, 1: 50, 2: 3})
    ]
    assert np.array_equal(*found)
    for wrong in ({-1: 50}, {0: -1}, {0: np.nan}, {0: 0, 2: 0}):
        with pytest.raises(ValueError, match="class_weight"):
            RealMLPClassifier(class_weight=wrong, **SMALL).fit(X, y)


def test_class_weights_also_weight_an_eval_set():
    X, y = friedman()
    y = (y > 18).astype(int)
    model = RealMLPClassifier(class_weight={0: 1, 1: 100}, **SMALL).fit(X[:200], y[:200], eval_set=(X[200:], y[200:]))
    wrong = model.predict(X[200:]) != y[200:]
    assert model.best_scores_[0] == pytest.approx(np.average(wrong, weights=np.where(y[200:], 100, 1)))


def test_balanced_class_weights_are_those_of_the_training_labels():
    """Also where the classes of an eval_set have other shares, or one is absent."""
    X, y = friedman()
    y = np.digitize(y, [10, 18])
    weights = {label: 300 / (3 * count) for label, count in enumerate(np.bincount(y))}
    chosen = np.concatenate([np.flatnonzero(y == 0)[:5], np.flatnonzero(y == 1)[:40]])
    expected, found = (
        RealMLPClassifier(class_weight=each, **SMALL).fit(X, y, eval_set=(X[chosen], y[chosen]))
        for each in (weights, "balanced")
    )
    assert found.history_["val_error"] == expected.history_["val_error"]
    assert np.array_equal(found.predict_proba(X), expected.predict_proba(X))


@pytest.mark.parametrize("metric", ["rmse", "mae"])
@pytest.mark.parametrize("scale", [2.0**-700, 2.0**-40, 2.0**40, 2.0**900])  # whose squares are not all in the range
def test_targets_of_any_scale(scale, metric):
    X, y = friedman()
    expected, found = (RealMLPRegressor(validation_metric=metric, **SMALL).fit(X, factor * y) for factor in (1, scale))
    np.testing.assert_array_equal(found.predict(X) / scale, expected.predict(X))
    scores, scaled = expected.history_[f"val_{metric}"], found.history_[f"val_{metric}"]
    np.testing.assert_array_equal(np.divide(scaled, scale), scores)


@pytest.mark.parametrize("kind", [RealMLPRegressor, TabMRegressor])
def test_a_constant_target_is_predicted_exactly(kind):
    """The networks' outputs, which are not exactly 0, have no part in it."""
    X, y = friedman()
    both = np.stack([y, np.full(300, 1e-7)], axis=1)
    settings = {"n_epochs": 3, "random_state": 0, "clamp_output": False}
    model = kind(**settings, **({"d_block": 16, "k": 4} if kind is TabMRegressor else {"hidden_sizes": (16,)}))
    predictions = model.fit(X, both).predict(X)
    assert (predictions[:, 1] == 1e-7).all() and predictions[:, 0].std() > 0.1
    assert (model.fit(X, both[:, 1]).predict(X) == 1e-7).all() and model.best_scores_ == [0.0]
    assert model.fit(X, both[:, 1], 0.1 + X[:, 0]).target_std_ == [0]  # though its weighted mean is rounded


def test_the_score_of_quantiles_is_that_of_the_one_nearest_to_the_median():
    X, y = friedman()
    model = RealMLPRegressor(objective="quantile", quantiles=(0.1, 0.4, 0.9), **SMALL).fit(X, y)
    assert model.score(X, y) == r2_score(y, model.predict(X)[:, 1])
    weights = np.arange(300)
    assert model.score(X, y, weights) == r2_score(y, model.predict(X)[:, 1], sample_weight=weights)
    two = RealMLPRegressor(objective="quantile", quantiles=(0.1, 0.4, 0.9), **SMALL).fit(X, np.c_[y, -y])
    assert two.score(X, np.c_[y, -y]) == r2_score(np.c_[y, -y], two.predict(X)[:, [1, 4]])
    assert np.isfinite(cross_val_score(model.set_params(n_epochs=2), X, y, cv=2)).all()


def test_gradients_are_those_of_the_mean_over_all_outputs():
    """As in pytabkit, whose squared error has no factor 1/2; each update of TabM clips them."""
    for objective, quantiles, outputs, factor in (
        ("squared_error", 0.5, 2, 2 / 2),
        ("absolute_error", 0.5, 2, 1 / 2),
        ("quantile", (0.1, 0.5, 0.9), 6, 1 / 6),
    ):
        model = RealMLPRegressor(objective=objective, quantiles=quantiles)
        model.n_outputs_ = 2
        goal = model._goal(model._resolved())
        assert (goal.outputs, goal.gradient_factor) == (outputs, factor)
