"""Several cores from Python by five methods: how much faster the same work is with several threads than with one."""

import threading
import time
from collections.abc import Callable
from contextlib import closing

import fastmlp
import numpy as np
from fastmlp import _core
from harness.digits import INPUT_SCALE

from speed import libraries
from speed.process import Process

LAYER_SIZES = (784, 128, 10)
ROWS = 8000  # an epoch takes about as long as a matrix product
MATRIX = 1024  # rows and columns
STEPS = 200_000  # of the loop in Python: as long as an epoch, too

LOOP, NUMPY = "a loop in Python, in threads", "NumPy's matrix product, its own threads"
RELEASED, HELD = "fastmlp, one net per Python thread", "the same with Python's lock held"
WHOLE = "fastmlp, one net on all cores"

# OpenBLAS, MKL and Accelerate read these once: hence processes of their own.
BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


class Multiplier:
    """NumPy's matrix product, for `process.Process`."""

    def seconds(self, products: int) -> float:
        a = np.ones((MATRIX, MATRIX), np.float32)
        start = time.perf_counter()
        for _ in range(products):
            a @ a
        return time.perf_counter() - start


def gains(threads: int, rounds: int, units: int) -> dict[str, list[float]]:
    """Seconds with one thread over seconds with several, by method and round. A unit of work takes 10 to 20 ms."""
    X = np.random.default_rng(0).integers(1, 256, (ROWS, LAYER_SIZES[0]), dtype=np.uint8)
    y = np.arange(ROWS) % LAYER_SIZES[-1]
    settings = {"learning_rate": 1e-3, "n_threads": 1}
    trainers = [
        fastmlp.Trainer(fastmlp.Network(LAYER_SIZES, input_scale=INPUT_SCALE), **settings) for _ in range(threads)
    ]

    def count(_: int) -> None:
        for _ in range(units * STEPS):
            pass

    def train(i: int) -> None:
        trainers[i].fit(X, y, epochs=units, verbose=False)

    def train_on(count: int) -> float:
        trainers[0].n_threads = count
        seconds = _seconds(lambda: train(0))
        trainers[0].n_threads = 1
        return seconds

    one, several = (
        Process(
            "speed.python_threads",
            "Multiplier",
            environment={**libraries.best_environment(), **dict.fromkeys(BLAS_THREADS, str(count))},
        )
        for count in (1, threads)
    )
    with closing(one), closing(several):
        methods: dict[str, Callable[[], float]] = {
            LOOP: lambda: _gain_of_threads(count, threads),
            NUMPY: lambda: one.call("seconds", products=units) / several.call("seconds", products=units),
            RELEASED: lambda: _gain_of_threads(train, threads),
            HELD: lambda: _with_the_lock_held(lambda: _gain_of_threads(train, threads)),
            WHOLE: lambda: train_on(1) / train_on(threads),
        }
        for method in (NUMPY, WHOLE):
            methods[method]()  # starts the threads that stay
        rounds_of: dict[str, list[float]] = {name: [] for name in methods}
        for _ in range(rounds):
            for name, gain in methods.items():
                rounds_of[name].append(gain())
    return rounds_of


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _gain_of_threads(work: Callable[[int], None], threads: int) -> float:
    """The time of all parts one after another over that of one part in each Python thread."""

    def together() -> None:
        running = [threading.Thread(target=work, args=(i,)) for i in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()

    return _seconds(lambda: [work(i) for i in range(threads)]) / _seconds(together)


def _with_the_lock_held(measure: Callable[[], float]) -> float:
    _core.testing.hold_gil(True)
    try:
        return measure()
    finally:
        _core.testing.hold_gil(False)
