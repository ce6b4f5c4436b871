"""Data-parallel training: processes that hold rows of their own train one network together, over MPI."""

from __future__ import annotations

import functools
import json
import math
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from . import _core, trainer, validation
from .checkpoints import resume_trainer
from .communicators import Communicator, MPICommunicator
from .network import SECONDS_PER_CALL, Evaluation, Network
from .progress import FitProgress
from .streaming import Stream
from .threads import default_thread_count
from .trainer import Callback, EpochInfo, History, LossNotFinite, check_callbacks, run_epoch

__all__ = ["Communicator", "MPICommunicator", "Trainer"]


@dataclass
class Shard:
    """The rows of this rank beside those of the others."""

    data: Any  # the core's data set; None without rows
    own_rows: int
    rows_of_ranks: np.ndarray | None = None  # (ranks,), once all know

    @property
    def rows(self) -> int:
        return int(self.rows_of_ranks.sum())


class Totals(NamedTuple):
    """Of an epoch's rows on all ranks."""

    loss: float
    correct: int


class Trainer(trainer.Trainer):
    """Trains one network on the rows of several processes, each of which has a `Trainer` of its own.

    Every rank runs the same program with the same settings and gives `fit` its own rows. Synchronously, the default, each
    update uses the gradient of the mean loss over all ranks' rows of the batch: R ranks do what one process does with
    their rows side by side in each batch, to rounding, and after each update all ranks have the same bits.

    Parameters
    ----------
    network : Network
        Rank 0's parameters are given to the others when a fit begins, as are its optimizer's state and row order.
    optimizer, learning_rate, momentum, nesterov, beta_1, beta_2, epsilon, l1, l2, proximal, shuffle, seed
        As in `fastmlp.Trainer`. Each rank permutes its rows by a generator of its own, from the seed, the epoch and
        the rank.
    batch_size : int >= ranks
        Rows of a mini-batch, of all ranks together. Each rank gives as equal a part as there is; a rank that has
        used up its rows gives none. So give all ranks as many rows: where they are uneven, the last batches of an epoch
        are smaller, and count as what they are.
    accumulate : int >= 1 or "epoch"
        As in `fastmlp.Trainer`. The ranks talk once per update.
    sync_every : int >= 1
        1: as above. H > 1: **another algorithm**, for slow networks (local SGD, Stich 2019): each rank makes H updates of
        its own with its part of each batch; then parameters and optimizer's state become their mean over the ranks,
        weighted by the rows that they have used. It sends 1/H as often, and each time the optimizer's state, too; its
        results depend on the number of ranks, a larger H learns less per epoch, and means of weights that proximal
        steps have made zero on one rank are not zero. Of a fit that diverges, the last mean with a finite loss is kept.
    communicator : Communicator, optional
        Default: `MPICommunicator`, all processes that ``mpiexec`` has started.
    n_threads : int >= 1, optional
        Of this rank. Default: OMP_NUM_THREADS; else as in `fastmlp.Trainer`, divided among the ranks that share these
        cores.

    Raises
    ------
    ValueError, TypeError
        If an argument is not one of those above.
    ImportError
        Without mpi4py, if no communicator is given.

    Notes
    -----
    Start programs with ``mpiexec -n 4 python -m mpi4py program.py``: then an exception that one rank does not handle, or
    its death, ends them all. Errors in the arguments and data of a fit, in its callbacks, divergence and Ctrl-C are raised on
    every rank; what one rank alone meets within an update, such as a lack of memory, must not be handled there, because the
    others wait for it.
    """

    __slots__ = ("_communicator", "_is_interrupted", "_sync_every")

    _is_interrupted: Callable[[], bool]  # by a Ctrl-C that all ranks are to raise together

    def __init__(
        self,
        network: Network,
        optimizer: str = "sgd",
        learning_rate: float = 0.1,
        batch_size: int = 128,
        *,
        sync_every: int = 1,
        communicator: Communicator | None = None,
        n_threads: int | None = None,
        **settings: Any,
    ) -> None:
        self._communicator = MPICommunicator() if communicator is None else communicator
        n_threads = validation.check_threads(n_threads)
        if hasattr(self._communicator, "ranks_on_these_cores"):
            sharing = self._communicator.ranks_on_these_cores()  # which all ranks must ask
            if "OMP_NUM_THREADS" not in os.environ:  # which clusters set for each rank
                n_threads = n_threads or max(1, default_thread_count() // sharing)
        super().__init__(network, optimizer, learning_rate, batch_size, n_threads=n_threads, **settings)
        self._sync_every = validation.check_integer("sync_every", sync_every, 1)
        self._is_interrupted = lambda: False

    @property
    def communicator(self) -> Communicator:
        return self._communicator

    def fit(
        self,
        X: Any,
        y: Any,
        epochs: int,
        validation_data: tuple[Any, Any] | None = None,
        callbacks: Iterable[Callback] = (),
        verbose: bool | str = "auto",
    ) -> History:
        """Train together for some epochs more; every rank calls this.

        Parameters
        ----------
        X, y
            This rank's rows, as in `fastmlp.Trainer.fit`, but no Stream; no rows, shape (0, features), will do. A part of a
            memory-mapped file is read where it lies: ``np.load(path, mmap_mode="r")[begin:end]``.
        epochs : int >= 1
        validation_data : (X, y), optional
            This rank's part of them; on every rank or on none. The metrics are those of all rows.
        callbacks : iterable of callable
            Called on every rank. A fit ends if one rank's callback returns True.
        verbose : bool or "auto"
            Of rank 0; the others are silent.

        Returns
        -------
        History
            The same on every rank, but for `seconds`.

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit, or differs from rank 0's; the network is unchanged.
        RuntimeError
            If another rank's arguments, data or callbacks raise an error; or as `fastmlp.Trainer.fit`.
        DivergenceError
            As `fastmlp.Trainer.fit`.
        KeyboardInterrupt
            On every rank, if one gets Ctrl-C: after an update that all have made, with `sync_every` after the next mean.
        """
        with _interrupts_deferred() as self._is_interrupted:
            with self._together("could not begin its fit"):
                epochs = validation.check_integer("epochs", epochs, 1)
                callbacks = check_callbacks(callbacks)
                progress = FitProgress(verbose if self._communicator.rank == 0 else False, epochs)
                shard = self._shard(X, y)
                evaluation_shard = None
                if validation_data is not None:
                    validation.check_pair("validation_data", validation_data)
                    evaluation_shard = self._shard(*validation_data)
            self._check_same(epochs=epochs, validation_data="none" if evaluation_shard is None else "given")
            for found in (shard, evaluation_shard):
                if found is not None:
                    found.rows_of_ranks = self._gather(found.own_rows)[:, 0].astype(np.int64)
                    if found.rows == 0:
                        raise ValueError(f"the ranks must have at least one row together, got {found.rows}")
            return self._fit_alone(shard, {"val": evaluation_shard}, epochs, callbacks, progress)

    def _reserve(self) -> Any:
        with self._together("could not begin its fit"):
            return super()._reserve()

    def _fit(self, *arguments: Any) -> History:
        self._take_rank_0s_state()  # here, where nobody else may change the network
        return super()._fit(*arguments)

    def save(self, path: str | os.PathLike[str]) -> None:
        """`fastmlp.Trainer.save` on rank 0; the others do nothing.

        The file is that of a `fastmlp.Trainer`: one process or any number of ranks can resume it. They must wait until it
        is there, by a barrier of yours, as the other ranks do not; `callbacks.Checkpoint` in a fit needs none.
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
        """As `fastmlp.Trainer.resume`, on every rank, each of which reads the file; their number may be another.

        With as many ranks as before and the same `sync_every`, which is not in the file, what is trained next has the bits
        of a fit that was never interrupted.
        """
        validation.check_threads(n_threads)
        validation.check_integer("sync_every", sync_every, 1)
        new_trainer = functools.partial(cls, n_threads=n_threads, sync_every=sync_every, communicator=communicator)
        return resume_trainer(path, new_trainer)

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("a distributed Trainer cannot be pickled: its communicator belongs to this process; use save")

    def _shard(self, X: Any, y: Any) -> Shard:
        if isinstance(X, Stream):
            raise TypeError("X must be an array or a CSR matrix for a distributed Trainer, got a Stream")
        if (getattr(X, "shape", None) or (1,))[0] == 0:
            return Shard(None, 0)
        data = self.network._training_set(X, y, self.network._threads(self.n_threads))
        return Shard(data, data.rows)

    # What ranks tell each other.

    def _gather(self, *values: float) -> np.ndarray:
        """Every rank's values, shape (ranks, values)."""
        table = np.zeros((self._communicator.size, len(values)))
        table[self._communicator.rank] = values
        self._communicator.allreduce_(table.reshape(-1))
        return table

    @contextmanager
    def _together(self, failing: str) -> Iterator[None]:
        """An exception within that one rank raises, or a Ctrl-C that it gets, becomes one of every rank."""
        failed = True
        try:
            yield
            failed = False
        finally:
            failures, interrupts = self._gather(failed, self._is_interrupted()).T
            if failures.any() and not failed:
                ranks = ", ".join(map(str, np.flatnonzero(failures)))
                raise RuntimeError(f"rank {ranks} {failing}; its own error says why")
            if interrupts.any() and not failed:
                raise KeyboardInterrupt

    def _rank_0s(self, text: str) -> str:
        content = np.frombuffer(text.encode(), np.uint8).copy()
        size = np.array([len(content)], np.float64)
        self._communicator.broadcast_(size)
        if len(content) != size[0]:
            content = np.zeros(int(size[0]), np.uint8)
        self._communicator.broadcast_(content)
        return content.tobytes().decode()

    def _check_same(self, **more: Any) -> None:
        network = self.network
        own: dict[str, Any] = {
            "network": repr(network),
            "instruction set": _core.current_isa(),
            "optimizer": self.optimizer,
            **{name: getattr(self, name) for name in ("learning_rate", "batch_size", "l1", "l2", "accumulate")},
            **self._update_settings,
            "proximal": self._proximal,
            "shuffle": self._shuffle,
            "sync_every": self._sync_every,
            **more,
        }
        own = {name: str(value) for name, value in own.items()}
        first = json.loads(self._rank_0s(json.dumps(own)))
        different = [name for name in {**first, **own} if first.get(name) != own.get(name)]
        with self._together("has settings that do not fit"):
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
        text = self._rank_0s(json.dumps([self._core.updates, generator.state, vars(self._history)]))
        self._core.updates, generator.state, history = json.loads(text)
        self._history = History(**history)
        values = self._core.memory()
        self._communicator.broadcast_(values)
        self._core.set_memory(values)

    # An epoch, in steps that all ranks take.

    def _rows_per_update(self, shard: Shard) -> np.ndarray:
        """Of each rank, shape (ranks,)."""
        all_rows = [max(1, int(rows)) for rows in shard.rows_of_ranks]
        if self.accumulate == "epoch":
            return np.array(all_rows)
        size, batch = self._communicator.size, self.batch_size
        wanted = [self.accumulate * (batch // size + (rank < batch % size)) for rank in range(size)]
        return np.array([min(rows) for rows in zip(wanted, all_rows)])  # what is wanted may be beyond int64

    def _updates_of(self, shard: Shard) -> int:
        return int((-(-shard.rows_of_ranks // self._rows_per_update(shard))).max())

    def _order(self, shard: Shard) -> np.ndarray:
        epoch_seed = int(self._rng.integers(1 << 62))
        if not self._shuffle:
            return np.arange(shard.own_rows, dtype=np.int64)
        order = np.random.default_rng((epoch_seed, self._communicator.rank)).permutation(shard.own_rows)
        return order.astype(np.int64, copy=False)

    def _train_part(self, *arguments: Any) -> Any:
        self._check_same()  # a callback may have changed them
        return super()._train_part(*arguments)

    def _run(
        self, shard: Shard, order: np.ndarray, updates: int, threads: Callable[[], int], watch: Callable[[float], None]
    ) -> Totals:
        if self._sync_every == 1:
            loss, hits = self._run_synchronously(shard, order, updates, threads, watch)
        else:
            loss, hits = self._run_locally(shard, order, updates, threads, watch)
        total = np.array([loss, hits], np.float64)
        self._communicator.allreduce_(total)
        return Totals(float(total[0]), int(total[1]))

    def _run_synchronously(
        self, shard: Shard, order: np.ndarray, updates: int, threads: Callable[[], int], watch: Callable[[float], None]
    ) -> tuple[float, int]:
        core, settings, sums = self._core, self._step_settings(), _core.LossSum()
        rows_per_update = self._rows_per_update(shard)
        own = int(rows_per_update[self._communicator.rank])
        gradients, divisor = core.gradient_memory(), 0.0
        plan: _core.EpochPlan | None = None
        for update in range(updates):
            rows = float(np.clip(shard.rows_of_ranks - update * rows_per_update, 0, rows_per_update).sum())
            if rows != divisor:  # of all ranks together, fewer when some have used up theirs
                divisor, plan = rows, _core.EpochPlan(order, own, gradient_divisor=rows)
            position, end = update * own, min((update + 1) * own, len(order))
            if position >= end:  # this rank has used up its rows
                gradients[:] = 0
            while position < end and not self._is_interrupted():  # then nobody makes this update
                position = core.sum_gradients(shard.data, plan, position, sums, threads(), SECONDS_PER_CALL)
            gradients[-1] = 0 if math.isfinite(sums.loss) else sums.loss
            gradients[-2] = self._is_interrupted()
            self._communicator.allreduce_(gradients)
            if gradients[-2]:
                raise KeyboardInterrupt
            if not math.isfinite(gradients[-1]):
                raise LossNotFinite(float(gradients[-1]), update + 1, update - 1)
            core.update(settings, divisor, threads())
            watch((update + 1) / updates)
        return sums.loss, sums.correct

    def _run_locally(
        self, shard: Shard, order: np.ndarray, updates: int, threads: Callable[[], int], watch: Callable[[float], None]
    ) -> tuple[float, int]:
        core, settings, rank = self._core, self._step_settings(), self._communicator.rank
        rows_per_update = self._rows_per_update(shard)
        own, loss, hits = int(rows_per_update[rank]), 0.0, 0
        for begin in range(0, updates, self._sync_every):
            end, before = min(begin + self._sync_every, updates), core.updates
            used = np.minimum(end * rows_per_update, shard.rows_of_ranks) - np.minimum(
                begin * rows_per_update, shard.rows_of_ranks
            )
            part = order[begin * own : end * own]
            if len(part):
                sums = run_epoch(core, shard.data, _core.EpochPlan(part, own), settings, threads)
                loss, hits = loss + sums.loss, hits + sums.correct
            told = self._gather(loss, self._is_interrupted())
            if not np.isfinite(told).all():
                raise LossNotFinite(float(told[:, 0].sum()), end, begin - self._sync_every)
            values = core.memory()
            values *= used[rank] / used.sum()
            self._communicator.allreduce_(values)
            core.set_memory(values)
            core.updates = before + end - begin
            if told[:, 1].any():
                raise KeyboardInterrupt
            watch(end / updates)
        return loss, hits

    def _evaluate(self, shard: Shard, threads: int) -> Evaluation:
        loss = hits = 0.0
        if shard.data is not None:
            found = super()._evaluate(shard.data, threads)
            loss = found.loss * shard.own_rows
            hits = found.accuracy * shard.own_rows if self.network.loss == "cross_entropy" else 0.0
        total_loss, total_hits = self._gather(loss, hits).sum(axis=0)
        accuracy = round(total_hits) / shard.rows if self.network.loss == "cross_entropy" else math.nan
        return Evaluation(float(total_loss / shard.rows), accuracy)

    def _wants_to_stop(self, callbacks: list[Callback], info: EpochInfo) -> bool:
        with self._together("raised an error in a callback"):
            wants = super()._wants_to_stop(callbacks, info)
        return bool(self._gather(wants).any())


@contextmanager
def _interrupts_deferred() -> Iterator[Callable[[], bool]]:
    """Ctrl-C within is told by the function that this gives, to be raised by all ranks together; a second one comes at once.

    One that nobody has asked for in time is raised at the end.
    """
    asked: list[int] = []

    def note(number: int, frame: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    own = threading.current_thread() is threading.main_thread() and (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if own:
        signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(asked)
    finally:
        if own:
            signal.signal(signal.SIGINT, signal.default_int_handler)
    if asked:
        raise KeyboardInterrupt
