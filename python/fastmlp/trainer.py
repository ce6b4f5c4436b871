"""Trainer: mini-batch gradient descent on one network. The core trains a slice of an epoch per call."""

from __future__ import annotations

import contextlib
import inspect
import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from . import core_calls, epoch_loop, row_subsets, training_data, validation
from ._core import LossSum, UpdateSettings
from .core_calls import Threads
from .epoch_loop import EpochLoop
from .errors import DivergenceError
from .history import Callback, EpochInfo, Evaluation, History
from .network import Network
from .progress import FitProgress, Progress
from .streaming import BoundStream, Stream
from .threads import default_thread_count, share_of_cores
from .trainer_state import ResumableTrainer
from .training_data import TrainingData

__all__ = ["EpochInfo", "History", "Trainer"]


class Trainer(ResumableTrainer):
    """Trains one network with mini-batch gradient descent.

    Parameters
    ----------
    network : Network
        The network to train, in place.
    optimizer : {"sgd", "adam", "adamw"}
        The update rule, in scikit-learn's conventions.

        - "sgd": ``w -= learning_rate * g``. With momentum ``velocity = momentum * velocity - learning_rate * g``,
          ``w += velocity``, or in Nesterov's variant ``w += momentum * velocity - learning_rate * g``.
        - "adam" (Kingma and Ba 2015): with m and v the running means of g and g^2 and t the number of updates,
          ``w -= learning_rate * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon)``.
        - "adamw" (Loshchilov and Hutter 2019): the same after ``w *= 1 - learning_rate * weight_decay``, for weights only.
    learning_rate : float > 0
    batch_size : int >= 1
        Rows of a mini-batch. The last one of an epoch may be smaller; its gradient is the mean over its own rows.
    momentum : float in [0, 1)
        For "sgd".
    nesterov : bool
        Nesterov's variant of momentum, for "sgd".
    beta_1, beta_2 : float in [0, 1)
        Decay rates of the running means of gradient and squared gradient, for "adam" and "adamw".
    epsilon : float > 0
        Added to the root of the squared gradient's mean, for "adam" and "adamw".
    weight_decay : float >= 0
        For "adamw". Unlike `l2`, it is no part of the gradient, whose size Adam divides by.
    l1, l2 : float >= 0
        Strength of the penalty ``l1 * sum|w| + l2/2 * sum(w**2)`` on the weights, added to the *mean*
        loss: it does not depend on the batch size nor on accumulation.
    proximal : bool
        How l1 acts. False: by its subgradient, sign(w), 0 at 0; weights then oscillate around zero. True: after each
        update w becomes ``sign(w) * max(|w| - s * l1, 0)``, so that weights become exactly zero. s is the effective step
        size under a constant gradient: the learning rate; with momentum, ``learning_rate / (1 - momentum)``; with
        "adam", the step size of each weight (Parikh and Boyd 2014, Proximal Algorithms).
    accumulate : int >= 1 or "epoch"
        Mini-batches per update. An update uses the gradient of the mean loss over all rows of its
        mini-batches; "epoch" makes one update per epoch.
    shuffle : bool
        Permute the rows anew in each epoch.
    seed : int >= 0
        Seed of the permutations.
    n_threads : int >= 1, optional
        Number of threads. Default: threadpoolctl's limit, else OMP_NUM_THREADS, else the cores that the process may
        use, divided among the fits that run in this process at the same time. The results have the same bits for every
        number.

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

    __slots__ = ()  # so that a misspelt setting is an AttributeError

    @validation.checks_arguments()
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
        weight_decay: float = 0.01,
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
        settings = {name: value for name, value in locals().items() if name not in ("self", "network", "seed")}
        self._network = network
        self._set_all(network.dtype, settings)
        self._rng = np.random.default_rng(validation.check_seed(seed))
        self._history = History()
        self._fit_begin, self._resumes = 0, False
        self.core = self._new_core()

    @validation.checks_arguments(keyword_only_after="epochs")
    def fit(
        self,
        X: Any,
        y: Any,
        epochs: int,
        validation_data: Any = None,
        callbacks: Iterable[Callback] = (),
        verbose: bool | str = "auto",
        *,
        sample_weight: Any = None,
        n_threads: int | None = None,
        validation_split: float | None = None,
        max_seconds: float | None = None,
    ) -> History:
        """Train for `epochs` more epochs; optimizer state and shuffling continue from the previous fit.

        Parameters
        ----------
        X : array or SciPy CSR matrix of float32, float64 or uint8, shape (samples, features)
            Copied once if not C-contiguous; other sparse formats are converted to CSR. A float32 network rounds float64
            values as it reads them. A CSR matrix gives the same bits as the dense array, which is never built; the cost
            depends on the columns that occur in a batch, plus one pass over all weights per update with l1, l2,
            momentum, Adam, accumulation or batches above 256 rows.
            Or a `streaming.Stream` of rows that need not fit into memory; y is None then.
        y : integers in [0, classes), shape (samples,), or for the other losses reals, shape (samples, outputs)
        epochs : int >= 1
        validation_data : (X, y), (X, y, sample_weight), or dict of str to such tuples, optional
            Evaluated after each epoch, into the metrics ``val_loss`` and ``val_accuracy``; with a dict, into
            ``<name>_loss`` and ``<name>_accuracy``.
        callbacks : iterable of callable
            After each epoch each is called as ``callback(info)`` with an `EpochInfo`; the fit ends if one returns True.
        verbose : bool or "auto"
            "auto": a progress line on stderr if that is a terminal; in a notebook, a bar where tqdm is installed. True: also
            one line per epoch elsewhere.
        sample_weight : array of reals, shape (samples,), optional
            A mini-batch's loss and gradient are means weighted by them. A mini-batch whose weights sum to zero has no
            data gradient. With a Stream, the chunks hold the weights.
        n_threads : int >= 1, optional
            For this fit, in place of the trainer's.
        validation_split : float in (0, 1), optional
            Instead of validation_data: this share of the rows is not trained on, but validated on. The rows are drawn at
            random and depend on nothing but their number and the share: those of each fit are the same, also after
            `resume` and for trainers of other seeds. Not for a Stream.
        max_seconds : float > 0, optional
            A limit of the time from the first epoch on, validation and callbacks included. The fit trains whole epochs, at
            least one. It ends before an epoch that would end later if it took as long as the one before it, and sets
            ``history.out_of_time``.

        Returns
        -------
        History

        Raises
        ------
        ValueError, TypeError
            If an argument is invalid; the network is unchanged. Invalid values in a Stream raise when their chunk is
            read.
        DivergenceError
            In the update in which the loss or a weight becomes NaN or infinite. The network keeps the last weights with
            a finite loss. If the first update of an epoch (or stream chunk) diverges, it keeps the weights from before
            that epoch (chunk).
        RuntimeError
            If another fit of this network is running.
        KeyboardInterrupt
            On Ctrl-C; the network is as after its last update and can be used and trained further.
        """
        epochs = validation.check_integer("epochs", epochs, 1)
        callbacks = validation.check_callbacks(callbacks)
        n_threads = validation.check_threads(n_threads) or self.n_threads
        threads = n_threads or default_thread_count()
        progress = FitProgress(verbose, epochs)
        max_seconds = validation.check_max_seconds(max_seconds)
        fraction = row_subsets.check_validation_split(validation_split, X, validation_data)
        data = self._training_data(X, y, sample_weight, threads)
        if fraction is not None:
            rows, held_out = row_subsets.hold_out(data.rows, fraction)
            data = row_subsets.only(data, rows, sample_weight)
            validation_data = row_subsets.take_all(X, y, sample_weight, held_out)
        sets = training_data.evaluation_sets(
            validation_data, lambda *rows: training_data.evaluation_data(self.network, *rows, threads)
        )
        return self._fit_with_lock(data, sets, epochs, callbacks, progress, n_threads, max_seconds)

    def _training_data(self, X: Any, y: Any, sample_weight: Any, threads: int) -> Any:
        if not isinstance(X, Stream):
            data = training_data.training_data(self.network, X, y, sample_weight, threads, skips_columns=True)
            _warn_of_bytes(X, self.network)
            return training_data.check_total_weight("X", data)
        for name, given in (("y", y), ("sample_weight", sample_weight)):
            if given is not None:
                raise TypeError(f"{name} must be None with a Stream, whose chunks hold it, got {type(given).__name__}")
        return BoundStream(X, self.network)

    def __repr__(self) -> str:
        defaults = {name: p.default for name, p in inspect.signature(Trainer).parameters.items()}
        shown = ", ".join(f"{name}={value!r}" for name, value in self.values.items() if value != defaults.get(name))
        return f"{type(self).__name__}({self.network!r}{', ' * bool(shown)}{shown})"

    def _fit_with_lock(
        self,
        data: Any,
        sets: Mapping[str, Any],
        epochs: int,
        callbacks: list[Callback],
        progress: FitProgress,
        n_threads: int | None,
        max_seconds: float | None,
    ) -> History:
        with self._lock(), share_of_cores(n_threads) as threads, progress:
            return self.run_epochs(data, sets, epochs, callbacks, threads, progress, max_seconds)

    def _lock(self) -> Any:
        return self.network.core.lock_parameters()

    def run_epochs(
        self,
        data: Any,
        sets: Mapping[str, Any],
        epochs: int,
        callbacks: list[Callback],
        threads: Threads,
        progress: Progress,
        max_seconds: float | None,
    ) -> History:
        """`fit` with checked arguments, for the thread that holds the lock of the network's parameters.

        `data` is a TrainingData or a BoundStream; `sets` are evaluated after each epoch, into metrics <name>_loss.
        """
        updates = 0
        if not self._resumes:
            self._fit_begin = len(self._history.loss)
        self._resumes = False

        def train_epoch(epoch: int) -> dict[str, float]:
            nonlocal updates
            metrics, updates = self._train_epoch(data, threads, epoch, progress)
            return metrics

        loop = EpochLoop(
            self.network,
            epochs,
            callbacks,
            evaluate=lambda: epoch_loop.evaluation_metrics(self.network, sets, threads, self._evaluate),
            divergence=lambda what: self._divergence(what, loop.epoch, updates),
            record=self._history,
            progress=progress,
            trainer=self,
            optimizer=self,
            call=self._call_callbacks,
            begin=self._fit_begin,
            max_seconds=max_seconds,
        )
        loop.run(train_epoch)
        return loop.history

    def _evaluate(self, network: Network, data: TrainingData, threads: int) -> Evaluation:
        return core_calls.evaluate(network, data, threads)

    def _call_callbacks(self, callbacks: list[Callback], info: EpochInfo) -> bool:
        return epoch_loop.call_callbacks(callbacks, info)

    def _divergence(self, what: str, epoch: int, update: int) -> DivergenceError:
        return epoch_loop.divergence_error(what, epoch, update, self.learning_rate)

    def _rows_of_update(self, rows: int) -> int:
        return rows if self.accumulate == "epoch" else min(rows, self.batch_size * self.accumulate)

    def _updates_of(self, data: Any) -> int:
        return -(-data.rows // self._rows_of_update(data.rows))

    def _train_epoch(self, data: Any, threads: Threads, epoch: int, progress: Progress) -> tuple[dict[str, float], int]:
        """The epoch's metrics, and how many updates it took."""
        start = time.perf_counter()
        loss, correct, rows, updates = 0.0, 0.0, 0, 0

        def on_progress(share: float) -> None:
            progress.part_done(epoch, (rows + share * chunk_rows) / (data.rows or math.inf))

        with contextlib.closing(self._chunks(data, threads)) as chunks:
            for chunk in chunks:
                chunk_rows, chunk_updates = chunk.rows, self._updates_of(chunk)
                sums = self._train_chunk(chunk, threads, on_progress, epoch, updates)
                loss, correct, rows = loss + sums.loss, correct + sums.correct, rows + chunk_rows
                updates += chunk_updates
                del chunk  # before the next one is read
        metrics = {"loss": loss / rows, "penalty": core_calls.penalty(self.network, self.l1, self.l2)}
        if core_calls.has_accuracy(self.network):
            metrics["accuracy"] = correct / rows
        metrics["seconds"] = time.perf_counter() - start
        return metrics, updates

    def _chunks(self, data: Any, threads: Threads) -> Iterator[Any]:
        """The data sets of an epoch: a single one, or the chunks of a stream."""
        if isinstance(data, BoundStream):
            if self.accumulate == "epoch":
                raise ValueError("accumulate='epoch' must be an integer for a Stream: an update ends with its chunk")
            yield from data.epoch(self._rng if self.shuffle else None, threads)
        else:
            yield data

    def _train_chunk(
        self, data: Any, threads: Threads, on_progress: Callable[[float], None], epoch: int, updates_before: int
    ) -> LossSum:
        order, updates = self._order(data), self._updates_of(data)
        return core_calls.train_or_go_back(
            self.core,
            self.network,
            updates,
            lambda updates: self._train_updates(data, order, updates, threads, on_progress),
            lambda what, update: self._divergence(what, epoch, updates_before + update),
        )

    def _order(self, data: Any) -> np.ndarray:
        order = self._rng.permutation(data.rows) if self.shuffle else np.arange(data.rows)
        return order.astype(np.int64, copy=False) if data.chosen is None else data.chosen[order]

    def _update_settings(self) -> UpdateSettings:
        return UpdateSettings(self.learning_rate, self.l1, self.l2, proximal=self.proximal)

    def _train_updates(
        self, data: Any, order: np.ndarray, updates: int, threads: Threads, on_progress: Callable[[float], None]
    ) -> LossSum:
        """The first so many updates of the epoch."""
        rows, rows_of_update = len(order), self._rows_of_update(len(order))
        batch_size = min(self.batch_size, rows)
        first = order[: updates * rows_of_update]
        accumulate = -(-rows_of_update // batch_size)
        return core_calls.train(
            self.core, data, first, batch_size, accumulate, self._update_settings(), threads, on_progress
        )


def _warn_of_bytes(X: Any, network: Network) -> None:
    """Images as bytes, without a scale: a fit with inputs of up to 255 hardly ever succeeds."""
    if getattr(X, "dtype", None) != np.uint8 or network.input_scale != 1:
        return
    values = X.tocsr().data if hasattr(X, "tocsr") else X  # the maximum of a sparse matrix would change it
    if values.size and values.max() > 127:
        warnings.warn(
            "X is uint8 with values above 127 and the network's input_scale is 1: pass input_scale=1/255 to Network for"
            " images",
            UserWarning,
            stacklevel=5,
        )
