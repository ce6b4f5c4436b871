"""Program of a rank: times one process and several ranks, alternating, and the ranks' sums. Started by mpiexec.

mpiexec -n 2 python -m mpi4py machines_rank.py SETTINGS.json, which names nets, batch sizes, rows, rounds and bytes.
Rank 0 prints what it has measured, as JSON.
"""

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
SECONDS_BETWEEN = 0.1  # measurements: OpenMP's threads spin for a while when their work is done


class Silent:
    """A communicator that sends nothing: for the cost of a step without communication."""

    rank, size = WORLD.rank, WORLD.size

    def allreduce_(self, buffer: np.ndarray) -> None:
        if len(buffer) <= 2 * self.size:  # the other ranks' numbers of rows, and losses
            WORLD.Allreduce(MPI.IN_PLACE, buffer)

    def broadcast_(self, buffer: np.ndarray) -> None:
        WORLD.Bcast(buffer)


def wait_for_all() -> None:
    """A barrier without spinning: the cores belong to the rank that works."""
    time.sleep(SECONDS_BETWEEN)
    request = WORLD.Ibarrier()
    while not request.Test():
        time.sleep(0.002)


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure_case(layer_sizes: list[int], batch_size: int, rows: int, rounds: int) -> dict[str, list[float]]:
    """Seconds per update of each round, on rank 0: of one process with as many threads as ranks ("alone"); of the ranks,
    a thread each; and of the ranks without communication ("silent")."""
    rng = np.random.default_rng(0)
    X = rng.uniform(0.1, 1, (rows, layer_sizes[0])).astype(np.float32)
    y = rng.integers(0, layer_sizes[-1], rows)
    share = slice(WORLD.rank, None, WORLD.size)
    X_here, y_here = X[share].copy(), y[share].copy()
    settings: dict[str, Any] = {"learning_rate": 0.01, "batch_size": batch_size}
    updates = -(-rows // batch_size)

    def network() -> fastmlp.Network:
        return fastmlp.Network(layer_sizes)

    alone = fastmlp.Trainer(network(), n_threads=WORLD.size, **settings)
    ranks = distributed.Trainer(network(), n_threads=1, **settings)
    silent = distributed.Trainer(network(), n_threads=1, communicator=Silent(), **settings)
    seconds_of: dict[str, list[float]] = {"alone": [], "ranks": [], "silent": []}
    for round_number in range(-1, rounds):  # the first warms up
        measured = {}
        wait_for_all()
        if WORLD.rank == 0:
            history = alone.fit(X, y, epochs=1, verbose=False)
            measured["alone"] = history.seconds[0] / updates
        for name, trainer in (("ranks", ranks), ("silent", silent)):
            wait_for_all()
            history = trainer.fit(X_here, y_here, epochs=1, verbose=False)
            measured[name] = history.seconds[0] / updates
        if round_number >= 0 and WORLD.rank == 0:
            for name, value in measured.items():
                seconds_of[name].append(value)
    return seconds_of


def measure_sums(sizes_in_bytes: list[int], rounds: int) -> list[float]:
    """Seconds of a sum over the ranks, by its bytes."""
    communicator = distributed.MPICommunicator()
    medians = []
    for size in sizes_in_bytes:
        buffer = np.zeros(size // 4, np.float32)
        times = []
        for _ in range(10 * rounds):
            WORLD.Barrier()
            times.append(seconds(lambda: communicator.allreduce_(buffer)))
        medians.append(float(np.median(times)))
    return medians


def main() -> None:
    wanted = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    cases = [measure_case(*case, wanted["rows"], wanted["rounds"]) for case in wanted["cases"]]
    sums = measure_sums(wanted["bytes"], wanted["rounds"])
    if WORLD.rank == 0:
        print(json.dumps({"cases": cases, "sums": sums}))


if __name__ == "__main__":
    main()
