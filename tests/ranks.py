"""Ranks of data-parallel training in threads of this process: a communicator, and how work runs on each."""

import threading

import fastmlp
import numpy as np
from problems import LAYER_SIZES

SECONDS_TO_WAIT = 60


class Ranks:
    """`Communicator` for threads."""

    class Rank:
        def __init__(self, ranks, rank):
            self._ranks, self.rank, self.size = ranks, rank, ranks.size

        def allreduce_(self, buffer):
            self._ranks.exchange(self.rank, buffer, lambda given: sum(given[1:], start=given[0].copy()))

        def broadcast_(self, buffer):
            self._ranks.exchange(self.rank, buffer, lambda given: given[0])

        def ranks_on_these_cores(self):
            self.allreduce_(np.zeros(1))  # a question to all, as over MPI
            return self.size

    def __init__(self, size):
        self.size = size
        self._given = [None] * size
        self._barrier = threading.Barrier(size, timeout=SECONDS_TO_WAIT)

    def exchange(self, rank, buffer, combine):
        self._given[rank] = buffer.copy()
        self._barrier.wait()
        result = combine(self._given)
        self._barrier.wait()
        buffer[:] = result

    def run(self, work):
        """What work(communicator) returns or raises on each rank."""
        outcomes = [None] * self.size

        def one(rank):
            try:
                with np.errstate(all="ignore"):
                    outcomes[rank] = work(self.Rank(self, rank))
            except Exception as error:
                outcomes[rank] = error

        threads = [threading.Thread(target=one, args=(rank,)) for rank in range(self.size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return outcomes


def together(size, work):
    outcomes = Ranks(size).run(work)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
    return outcomes


def network(dtype="float64", loss="cross_entropy", seed=1):
    return fastmlp.Network(LAYER_SIZES, loss=loss, dtype=dtype, seed=seed)
