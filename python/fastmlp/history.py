"""What fits and evaluations report: metrics, the history of the epochs, and what callbacks get."""

from __future__ import annotations

import io
import math
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from . import history_figure

OLD_NAMES = {"validation_loss": "val_loss", "validation_score": "val_score"}
"""Of estimators in version 0.1."""


class Evaluation(NamedTuple):
    """What `Network.evaluate` returns.

    Attributes
    ----------
    loss : float
        The mean data loss over the rows, weighted by `sample_weight` if that is given.
    accuracy : float
        The (weighted) share of rows whose most probable class is their label, or, for ``binary_cross_entropy``, of rows
        with each output on the same side of 1/2 as its target; NaN for other losses.
    """

    loss: float
    accuracy: float


class Gradients(NamedTuple):
    """What `Network.loss_and_gradients` returns.

    Attributes
    ----------
    loss : float
        The mean data loss over the rows.
    penalty : float
        ``l1 * sum|w| + l2/2 * sum(w**2)`` over the weights.
    weights, biases : list of array
        The gradients of ``loss + penalty``, shapes of `Network.weights` and `Network.biases`.
    """

    loss: float
    penalty: float
    weights: list[np.ndarray]
    biases: list[np.ndarray]


class _Ending:
    """What a history holds beside its lists."""

    __slots__ = ("out_of_time",)

    out_of_time: bool


@dataclass(repr=False)
class History(_Ending):
    """The metrics of each epoch of a fit: lists with one entry per epoch, or empty where there is no such metric.

    In a history of several fits, an entry is NaN in the epochs of a fit that did not measure it.

    Attributes
    ----------
    loss : list of float
        The mean data loss over the epoch's rows. The loss of each mini-batch is measured just before its update, so this
        is not the loss of the network after the epoch. With sample_weight, the loss of a mini-batch is its weighted mean,
        and mini-batches count by their rows; `val_loss` and `Network.evaluate` are weighted means over all rows.
    penalty : list of float
        ``l1 * sum|w| + l2/2 * sum(w**2)`` after the epoch; in estimators the mean over the epoch's mini-batches, before
        their updates.
    accuracy : list of float
        The share of rows classified right, measured like `loss`; for the cross-entropies.
    val_loss, val_accuracy : list of float
        On the validation data, after the epoch; empty without them.
    seconds : list of float
        Wall-clock time of the epoch's training, without its validation and callbacks.
    out_of_time : bool
        Whether the last fit ended before its last epoch because of its `max_seconds`. Checkpoints do not hold it.

    Notes
    -----
    Validation data under other names add ``<name>_loss`` and ``<name>_accuracy``; estimators add ``val_score``. A
    `schedule` adds ``learning_rate``, that of the epoch's last update; a callback that changes the rate does not.
    ``history["loss"]`` is ``history.loss``.

    Examples
    --------
    >>> import fastmlp
    >>> fastmlp.History(loss=[0.9, 0.5], seconds=[0.1, 0.1])
    History(2 epochs in 0.2 seconds, last: loss 0.5)
    """

    loss: list[float] = field(default_factory=list)
    penalty: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    val_accuracy: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.out_of_time = False

    def append(self, metrics: dict[str, float]) -> None:
        """Add one epoch; metrics without a loss that the last epoch lacks are added to that one."""
        added = {name: [value] for name, value in metrics.items()}
        epochs, measured = self._epochs(), [vars(self).get(name, []) for name in metrics]
        if "loss" in metrics or not epochs or any(len(own) == epochs and not math.isnan(own[-1]) for own in measured):
            self._add(added)
            return
        for name in added:
            self._add_at(self._epochs() - 1, name, added[name])

    def _add(self, entries: Mapping[str, Sequence[float]]) -> None:
        """More epochs. What only these, or only those before have measured, is NaN elsewhere."""
        before, count = self._epochs(), max(map(len, entries.values()), default=0)
        for name in {**entries, **dict.fromkeys(self)}:
            self._add_at(before, name, entries.get(name, [math.nan] * count))

    def _add_at(self, before: int, name: str, values: Sequence[float]) -> None:
        own = vars(self).setdefault(name, [])
        own[before:] = [*[math.nan] * (before - len(own)), *values]

    def _epochs(self) -> int:
        return max(map(len, vars(self).values()))

    def keys(self) -> list[str]:
        """The names of the metrics that have entries."""
        return [name for name, values in vars(self).items() if values]

    def __getitem__(self, name: str) -> list[float]:
        if name in OLD_NAMES and name not in self.keys():
            warnings.warn(f"history[{name!r}] is now {OLD_NAMES[name]!r}", DeprecationWarning, stacklevel=2)
            name = OLD_NAMES[name]
        if name not in self.keys():
            raise KeyError(f"{name!r} is not in the history, which has {', '.join(self.keys())}")
        return vars(self)[name]

    def __contains__(self, name: object) -> bool:
        return name in self.keys()

    def __iter__(self) -> Any:
        return iter(self.keys())

    def copy(self) -> History:
        """A history of its own with the same entries."""
        history = History().extend(self)
        history.out_of_time = self.out_of_time
        return history

    def extend(self, other: History) -> History:
        """Add the epochs of another history; returns this one."""
        self._add({name: other[name] for name in other})
        return self

    def to_frame(self) -> Any:
        """The history as a pandas DataFrame: one row per epoch, indexed from 1.

        Raises
        ------
        ImportError
            Without pandas.
        """
        try:
            import pandas
        except ModuleNotFoundError:
            raise ImportError("History.to_frame needs pandas: pip install pandas") from None
        columns = {name: pandas.Series(self[name], range(1, len(self[name]) + 1)) for name in self}
        return pandas.DataFrame(columns).rename_axis("epoch")

    def plot(self) -> Any:
        """Draw the losses, and the accuracies or scores, over the epochs.

        A notebook shows this figure if the last line of a cell is a history.

        Returns
        -------
        matplotlib Figure
            ``figure.savefig(path)`` writes it. For one metric on axes of yours: `plotting.LearningCurveDisplay`.

        Raises
        ------
        ImportError
            Without matplotlib.
        ValueError
            If there is no epoch.
        """
        return history_figure.figure(self)

    def _repr_png_(self) -> bytes | None:
        """What a notebook shows; None, for the text, without matplotlib or epochs."""
        buffer = io.BytesIO()
        try:
            self.plot().savefig(buffer, format="png")
        except (ImportError, ValueError):
            return None
        return buffer.getvalue()

    def __repr__(self) -> str:
        epochs = self._epochs()
        measured = [name for name in self if name != "seconds" and not math.isnan(self[name][-1])]
        last = ", ".join(f"{name} {self[name][-1]:.4g}" for name in measured)
        time = f" in {sum(self.seconds):.4g} seconds" if self.seconds else ""
        end = ", out of time" * self.out_of_time
        return f"History({epochs} epoch{'s' * (epochs != 1)}{time}{', last: ' * bool(last)}{last}{end})"


