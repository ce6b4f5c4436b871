"""fit_many: different networks at once, one per core, on one copy of the data."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, overload

from . import _core, row_subsets, training_data, validation
from .callbacks import check_of_several
from .epoch_loop import CheckedFit
from .errors import DivergenceError
from .history import Callback, History
from .input_scales import warn_of_scale
from .metrics import OwnMetrics, check_metrics, on_sets
from .model_state import ModelSpec
from .progress import Cancelled, ManyProgress
from .standardization import learned
from .threads import default_thread_count
from .trainer import Trainer
from .training_data import TrainingData
from .workers import Workers

Outcome = History | DivergenceError


@overload
def fit_many(
    trainers: Sequence[Trainer],
    X: Any,
    y: Any,
    epochs: int,
    validation_data: Any = None,
    callbacks: Iterable[Callback] = (),
    verbose: bool | str = "auto",
    n_threads: int | None = None,
    return_diverged: Literal[False] = False,
    *,
    sample_weight: Any = None,
    validation_split: float | None = None,
    max_seconds: float | None = None,
    metrics: Mapping[str, Callable[..., Any]] | None = None,
) -> list[History]: ...
@overload
def fit_many(
    trainers: Sequence[Trainer],
    X: Any,
    y: Any,
    epochs: int,
    *,
    validation_data: Any = None,
    callbacks: Iterable[Callback] = (),
    verbose: bool | str = "auto",
    n_threads: int | None = None,
    return_diverged: bool,
    sample_weight: Any = None,
    validation_split: float | None = None,
    max_seconds: float | None = None,
    metrics: Mapping[str, Callable[..., Any]] | None = None,
) -> list[Outcome]: ...
@validation.checks_arguments(keyword_only_after="epochs")
def fit_many(
    trainers: Sequence[Trainer],
    X: Any,
    y: Any,
    epochs: int,
    validation_data: Any = None,
    callbacks: Iterable[Callback] = (),
    verbose: bool | str = "auto",
    n_threads: int | None = None,
    return_diverged: bool = False,
    *,
    sample_weight: Any = None,
    validation_split: float | None = None,
    max_seconds: float | None = None,
    metrics: Mapping[str, Callable[..., Any]] | None = None,
) -> Any:
    """Train several networks at the same time, one per core, with the same bits as one after another.

    Small networks gain most, because a network on a single core needs no barriers. The largest networks start first;
    the last ones share the cores that are free. All read one copy of the data.

    Parameters
    ----------
    trainers : sequence of Trainer
        Trainers of different networks, which must accept the same X and y. Their own n_threads is ignored.
    X, y, epochs, validation_data, sample_weight, validation_split
        As in `Trainer.fit`, but no Stream. X and y must not change while the fits run.
    callbacks : iterable of callable
        As in `Trainer.fit`, for every network; ``info.network`` is the one that has ended an epoch. They are called one
        at a time, from the threads that train; True ends the fit of that network.
    verbose : bool or "auto"
        One progress line for all networks; where stderr is no terminal, one line per finished network.
    n_threads : int >= 1, optional
        Number of cores, and of networks in training, at the same time. Default: as for `Trainer`.
    return_diverged : bool
        True: a network that diverges does not end the others, and its `DivergenceError` is returned in its place.
    max_seconds : float > 0, optional
        As in `Trainer.fit`, for all networks together: the networks that one core trains one after another have equal parts
        of it.
    metrics : dict of str to callable, optional
        As in `Trainer.fit`. They are called one at a time, from the threads that train.

    Returns
    -------
    list of History, or DivergenceError where `return_diverged` allows it
        In the order of the trainers.

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid; no network is changed then.
    Exception
        The first exception that a fit or a callback raises; a note names the index and the network of the trainer. The
        other fits end after their current update, as on Ctrl-C (KeyboardInterrupt).
    """
    given = _check_trainers(trainers)
    epochs = validation.check_integer("epochs", epochs, 1)
    checked = check_of_several(callbacks, len(given))
    threads = validation.check_threads(n_threads) or default_thread_count()
    return_diverged = validation.check_flag("return_diverged", return_diverged)
    progress = ManyProgress(verbose, len(given), epochs)
    networks = [trainer.network for trainer in given]
    max_seconds = validation.check_max_seconds(max_seconds)
    functions = check_metrics(metrics)
    fraction = row_subsets.check_validation_split(validation_split, X, validation_data)
    trained = None if fraction is None else lambda count: [row_subsets.hold_out(count, fraction)[0]] * len(networks)
    with learned(networks, X, y, sample_weight, threads, trained) as keep:
        data = share_data(networks, X, y, sample_weight, threads)
        unscaled = min(networks, key=lambda network: abs(network.input_scale - 1))
        warn_of_scale(X, unscaled)
        if fraction is not None:
            rows, held_out = row_subsets.hold_out(data[0].rows, fraction)
            data = [row_subsets.only(each, rows, sample_weight) for each in data]
            validation_data = row_subsets.take_all(X, y, sample_weight, held_out)
        sets = training_data.evaluation_sets(validation_data, X, lambda *rows: share_data(networks, *rows, threads))
        for rows_of_set, *_ in training_data.validation_sets(validation_data).values():
            warn_of_scale(rows_of_set, unscaled, trains=False)
        measured = on_sets(one_at_a_time_each(functions), validation_data, networks[0].layer_sizes[0])
        more = {"return_diverged": return_diverged, "max_seconds": max_seconds, "own_metrics": measured, "keep": keep}
        return Fits(given, data, sets, epochs, checked, threads, progress, **more).run()


class Fits:
    """Fits in progress."""

    def __init__(
        self,
        trainers: list[Trainer],
        data: list[TrainingData],
        sets: Mapping[str, list[TrainingData]],
        epochs: int,
        callbacks: list[Callback],
        threads: int,
        progress: ManyProgress,
        return_diverged: bool = False,
        max_seconds: float | None = None,
        own_metrics: OwnMetrics | None = None,
        keep: Callable[[Any], None] = lambda network: None,
    ) -> None:
        self._trainers, self._data, self._sets, self._epochs = trainers, data, sets, epochs
        self._threads, self._progress, self._return_diverged = threads, progress, return_diverged
        self._own_metrics, self._keep = own_metrics, keep
        one_after_another = -(-len(trainers) // threads)
        self._max_seconds = None if max_seconds is None else max_seconds / one_after_another
        self._lock = threading.Lock()
        self._callbacks = [one_at_a_time(callback, self._lock) for callback in callbacks]
        cost = [trainer.network.core.training_operations for trainer in trainers]
        largest_first = sorted(range(len(trainers)), key=lambda index: -cost[index])
        self._workers = Workers(largest_first, threads, self._fit, progress.stop)
        self._unfinished = len(trainers)

    def run(self) -> list[Outcome]:
        with self._progress:
            return self._workers.run()

    def _cores_of_each(self) -> int:
        return max(1, self._threads // self._unfinished)

    def _fit(self, index: int) -> Outcome:
        trainer = self._trainers[index]
        sets = {name: shared[index] for name, shared in self._sets.items()}
        which = f"trainers[{index}], {trainer.network!r}"
        outcome: Outcome
        try:
            with trainer.network.core.lock_parameters():
                common = self._epochs, self._callbacks, self._progress, self._max_seconds, self._own_metrics, self._keep
                outcome = trainer.run_epochs(CheckedFit(self._data[index], sets, *common), self._cores_of_each)
            loss = outcome.loss[-1]
        except Cancelled:
            raise
        except Exception as error:
            error.add_note(which)
            if not (self._return_diverged and isinstance(error, DivergenceError)):
                raise
            outcome, loss = error, math.nan
        with self._lock:
            self._unfinished -= 1
        self._progress.fit_done(f"{which}, loss {loss:.4f}")
        return outcome


def _check_trainers(trainers: Any) -> list[Trainer]:
    if not isinstance(trainers, Iterable):
        raise TypeError(f"trainers must be a sequence of Trainer, got {trainers!r}")
    checked = list(trainers)
    if not checked:
        raise ValueError("trainers must have at least one entry, got none")
    seen: dict[int, int] = {}
    for index, trainer in enumerate(checked):
        if not isinstance(trainer, Trainer):
            raise TypeError(f"trainers[{index}] must be a fastmlp.Trainer, got {trainer!r}")
        if hasattr(trainer, "communicator"):
            raise TypeError(
                f"trainers[{index}] must train alone, got a distributed Trainer, which trains with other ranks"
            )
        first = seen.setdefault(id(trainer.network), index)
        if first != index:
            raise ValueError(
                f"trainers must train different networks, but trainers[{first}] and trainers[{index}] share one"
            )
    return checked


class SharedData:
    """One X and y for several networks: what they can share is converted, checked and searched for zero columns once."""

    def __init__(self, X: Any, y: Any, sample_weight: Any, n_threads: int) -> None:
        self._X, self._y, self._sample_weight, self._n_threads = X, y, sample_weight, n_threads
        self._kept: dict[Any, Any] = {}

    def of(self, network: Any) -> TrainingData:
        """The data for one network."""
        spec, threads, standardization = network.spec, self._n_threads, network.standardization
        X, nonzero = self._once((spec.layer_sizes[0], spec.dtype, spec.input_scale), lambda: self._inputs(spec))
        if standardization is not None:
            training_data.check_standardized(X, spec.dtype, threads, standardization)
        y = self._once(
            (spec.loss, spec.layer_sizes[-1], spec.dtype, spec.levels, standardization),
            lambda: training_data.check_y(spec, self._y, len(X), threads, standardization),
        )
        weights = None
        if self._sample_weight is not None:
            weights = self._once(
                spec.dtype, lambda: training_data.check_sample_weight(self._sample_weight, len(X), spec.dtype)
            )
        return training_data.bind(network, X, self._y, y, weights, nonzero)

    def _inputs(self, spec: ModelSpec) -> tuple[Any, Any]:
        self._X = training_data.check_inputs(spec, self._X, self._n_threads)  # the next network starts from this
        return self._X, _core.NonzeroBits(self._X, self._n_threads)

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]


def share_data(networks: Sequence[Any], X: Any, y: Any, sample_weight: Any, n_threads: int) -> list[TrainingData]:
    """The data for each network; an error names the network that it is about."""
    shared, data = SharedData(X, y, sample_weight, n_threads), []
    for index, network in enumerate(networks):
        try:
            data.append(training_data.check_total_weight("X", shared.of(network)))
        except Exception as error:
            error.add_note(f"trainers[{index}], {network!r}")
            raise
    return data


def one_at_a_time_each(functions: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """Metrics for fits in several threads, one call of any of them at a time."""
    lock = threading.Lock()
    return {name: one_at_a_time(function, lock) for name, function in functions.items()}


def one_at_a_time(function: Callable[..., Any], lock: threading.Lock) -> Callable[..., Any]:
    """A callback, with its hooks, or a metric for fits in several threads."""

    def locked(*arguments: Any, **more: Any) -> Any:
        with lock:
            return function(*arguments, **more)

    for name in ("begin_fit", "end_fit", "after_error"):
        if hasattr(function, name):
            setattr(locked, name, one_at_a_time(getattr(function, name), lock))
    locked.__wrapped__ = function  # type: ignore[attr-defined]  # for messages
    return locked
