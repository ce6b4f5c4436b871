"""How the ranks of data-parallel training talk: the protocol, and MPI."""

from __future__ import annotations

import functools
import os
from typing import Any, Protocol

import numpy as np


class Communicator(Protocol):
    """What `distributed.Trainer` needs of the processes that it trains with; every rank makes the same calls in the same order.

    One that has a method ``ranks_on_these_cores()``, too, the number of ranks that share this one's cores, has them shared out.

    Attributes
    ----------
    rank, size : int
        Which of how many this is.
    """

    @property
    def rank(self) -> int: ...
    @property
    def size(self) -> int: ...

    def allreduce_(self, buffer: np.ndarray) -> None:
        """Each element becomes its sum over the ranks: in place, with the same bits on every rank.

        Parameters
        ----------
        buffer : array of float32 or float64, shape (values,), C-contiguous
        """

    def broadcast_(self, buffer: np.ndarray) -> None:
        """Each element becomes what it is on rank 0, in place.

        Parameters
        ----------
        buffer : array of uint8, float32 or float64, shape (values,), C-contiguous
        """


class MPICommunicator:
    """`Communicator` over mpi4py.

    Sums run from rank 0 to the last, so that their bits depend neither on who comes first nor on the MPI library: each rank
    sums a part of the buffer, and all gather the parts. That sends 2 * (size - 1) / size of the buffer per rank, which
    is the least there is.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm, optional
        Default: ``MPI.COMM_WORLD``. A duplicate is used, which no message of yours meets: the first use of each is a call
        that every rank must make. Fits over the same one come one after another.

    Raises
    ------
    ImportError
        Without mpi4py.
    """

    def __init__(self, comm: Any = None) -> None:
        try:
            from mpi4py import MPI
        except ModuleNotFoundError:
            raise ImportError("fastmlp.distributed needs mpi4py: pip install 'fastmlp[mpi]'") from None
        self._mpi = MPI
        self._comm = _duplicate(MPI.COMM_WORLD if comm is None else comm)
        self._given = np.empty((0, 0))  # by the other ranks, of the part that this one sums

    @property
    def rank(self) -> int:
        return self._comm.rank

    @property
    def size(self) -> int:
        return self._comm.size

    def allreduce_(self, buffer: np.ndarray) -> None:
        size, rank = self.size, self.rank
        ends = [len(buffer) * i // size for i in range(size + 1)]
        parts = [buffer[begin:end] for begin, end in zip(ends, ends[1:])]
        own, others = parts[rank], [other for other in range(size) if other != rank]
        shape = (size, len(own))
        if self._given.shape != shape or self._given.dtype != buffer.dtype:
            self._given = np.empty(shape, buffer.dtype)
        given = [own if other == rank else self._given[other] for other in range(size)]
        self._exchange([(parts[other], given[other], other) for other in others])
        total = given[0]
        with np.errstate(all="ignore"):  # of a fit that diverges
            for part in given[1:]:
                total += part
        if rank:
            own[:] = total
        self._exchange([(own, parts[other], other) for other in others])

    def _exchange(self, messages: list[tuple[np.ndarray, np.ndarray, int]]) -> None:
        """Of each (to send, to receive, rank), all at once."""
        coming = [self._comm.Irecv(received, other) for _, received, other in messages]
        going = [self._comm.Isend(sent, other) for sent, _, other in messages]
        self._mpi.Request.Waitall(coming + going)

    def broadcast_(self, buffer: np.ndarray) -> None:
        self._comm.Bcast(buffer)

    def ranks_on_these_cores(self) -> int:
        """How many ranks of this machine may use the same cores as this one."""
        node = self._comm.Split_type(self._mpi.COMM_TYPE_SHARED)
        cores = node.allgather(_affinity())
        node.Free()
        return cores.count(_affinity())


def _duplicate(comm: Any) -> Any:
    """One for each communicator, which goes with it: an MPI library has some two thousand in all."""
    key = _attribute()
    found = comm.Get_attr(key)
    if found is None:
        found = comm.Dup()
        comm.Set_attr(key, found)
    return found


@functools.cache
def _attribute() -> int:
    from mpi4py import MPI

    return MPI.Comm.Create_keyval(delete_fn=lambda comm, key, duplicate: duplicate.Free())


def _affinity() -> tuple[int, ...]:
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()
