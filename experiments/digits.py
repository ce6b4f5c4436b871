"""The images to learn: MNIST, or its drawn stand-in with a plain notice where MNIST cannot be had."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from fastmlp import DataFileError, datasets

STAND_IN_NOTICE = (
    "MNIST could not be had on this machine, so these results come from a stand-in: digits drawn from fonts "
    "(fastmlp.datasets.make_digits). The questions are the same, the numbers cannot be compared with MNIST's."
)


VALIDATION_SHARE = 10  # one in ten training rows is kept for choices


class Digits(NamedTuple):
    name: str  # "MNIST" or "make_digits": part of every configuration
    notice: str  # empty for MNIST
    x_train: np.ndarray  # uint8, (train rows, 784)
    y_train: np.ndarray
    x_test: np.ndarray  # uint8, (test rows, 784)
    y_test: np.ndarray

    @property
    def is_mnist(self) -> bool:
        return self.name == "MNIST"

    @property
    def training(self) -> tuple[np.ndarray, np.ndarray]:
        """X and y without the rows that are kept for choices."""
        return self.x_train[: -self._kept], self.y_train[: -self._kept]

    @property
    def held_out(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """X and y to choose by, and to test the choice."""
        return {
            "val": (self.x_train[-self._kept :], self.y_train[-self._kept :]),
            "test": (self.x_test, self.y_test),
        }

    @property
    def _kept(self) -> int:
        return len(self.x_train) // VALIDATION_SHARE


def load_digits(train_rows: int, test_rows: int, say: Callable[[str], None]) -> Digits:
    """The first rows of MNIST, or as many drawn digits."""
    try:
        x_train, y_train, x_test, y_test = datasets.load_mnist()
    except DataFileError as reason:
        say(str(reason))
        say(STAND_IN_NOTICE)
        return Digits("make_digits", STAND_IN_NOTICE, *datasets.make_digits(train_rows, test_rows))
    return Digits("MNIST", "", x_train[:train_rows], y_train[:train_rows], x_test[:test_rows], y_test[:test_rows])
