"""n_ensemble: members are estimators with seeds of their own, and the ensemble predicts their mean."""

import pickle
import threading
import time

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.9", reason="compares with scikit-learn 1.9's own checks")

import fastmlp  # noqa: E402
from fastmlp import MLPClassifier, MLPRegressor, row_subsets, training_data  # noqa: E402
from problems import assert_equal_bits  # noqa: E402
from scipy import sparse  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.model_selection import GridSearchCV  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*onverge:sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:.*converge:RuntimeWarning"),
]

RNG = np.random.default_rng(0)
X = np.round(2 * RNG.normal(size=(60, 5)))
LABELS = np.array(["a", "b", "c"])[np.abs(X[:, :3]).argmax(axis=1)]
TARGETS = {
    "classes": (MLPClassifier, LABELS),
    "two classes": (MLPClassifier, np.where(X[:, 0] > 0, 7, 3)),
    "labels": (MLPClassifier, (X[:, :3] > 0).astype(int)),
    "one target": (MLPRegressor, X[:, 0] + X[:, 1] ** 2),
    "two targets": (MLPRegressor, X[:, :2] ** 2),
}
SETTINGS = {"hidden_layer_sizes": (6,), "max_iter": 4, "random_state": 5, "learning_rate_init": 0.05}


def seeds_of(model):
    return [member.random_state for member in model.estimators_]


def rows_of_members(model, samples=60):
    if model.ensemble_rows == "all":
        return [np.arange(samples)] * model.n_ensemble
    if model.ensemble_rows == "bootstrap":
        return [row_subsets.bootstrap(samples, seed) for seed in seeds_of(model)]
    return [np.setdiff1d(np.arange(samples), part) for part in row_subsets.folds(samples, model.n_ensemble)]


def parameters(model):
    return model.coefs_ + model.intercepts_


def outputs_of(model, rows):
    return model.predict_proba(rows) if isinstance(model, MLPClassifier) else model.predict(rows)


def test_callbacks_of_several_members_never_overlap():
    inside, most = [], []

    def callback(info):
        inside.append(info.network)
        time.sleep(0.002)  # so that another thread comes in, if it may
        most.append(len(inside))
        inside.pop()

    MLPClassifier(n_ensemble=4, n_threads=4, **SETTINGS).fit(X, LABELS, callbacks=[callback])
    assert set(most) == {1} and len(most) == 16


@pytest.mark.parametrize(
    "kind, weighted",
    [(np.asarray, False), (sparse.csr_array, True), (np.asfortranarray, False), (np.float32, True)],
)
@pytest.mark.parametrize("rows", ["all", "bootstrap", "folds"])
@pytest.mark.parametrize("Mlp, y", TARGETS.values(), ids=TARGETS)
def test_members_are_estimators_of_their_own(Mlp, y, rows, kind, weighted):
    weights = np.linspace(0.5, 2, 60) if weighted else None
    given, fits = kind(X), []
    for n_threads in (1, 2, None):
        model = Mlp(n_ensemble=3, ensemble_rows=rows, n_threads=n_threads, **SETTINGS)
        fits.append(model.fit(given, y, sample_weight=weights))
        assert [member.n_threads for member in model.estimators_] == [n_threads] * 3
    assert len(set(seeds_of(model))) == 3
    for j, chosen in enumerate(rows_of_members(model)):
        single = Mlp(**{**SETTINGS, "random_state": seeds_of(model)[j]})
        single.fit(given[chosen], y[chosen], sample_weight=None if weights is None else weights[chosen])
        for each in fits:
            assert_equal_bits(parameters(each.estimators_[j]), parameters(single))
        assert model.estimators_[j].loss_curve_ == single.loss_curve_
    outputs = np.stack([outputs_of(member, given) for member in model.estimators_])
    np.testing.assert_allclose(outputs_of(model, given), outputs.mean(axis=0), rtol=1e-6)
    assert outputs_of(model, given).dtype == outputs.dtype
    if rows == "folds":
        for member, part in zip(model.estimators_, row_subsets.folds(60, 3)):
            np.testing.assert_array_equal(model.out_of_fold_[part], outputs_of(member, given[part]))
    assert hasattr(model, "out_of_fold_") == (rows == "folds")


