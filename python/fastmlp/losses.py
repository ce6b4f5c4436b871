"""The losses: one row each, with what the package needs beside the core's arithmetic."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from .validation import Levels, Number, Setting


class Interval(NamedTuple):
    """The interval that targets must lie in: its ends belong to it, but for a minimum that is `open`."""

    minimum: float = -math.inf
    maximum: float = math.inf
    open: bool = False

    def __str__(self) -> str:
        if math.isfinite(self.maximum):
            return f"in [{self.minimum:g}, {self.maximum:g}]"
        return f"above {self.minimum:g}" if self.open else f"at least {self.minimum:g}"


@dataclass(frozen=True)
class Loss:
    """What one loss needs outside the core; its value and gradient are in cpp/kernels/losses.h.

    Attributes
    ----------
    name : str
        As in `Network` and in model files.
    output : str
        The activation of the output layer, a row of activations.py.
    targets : Interval or None
        The range of real targets; None: targets are integer labels.
    decision : {"argmax", "threshold", None}
        How `Network.predict` makes classes of the outputs: the index of the largest, 1 where an output exceeds 1/2,
        or not at all.
    meaning : str
        What an output is, for the comment in exported C.
    scikit_learn_output : str
        scikit-learn's name of the output activation, the value of ``out_activation_``.
    mean_over_outputs : bool
        scikit-learn reports the mean over the outputs instead of their sum.
    settings : mapping of str to Setting
        In the order in which the core takes them.
    """

    name: str
    output: str
    targets: Interval | None
    decision: str | None
    meaning: str
    scikit_learn_output: str
    mean_over_outputs: bool = False
    settings: Mapping[str, Setting] = field(default_factory=dict)

    @property
    def has_labels(self) -> bool:
        return self.targets is None

    def decide(self, outputs: np.ndarray) -> np.ndarray:
        """What `Network.predict` makes of outputs, shape (samples, outputs)."""
        if self.decision == "argmax":
            return outputs.argmax(axis=1)
        return (outputs > 0.5).astype(np.int64) if self.decision == "threshold" else outputs


_SMOOTHING = {"label_smoothing": Number(0.0, minimum=0, below=1)}
_VALUES = "predicted values, in the unit of the targets"

TABLE = {
    row.name: row
    for row in (
        Loss(
            "cross_entropy",
            "softmax",
            None,
            "argmax",
            "the probability of each class; their sum is 1",
            "softmax",
            settings=_SMOOTHING,
        ),
        Loss(
            "squared_error",
            "identity",
            Interval(),
            None,
            _VALUES,
            "identity",
            mean_over_outputs=True,
        ),
        Loss(
            "binary_cross_entropy",
            "logistic",
            Interval(0, 1),
            "threshold",
            "a probability each",
            "logistic",
            settings=_SMOOTHING,
        ),
        Loss("absolute_error", "identity", Interval(), None, _VALUES, "identity"),
        Loss("huber", "identity", Interval(), None, _VALUES, "identity", settings={"delta": Number(1.0, above=0)}),
        Loss(
            "quantile",
            "identity",
            Interval(),
            None,
            "quantiles, in the unit of the targets",
            "identity",
            settings={"level": Levels(0.5)},
        ),
        Loss("poisson", "exponential", Interval(0), None, "expected counts, in the unit of the targets", "exp"),
        Loss(
            "gamma", "exponential", Interval(0, open=True), None, "expected values, in the unit of the targets", "exp"
        ),
    )
}

LOSSES = tuple(TABLE)
"""The names of the losses."""

REGRESSION_LOSSES = tuple(name for name, row in TABLE.items() if row.targets and row.decision is None)
"""The names of the losses of `MLPRegressor`."""


def levels_of(loss: Loss, settings: Mapping[str, Any]) -> tuple[float, ...]:
    """The levels of a loss with these settings; empty if it has none."""
    found = [settings[name] for name, setting in loss.settings.items() if isinstance(setting, Levels)]
    return () if not found else found[0] if isinstance(found[0], tuple) else (found[0],)


def of_scikit_learn_output(name: str) -> Loss:
    """The first loss whose outputs have this activation, by scikit-learn's name of it."""
    return next(row for row in TABLE.values() if row.scikit_learn_output == name)
