"""What an estimator is while a fit is under way, after a fit that failed, and after parameters have changed."""

import copy
import pickle
import threading
import warnings

import numpy as np
import pytest
from estimator_problems import THEIRS, diabetes, scaled
from fastmlp import DivergenceError, MLPClassifier, MLPRegressor, core_calls
from fastmlp.activations import ACTIVATIONS
from fastmlp.losses import REGRESSION_LOSSES
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import accuracy_score, r2_score

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

PROBLEMS = {MLPClassifier: scaled(load_iris), MLPRegressor: diabetes()}
SOLVERS = ["sgd", "adam", "lbfgs"]


def predictions(model, X):
    """Of every method."""
    methods = [model.predict, model.to_network().forward]
    if hasattr(model, "predict_proba"):
        methods += [model.predict_proba, model.predict_log_proba]
    return [method(X) for method in methods]


def assert_equal(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_arguments_may_be_passed_by_keyword():
    for Mlp, (X, y) in PROBLEMS.items():
        model = Mlp(hidden_layer_sizes=(3,), max_iter=2, random_state=0).fit(X=X, y=y)
        for name in ("predict", "predict_proba", "predict_log_proba"):
            if hasattr(model, name):
                np.testing.assert_array_equal(getattr(model, name)(X=X), getattr(model, name)(X))


# Under way


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("Mlp", PROBLEMS)
def test_other_threads_see_the_former_model_until_the_fit_ends(Mlp, solver):
    X, y = PROBLEMS[Mlp]
    model = Mlp(hidden_layer_sizes=(20,), solver=solver, random_state=0, max_iter=15).fit(X, y)
    before, attributes = predictions(model, X), dict(vars(model))
    score = (accuracy_score if Mlp is MLPClassifier else r2_score)(y, model.predict(X))
    started, go_on, failures = threading.Event(), threading.Event(), []

    def wait(info):
        started.set()
        assert go_on.wait(60)

    def refit():
        try:
            model.fit(X[::2], y[::2], callbacks=[wait])
        except BaseException as failure:
            failures.append(failure)

    model.random_state = 1
    thread = threading.Thread(target=refit)
    thread.start()
    assert started.wait(60)
    assert_equal(predictions(model, X), before)
    assert_equal(predictions(pickle.loads(pickle.dumps(model)), X), before)
    assert_equal(predictions(copy.deepcopy(model), X), before)
    assert model.score(X, y) == pytest.approx(score)
    assert {name: id(value) for name, value in vars(model).items() if name != "random_state"} == {
        name: id(value) for name, value in attributes.items() if name != "random_state"
    }
    go_on.set()
    thread.join()
    assert not failures
    expected = Mlp(hidden_layer_sizes=(20,), solver=solver, random_state=1, max_iter=15).fit(X[::2], y[::2])
    assert_equal(predictions(model, X), predictions(expected, X))


@pytest.mark.parametrize("Mlp", PROBLEMS)
def test_curves_of_earlier_calls_stay_as_they_are(Mlp):
    X, y = PROBLEMS[Mlp]
    model = Mlp(hidden_layer_sizes=(20,), random_state=0)
    classes = {"classes": np.unique(y)} if Mlp is MLPClassifier else {}
    model.partial_fit(X, y, **classes, eval_set=(X, y))
    names = ("loss_curve_", "validation_scores_", "validation_loss_curve_")
    curves = [getattr(model, name) for name in names] + [model.history_.loss]
    model.partial_fit(X, y, eval_set=(X, y))
    assert list(map(len, curves)) == [1] * 4
    assert [len(getattr(model, name)) for name in names] + [len(model.history_.loss)] == [2] * 4


@pytest.mark.parametrize("Mlp", PROBLEMS)
def test_predictions_during_refits_are_those_of_one_of_the_models(Mlp):
    X, y = PROBLEMS[Mlp]
    models = [Mlp(hidden_layer_sizes=(9,), random_state=seed, max_iter=3).fit(X, y) for seed in range(2)]
    expected = [model.predict(X[:5]).tolist() for model in models]
    model, stop, seen = copy.deepcopy(models[0]), threading.Event(), []

    def predict():
        while not stop.wait(0.001):  # without a pause, each fit would wait for the GIL most of the time
            seen.append(model.predict(X[:5]).tolist())

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        threads = [threading.Thread(target=predict) for _ in range(2)]
        for thread in threads:
            thread.start()
        for turn in range(1, 60):
            model.set_params(random_state=turn % 2).fit(X, y)
        stop.set()
        for thread in threads:
            thread.join()
    assert len(seen) > 20
    assert all(each in expected for each in seen)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("Mlp", PROBLEMS)
def test_callbacks_see_the_model_of_this_moment(Mlp, solver):
    X, y = PROBLEMS[Mlp]
    model, losses = Mlp(hidden_layer_sizes=(7,), solver=solver, random_state=0, max_iter=4), []

    def look(info):
        np.testing.assert_array_equal(model.to_network().weights[0], info.network.weights[0].astype(X.dtype))
        for found in predictions(model, X):
            assert len(found) == len(X)
        losses.append(model.score(X, y))

    for _ in range(2):  # new, and again
        losses.clear()
        model.fit(X, y, callbacks=[look])
        assert len(set(losses)) > 1
        assert model.score(X, y) == losses[-1]


def test_no_thread_sees_a_model_before_its_first_fit_has_ended():
    X, y = PROBLEMS[MLPClassifier]
    model, found = MLPClassifier((3,), max_iter=2), []

    def elsewhere():
        for method in (model.predict, model.predict_proba):
            with pytest.raises(NotFittedError):
                method(X)
        found.append(sorted(name for name in vars(model) if name.endswith("_")))

    def look(info):
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()

    model.fit(X, y, callbacks=[look])
    assert found == [[], []]


# Half done


def infinite(model, X, y):
    model.fit(np.where(X == X[3, 1], np.inf, X), y)


def rows_short(model, X, y):
    model.fit(X[:-1], y)


def no_weight_held_out(model, X, y):
    weights = np.zeros(len(X))
    weights[:1] = 1
    model.set_params(early_stopping=True).fit(X, y, weights)


def no_weight_held_out_loss(model, X, y):
    model.set_params(stopping_metric="loss")
    no_weight_held_out(model, X, y)


def weights_that_cancel(model, X, y):
    weights = np.where(np.arange(len(X)) % 2, 1.0, -1.0)
    model.set_params(early_stopping=True, validation_fraction=0.5, random_state=0).fit(X, y, weights - weights.mean())


def one_row_held_out(model, X, y):
    model.set_params(early_stopping=True, validation_fraction=1e-9).fit(X, y)


def eval_set_too_wide(model, X, y):
    model.fit(X, y, eval_set=(X[:, :-1], y))


def eval_set_of_text(model, X, y):
    model.fit(X, y, eval_set=(X, [object()] * len(y)))


def negative_weights(model, X, y):
    model.fit(X, y, -np.ones(len(X)))


FAILURES = [
    *(infinite, rows_short, no_weight_held_out, no_weight_held_out_loss, weights_that_cancel, one_row_held_out),
    *(eval_set_too_wide, eval_set_of_text, negative_weights),
]


@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("fail", FAILURES)
@pytest.mark.parametrize("Mlp", PROBLEMS)
def test_a_fit_that_fails_before_the_first_step_changes_nothing(Mlp, fail, solver, monkeypatch):
    X, y = PROBLEMS[Mlp]
    calls, train = [], core_calls.train
    monkeypatch.setattr(core_calls, "train", lambda *given, **more: calls.append(1) or train(*given, **more))
    for fitted in (False, True):
        model = Mlp(hidden_layer_sizes=(5,), solver=solver, max_iter=2, random_state=0)
        if fitted:
            model.fit(X, y)
            assert calls
            calls.clear()
        before = {name: id(value) for name, value in vars(model).items() if name not in model.get_params()}
        with pytest.raises((ValueError, TypeError)) as caught:
            model.set_params(max_iter=3)
            fail(model, X, y)
        assert not isinstance(caught.value, DivergenceError) and not calls
        assert {name: id(value) for name, value in vars(model).items() if name not in model.get_params()} == before


def test_class_weights_may_leave_nothing_held_out():
    X, y = PROBLEMS[MLPClassifier]
    rare = np.where(np.arange(len(y)) < 3, 0, 1)
    model = MLPClassifier(early_stopping=True, class_weight={1: 0.0, 0: 1.0}, random_state=0)
    with pytest.raises(ValueError, match="early_stopping must have a positive sum"):
        model.fit(X, rare)


# Parameters that change


def test_settings_of_another_loss_wait_for_the_next_fit():
    X, y = PROBLEMS[MLPRegressor]
    model = MLPRegressor(hidden_layer_sizes=(6,), loss="poisson", random_state=0).partial_fit(X, np.abs(y))
    before = model.predict(X)
    model.set_params(loss="huber", loss_settings={"delta": 2.0})
    assert_equal(model.to_network().predict(X), before)


@pytest.mark.parametrize("loss", REGRESSION_LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_training_and_predictions_agree_for_every_part(activation, loss):
    """Also for parts that scikit-learn lacks, and that replace others between calls."""
    X, y = PROBLEMS[MLPRegressor]
    y = y - y.min() + 1
    for start in (activation, "tanh"):
        model = MLPRegressor(
            hidden_layer_sizes=(6,),
            activation=start,
            loss="squared_error",
            random_state=0,
            solver="sgd",
            learning_rate_init=1e-3,
        )
        model.set_params(alpha=0, batch_size=len(X), momentum=0)
        model.partial_fit(X, y)
        model.set_params(activation=activation, loss=loss).partial_fit(X, y)
        before = model.to_network()
        model.partial_fit(X, y)
        assert model.loss_ == pytest.approx(before.evaluate(X, y).loss, rel=1e-12)
        assert (
            before.activation == activation and before.spec.loss_row.output == model.to_network().spec.loss_row.output
        )


CHANGES = {
    "activation": ["relu", "tanh", "logistic", "identity"],
    "alpha": [0.0, 1e-2],
    "batch_size": ["auto", 7, 20],
    "learning_rate": ["constant", "invscaling", "adaptive"],
    "learning_rate_init": [1e-3, 1e-2],
    "momentum": [0.0, 0.7],
    "nesterovs_momentum": [True, False],
    "beta_1": [0.9, 0.5],
    "epsilon": [1e-8, 1e-3],
    "max_iter": [1, 3],
    "shuffle": [True, False],
    "random_state": [0, 1],
    "tol": [1e-4, 0.5],
    "n_iter_no_change": [1, 10],
    "warm_start": [False, True],
    "early_stopping": [False, True],
    "solver": ["sgd", "adam"],
}


class Walk:
    """The same steps on our estimator and scikit-learn's."""

    def __init__(self, Mlp, seed):
        self.rng = np.random.default_rng(seed)
        self.X = self.rng.normal(size=(40, 4))
        values = np.sin(self.X @ self.rng.normal(size=(4, 2)))
        self.y = values[:, 0] if Mlp is MLPRegressor else values.argmax(axis=1) + (values[:, 0] > 0.5)
        settings = dict(hidden_layer_sizes=(5,), random_state=0, max_iter=3)
        self.pair = [Mlp(**settings), THEIRS[Mlp](**settings)]
        self.classifies = Mlp is MLPClassifier
        self.done = []

    def both(self, call):
        """What the call returns for each, or the kind of exception.

        scikit-learn fails with a TypeError or AttributeError, and ours goes on, if early_stopping has changed since the
        first fit; and its estimator is half changed after an error.
        """
        before, results = copy.deepcopy(self.pair[1]), []
        for model in self.pair:
            try:
                results.append(call(model))
            except (ValueError, TypeError, AttributeError) as error:
                results.append(type(error))
        if isinstance(results[1], type) and results[1] in (TypeError, AttributeError):
            self.pair = [clone(model) for model in self.pair]
            return None
        if isinstance(results[1], type):
            self.pair[1] = before
        assert isinstance(results[0], type) == isinstance(results[1], type), (self.done, results)
        return results

    def fit(self):
        weights = self.rng.uniform(0.5, 2, 40) if self.rng.random() < 0.3 else None
        return self.both(lambda model: model.fit(self.X, self.y, weights) and None)

    def partial_fit(self):
        classes = {"classes": np.unique(self.y)} if self.classifies else {}
        rows = np.sort(self.rng.permutation(40)[:30])
        return self.both(lambda model: model.partial_fit(self.X[rows], self.y[rows], **classes) and None)

    def set_params(self):
        name = self.rng.choice(list(CHANGES))
        value = CHANGES[name][self.rng.integers(len(CHANGES[name]))]
        self.done[-1] += f"({name}={value!r})"
        return self.both(lambda model: model.set_params(**{name: value}) and None)

    def predict(self):
        method = "predict_proba" if self.classifies else "predict"
        return self.both(lambda model: getattr(model, method)(self.X))

    def score(self):
        return self.both(lambda model: model.score(self.X, self.y))

    def copy(self):
        self.pair = [pickle.loads(pickle.dumps(copy.deepcopy(model))) for model in self.pair]

    def clone(self):
        if self.rng.random() < 0.3:
            self.pair = [clone(model) for model in self.pair]

    def change_weights(self):
        if hasattr(self.pair[0], "coefs_"):
            for model in self.pair:
                model.coefs_[0][1] *= 0.5
                model.intercepts_[-1] = model.intercepts_[-1] + 0.1

    def step(self):
        name = self.rng.choice(
            "fit partial_fit partial_fit set_params set_params predict score copy clone change_weights".split()
        )
        self.done.append(name)
        found = getattr(self, name)()
        for pair in (found, self.predict()):
            if pair is not None and pair[0] is not None:
                if isinstance(pair[0], type):
                    assert issubclass(pair[0], pair[1]), (self.done, pair)
                else:
                    np.testing.assert_allclose(*pair, rtol=1e-7, atol=1e-9, err_msg=str(self.done))
        for name in ("n_iter_", "t_", "loss_"):
            if hasattr(self.pair[1], name):
                ours, theirs = (getattr(model, name) for model in self.pair)
                np.testing.assert_allclose(ours, theirs, rtol=1e-7, err_msg=f"{name} after {self.done}")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("Mlp", PROBLEMS)
def test_a_random_walk_through_the_methods_is_scikit_learns(Mlp, seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        walk = Walk(Mlp, seed)
        for _ in range(25):
            walk.step()


@pytest.mark.parametrize("rule", ["invscaling", "adaptive"])
def test_schedules_are_those_of_sgd_alone(rule):
    X, y = PROBLEMS[MLPClassifier]
    models = [
        MLPClassifier((5,), learning_rate=each, tol=1.0, n_iter_no_change=1, random_state=0).fit(X, y)
        for each in ("constant", rule)
    ]
    assert_equal(models[1].coefs_, models[0].coefs_)
    assert models[1].n_iter_ == models[0].n_iter_
