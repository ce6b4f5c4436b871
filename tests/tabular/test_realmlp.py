"""RealMLP's estimators: scikit-learn's checks, tables of all kinds, and what each setting does."""

import pickle
from contextlib import nullcontext

import fastmlp
import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6", reason="needs scikit-learn")

from fastmlp import schedules  # noqa: E402
from fastmlp.tabular import RealMLPClassifier, RealMLPRegressor, realmlp_network  # noqa: E402
from fastmlp.tabular.network import TabularNetwork  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.datasets import load_iris  # noqa: E402
from sklearn.utils.estimator_checks import (  # noqa: E402
    check_sample_weight_equivalence_on_dense_data,
    parametrize_with_checks,
)
from small_tables import SMALL, friedman, table_of_people  # noqa: E402
from teams import TEAMS, team_of  # noqa: E402


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # their data of infinite values, before they are rejected
@parametrize_with_checks([RealMLPClassifier(**SMALL), RealMLPRegressor(variant="TD-S", **SMALL)])
def test_check_estimator(estimator, check):
    if check.func is check_sample_weight_equivalence_on_dense_data:
        pytest.skip("batches of random rows: a row twice is another training than a row of weight 2")
    check(estimator)


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


def test_an_ensemble_averages_its_networks():
    X, y = load_iris(return_X_y=True)
    model = RealMLPClassifier(n_ensemble=3, **SMALL).fit(X, y)
    table = model.preparation_.transform(X)
    each = [network.forward(table, 1) for network in model.networks_]
    assert len(each) == len(model.histories_) == 3 and not np.array_equal(each[0], each[1])
    np.testing.assert_allclose(model.predict_proba(X), np.mean(each, axis=0), atol=1e-6)
    one = RealMLPClassifier(**SMALL).fit(X, y)
    assert np.array_equal(one.networks_[0].forward(table, 1), each[0])


def test_a_fit_forgets_the_fit_before_it():
    X, y = friedman()
    frame, labels = table_of_people()
    model = RealMLPClassifier(calibrate=True, **SMALL).fit(frame, labels)
    assert hasattr(model, "temperature_")
    model.set_params(calibrate=False, class_weight={False: 1, True: 50}).fit(X, y > 14)
    assert not hasattr(model, "temperature_") and not hasattr(model, "feature_names_in_")
    found = model.set_params(class_weight=None).fit(X, y > 14).predict_proba(X)
    assert np.array_equal(found, RealMLPClassifier(**SMALL).fit(X, y > 14).predict_proba(X))


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


def test_the_loss_of_the_history_is_the_mean_over_the_rows_that_are_trained_on():
    """Those of whole batches; before its first update TD-S gives each class the same probability."""
    X, y = load_iris(return_X_y=True)
    model = RealMLPClassifier(variant="TD-S", batch_size=64, val_fraction=0.0, lr=1e-30, **SMALL | {"n_epochs": 1})
    assert model.fit(X, y).history_.loss == pytest.approx([np.log(3)])


def test_a_table_of_one_row_has_a_model():
    X, y = friedman(1)
    assert RealMLPRegressor(val_fraction=0.0, **SMALL).fit(X, y).predict(X) == y
