"""scikit-learn's callbacks in the estimators: the order of the hooks, their model, and scikit-learn's own callbacks."""

import pickle

import numpy as np
import pytest

callback = pytest.importorskip("sklearn.callback", reason="scikit-learn has callbacks from 1.9 on")

from fastmlp import MLPClassifier, MLPRegressor
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 4))
LABELS = np.array(["no", "yes"])[(X[:, 0] > 0).astype(int)]
SETTINGS = dict(hidden_layer_sizes=(5,), max_iter=4, random_state=0)


class Recorder:
    """Keeps the calls of the hooks, and what `look` returns of the models at the ends of epochs."""

    def __init__(self, look=None, stop_at=None):
        self.calls, self.seen, self.look, self.stop_at = [], [], look, stop_at

    def setup(self, estimator, context):
        self.calls.append("setup")

    def teardown(self, estimator, context):
        self.calls.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None, metadata=None):
        self.calls.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
        self.calls.append(f"end {context.task_name}")
        if self.look is not None:
            self.seen.append(self.look(estimator, fitted_estimator, X, y, metadata))
        return context.task_name == "epoch" and context.task_id + 1 == self.stop_at


def look_at_nothing(*arguments):
    """But the model is made."""


class PropagatedRecorder(Recorder):
    max_propagation_depth = None


def of_epochs(epochs):
    return ["setup", "begin fit", *["begin epoch", "end epoch"] * epochs, "end fit", "teardown"]


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_hooks_are_called_in_order(solver):
    recorder = Recorder()
    model = MLPClassifier(solver=solver, **SETTINGS).set_callbacks(recorder)
    assert model.fit(X, LABELS) is model
    assert recorder.calls == of_epochs(model.n_iter_) and model.n_iter_ > 1
    assert set(vars(model)) - set(vars(MLPClassifier(solver=solver, **SETTINGS).fit(X, LABELS))) == {"_skl_callbacks"}


def test_partial_fit_is_a_fit_of_one_epoch():
    recorder = Recorder()
    model = MLPRegressor(**SETTINGS).set_callbacks(recorder)
    model.partial_fit(X, X[:, 0]).partial_fit(X, X[:, 0])
    assert recorder.calls == of_epochs(1) * 2


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_callbacks_change_no_bit_of_the_model(solver):
    plain = MLPClassifier(solver=solver, **SETTINGS).fit(X, LABELS)
    watched = MLPClassifier(solver=solver, **SETTINGS).set_callbacks(Recorder(look=look_at_nothing))
    watched.fit(X, LABELS)
    for ours, other in zip(watched.coefs_ + watched.intercepts_, plain.coefs_ + plain.intercepts_):
        np.testing.assert_array_equal(ours, other)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_callback_gets_the_model_of_its_epoch(solver):
    """The same as that of a fit which ends there."""
    weights = RNG.uniform(0.5, 1.0, len(X))

    def look(estimator, fitted, inputs, targets, metadata):
        assert estimator is model and fitted is not model
        assert inputs is X and targets is LABELS and metadata == {"sample_weight": weights}
        return fitted

    recorder = Recorder(look=look)
    model = MLPClassifier(solver=solver, **SETTINGS).set_callbacks(recorder)
    model.fit(X, LABELS, weights)
    assert len(recorder.seen) == model.n_iter_ + 1
    for epoch, fitted in enumerate(recorder.seen[:-1], start=1):
        shorter = clone(model).set_params(max_iter=epoch)
        shorter.set_callbacks().fit(X, LABELS, weights)
        np.testing.assert_array_equal(fitted.predict_proba(X), shorter.predict_proba(X))
        assert fitted.n_iter_ == epoch and fitted.history_.loss == shorter.history_.loss
    np.testing.assert_array_equal(recorder.seen[-1].predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_callback_ends_the_fit(solver):
    recorder = Recorder(stop_at=2)
    model = MLPRegressor(solver=solver, **SETTINGS).set_callbacks(recorder).fit(X, X[:, 0])
    assert model.n_iter_ == 2 and recorder.calls == of_epochs(2)


def test_an_error_tears_down_and_changes_nothing():
    recorder = Recorder()
    model = MLPClassifier(**SETTINGS).set_callbacks(recorder)
    before = dict(vars(model))
    with pytest.raises(ValueError, match="inconsistent"):
        model.fit(X, LABELS[1:])
    assert recorder.calls == ["setup", "begin fit", "teardown"] and vars(model) == before


def test_scoring_monitor_scores_every_epoch():
    monitor = callback.ScoringMonitor(scoring="accuracy")
    model = MLPClassifier(early_stopping=True, **SETTINGS).set_callbacks(monitor).fit(X, LABELS)
    logged = monitor.get_logs().data
    of_epoch = [row["accuracy"] for row in logged if row["task_name"] == "epoch"]
    assert len(of_epoch) == model.n_iter_
    assert [row["accuracy"] for row in logged if row["task_name"] == "fit"] == [model.score(X, LABELS)]


def test_meta_estimators_pass_their_callbacks_on():
    recorder = PropagatedRecorder()
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(**SETTINGS)).set_callbacks(recorder).fit(X, LABELS)
    assert recorder.calls.count("begin epoch") == recorder.calls.count("end epoch") == 4
    assert recorder.calls.count("setup") == recorder.calls.count("teardown") == 1
    assert not hasattr(pipeline[-1], "_skl_callbacks")
    pickle.dumps(pipeline[-1])


