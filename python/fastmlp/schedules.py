"""Schedules: factors of a setting that change from one update to the next.

A schedule is a function of the progress of a fit, the share of its rows before an update: 0 at the first update, 1 at
the end. `Trainer` multiplies the learning rate, the weight decay or the dropout of each update by it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import validation
from .validation import Number, Setting

__all__ = ["Schedule", "constant", "coslog4", "cosine", "exponential", "flat_cos", "one_cycle", "step"]


def _constant(t: np.ndarray) -> np.ndarray:
    return np.ones_like(t)


def _step(t: np.ndarray, steps: float, factor: float) -> np.ndarray:
    return factor ** np.floor(t * steps * (1 + 4 * np.finfo(float).eps))  # t may be rounded down


def _exponential(t: np.ndarray, end: float) -> np.ndarray:
    return end**t


def _cosine(t: np.ndarray, warmup: float, end: float) -> np.ndarray:
    falls = np.clip((t - warmup) / (1 - warmup), 0, 1)
    rises = t / warmup if warmup else np.ones_like(t)
    return np.where(t < warmup, rises, end + (1 - end) * 0.5 * (1 + np.cos(np.pi * falls)))


def _one_cycle(t: np.ndarray, peak: float, start: float, end: float) -> np.ndarray:
    rises = 1 - (1 - start) * 0.5 * (1 + np.cos(np.pi * t / peak))
    falls = end + (1 - end) * 0.5 * (1 + np.cos(np.pi * (t - peak) / (1 - peak)))
    return np.where(t < peak, rises, falls)


def _coslog4(t: np.ndarray) -> np.ndarray:
    return 0.5 * (1 - np.cos(2 * np.pi * np.log2(1 + 15 * t)))


def _flat_cos(t: np.ndarray) -> np.ndarray:
    return np.where(t < 0.5, 1.0, 0.5 * (1 + np.cos(np.pi * (t - 0.5) / 0.5)))


@dataclass(frozen=True)
class _Row:
    """One kind of schedule.

    Attributes
    ----------
    function : callable
        Gets the progress, an array of float64 in [0, 1), and the settings, and returns the factors.
    """

    name: str
    function: Callable[..., np.ndarray]
    settings: Mapping[str, Setting] = field(default_factory=dict)


TABLE = {
    row.name: row
    for row in (
        _Row("constant", _constant),
        _Row("step", _step, {"steps": Number(3, above=0), "factor": Number(0.1, minimum=0)}),
        _Row("exponential", _exponential, {"end": Number(0.01, above=0)}),
        _Row("cosine", _cosine, {"warmup": Number(0.0, minimum=0, below=1), "end": Number(0.0, minimum=0)}),
        _Row(
            "one_cycle",
            _one_cycle,
            {
                "peak": Number(0.3, above=0, below=1),
                "start": Number(0.04, minimum=0),
                "end": Number(0.00004, minimum=0),
            },
        ),
        _Row("coslog4", _coslog4),
        _Row("flat_cos", _flat_cos),
    )
}

SCHEDULES = tuple(TABLE)
"""The names of the schedules."""


@dataclass(frozen=True)
class Schedule:
    """A factor of a setting; called with the progress of a fit in [0, 1), a number or an array, it returns the factor.

    The functions of this module make one. `Trainer` also accepts the name of one, or any function of the progress, which
    a checkpoint cannot hold.
    """

    name: str
    settings: Mapping[str, float] = field(default_factory=dict)
    function: Callable[[float], float] | None = None  # of the user; then the name is for messages

    def __call__(self, progress: Any) -> Any:
        t = np.asarray(progress, np.float64)
        if self.function is None:
            # as an array of one dimension: NumPy computes powers of scalars in another way, with another last digit
            factors = TABLE[self.name].function(t.reshape(-1), **self.settings).reshape(t.shape)
        else:
            factors = np.array([self._of_user(float(each)) for each in t.ravel()]).reshape(t.shape)
        wrong = ~(np.isfinite(factors) & (factors >= 0))
        if wrong.any():
            raise ValueError(
                f"the schedule {self!r} must return finite factors >= 0, got {factors[wrong].flat[0]:g} at progress"
                f" {t[wrong].flat[0]:g}"
            )
        return factors if t.ndim else float(factors)

    def _of_user(self, progress: float) -> float:
        value = self.function(progress)  # type: ignore[misc]
        if np.ndim(value) or np.asarray(value).dtype.kind not in "biuf":
            raise TypeError(f"the schedule {self!r} must return a number, got {value!r} at progress {progress:g}")
        return float(value)

    def __hash__(self) -> int:
        return hash((self.name, *self.settings.items(), self.function))

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{name}={value!r}' for name, value in self.settings.items())})"

    def to_text(self) -> str:
        """As in checkpoints: for the package itself."""
        if self.function is not None:
            raise ValueError(
                f"a checkpoint holds the schedules of fastmlp.schedules only, got the function {self.name}"
            )
        return json.dumps([self.name, dict(self.settings)])

    @classmethod
    def from_text(cls, text: str) -> Schedule:
        """Of checkpoints: for the package itself. ValueError or TypeError if the text is not one of `to_text`."""
        name, settings = json.loads(text)
        return _schedule(name, settings)


def check_schedule(name: str, value: Any) -> Schedule | None:
    """None, a Schedule, the name of one, or a function of the progress."""
    if isinstance(value, Schedule) and value.function is None:  # it may not come from a function of this module
        return _schedule(value.name, dict(value.settings))
    if value is None or isinstance(value, Schedule):
        return value
    if isinstance(value, str):
        return _schedule(validation.check_choice(name, value, SCHEDULES), {})
    known = getattr(value, "__name__", "")
    if known in TABLE and value is globals()[known]:
        raise TypeError(f"{name}: schedules.{known} must be called: schedules.{known}()")
    if callable(value):
        known = known or type(value).__name__  # functions of NumPy 1 have no __qualname__
        return Schedule(getattr(value, "__qualname__", known), {}, value)
    raise TypeError(f"{name} must be a schedule, its name, a function of the progress or None, got {value!r}")


def factors(schedule: Schedule | None, progress: np.ndarray) -> np.ndarray:
    """Of updates at these points of progress; empty without a schedule."""
    return np.empty(0) if schedule is None else schedule(progress)


def _schedule(name: str, settings: Mapping[str, Any]) -> Schedule:
    row = TABLE[validation.check_choice("schedule", name, SCHEDULES)]
    return Schedule(name, validation.check_part_settings("settings", row, settings, np.dtype(np.float64)))


def _from_arguments(name: str, **settings: Any) -> Schedule:
    checks = TABLE[name].settings
    return Schedule(name, {key: checks[key].check(key, value, np.dtype(np.float64)) for key, value in settings.items()})


def constant() -> Schedule:
    """The factor 1 during the whole fit."""
    return _from_arguments("constant")


def step(steps: float = 3, factor: float = 0.1) -> Schedule:
    """Divide the fit into equal parts: the schedule is 1 in the first part, `factor` in the second, then its powers.

    Parameters
    ----------
    steps : float > 0
        Number of parts. If it is not a whole number, the last part is shorter.
    factor : float >= 0
        The schedule in one part, divided by that in the part before.

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid.
    """
    return _from_arguments("step", steps=steps, factor=factor)


def exponential(end: float = 0.01) -> Schedule:
    """``end**t`` at progress t: from 1 to `end`, by the same ratio in equal parts of the fit.

    Parameters
    ----------
    end : float > 0

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid.
    """
    return _from_arguments("exponential", end=end)


def cosine(warmup: float = 0.0, end: float = 0.0) -> Schedule:
    """Rise from 0 to 1 on a straight line, then fall to `end` along half a cosine (Loshchilov and Hutter 2017).

    Parameters
    ----------
    warmup : float in [0, 1)
        The share of the fit in which the schedule rises. 0: it starts at 1.
    end : float >= 0

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid.
    """
    return _from_arguments("cosine", warmup=warmup, end=end)


def one_cycle(peak: float = 0.3, start: float = 0.04, end: float = 0.00004) -> Schedule:
    """Rise from `start` to 1 along half a cosine, then fall to `end` along another (Smith and Topin 2018).

    Parameters
    ----------
    peak : float in (0, 1)
        The progress at which the schedule is 1.
    start, end : float >= 0

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid.
    """
    return _from_arguments("one_cycle", peak=peak, start=start, end=end)


def coslog4() -> Schedule:
    """``(1 - cos(2 pi log2(1 + 15 t))) / 2`` at progress t: four cycles, each twice as long as the one before.

    The schedule of RealMLP (Holzmüller et al. 2024).
    """
    return _from_arguments("coslog4")


def flat_cos() -> Schedule:
    """1 in the first half of the fit, then half a cosine to 0."""
    return _from_arguments("flat_cos")


def warn_without_dropout(settings: Any, hidden_layers: int) -> None:
    """Of a trainer or an estimator."""
    if settings.dropout and hidden_layers == 0:
        validation.warn("dropout has no effect without hidden layers; input_dropout is for the inputs")
    if settings.dropout_schedule is not None and not (settings.dropout or settings.input_dropout):
        validation.warn("dropout_schedule has no effect without dropout or input_dropout")
