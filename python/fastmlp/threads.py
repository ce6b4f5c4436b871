"""How many threads a call uses when the user names no number."""

from __future__ import annotations

import functools
import math
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from . import _core


def default_thread_count() -> int:
    """threadpoolctl's limit, else OMP_NUM_THREADS, else the cores of the process: its affinity and cgroup's quota."""
    count = _core.default_thread_count()  # OpenMP knows all but the quota
    return count if count == 1 else min(count, _limit_of_quota())


_fits = 0
_lock = threading.Lock()


@contextmanager
def share_of_cores(n_threads: int | None) -> Iterator[Callable[[], int]]:
    """Gives a function that tells how many threads a fit may use now: n_threads, or its share of the default.

    Fits that run at the same time in threads of this process share its cores. Their results do not depend on it.
    """
    global _fits
    if n_threads is not None:
        yield lambda: n_threads
        return
    cores = default_thread_count()
    with _lock:
        _fits += 1
    try:
        yield lambda: max(1, cores // _fits)
    finally:
        with _lock:
            _fits -= 1


@functools.cache
def _limit_of_quota() -> float:
    if "OMP_NUM_THREADS" in os.environ:  # asked for, like threads that are named
        return math.inf
    quota = cgroup_quota("/")
    return max(1, math.ceil(quota)) if math.isfinite(quota) else math.inf


def cgroup_quota(root: str | os.PathLike[str]) -> float:
    """The cores that a container grants this process (cpu.max, or cpu.cfs_quota_us of cgroup v1); inf if all.

    Parameters
    ----------
    root : path
        Of the file system: ``/``.
    """
    try:
        lines = _read(os.path.join(root, "proc/self/cgroup")).splitlines()
    except OSError:  # not Linux
        return math.inf
    quotas = [math.inf]
    for line in lines:
        hierarchy, controllers, path = line.split(":", 2)
        if hierarchy == "0":
            folder, quota_of = os.path.join(root, "sys/fs/cgroup"), _quota_v2
        elif "cpu" in controllers.split(","):
            folder, quota_of = os.path.join(root, "sys/fs/cgroup/cpu"), _quota_v1
        else:
            continue
        parts = [part for part in path.split("/") if part]
        for depth in range(len(parts) + 1):  # a parent's quota holds for its children
            try:
                quotas.append(quota_of(os.path.join(folder, *parts[:depth])))
            except (OSError, ValueError):  # no such controller here
                continue
    return min(quotas)


def _quota_v2(folder: str) -> float:
    quota, period = _read(os.path.join(folder, "cpu.max")).split()
    return math.inf if quota == "max" else int(quota) / int(period)


def _quota_v1(folder: str) -> float:
    quota = int(_read(os.path.join(folder, "cpu.cfs_quota_us")))
    return math.inf if quota < 0 else quota / int(_read(os.path.join(folder, "cpu.cfs_period_us")))


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read()
