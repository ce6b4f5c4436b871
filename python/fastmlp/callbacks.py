"""Callbacks for every fit: checkpoints, early stopping, learning rates that change.

They read the history of the trainer or estimator, which checkpoints hold, so that a resumed fit continues exactly. A
callback may have three more methods: ``begin_fit(info)``, ``end_fit(info)``, and, in place of the latter if an exception
ends the fit, ``after_error(info, error)``.

Constructors raise a ValueError or a TypeError if an argument is invalid. A metric that the history lacks raises a
ValueError in the fit.
"""

from __future__ import annotations

import errno
import math
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from . import validation
from .errors import DivergenceError
from .history import Callback, EpochInfo, History
from .schedules import Schedule

__all__ = ["Checkpoint", "EarlyStopping", "LearningRateSchedule", "ReduceOnPlateau"]


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
    the trainer, such as `LearningRateSchedule`, so that the file holds the change. Fits of several networks reject it,
    because it writes one file; a callback of your own can call ``info.save(path)`` with a path for each network.

    Parameters
    ----------
    path : path
        Conventionally ``<name>.safetensors``. Each checkpoint replaces the previous one atomically.
    every_epochs : int >= 1
        Epochs between two checkpoints. The end of the fit is saved too, also if a callback or the time ends it.
    every_seconds : float >= 0, optional
        Minimum number of seconds between two checkpoints. If given, `every_epochs` is ignored.
    best : str, optional
        A metric such as "val_loss" or "val_accuracy": saves only when it is the best so far. One object remembers its best
        value across fits. After `Trainer.resume`, the epochs before count, too. With `average_decay`, the metric is that of
        the mean. ``Trainer.resume(path).average`` is the mean of a trainer, and ``fastmlp.load(path)`` reads the plain
        weights; the file of an estimator holds the mean alone, for ``fastmlp.load(path)``.
    larger_is_better : bool, optional
        Of the metric `best`, as in `EarlyStopping`.

    Examples
    --------
    >>> import numpy as np, fastmlp, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "digits.safetensors")
    >>> X, y = np.random.default_rng(0).normal(size=(60, 4)), np.arange(60) % 3
    >>> trainer = fastmlp.Trainer(fastmlp.Network((4, 8, 3)))
    >>> history = trainer.fit(X, y, epochs=5, callbacks=[fastmlp.callbacks.Checkpoint(path)])
    >>> history = fastmlp.Trainer.resume(path).fit(X, y, epochs=5)  # perhaps in another process
    """

    @validation.checks_arguments()
    def __init__(
        self,
        path: str | os.PathLike[str],
        every_epochs: int = 1,
        every_seconds: float | None = None,
        best: str | None = None,
        *,
        larger_is_better: bool | None = None,
    ) -> None:
        super().__init__()
        self._path = os.fsdecode(path)
        self._every_epochs = validation.check_integer("every_epochs", every_epochs, 1)
        self._every_seconds = (
            None if every_seconds is None else validation.check_number("every_seconds", every_seconds, minimum=0)
        )
        self._best = None if best is None else _Metric("best", best, larger_is_better)
        self._last = time.monotonic()

    def begin_fit(self, info: EpochInfo) -> None:
        """Raise an error before the training if the path cannot be a file, or a schedule is a function of your own."""
        folder = os.path.dirname(self._path) or os.curdir
        if not os.path.isdir(folder):
            raise FileNotFoundError(errno.ENOENT, "Checkpoint needs an existing folder", folder)
        if os.path.isdir(self._path):
            raise IsADirectoryError(errno.EISDIR, "Checkpoint needs the path of a file, not of a folder", self._path)
        for setting in () if info.trainer is None else info.trainer.resumable_settings().values():
            if isinstance(setting, Schedule):
                setting.to_text()

    def __call__(self, info: EpochInfo) -> None:
        if self._best is not None:
            begin = self._of_each.setdefault(self._of(info), info.begin)
            costs = [math.inf if math.isnan(cost) else cost for cost in self._best.costs(info.history, begin)]
            due = min(range(len(costs)), key=costs.__getitem__) == len(costs) - 1
        elif info.epoch == info.epochs:
            due = False  # `end_fit` saves, after what the other callbacks do
        elif self._every_seconds is not None:
            due = time.monotonic() - self._last >= self._every_seconds
        else:
            due = len(info.history.loss) % self._every_epochs == 0
        if due:
            info.save(self._path)
            self._last = time.monotonic()

    def end_fit(self, info: EpochInfo) -> None:
        """Save the end of the fit."""
        if self._best is None:
            info.save(self._path)


def check_of_several(callbacks: Iterable[Callback], networks: int) -> list[Callback]:
    """The callbacks of a fit of so many networks."""
    checked = validation.check_callbacks(callbacks)
    if networks > 1 and any(isinstance(callback, Checkpoint) for callback in checked):
        raise TypeError(
            f"Checkpoint writes one file, but this fit has {networks} networks: pass a callback of your own that calls"
            " info.save(path) with a path for each info.network"
        )
    return checked


class EarlyStopping(_OfEachFit):
    """Ends a fit when a metric has not improved for some epochs.

    It counts from the beginning of each fit. After `Trainer.resume`, patience goes on from where the interrupted fit was.

    Parameters
    ----------
    metric : str
        An entry of `History`.
    patience : int >= 1
        Epochs without improvement.
    min_delta : float >= 0
        An epoch improves if it is better, by more than this, than the last epoch that improved.
    restore_best : bool
        At the end of the fit, whatever ended it, also `DivergenceError`, another exception or Ctrl-C, the network gets the
        weights of the best epoch back, which are kept in memory. False: the network keeps its last weights. The history
        and the rows of studies end with the last epoch in both cases. Not with `average_decay`.
    larger_is_better : bool, optional
        Of the metric. Default: True for names that contain "accuracy" or "score", False for those with "loss", "error",
        "penalty" or "seconds"; for other names it must be given.

    Examples
    --------
    >>> import numpy as np, fastmlp
    >>> X, y = np.random.default_rng(0).normal(size=(60, 4)), np.arange(60) % 3
    >>> net = fastmlp.Network((4, 8, 3))
    >>> stopping = fastmlp.callbacks.EarlyStopping(patience=3, restore_best=True)
    >>> history = fastmlp.Trainer(net).fit(X, y, 50, validation_data=(X, y), callbacks=[stopping])
    >>> net.evaluate(X, y).loss == min(history.val_loss)
    True
    """

    @validation.checks_arguments()
    def __init__(
        self,
        metric: str = "val_loss",
        patience: int = 10,
        min_delta: float = 0.0,
        *,
        restore_best: bool = False,
        larger_is_better: bool | None = None,
    ) -> None:
        super().__init__()
        self._metric = _Metric("metric", metric, larger_is_better)
        self._patience = validation.check_integer("patience", patience, 1)
        self._min_delta = validation.check_number("min_delta", min_delta, minimum=0)
        self._restores = validation.check_flag("restore_best", restore_best)

    def begin_fit(self, info: EpochInfo) -> None:
        """Count anew."""
        if self._restores and getattr(info.optimizer, "average_decay", None) is not None:
            best_mean = "fastmlp.load(path)" if info.trainer is None else "Trainer.resume(path).average"
            raise ValueError(
                "restore_best needs a fit without average_decay: with Checkpoint(path, best=...),"
                f" {best_mean} is the best mean"
            )
        self._of_each[self._of(info)] = _Waiting(info.begin)

    def __call__(self, info: EpochInfo) -> bool:
        so_far = self._of_each.setdefault(self._of(info), _Waiting(info.begin))
        is_smallest = False
        for cost in self._metric.costs(info.history, so_far.counted):
            so_far.counted, so_far.waited = so_far.counted + 1, so_far.waited + 1
            if cost < so_far.best - self._min_delta:
                so_far.best, so_far.waited = cost, 0
            is_smallest = cost < so_far.smallest
            if is_smallest:
                so_far.smallest, so_far.parameters = cost, None
        if self._restores and is_smallest:
            so_far.parameters = info.network.weights, info.network.biases
        ends = so_far.waited >= self._patience
        if ends and so_far.smallest == math.inf:
            validation.warn(f"EarlyStopping ends the fit: {self._metric.name} has been NaN or infinite in all epochs")
        return ends

    def end_fit(self, info: EpochInfo) -> None:
        """Restore the weights of the best epoch."""
        so_far = self._of_each.pop(self._of(info))
        if not self._has_restored(so_far, info) and self._restores and so_far.smallest < math.inf:
            validation.warn(
                "restore_best keeps weights in memory, and the best epoch was before the trainer was resumed: the"
                " network keeps its last weights"
            )

    def after_error(self, info: EpochInfo, error: BaseException) -> None:
        """Restore the weights of the best epoch, if there was one."""
        so_far = self._of_each.pop(self._of(info), None)
        if so_far and self._has_restored(so_far, info) and isinstance(error, DivergenceError):
            error.add_note("EarlyStopping has restored the weights of the best epoch")

    def _has_restored(self, so_far: _Waiting, info: EpochInfo) -> bool:
        if so_far.parameters is not None:
            info.network.set_trusted(*so_far.parameters)
        return so_far.parameters is not None


@dataclass
class _Waiting:
    """How far `EarlyStopping` has counted in one fit."""

    counted: int  # epochs of the history
    best: float = math.inf
    waited: int = 0
    smallest: float = math.inf  # unlike `best`, also where min_delta is no less
    parameters: Any = None  # the weights and biases that it belongs to, if they are to be restored


class LearningRateSchedule:
    """Sets the learning rate of each epoch.

    Parameters
    ----------
    rate : callable
        Gets the number of epochs that the trainer has done, those before a resume included, and returns the learning
        rate of the next one, a float > 0. ``rate(0)`` is that of the first epoch, in place of the trainer's.

    Examples
    --------
    >>> import fastmlp
    >>> halves = fastmlp.callbacks.LearningRateSchedule(lambda epochs: 0.1 * 0.5 ** (epochs // 10))
    """

    @validation.checks_arguments()
    def __init__(self, rate: Callable[[int], float]) -> None:
        if not callable(rate):
            raise TypeError(f"rate must be callable, got {rate!r}")
        self._rate = rate

    def begin_fit(self, info: EpochInfo) -> None:
        """Set the learning rate of the first epoch."""
        self(info)

    def __call__(self, info: EpochInfo) -> None:
        if info.optimizer is None:
            raise TypeError("callbacks.LearningRateSchedule needs a fit with a learning rate; L-BFGS has none")
        if info.epoch == info.epochs:
            return  # no epoch follows, and a schedule may end at 0
        info.optimizer.learning_rate = self._rate(len(info.history.loss))


class ReduceOnPlateau:
    """Multiplies the learning rate by a factor when a metric has not improved for some epochs.

    It counts from the beginning of the fit, also after `Trainer.resume`, and anew after each reduction.

    Parameters
    ----------
    metric : str
        An entry of `History`.
    factor : float in (0, 1)
    patience : int >= 1
        Epochs without improvement.
    min_delta : float >= 0
        An epoch improves if it is better, by more than this, than the last epoch that improved.
    min_rate : float >= 0
        The learning rate is not reduced below it.
    larger_is_better : bool, optional
        Of the metric, as in `EarlyStopping`.

    Examples
    --------
    >>> import fastmlp
    >>> halves = fastmlp.callbacks.ReduceOnPlateau("loss", factor=0.5, patience=3)
    """

    @validation.checks_arguments()
    def __init__(
        self,
        metric: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        min_delta: float = 0.0,
        min_rate: float = 0.0,
        *,
        larger_is_better: bool | None = None,
    ) -> None:
        self._metric = _Metric("metric", metric, larger_is_better)
        self._factor = validation.check_number("factor", factor, above=0, below=1)
        self._patience = validation.check_integer("patience", patience, 1)
        self._min_delta = validation.check_number("min_delta", min_delta, minimum=0)
        self._min_rate = validation.check_number("min_rate", min_rate, minimum=0)

    def __call__(self, info: EpochInfo) -> None:
        if info.optimizer is None:
            raise TypeError("callbacks.ReduceOnPlateau needs a fit with a learning rate; L-BFGS has none")
        best, waited = math.inf, 0
        for cost in self._metric.costs(info.history, info.begin):
            waited = 0 if waited == self._patience else waited  # after a reduction
            if cost < best - self._min_delta:
                best, waited = cost, 0
            else:
                waited += 1
        rate = info.optimizer.learning_rate
        if waited == self._patience and rate > self._min_rate:
            info.optimizer.learning_rate = max(self._min_rate, rate * self._factor)


LARGER, SMALLER = ("accuracy", "score"), ("loss", "error", "penalty", "seconds")
"""Parts of the names of metrics of which larger, or smaller, values are better."""


class _Metric:
    """A metric that a callback watches."""

    def __init__(self, argument: str, name: Any, larger_is_better: Any) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{argument} must be the name of a metric such as 'val_loss', got {name!r}")
        if larger_is_better is not None:
            larger_is_better = validation.check_flag("larger_is_better", larger_is_better)
        else:
            larger_is_better = _direction(name)
        self.name, self._argument, self._larger_is_better = name, argument, larger_is_better

    def costs(self, history: History, begin: int) -> list[float]:
        """Of the epochs from `begin` on: smaller is better."""
        if self.name not in history:
            known = ", ".join(map(repr, history))
            alike = [name for name in history if ("_" in name) == ("_" in self.name)]  # on validation data, or not
            advice = validation.suggestion(self.name, alike)
            if self.name.startswith("val_") and not any(name.endswith(("_loss", "_score")) for name in history):
                advice = ": pass validation data (validation_data or validation_split, eval_set of an estimator)"
            raise ValueError(f"{self._argument} must be an entry of the history ({known}), got {self.name!r}{advice}")
        if self._larger_is_better is None:
            raise ValueError(f"larger_is_better must be True or False for the metric {self.name!r}, got None")
        sign = -1 if self._larger_is_better else 1
        return [sign * value for value in history[self.name][begin:]]


def _direction(name: str) -> bool | None:
    """Whether larger values of a metric with this name are better; None if the name does not say it.

    The end of a name with parts of both kinds decides, as of "brier_score_loss".
    """
    says = [any(part in name for part in parts) for parts in (LARGER, SMALLER)]
    if all(says):
        says = [name.endswith(parts) for parts in (LARGER, SMALLER)]
    return says[0] if says[0] != says[1] else None
