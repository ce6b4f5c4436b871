"""The twelve tables of the benchmark, and their rows for training, validation and test."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

VARIABLE = "FASTMLP_TABULAR"  # names the folder of the files <set>.csv.gz
CLASSIFICATION = ("adult", "bank", "electricity", "magic", "letter", "satimage")
REGRESSION = ("california", "diamonds", "elevators", "pol", "bike", "protein")
SETS = (*CLASSIFICATION, *REGRESSION)
TEST_SHARE, VALIDATION_SHARE = 0.2, 0.2  # of all rows; the others train


class Split(NamedTuple):
    """Numbers of rows, in the order in which a method gets them."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Problem:
    """What a method gets for one fit."""

    X: pd.DataFrame  # of training; text is of dtype category, with the categories of the whole table
    y: np.ndarray  # of training: int64 from 0 to classes - 1, or float64
    X_validation: pd.DataFrame
    y_validation: np.ndarray
    classes: int  # 0: regression
    seed: int
    threads: int

    @property
    def categorical(self) -> list[str]:
        return list(self.X.select_dtypes("category").columns)


def folder() -> Path | None:
    """Of the files; None if the environment does not name one."""
    path = Path(os.environ.get(VARIABLE, ""))
    return path if (path / f"{SETS[0]}.csv.gz").is_file() else None


def read(name: str, max_rows: int | None = None) -> tuple[pd.DataFrame, np.ndarray, int]:
    """Features, target and number of classes (0: regression) of some rows, by chance the same ones each time.

    Raises
    ------
    FileNotFoundError
        If the environment names no folder with the files.
    """
    import pandas as pd

    path = folder()
    if path is None:
        raise FileNotFoundError(f"{VARIABLE} must name the folder of {SETS[0]}.csv.gz and the other tables")
    table = pd.read_csv(path / f"{name}.csv.gz", keep_default_na=False, na_values=[""])
    target = table.pop("target")
    for column in table.select_dtypes(exclude="number"):
        table[column] = table[column].astype("category")
    y = target.astype("category").cat.codes if name in CLASSIFICATION else target
    y = y.to_numpy(np.int64 if name in CLASSIFICATION else np.float64)
    classes = int(y.max()) + 1 if name in CLASSIFICATION else 0
    if max_rows is not None and max_rows < len(table):
        rows = np.random.default_rng(0).permutation(len(table))[:max_rows]
        table, y = table.iloc[rows].reset_index(drop=True), y[rows]
    return table, y, classes


def split(y: np.ndarray, seed: int, stratified: bool) -> Split:
    """The split of a seed; stratified, each part has each class in the same share."""
    from sklearn.model_selection import train_test_split

    def part(rows: np.ndarray, share: float) -> list[np.ndarray]:
        return train_test_split(rows, test_size=share, random_state=seed, stratify=y[rows] if stratified else None)

    rest, test = part(np.arange(len(y)), TEST_SHARE)
    train, validation = part(rest, VALIDATION_SHARE / (1 - TEST_SHARE))
    return Split(train, validation, test)
