"""Preparation inside the model: inputs, and targets of regression, as deviations from their means."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from . import _core, training_data
from .model_state import ModelSpec, Standardization
from .streaming import Stream


def of_rows(
    spec: ModelSpec, X: Any, y: Any, sample_weight: Any, n_threads: int, chosen: np.ndarray | None = None
) -> Standardization:
    """That of these rows.

    Parameters
    ----------
    spec : ModelSpec
    X, y, sample_weight
        As in `Trainer.fit`; y may be None. A row counts as often as its weight says.
    n_threads : int
    chosen : array of int64, optional
        The rows that count, some of them several times. Default: all of them, once.
    """
    X = training_data.check_inputs(spec, X, n_threads)
    weights = np.ones(len(X)) if chosen is None else np.bincount(chosen, minlength=len(X)).astype(np.float64)
    if sample_weight is not None:
        weights *= training_data.check_sample_weight(sample_weight, len(X), spec.dtype)
    if not weights.sum() > 0:
        raise ValueError(f"the sample weights of X must have a positive sum, got {weights.sum():g}")
    of_inputs = _of_csr(X, weights) if isinstance(X, _core.CsrInputs) else _moments("X", X, weights, n_threads)
    if y is None or not spec.has_real_targets:
        return Standardization(*of_inputs)
    y = training_data.check_y(spec, y, len(X), n_threads, dtype=np.dtype(np.float64))
    return Standardization(*of_inputs, *_moments("y", y, weights, n_threads))


def _moments(name: str, values: np.ndarray, weights: np.ndarray, n_threads: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean and the standard deviation of each column.

    A second pass corrects the mean of the first, so that both are exact to some units in the last place.
    """
    total = weights.sum()
    with np.errstate(all="ignore"):
        about = _core.column_moments(values, weights, np.zeros(values.shape[1]), n_threads)[0] / total
        shift, squares = (sums / total for sums in _core.column_moments(values, weights, about, n_threads))
        return _checked(name, about + shift, squares - shift**2)


def _of_csr(X: Any, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of zero, because a sparse matrix stays sparse, and the standard deviations about the true means."""
    rows, columns = X.positions()
    values, weights_of_values, total = X.values.astype(np.float64), weights[rows], weights.sum()

    def sums(terms: np.ndarray) -> np.ndarray:
        return np.bincount(columns, weights_of_values * terms, minlength=X.shape[1]) / total

    with np.errstate(all="ignore"):
        mean, stored = sums(values), sums(np.ones(len(values)))
        variance = sums((values - mean[columns]) ** 2) + (1 - stored) * mean**2
        mean, std = _checked("X", mean, variance)
    return np.zeros_like(mean), std


def _checked(name: str, mean: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A constant column has the standard deviation 1, so that it becomes zero."""
    bad = ~np.isfinite(variance)
    if bad.any():
        column = int(bad.argmax())
        raise ValueError(
            f"{name} has values too large to be standardized, in column {column} with mean {mean[column]:g}"
        )
    std = np.sqrt(np.maximum(variance, 0))
    is_constant = (std <= 4 * np.finfo(float).eps * np.abs(mean)) | ~np.isfinite(1 / std)
    return mean, np.where(is_constant, 1.0, std)


def check_known(network: Any, what: str) -> None:
    """For a fit or a step that sees the rows in parts: ValueError if its network is still to learn from all of them."""
    if network.lacks_standardization:
        raise ValueError(
            f"{what} has no means and standard deviations for standardize=True: call network.learn_standardization with a"
            " sample of rows first"
        )


@contextmanager
def learned(
    networks: Sequence[Any],
    X: Any,
    y: Any,
    sample_weight: Any,
    n_threads: int,
    chosen: Callable[[int], Sequence[np.ndarray | None]] | None = None,
) -> Iterator[Callable[[Any], None]]:
    """Networks with ``standardize=True`` learn theirs from the rows of their first fit, and forget it after an error.

    Yields a function that gets a network whose training has begun, which keeps what it has learned.

    Parameters
    ----------
    chosen : callable, optional
        Called with the number of rows; returns for each network the rows that count, None for all.
    """
    taken: list[tuple[Any, Standardization]] = []
    kept: list[Any] = []
    learning = [index for index, network in enumerate(networks) if network.lacks_standardization]
    try:
        if isinstance(X, Stream):
            check_known(networks[0], "a Stream")
        elif learning:
            rows = training_data.check_input_array(X, networks[learning[0]].layer_sizes[0]) if chosen else ()
            parts = chosen(len(rows)) if chosen else [None] * len(networks)
            known: dict[Any, Standardization] = {}  # equal networks learn from the same rows once
            for index in learning:
                spec, part = networks[index].spec, parts[index]
                key = (spec.loss, spec.levels, spec.layer_sizes[0], spec.layer_sizes[-1], spec.dtype, id(part))
                if key not in known:
                    known[key] = of_rows(spec, X, y, sample_weight, n_threads, part)
                networks[index].take_standardization(known[key])
                taken.append((networks[index], known[key]))
        yield kept.append
    except BaseException:
        for network, own in taken:
            if network.standardization is own and not any(network is each for each in kept):
                network.forget_standardization()
        raise
