"""One fit in a process of its own, for `speed.process`: errors on the test rows, and seconds."""

import importlib
import time
from contextlib import closing

import numpy as np
from speed import libraries
from speed.process import Process

from tabular import data
from tabular.data import Problem
from tabular.methods import METHODS

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")  # of what has no argument for it
MIN_PROBABILITY = float(np.finfo(np.float32).eps)  # some predict float32, in which a class can have none at all
TINY_ROWS = 200


def fit(method: str, name: str, seed: int, threads: int, max_rows: int | None) -> dict[str, float]:
    """Fits a method to a table in a new process, which has loaded all that the fit needs before its clock starts."""
    environment = {**libraries.best_environment(), **dict.fromkeys(THREADS, str(threads))}
    with closing(Process("tabular.fits", "Fits", method, str(threads), environment=environment)) as process:
        return process.call("fit", name=name, seed=seed, max_rows=max_rows)


class Fits:
    def __init__(self, method: str, threads: str) -> None:
        self._method = METHODS[method]
        module, _, function = self._method.function.partition(":")
        self._function = getattr(importlib.import_module(f"tabular.{module}"), function)
        self._threads = int(threads)

    def fit(self, name: str, seed: int, max_rows: int | None) -> dict[str, float]:
        X, y, classes = data.read(name, max_rows)
        rows = data.split(y, seed, stratified=bool(classes))
        train, validation, (X_test, y_test) = ((X.iloc[part].reset_index(drop=True), y[part]) for part in rows)
        problem = Problem(*train, *validation, classes, seed, self._threads)
        small = tiny(classes, self._threads)
        self._function(small, **{**self._method.settings, **self._method.short})(small.X)
        start = time.perf_counter()
        predict = self._function(problem, **self._method.settings)
        fitted = time.perf_counter()
        predicted = predict(X_test)
        seconds = {"fit_seconds": fitted - start, "predict_seconds": time.perf_counter() - fitted}
        return {**errors(predicted, y_test, classes), **seconds, "rows": len(rows.train)}


def errors(predicted: np.ndarray, y: np.ndarray, classes: int) -> dict[str, float]:
    """Error rate and log loss of probabilities, or root mean squared error of values."""
    predicted = np.asarray(predicted, np.float64)
    if not classes:
        return {"error": float(np.sqrt(np.mean((predicted.reshape(y.shape) - y) ** 2)))}
    of_label = predicted[np.arange(len(y)), y]
    return {
        "error": float(np.mean(predicted.argmax(axis=1) != y)),
        "log_loss": float(-np.log(np.maximum(of_label, MIN_PROBABILITY)).mean()),
    }


def tiny(classes: int, threads: int) -> Problem:
    """Random rows with a number and a category."""
    import pandas as pd

    rng = np.random.default_rng(0)
    X = pd.DataFrame({"number": rng.normal(size=TINY_ROWS), "category": rng.choice(["a", "b", "c"], TINY_ROWS)})
    X["category"] = X["category"].astype("category")
    y = np.arange(TINY_ROWS) % classes if classes else rng.normal(size=TINY_ROWS)
    return Problem(X, y, X, y, classes, 0, threads)