@pytest.mark.parametrize("rows", ["all", "bootstrap", "folds"])
@pytest.mark.parametrize("Mlp, y", TARGETS.values(), ids=TARGETS)
def test_lbfgs_weighs_the_rows_that_it_sees(Mlp, y, rows):
    settings = {**SETTINGS, "solver": "lbfgs", "max_iter": 15}
    weights = np.linspace(0.5, 2, 60)
    model = Mlp(n_ensemble=2, ensemble_rows=rows, **settings).fit(X, y, sample_weight=weights)
    for member, chosen in zip(model.estimators_, rows_of_members(model)):
        single = Mlp(**{**settings, "random_state": member.random_state})
        single.fit(X[chosen], y[chosen], sample_weight=weights[chosen])
        for p, q in zip(parameters(member), parameters(single)):
            np.testing.assert_allclose(p, q, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rows", ["all", "bootstrap", "folds"])
@pytest.mark.parametrize("Mlp, y", TARGETS.values(), ids=TARGETS)
def test_early_stopping_holds_out_rows_that_are_not_trained_on(monkeypatch, Mlp, y, rows):
    from fastmlp.estimators.fitting import FittedMLP

    seen, split = [], FittedMLP._split

    def note(self, *arguments):
        training, held_out = split(self, *arguments)
        seen.append((self.random_state, training, held_out))
        return training, held_out

    monkeypatch.setattr(FittedMLP, "_split", note)
    settings = {**SETTINGS, "early_stopping": True, "validation_fraction": 0.3}
    model = Mlp(n_ensemble=3, ensemble_rows=rows, **settings).fit(X, y)
    assert len(seen) == 3
    chosen = dict(zip(seeds_of(model), rows_of_members(model)))
    for seed, training, held_out in seen:
        out = [np.flatnonzero((row == X).all(axis=1)) for row in X[held_out]]  # rows that are equal, too
        assert not any(set(each) <= set(training) for each in out)
        own, counts = np.unique(chosen[seed], return_counts=True)
        assert len(held_out) == int(np.ceil(0.3 * len(own)))
        trained, trained_counts = np.unique(training, return_counts=True)
        assert set(trained) <= set(own)
        np.testing.assert_array_equal(trained_counts, counts[np.isin(own, trained)])
    assert all(len(member.validation_scores_) for member in model.estimators_)


def test_a_regressor_has_a_spread():
    Mlp, y = TARGETS["two targets"]
    model = Mlp(n_ensemble=4, **SETTINGS).fit(X, y)
    mean, spread = model.predict(X, return_std=True)
    np.testing.assert_array_equal(mean, model.predict(X))
    np.testing.assert_allclose(spread, np.std([member.predict(X) for member in model.estimators_], axis=0), rtol=1e-9)
    mean, spread = Mlp(n_ensemble=2, **SETTINGS).fit(X, y[:, 0]).predict(X, return_std=True)
    assert mean.shape == spread.shape == (60,)
    with pytest.raises(ValueError, match="return_std=True needs an ensemble"):
        Mlp(**SETTINGS).fit(X, y).predict(X, return_std=True)


@pytest.mark.parametrize("Mlp, y", TARGETS.values(), ids=TARGETS)
def test_an_ensemble_is_exported_as_one(tmp_path, Mlp, y):
    pytest.importorskip("safetensors")
    model = Mlp(n_ensemble=3, **SETTINGS).fit(X, y)
    network = model.to_network()
    assert isinstance(network, fastmlp.Ensemble) and len(network) == 3
    network.save(tmp_path / "ensemble.safetensors")
    found = fastmlp.load(tmp_path / "ensemble.safetensors").forward(X)
    expected = outputs_of(model, X).reshape(60, -1)[:, -found.shape[1] :]  # two classes have one output
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_attributes_of_one_network_are_refused_by_name():
    model = MLPClassifier(n_ensemble=2, **SETTINGS).fit(X, LABELS)
    for name in ("coefs_", "intercepts_", "loss_curve_", "history_", "best_loss_", "t_"):
        assert hasattr(model.estimators_[0], name)
        with pytest.raises(AttributeError, match=f"an ensemble has no {name}: each of its estimators_"):
            getattr(model, name)
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        model.no_such_name  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'coefs_'"):
        MLPClassifier(n_ensemble=2).coefs_  # noqa: B018
    assert model.n_iter_ == max(member.n_iter_ for member in model.estimators_) == 4
    assert model.loss_ == np.mean([member.loss_ for member in model.estimators_])
    assert (model.n_layers_, model.n_outputs_, model.out_activation_, model.n_features_in_) == (3, 3, "softmax", 5)
    assert list(model.classes_) == ["a", "b", "c"]


@pytest.mark.filterwarnings("ignore:ensemble_rows=.* has no effect with n_ensemble=1")
@pytest.mark.parametrize("Mlp, y", TARGETS.values(), ids=TARGETS)
def test_fits_of_one_and_of_several_replace_each_other(Mlp, y):
    def attributes(model):
        return {name for name in vars(model) if name.endswith("_")}

    one, several = (Mlp(n_ensemble=n, ensemble_rows="folds", **SETTINGS).fit(X, y) for n in (1, 3))
    fresh, again = attributes(one), attributes(several)
    assert "coefs_" in fresh and "estimators_" in again and not fresh & {"estimators_", "out_of_fold_"}
    assert "coefs_" not in again
    expected = outputs_of(several, X), outputs_of(one, X)
    one.set_params(n_ensemble=3)
    np.testing.assert_array_equal(outputs_of(one, X), expected[1], "the parameter alone changes nothing")
    one.fit(X, y)
    several.set_params(n_ensemble=1).fit(X, y)
    assert (attributes(one), attributes(several)) == (again, fresh)
    np.testing.assert_array_equal(outputs_of(one, X), expected[0])
    np.testing.assert_array_equal(outputs_of(several, X), expected[1])


@pytest.mark.filterwarnings("ignore:ensemble_rows=.* has no effect with n_ensemble=1")
def test_copies_and_searches():
    model = MLPRegressor(n_ensemble=2, ensemble_rows="bootstrap", **SETTINGS)
    y = TARGETS["one target"][1]
    expected = model.fit(X, y).predict(X)
    for other in (pickle.loads(pickle.dumps(model)), clone(model).fit(X, y)):
        assert other.get_params() == model.get_params() and other.n_ensemble == 2
        np.testing.assert_array_equal(other.predict(X), expected)
    search = GridSearchCV(MLPRegressor(**SETTINGS), {"n_ensemble": [1, 3], "ensemble_rows": ["all", "folds"]}, cv=2)
    assert set(search.fit(X, y).best_params_) == {"n_ensemble", "ensemble_rows"}


def test_random_state_draws_the_seeds():
    models = [
        MLPRegressor(n_ensemble=2, **{**SETTINGS, "random_state": state}).fit(X, X[:, 0])
        for state in (1, 1, 2, np.random.RandomState(1), None)
    ]
    seeds = [tuple(seeds_of(model)) for model in models]
    assert seeds[0] == seeds[1] == seeds[3] and len(set(seeds)) == 3


def test_frames_keep_their_names():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcde"))
    model = MLPClassifier(n_ensemble=2, **SETTINGS).fit(frame, LABELS, eval_set=(frame, LABELS))
    plain = MLPClassifier(n_ensemble=2, **SETTINGS).fit(X, LABELS)
    assert list(model.feature_names_in_) == list("abcde")
    np.testing.assert_array_equal(model.predict_proba(frame), plain.predict_proba(X))
    assert all(len(member.validation_loss_curve_) == 4 for member in model.estimators_)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[list("bacde")])
    model.fit(X, LABELS)
    assert not hasattr(model, "feature_names_in_")
    np.testing.assert_array_equal(model.predict_proba(X), plain.predict_proba(X))


