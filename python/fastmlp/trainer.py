"""Trainer: the thin loop over epochs, its history and its callbacks. The core does a slice of an epoch per call."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import _core, validation
from .errors import DivergenceError
from .network import SECONDS_PER_CALL, Evaluation, Network
from .progress import FitProgress, Progress
from .streaming import BoundStream, Stream
from .threads import share_of_cores

OPTIMIZERS = ("sgd", "adam")

Callback = Callable[["EpochInfo"], "bool | None"]


@dataclass
class History:
    """What happened in each epoch of a fit; one entry per epoch in each list.

    Attributes
    ----------
    loss : list of float
        The mean data loss over the epoch's rows, as seen while training (before each update).
    penalty : list of float
        ``l1 * sum|w| + l2/2 * sum(w**2)`` after the epoch.
    accuracy : list of float
        The share of rows classified right, as seen while training; only for ``cross_entropy``.
    val_loss, val_accuracy : list of float
        On the validation data, after the epoch; empty without them.
    seconds : list of float
        Wall-clock time of the epoch's training, without its validation and callbacks.
    """

    loss: list[float] = field(default_factory=list)
    penalty: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    val_accuracy: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def _append(self, metrics: dict[str, float]) -> None:
        for name, values in vars(self).items():
            if name in metrics:
                values.append(metrics[name])


@dataclass(frozen=True)
class EpochInfo:
    """What a callback gets after each epoch.

    Attributes
    ----------
    epoch : int >= 1
        Epochs finished in this fit.
    epochs : int
        Epochs asked for.
    metrics : dict of str to float
        This epoch's entries of `History`.
    network : Network
        The network as it is now.
    trainer : Trainer or None
        Whose settings may be changed for the next epoch; None in fits of estimators and of `fit_lbfgs`.
    """

    epoch: int
    epochs: int
    metrics: dict[str, float]
    network: Network
    trainer: Trainer | None = None


class Trainer:
    """Trains one network with mini-batch gradient descent.

    Parameters
    ----------
    network : Network
        Trained in place.
    optimizer : {"sgd", "adam"}
        Conventions are scikit-learn's.

        - "sgd": ``w -= learning_rate * g``. With momentum ``velocity = momentum * velocity - learning_rate * g``,
          ``w += velocity``, or in Nesterov's variant ``w += momentum * velocity - learning_rate * g``.
        - "adam": Kingma and Ba 2015, in the form of their section 2's last paragraph.
    learning_rate : float > 0
    batch_size : int >= 1
        Rows of a mini-batch. The last of an epoch may be smaller and counts as what it is.
    momentum : float in [0, 1)
    nesterov : bool
        Both for "sgd" only.
    beta_1, beta_2 : float in [0, 1)
    epsilon : float > 0
        All three for "adam" only.
    l1, l2 : float >= 0
        Strength of the penalty ``l1 * sum|w| + l2/2 * sum(w**2)`` on the weights, added to the *mean*
        loss: it does not depend on the batch size nor on accumulation.
    proximal : bool
        How l1 acts. False: by its subgradient, sign(w), 0 at 0; weights then swing around zero. True: after each
        update w becomes ``sign(w) * max(|w| - s * l1, 0)``, so that weights become exactly zero. s is how far the
        optimizer moves for a gradient that lasts: the learning rate, with momentum that divided by 1 - momentum,
        for "adam" each weight's own step (Parikh and Boyd 2014, Proximal Algorithms).
    accumulate : int >= 1 or "epoch"
        Mini-batches per update. An update uses the gradient of the mean loss over all rows of its
        mini-batches; "epoch" makes one update per epoch.
    shuffle : bool
        A new permutation of the rows in each epoch.
    seed : int >= 0
        Of the permutations.
    n_threads : int >= 1, optional
        Default: threadpoolctl's limit, else OMP_NUM_THREADS, else the cores that the process may use;
        fits that run at the same time in several threads of a process share them. The results have the same bits
        for every number.

    Raises
    ------
    ValueError, TypeError
        If an argument is not one of those above.

    Examples
    --------
    >>> import numpy as np, fastmlp
    >>> X, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1.0]]), np.array([0, 1, 1, 0])
    >>> net = fastmlp.Network((2, 16, 2))
    >>> trainer = fastmlp.Trainer(net, learning_rate=0.5, batch_size=4)
    >>> history = trainer.fit(X, y, epochs=200)
    >>> net.predict(X)
    array([0, 1, 1, 0])
    """

    __slots__ = (  # so that a misspelt setting is an AttributeError
        "__weakref__",
        "_accumulate",
        "_batch_size",
        "_core",
        "_history",
        "_l1",
        "_l2",
        "_learning_rate",
        "_n_threads",
        "_network",
        "_optimizer",
        "_proximal",
        "_rng",
        "_shuffle",
        "_update_settings",
    )

    def __init__(
        self,
        network: Network,
        optimizer: str = "sgd",
        learning_rate: float = 0.1,
        batch_size: int = 128,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        l1: float = 0.0,
        l2: float = 0.0,
        proximal: bool = False,
        accumulate: int | str = 1,
        shuffle: bool = True,
        seed: int = 0,
        n_threads: int | None = None,
    ) -> None:
        if not isinstance(network, Network):
            raise TypeError(f"network must be a fastmlp.Network, got {network!r}")
        self._network = network
        self._optimizer = validation.check_choice("optimizer", optimizer, OPTIMIZERS)
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.l1 = l1
        self.l2 = l2
        self.accumulate = accumulate
        self.n_threads = n_threads
        self._update_settings = _check_update_settings(
            optimizer, network.dtype, momentum, nesterov, beta_1, beta_2, epsilon
        )
        self._proximal = validation.check_flag("proximal", proximal)
        self._shuffle = validation.check_flag("shuffle", shuffle)
        self._rng = np.random.default_rng(validation.check_seed(seed))
        self._history = History()
        self._core = self._new_core()

    def _new_core(self) -> Any:
        kind = "momentum" if self._update_settings.get("momentum") else self._optimizer
        return self._network._new_core_trainer(kind, **self._update_settings)

    @property
    def network(self) -> Network:
        """The network that is trained."""
        return self._network

    @property
    def optimizer(self) -> str:
        """The name of the rule that updates the weights."""
        return self._optimizer

    @property
    def history(self) -> History:
        """A copy of all epochs so far, those of every fit, of the one under way and of one that ended in an error."""
        return History(**{name: list(values) for name, values in vars(self._history).items()})

    @property
    def learning_rate(self) -> float:
        """May be changed between epochs, also by a callback."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._learning_rate = validation.check_number("learning_rate", value, above=0, dtype=self._network.dtype)

    @property
    def batch_size(self) -> int:
        """May be changed between epochs."""
        return self._batch_size

    @batch_size.setter
    def batch_size(self, value: int) -> None:
        self._batch_size = validation.check_integer("batch_size", value, 1)

    @property
    def l1(self) -> float:
        """May be changed between epochs."""
        return self._l1

    @l1.setter
    def l1(self, value: float) -> None:
        self._l1 = validation.check_number("l1", value, least=0, dtype=self._network.dtype)

    @property
    def l2(self) -> float:
        """May be changed between epochs."""
        return self._l2

    @l2.setter
    def l2(self, value: float) -> None:
        self._l2 = validation.check_number("l2", value, least=0, dtype=self._network.dtype)

    @property
    def accumulate(self) -> int | str:
        """May be changed between epochs."""
        return self._accumulate

    @accumulate.setter
    def accumulate(self, value: int | str) -> None:
        if isinstance(value, str) and value != "epoch":
            raise ValueError(f"accumulate must be an integer >= 1 or 'epoch', got {value!r}")
        self._accumulate = value if isinstance(value, str) else validation.check_integer("accumulate", value, 1)

    @property
    def n_threads(self) -> int | None:
        """May be changed between fits."""
        return self._n_threads

    @n_threads.setter
    def n_threads(self, value: int | None) -> None:
        self._n_threads = validation.check_threads(value)

    def fit(
        self,
        X: Any,
        y: Any,
        epochs: int,
        validation_data: tuple[Any, Any] | None = None,
        callbacks: Iterable[Callback] = (),
        verbose: bool | str = "auto",
    ) -> History:
        """Train for some epochs more; the optimizer's state and the shuffling go on from the last fit.

        Parameters
        ----------
        X : array or SciPy CSR matrix of float32, float64 or uint8, shape (samples, features)
            Copied once if not C-contiguous; other sparse formats are converted to CSR. A float32 network rounds
            float64 values as it reads them. A CSR matrix gives the bits of the dense array, which is never made:
            the work follows the columns that a batch names, but for one pass over all weights per update with
            l1, l2, momentum, Adam, accumulation or batches beyond some 256 rows.
            Or a `streaming.Stream` of rows that need not fit into memory; y is None then.
        y : integers in [0, classes), shape (samples,), or for the other losses reals, shape (samples, outputs)
        epochs : int >= 1
        validation_data : (X, y), optional
            Evaluated after each epoch.
        callbacks : iterable of callable
            Each is called as ``callback(info)`` after each epoch, with an `EpochInfo`; training ends
            if one returns True.
        verbose : bool or "auto"
            "auto": a progress line on stderr if that is a terminal. True: one line per epoch elsewhere, too.

        Returns
        -------
        History

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit; the network is unchanged. What a `streaming.Stream` brings is checked as it comes.
        DivergenceError
            In the epoch in which the loss or a weight is no longer finite. The network holds finite weights: the last
            whose loss was finite; where the first update of an epoch, or of a stream's chunk, tells, those of its start.
        RuntimeError
            If another fit of this network is under way.
        KeyboardInterrupt
            On Ctrl-C; the network is as after its last update and can be used and trained on.
        """
        epochs = validation.check_integer("epochs", epochs, 1)
        callbacks = check_callbacks(callbacks)
        threads = self.network._threads(self.n_threads)
        progress = FitProgress(verbose, epochs)
        data = self._training_data(X, y, threads)
        validation_set = self.network._validation_set(validation_data, threads)
        return self._fit_alone(data, {"val": validation_set}, epochs, callbacks, progress)

    def _training_data(self, X: Any, y: Any, threads: int) -> Any:
        if not isinstance(X, Stream):
            return self.network._training_set(X, y, threads)
        if y is not None:
            raise TypeError(f"y must be None where X is a Stream, which brings its own, got {type(y).__name__}")
        return BoundStream(X, self.network)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint, from which `resume` goes on: the network and all that decides its next epochs.

        That is the settings, the optimizer's state, the state of the row order, and the history; not `n_threads`, which
        changes no result. `fastmlp.load` reads the network alone. `fastmlp.callbacks.Checkpoint` calls this between
        epochs.

        Parameters
        ----------
        path : path
            By custom ``<name>.safetensors``. A file that stands there is replaced in one step, when the new one is
            complete and on the disk.

        Raises
        ------
        RuntimeError
            If a fit is under way in another thread.
        ValueError, OSError, ImportError
            As `Network.save`.
        """
        from .checkpoints import save_trainer

        save_trainer(self, path)

    @classmethod
    def resume(cls, path: str | os.PathLike[str], n_threads: int | None = None) -> Trainer:
        """The trainer of a checkpoint, as it was: what it trains next has the bits of a fit that was never interrupted.

        Parameters
        ----------
        path : path
        n_threads : int >= 1, optional

        Returns
        -------
        Trainer
            With its network and history; ``len(trainer.history.loss)`` epochs are done.

        Raises
        ------
        ModelFileError
            If the file is not a whole checkpoint of fastmlp.
        OSError, MemoryError, ImportError
            As `fastmlp.load`.
        """
        from .checkpoints import resume_trainer

        validation.check_threads(n_threads)
        return resume_trainer(path, functools.partial(cls, n_threads=n_threads))

    def __getstate__(self) -> dict[str, Any]:
        slots = [name for kind in type(self).__mro__ for name in getattr(kind, "__slots__", ())]
        kept = [name for name in slots if name not in ("__weakref__", "_core") and hasattr(self, name)]
        with self.network._at_rest():
            state = {**{name: getattr(self, name) for name in kept}, **getattr(self, "__dict__", {})}
            return {**state, "core": self._core.optimizer_state()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        updates, layers = state.pop("core")
        for name, value in state.items():
            setattr(self, name, value)
        self._core = self._new_core()
        self._core.set_optimizer_state(updates, layers)

    def _fit_alone(
        self,
        data: Any,
        evaluation_sets: Mapping[str, Any],
        epochs: int,
        callbacks: list[Callback],
        progress: FitProgress,
    ) -> History:
        given = {name: found for name, found in evaluation_sets.items() if found is not None}
        with self._reserve(), share_of_cores(self.n_threads) as share, progress:
            return self._fit(data, given, epochs, callbacks, share, progress)

    def _reserve(self) -> Any:
        return self.network._core.lock_parameters()

    def _fit(
        self,
        data: Any,
        evaluation_sets: Mapping[str, Any],  # by the names that their metrics begin with
        epochs: int,
        callbacks: list[Callback],
        threads: Callable[[], int],  # asked before each call of the core
        progress: Progress,
    ) -> History:
        history = History()
        for epoch in range(1, epochs + 1):
            metrics, updates = self._train_epoch(data, threads, epoch, progress)
            for name, evaluation_set in evaluation_sets.items():
                loss, accuracy = self._evaluate(evaluation_set, threads())
                metrics[f"{name}_loss"] = loss
                if self.network.loss == "cross_entropy":
                    metrics[f"{name}_accuracy"] = accuracy
            history._append(metrics)
            self._history._append(metrics)
            progress.epoch_done(epoch, metrics)
            for name, value in metrics.items():
                if name.endswith("loss") and not math.isfinite(value):
                    raise self._divergence(f"the {name} is {value}", epoch, updates)
            if self._wants_to_stop(callbacks, EpochInfo(epoch, epochs, metrics, self.network, self)):
                break
        return history

    def _evaluate(self, evaluation_set: Any, threads: int) -> Evaluation:
        return self.network._evaluate(evaluation_set, threads)

    def _wants_to_stop(self, callbacks: list[Callback], info: EpochInfo) -> bool:
        return any([wants_to_stop(callback, info) for callback in callbacks])

    def _divergence(self, what: str, epoch: int, step: int) -> DivergenceError:
        error = DivergenceError(
            f"{what} in epoch {epoch} at update {step} of the epoch, with learning_rate={self.learning_rate:g}; the"
            " network holds its last good weights, which are finite but may be large already: start again with a smaller"
            " learning rate or penalty"
        )
        error.epoch, error.step, error.learning_rate = epoch, step, self.learning_rate
        return error

    def _rows_of_update(self, rows: int) -> int:
        return rows if self.accumulate == "epoch" else min(rows, self.batch_size * self.accumulate)

    def _updates_of(self, data: Any) -> int:
        return -(-data.rows // self._rows_of_update(data.rows))

    def _train_epoch(
        self, data: Any, threads: Callable[[], int], epoch: int, progress: Progress
    ) -> tuple[dict[str, float], int]:
        """The epoch's metrics, and how many updates it took."""
        start = time.perf_counter()
        loss, hits, rows, updates = 0.0, 0, 0, 0

        def watch(share: float) -> None:
            progress.part_done(epoch, (rows + share * size) / (data.rows or math.inf))

        with contextlib.closing(self._parts(data, threads)) as parts:
            for part in parts:
                size, part_updates = part.rows, self._updates_of(part)
                sums = self._train_part(part, threads, watch, epoch, updates)
                loss, hits, rows, updates = loss + sums.loss, hits + sums.correct, rows + size, updates + part_updates
                del part  # while the next chunk is awaited
        metrics = {"loss": loss / rows, "penalty": self.network._penalty(self.l1, self.l2)}
        if self.network.loss == "cross_entropy":
            metrics["accuracy"] = hits / rows
        metrics["seconds"] = time.perf_counter() - start
        return metrics, updates

    def _parts(self, data: Any, threads: Callable[[], int]) -> Iterator[Any]:
        """The data sets of an epoch: the one that there is, or the chunks of a stream."""
        if isinstance(data, BoundStream):
            if self.accumulate == "epoch":
                raise ValueError("accumulate='epoch' must be an integer for a Stream: an update ends with its chunk")
            yield from data.epoch(self._rng if self._shuffle else None, threads)
        else:
            yield data

    def _train_part(
        self, data: Any, threads: Callable[[], int], watch: Callable[[float], None], epoch: int, updates_before: int
    ) -> _core.LossSum:
        order, updates = self._order(data), self._updates_of(data)

        def train(updates: int) -> _core.LossSum:
            return self._run(data, order, updates, threads, watch)

        def go_back_to(updates: int) -> None:
            self._core.restore_snapshot()
            try:
                if updates > 0:
                    train(updates)
            except LossNotFinite:  # another thread has changed the data meanwhile
                self._core.restore_snapshot()
            if not self.network._core.is_finite():
                self._core.restore_snapshot()

        self._core.save_snapshot()
        try:
            sums = train(updates)
        except LossNotFinite as found:
            go_back_to(found.last_good)
            raise self._divergence(f"the loss is {found.loss}", epoch, updates_before + found.update) from None
        if not self.network._core.is_finite():
            go_back_to(updates - 1)
            raise self._divergence("the weights are not finite", epoch, updates_before + updates)
        return sums

    def _order(self, data: Any) -> np.ndarray:
        order = self._rng.permutation(data.rows) if self._shuffle else np.arange(data.rows)
        return order.astype(np.int64, copy=False)

    def _step_settings(self) -> _core.UpdateSettings:
        return _core.UpdateSettings(self.learning_rate, self.l1, self.l2, proximal=self._proximal)

    def _run(
        self, data: Any, order: np.ndarray, updates: int, threads: Callable[[], int], watch: Callable[[float], None]
    ) -> _core.LossSum:
        """The epoch's first so many updates; after each call of the core, `watch` gets the share that is done."""
        rows, rows_of_update = len(order), self._rows_of_update(len(order))
        batch_size = min(self.batch_size, rows)

        def after_call(position: int, sums: _core.LossSum) -> None:
            if not math.isfinite(sums.loss):
                update = -(-position // rows_of_update)
                raise LossNotFinite(sums.loss, update, update - 2)  # it shows in the update after the one that did it
            watch(position / rows)

        first = order[: updates * rows_of_update]
        plan = _core.EpochPlan(first, batch_size, -(-rows_of_update // batch_size))
        return run_epoch(self._core, data, plan, self._step_settings(), threads, after_call)


class LossNotFinite(Exception):
    """Ends an epoch in this update, from 1 on; after `last_good` updates the loss was finite. Not an error of its own."""

    def __init__(self, loss: float, update: int, last_good: int) -> None:
        super().__init__(loss, update, last_good)
        self.loss, self.update, self.last_good = loss, update, last_good


def _check_update_settings(
    optimizer: str, dtype: np.dtype, momentum: Any, nesterov: Any, beta_1: Any, beta_2: Any, epsilon: Any
) -> dict[str, Any]:
    """Of what the optimizer needs, by the names of the core."""
    momentum = validation.check_number("momentum", momentum, least=0, below=1, dtype=dtype)
    nesterov = validation.check_flag("nesterov", nesterov)
    if momentum and optimizer != "sgd":
        raise ValueError(f"momentum belongs to optimizer='sgd', got momentum={momentum!r} with {optimizer!r}")
    if nesterov and not momentum:
        raise ValueError("nesterov=True needs a momentum above 0, got momentum=0")
    beta_1 = validation.check_number("beta_1", beta_1, least=0, below=1, dtype=dtype)
    beta_2 = validation.check_number("beta_2", beta_2, least=0, below=1, dtype=dtype)
    epsilon = validation.check_number("epsilon", epsilon, above=0, dtype=dtype)
    if optimizer == "adam":
        return {"beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon}
    return {"momentum": momentum, "nesterov": nesterov} if momentum else {}


def run_epoch(
    core: Any,
    data: Any,
    plan: _core.EpochPlan,
    settings: _core.UpdateSettings,
    threads: Callable[[], int],  # asked before each call of the core
    watch: Callable[[int, _core.LossSum], None] = lambda position, sums: None,  # after each call of the core
) -> _core.LossSum:
    """Trains once on the plan's rows of data. Signals are handled between the calls of the core."""
    sums, position = _core.LossSum(), 0
    while position < plan.rows:
        position = core.run(data, plan, settings, position, sums, threads(), SECONDS_PER_CALL)
        watch(position, sums)
    return sums


def wants_to_stop(callback: Callback, info: EpochInfo) -> bool:
    answer = callback(info)
    if answer is not None and not isinstance(answer, (bool, np.bool_)):
        raise TypeError(f"callbacks must return None, False or True (which stops), got {answer!r} from {callback!r}")
    return bool(answer)


def check_callbacks(callbacks: Any) -> list[Callback]:
    if not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks must be an iterable of callables, got {callbacks!r}")
    found = list(callbacks)
    for callback in found:
        if not callable(callback):
            raise TypeError(f"callbacks must be callables, got {callback!r}")
    return found