@dataclass(frozen=True)
class EpochInfo:
    """What a callback gets after each epoch, or each iteration of L-BFGS.

    Attributes
    ----------
    epoch : int >= 0
        Number of epochs finished in this fit; 0 in ``begin_fit`` of a callback.
    epochs : int
        Number of epochs passed to the fit.
    metrics : dict of str to float
        This epoch's entries of `History`.
    network : Network
        The network with the weights after this epoch; in a fit of an estimator with `average_decay`, with their mean.
    trainer : Trainer or None
        The trainer, whose settings may be changed for the next epoch; None in fits of estimators and of `fit_lbfgs`.
    history : History
        All epochs so far, those of earlier fits of the same trainer or estimator included. Do not change it.
    optimizer : object or None
        Its attribute `learning_rate` is that of the next epoch, before the factor of a `schedule`, and may be set; None in
        fits by L-BFGS.
    begin : int
        Number of epochs in `history` before this fit. The first fit of a resumed trainer counts as the fit that the
        checkpoint was written in.
    """

    epoch: int
    epochs: int
    metrics: dict[str, float]
    network: Any
    trainer: Any = None
    history: History = field(default_factory=History)
    optimizer: Any = None
    begin: int = 0

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint of the trainer, or, in fits without a trainer, a model file of the network."""
        (self.network if self.trainer is None else self.trainer).save(path)


Callback = Callable[[EpochInfo], "bool | None"]
