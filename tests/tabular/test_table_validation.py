"""Validation of the tabular estimators: eval_set, metrics, refit and calibration."""

import math
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from fastmlp import epoch_loop

pytest.importorskip("sklearn", minversion="1.6", reason="needs scikit-learn")

from fastmlp.tabular import RealMLPClassifier, RealMLPRegressor, TabMRegressor, scores  # noqa: E402
from sklearn import config_context  # noqa: E402
from sklearn.metrics import (  # noqa: E402
    log_loss,
    mean_absolute_error,
    mean_pinball_loss,
    mean_squared_error,
    r2_score,
    zero_one_loss,
)
from sklearn.pipeline import Pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from small_tables import SMALL, friedman  # noqa: E402


def test_an_eval_set_that_is_scaled_in_another_way_warns():
    X, y = friedman()
    with pytest.warns(UserWarning, match="half of the columns of eval_set"):
        RealMLPRegressor(**SMALL).fit(X[:200], y[:200], eval_set=(X[200:] + 100, y[200:]))


def test_eval_set_replaces_the_split():
    X, y = friedman()
    model = RealMLPRegressor(**SMALL).fit(X[:200], y[:200], eval_set=(X[200:], y[200:]))
    rmse = np.sqrt(np.mean((model.predict(X[200:]) - y[200:]) ** 2))
    assert model.best_scores_[0] == pytest.approx(rmse)
    assert model.best_scores_[0] == min(model.history_["val_rmse"])
    assert model.history_["val_rmse"][model.best_epochs_[0] - 1] == model.best_scores_[0]
    assert model.target_mean_[0] == pytest.approx(y[:200].mean())
    weights = np.zeros(100)
    weights[:10] = np.arange(1, 11)
    model = RealMLPRegressor(**SMALL).fit(X[:200], y[:200], eval_set=(X[200:], y[200:], weights))
    rmse = np.sqrt(np.average((model.predict(X[200:210]) - y[200:210]) ** 2, weights=weights[:10]))
    assert model.best_scores_[0] == pytest.approx(rmse)
    with pytest.raises(ValueError, match="refit=True needs rows"):
        RealMLPRegressor(refit=True, **SMALL).fit(X, y, eval_set=(X, y))
    for wrong, message in ((X, "must be .* got ndarray"), ((X, None), "must hold y, got None")):
        with pytest.raises(TypeError, match=f"eval_set {message}"):
            RealMLPRegressor(**SMALL).fit(X, y, eval_set=wrong)
    with pytest.raises(ValueError, match="has the label 7, which y lacks"):
        RealMLPClassifier(**SMALL).fit(X, y > 14, eval_set=(X[:2], [0, 7]))


def test_eval_sets_have_the_forms_of_the_other_estimators():
    X, y = friedman()
    settings = SMALL | {"n_epochs": 2}
    expected = RealMLPRegressor(**settings).fit(X[:200], y[:200], eval_set=(X[200:], y[200:])).best_scores_
    for arguments in (dict(eval_set=[(X[200:], y[200:])]), dict(eval_X=X[200:], eval_y=y[200:])):
        assert RealMLPRegressor(**settings).fit(X[:200], y[:200], **arguments).best_scores_ == expected
    with pytest.raises(TypeError, match="eval_X and eval_y belong together, got eval_X alone"):
        RealMLPRegressor(**settings).fit(X, y, eval_X=X)
    with config_context(enable_metadata_routing=True):
        model = RealMLPRegressor(**settings).set_fit_request(eval_X=True, eval_y=True)
        pipeline = Pipeline([("scale", StandardScaler()), ("net", model)], transform_input=["eval_X"])
        pipeline.fit(X[:200], y[:200], eval_X=X[200:], eval_y=y[200:])
    scaler = StandardScaler().fit(X[:200])
    by_hand = RealMLPRegressor(**settings).fit(
        scaler.transform(X[:200]), y[:200], eval_set=(scaler.transform(X[200:]), y[200:])
    )
    assert pipeline[-1].best_scores_ == by_hand.best_scores_


