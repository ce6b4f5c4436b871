"""How many threads a call uses when the user names no number."""

from __future__ import annotations

import functools
import math
import os
from pathlib import Path, PurePosixPath

from . import _core


def default_thread_count() -> int:
    """threadpoolctl's limit, else OMP_NUM_THREADS, else the cores of the process: its affinity and its cgroup's quota."""
    count = _core.default_thread_count()  # OpenMP knows all but the quota
    return count if count == 1 else min(count, _limit_of_quota())


@functools.cache
def _limit_of_quota() -> float:
    if "OMP_NUM_THREADS" in os.environ:  # asked for, like threads that are named
        return math.inf
    quota = cgroup_quota(Path("/"))
    return max(1, math.ceil(quota)) if math.isfinite(quota) else math.inf


def cgroup_quota(root: Path) -> float:
    """The cores that a container grants this process (cpu.max, or cpu.cfs_quota_us of cgroup v1); inf if all.

    Parameters
    ----------
    root : Path
        Of the file system: ``/``.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return math.inf
    quotas = [math.inf]
    for line in lines:
        hierarchy, controllers, path = line.split(":", 2)
        if hierarchy == "0":
            folder, read = root / "sys/fs/cgroup", _quota_v2
        elif "cpu" in controllers.split(","):
            folder, read = root / "sys/fs/cgroup/cpu", _quota_v1
        else:
            continue
        inner = PurePosixPath(path.lstrip("/"))
        for part in (inner, *inner.parents):  # a parent's quota holds for its children
            try:
                quotas.append(read(folder / part))
            except (OSError, ValueError):  # no such controller here
                continue
    return min(quotas)


def _quota_v2(folder: Path) -> float:
    quota, period = (folder / "cpu.max").read_text().split()
    return math.inf if quota == "max" else int(quota) / int(period)


def _quota_v1(folder: Path) -> float:
    quota = int((folder / "cpu.cfs_quota_us").read_text())
    return math.inf if quota < 0 else quota / int((folder / "cpu.cfs_period_us").read_text())
