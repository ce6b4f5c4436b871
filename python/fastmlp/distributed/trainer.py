"""The data-parallel Trainer: every rank makes the same updates, or local ones whose mean is taken from time to time."""

from __future__ import annotations

import functools
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .. import _core, core_calls, input_scales, trainer, training_data, validation
from ..core_calls import LossNotFinite, OnProgress, Threads
from ..epoch_loop import CheckedFit
from ..history import Callback, EpochInfo, Evaluation, History
from ..network import Network
from ..progress import FitProgress
from ..standardization import check_known
from ..streaming import Stream
from ..threads import default_thread_count, names_a_number_of_threads
from ..trainer_settings import OPTIONAL
from ..training_data import TrainingData
from .communicators import Communicator, MPICommunicator, check_communicator
from .interrupts import interrupts_deferred


@dataclass
class Shard:
    """The rows of this rank, and how many the others have."""

    data: TrainingData | None  # None without rows
    own_rows: int
    weighted: bool  # whether the rows have sample weights; the same on every rank
    sample_weight: np.ndarray | None = None  # (own_rows,), float64
    rows_of_ranks: np.ndarray | None = None  # (ranks,), once it is gathered
    weight: float = 0.0  # of the rows of all ranks
    column_targets: bool = False  # y has shape (own_rows, 1); without rows, that of another rank has

    @property
    def rows(self) -> int:
        return int(self.rows_of_ranks.sum())


class Totals(NamedTuple):
    """Sums over an epoch's rows on all ranks."""

    loss: float
    correct: float


