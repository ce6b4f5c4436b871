"""Metrics of your own in `fit`: functions of y and predictions, measured on the validation data after each epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from . import training_data

__all__ = ["mean_squared_error"]

TAKEN = ("loss", "accuracy")
"""The names of the metrics that every fit measures."""

BY_WEIGHT = ": it gets sample_weight, because the rows have weights"
"""What to say about a function that has no such argument."""


def mean_squared_error(y: Any, predictions: Any, sample_weight: Any = None) -> float:
    """The mean of ``(predictions - y)**2`` over rows and outputs.

    The loss ``squared_error`` is half of the square, summed over the outputs: ``outputs / 2`` times this mean.

    Parameters
    ----------
    y, predictions : array, shape (samples,) or (samples, outputs), both the same
    sample_weight : array, shape (samples,), optional
        Weights of the rows, with a positive sum.

    Raises
    ------
    ValueError
        If shapes differ, there is no row, or the sum of the weights is not positive.

    Examples
    --------
    >>> import fastmlp
    >>> fastmlp.metrics.mean_squared_error([1.0, 2.0], [1.0, 4.0])
    2.0
    """
    y, predictions = np.asarray(y, np.float64), np.asarray(predictions, np.float64)
    if y.shape != predictions.shape or not y.ndim or not y.size:
        raise ValueError(
            f"y and predictions must have the same shape, with at least one row, got {y.shape} and {predictions.shape}"
        )
    weights = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, np.float64)
    if weights.shape != y.shape[:1]:
        raise ValueError(f"sample_weight must have shape ({len(y)},), got {weights.shape}")
    if not weights.sum() > 0:
        raise ValueError(f"sample_weight must have a positive sum, got {weights.sum():g}")
    return float(np.average(((predictions - y) ** 2).reshape(len(y), -1).mean(axis=1), weights=weights))


class OwnMetrics:
    """The functions that a fit was given, with the rows that they are measured on."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]], sets: Mapping[str, tuple[Any, Any, Any]]) -> None:
        self._functions, self._sets = functions, sets

    def of(self, network: Any, n_threads: int) -> dict[str, float]:
        """Each function of each set, as <set>_<function>."""
        found = {}
        for name, (X, y, weights) in self._sets.items():
            outputs = network.forward(X, n_threads)
            if y.ndim == 1 and outputs.shape[1] == 1:
                outputs = outputs[:, 0]
            for key, function in self._functions.items():
                weighted = {} if weights is None else {"sample_weight": weights.copy()}
                # copies, as the function may write into them
                found[f"{name}_{key}"] = _number(key, function, y.copy(), outputs.copy(), weighted)
        return found


def _number(key: str, function: Callable[..., Any], y: np.ndarray, outputs: np.ndarray, more: dict[str, Any]) -> float:
    try:
        value = function(y, outputs, **more)
        if np.ndim(value) != 0:
            raise TypeError(f"a metric must be a number, got an array of shape {np.shape(value)}")
        return float(value)
    except Exception as error:
        error.add_note(f"metrics[{key!r}]{BY_WEIGHT if more and 'sample_weight' in str(error) else ''}")
        raise


def check_metrics(metrics: Any) -> dict[str, Callable[..., Any]]:
    """By name; empty for None."""
    if metrics is None:
        return {}
    if not isinstance(metrics, Mapping):
        raise TypeError(f"metrics must be a dict of functions of y and predictions, got {metrics!r}")
    for name, function in metrics.items():
        if not isinstance(name, str) or not name.isidentifier() or name in TAKEN:
            raise ValueError(
                "the names in metrics must be identifiers such as 'auc', other than"
                f" {' and '.join(map(repr, TAKEN))}, got {name!r}"
            )
        if not callable(function):
            raise TypeError(f"metrics[{name!r}] must be a function of y and predictions, got {function!r}")
    return dict(metrics)


def on_sets(functions: Mapping[str, Callable[..., Any]], validation_data: Any, features: int) -> OwnMetrics | None:
    """The checked functions, to be measured on checked validation_data; None without functions."""
    if not functions:
        return None
    sets, given = {}, training_data.validation_sets(validation_data)
    if not given:
        raise ValueError("metrics are measured on validation data: pass validation_data")
    for name, (X, y, weights) in given.items():
        weights = None if weights is None else training_data.as_array("sample_weight", weights)
        sets[name] = (training_data.check_input_array(X, features), training_data.as_array("y", y), weights)
    return OwnMetrics(functions, sets)