def test_an_estimator_in_a_search_keeps_its_own_callbacks():
    monitor = callback.ScoringMonitor(scoring="accuracy")
    model = MLPClassifier(**SETTINGS).set_callbacks(monitor)
    GridSearchCV(model, {"alpha": [1e-4, 1.0]}, cv=2).fit(X, LABELS)
    of_epoch = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert len(of_epoch) == 4 * (2 * 2 + 1)  # epochs of the fits of the search, and of the last one on all rows


def test_members_of_an_ensemble_are_subtasks():
    """A callback that scikit-learn propagates follows their epochs, others see the ensemble."""
    recorder, of_ensemble = PropagatedRecorder(), Recorder(look=lambda estimator, fitted, *rest: fitted)
    model = MLPClassifier(n_ensemble=3, **SETTINGS).set_callbacks(recorder, of_ensemble).fit(X, LABELS)
    assert recorder.calls.count("end epoch") == 3 * 4
    assert of_ensemble.calls == ["setup", "begin fit", *of_ensemble.calls[2:-2], "end fit", "teardown"]
    assert sorted(of_ensemble.calls[2:-2]) == ["begin member"] * 3 + ["end member"] * 3
    np.testing.assert_array_equal(of_ensemble.seen[-1].predict_proba(X), model.predict_proba(X))
    plain = MLPClassifier(n_ensemble=3, **SETTINGS).fit(X, LABELS)
    assert all(set(vars(ours)) == set(vars(other)) for ours, other in zip(model.estimators_, plain.estimators_))
    np.testing.assert_array_equal(model.predict_proba(X), plain.predict_proba(X))


def test_progress_bar_draws(capsys):
    pytest.importorskip("rich", reason="scikit-learn draws its progress bars with rich")
    MLPClassifier(**SETTINGS).set_callbacks(callback.ProgressBar()).fit(X, LABELS)
    assert "MLPClassifier" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # their data of infinite values, before they are rejected
@parametrize_with_checks(
    [
        MLPClassifier(max_iter=20).set_callbacks(Recorder(look=look_at_nothing)),
        MLPRegressor(max_iter=20).set_callbacks(Recorder(look=look_at_nothing)),
    ]
)
def test_check_estimator_with_callbacks(estimator, check):
    check(estimator)
