"""Results of an experiment: JSON lines that outlive an interruption, CSV tables of them, and the machine they come from."""

from __future__ import annotations

import csv
import functools
import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastmlp
import numpy as np

Record = dict[str, Any]

SIGNIFICANT_DIGITS = 7  # what float32 holds; more would only make the files larger


@dataclass(frozen=True)
class Job:
    """One configuration and how to get its result.

    measure : callable returning (outcome, measured)
        Two dicts of numbers, strings, booleans and lists of them: what the configuration decides,
        and what varies from run to run (times, bytes).
    """

    label: str
    configuration: dict[str, Any]
    measure: Callable[[], tuple[dict[str, Any], dict[str, Any]]]


class Results:
    """The finished configurations of one experiment, in ``<folder>/results.jsonl``.

    A record holds its configuration and that one's hash (key), the outcome, which the seed alone
    decides, the measured times and bytes, which it does not, and the environment.

    Parameters
    ----------
    folder : Path
        Created if need be.
    fresh : bool
        Whether records of earlier runs are to be replaced instead of used.
    """

    def __init__(self, folder: Path, fresh: bool = False) -> None:
        self.folder = folder
        self.path = folder / "results.jsonl"
        self.used: dict[str, Record] = {}  # by key: what this run asked for
        self.computed = 0  # of them, those that were not there before
        folder.mkdir(parents=True, exist_ok=True)
        self._records = _read(self.path)
        self._stale = set(self._records) if fresh else set()

    def complete(self, jobs: Sequence[Job], say: Callable[[str], None]) -> list[Record]:
        """The record of each job, in their order; only those are measured that are not there yet."""
        missing = {configuration_key(job.configuration): job for job in jobs if not self._has(job)}
        for number, (key, job) in enumerate(missing.items(), 1):
            start = time.monotonic()
            outcome, measured = job.measure()
            self._records[key] = {
                "key": key,
                "configuration": job.configuration,
                "outcome": _rounded(outcome),
                "measured": _rounded(measured),
                "environment": environment(),
            }
            self._stale.discard(key)
            self.computed += 1
            self._write()
            say(f"{number}/{len(missing)} {job.label}: {time.monotonic() - start:.1f} s")
        records = [self._records[configuration_key(job.configuration)] for job in jobs]
        self.used.update((record["key"], record) for record in records)
        return records

    def _has(self, job: Job) -> bool:
        key = configuration_key(job.configuration)
        return key in self._records and key not in self._stale

    def environments(self) -> list[dict[str, Any]]:
        """The different environments that the records of this run come from."""
        found: list[dict[str, Any]] = []
        for record in self.used.values():
            if record["environment"] not in found:
                found.append(record["environment"])
        return found

    def write_csv(self, name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
        path = self.folder / name
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)
        return path

    def _write(self) -> None:
        lines = [json.dumps(record, allow_nan=False) + "\n" for record in self._records.values()]
        unfinished = self.path.with_suffix(".unfinished")
        unfinished.write_text("".join(lines), encoding="utf-8")
        os.replace(unfinished, self.path)  # whole or not at all, whenever the run is interrupted


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
        "threading": config["threading"],
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


def _read(path: Path) -> dict[str, Record]:
    if not path.is_file():
        return {}
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {record["key"]: record for record in records}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(part) for part in value]
    if isinstance(value, float):
        return float(f"{value:.{SIGNIFICANT_DIGITS}g}")
    return value
