"""One run of experiments: presets and sizes, its folder, its data; and the command line."""

import argparse
import functools
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from harness.digits import STAND_IN_NOTICE, Digits, load_digits
from harness.jobs import Cache
from harness.progress import Progress
from harness.tables import Row, Table, Tables


PRESETS = {
    "smoke": "seconds; shows that everything runs, its numbers mean nothing",
    "quick": "minutes; shows what happens",
    "full": "all rows, epochs and seeds",
}


class Sizes:
    """The sizes of an experiment under each preset: ``Sizes(epochs=(3, 40, 200))["quick"].epochs`` is 40.

    `seconds` says about how long each preset takes on two cores, for the progress line.
    """

    def __init__(self, seconds: tuple[float, float, float], **values: tuple[Any, Any, Any]) -> None:
        self._of = {
            preset: SimpleNamespace(seconds=seconds[i], **{name: three[i] for name, three in values.items()})
            for i, preset in enumerate(PRESETS)
        }

    def __getitem__(self, preset: str) -> SimpleNamespace:
        return self._of[preset]


class Run:
    """What the experiments of a run share. Results go to ``<output>/results/<experiment>``, the page to `output`."""

    def __init__(self, preset: str, output: Path, fresh: bool = False) -> None:
        self.preset, self.output, self.fresh = preset, output, fresh
        self.digits = functools.cache(self._digits)  # experiments with the same rows share one copy
        self.notices: list[str] = []
        self.environments: dict[str, list[dict[str, Any]]] = {}  # by experiment, those that its results come from

    def _digits(self, train_rows: int, test_rows: int) -> Digits:
        digits = load_digits(train_rows, test_rows)
        if digits.name != "MNIST" and STAND_IN_NOTICE not in self.notices:
            self.notices.append(STAND_IN_NOTICE)
        return digits

    def folder(self, experiment: ModuleType) -> Path:
        return self.output / "results" / name_of(experiment)

    def tables(self, experiment: ModuleType, progress: Progress | None = None) -> Tables:
        """Completes an experiment's jobs, and writes and reads the tables of their rows."""
        sizes = experiment.SIZES[self.preset]
        folder = self.folder(experiment)
        with ExitStack() as self.processes:  # closed when all jobs are complete
            jobs = experiment.jobs(self, sizes)
            records = Cache(folder, self.fresh).complete(jobs, progress.update if progress else lambda share: None)
        rows: dict[str, list[Row]] = {}
        environments: list[dict[str, Any]] = []
        for job, record in zip(jobs, records):
            for name, part in job.rows(record["result"]).items():
                rows.setdefault(name, []).extend(part)
            if record["environment"] not in environments:
                environments.append(record["environment"])
        self.environments[name_of(experiment)] = environments
        tables = {}
        for name, part in rows.items():
            path = folder / f"{name}.csv"
            Table.of(part).write(path)
            tables[name] = Table.read(path)
        data = "make_digits" if STAND_IN_NOTICE in self.notices else "MNIST"
        return Tables(tables, sizes, data, [record["result"] for record in records])


def name_of(experiment: ModuleType) -> str:
    """Of its folder of results, and of its anchor in the page."""
    return experiment.__name__.rpartition(".")[2]


def parse_command_line(
    description: str, names: Sequence[str], arguments: Sequence[str] | None = None
) -> tuple[Run, list[str]]:
    """The run, and the names of the experiments that it consists of."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.epilog = "presets:\n" + "\n".join(f"  {name:8}{meaning}" for name, meaning in PRESETS.items())
    parser.epilog += "\n\nexperiments:\n" + "\n".join(f"  {name}" for name in names)
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help="default: all")
    parser.add_argument("--preset", choices=PRESETS, default="quick", help="default: quick")
    parser.add_argument(
        "--output", type=Path, default=Path("report"), help="folder for the page and the results; default: report"
    )
    parser.add_argument("--fresh", action="store_true", help="measure again what an earlier run has measured")
    chosen = parser.parse_args(arguments)
    unknown = [name for name in chosen.experiments if name not in names]
    if unknown:
        parser.error(f"unknown experiment {unknown[0]!r}; the experiments are {', '.join(names)}")
    return Run(chosen.preset, chosen.output, chosen.fresh), list(dict.fromkeys(chosen.experiments or names))