class Trainer(trainer.Trainer):
    """Trains one network on the rows of several processes (ranks), each with a `Trainer` of its own.

    Every rank runs the same program with the same settings and passes its own rows to `fit`. By default training is
    synchronous: each update uses the gradient of the mean loss over the rows of all ranks in the batch. Up to rounding,
    R ranks train what one process trains with all these rows in each batch, and all ranks have the same bits after each
    update.

    Parameters
    ----------
    network : Network
        Rank 0's parameters, optimizer state, row order and history are sent to the other ranks when a fit begins.
    optimizer, learning_rate, momentum, nesterov, rho, momentum_decay, beta_1, beta_2, epsilon, weight_decay, l1, \
l2, proximal, max_gradient_norm, dropout, input_dropout, schedule, weight_decay_schedule, dropout_schedule, average_decay, \
learning_rate_factors, precision, shuffle, seed
        As in `fastmlp.Trainer`. Each rank permutes its rows with a generator of its own, seeded by the seed, the epoch and
        the rank.
    batch_size : int >= ranks
        Rows of a mini-batch, on all ranks together. Each rank contributes an equal part, up to one row; a rank without
        further rows contributes none. Give all ranks the same number of rows: otherwise the last batches of an epoch are
        smaller, and their gradients are means over fewer rows.
    accumulate : int >= 1 or "epoch"
        As in `fastmlp.Trainer`. The ranks communicate once per update.
    sync_every : int >= 1
        1: as above. H > 1: **another algorithm**, for slow networks (local SGD, Stich 2019): each rank makes H updates of
        its own with its part of each batch; then parameters and optimizer state become their mean over the ranks, weighted
        by the rows that each rank has used. Ranks communicate 1/H as often, and each time send the optimizer state as
        well. Results depend on the number of ranks; a larger H learns less per epoch; a weight that proximal steps have
        set to zero on one rank only is not zero in the mean. After a divergence the last mean with a finite loss is kept.
    communicator : Communicator, optional
        Default: `MPICommunicator`, all processes started by ``mpiexec``.
    n_threads : int >= 1, optional
        Threads of this rank. Default: OMP_NUM_THREADS, else as in `fastmlp.Trainer`, divided among the ranks that share
        these cores.

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid.
    ImportError
        Without mpi4py or an MPI library, if no communicator is passed.

    Notes
    -----
    Start programs with ``mpiexec -n 4 python -m mpi4py program.py``: then an unhandled exception on one rank, or its death,
    ends all ranks. Errors in the arguments and data of a fit and in its callbacks, divergence and Ctrl-C are raised on
    every rank. An error of one rank within an update, such as a lack of memory, must not be handled there, because the
    other ranks wait for it.
    """

    __slots__ = ("_communicator", "_is_interrupted", "_sync_every")

    _is_interrupted: Callable[[], bool]  # whether Ctrl-C has come, which all ranks raise together

    def __init__(
        self,
        network: Network,
        optimizer: str = "sgd",
        learning_rate: float | None = None,
        batch_size: int = 128,
        *,
        sync_every: int = 1,
        communicator: Communicator | None = None,
        n_threads: int | None = None,
        **settings: Any,
    ) -> None:
        self._communicator = MPICommunicator() if communicator is None else check_communicator(communicator)
        n_threads = validation.check_threads(n_threads)
        if hasattr(self._communicator, "ranks_on_these_cores"):
            sharing = self._communicator.ranks_on_these_cores()  # a call that all ranks must make
            if not names_a_number_of_threads(os.environ.get("OMP_NUM_THREADS", "")):  # clusters set it for each rank
                n_threads = n_threads or max(1, default_thread_count() // sharing)
        super().__init__(network, optimizer, learning_rate, batch_size, n_threads=n_threads, **settings)
        self._sync_every = validation.check_integer("sync_every", sync_every, 1)
        self._is_interrupted = lambda: False

    @property
    def communicator(self) -> Communicator:
        """The communicator passed to the constructor, or the default one."""
        return self._communicator

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
        max_seconds: float | None = None,
    ) -> History:
        """Train together for `epochs` more epochs; every rank calls this.

        Parameters
        ----------
        X, y
            This rank's rows, as in `fastmlp.Trainer.fit`, but no Stream. They may be empty, shape (0, features). A part of a
            memory-mapped file is read in place: ``np.load(path, mmap_mode="r")[begin:end]``.
        epochs : int >= 1
        validation_data : as in `fastmlp.Trainer.fit`, optional
            This rank's part; on every rank or on none, with the same names. The metrics are those of all rows.
        callbacks : iterable of callable
            Called on every rank. The fit ends if a callback of one rank returns True.
        verbose : bool or "auto"
            For rank 0; the others print nothing.
        sample_weight : array of reals >= 0, shape (samples,), optional
            The weights of this rank's rows; on every rank or on none.
        n_threads : int >= 1, optional
            For this fit on this rank, in place of the trainer's.
        max_seconds : float > 0, optional
            As in `fastmlp.Trainer.fit`. All ranks end after the same epoch, the first one that is too late on any rank.

        Returns
        -------
        History
            The same on every rank, except `seconds`.

        Raises
        ------
        ValueError, TypeError
            If an argument is invalid, or differs from that of rank 0; the network is unchanged.
        RuntimeError
            If another rank's arguments, data or callbacks raise an error; or as `fastmlp.Trainer.fit`.
        DivergenceError
            As `fastmlp.Trainer.fit`.
        KeyboardInterrupt
            On every rank, if one gets Ctrl-C: after an update that all have made, with `sync_every` after the next mean.
        """
        with interrupts_deferred() as self._is_interrupted:
            with self._raises_on_every_rank("could not begin its fit"):
                epochs = validation.check_integer("epochs", epochs, 1)
                callbacks = validation.check_callbacks(callbacks)
                n_threads = validation.check_threads(n_threads) or self.n_threads
                max_seconds = validation.check_max_seconds(max_seconds)
                progress = FitProgress(verbose if self._communicator.rank == 0 else False, epochs)
                check_known(self.network, "a distributed Trainer")
                shard = self._shard(X, y, sample_weight)
                input_scales.warn_of_scale(X, self.network)
                shards = training_data.evaluation_sets(
                    validation_data, X, lambda *rows: self._shard(*rows, skips_columns=False)
                )
            self._check_same(
                epochs=epochs,
                validation_data={name: each.weighted for name, each in shards.items()},
                sample_weight=shard.weighted,
                max_seconds=max_seconds,
            )
            for each in (shard, *shards.values()):
                own_weight = 0.0 if each.data is None else each.data.weight
                rows, weights, columns = self._gather(each.own_rows, own_weight, each.column_targets).T
                each.rows_of_ranks, each.weight = rows.astype(np.int64), float(weights.sum())
                each.column_targets |= each.data is None and bool(columns.any())
                if each.rows == 0:
                    raise ValueError(f"the ranks must have at least one row together, got {each.rows}")
                if not each.weight > 0:
                    raise ValueError(f"the sample weights of all ranks must have a positive sum, got {each.weight:g}")
            fit = CheckedFit(shard, shards, epochs, callbacks, progress, max_seconds)
            return self._fit_with_lock(fit, n_threads)

    def apply(self, gradients: Any, n_threads: int | None = None) -> None:
        """Not for several ranks: sum the gradients yourself, and apply them with a `fastmlp.Trainer` on each rank."""
        raise TypeError("apply needs a fastmlp.Trainer, got a distributed one")

    def _lock(self) -> Any:
        with self._raises_on_every_rank("could not begin its fit"):
            return super()._lock()

    def run_epochs(self, *arguments: Any) -> History:
        self._take_rank_0s_state()  # here, because the lock of the parameters is held
        return super().run_epochs(*arguments)

    def save(self, path: str | os.PathLike[str]) -> None:
        """`fastmlp.Trainer.save` on rank 0; the other ranks return at once.

        The file is that of a `fastmlp.Trainer`: one process or any number of ranks can resume from it, after a barrier of
        your own. `callbacks.Checkpoint` in a fit needs no barrier.
        """
        if self._communicator.rank == 0:
            super().save(path)

    @classmethod
    def resume(
        cls,
        path: str | os.PathLike[str],
        n_threads: int | None = None,
        *,
        sync_every: int = 1,
        communicator: Communicator | None = None,
    ) -> Trainer:
        """As `fastmlp.Trainer.resume`, called on every rank, each of which reads the file.

        The number of ranks may differ from before. With the same number and the same `sync_every`, which is not in the
        file, what is trained next has the same bits as a fit without interruption.
        """
        validation.check_threads(n_threads)
        validation.check_integer("sync_every", sync_every, 1)
        new_trainer = functools.partial(cls, n_threads=n_threads, sync_every=sync_every, communicator=communicator)
        return cls._resumed(path, new_trainer)

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("a distributed Trainer cannot be pickled: its communicator belongs to this process; use save")

    def _shard(self, X: Any, y: Any, sample_weight: Any, skips_columns: bool = True) -> Shard:
        if isinstance(X, Stream):
            raise TypeError("X must be an array or a CSR matrix for a distributed Trainer, got a Stream")
        if (getattr(X, "shape", None) or (1,))[0] == 0:
            return Shard(None, 0, sample_weight is not None)
        threads = self.n_threads or default_thread_count()
        data = training_data.training_data(self.network, X, y, sample_weight, threads, skips_columns=skips_columns)
        weights = None if sample_weight is None else np.asarray(sample_weight, np.float64)
        return Shard(data, data.rows, sample_weight is not None, weights, column_targets=data.column_targets)

    def _gather(self, *values: float) -> np.ndarray:
        """Every rank's values, shape (ranks, values)."""
        table = np.zeros((self._communicator.size, len(values)))
        table[self._communicator.rank] = values
        self._communicator.allreduce_(table.reshape(-1))
        return table

    @contextmanager
    def _raises_on_every_rank(self, what: str) -> Iterator[None]:
        """An exception of one rank within, or Ctrl-C on one rank, raises on every rank."""
        failed = True
        try:
            yield
            failed = False
        finally:
            failures, interrupts = self._gather(failed, self._is_interrupted()).T
            if failures.any() and not failed:
                ranks = ", ".join(map(str, np.flatnonzero(failures)))
                raise RuntimeError(f"rank {ranks} {what}; its own error gives the reason")
            if interrupts.any() and not failed:
                raise KeyboardInterrupt

    def _rank_0s(self, text: str) -> str:
        content = np.frombuffer(text.encode(), np.uint8).copy()
        size = np.array([len(content)], np.float64)
        self._communicator.broadcast_(size)
        content = np.resize(content, int(size[0]))
        self._communicator.broadcast_(content)
        return content.tobytes().decode()

    def _check_same(self, **more: Any) -> None:
        net = {"network": repr(self.network), "standardization": self.network.standardization}
        own = {**net, "instruction set": _core.current_isa(), "sync_every": self._sync_every}
        own |= {**OPTIONAL, **self.resumable_settings(), **more}
        own = {name: str(value) for name, value in own.items()}
        first = json.loads(self._rank_0s(json.dumps(own)))
        different = [name for name in {**first, **own} if first.get(name) != own.get(name)]
        with self._raises_on_every_rank("has settings that do not fit"):
            if self.batch_size < self._communicator.size:
                raise ValueError(
                    f"batch_size must be at least the number of ranks, {self._communicator.size}, got {self.batch_size}"
                )
            if different:
                found = "; ".join(f"{name}: {own.get(name)}, rank 0 has {first.get(name)}" for name in different)
                raise ValueError(
                    f"all ranks must have the same settings, but rank {self._communicator.rank} has {found}"
                )

    def _take_rank_0s_state(self) -> None:
        generator = self._rng.bit_generator
        own = [self.core.updates, generator.state, vars(self._history), self._fit_begin, self._fit_end, self._resumes]
        first = json.loads(self._rank_0s(json.dumps(own)))
        self.core.updates, generator.state, history, self._fit_begin, self._fit_end, self._resumes = first
        self._history = History().extend(history)
        values = self.core.memory()
        self._communicator.broadcast_(values)
        self.core.set_memory(values)

    def _rows_per_update(self, shard: Shard) -> np.ndarray:
        """Of each rank, shape (ranks,)."""
        all_rows = [max(1, int(rows)) for rows in shard.rows_of_ranks]
        if self.accumulate == "epoch":
            return np.array(all_rows)
        size, batch = self._communicator.size, self.batch_size
        wanted = [self.accumulate * (batch // size + (rank < batch % size)) for rank in range(size)]
        return np.array([min(rows) for rows in zip(wanted, all_rows)])  # the left one may exceed int64

    def _updates_of(self, shard: Shard) -> int:
        return int((-(-shard.rows_of_ranks // self._rows_per_update(shard))).max())

    def _order(self, shard: Shard) -> np.ndarray:
        rng = np.random.default_rng((int(self._rng.integers(1 << 62)), self._communicator.rank))
        order = rng.permutation(shard.own_rows) if self.shuffle else np.arange(shard.own_rows)
        return order.astype(np.int64, copy=False)

    def _train_chunk(self, *arguments: Any) -> Any:
        self._check_same()  # a callback may have changed them
        return super()._train_chunk(*arguments)

    def _dropout_seed(self) -> int:
        return (super()._dropout_seed() + self._communicator.rank) % 2**63  # the row numbers of ranks overlap

    def _train_updates(
        self, shard: Shard, order: np.ndarray, progress: np.ndarray, threads: Threads, on_progress: OnProgress
    ) -> Totals:
        run = self._run_synchronously if self._sync_every == 1 else self._run_locally
        total = np.array(run(shard, order, progress, threads, on_progress), np.float64)
        self._communicator.allreduce_(total)
        return Totals(*map(float, total))

    def _divisors(self, shard: Shard, order: np.ndarray, updates: int) -> tuple[np.ndarray, np.ndarray]:
        """Of each update, over all ranks: the rows, and what divides its gradient: they or the sum of their weights."""
        rows_per_update, update = self._rows_per_update(shard), np.arange(updates)[:, None]
        rows = np.clip(shard.rows_of_ranks - update * rows_per_update, 0, rows_per_update).sum(axis=1)
        if not shard.weighted:
            return rows, rows.astype(np.float64)
        own = int(rows_per_update[self._communicator.rank])
        weights = np.zeros(updates)
        if shard.sample_weight is not None:
            begins = np.arange(0, len(order), own)[:updates]
            weights[: len(begins)] = np.add.reduceat(shard.sample_weight[order], begins)
        self._communicator.allreduce_(weights)
        return rows, weights

    def _run_synchronously(
        self, shard: Shard, order: np.ndarray, progress: np.ndarray, threads: Threads, on_progress: OnProgress
    ) -> tuple[float, float]:
        core, settings, updates = self.core, self.update_settings(progress), len(progress)
        own = int(self._rows_per_update(shard)[self._communicator.rank])
        gradients, sums, weighted_sums = core.gradient_memory(), _core.LossSum(), np.zeros(2)
        for update, (rows, divisor) in enumerate(zip(*self._divisors(shard, order, updates))):
            own_order, now = order[update * own : (update + 1) * own], settings.at(update)
            before, position = np.array([sums.loss, sums.correct]), 0
            if len(own_order) == 0 or not divisor > 0:  # no rows on this rank, or no weight on any
                gradients[:] = 0
            else:
                plan = _core.EpochPlan(own_order, own, 1, divisor)
                while position < len(own_order) and not self._is_interrupted():  # then no rank makes this update
                    position = core.sum_gradients(
                        shard.data.core, plan, position, sums, threads(), core_calls.SECONDS_PER_CALL, now
                    )
                weighted_sums += (np.array([sums.loss, sums.correct]) - before) * (rows / divisor)
            gradients[-1] = 0 if math.isfinite(sums.loss) else sums.loss
            gradients[-2] = self._is_interrupted()
            self._communicator.allreduce_(gradients)
            if gradients[-2]:
                raise KeyboardInterrupt
            if not math.isfinite(gradients[-1]):
                raise LossNotFinite(float(gradients[-1]), update + 1, update - 1)
            core.update(now, divisor, threads())
            on_progress((update + 1) / updates)
        return tuple(weighted_sums) if shard.weighted else (sums.loss, sums.correct)

    def _run_locally(
        self, shard: Shard, order: np.ndarray, progress: np.ndarray, threads: Threads, on_progress: OnProgress
    ) -> tuple[float, float]:
        core, updates, rank = self.core, len(progress), self._communicator.rank
        rows_per_update = self._rows_per_update(shard)
        own, loss, correct = int(rows_per_update[rank]), 0.0, 0.0
        for begin in range(0, updates, self._sync_every):
            end, updates_before = min(begin + self._sync_every, updates), core.updates
            used = np.minimum(end * rows_per_update, shard.rows_of_ranks) - np.minimum(
                begin * rows_per_update, shard.rows_of_ranks
            )
            own_order = order[begin * own : end * own]
            if len(own_order):
                try:
                    settings = self.update_settings(progress[begin:end])
                    sums = core_calls.train(core, shard.data, own_order, own, 1, settings, threads)
                    loss, correct = loss + sums.loss, correct + sums.correct
                except LossNotFinite as failure:
                    loss = failure.loss
            gathered = self._gather(loss, self._is_interrupted())
            if not np.isfinite(gathered).all():
                raise LossNotFinite(float(gathered[:, 0].sum()), end, begin - self._sync_every)
            values = core.memory()
            values *= used[rank] / used.sum()
            self._communicator.allreduce_(values)
            core.set_memory(values)
            core.updates = updates_before + end - begin
            if gathered[:, 1].any():
                raise KeyboardInterrupt
            on_progress(end / updates)
        return loss, correct

    def _evaluate(self, network: Network, shard: Shard, threads: int) -> Evaluation:
        loss = correct = 0.0
        if shard.data is not None and shard.data.weight > 0:
            own = super()._evaluate(network, shard.data, threads)
            loss, correct = own.loss * shard.data.weight, own.accuracy * shard.data.weight
        total_loss, total_correct = self._gather(loss, correct).sum(axis=0)
        if not shard.weighted:
            total_correct = np.round(total_correct)
        return Evaluation(float(total_loss / shard.weight), float(total_correct / shard.weight))

    def _call_callbacks(self, callbacks: list[Callback], info: EpochInfo) -> bool:
        with self._raises_on_every_rank("raised an error in a callback"):
            wants_to_stop = super()._call_callbacks(callbacks, info)
        return bool(self._gather(wants_to_stop).any())
