"""Scores of validation rows, of which smaller is better."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .columns import as_double, is_number

Score = Callable[[np.ndarray, np.ndarray, "np.ndarray | None"], float]
"""Gets labels or targets, probabilities (rows, classes) or predictions (rows, outputs), and weights of the rows."""


def error_rate(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None) -> float:
    return float(np.average(probabilities.argmax(axis=1) != labels, weights=weights))


def cross_entropy(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None) -> float:
    of_label = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(np.average(-np.log(np.maximum(of_label, np.finfo(np.float32).tiny)), weights=weights))


def rmse(targets: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None) -> float:
    distances = targets - predictions
    # a power of two near the largest one, so that no square over- or underflows and no digit changes
    unit = np.ldexp(1.0, np.frexp(np.abs(distances).max())[1] - 1)
    return float(unit * np.sqrt(np.average(((distances / unit) ** 2).mean(axis=1), weights=weights)))


def mae(targets: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None) -> float:
    return float(np.average(np.abs(targets - predictions).mean(axis=1), weights=weights))


def median_columns(levels: tuple[float, ...]) -> slice:
    """Of predictions, target after target with a column for each level: those of the level nearest to the median."""
    return slice(int(np.argmin(np.abs(np.array(levels) - 0.5))), None, len(levels))


def of_median(score: Score, levels: tuple[float, ...]) -> Score:
    """A score that compares targets with one prediction each, for predictions at these levels."""
    columns = median_columns(levels)
    return lambda targets, predictions, weights: score(targets, predictions[:, columns], weights)


def pinball(levels: tuple[float, ...]) -> Score:
    """The mean pinball loss of predictions at these levels."""

    def score(targets: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None) -> float:
        residuals = np.repeat(targets, len(levels), axis=1) - predictions
        of_level = np.tile(levels, targets.shape[1])
        losses = np.where(residuals > 0, of_level, of_level - 1) * residuals
        return float(np.average(losses.mean(axis=1), weights=weights))

    return score


CLASSIFICATION: dict[str, Score] = {"error": error_rate, "cross_entropy": cross_entropy}

REGRESSION: dict[str, Score] = {"rmse": rmse, "mae": mae}


def of_user(metric: Callable[..., float]) -> Score:
    """A function of y and predictions, whose result is smaller for better ones; it gets the weights if there are any."""

    def plain(values: np.ndarray) -> np.ndarray:  # a copy, as the function may write into it
        return (values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values).copy()

    def score(targets: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None) -> float:
        weighted = {} if weights is None else {"sample_weight": weights.copy()}
        value = metric(plain(targets), plain(predictions), **weighted)
        if not is_number(type(value)):
            raise TypeError(f"validation_metric must return a number, got {value!r}")
        found = as_double(value)
        if np.isnan(found) and np.isfinite(predictions).all():  # else the training has diverged
            raise ValueError("validation_metric returned nan")
        return found

    return score
