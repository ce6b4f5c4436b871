"""scikit-learn's callbacks in the estimators for tables: the order of the hooks, their model, and scikit-learn's own."""

import numpy as np
import pandas as pd
import pytest

callback = pytest.importorskip("sklearn.callback", reason="scikit-learn has callbacks from 1.9 on")

from fastmlp.tabular import RealMLPClassifier, RealMLPRegressor, TabMClassifier, TabMRegressor
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import (
    check_sample_weight_equivalence_on_dense_data,
    parametrize_with_checks,
)

RNG = np.random.default_rng(0)
X = pd.DataFrame({"number": RNG.standard_normal(60), "category": RNG.choice(["a", "b"], 60)})
LABELS = np.where(X["number"] + (X["category"] == "a") > 0.5, "yes", "no")
SMALL = {
    RealMLPClassifier: dict(hidden_sizes=(6,), n_epochs=4, random_state=0),
    RealMLPRegressor: dict(hidden_sizes=(6,), n_epochs=4, random_state=0),
    TabMClassifier: dict(n_blocks=1, d_block=8, k=2, n_epochs=4, random_state=0),
    TabMRegressor: dict(n_blocks=1, d_block=8, k=2, n_epochs=4, random_state=0),
}


def small(kind, **settings):
    return kind(**SMALL[kind], **settings)


def targets_of(kind):
    return LABELS if kind.__name__.endswith("Classifier") else X["number"].to_numpy() ** 2


class Recorder:
    """Keeps the calls of the hooks, and the models at the ends of tasks."""

    def __init__(self, stop_at=None):
        self.calls, self.models, self.stop_at = [], [], stop_at

    def setup(self, estimator, context):
        self.calls.append("setup")

    def teardown(self, estimator, context):
        self.calls.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None):
        self.calls.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
        self.calls.append(f"end {context.task_name}")
        self.models.append(fitted_estimator)
        return context.task_name == "epoch" and context.task_id + 1 == self.stop_at


def of_epochs(epochs):
    return ["setup", "begin fit", *["begin epoch", "end epoch"] * epochs, "end fit", "teardown"]


@pytest.mark.parametrize("kind", SMALL)
def test_hooks_are_called_in_order_and_change_no_bit(kind):
    recorder = Recorder()
    model = small(kind).set_callbacks(recorder)
    assert model.fit(X, targets_of(kind)) is model
    assert recorder.calls == of_epochs(len(model.history_.loss))
    plain = small(kind).fit(X, targets_of(kind))
    np.testing.assert_array_equal(model.predict(X), plain.predict(X))
    assert set(vars(model)) - set(vars(plain)) == {"_skl_callbacks"}


@pytest.mark.parametrize("val_fraction", [0.0, 0.3])
@pytest.mark.parametrize("kind", SMALL)
def test_a_callback_gets_the_model_of_a_fit_that_ends_there(kind, val_fraction):
    recorder, y = Recorder(), targets_of(kind)
    small(kind, val_fraction=val_fraction).set_callbacks(recorder).fit(X, y)
    for epoch, shown in enumerate(recorder.models[:-1], start=1):
        ended = small(kind, val_fraction=val_fraction).set_callbacks(Recorder(stop_at=epoch)).fit(X, y)
        assert len(ended.history_.loss) == epoch
        np.testing.assert_array_equal(shown.predict(X), ended.predict(X))


def test_both_trainings_of_a_refit_are_followed():
    recorder = Recorder()
    model = small(RealMLPClassifier, refit=True).set_callbacks(recorder).fit(X, LABELS)
    assert recorder.calls == of_epochs(4 + model.best_epochs_[0])
    np.testing.assert_array_equal(recorder.models[-2].predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("refit", [False, True])
def test_networks_of_an_ensemble_are_subtasks(refit):
    recorder = Recorder()
    model = (
        small(RealMLPRegressor, n_ensemble=3, refit=refit).set_callbacks(recorder).fit(X, targets_of(RealMLPRegressor))
    )
    trainings = 2 if refit else 1
    assert recorder.calls.count("begin member") == recorder.calls.count("end member") == 3 * trainings
    assert recorder.calls.count("end epoch") == 3 * 4 + refit * sum(model.best_epochs_)
    assert recorder.calls[:2] + recorder.calls[-2:] == ["setup", "begin fit", "end fit", "teardown"]


def test_an_error_tears_down_and_changes_nothing():
    recorder = Recorder()
    model = small(TabMClassifier).set_callbacks(recorder)
    before = dict(vars(model))
    with pytest.raises(ValueError, match="inconsistent"):
        model.fit(X, LABELS[1:])
    assert recorder.calls == ["setup", "begin fit", "teardown"] and vars(model) == before


def test_scoring_monitor_scores_the_best_epoch_so_far():
    held_out = X[:20], LABELS[:20]
    monitor = callback.ScoringMonitor(scoring="accuracy")
    model = small(RealMLPClassifier).set_callbacks(monitor).fit(X, LABELS, eval_set=held_out)
    rows = monitor.get_logs().data
    assert [row["accuracy"] for row in rows if row["task_name"] == "fit"] == [model.score(X, LABELS)]
    assert len([row for row in rows if row["task_name"] == "epoch"]) == len(model.history_.loss)


def test_meta_estimators_and_clones():
    monitor = callback.ScoringMonitor(scoring="accuracy")
    search = GridSearchCV(small(RealMLPClassifier).set_callbacks(monitor), {"lr": [0.01, 0.1]}, cv=2).fit(X, LABELS)
    assert len([row for row in monitor.get_logs().data if row["task_name"] == "epoch"]) == 4 * (2 * 2 + 1)
    assert clone(search.best_estimator_)._skl_callbacks == [monitor]


def test_progress_bar_draws(capsys):
    pytest.importorskip("rich", reason="scikit-learn draws its progress bars with rich")
    small(TabMRegressor).set_callbacks(callback.ProgressBar()).fit(X, targets_of(TabMRegressor))
    assert "TabMRegressor" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # their data of infinite values, before they are rejected
@parametrize_with_checks(
    [
        RealMLPClassifier(hidden_sizes=(16,), n_epochs=30, random_state=0).set_callbacks(Recorder()),
        TabMRegressor(n_blocks=1, d_block=32, k=4, n_epochs=30, random_state=0).set_callbacks(Recorder()),
    ]
)
def test_check_estimator_with_callbacks(estimator, check):
    if check.func is check_sample_weight_equivalence_on_dense_data:
        pytest.skip("batches of random rows: a row twice is another training than a row of weight 2")
    check(estimator)
