"""Seconds per epoch of several libraries or numbers of threads, alternating, as shares of the peak and as ratios."""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import fastmlp
import numpy as np
from fastmlp import _core

from speed import libraries, time_to_accuracy
from speed.process import Process

SECONDS_OF_PEAK = 0.03
MIN_SECONDS = 0.05  # of a measurement: tiny nets train many epochs in it
LEARNING_RATE = 1e-3  # small enough to stay finite on any case; it does not change the work
PAUSE = 0.25  # seconds: the waiting threads of other libraries spin for up to 0.2, on cores that the next one needs


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
        """X of uint8 and y. Without zeros, so that no input can be skipped."""
        rng = np.random.default_rng(0)
        X = rng.integers(1, 256, (self.rows, self.layer_sizes[0]), dtype=np.uint8)
        return X, rng.integers(0, self.layer_sizes[-1], self.rows)


@dataclass(frozen=True)
class Timing:
    """Of one case; arrays have shape (rounds,). Ratios are taken round by round, and then their median."""

    case: Case
    seconds: dict[str, np.ndarray]  # per epoch, by participant
    peaks: dict[str, np.ndarray]  # GFLOP/s, of fastmlp's participants; all others use as many threads as the first

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


class LibraryProcess:
    """One library, for `process.Process`. Empty `threads` stand for the default, which all but fastmlp use.

    Without a `precision`, products are float32's.
    """

    def __init__(self, library: str, threads: str = "", precision: str = "") -> None:
        self._library = library
        self._threads = int(threads) if threads else None
        self._precision = precision or None

    def describe(self) -> dict[str, str]:
        libraries.LIBRARIES[self._library][1](_tiny_problem()).epoch()  # loads all that the library needs
        return libraries.describe(self._library)

    def prepare(self, data: str, layer_sizes: Sequence[int], batch_size: int, optimizer: str) -> None:
        """Reads data from an .npz file: X of uint8, and y."""
        with np.load(data) as arrays:
            X, y = arrays["X"] * np.float32(1 / 255), arrays["y"].astype(np.int64)
        weights = fastmlp.Network(layer_sizes).weights
        problem = libraries.Problem(
            X,
            y,
            weights,
            batch_size,
            LEARNING_RATE,
            optimizer=optimizer,
            threads=self._threads,
            precision=self._precision,
        )
        self._training = libraries.LIBRARIES[self._library][1](problem)
        self._training.epoch()  # compiles and allocates

    def epoch(self, at_least: float) -> float:
        """Seconds per epoch: the median of as many as take `at_least` seconds."""
        end, seconds = time.perf_counter() + at_least, []
        while not seconds or time.perf_counter() < end:
            seconds.append(self._training.epoch())
        return statistics.median(seconds)

    def peak(self, seconds: float) -> float:
        """GFLOP/s of multiply-adds that never leave the registers."""
        return _core.peak_gflops(True, self._threads or fastmlp.show_config("dicts")["threads"], seconds)

    def run_recipe(self, data: str, seed: int, epochs: int) -> tuple[float, float]:
        """Seconds and test accuracy."""
        with np.load(data) as arrays:
            images = [arrays[name] for name in ("x_train", "y_train", "x_test", "y_test")]
        return time_to_accuracy.RUNS[self._library](*images, seed, epochs)


def _tiny_problem() -> libraries.Problem:
    X = np.ones((4, 3), np.float32)
    return libraries.Problem(X, np.arange(4), fastmlp.Network((3, 4, 4)).weights, 2, LEARNING_RATE)


class Processes:
    """A process for each participant, started at its first call; the end of the `stack` ends them.

    Participants have the arguments of `LibraryProcess`: library, fastmlp's number of threads, and the precision.
    """

    def __init__(self, participants: Mapping[str, Sequence[str]], stack: contextlib.ExitStack) -> None:
        self._participants, self._stack = participants, stack
        self._processes: dict[str, Process] = {}
        self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))

    def call(self, name: str, method: str, **arguments: Any) -> Any:
        if name not in self._processes:
            of_library = ("speed.timing", "LibraryProcess", *self._participants[name])
            process = Process(*of_library, environment=libraries.best_environment())
            self._processes[name] = self._stack.enter_context(contextlib.closing(process))
        return self._processes[name].call(method, **arguments)

    def save(self, **arrays: np.ndarray) -> str:
        """A file for the processes to read; each call overwrites it."""
        path = self._folder / "data.npz"
        np.savez(path, **arrays)
        return str(path)

    def time(self, case: Case, names: Sequence[str], rounds: int, X: np.ndarray, y: np.ndarray) -> dict[str, Any]:
        """What `Timing.of` reads. Round by round, so that a busy moment of the machine affects all of them."""
        data = self.save(X=X, y=y)
        settings = {"layer_sizes": case.layer_sizes, "batch_size": case.batch_size, "optimizer": case.optimizer}
        for name in names:
            self.call(name, "prepare", data=data, **settings)
        time.sleep(PAUSE)
        seconds: dict[str, list[float]] = {name: [] for name in names}
        peaks: dict[str, list[float]] = {name: [] for name in names if self._participants[name][0] == "fastmlp"}
        for _ in range(rounds):
            for name in names:
                seconds[name].append(self.call(name, "epoch", at_least=MIN_SECONDS))
                if name in peaks:
                    peaks[name].append(self.call(name, "peak", seconds=SECONDS_OF_PEAK))
                else:
                    time.sleep(PAUSE)
        return {"seconds": seconds, "peaks": peaks}