def test_without_validation_rows_the_last_epoch_is_kept():
    X, y = friedman()
    model = RealMLPRegressor(val_fraction=0.0, **SMALL).fit(X, y)
    assert model.best_epochs_ == [30] and np.isnan(model.best_scores_[0])
    assert "val_rmse" not in model.history_


def test_refit_trains_on_all_rows_for_the_best_number_of_epochs():
    """Each network for its own, along the schedule of all epochs."""
    X, y = friedman()
    settings = SMALL | {"n_ensemble": 2, "wd_sched": None, "p_drop_sched": None}
    model = RealMLPRegressor(refit=True, lr_sched=lambda t: 1.0 if t < 0.12 else 0.5, **settings).fit(X, y)
    split = RealMLPRegressor(lr_sched=lambda t: 1.0 if t < 0.12 else 0.5, **settings).fit(X, y)
    assert model.best_epochs_ == split.best_epochs_ and len(set(model.best_epochs_)) == 2
    table = model.preparation_.transform(X)
    for network, epochs in enumerate(model.best_epochs_):
        schedule = lambda t: 1.0 if t * epochs / 30 < 0.12 else 0.5  # noqa: B023, E731
        once = RealMLPRegressor(val_fraction=0.0, lr_sched=schedule, **settings | {"n_epochs": epochs}).fit(X, y)
        found, expected = (each.networks_[network].forward(table, 1) for each in (model, once))
        np.testing.assert_array_equal(found, expected)


def test_the_time_limit_does_not_shorten_the_refit(monkeypatch):
    """Whose epochs take longer, because it has all rows."""
    calls = iter(range(1000))
    monkeypatch.setattr(epoch_loop, "time", SimpleNamespace(perf_counter=lambda: next(calls) ** 2))
    X, y = friedman()
    scores_of_epochs = iter(range(1000, 0, -1))  # the last epoch is best
    settings = SMALL | {"lr_sched": None, "wd_sched": None, "p_drop_sched": None}
    model = RealMLPRegressor(
        refit=True, time_limit=30, validation_metric=lambda y, predictions: next(scores_of_epochs), **settings
    ).fit(X, y)
    (epochs,) = model.best_epochs_
    assert 2 < epochs < settings["n_epochs"]
    once = RealMLPRegressor(val_fraction=0.0, **settings | {"n_epochs": epochs}).fit(X, y)
    assert np.array_equal(model.predict(X), once.predict(X))


@pytest.mark.parametrize("kind, best", [(TabMRegressor, 1), (RealMLPRegressor, 3)])
def test_an_infinite_score_is_a_score(kind, best):
    """TabM keeps the first of equally good epochs, RealMLP the last."""
    X, y = friedman()
    settings = {"k": 2, "d_block": 8} if kind is TabMRegressor else {"hidden_sizes": (8,)}
    model = kind(n_epochs=3, random_state=0, validation_metric=lambda y, predictions: math.inf, **settings).fit(X, y)
    assert (model.best_epochs_, model.best_scores_) == ([best], [math.inf])


def test_a_temperature_lowers_the_cross_entropy_of_the_validation_rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 4))
    y = (X[:, 0] + 2 * rng.normal(size=600) > 0).astype(int)
    settings = SMALL | {"ls_eps": 0.0, "n_epochs": 60}
    args = (X[:300], y[:300]), {"eval_set": (X[300:], y[300:])}

    def cost(model):
        return -np.log(model.predict_proba(X[300:])[np.arange(300), y[300:]]).mean()

    plain = RealMLPClassifier(**settings).fit(*args[0], **args[1])
    calibrated = RealMLPClassifier(calibrate=True, **settings).fit(*args[0], **args[1])
    assert calibrated.temperature_ > 1.05  # the network is too sure
    assert cost(calibrated) < cost(plain)
    assert np.array_equal(calibrated.predict(X), plain.predict(X))
    settings["validation_metric"] = lambda labels, probabilities, sample_weight: 0.0  # the last epoch, for all weights
    even, doubtful = (
        RealMLPClassifier(calibrate=True, **settings).fit(*args[0], eval_set=(*args[1]["eval_set"], weights))
        for weights in (np.ones(300), np.where(plain.predict(X[300:]) == y[300:], 1, 10))
    )
    assert doubtful.temperature_ > 1.2 * even.temperature_


