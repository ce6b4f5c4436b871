"""RealMLP's estimators: scikit-learn's checks, tables of all kinds, and what each setting does."""

import pickle
from contextlib import nullcontext

import fastmlp
import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6", reason="needs scikit-learn")

from fastmlp import schedules  # noqa: E402
from fastmlp.tabular import RealMLPClassifier, RealMLPRegressor, TabMRegressor, realmlp_network, scores  # noqa: E402
from fastmlp.tabular.network import TabularNetwork  # noqa: E402
from sklearn import config_context  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.datasets import load_iris, make_friedman1  # noqa: E402
from sklearn.metrics import (  # noqa: E402
    log_loss,
    mean_absolute_error,
    mean_pinball_loss,
    mean_squared_error,
    r2_score,
    zero_one_loss,
)
from sklearn.model_selection import cross_val_score  # noqa: E402
from sklearn.pipeline import Pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils.estimator_checks import (  # noqa: E402
    check_sample_weight_equivalence_on_dense_data,
    parametrize_with_checks,
)
from teams import TEAMS, team_of  # noqa: E402

SMALL = {"hidden_sizes": (16, 16), "n_epochs": 30, "random_state": 0}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # their data of infinite values, before they are rejected
@parametrize_with_checks([RealMLPClassifier(**SMALL), RealMLPRegressor(variant="TD-S", **SMALL)])
def test_check_estimator(estimator, check):
    if check.func is check_sample_weight_equivalence_on_dense_data:
        pytest.skip("batches of random rows: a row twice is another training than a row of weight 2")
    check(estimator)


def friedman(rows=300):
    X, y = make_friedman1(rows, random_state=0)
    return X, y


def table_of_people(rows=200, seed=0):
    """A frame with numbers, categories and missing values, and labels that depend on all of them."""
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    rng = np.random.default_rng(seed)
    frame = pandas.DataFrame(
        {
            "age": rng.integers(18, 90, rows).astype(float),
            "income": rng.lognormal(10, 1, rows),
            "city": rng.choice(list("abcdefghijkl"), rows),
            "plan": pandas.Categorical(rng.choice(["free", "paid", "team"], rows)),
            "active": rng.random(rows) < 0.5,
        }
    )
    score = frame["age"] / 50 + frame["active"] + (frame["plan"] == "paid") + frame["city"].isin(list("abc"))
    labels = np.where(score > score.median(), "yes", "no")
    frame.loc[rng.random(rows) < 0.2, "age"] = np.nan
    frame.loc[rng.random(rows) < 0.2, "city"] = None
    return frame, labels


@pytest.mark.parametrize("variant", ["TD", "TD-S"])
def test_a_frame_with_categories_missing_and_unknown_values(variant):
    frame, labels = table_of_people()
    model = RealMLPClassifier(variant=variant, n_epochs=64, hidden_sizes=(64, 64), random_state=0).fit(frame, labels)
    assert model.score(frame, labels) > 0.8
    assert model.feature_names_in_.tolist() == list(frame.columns)
    sizes = [dimension for _, dimension in model.networks_[0].architecture.categories]
    assert sizes == ([8] if variant == "TD" else [])  # twelve cities are embedded, three plans one-hot
    other = frame.head(3).copy()
    other["city"], other["age"] = ["nowhere", None, "a"], np.nan
    probabilities = model.predict_proba(other)
    assert probabilities.shape == (3, 2) and np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities[0], model.predict_proba(other.assign(city=None))[0])
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(other[other.columns[::-1]])


@pytest.mark.parametrize("make", [RealMLPClassifier, RealMLPRegressor])
def test_the_same_seed_gives_the_same_bits_for_every_number_of_threads(make):
    X, y = friedman()
    y = (y > 14).astype(int) if make is RealMLPClassifier else y
    for networks in (1, 2):
        found = []
        for n in (1, *TEAMS):
            with team_of(n) if networks == 1 else nullcontext():  # two networks have a thread each, or two
                found.append(make(n_ensemble=networks, n_threads=n, **SMALL).fit(X, y).predict(X[:50]))
        assert all(np.array_equal(each, found[0]) for each in found)
    other = make(n_ensemble=2, **(SMALL | {"random_state": 1})).fit(X, y)
    assert not np.array_equal(other._predicted(X), make(n_ensemble=2, **SMALL).fit(X, y)._predicted(X))


