"""Seconds per epoch of several contestants in turns, and what they amount to: shares of the peak, and ratios."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import rivals
from worker import Worker

SECONDS_OF_PEAK = 0.03
SECONDS_OF_TURN = 0.05  # at least: tiny nets train many epochs in it
PAUSE = 0.25  # seconds: for up to 0.2 the waiting threads of some libraries spin, on cores that the next one needs


@dataclass(frozen=True)
class Case:
    layer_sizes: tuple[int, ...]
    batch_size: int
    rows: int = 60000
    optimizer: str = "sgd"  # any other: fastmlp only
    digits: bool = False  # instead of random data

    @property
    def operations(self) -> int:
        """Floating-point operations of one epoch; a multiply-add counts as two."""
        products = [inputs * outputs for inputs, outputs in pairwise(self.layer_sizes)]
        return 2 * self.rows * (3 * sum(products) - products[0])

    @property
    def net(self) -> str:
        return "-".join(map(str, self.layer_sizes))

    def random_data(self) -> tuple[np.ndarray, np.ndarray]:
        """X of uint8, y. Without zeros, so that there is no input to skip."""
        rng = np.random.default_rng(0)
        X = rng.integers(1, 256, (self.rows, self.layer_sizes[0]), dtype=np.uint8)
        return X, rng.integers(0, self.layer_sizes[-1], self.rows)


@dataclass(frozen=True)
class Timing:
    """Of one case; each array has shape (rounds,). Its methods take ratios round by round, and then the median."""

    case: Case
    seconds: dict[str, np.ndarray]  # per epoch, by contestant
    peaks: dict[str, np.ndarray]  # GFLOP/s, by contestant that is fastmlp; all others use the first one's threads

    @classmethod
    def of(cls, case: Case, measured: Mapping[str, Mapping[str, Sequence[float]]]) -> Timing:
        arrays = [{name: np.array(rounds) for name, rounds in measured[part].items()} for part in ("seconds", "peaks")]
        return cls(case, *arrays)

    def share_of_peak(self, name: str) -> float:
        peaks = self.peaks.get(name, next(iter(self.peaks.values())))
        return float(np.median(self.case.operations / self.seconds[name] / 1e9 / peaks))

    def ratio(self, name: str, other: str) -> float:
        """How many times as long the one takes as the other."""
        return float(np.median(self.seconds[name] / self.seconds[other]))

    def median_seconds(self, name: str) -> float:
        return float(np.median(self.seconds[name]))


class Turns:
    """The contestants' processes, which start when they are first asked; `close` ends them.

    Parameters
    ----------
    contestants : mapping of str to sequence of str
        The arguments of each `contestant.Contestant`: its library, and fastmlp's number of threads.
    """

    def __init__(self, contestants: Mapping[str, Sequence[str]]) -> None:
        self._contestants = contestants
        self._workers: dict[str, Worker] = {}
        self._stack = contextlib.ExitStack()
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))

    def close(self) -> None:
        self._stack.close()

    def ask(self, name: str, method: str, **arguments: Any) -> Any:
        if name not in self._workers:
            worker = Worker("contestant", "Contestant", *self._contestants[name], environment=rivals.best_environment())
            self._workers[name] = self._stack.enter_context(contextlib.closing(worker))
        return self._workers[name].ask(method, **arguments)

    def save(self, **arrays: np.ndarray) -> str:
        """A file for the processes to read; the next one takes its place."""
        path = self._folder / "data.npz"
        np.savez(path, **arrays)
        return str(path)

    def time(self, case: Case, names: Sequence[str], rounds: int, X: np.ndarray, y: np.ndarray) -> dict[str, Any]:
        """What `Timing.of` reads. Round by round, so that a busy moment of the machine meets all of them."""
        data = self.save(X=X, y=y)
        settings = {"layer_sizes": case.layer_sizes, "batch_size": case.batch_size, "optimizer": case.optimizer}
        for name in names:
            self.ask(name, "prepare", data=data, **settings)
        seconds: dict[str, list[float]] = {name: [] for name in names}
        peaks: dict[str, list[float]] = {name: [] for name in names if self._contestants[name][0] == "fastmlp"}
        for _ in range(rounds):
            for name in names:
                time.sleep(PAUSE)
                seconds[name].append(self.ask(name, "epoch", at_least=SECONDS_OF_TURN))
                if name in peaks:
                    peaks[name].append(self.ask(name, "peak", seconds=SECONDS_OF_PEAK))
        return {"seconds": seconds, "peaks": peaks}
