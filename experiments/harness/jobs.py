"""Jobs of an experiment and the cache of their results: JSON lines that outlive an interruption."""

import functools
import hashlib
import json
import math
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastmlp
import numpy as np

from harness.tables import Row

SIGNIFICANT_DIGITS = 7  # what float32 holds; more would only make the files larger


@dataclass(frozen=True)
class Job:
    """One configuration, how to measure it, and the rows that its result adds to the tables."""

    configuration: dict[str, Any]
    measure: Callable[[], Any]  # returns the result: dicts, lists, numbers, strings and booleans
    rows: Callable[[Any], dict[str, list[Row]]]  # from the result, rows for each table


class Cache:
    """The results of the jobs of one experiment, in ``<folder>/results.jsonl``; `fresh` measures them all again.

    A record holds the job's configuration, the hash of that (key), the result and the environment. Lines that are no
    records, as after a crash of the system, are dropped: their jobs are measured again.
    """

    def __init__(self, folder: Path, fresh: bool = False) -> None:
        self.path = folder / "results.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        self._records = _read_records(self.path)
        self._stale = set(self._records) if fresh else set()

    def complete(self, jobs: Sequence[Job], done: Callable[[float], None] = lambda share: None) -> list[Any]:
        """The record of each job, in their order; only missing ones are measured.

        `done` is called with the share of the jobs that are complete.
        """
        keys = [configuration_key(job.configuration) for job in jobs]
        for count, (key, job) in enumerate(zip(keys, jobs), 1):
            if key not in self._records or key in self._stale:
                self._records[key] = {
                    "key": key,
                    "configuration": job.configuration,
                    "result": _rounded(job.measure()),
                    "environment": environment(),
                }
                self._stale.discard(key)
                self._write()
            done(count / len(jobs))
        return [self._records[key] for key in keys]

    def _write(self) -> None:
        lines = [json.dumps(record, allow_nan=False) + "\n" for record in self._records.values()]
        unfinished = self.path.with_suffix(".unfinished")
        unfinished.write_text("".join(lines), encoding="utf-8")
        os.replace(unfinished, self.path)  # atomic: an interruption leaves the old or the new file


def _read_records(path: Path) -> dict[str, dict[str, Any]]:
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.is_file() else []
    records = {}
    for line in lines:
        try:
            record = json.loads(line)
            if record["key"] == configuration_key(record["configuration"]) and {"result", "environment"} <= set(record):
                records[record["key"]] = record
        except (ValueError, TypeError, KeyError):
            pass
    return records


def configuration_key(configuration: dict[str, Any]) -> str:
    text = json.dumps(configuration, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@functools.cache
def environment() -> dict[str, Any]:
    """Versions, processor, threads and instruction set of this process."""
    config = fastmlp.show_config("dicts")
    return {
        "fastmlp": config["version"],
        "numpy": np.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
        "processor": _processor_name(),
        "cores": os.cpu_count(),
        "threads": config["threads"],
        "instruction_set": config["instruction_set"],
    }


def _processor_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:  # not Linux
        pass
    return platform.processor() or platform.machine()


def _rounded(value: Any) -> Any:
    """JSON's values: numbers to seven digits, None for nan."""
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(part) for part in value]
    if isinstance(value, float):
        return None if math.isnan(value) else float(f"{value:.{SIGNIFICANT_DIGITS}g}")
    return value