def test_variants_have_the_values_of_the_paper():
    """Table A.1 of the paper, and pytabkit's default_params."""
    common = {
        "hidden_sizes": (256, 256, 256),
        "bias_lr_factor": 0.1,
        "scale_lr_factor": 6.0,
        "n_epochs": 256,
        "batch_size": 256,
        "mom": 0.9,
        "sq_mom": 0.95,
        "opt_eps": 1e-8,
        "val_fraction": 0.2,
        "add_front_scale": True,
        "lr_sched": schedules.coslog4(),
        "p_drop_sched": schedules.flat_cos(),
        "wd_sched": schedules.flat_cos(),
    }
    tuned = common | {
        "use_parametric_act": True,
        "act_lr_factor": 0.1,
        "p_drop": 0.15,
        "wd": 0.02,
        "weight_init_mode": "std",
        "bias_init_mode": "he+5",
        "last_layer_init_mode": "as_others",
        "num_emb_type": "pbld",
        "plr_sigma": 0.1,
        "plr_hidden_1": 16,
        "plr_hidden_2": 4,
        "plr_lr_factor": 0.1,
        "max_one_hot_cat_size": 9,
        "embedding_size": 8,
    }
    simple = common | {
        "use_parametric_act": False,
        "p_drop": 0.0,
        "wd": 0.0,
        "weight_init_mode": "normal",
        "bias_init_mode": "normal",
        "last_layer_init_mode": "zeros",
        "num_emb_type": "none",
        "max_one_hot_cat_size": None,
    }
    for variant, both in (("TD", tuned), ("TD-S", simple)):
        own = {"act": "selu", "lr": 0.04, "ls_eps": 0.1}
        resolved = RealMLPClassifier(variant=variant)._resolved()
        assert {name: resolved[name] for name in both | own} == both | own
        own = {"act": "mish", "lr": 0.2 if variant == "TD" else 0.07, "clamp_output": variant == "TD"}
        resolved = RealMLPRegressor(variant=variant)._resolved()
        assert {name: resolved[name] for name in both | own} == both | own


def test_initial_parameters_of_td():
    """Units of standard deviation 1 over the rows, and biases that are minus convex combinations of their values."""
    X, y = friedman(400)
    model = RealMLPRegressor(**(SMALL | {"n_epochs": 1}))
    settings = model._resolved()
    preparation = model._new_preparation(settings, 0).fit(X)
    table = preparation.transform(X)
    model.n_outputs_, model.preparation_ = 1, preparation
    network = model._new_network(settings, table, model._goal(settings))
    realmlp_network.initialize(network, settings, table, np.random.default_rng(0), 1)
    values = network.parameters
    assert values["numbers.frequencies"].std() == pytest.approx(0.1, rel=0.2)
    assert np.abs(values["numbers.phases"]).max() < np.pi
    assert np.abs(values["numbers.weights"]).max() <= 0.25 and np.abs(values["numbers.biases"]).max() <= 0.25
    for name in ("hidden.0.input_factors", "hidden.0.activation_shares", "hidden.1.activation_shares"):
        assert (values[name] == 1).all()
    view, rng = network.table(table), np.random.default_rng(0)
    for name in ("frequencies", "phases", "weights", "biases"):
        draw = rng.normal if name == "frequencies" else rng.uniform
        draw(size=values[f"numbers.{name}"].shape)
    for i, name in enumerate(("hidden.0", "hidden.1", "heads.0")):
        inputs = network.core.hidden_outputs(view, i, 1).astype(float)
        z = inputs @ values[f"{name}.weights"]
        np.testing.assert_allclose(z.std(axis=0), 1, rtol=1e-4)
        rng.normal(size=values[f"{name}.weights"].shape)
        rows, shares = rng.integers(0, 400, (5, z.shape[1])), rng.exponential(size=(5, z.shape[1]))
        expected = -np.average(z[rows, np.arange(z.shape[1])], axis=0, weights=shares)
        np.testing.assert_allclose(values[f"{name}.biases"], expected, rtol=1e-4, atol=1e-5)