def test_callbacks_come_one_at_a_time_and_stop_their_member():
    inside, seen = threading.Lock(), []

    def watch(info):
        assert inside.acquire(blocking=False), "two callbacks at once"
        seen.append(id(info.network))
        inside.release()
        return seen[0] == id(info.network) and info.epoch == 2

    model = MLPClassifier(n_ensemble=3, n_threads=3, **SETTINGS).fit(X, LABELS, callbacks=[watch])
    assert sorted(member.n_iter_ for member in model.estimators_) == [2, 4, 4] and len(seen) == 10


def test_class_weights_reach_the_members():
    model = MLPClassifier(n_ensemble=2, class_weight={"a": 5.0}, **SETTINGS).fit(X, LABELS)
    weights = np.where(LABELS == "a", 5.0, 1.0)
    other = MLPClassifier(n_ensemble=2, **SETTINGS).fit(X, LABELS, sample_weight=weights)
    np.testing.assert_array_equal(model.predict_proba(X), other.predict_proba(X))


@pytest.mark.parametrize("rows", ["all", "bootstrap", "folds"])
def test_the_data_are_kept_once(monkeypatch, rows):
    given, bind = [], training_data.bind
    monkeypatch.setattr(training_data, "bind", lambda net, X, *more: given.append(X) or bind(net, X, *more))
    for kind in (np.asarray, np.asfortranarray, np.float32, np.int64):
        given.clear()
        MLPRegressor(n_ensemble=3, ensemble_rows=rows, **SETTINGS).fit(kind(X), X[:, 0])
        assert len({array.ctypes.data for array in given}) == 1 and len(given) == 3