def test_a_metric_sees_all_quantiles():
    X, y = friedman()
    shapes = set()

    def metric(targets, predictions):
        shapes.add((targets.shape, predictions.shape))
        return 1.0

    RealMLPRegressor(objective="quantile", quantiles=(0.1, 0.9), validation_metric=metric, **SMALL).fit(X, y)
    assert shapes == {((60,), (60, 2))}


def test_a_metric_may_write_into_what_it_gets():
    X, y = friedman()
    seen = []

    def metric(targets, predictions, sample_weight):
        seen.append((targets.tolist(), sample_weight.tolist()))
        score = float(np.average((targets - predictions) ** 2, weights=sample_weight))
        for each in (targets, predictions, sample_weight):
            each[:] = -1
        return score

    eval_set = (X[:60].copy(), y[:60].copy(), np.linspace(1, 2, 60))
    model = RealMLPRegressor(validation_metric=metric, **SMALL | {"n_epochs": 3}).fit(X[60:], y[60:], eval_set=eval_set)
    assert seen == [(y[:60].tolist(), np.linspace(1, 2, 60).tolist())] * 3
    assert np.array_equal(eval_set[1], y[:60]) and np.array_equal(eval_set[2], np.linspace(1, 2, 60))
    assert np.isfinite(model.predict(X)).all()


def test_a_metric_gets_the_weights_of_rows_that_have_some():
    X, y = friedman()
    labels, weights = (y > 14).astype(int), np.linspace(1, 10, 100)

    def error(labels, probabilities, **more):
        seen.append(more)
        return np.average(probabilities.argmax(axis=1) != labels, weights=more.get("sample_weight"))

    for eval_set in ((X[200:], labels[200:]), (X[200:], labels[200:], weights)):
        seen = []
        fits = [
            RealMLPClassifier(validation_metric=metric, **SMALL).fit(X[:200], labels[:200], eval_set=eval_set)
            for metric in ("error", error)
        ]
        assert fits[1].best_scores_ == pytest.approx(fits[0].best_scores_)
        assert all(list(more) == ["sample_weight"] * (len(eval_set) == 3) for more in seen)
    with pytest.raises(TypeError, match="sample_weight") as caught:
        RealMLPClassifier(validation_metric=lambda y, p: 0.0, class_weight="balanced", **SMALL).fit(X, labels)
    said = "in validation_metric after epoch 1: it gets sample_weight, because the rows have weights"
    assert caught.value.__notes__ == [said]


@pytest.mark.parametrize(
    "value, expected",
    [(Fraction(1, 2), 0.5), (Decimal("0.5"), 0.5), (np.float32(2), 2.0), (np.True_, 1.0), (10**400, math.inf)],
)
def test_numbers_that_a_metric_may_return(value, expected):
    X, y = friedman()
    model = RealMLPRegressor(**SMALL | {"n_epochs": 1}, validation_metric=lambda y, predictions: value).fit(X, y)
    assert model.best_scores_ == [expected]


@pytest.mark.parametrize("value", [None, "0.5", 1j, np.complex128(1), np.timedelta64(1), np.ones(1)])
def test_what_a_metric_may_not_return(value):
    X, y = friedman()
    with pytest.raises(TypeError, match="validation_metric must return a number, got "):
        RealMLPRegressor(**SMALL, validation_metric=lambda y, predictions: value).fit(X, y)


def test_a_metric_of_which_larger_values_are_better_warns():
    X, y = friedman()
    with pytest.warns(UserWarning, match="smaller results of validation_metric are better, .* r2_score"):
        RealMLPRegressor(validation_metric=r2_score, **SMALL | {"n_epochs": 2}).fit(X, y)


