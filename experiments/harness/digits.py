"""The images to learn: MNIST, or drawn digits and a notice where MNIST is not available."""

from typing import NamedTuple

import numpy as np
from fastmlp import DataFileError, datasets

STAND_IN_NOTICE = (
    "MNIST is not available on this machine, so these results come from a stand-in: digits drawn from fonts "
    "(fastmlp.datasets.make_digits). Their numbers cannot be compared with MNIST's."
)
INPUT_SCALE = 1 / 255  # of uint8 images
VALIDATION_SHARE = 10  # one training row in ten is held out

Pair = tuple[np.ndarray, np.ndarray]  # X: uint8, (rows, 784); y: (rows,)


class Split(NamedTuple):
    """The rows that nets learn from, and the sets that they are evaluated on."""

    name: str  # enters the configuration of jobs
    X: np.ndarray
    y: np.ndarray
    evaluation_sets: dict[str, Pair]


class Digits(NamedTuple):
    name: str  # "MNIST" or "make_digits"
    x_train: np.ndarray  # uint8, (training rows, 784)
    y_train: np.ndarray
    x_test: np.ndarray  # uint8, (test rows, 784)
    y_test: np.ndarray

    @property
    def held_out(self) -> Split:
        """Without one row in ten, set "val", by which choices are made."""
        kept = len(self.x_train) - len(self.x_train) // VALIDATION_SHARE
        sets = {"val": (self.x_train[kept:], self.y_train[kept:]), "test": (self.x_test, self.y_test)}
        return Split("nine rows in ten", self.x_train[:kept], self.y_train[:kept], sets)

    def first(self, rows: int) -> Split:
        """The first training rows; nothing is chosen."""
        return Split(f"{rows} rows", self.x_train[:rows], self.y_train[:rows], {"test": (self.x_test, self.y_test)})


def load_digits(train_rows: int, test_rows: int) -> Digits:
    """The first rows of MNIST, or as many drawn digits."""
    try:
        x_train, y_train, x_test, y_test = datasets.load_mnist()
    except DataFileError:
        return Digits("make_digits", *datasets.make_digits(train_rows, test_rows))
    return Digits("MNIST", x_train[:train_rows], y_train[:train_rows], x_test[:test_rows], y_test[:test_rows])
