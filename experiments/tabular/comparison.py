"""What the benchmark computes from its fits: means over the splits, ratios to a reference, ranks and normalised errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from harness.tables import Table

SMALLEST = 1e-9  # stands for an error of zero, which has no logarithm


@dataclass(frozen=True)
class Comparison:
    """Of methods on tables: arrays of shape (methods, sets), nan where a method was not fitted to a set."""

    methods: list[str]
    sets: list[str]
    error: np.ndarray  # mean over the splits
    fit_seconds: np.ndarray  # median over the splits whose time was measured on a quiet machine
    predict_seconds: np.ndarray

    @classmethod
    def of(cls, fits: Table) -> Comparison:
        """Of fits with columns method, set, error, fit_seconds and predict_seconds."""
        methods, sets, groups = fits.distinct("method"), fits.distinct("set"), fits.groups("method", "set")

        def array(column: str, of_splits: Callable[[np.ndarray], float]) -> np.ndarray:
            values = np.full((len(methods), len(sets)), np.nan)
            for (method, name), part in groups.items():
                values[methods.index(method), sets.index(name)] = of_splits(part[column])
            return values

        seconds = [array(column, _median_of_known) for column in ("fit_seconds", "predict_seconds")]
        return cls(methods, sets, array("error", np.mean), *seconds)

    @property
    def complete(self) -> np.ndarray:
        """Whether a method was fitted to all sets."""
        return ~np.isnan(self.error).any(axis=1)

    def ratios(self, reference: str) -> np.ndarray:
        """Errors over those of a method; nan if that one was not fitted."""
        if reference not in self.methods:
            return np.full(self.error.shape, np.nan)
        errors = np.maximum(self.error, SMALLEST)
        return errors / errors[self.methods.index(reference)]

    def geometric_means(self, reference: str) -> np.ndarray:
        """Of the ratios of each method, over the sets that it was fitted to."""
        return np.exp(means_of_known(np.log(self.ratios(reference))))

    def ranks(self, among: Sequence[bool] | np.ndarray) -> np.ndarray:
        """Mean rank over the sets of each method among these and itself: 1 is the best, equal errors share a rank.

        Only methods that were fitted to all sets are ranked, and counted.
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
        best, worst = np.nanmin(self.error, axis=0), np.nanmax(self.error, axis=0)
        return (self.error - best) / np.where(worst > best, worst - best, 1)


def _median_of_known(values: np.ndarray) -> float:
    return float(medians_of_known(values[None])[0])


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
