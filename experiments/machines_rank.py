"""What a rank measures: one process beside several ranks, in turns, and what the ranks' sums cost. Started by mpiexec.

mpiexec -n 2 python -m mpi4py machines_rank.py SETTINGS.json, which names nets, batch sizes, rows, rounds and bytes.
Rank 0 prints what it has measured, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastmlp
import numpy as np
from fastmlp import distributed
from mpi4py import MPI

WORLD = MPI.COMM_WORLD
SECONDS_BETWEEN = 0.1  # turns: OpenMP's threads spin for a while when their work is done


class Silent:
    """Says nothing to other ranks: what a step costs without its communication."""

    rank, size = WORLD.rank, WORLD.size

    def allreduce_(self, buffer: np.ndarray) -> None:
        if len(buffer) <= 2 * self.size:  # how many rows the others have, and what losses
            WORLD.Allreduce(MPI.IN_PLACE, buffer)

    def broadcast_(self, buffer: np.ndarray) -> None:
        WORLD.Bcast(buffer)


def wait_for_all() -> None:
    """A barrier in which nobody spins: the cores belong to the rank that is at work."""
    time.sleep(SECONDS_BETWEEN)
    request = WORLD.Ibarrier()
    while not request.Test():
        time.sleep(0.002)


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure_case(layer_sizes: list[int], batch_size: int, rows: int, rounds: int) -> dict[str, list[float]]:
    """Seconds per update of each round, on rank 0: of one process with as many threads as ranks; of the ranks, a thread
    each; and of the ranks if they did not talk."""
    rng = np.random.default_rng(0)
    X = rng.uniform(0.1, 1, (rows, layer_sizes[0])).astype(np.float32)
    y = rng.integers(0, layer_sizes[-1], rows)
    own = slice(WORLD.rank, None, WORLD.size)
    X_own, y_own = X[own].copy(), y[own].copy()
    settings: dict[str, Any] = {"learning_rate": 0.01, "batch_size": batch_size}
    updates = -(-rows // batch_size)

    def network() -> fastmlp.Network:
        return fastmlp.Network(layer_sizes)

    alone = fastmlp.Trainer(network(), n_threads=WORLD.size, **settings)
    ranks = distributed.Trainer(network(), n_threads=1, **settings)
    silent = distributed.Trainer(network(), n_threads=1, communicator=Silent(), **settings)
    found: dict[str, list[float]] = {"alone": [], "ranks": [], "silent": []}
    for round_number in range(-1, rounds):  # the first warms up
        measured = {}
        wait_for_all()
        if WORLD.rank == 0:
            history = alone.fit(X, y, epochs=1, verbose=False)
            measured["alone"] = history.seconds[0] / updates
        for name, trainer in (("ranks", ranks), ("silent", silent)):
            wait_for_all()
            history = trainer.fit(X_own, y_own, epochs=1, verbose=False)
            measured[name] = history.seconds[0] / updates
        if round_number >= 0 and WORLD.rank == 0:
            for name, value in measured.items():
                found[name].append(value)
    return found


def measure_sums(sizes_in_bytes: list[int], rounds: int) -> list[float]:
    """Seconds of a sum over the ranks, by its bytes."""
    communicator = distributed.MPICommunicator()
    found = []
    for size in sizes_in_bytes:
        buffer = np.zeros(size // 4, np.float32)
        times = []
        for _ in range(10 * rounds):
            WORLD.Barrier()
            times.append(seconds(lambda: communicator.allreduce_(buffer)))
        found.append(float(np.median(times)))
    return found


def main() -> None:
    wanted = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    cases = [measure_case(*case, wanted["rows"], wanted["rounds"]) for case in wanted["cases"]]
    sums = measure_sums(wanted["bytes"], wanted["rounds"])
    if WORLD.rank == 0:
        print(json.dumps({"cases": cases, "sums": sums}))


if __name__ == "__main__":
    main()
