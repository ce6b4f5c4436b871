"""What a library's own process does in a comparison: trains epochs of a case, runs the recipe, tells about itself."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import fastmlp
import numpy as np
import rivals
import time_to_accuracy
from fastmlp import _core

LEARNING_RATE = 1e-3  # small enough to stay finite on any case; it does not change the work


class Contestant:
    """One library, for `worker.Worker`.

    Parameters
    ----------
    library : str
        A key of `rivals.LIBRARIES`.
    threads : str
        Of fastmlp; empty for the default, which all others use.
    """

    def __init__(self, library: str, threads: str = "") -> None:
        self._library = library
        self._threads = int(threads) if threads else None

    def describe(self) -> dict[str, str]:
        rivals.LIBRARIES[self._library][1](_tiny_problem()).epoch()  # all that it needs is loaded now
        return rivals.describe(self._library)

    def prepare(self, data: str, layer_sizes: Sequence[int], batch_size: int, optimizer: str) -> None:
        """Data of an .npz file: X of uint8, y."""
        with np.load(data) as arrays:
            X, y = arrays["X"] * np.float32(1 / 255), arrays["y"].astype(np.int64)
        weights = fastmlp.Network(layer_sizes).weights
        problem = rivals.Problem(X, y, weights, batch_size, LEARNING_RATE, optimizer=optimizer, threads=self._threads)
        self._training = rivals.LIBRARIES[self._library][1](problem)
        self._training.epoch()  # what is compiled or allocated once is so now

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


def _tiny_problem() -> rivals.Problem:
    X = np.ones((4, 3), np.float32)
    return rivals.Problem(X, np.arange(4), fastmlp.Network((3, 4, 4)).weights, 2, LEARNING_RATE)
