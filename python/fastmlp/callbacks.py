"""Callbacks for `Trainer.fit` and `fit_many`: checkpoints, early stopping, learning rates that change.

They decide by `Trainer.history`, which checkpoints hold, so that a resumed fit goes on as if it had never stopped.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

from . import validation
from .trainer import EpochInfo, Trainer


class Checkpoint:
    """Saves one trainer after epochs; `Trainer.resume` goes on from there.

    List it after callbacks that change the trainer, such as `LearningRateSchedule`: what they set is saved.

    Parameters
    ----------
    path : path
        By custom ``<name>.safetensors``. Each checkpoint takes the place of the one before, in one step.
    every_epochs : int >= 1
        Epochs between two checkpoints. The last of the epochs that a fit is asked for is saved, too.
    every_seconds : float >= 0, optional
        At least so long between two checkpoints; then `every_epochs` counts no more.
    best : str, optional
        A metric such as "val_loss" or "val_accuracy": saves only where it is the best so far, so that the file
        holds the best epoch.

    Examples
    --------
    >>> import numpy as np, fastmlp, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "digits.safetensors")
    >>> X, y = np.random.default_rng(0).normal(size=(60, 4)), np.arange(60) % 3
    >>> trainer = fastmlp.Trainer(fastmlp.Network((4, 8, 3)))
    >>> history = trainer.fit(X, y, epochs=5, callbacks=[fastmlp.callbacks.Checkpoint(path)])
    >>> history = fastmlp.Trainer.resume(path).fit(X, y, epochs=5)  # in another process, say
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        every_epochs: int = 1,
        every_seconds: float | None = None,
        best: str | None = None,
    ) -> None:
        self._path = os.fsdecode(path)
        self._every_epochs = validation.check_integer("every_epochs", every_epochs, 1)
        self._every_seconds = (
            None if every_seconds is None else validation.check_number("every_seconds", every_seconds, least=0)
        )
        self._best = best
        self._last = time.monotonic()

    def __call__(self, info: EpochInfo) -> None:
        trainer = _trainer_of(info, "Checkpoint")
        if self._best is not None:
            values = _metric(trainer, self._best)
            due = min(range(len(values)), key=_cost(values, self._best)) == len(values) - 1
        elif self._every_seconds is not None:
            due = time.monotonic() - self._last >= self._every_seconds
        else:
            due = len(trainer._history.loss) % self._every_epochs == 0
        if due or (self._best is None and info.epoch == info.epochs):
            trainer.save(self._path)
            self._last = time.monotonic()


class EarlyStopping:
    """Ends a fit when a metric has not improved for a while.

    It counts all epochs of `Trainer.history`, those before a resume included. The network keeps its last weights;
    ``Checkpoint(path, best=metric)`` beside it keeps the best.

    Parameters
    ----------
    metric : str
        An entry of `History`; those with "accuracy" in their name are to rise, others to fall.
    patience : int >= 1
        Epochs without improvement.
    min_delta : float >= 0
        By how much a value must be better than the best before it to count as an improvement.
    """

    def __init__(self, metric: str = "val_loss", patience: int = 10, min_delta: float = 0.0) -> None:
        self._metric = metric
        self._patience = validation.check_integer("patience", patience, 1)
        self._min_delta = validation.check_number("min_delta", min_delta, least=0)
        self._seen: WeakKeyDictionary[Trainer, tuple[int, float, int]] = WeakKeyDictionary()

    def __call__(self, info: EpochInfo) -> bool:
        trainer = _trainer_of(info, "EarlyStopping")
        values = _metric(trainer, self._metric)
        cost = _cost(values, self._metric)
        seen, best, waited = self._seen.get(trainer, (0, float("inf"), 0))
        for epoch in range(seen, len(values)):
            if cost(epoch) < best - self._min_delta:
                best, waited = cost(epoch), 0
            else:
                waited += 1
        self._seen[trainer] = len(values), best, waited
        return waited >= self._patience


class LearningRateSchedule:
    """Sets the learning rate of each epoch but the first.

    Parameters
    ----------
    rate : callable
        Gets the number of epochs that the trainer has done, those before a resume included, and returns the next
        one's learning rate, a float > 0.

    Examples
    --------
    >>> import fastmlp
    >>> halves = fastmlp.callbacks.LearningRateSchedule(lambda epochs: 0.1 * 0.5 ** (epochs // 10))
    """

    def __init__(self, rate: Callable[[int], float]) -> None:
        if not callable(rate):
            raise TypeError(f"rate must be callable, got {rate!r}")
        self._rate = rate

    def __call__(self, info: EpochInfo) -> None:
        trainer = _trainer_of(info, "LearningRateSchedule")
        trainer.learning_rate = self._rate(len(trainer._history.loss))


def _trainer_of(info: EpochInfo, name: str) -> Trainer:
    if info.trainer is None:
        raise TypeError(f"callbacks.{name} works with Trainer.fit and fit_many, got a fit without a Trainer")
    return info.trainer


def _metric(trainer: Trainer, name: str) -> Sequence[float]:
    entries = vars(trainer._history)
    if not entries.get(name):
        known = ", ".join(repr(name) for name, values in entries.items() if values)
        raise ValueError(f"metric must be an entry of the history ({known}), got {name!r}")
    return entries[name]


def _cost(values: Sequence[float], name: str) -> Callable[[int], float]:
    return (lambda i: -values[i]) if "accuracy" in name else (lambda i: values[i])
