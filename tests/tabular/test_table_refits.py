"""Tabular estimators while a fit runs: in other threads, and in functions that the fit calls."""

import threading

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6", reason="needs scikit-learn")

from fastmlp.tabular import RealMLPClassifier, RealMLPRegressor  # noqa: E402

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3)).round()
LABELS = np.arange(40) % 5
SMALL = {"hidden_sizes": (4,), "n_epochs": 1, "n_threads": 1, "random_state": 0}
DEFAULTS = {
    RealMLPClassifier: {"calibrate": False, "categorical_features": "auto"},
    RealMLPRegressor: {"categorical_features": "auto"},
}


@pytest.mark.parametrize("method", ["predict", "score"])
@pytest.mark.parametrize(
    "kind, first, second",
    [
        (RealMLPClassifier, ({"calibrate": True}, LABELS), ({"categorical_features": [0, 2]}, LABELS % 2)),
        (RealMLPRegressor, ({}, 1e9 * X[:, 0]), ({"categorical_features": [0, 2]}, X[:, 1])),
    ],
)
def test_predictions_during_refits_are_those_of_one_of_the_models(kind, first, second, method):
    fits = [first, second]
    arguments = (X[:5], LABELS[:5]) if method == "score" else (X[:5],)

    def fit(model, turn):
        settings, y = fits[turn % 2]
        return model.set_params(**(DEFAULTS[kind] | settings)).fit(X, y)

    expected = [np.asarray(getattr(fit(kind(**SMALL), turn), method)(*arguments)).tolist() for turn in range(2)]
    model, stop, seen = fit(kind(**SMALL), 0), threading.Event(), []

    def predict():
        while not stop.wait(1e-4):
            try:
                seen.append(np.asarray(getattr(model, method)(*arguments)).tolist())
            except Exception as error:
                seen.append(repr(error))

    threads = [threading.Thread(target=predict) for _ in range(2)]
    for thread in threads:
        thread.start()
    for turn in range(1, 80):
        fit(model, turn)
    stop.set()
    for thread in threads:
        thread.join()
    assert len(seen) > 20
    assert [each for each in seen if each not in expected] == []


def test_parameters_that_are_set_during_a_fit_stay_set():
    def metric(y, predictions):
        model.set_params(lr=0.5, n_epochs=7)
        return 1.0

    model = RealMLPRegressor(validation_metric=metric, **SMALL)
    model.fit(X, X[:, 0])
    assert (model.lr, model.n_epochs, len(model.history_.loss)) == (0.5, 7, 1)
