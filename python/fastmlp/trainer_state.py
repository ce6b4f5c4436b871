"""The state of a trainer: checkpoints, copies and pickles."""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from . import core_calls, optimizers, validation
from .formats import checkpoint
from .history import History
from .model_state import TrainerState, unchanged
from .network import Network
from .trainer_settings import TrainerSettings

R = TypeVar("R", bound="ResumableTrainer")


def running_mean(core: Any, network: Network) -> Network:
    """A new network with the running mean of the parameters, which the core's trainer keeps."""
    updates, arrays = core.optimizer_state()
    state = network.state()
    if updates == 0:
        return Network.from_state(state)
    weights, biases = zip(*(layer[-2:] for layer in arrays))
    return Network.from_state(replace(state, weights=weights, biases=biases))


class ResumableTrainer(TrainerSettings):
    """The part of `Trainer` that saves, resumes and copies it."""

    __slots__ = ("__weakref__", "_fit_begin", "_fit_end", "_history", "_network", "_resumes", "_rng", "_span", "core")

    core: Any  # the trainer of the C++ core
    _network: Network
    _rng: np.random.Generator  # permutes the rows
    _history: History
    _fit_begin: int  # epochs before this fit
    _fit_end: int  # epochs when this fit will be done
    _resumes: bool  # whether the next fit goes on from there
    _span: tuple[int, int]  # epochs of the fit before this call, and at its end, for schedules

    def _new_core(self) -> Any:
        settings = self.optimizer_settings()
        return core_calls.new_core_trainer(self._network, optimizers.TABLE[self.optimizer].kind(settings), settings)

    @property
    def network(self) -> Network:
        """The network that is trained."""
        return self._network

    def _enter_fit(self, epochs: int) -> Callable[[], None]:
        """Where schedules are in a fit that begins or goes on; returns what takes this back."""
        before = self._fit_begin, self._fit_end, self._resumes, self._span
        past = len(self._history.loss)
        if not self._resumes:
            self._fit_begin = self._fit_end = past
        done = past - self._fit_begin if past < self._fit_end else 0
        self._resumes, self._fit_end, self._span = False, past + epochs, (done, done + epochs)

        def leave() -> None:
            self._fit_begin, self._fit_end, self._resumes, self._span = before

        return leave

    def _dropout_seed(self) -> int:
        """The increment of the generator of the row orders: it belongs to the seed, never changes, and is saved."""
        increment: Any = self._rng.bit_generator.state["state"]
        return (increment["inc"] >> 1) % 2**63

    @property
    def average(self) -> Network:
        """A new network with the running mean of the parameters; ValueError without `average_decay`."""
        if self.average_decay is None:
            raise ValueError("average needs a Trainer with average_decay, got None")
        return running_mean(self.core, self.network)

    @property
    def evaluated(self) -> Network:
        """The network that validation metrics belong to, `average` or `network`: for the package itself."""
        return self.network if self.average_decay is None else self.average

    @property
    def history(self) -> History:
        """A copy of the history of all fits, including a fit that is running or has ended in an error."""
        return self._history.copy()

    def state(self) -> TrainerState:
        """The trainer and its network as a value: for the package itself.

        RuntimeError if a fit runs in another thread.
        """
        with unchanged(self.network.core):
            updates, arrays = self.core.optimizer_state()
            model, rows = self.network.state(), self._rng.bit_generator.state
            settings = self.resumable_settings()
            return TrainerState(model, settings, updates, arrays, rows, self.history, self._fit_begin, self._fit_end)

    def set_state(self, state: TrainerState) -> None:
        """Continue from the state of a trainer with the same network and settings: for the package itself.

        The core checks its arrays.
        """
        self.core.set_optimizer_state(state.updates, state.optimizer_arrays)
        self._rng.bit_generator.state = state.row_order
        self._history = state.history.copy()
        self._fit_begin, self._fit_end, self._resumes = state.fit_begin, state.fit_end, True

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint: the network and everything that determines its next epochs. `resume` continues from it.

        A checkpoint holds the settings, except `n_threads`, which changes no result, the optimizer's state, the state of
        the row order, and the history. `fastmlp.load` reads its network alone. `fastmlp.callbacks.Checkpoint` calls this
        method after epochs. Path and errors are those of `Network.save`.
        """
        checkpoint.write_trainer(self.state(), path)

    @classmethod
    def resume(cls: type[R], path: str | os.PathLike[str], n_threads: int | None = None) -> R:
        """The trainer of a checkpoint, with its network and history; ``len(trainer.history.loss)`` epochs are done.

        What it trains next has the same bits as a fit without interruption.

        Raises
        ------
        ModelFileError
            If the file is not a complete checkpoint of fastmlp.
        OSError, MemoryError, ImportError
            As `fastmlp.load`.
        """
        validation.check_threads(n_threads)
        return cls._resumed(path, functools.partial(cls, n_threads=n_threads))

    @classmethod
    def _resumed(cls, path: str | os.PathLike[str], new_trainer: Callable[..., Any]) -> Any:
        state, fields = checkpoint.read_trainer(path)
        network = Network.from_state(state.model)
        try:
            trainer = new_trainer(network, **state.settings)
            trainer.set_state(state)
        except (ValueError, OverflowError) as reason:
            raise fields.error(str(reason)) from None
        return trainer

    def __copy__(self: R) -> R:
        """A trainer of the same network whose optimizer, row order and history are its own."""
        return copy.deepcopy(self, {id(self.network): self.network})

    def __getstate__(self) -> dict[str, Any]:
        slots = {name for kind in type(self).__mro__ for name in getattr(kind, "__slots__", ())} - {
            "__weakref__",
            "core",
        }
        with unchanged(self.network.core):
            attributes = {name: getattr(self, name) for name in slots if hasattr(self, name)}
            return {**attributes, **getattr(self, "__dict__", {}), "state": self.core.optimizer_state()}

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        optimizer_state = attributes.pop("state")
        for name, value in attributes.items():
            setattr(self, name, value)
        self.core = self._new_core()
        self.core.set_optimizer_state(*optimizer_state)
