"""The loop over epochs that every fit runs: metrics, evaluation, history, progress, divergence and callbacks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from . import core_calls
from .core_calls import Threads
from .errors import DivergenceError
from .history import Callback, EpochInfo, Evaluation, History
from .metrics import OwnMetrics
from .progress import Progress

Result = TypeVar("Result")


@dataclass(frozen=True)
class CheckedFit:
    """The checked arguments of a fit.

    Attributes
    ----------
    data : TrainingData, BoundStream or Shard
    sets : mapping
        Evaluated after each epoch, into metrics <name>_loss.
    keep : callable
        Gets the network once its training has begun; after an earlier error it forgets what it has learned for the fit.
    """

    data: Any
    sets: Mapping[str, Any]
    epochs: int
    callbacks: list[Callback]
    progress: Any  # a Progress; of a fit alone, a context manager as well
    max_seconds: float | None = None
    own_metrics: OwnMetrics | None = None
    keep: Callable[[Any], None] = lambda network: None


class EpochLoop:
    """Counts the epochs of one fit and does what follows each of them.

    Parameters
    ----------
    evaluate : callable
        Returns the metrics of the held-out rows.
    measure : callable, optional
        Returns the user's own metrics of them.
    divergence : callable or None
        Gets a description of a loss that is not finite and returns the error; None: the fit continues.
    record : History
        Of all fits; `history` is that of this fit.
    trainer, optimizer
        For `EpochInfo`.
    call : callable
        Calls the callbacks and returns whether one wants to stop.
    begin : int, optional
        Number of epochs of `record` before this fit; all that it has by default.
    max_seconds : float, optional
        The loop ends before an epoch that would end later, counted from here, if it took as long as the one before it.
    """

    def __init__(
        self,
        network: Any,
        epochs: int,
        callbacks: list[Callback],
        *,
        evaluate: Callable[[], dict[str, float]],
        measure: Callable[[], dict[str, float]] | None = None,
        divergence: Callable[[str], DivergenceError] | None,
        record: History,
        progress: Progress | None = None,
        trainer: Any = None,
        optimizer: Any = None,
        call: Callable[[list[Callback], EpochInfo], bool] | None = None,
        begin: int | None = None,
        max_seconds: float | None = None,
    ) -> None:
        self.history, self.epoch, self.epochs, self.has_begun = History(), 0, epochs, False
        self._network, self._callbacks = network, callbacks
        self._evaluate, self._measure, self._divergence = evaluate, measure, divergence
        self._record, self._progress = record, progress
        self._trainer, self._optimizer, self._call = trainer, optimizer, call or call_callbacks
        self._begin = len(record.loss) if begin is None else begin
        self._max_seconds, record.out_of_time = max_seconds, False
        self._last_metrics: dict[str, float] = {}
        self._start = self._last_end = time.perf_counter()

    def run(self, train_epoch: Callable[[int], dict[str, float]]) -> bool:
        """Call train_epoch(1), train_epoch(2) ..., which return metrics; returns whether a callback or the time ended it."""

        def train() -> bool:
            ends_early = False
            while self.epoch < self.epochs and not ends_early:
                ends_early = self.end_epoch(train_epoch(self.epoch + 1))
            return ends_early

        return self.with_hooks(train)

    def with_hooks(self, train: Callable[[], Result]) -> Result:
        """Train all epochs; calls the callbacks' ``begin_fit`` before, and ``end_fit`` or ``after_error`` after it."""
        self._call_hooks("begin_fit")
        self.has_begun = True
        try:
            result = train()
            if self.epoch:
                self._call_hooks("end_fit")
            return result
        except BaseException as error:
            for callback in self._callbacks:
                if hasattr(callback, "after_error"):
                    callback.after_error(self._info(self._last_metrics), error)
            raise

    def _call_hooks(self, name: str) -> None:
        hooks = [getattr(callback, name) for callback in self._callbacks if hasattr(callback, name)]
        self._call(hooks, self._info(self._last_metrics))

    def _info(self, metrics: dict[str, float]) -> EpochInfo:
        shown = self._network, self._trainer, self._record, self._optimizer, self._begin
        return EpochInfo(self.epoch, self.epochs, metrics, *shown)

    def end_epoch(self, metrics: dict[str, float]) -> bool:
        """What follows an epoch with these metrics of the training; returns whether the fit ends here."""
        metrics |= self._evaluate()
        summed = {name: value for name, value in metrics.items() if name.endswith(("loss", "penalty"))}
        not_finite = [name for name, value in summed.items() if not math.isfinite(value)]
        if self._measure is not None and not not_finite:
            metrics |= self._measure()
        self.epoch += 1
        self._last_metrics = metrics
        self.history.append(metrics)
        self._record.append(metrics)
        if self._progress is not None:
            self._progress.epoch_done(self.epoch, metrics)
        if self._divergence and not_finite:
            raise self._divergence(f"the {not_finite[0]} is {metrics[not_finite[0]]}")
        info = self._info(metrics)
        return self._call(self._callbacks, info) or self._is_out_of_time(info)

    def _is_out_of_time(self, info: EpochInfo) -> bool:
        """Whether there is no time for another epoch: a callback of its own, so that ranks agree on it."""
        if self._max_seconds is None or self.epoch == self.epochs:
            return False
        now = time.perf_counter()
        is_late = now - self._start + (now - self._last_end) > self._max_seconds
        self._last_end = now
        if not self._call([lambda info: is_late], info):
            return False
        self.history.out_of_time = self._record.out_of_time = True
        if self._progress is not None:
            self._progress.out_of_time(self._max_seconds)
        return True


def call_callbacks(callbacks: list[Callback], info: EpochInfo) -> bool:
    """Calls all callbacks; returns whether one returned True."""
    return any([_wants_to_stop(callback, info) for callback in callbacks])


def _wants_to_stop(callback: Callback, info: EpochInfo) -> bool:
    answer = callback(info)
    if answer is not None and not isinstance(answer, (bool, np.bool_)):
        own = getattr(callback, "__wrapped__", callback)
        raise TypeError(f"callbacks must return None, False or True (which stops), got {answer!r} from {own!r}")
    return bool(answer)


def evaluation_metrics(
    network: Any,
    sets: Mapping[str, Any],
    threads: Threads,
    evaluate: Callable[[Any, Any, int], Evaluation] = core_calls.evaluate,
) -> dict[str, float]:
    """The metrics <name>_loss and, for losses that have one, <name>_accuracy of each set."""
    metrics = {}
    for name, data in sets.items():
        metrics[f"{name}_loss"], accuracy = evaluate(network, data, threads())
        if core_calls.has_accuracy(network):
            metrics[f"{name}_accuracy"] = accuracy
    return metrics


def divergence_error(what: str, epoch: int, update: int, learning_rate: float, note: str = "") -> DivergenceError:
    """The error of a fit whose loss or weights are not finite."""
    error = DivergenceError(
        f"{note}{what} in epoch {epoch} at update {update} of the epoch, with learning_rate={learning_rate:g}; the network"
        " keeps its last finite weights, which may already be large: start again with a smaller learning rate or penalty,"
        " or scale X and y"
    )
    error.epoch, error.step, error.learning_rate = epoch, update, learning_rate
    return error
