"""The default number of threads (limits, quotas, concurrent fits), and what to forget at fork and wait for at exit."""

from __future__ import annotations

import atexit
import functools
import math
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from . import _core

MAX_SECONDS_AT_EXIT = 5.0  # wait of the interpreter's exit for native calls of other threads, which take some 0.03 s

_lock = threading.Lock()
_fits: list[int] = []  # thread of each running fit that shares the cores


def default_thread_count() -> int:
    """threadpoolctl's limit, else OMP_NUM_THREADS, else the cores of the process: its affinity and cgroup's quota."""
    count = _core.default_thread_count()  # OpenMP knows all but the quota
    return count if count == 1 else min(count, _quota_limit())


@contextmanager
def share_of_cores(n_threads: int | None) -> Iterator[Callable[[], int]]:
    """Yield a function that returns the threads that a fit may use now: n_threads, or its share of the default.

    Concurrent fits in threads of this process share its cores. Their results do not depend on it.
    """
    if n_threads is not None:
        yield lambda: n_threads
        return
    cores, thread = default_thread_count(), threading.get_ident()
    with _lock:
        _fits.append(thread)
    try:
        yield lambda: max(1, cores // len(_fits))
    finally:
        with _lock:
            _fits.remove(thread)


def _after_fork_in_child() -> None:
    global _fits, _lock
    _fits = [thread for thread in _fits if thread == threading.get_ident()]  # the child has no other
    _lock = threading.Lock()
    _core.forget_native_calls()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_core.end_native_calls, MAX_SECONDS_AT_EXIT)


@functools.cache
def _quota_limit() -> float:
    if names_a_number_of_threads(os.environ.get("OMP_NUM_THREADS", "")):  # explicit, so the quota does not apply
        return math.inf
    quota = cgroup_quota("/")
    return max(1, math.ceil(quota)) if math.isfinite(quota) else math.inf


def names_a_number_of_threads(text: str) -> bool:
    """Whether OpenMP takes this value of OMP_NUM_THREADS: a positive integer, or a list that begins with one."""
    return re.fullmatch(r"\s*\+?0*[1-9]\d{0,8}\s*(,.*)?", text) is not None


def cgroup_quota(root: str | os.PathLike[str]) -> float:
    """The cores that a container grants this process (cpu.max, or cpu.cfs_quota_us of cgroup v1); inf if all.

    `root` is the root of the file system: ``/``.
    """
    try:
        lines = _read(os.path.join(root, "proc/self/cgroup")).split("\n")
    except OSError:  # not Linux
        return math.inf
    quotas = [math.inf]
    for line in lines:
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if hierarchy == "0":
            folder, names = "sys/fs/cgroup", ["cpu.max"]
        elif "cpu" in controllers.split(","):
            folder, names = "sys/fs/cgroup/cpu", ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
        else:
            continue
        parts = [part for part in path.split("/") if part]
        for depth in range(len(parts) + 1):  # a parent's quota holds for its children
            try:
                texts = [_read(os.path.join(root, folder, *parts[:depth], name)) for name in names]
                quota, period = "".join(texts).split()
                if quota not in ("max", "-1"):  # no limit in v2 and v1
                    quotas.append(int(quota) / int(period))
            except (OSError, ValueError, ArithmeticError):  # no such controller here, or no numbers in its files
                continue
    return min(quotas)


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:  # names of folders are any bytes
        return file.read()
