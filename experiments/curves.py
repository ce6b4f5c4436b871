"""Training curves of one configuration over several seeds: mean, spread, and when a level is reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from results import Record

METRICS = ("loss", "accuracy", "val_loss", "val_accuracy")


@dataclass(frozen=True)
class Curves:
    """Each array has shape (seeds, epochs).

    `loss` and `accuracy` are those of `fastmlp.History`: of the training rows as seen during the
    epoch; `val_loss` and `val_accuracy` are taken after it. `seconds`: training time since the start.
    """

    loss: np.ndarray
    accuracy: np.ndarray
    val_loss: np.ndarray
    val_accuracy: np.ndarray
    seconds: np.ndarray
    updates_per_epoch: int

    @classmethod
    def of(cls, records: Sequence[Record], updates_per_epoch: int) -> Curves:
        outcomes = {name: np.array([record["outcome"][name] for record in records]) for name in METRICS}
        seconds = np.array([record["measured"]["seconds"] for record in records]).cumsum(axis=1)
        return cls(**outcomes, seconds=seconds, updates_per_epoch=updates_per_epoch)

    @property
    def epochs(self) -> np.ndarray:
        return np.arange(1, self.loss.shape[1] + 1)

    @property
    def updates(self) -> np.ndarray:
        return self.epochs * self.updates_per_epoch

    @property
    def elapsed(self) -> np.ndarray:
        """Seconds since the start if every epoch took the median time of the quickest seed: what else the machine does is left out."""
        return self.epochs * np.median(np.diff(self.seconds, axis=1, prepend=0), axis=1).min()

    def mean(self, name: str) -> np.ndarray:
        return getattr(self, name).mean(axis=0)

    def after(self, name: str, epoch: int) -> np.ndarray:
        """The values of all seeds after this epoch (1 is the first), shape (seeds,)."""
        return getattr(self, name)[:, epoch - 1]

    def final(self, name: str) -> np.ndarray:
        return getattr(self, name)[:, -1]

    def first_epoch(self, name: str, level: float) -> int | None:
        """The first epoch whose mean over the seeds is at the level or better; None if there is none."""
        mean = self.mean(name)
        reached = mean <= level if name.endswith("loss") else mean >= level
        return int(reached.argmax()) + 1 if reached.any() else None
