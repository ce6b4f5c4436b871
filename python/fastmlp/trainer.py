"""Trainer: mini-batch gradient descent on one network. The core trains a slice of an epoch per call."""

from __future__ import annotations

import contextlib
import inspect
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from . import core_calls, epoch_loop, row_subsets, steps, training_data, validation
from . import metrics as own_metrics
from ._core import LossSum
from .core_calls import OnProgress, Threads
from .epoch_loop import CheckedFit, EpochLoop
from .errors import DivergenceError
from .history import Callback, EpochInfo, Evaluation, History
from .input_scales import warn_of_scale
from .network import Network
from .optimizers import SETTINGS, Factors
from .progress import FitProgress, Progress
from .schedules import Schedule
from .standardization import learned
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
    optimizer : {"sgd", "adam", "adamw", "nadam", "rmsprop"}
        The update rule, in scikit-learn's conventions.

        - "sgd": ``w -= learning_rate * g``. With momentum ``velocity = momentum * velocity - learning_rate * g``,
          ``w += velocity``, or in Nesterov's variant ``w += momentum * velocity - learning_rate * g``.
        - "adam" (Kingma and Ba 2015): with m and v the running means of g and g^2 and t the number of updates,
          ``w -= learning_rate * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon)``.
        - "adamw" (Loshchilov and Hutter 2019): the same after ``w *= 1 - learning_rate * weight_decay``, for weights only.
        - "nadam" (Dozat 2016), in PyTorch's form: Adam with Nesterov's momentum. With
          ``mu_t = beta_1 * (1 - 0.96**(momentum_decay * t) / 2)`` and p_t their product, g and m in
          ``(1 - mu_t) / (1 - p_t) * g + mu_{t+1} / (1 - p_{t+1}) * m`` take the place of ``m / (1 - beta_1^t)``.
        - "rmsprop" (Tieleman and Hinton 2012), in PyTorch's form: with v the running mean of g^2,
          ``w -= learning_rate * g / (sqrt(v) + epsilon)``.
    learning_rate : float > 0, optional
        By default 0.1 for "sgd", 0.01 for "rmsprop", and 0.001 for the others.
    batch_size : int >= 1
        Rows of a mini-batch. The last one of an epoch may be smaller; its gradient is the mean over its own rows.
    momentum : float in [0, 1), optional
        For "sgd"; None: 0. Any value but None of a setting of another optimizer is rejected.
    nesterov : bool, optional
        Nesterov's variant of momentum, for "sgd"; None: False.
    rho : float in [0, 1), optional
        Decay rate of the running mean of the squared gradient, for "rmsprop"; None: 0.99.
    momentum_decay : float >= 0, optional
        How fast the momentum of "nadam" grows to beta_1; None: 0.004.
    beta_1, beta_2 : float in [0, 1), optional
        Decay rates of the running means of gradient and squared gradient, for the Adams; None: 0.9, 0.999.
    epsilon : float > 0, optional
        Added to the root of the squared gradient's mean, for all but "sgd"; None: 1e-8.
    weight_decay : float >= 0, optional
        For "adamw"; None: 0.01. Unlike `l2`, it is no part of the gradient, whose size Adam divides by.
    l1, l2 : float >= 0
        Strength of the penalty ``l1 * sum|w| + l2/2 * sum(w**2)`` on the weights, added to the *mean*
        loss: it does not depend on the batch size nor on accumulation.
    proximal : bool
        How l1 acts. False: by its subgradient, sign(w), 0 at 0; weights then oscillate around zero. True: after each
        update w becomes ``sign(w) * max(|w| - s * l1, 0)``, so that weights become exactly zero. s is the step
        size: the learning rate; with momentum, ``learning_rate / (1 - momentum)``; with "adam", what the update multiplies
        the gradient's running mean by, ``learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t) / (sqrt(v) + epsilon)`` in
        update t (Parikh and Boyd 2014, Proximal Algorithms). Without `l1` it has no effect.
    accumulate : int >= 1 or "epoch"
        Mini-batches per update. An update uses the gradient of the mean loss over all rows of its
        mini-batches; "epoch" makes one update per epoch.
    max_gradient_norm : float > 0, optional
        An update whose gradient of the data loss, of all weights and biases together, has a larger norm takes that gradient
        times ``max_gradient_norm / norm``.
    dropout, input_dropout : float in [0, 1)
        Probability that a hidden unit, or an input, is zero in an update; the others are divided by ``1 - dropout``
        (Srivastava et al. 2014). The loss of an epoch is that with dropout; predictions and evaluations have none.
    schedule, weight_decay_schedule, dropout_schedule : schedule, optional
        A factor of the learning rate, of weight_decay, or of both dropouts in each update: one of `fastmlp.schedules`, the
        name of one, or a function of the progress of the fit in [0, 1), the share of its rows before the update. A
        dropout times its factor must be below 1. The learning rate of each epoch's last update is in the history.
    average_decay : float in (0, 1), optional
        Keep a running mean of the parameters, ``mean += (1 - average_decay) * (parameters - mean)`` after each update, which
        begins with the parameters after the first one. `average` is the network with these; validation data are evaluated
        with it.
    learning_rate_factors : pair of float >= 0, or sequence of pairs, optional
        (weights, biases), for all layers or for each: factors of the learning rate. A single pair must be a tuple.
    precision : {"bfloat16", "bfloat16_amx"}, optional
        Of a float32 network's products: their factors are rounded to bfloat16, which has 8 significant bits. Sums, biases,
        the loss, the weights that are updated, the optimizer's state, and the products of an output layer of up to 16
        outputs remain float32. The two are fast with AVX512_BF16 or with AMX (`show_config`), and give the same bits
        everywhere. None: float32.
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
        learning_rate: float | None = None,
        batch_size: int = 128,
        *,
        momentum: float | None = None,
        nesterov: bool | None = None,
        rho: float | None = None,
        momentum_decay: float | None = None,
        beta_1: float | None = None,
        beta_2: float | None = None,
        epsilon: float | None = None,
        weight_decay: float | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
        proximal: bool = False,
        accumulate: int | str = 1,
        max_gradient_norm: float | None = None,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        schedule: Schedule | str | Callable[[float], float] | None = None,
        weight_decay_schedule: Schedule | str | Callable[[float], float] | None = None,
        dropout_schedule: Schedule | str | Callable[[float], float] | None = None,
        average_decay: float | None = None,
        learning_rate_factors: Factors | None = None,
        precision: str | None = None,
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
        self._fit_begin, self._fit_end, self._resumes, self._span = 0, 0, False, (0, 1)
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
        metrics: Mapping[str, Callable[..., Any]] | None = None,
    ) -> History:
        """Train for `epochs` more epochs; optimizer state and shuffling continue from the previous fit.

        Parameters
        ----------
        X : array or SciPy CSR matrix of float32, float64 or uint8, shape (samples, features)
            Copied once if not C-contiguous; other sparse formats are converted to CSR. A float32 network rounds float64
            values as it reads them. A CSR matrix gives the same bits as the dense array, which is never built; with
            ``precision="bfloat16_amx"`` the last bits may differ. The cost depends on the columns that occur in a batch,
            plus one pass over all weights per update with l1, l2, momentum, Adam, accumulation or batches above 256 rows.
            X and y must not change while the fit runs.
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
            At least 0, with a positive sum. A mini-batch's loss and gradient are means weighted by them. A mini-batch whose
            weights sum to zero has no data gradient. With a Stream, the chunks hold the weights.
        n_threads : int >= 1, optional
            For this fit, in place of the trainer's.
        validation_split : float in (0, 1), optional
            Instead of validation_data: this share of the rows is not trained on, but validated on. The rows are drawn at
            random and depend on nothing but their number and the share: those of each fit are the same, also after
            `resume` and for trainers of other seeds. Not for a Stream.
        max_seconds : float > 0, optional
            A limit of the time from the first epoch on, validation and callbacks included. The fit trains whole epochs, at
            least one. It ends if another epoch, as long as the last one, would exceed the limit, and sets
            ``history.out_of_time``.
        metrics : dict of str to callable, optional
            Measured on the validation data after each epoch: ``metrics={"auc": f}`` adds ``val_auc`` (or
            ``<name>_auc``), the number ``f(y, predictions)``. Predictions are those of `Network.forward`, in the shape of
            y for one output. f gets weights of the data as ``sample_weight=``, as scikit-learn's metrics do.

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
        functions = own_metrics.check_metrics(metrics)
        fraction = row_subsets.check_validation_split(validation_split, X, validation_data)
        trained = None if fraction is None else lambda count: [row_subsets.hold_out(count, fraction)[0]]
        with learned([self.network], X, y, sample_weight, threads, trained) as keep:
            data = self._training_data(X, y, sample_weight, threads)
            if fraction is not None:
                rows, held_out = row_subsets.hold_out(data.rows, fraction)
                data = row_subsets.only(data, rows, sample_weight)
                validation_data = row_subsets.take_all(X, y, sample_weight, held_out)
            sets = training_data.evaluation_sets(
                validation_data, X, lambda *rows: training_data.evaluation_data(self.network, *rows, threads)
            )
            measured = own_metrics.on_sets(functions, validation_data, self.network.layer_sizes[0])
            fit = CheckedFit(data, sets, epochs, callbacks, progress, max_seconds, measured, keep)
            return self._fit_with_lock(fit, n_threads)

    def _training_data(self, X: Any, y: Any, sample_weight: Any, threads: int) -> Any:
        if not isinstance(X, Stream):
            data = training_data.training_data(self.network, X, y, sample_weight, threads, skips_columns=True)
            warn_of_scale(X, self.network)
            return training_data.check_total_weight("X", data)
        for name, given in (("y", y), ("sample_weight", sample_weight)):
            if given is not None:
                raise TypeError(f"{name} must be None with a Stream, whose chunks hold it, got {type(given).__name__}")
        return BoundStream(X, self)

    def apply(self, gradients: Any, n_threads: int | None = None) -> None:
        """Make one update with gradients that you have computed, for example by `fastmlp.steps.Step.backward`.

        Parameters
        ----------
        gradients : StepGradients, Gradients, or another object with these attributes
            ``weights`` and ``biases``: arrays of reals, shapes of `Network.weights` and `Network.biases`.
        n_threads : int >= 1, optional

        Raises
        ------
        ValueError, TypeError
            If an array has a wrong shape or type, or holds NaN or inf; or if the trainer has a setting that needs the
            forward pass, several batches or an end of the training: dropout, accumulate and schedules; or if the gradients are
            those of a step of another network. Nothing is changed then.
        DivergenceError
            If a weight becomes NaN or infinite; network and optimizer state are as before the update.
        RuntimeError
            If a fit of this network is running.

        Notes
        -----
        Penalties, weight decay, `max_gradient_norm` and `average_decay` act as in `fit`: gradients should not contain a
        penalty already. `precision` has no effect, because it belongs to the passes that compute gradients. The history gets
        no entry.
        """
        steps.apply(self, gradients, n_threads)

    def __repr__(self) -> str:
        defaults = {name: p.default for name, p in inspect.signature(Trainer).parameters.items()}
        defaults |= {name: setting.default for name, setting in SETTINGS.items()}
        shown = ", ".join(f"{name}={value!r}" for name, value in self.values.items() if value != defaults.get(name))
        return f"{type(self).__name__}({self.network!r}{', ' * bool(shown)}{shown})"

    def _fit_with_lock(self, fit: CheckedFit, n_threads: int | None) -> History:
        with self._lock(), share_of_cores(n_threads) as threads, fit.progress:
            return self.run_epochs(fit, threads)

    def _lock(self) -> Any:
        return self.network.core.lock_parameters()

    def run_epochs(self, fit: CheckedFit, threads: Threads) -> History:
        """`fit` of checked arguments, with the lock of the parameters held: for the package itself."""
        updates, own = 0, fit.own_metrics
        leave = self._enter_fit(fit.epochs)

        def train_epoch(epoch: int) -> dict[str, float]:
            nonlocal updates
            metrics, updates = self._train_epoch(fit.data, threads, epoch, fit.progress)
            return metrics

        loop = EpochLoop(
            self.network,
            fit.epochs,
            fit.callbacks,
            evaluate=lambda: epoch_loop.evaluation_metrics(self.evaluated, fit.sets, threads, self._evaluate),
            measure=None if own is None else lambda: own.of(self.evaluated, threads()),
            divergence=lambda what: self._divergence(what, loop.epoch, updates),
            record=self._history,
            progress=fit.progress,
            trainer=self,
            optimizer=self,
            call=self._call_callbacks,
            begin=self._fit_begin,
            max_seconds=fit.max_seconds,
        )
        try:
            loop.run(train_epoch)
        finally:
            if loop.has_begun:
                fit.keep(self.network)
            else:
                leave()
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
            for number, chunk in enumerate(chunks):
                self.network.note_targets(chunk.column_targets)
                chunk_rows, chunk_updates = chunk.rows, self._updates_of(chunk)
                within = np.minimum(np.arange(chunk_updates) * self._rows_of_update(chunk_rows), chunk_rows)
                is_part = isinstance(data, BoundStream)
                shares = data.shares(number, rows, within, chunk_rows) if is_part else within / chunk_rows
                progress_of_updates = self._progress(epoch, shares)
                sums = self._train_chunk(chunk, threads, on_progress, epoch, updates, progress_of_updates)
                loss, correct, rows = loss + sums.loss, correct + sums.correct, rows + chunk_rows
                updates += chunk_updates
                del chunk  # before the next one is read
        metrics = {"loss": loss / rows, "penalty": core_calls.penalty(self.network, self.l1, self.l2)}
        if core_calls.has_accuracy(self.network):
            metrics["accuracy"] = correct / rows
        if self.schedule is not None:
            metrics["learning_rate"] = self.learning_rate * self.schedule(float(progress_of_updates[-1]))
        metrics["seconds"] = time.perf_counter() - start
        return metrics, updates

    def _progress(self, epoch: int, shares: np.ndarray) -> np.ndarray:
        """Of the fit, at these shares of an epoch."""
        done, total = self._span
        return (done + epoch - 1 + shares) / total

    def _chunks(self, data: Any, threads: Threads) -> Iterator[Any]:
        """The data sets of an epoch: a single one, or the chunks of a stream."""
        if isinstance(data, BoundStream):
            if self.accumulate == "epoch":
                raise ValueError("accumulate='epoch' must be an integer for a Stream: an update ends with its chunk")
            yield from data.epoch(self._rng if self.shuffle else None, threads)
        else:
            yield data

    def _train_chunk(
        self,
        data: Any,
        threads: Threads,
        on_progress: OnProgress,
        epoch: int,
        updates_before: int,
        progress: np.ndarray,  # of the fit, at each update
    ) -> LossSum:
        order, updates = self._order(data), len(progress)
        return core_calls.train_or_go_back(
            self.core,
            self.network,
            updates,
            lambda updates: self._train_updates(data, order, progress[:updates], threads, on_progress),
            lambda what, update: self._divergence(what, epoch, updates_before + update),
        )

    def _order(self, data: Any) -> np.ndarray:
        order = self._rng.permutation(data.rows) if self.shuffle else np.arange(data.rows)
        return order.astype(np.int64, copy=False) if data.chosen is None else data.chosen[order]

    def _train_updates(
        self,
        data: Any,
        order: np.ndarray,
        progress: np.ndarray,
        threads: Threads,
        on_progress: OnProgress,
    ) -> LossSum:
        """The first ``len(progress)`` updates of the epoch."""
        updates, rows, rows_of_update = len(progress), len(order), self._rows_of_update(len(order))
        batch_size = min(self.batch_size, rows)
        first = order[: updates * rows_of_update]
        accumulate = -(-rows_of_update // batch_size)
        return core_calls.train(
            self.core, data, first, batch_size, accumulate, self.update_settings(progress), threads, on_progress
        )
