"""What do fastmlp, scikit-learn, PyTorch and JAX cost before they train: megabytes on disk and in memory, and seconds?"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from types import SimpleNamespace
from typing import Any

import numpy as np
from harness.jobs import Job
from harness.number_text import listing, significant
from harness.run import Run, Sizes
from harness.tables import Row, Tables

from speed.libraries import best_environment

DISTRIBUTIONS = {"fastmlp": "fastmlp", "scikit-learn": "scikit-learn", "PyTorch": "torch", "JAX": "jax"}
STATEMENTS = {  # what a program needs that trains a net
    "fastmlp": "import fastmlp",
    "scikit-learn": "from sklearn.neural_network import MLPClassifier",
    "PyTorch": "import torch",
    "JAX": "import jax",
}
PROGRAM = """
import json, resource, time
def megabytes():
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize() / 2**20
    except OSError:  # macOS: the peak, which is that of its parent at first
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
before, start = megabytes(), time.perf_counter()
{statement}
seconds = time.perf_counter() - start
print(json.dumps({{"seconds": seconds, "megabytes": megabytes() - before}}))
"""

SIZES = Sizes(seconds=(3, 20, 60), rounds=(1, 3, 15))


def installed() -> list[str]:
    return [name for name, distribution in DISTRIBUTIONS.items() if _find(distribution)]


def _find(distribution: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return None


def notices() -> list[str]:
    missing = [name for name in DISTRIBUTIONS if name not in installed()]
    return [f'Not installed, and without a row: {listing(missing)} (pip install ".[rivals]").'] if missing else []


def jobs(run: Run, sizes: SimpleNamespace) -> list[Job]:
    """The imports of all libraries take turns in each round."""
    names = installed()
    versions = {name: metadata.version(DISTRIBUTIONS[name]) for name in names}

    def measure() -> dict[str, list[dict[str, float]]]:
        rounds = [{name: import_cost(STATEMENTS[name]) for name in names} for _ in range(1 + sizes.rounds)]
        return {
            name: [costs[name] for costs in rounds[1:]] for name in names
        }  # the first one reads files from the disk

    def rows(result: dict[str, list[dict[str, float]]]) -> dict[str, list[Row]]:
        return {"footprint": [_row(name, versions[name], costs) for name, costs in result.items()]}

    return [Job({"versions": versions, "rounds": sizes.rounds}, measure, rows)] if names else []


def import_cost(statement: str) -> dict[str, float]:
    """Seconds of the import in a new process, and the megabytes by which its memory grows."""
    command = [sys.executable, "-c", PROGRAM.format(statement=statement)]
    run = subprocess.run(command, env=best_environment(), capture_output=True, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def _row(name: str, version: str, costs: list[dict[str, float]]) -> Row:
    packages = list(needed(DISTRIBUTIONS[name]))
    return {
        **{"library": name, "version": version, "packages": len(packages)},
        "disk_mb": round(sum(map(size_on_disk, packages)) / 1e6),
        "import_seconds": float(f"{np.median([cost['seconds'] for cost in costs]):.3g}"),
        "memory_mb": round(float(np.median([cost["megabytes"] for cost in costs]))),
    }


def needed(distribution: str, seen: set[str] | None = None) -> Iterator[str]:
    """This distribution, and those that it requires, as far as they are installed; without extras."""
    seen = set() if seen is None else seen
    name = re.sub(r"[-_.]+", "-", distribution).lower()
    found = _find(distribution)
    if name in seen or found is None:
        return
    seen.add(name)
    yield distribution
    for requirement in found.requires or ():
        if "extra ==" not in requirement:
            yield from needed(re.match(r"[\w.-]+", requirement)[0], seen)


def size_on_disk(distribution: str) -> int:
    """Bytes of its files, without those that Python compiled."""
    found = metadata.distribution(distribution)
    paths = [str(found.locate_file(file)) for file in found.files or () if file.suffix != ".pyc"]
    return sum(os.path.getsize(path) for path in paths if os.path.isfile(path))


def numbers(t: Tables) -> dict[str, Any]:
    if "footprint" not in t.tables:
        return {"answer": "Nothing was measured yet."}
    table = t["footprint"]
    parts = [
        f"{row['library']} {row['disk_mb']} MB on disk, {significant(row['import_seconds'], 2)} s to import and "
        f"{row['memory_mb']} MB of memory"
        for row in table.rows()
    ]
    return {"answer": f"{'; '.join(parts)}."}
