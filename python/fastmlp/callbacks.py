"""Callbacks for every fit: checkpoints, early stopping, learning rates that change.

They read the history of the trainer or estimator, which checkpoints hold, so that a resumed fit continues exactly.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from . import validation
from .history import EpochInfo, History


class _OfEachFit:
    """What a callback remembers of each trainer (or network); a copy, for a fit in another process, begins anew."""

    def __init__(self) -> None:
        self._of_each: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()

    def _of(self, info: EpochInfo) -> Any:
        return info.network if info.trainer is None else info.trainer

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_of_each"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _of_each=WeakKeyDictionary())


class Checkpoint(_OfEachFit):
    """Saves a trainer after epochs, for `Trainer.resume`.

    In a fit of an estimator or by `fit_lbfgs` it saves the network, for `fastmlp.load`. List it after callbacks that change
    the trainer, such as `LearningRateSchedule`, so that the file holds the change.

    Parameters
    ----------
    path : path
        Conventionally ``<name>.safetensors``. Each checkpoint replaces the previous one atomically.
    every_epochs : int >= 1
        Epochs between two checkpoints. The final epoch is saved too, if the fit reaches it; a fit that a callback ends
        early keeps the last regular checkpoint.
    every_seconds : float >= 0, optional
        Minimum number of seconds between two checkpoints. If given, `every_epochs` is ignored.
    best : str, optional
        A metric such as "val_loss" or "val_accuracy": saves only when it is the best so far, so that the file holds the
        best epoch of the fits that this object was passed to. After `Trainer.resume`, the epochs before count, too.

    Examples
    --------
    >>> import numpy as np, fastmlp, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "digits.safetensors")
    >>> X, y = np.random.default_rng(0).normal(size=(60, 4)), np.arange(60) % 3
    >>> trainer = fastmlp.Trainer(fastmlp.Network((4, 8, 3)))
    >>> history = trainer.fit(X, y, epochs=5, callbacks=[fastmlp.callbacks.Checkpoint(path)])
    >>> history = fastmlp.Trainer.resume(path).fit(X, y, epochs=5)  # perhaps in another process
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        every_epochs: int = 1,
        every_seconds: float | None = None,
        best: str | None = None,
    ) -> None:
        super().__init__()
        self._path = os.fsdecode(path)
        self._every_epochs = validation.check_integer("every_epochs", every_epochs, 1)
        self._every_seconds = (
            None if every_seconds is None else validation.check_number("every_seconds", every_seconds, minimum=0)
        )
        self._best = best
        self._last = time.monotonic()

    def __call__(self, info: EpochInfo) -> None:
        if self._best is not None:
            begin = self._of_each.setdefault(self._of(info), info.begin)
            values = _metric(info.history, self._best)[begin:]
            due = min(range(len(values)), key=_cost(values, self._best)) == len(values) - 1
        elif self._every_seconds is not None:
            due = time.monotonic() - self._last >= self._every_seconds
        else:
            due = len(info.history.loss) % self._every_epochs == 0
        if due or (self._best is None and info.epoch == info.epochs):
            info.save(self._path)
            self._last = time.monotonic()


class EarlyStopping(_OfEachFit):
    """Ends a fit when a metric has not improved for some epochs.

    A new one counts from the beginning of the fit; in later fits of the same trainer the same one goes on counting. After
    `Trainer.resume`, it counts the epochs of the fit that the checkpoint was written in. The network keeps its last
    weights; ``Checkpoint(path, best=metric)`` saves the best ones.

    Parameters
    ----------
    metric : str
        An entry of `History`. Larger is better for names that contain "accuracy" or "score", smaller for others.
    patience : int >= 1
        Epochs without improvement.
    min_delta : float >= 0
        Minimum difference from the best value before it that counts as an improvement.
    """

    def __init__(self, metric: str = "val_loss", patience: int = 10, min_delta: float = 0.0) -> None:
        super().__init__()
        self._metric = metric
        self._patience = validation.check_integer("patience", patience, 1)
        self._min_delta = validation.check_number("min_delta", min_delta, minimum=0)

    def __call__(self, info: EpochInfo) -> bool:
        values = _metric(info.history, self._metric)
        cost = _cost(values, self._metric)
        counted, best, waited = self._of_each.get(self._of(info), (info.begin, float("inf"), 0))
        for epoch in range(counted, len(values)):
            if cost(epoch) < best - self._min_delta:
                best, waited = cost(epoch), 0
            else:
                waited += 1
        self._of_each[self._of(info)] = len(values), best, waited
        return waited >= self._patience


class LearningRateSchedule:
    """Sets the learning rate of each epoch but the first.

    Parameters
    ----------
    rate : callable
        Gets the number of epochs that the trainer has done, those before a resume included, and returns the learning
        rate of the next one, a float > 0.

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
        if info.optimizer is None:
            raise TypeError("callbacks.LearningRateSchedule needs a fit with a learning rate; L-BFGS has none")
        info.optimizer.learning_rate = self._rate(len(info.history.loss))


class ReduceOnPlateau:
    """Multiplies the learning rate by a factor when a metric has not improved for some epochs.

    It counts from the beginning of the fit, also after `Trainer.resume`, and anew after each reduction.

    Parameters
    ----------
    metric : str
        An entry of `History`. Larger is better for names that contain "accuracy" or "score", smaller for others.
    factor : float in (0, 1)
    patience : int >= 1
        Epochs without improvement.
    min_delta : float >= 0
        Minimum difference from the best value before it that counts as an improvement.
    min_rate : float >= 0
        The learning rate is not reduced below it.

    Examples
    --------
    >>> import fastmlp
    >>> halves = fastmlp.callbacks.ReduceOnPlateau("loss", factor=0.5, patience=3)
    """

    def __init__(
        self,
        metric: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        min_delta: float = 0.0,
        min_rate: float = 0.0,
    ) -> None:
        self._metric = metric
        self._factor = validation.check_number("factor", factor, above=0, below=1)
        self._patience = validation.check_integer("patience", patience, 1)
        self._min_delta = validation.check_number("min_delta", min_delta, minimum=0)
        self._min_rate = validation.check_number("min_rate", min_rate, minimum=0)

    def __call__(self, info: EpochInfo) -> None:
        if info.optimizer is None:
            raise TypeError("callbacks.ReduceOnPlateau needs a fit with a learning rate; L-BFGS has none")
        values = _metric(info.history, self._metric)[info.begin :]
        cost, best, waited = _cost(values, self._metric), float("inf"), 0
        for epoch in range(len(values)):
            waited = 0 if waited == self._patience else waited  # after a reduction
            if cost(epoch) < best - self._min_delta:
                best, waited = cost(epoch), 0
            else:
                waited += 1
        rate = info.optimizer.learning_rate
        if waited == self._patience and rate > self._min_rate:
            info.optimizer.learning_rate = max(self._min_rate, rate * self._factor)


def _metric(history: History, name: str) -> Sequence[float]:
    if name not in history:
        known = ", ".join(map(repr, history))
        raise ValueError(f"metric must be an entry of the history ({known}), got {name!r}")
    return history[name]


def _cost(values: Sequence[float], name: str) -> Callable[[int], float]:
    larger_is_better = "accuracy" in name or "score" in name
    return (lambda i: -values[i]) if larger_is_better else (lambda i: values[i])