def test_calibration_and_refit_need_rows():
    X, y = friedman()
    with pytest.raises(ValueError, match="calibrate=True needs validation rows"):
        RealMLPClassifier(calibrate=True, val_fraction=0.0, **SMALL).fit(X, y > 14)
    with pytest.raises(ValueError, match="refit=True needs validation rows"):
        RealMLPClassifier(refit=True, val_fraction=0.0, **SMALL).fit(X, y > 14)
    for weights, message in (
        (np.zeros(300), "got zeros only"),
        (np.linspace(-1, 2, 300), r"numbers in \[0, 1e\+100\], got -1.0 in row 0"),
        (np.full(300, np.inf), r"numbers in \[0, 1e\+100\], got inf in row 0"),
        (np.ones(2), r"shape \(300,\), got \(2,\)"),
    ):
        with pytest.raises(ValueError, match=f"^the sample_weight of eval_set must .*{message}"):
            RealMLPClassifier(**SMALL).fit(X, y > 14, eval_set=(X, y > 14, weights))
    with pytest.raises(ValueError, match="eval_set must have rows, got none"):
        RealMLPClassifier(**SMALL).fit(X, y > 14, eval_set=(X[:0], y[:0] > 14))
    few = RealMLPClassifier(calibrate=True, ls_eps=0.0, **SMALL).fit(X[:30], y[:30] > 14)
    assert 0.2 < few.temperature_ < 5  # six rows prove little


def test_a_metric_of_the_user_chooses_the_epoch():
    X, y = friedman()
    seen = []

    def metric(targets, predictions):
        seen.append((targets.shape, predictions.shape))
        return float(len(seen) != 5)  # the fifth epoch is best

    model = RealMLPRegressor(validation_metric=metric, **SMALL).fit(X, y)
    assert model.best_epochs_ == [5] and set(seen) == {((60,), (60,))}
    assert min(model.history_["val_metric"]) == model.history_["best_metric"][-1] == model.best_scores_[0]
    model = RealMLPClassifier(validation_metric="cross_entropy", **SMALL).fit(X, y > 14)
    assert model.best_scores_[0] == min(model.history_["val_cross_entropy"])


@pytest.mark.parametrize("weights", [None, np.linspace(0.1, 3, 50)])
def test_scores_are_those_of_scikit_learn(weights):
    rng = np.random.default_rng(0)
    y, predictions = rng.normal(size=(2, 50, 2))
    labels, probabilities = rng.integers(0, 3, 50), rng.dirichlet(np.ones(3), 50)
    assert scores.rmse(y, predictions, weights) ** 2 == pytest.approx(
        mean_squared_error(y, predictions, sample_weight=weights)
    )
    assert scores.mae(y, predictions, weights) == pytest.approx(
        mean_absolute_error(y, predictions, sample_weight=weights)
    )
    assert scores.error_rate(labels, probabilities, weights) == pytest.approx(
        zero_one_loss(labels, probabilities.argmax(axis=1), sample_weight=weights)
    )
    assert scores.cross_entropy(labels, probabilities, weights) == pytest.approx(
        log_loss(labels, probabilities, sample_weight=weights)
    )
    quantiles = rng.normal(size=(50, 2, 3))  # of each target
    levels = (0.1, 0.5, 0.8)
    of_levels = [mean_pinball_loss(y, quantiles[..., i], sample_weight=weights, alpha=a) for i, a in enumerate(levels)]
    assert scores.pinball(levels)(y, quantiles.reshape(50, 6), weights) == pytest.approx(np.mean(of_levels))


def test_the_split_keeps_the_shares_of_the_classes():
    X, _ = friedman()
    seen = []
    metric = lambda labels, probabilities: float(seen.append((len(labels), labels.sum())) or 0)  # noqa: E731
    for seed in range(4):
        settings = SMALL | {"n_epochs": 1, "random_state": seed}
        RealMLPClassifier(validation_metric=metric, **settings).fit(X, np.arange(300) < 15)
    assert seen == 4 * [(60, 3)]
