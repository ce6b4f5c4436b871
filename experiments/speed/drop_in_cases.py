"""Data sets and settings of the same fits by scikit-learn's estimators and by fastmlp's, and one fit."""

import importlib
import time
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MODULES = {"fastmlp": "fastmlp", "scikit-learn": "sklearn.neural_network"}


@dataclass(frozen=True)
class Case:
    """One data set, and the settings of its estimator."""

    source: str  # a function of `sklearn.datasets`, or "images": the file of `Estimators`
    arguments: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    regression: bool = False
    dtype: str = "float64"


SHOWN = {
    "iris": Case("load_iris"),
    "wine": Case("load_wine"),
    "breast cancer": Case("load_breast_cancer"),
    "digits": Case("load_digits"),
    "diabetes": Case("load_diabetes", regression=True),
    "Friedman 1": Case("make_friedman1", {"n_samples": 2000, "random_state": 0}, regression=True),
}
"""With the estimators' defaults."""

SMALL = {
    **{name: SHOWN[name] for name in ("iris", "wine", "breast cancer", "digits", "diabetes")},
    "linnerud": Case("load_linnerud", regression=True),
    "moons": Case("make_moons", {"n_samples": 300, "noise": 0.2}),
    "circles": Case("make_circles", {"n_samples": 300, "noise": 0.1}),
    "blobs": Case("make_blobs", {"n_samples": 300, "centers": 6}),
    "quantiles": Case("make_gaussian_quantiles", {"n_samples": 500}),
    "Hastie": Case("make_hastie_10_2", {"n_samples": 1000}),
    "labels": Case("make_multilabel_classification", {"n_samples": 300}),
    "classification": Case("make_classification", {"n_samples": 500}),
    "wide classification": Case("make_classification", {"n_samples": 200, "n_features": 300}),
    "lbfgs": Case("make_classification", {"n_samples": 200}, {"solver": "lbfgs"}),
    "early stopping": Case("make_classification", {"n_samples": 500}, {"early_stopping": True}),
    "sgd": Case("make_classification", {"n_samples": 500}, {"solver": "sgd"}),
    "Friedman 2": Case("make_friedman2", {"n_samples": 300}, regression=True),
    "Friedman 3": Case("make_friedman3", {"n_samples": 300}, regression=True),
    "many targets": Case("make_regression", {"n_samples": 300, "n_targets": 5}, regression=True),
}
"""Most have a few hundred rows, and a fit takes milliseconds."""


def images(hidden: tuple[int, ...], dtype: str, max_iter: int) -> Case:
    return Case("images", {}, {"hidden_layer_sizes": hidden, "max_iter": max_iter}, dtype=dtype)


class Estimators:
    """Those of one library, for `process.Process`. The file `digits` is an .npz file: X of uint8, y."""

    def __init__(self, library: str, digits: str) -> None:
        self._module = importlib.import_module(MODULES[library])
        self._digits = digits

    def _data(self, case: Case) -> tuple[np.ndarray, np.ndarray]:
        from sklearn import datasets
        from sklearn.preprocessing import scale

        if case.source == "images":
            with np.load(self._digits) as arrays:
                X, y = arrays["X"] / 255, arrays["y"]
        elif case.source.startswith("load_"):
            X, y = getattr(datasets, case.source)(return_X_y=True)
            X = scale(X)
        else:
            X, y = getattr(datasets, case.source)(**{"random_state": 0, **case.arguments})
        return X.astype(case.dtype), y

    def fit(self, case: dict[str, Any], parameters: str) -> dict[str, float]:
        """Seconds of a fit, training score and epochs; the fitted arrays are saved to the file `parameters`."""
        chosen = Case(**case)
        X, y = self._data(chosen)
        kind = getattr(self._module, "MLPRegressor" if chosen.regression else "MLPClassifier")
        settings = {name: tuple(v) if isinstance(v, list) else v for name, v in chosen.settings.items()}
        model = kind(random_state=0, **settings)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some do not converge within their default of 200 epochs
            start = time.perf_counter()
            model.fit(X, y)
            seconds = time.perf_counter() - start
        np.savez(parameters, *model.coefs_, *model.intercepts_)
        return {"seconds": seconds, "score": float(model.score(X, y)), "epochs": int(model.n_iter_), "rows": len(X)}