def test_each_member_says_when_it_is_done(capsys):
    MLPRegressor(n_ensemble=3, verbose=True, **SETTINGS).fit(X, X[:, 0])
    lines = sorted(capsys.readouterr().out.splitlines())
    assert [line[:30] for line in lines] == [f"Member {i}: 4 iterations, loss = "[:30] for i in (1, 2, 3)]


def test_what_an_ensemble_cannot_do_is_named():
    several = MLPClassifier(n_ensemble=2, **SETTINGS)
    assert not hasattr(several, "partial_fit") and hasattr(clone(several).set_params(n_ensemble=1), "partial_fit")
    with pytest.raises(AttributeError, match="partial_fit"):
        several.partial_fit(X, LABELS, classes=["a", "b", "c"])
    with pytest.raises(ValueError, match="warm_start=True needs n_ensemble=1, got n_ensemble=2"):
        clone(several).set_params(warm_start=True).fit(X, LABELS)
    with pytest.raises(ValueError, match="at least 61 rows for 61 folds, got 60"):
        MLPClassifier(n_ensemble=61, ensemble_rows="folds").fit(X, LABELS)
    for name, value in [("n_ensemble", 0), ("n_ensemble", 2.0), ("ensemble_rows", "half")]:
        with pytest.raises(ValueError, match=f"The '{name}' parameter of MLPClassifier must be"):
            MLPClassifier(**{name: value}).fit(X, LABELS)


def test_a_fit_that_fails_changes_nothing():
    model = MLPRegressor(n_ensemble=2, **SETTINGS).fit(X, X[:, 0])
    before, expected = dict(vars(model)), model.predict(X)

    def fail(info):
        raise ZeroDivisionError

    for error, arguments in [
        (ZeroDivisionError, dict(callbacks=[fail])),
        (ValueError, dict(sample_weight=np.ones(3))),
        (ValueError, dict(eval_set=(X[:, :2], X[:, 0]))),
    ]:
        with pytest.raises(error):
            model.fit(X, X[:, 1], **arguments)
        assert vars(model) == before
        np.testing.assert_array_equal(model.predict(X), expected)


def test_ctrl_c_ends_the_members_and_changes_nothing(monkeypatch):
    from fastmlp.workers import Workers

    wait, waited = Workers._wait_for_workers, []

    def interrupted(workers):
        waited.append(workers)
        if len(waited) == 1:
            raise KeyboardInterrupt
        wait(workers)

    monkeypatch.setattr(Workers, "_wait_for_workers", interrupted)
    endless = {**SETTINGS, "max_iter": 10**9, "n_iter_no_change": np.inf}
    model = MLPRegressor(n_ensemble=3, **endless)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, X[:, 0])
    assert len(waited) == 2 and not hasattr(model, "estimators_")


def test_members_share_the_time():
    """The share grows with the members that are trained at once; test_max_seconds.py trains them by a clock."""
    for n_threads, share in [(1, 2.5), (2, 5.0), (8, 10.0)]:
        model = MLPRegressor(n_ensemble=4, n_threads=n_threads, max_seconds=10, **SETTINGS)
        assert model._shares_of_members(n_threads)["max_seconds"] == share
        assert [member.max_seconds for member in model.fit(X, X[:, 0]).estimators_] == [10] * 4


def test_an_ensemble_is_fitted_by_one_thread_at_a_time():
    model = MLPRegressor(n_ensemble=2, **SETTINGS)
    with pytest.raises(RuntimeError, match="a fit of this estimator is under way"):
        model.fit(X, X[:, 0], callbacks=[lambda info: model.fit(X, X[:, 0]) and None])


SMALL = {"max_iter": 60, "n_ensemble": 2}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@parametrize_with_checks([MLPClassifier(**SMALL), MLPRegressor(**SMALL)])
def test_check_estimator(estimator, check):
    check(estimator)
