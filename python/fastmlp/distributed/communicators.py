"""How the ranks of data-parallel training communicate: the protocol, and MPI."""

from __future__ import annotations

import functools
import os
from typing import Any, Protocol

import numpy as np


class Communicator(Protocol):
    """What `distributed.Trainer` calls to reach the other ranks; every rank makes the same calls in the same order.

    If it also has a method ``ranks_on_these_cores()``, the number of ranks that may use the same cores as this one,
    these ranks divide the cores.

    Attributes
    ----------
    rank, size : int
        Index of this process and number of processes.
    """

    @property
    def rank(self) -> int: ...
    @property
    def size(self) -> int: ...

    def allreduce_(self, buffer: np.ndarray) -> None:
        """Replace each element by its sum over the ranks: in place, with the same bits on every rank.

        `buffer` is an array of float32 or float64, shape (values,), C-contiguous.
        """

    def broadcast_(self, buffer: np.ndarray) -> None:
        """Replace each element by that of rank 0, in place.

        `buffer` is an array of uint8, float32 or float64, shape (values,), C-contiguous.
        """


def check_communicator(value: Any) -> Communicator:
    lacking = [name for name in ("rank", "size", "allreduce_", "broadcast_") if not hasattr(value, name)]
    if lacking:
        hint = ": pass MPICommunicator(comm)" if hasattr(value, "Allreduce") else ""  # one of mpi4py
        raise TypeError(f"communicator must be a Communicator, got {value!r} without {', '.join(lacking)}{hint}")
    return value


class MPICommunicator:
    """`Communicator` over mpi4py.

    Sums run from rank 0 to the last, so that their bits depend neither on the order of arrival nor on the MPI library:
    each rank sums one part of the buffer, and all gather the parts. That sends 2 * (size - 1) / size of the buffer per
    rank, which is the minimum.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm, optional
        Default: ``MPI.COMM_WORLD``. A duplicate is used, which keeps its messages apart from yours: the first use of
        each `comm` is a call that every rank must make. Fits over one communicator must not overlap.

    Raises
    ------
    ImportError
        Without mpi4py, or without an MPI library.
    """

    def __init__(self, comm: Any = None) -> None:
        try:
            from mpi4py import MPI
        except ModuleNotFoundError:
            raise ImportError("fastmlp.distributed needs mpi4py: pip install 'fastmlp[mpi]'") from None
        except (ImportError, RuntimeError) as error:  # either, by the version of mpi4py
            raise ImportError(f"fastmlp.distributed needs an MPI library: pip install mpich\n{error}") from error
        self._mpi = MPI
        self._comm = _duplicate(MPI.COMM_WORLD if comm is None else comm)
        self._received = np.empty((0, 0))  # (size, part): what the other ranks send of the part that this one sums

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
        part, others = parts[rank], [other for other in range(size) if other != rank]
        shape = (size, len(part))
        if self._received.shape != shape or self._received.dtype != buffer.dtype:
            self._received = np.empty(shape, buffer.dtype)
        terms = [part if other == rank else self._received[other] for other in range(size)]
        self._exchange([(parts[other], terms[other], other) for other in others])
        total = terms[0]
        with np.errstate(all="ignore"):  # in a fit that diverges
            for term in terms[1:]:
                total += term
        if rank:
            part[:] = total
        self._exchange([(part, parts[other], other) for other in others])

    def __reduce__(self) -> Any:
        raise TypeError("an MPICommunicator cannot be pickled or copied: it belongs to this process")

    def _exchange(self, messages: list[tuple[np.ndarray, np.ndarray, int]]) -> None:
        """Send and receive all messages (sent, received, rank) at once."""
        receives = [self._comm.Irecv(received, other) for _, received, other in messages]
        sends = [self._comm.Isend(sent, other) for sent, _, other in messages]
        self._mpi.Request.Waitall(receives + sends)

    def broadcast_(self, buffer: np.ndarray) -> None:
        self._comm.Bcast(buffer)

    def ranks_on_these_cores(self) -> int:
        """How many ranks of this machine may use the same cores as this one."""
        node = self._comm.Split_type(self._mpi.COMM_TYPE_SHARED)
        cores = node.allgather(_affinity())
        node.Free()
        return cores.count(_affinity())


def _duplicate(comm: Any) -> Any:
    """One duplicate per communicator, freed with it: an MPI library has only some two thousand in all."""
    key = _duplicate_key()
    duplicate = comm.Get_attr(key)
    if duplicate is None:
        duplicate = comm.Dup()
        comm.Set_attr(key, duplicate)
    return duplicate


@functools.cache
def _duplicate_key() -> int:
    from mpi4py import MPI

    return MPI.Comm.Create_keyval(delete_fn=lambda comm, key, duplicate: duplicate.Free())


def _affinity() -> tuple[int, ...]:
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()