def test_initial_parameters_of_td_s():
    X, y = friedman(400)
    model = RealMLPRegressor(variant="TD-S", hidden_sizes=(300, 200), n_epochs=1)
    settings = model._resolved()
    model.n_outputs_, model.preparation_ = 1, model._new_preparation(settings, 0).fit(X)
    table = model.preparation_.transform(X)
    network = model._new_network(settings, table, model._goal(settings))
    realmlp_network.initialize(network, settings, table, np.random.default_rng(0), 1)
    values = network.parameters
    assert (values["heads.0.weights"] == 0).all() and (values["heads.0.biases"] == 0).all()
    assert values["hidden.1.weights"].std() * np.sqrt(300) == pytest.approx(1, rel=0.02)
    assert values["hidden.1.biases"].std() == pytest.approx(1, rel=0.2)


def test_factors_of_each_group_of_parameters():
    """Of the learning rate, the weight decay and epsilon."""
    frame, labels = table_of_people()
    model = RealMLPClassifier(hidden_sizes=(16, 9), embedding_size=5, n_epochs=1).fit(frame, labels)
    assert model.networks_[0].architecture.categories == ((13, 5),)
    found = realmlp_network.factors(model.networks_[0], model._resolved())
    inputs = model.networks_[0].parameters["hidden.0.weights"].shape[0]
    expected = {f"numbers.{kind}": (0.1, 0.1**2, 1) for kind in ("frequencies", "phases", "weights", "biases")}
    expected |= {"categories.0": (1, 1, 1), "hidden.0.input_factors": (6, 36, 1)}
    expected |= {f"hidden.{i}.activation_shares": (0.1, 0.1**2, 1) for i in (0, 1)}
    for name, root in (("hidden.0", np.sqrt(inputs)), ("hidden.1", 4), ("heads.0", 3)):
        expected |= {f"{name}.weights": (1 / root, 1, root), f"{name}.biases": (0.1, 0, 1)}
    assert found.keys() == expected.keys()
    for name, each in found.items():
        assert (each.learning_rate, each.weight_decay, each.epsilon) == pytest.approx(expected[name])


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
    with pytest.raises(TypeError, match="eval_set must be"):
        RealMLPRegressor(**SMALL).fit(X, y, eval_set=X)
    with pytest.raises(ValueError, match="has the label 7, which y lacks"):
        RealMLPClassifier(**SMALL).fit(X, y > 14, eval_set=(X[:2], [0, 7]))


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


def test_without_validation_rows_the_last_epoch_is_kept():
    X, y = friedman()
    model = RealMLPRegressor(val_fraction=0.0, **SMALL).fit(X, y)
    assert model.best_epochs_ == [30] and np.isnan(model.best_scores_[0])
    assert "val_rmse" not in model.history_


def test_an_ensemble_averages_its_networks():
    X, y = load_iris(return_X_y=True)
    model = RealMLPClassifier(n_ensemble=3, **SMALL).fit(X, y)
    table = model.preparation_.transform(X)
    each = [network.forward(table, 1) for network in model.networks_]
    assert len(each) == len(model.histories_) == 3 and not np.array_equal(each[0], each[1])
    np.testing.assert_allclose(model.predict_proba(X), np.mean(each, axis=0), atol=1e-6)
    one = RealMLPClassifier(**SMALL).fit(X, y)
    assert np.array_equal(one.networks_[0].forward(table, 1), each[0])


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


def test_the_loss_of_the_history_is_the_mean_over_the_rows_that_are_trained_on():
    """Those of whole batches; before its first update TD-S gives each class the same probability."""
    X, y = load_iris(return_X_y=True)
    model = RealMLPClassifier(variant="TD-S", batch_size=64, val_fraction=0.0, lr=1e-30, **SMALL | {"n_epochs": 1})
    assert model.fit(X, y).history_.loss == pytest.approx([np.log(3)])


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


def test_a_fit_forgets_the_fit_before_it():
    X, y = friedman()
    frame, labels = table_of_people()
    model = RealMLPClassifier(calibrate=True, **SMALL).fit(frame, labels)
    assert hasattr(model, "temperature_")
    model.set_params(calibrate=False, class_weight={False: 1, True: 50}).fit(X, y > 14)
    assert not hasattr(model, "temperature_") and not hasattr(model, "feature_names_in_")
    found = model.set_params(class_weight=None).fit(X, y > 14).predict_proba(X)
    assert np.array_equal(found, RealMLPClassifier(**SMALL).fit(X, y > 14).predict_proba(X))


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


