"""The committed result tables, as the texts of README.md and docs/ read them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "experiments" / "results"

Rows = list[dict[str, str]]


def read(name: str, **wanted: str) -> Rows:
    """The rows of a table, such as "drop_in/drop_in.csv", that hold the wanted values."""
    with (RESULTS / name).open(newline="", encoding="utf-8") as file:
        return _matching(list(csv.DictReader(file)), wanted)


def row(name: str, **wanted: str) -> dict[str, str]:
    """The only row that holds the wanted values.

    Raises
    ------
    ValueError
        If another number of rows does: the text would be about something else than the table.
    """
    found = read(name, **wanted)
    if len(found) != 1:
        raise ValueError(f"{name} must have one row with {wanted}, got {len(found)}")
    return found[0]


def numbers(rows: Rows, column: str, **wanted: str) -> np.ndarray:
    return np.array([float(row[column]) for row in _matching(rows, wanted)])


def _matching(rows: Rows, wanted: dict[str, str]) -> Rows:
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def penalty_curve(counted: str, norm: str, strength: str) -> tuple[list[int], np.ndarray]:
    """The epochs of report_rule.csv, and the validation accuracy after each, the mean over the seeds."""
    rows = read("regularization/report_rule.csv", counted=counted, norm=norm, strength=strength)
    epochs = sorted({int(row["epoch"]) for row in rows})
    return epochs, np.array([numbers(rows, "val_accuracy", epoch=str(epoch)).mean() for epoch in epochs])
