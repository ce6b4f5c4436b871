"""Tables of results: columns of numbers or text, written as CSV; and the committed tables of the full runs."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "experiments" / "results"
TEXT_COLUMNS = ("hidden",)  # "128" names a net with one hidden layer and is no number

Row = dict[str, Any]


class Table:
    """Columns of equal length, each an array of int, float or str; an empty cell of a column of numbers is nan."""

    def __init__(self, columns: dict[str, np.ndarray]) -> None:
        self.columns = columns

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> Table:
        names = dict.fromkeys(name for row in rows for name in row)
        return cls({name: _column(name, [_cell(row.get(name)) for row in rows]) for name in names})

    @classmethod
    def read(cls, path: Path) -> Table:
        with path.open(newline="", encoding="utf-8") as file:
            header, *lines = csv.reader(file)
        return cls({name: _column(name, [line[i] for line in lines]) for i, name in enumerate(header)})

    def write(self, path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self.columns)
            writer.writerows([_cell(value) for value in row.values()] for row in self.rows())

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def rows(self) -> list[Row]:
        lists = [column.tolist() for column in self.columns.values()]
        return [dict(zip(self.columns, values)) for values in zip(*lists)]

    def where(self, **wanted: Any) -> Table:
        """The rows that hold the wanted values."""
        mask = np.ones(len(self), bool)
        for name, value in wanted.items():
            column = self[name]
            mask &= column == (str(value) if column.dtype.kind == "U" else float(value))
        return Table({name: column[mask] for name, column in self.columns.items()})

    def row(self, **wanted: Any) -> Row:
        """The only row that holds the wanted values.

        Raises
        ------
        ValueError
            If another number of rows holds them.
        """
        matching = self.where(**wanted).rows()
        if len(matching) != 1:
            raise ValueError(f"the table must have one row with {wanted}, got {len(matching)}")
        return matching[0]

    def distinct(self, *names: str) -> list[Any]:
        """The different values of a column, or tuples of several columns, in the order of their first rows."""
        lists = [self[name].tolist() for name in names]
        return list(dict.fromkeys(lists[0] if len(names) == 1 else zip(*lists)))

    def groups(self, *names: str) -> dict[Any, Table]:
        """The rows of each of these distinct values."""
        keys = self.distinct(*names)
        return {key: self.where(**dict(zip(names, (key,) if len(names) == 1 else key))) for key in keys}

    def mean(self, name: str, **wanted: Any) -> float:
        return float(self.where(**wanted)[name].mean())

    def by_seed(self, name: str) -> np.ndarray:
        """The values of a column, shape (seeds, rows of each seed)."""
        return np.array([self.where(seed=seed)[name] for seed in self.distinct("seed")])


@dataclass
class Tables:
    """The tables of one run of an experiment."""

    tables: dict[str, Table]  # by name, which is that of the CSV file
    sizes: SimpleNamespace  # the experiment's `Sizes` of the run's preset
    data: str = "MNIST"  # or "make_digits"
    results: list[Any] = field(default_factory=list)  # what each job measured; empty for committed tables

    def __getitem__(self, name: str) -> Table:
        return self.tables[name]


def committed(name: str) -> Table:
    """A committed table, such as "drop_in/drop_in.csv"."""
    return Table.read(RESULTS / name)


def committed_tables(experiment: Any) -> Tables:
    """All committed tables of the full run of an experiment's module."""
    folder = RESULTS / experiment.__name__.rpartition(".")[2]
    tables = {path.stem: Table.read(path) for path in sorted(folder.glob("*.csv"))}
    return Tables(tables, experiment.SIZES["full"])


def _cell(value: Any) -> str:
    """A number that is not known is an empty cell."""
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value)


def _column(name: str, cells: Iterable[str]) -> np.ndarray:
    cells = list(cells)
    if name not in TEXT_COLUMNS:
        for convert in (int, float):
            try:
                return np.array([convert(cell) if cell or convert is int else math.nan for cell in cells])
            except ValueError:
                pass
    return np.array(cells, dtype=str)