def test_a_table_of_one_row_has_a_model():
    X, y = friedman(1)
    assert RealMLPRegressor(val_fraction=0.0, **SMALL).fit(X, y).predict(X) == y


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


def test_a_metric_sees_all_quantiles():
    X, y = friedman()
    shapes = set()

    def metric(targets, predictions):
        shapes.add((targets.shape, predictions.shape))
        return 1.0

    RealMLPRegressor(objective="quantile", quantiles=(0.1, 0.9), validation_metric=metric, **SMALL).fit(X, y)
    assert shapes == {((60,), (60, 2))}


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


def test_a_metric_of_which_larger_values_are_better_warns():
    X, y = friedman()
    with pytest.warns(UserWarning, match="smaller results of validation_metric are better, .* r2_score"):
        RealMLPRegressor(validation_metric=r2_score, **SMALL | {"n_epochs": 2}).fit(X, y)


@pytest.mark.parametrize(
    "settings, error, message",
    [
        ({"wd": 1e6, "val_fraction": 0.0}, fastmlp.DivergenceError, "the estimator is unchanged"),
        ({"lr": 1e30, "n_epochs": 2}, fastmlp.DivergenceError, "the estimator is unchanged"),
        (
            {"lr": 1e39, "lr_sched": None, "n_epochs": 1, "val_fraction": 0.0},  # no loss follows the only update
            fastmlp.DivergenceError,
            "a weight is not finite in epoch 1",
        ),
        (
            {"validation_metric": lambda y, p: float("nan")},
            ValueError,
            "(?s)validation_metric returned nan.*after epoch 1$",
        ),
        ({"validation_metric": lambda y, p: None}, TypeError, "must return a number, got None"),
        ({"quantiles": (0.1, 0.9)}, ValueError, "needs one of the objectives"),
        (
            {"objective": "quantile", "quantiles": (0.9, 0.1)},
            ValueError,
            "quantiles must be a number or ascending",
        ),
        ({"val_fraction": 0.999}, ValueError, "val_fraction=0.999 must leave rows to train on"),
        ({"hidden_sizes": 32}, TypeError, "hidden_sizes must be a sequence"),
        ({"hidden_sizes": iter([8, 8])}, TypeError, "hidden_sizes must be a sequence of integers, got <list_iter"),
        ({"hidden_sizes": {8, 4}}, TypeError, "hidden_sizes must be a sequence of integers, got {8, 4}"),
        ({"p_drop": 0.5, "p_drop_sched": lambda t: 2.0}, ValueError, "must be below 1, got the factor 2"),
        ({"time_limit": 0}, ValueError, "time_limit must be"),
    ],
)
def test_what_would_give_no_model_is_an_error(settings, error, message):
    X, y = friedman()
    with pytest.raises(error, match=message):
        RealMLPRegressor(**(SMALL | settings)).fit(X, y)


def test_the_split_keeps_the_shares_of_the_classes():
    X, _ = friedman()
    seen = []
    metric = lambda labels, probabilities: float(seen.append((len(labels), labels.sum())) or 0)  # noqa: E731
    for seed in range(4):
        settings = SMALL | {"n_epochs": 1, "random_state": seed}
        RealMLPClassifier(validation_metric=metric, **settings).fit(X, np.arange(300) < 15)
    assert seen == 4 * [(60, 3)]


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


def test_messages_name_rows_of_x():
    X, y = friedman()
    X = X.copy()
    X[7, 2] = np.inf
    with pytest.raises(ValueError, match=r"X\[:, 2\] must hold finite numbers .* in row 7"):
        RealMLPRegressor(**SMALL).fit(X, y)


def test_ensembles_report_their_networks(capsys):
    X, y = friedman()
    RealMLPRegressor(n_ensemble=2, verbose=True, n_threads=1, **SMALL).fit(X, y)
    assert "network 2: epoch" in capsys.readouterr().err


