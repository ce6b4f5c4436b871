"""What the benchmark computes from its fits: means over the splits, ratios to a reference, ranks and normalised errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from harness.tables import Table

SMALLEST = 1e-9  # stands for an error of zero, which has no logarithm


@dataclass(frozen=True)
class Comparison:
    """Of methods on tables. A method on fewer splits is compared with what others reach on these splits.

    Attributes
    ----------
    errors : array of shape (methods, sets, splits)
        nan where a method was not fitted.
    fit_seconds, predict_seconds : arrays of shape (methods, sets)
        Medians over the splits whose time was measured on a quiet machine, nan if there is none.
    """

    methods: list[str]
    sets: list[str]
    errors: np.ndarray
    fit_seconds: np.ndarray
    predict_seconds: np.ndarray

    @classmethod
    def of(cls, fits: Table) -> Comparison:
        """Of fits with columns method, set, seed, error, fit_seconds and predict_seconds."""
        methods, sets, seeds = (fits.distinct(name) for name in ("method", "set", "seed"))
        errors = np.full((len(methods), len(sets), len(seeds)), np.nan)
        for row in fits.rows():
            errors[methods.index(row["method"]), sets.index(row["set"]), seeds.index(row["seed"])] = row["error"]

        def medians(column: str) -> np.ndarray:
            values = np.full(errors.shape[:2], np.nan)
            for (method, name), part in fits.groups("method", "set").items():
                values[methods.index(method), sets.index(name)] = medians_of_known(part[column][None])[0]
            return values

        return cls(methods, sets, errors, medians("fit_seconds"), medians("predict_seconds"))

    @property
    def error(self) -> np.ndarray:
        """Mean over the splits, shape (methods, sets); nan where a method was not fitted to all splits."""
        return self.errors.mean(axis=2)

    @property
    def complete(self) -> np.ndarray:
        """Whether a method was fitted to all splits of all sets."""
        return ~np.isnan(self.errors).any(axis=(1, 2))

    def on_splits_of(self, i: int) -> np.ndarray:
        """Mean errors of all methods over the splits of method i; nan for a method that lacks one of them."""
        known = ~np.isnan(self.errors[i])
        counts = known.sum(axis=1)
        return np.where(counts > 0, np.where(known, self.errors, 0).sum(axis=2) / np.maximum(counts, 1), np.nan)

    def ratios(self, reference: str) -> np.ndarray:
        """Errors over those of a method; nan if that one was not fitted."""
        if reference not in self.methods:
            return np.full(self.errors.shape[:2], np.nan)
        of_each = [np.maximum(self.on_splits_of(i), SMALLEST) for i in range(len(self.methods))]
        return np.array([errors[i] / errors[self.methods.index(reference)] for i, errors in enumerate(of_each)])

    def geometric_means(self, reference: str) -> np.ndarray:
        """Of the ratios of each method, over the sets that it was fitted to."""
        return np.exp(means_of_known(np.log(self.ratios(reference))))

    def ranks(self, among: Sequence[bool] | np.ndarray) -> np.ndarray:
        """Mean rank over the sets of each method among these and itself: 1 is the best, equal errors share a rank.

        Only methods that were fitted to all splits of all sets are ranked, and counted.
        """
        found = np.full(len(self.methods), np.nan)
        for i in np.flatnonzero(self.complete):
            others = self.complete & np.asarray(among)
            others[i] = False
            better = (self.error[others] < self.error[i]).sum(axis=0)
            equal = (self.error[others] == self.error[i]).sum(axis=0)
            found[i] = np.mean(1 + better + equal / 2)
        return found

    def normalised(self) -> np.ndarray:
        """Errors in which 0 is the best method of each set, and 1 the worst one."""
        rows = []
        for i in range(len(self.methods)):
            errors = self.on_splits_of(i)
            best, worst = np.fmin.reduce(errors), np.fmax.reduce(errors)
            rows.append((errors[i] - best) / np.where(worst > best, worst - best, 1))
        return np.array(rows)


def means_of_known(values: np.ndarray) -> np.ndarray:
    """Of each row, without its nan; nan if it has nothing else."""
    known = [row[~np.isnan(row)] for row in values]
    return np.array([row.mean() if len(row) else np.nan for row in known])


def medians_of_known(values: np.ndarray) -> np.ndarray:
    known = [row[~np.isnan(row)] for row in values]
    return np.array([np.median(row) if len(row) else np.nan for row in known])


def standard_error(values: np.ndarray) -> float:
    """Of their mean; nan for one value."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.nan


def on_the_front(seconds: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Whether no other one of these points, arrays of shape (points,), is as low in both and lower in one."""
    as_low = (seconds[None] <= seconds[:, None]) & (errors[None] <= errors[:, None])
    lower = (seconds[None] < seconds[:, None]) | (errors[None] < errors[:, None])
    return ~(as_low & lower).any(axis=1)
