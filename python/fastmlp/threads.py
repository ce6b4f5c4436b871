"""How many threads a call uses when the user names no number; and threads when a process forks or ends."""

from __future__ import annotations

import atexit
import functools
import math
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from . import _core


def default_thread_count() -> int:
    """threadpoolctl's limit, else OMP_NUM_THREADS, else the cores of the process: its affinity and cgroup's quota."""
    if _warning_due:
        _warn_of_one_thread()
    count = _core.default_thread_count()  # OpenMP knows all but the quota
    return count if count == 1 else min(count, _limit_of_quota())


_fits: list[int] = []  # the thread of each that shares
_lock = threading.Lock()


@contextmanager
def share_of_cores(n_threads: int | None) -> Iterator[Callable[[], int]]:
    """Gives a function that tells how many threads a fit may use now: n_threads, or its share of the default.

    Fits that run at the same time in threads of this process share its cores. Their results do not depend on it.
    """
    if _warning_due:
        _warn_of_one_thread()
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


_can_fork = True
_warning_due = False


def _before_fork() -> None:
    """OpenMP's workers do not live on in a child, where the next team would wait for them for ever."""
    global _can_fork
    hook_is_on = os.environ.get("FASTMLP_FORK_HOOK") != "0"
    _can_fork = not _core.has_thread_pool() or (hook_is_on and _core.end_thread_pool())


def _after_fork_in_child() -> None:
    global _fits, _lock, _warning_due
    _fits = [thread for thread in _fits if thread == threading.get_ident()]  # the child has no other
    _lock = threading.Lock()
    _core.forget_native_calls()
    if not _can_fork:
        _core.work_alone()
        _warning_due = True


def _warn_of_one_thread() -> None:
    global _warning_due
    _warning_due = False
    warnings.warn(
        "this process was forked from one whose OpenMP threads could not be ended: fastmlp computes with one thread here",
        RuntimeWarning,
        stacklevel=2,
    )


SECONDS_TO_END = 5.0
"""That the interpreter's exit waits for native calls of other threads, which take some 0.03 s."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
atexit.register(_core.end_native_calls, SECONDS_TO_END)


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
        lines = _read(os.path.join(root, "proc/self/cgroup")).split("\n")
    except OSError:  # not Linux
        return math.inf
    quotas = [math.inf]
    for line in lines:
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
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
            except (OSError, ValueError, ArithmeticError):  # no such controller here, or no numbers in its files
                continue
    return min(quotas)


def _quota_v2(folder: str) -> float:
    quota, period = _read(os.path.join(folder, "cpu.max")).split()
    return math.inf if quota == "max" else int(quota) / int(period)


def _quota_v1(folder: str) -> float:
    quota = int(_read(os.path.join(folder, "cpu.cfs_quota_us")))
    return math.inf if quota < 0 else quota / int(_read(os.path.join(folder, "cpu.cfs_period_us")))


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:  # names of folders are any bytes
        return file.read()