def test_the_score_of_quantiles_is_that_of_the_one_nearest_to_the_median():
    X, y = friedman()
    model = RealMLPRegressor(objective="quantile", quantiles=(0.1, 0.4, 0.9), **SMALL).fit(X, y)
    assert model.score(X, y) == r2_score(y, model.predict(X)[:, 1])
    weights = np.arange(300)
    assert model.score(X, y, weights) == r2_score(y, model.predict(X)[:, 1], sample_weight=weights)
    two = RealMLPRegressor(objective="quantile", quantiles=(0.1, 0.4, 0.9), **SMALL).fit(X, np.c_[y, -y])
    assert two.score(X, np.c_[y, -y]) == r2_score(np.c_[y, -y], two.predict(X)[:, [1, 4]])
    assert np.isfinite(cross_val_score(model.set_params(n_epochs=2), X, y, cv=2)).all()


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


def test_a_time_limit_ends_the_training():
    X, y = friedman()
    model = RealMLPRegressor(time_limit=0.2, **(SMALL | {"n_epochs": 1_000_000})).fit(X, y)
    assert 0 < len(model.history_.loss) < 1_000_000 and model.history_.out_of_time
    assert np.isfinite(model.predict(X)).all()


def test_models_survive_pickle_and_clone():
    frame, labels = table_of_people()
    model = RealMLPClassifier(**SMALL).fit(frame, labels)
    copy = pickle.loads(pickle.dumps(model))
    assert np.array_equal(copy.predict_proba(frame), model.predict_proba(frame))
    assert clone(model).get_params() == model.get_params()


def test_a_failed_fit_changes_nothing():
    X, y = friedman()
    model = RealMLPRegressor(**SMALL).fit(X, y)
    before, networks = model.predict(X), model.networks_
    for wrong in (
        lambda: model.fit(X, y[:5]),
        lambda: model.fit(X[:, :2], np.full(300, np.inf)),
        lambda: model.set_params(lr=1e30).fit(X, 1e30 * y),
    ):
        with pytest.raises(ValueError):
            wrong()
        assert model.networks_ is networks and np.array_equal(model.predict(X), before)


@pytest.mark.parametrize(
    "settings, error, message",
    [
        ({"variant": "TDS"}, ValueError, "variant must be one of"),
        ({"hidden_sizes": ()}, ValueError, "hidden_sizes must have at least one entry"),
        ({"hidden_sizes": (4, 0)}, ValueError, r"hidden_sizes\[1\]"),
        ({"act": "softmax"}, ValueError, "act must be one of"),
        ({"p_drop": 1.0}, ValueError, "p_drop"),
        ({"lr": 0}, ValueError, "lr must be"),
        ({"lr_sched": "coslog"}, ValueError, "lr_sched"),
        ({"wd": -1.0}, ValueError, "wd must be"),
        ({"n_epochs": 0}, ValueError, "n_epochs"),
        ({"plr_hidden_1": 129}, ValueError, "plr_hidden_1"),
        ({"plr_hidden_2": 1}, ValueError, "plr_hidden_2"),
        ({"weight_init_mode": "he"}, ValueError, "weight_init_mode must be one of"),
        ({"validation_metric": "accuracy"}, ValueError, "validation_metric must be one of"),
        ({"n_ensemble": 0}, ValueError, "n_ensemble"),
        ({"val_fraction": 1.0}, ValueError, "val_fraction"),
        ({"max_one_hot_cat_size": "9"}, TypeError, "max_one_hot_cat_size"),
        ({"refit": 2}, TypeError, "refit"),
    ],
)
def test_wrong_settings_are_rejected(settings, error, message):
    X, y = friedman(20)
    for make in (RealMLPClassifier, RealMLPRegressor):
        with pytest.raises(error, match=message):
            make(**settings).fit(X, y > 14 if make is RealMLPClassifier else y)


def test_initial_parameters_need_a_limited_number_of_rows(monkeypatch):
    monkeypatch.setattr(realmlp_network, "MAX_INIT_ROWS", 50)
    X, y = friedman()
    seen, original = [], TabularNetwork.table

    def table(self, prepared, *labels):
        if not labels:
            seen.append(len(prepared))
        return original(self, prepared, *labels)

    monkeypatch.setattr(TabularNetwork, "table", table)
    model = RealMLPRegressor(val_fraction=0.0, **SMALL).fit(X, y)
    assert seen and set(seen) == {50}
    assert model.score(X, y) > 0.5
