"""The training of one network for tables: epochs with schedules, a score after each, the best epoch kept."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import _core, core_calls, schedules
from ..core_calls import Threads
from ..epoch_loop import EpochLoop
from ..errors import DivergenceError
from ..estimators.fit_tasks import FitTasks
from ..history import Callback, EpochInfo, History
from ..metrics import BY_WEIGHT
from ..progress import Progress
from ..schedules import Schedule
from .network import TabularNetwork


@dataclass(frozen=True)
class Factors:
    """What multiplies the settings of Adam for some parameters: the learning rate, the weight decay and epsilon."""

    learning_rate: float = 1.0
    weight_decay: float = 0.0
    epsilon: float = 1.0


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained.

    Attributes
    ----------
    epochs : int
    batch_size : int
        Of all rows if there are fewer.
    keeps_last_batch : bool
        Whether an epoch ends with the rows that are left, fewer than `batch_size`.
    learning_rate, weight_decay, dropout : float
    learning_rate_schedule, weight_decay_schedule, dropout_schedule : Schedule or None
    beta_1, beta_2, epsilon : float
        Of Adam, with PyTorch's epsilon.
    max_gradient_norm : float or None
    gradient_factor : float
        Multiplies the gradient of the mean loss, for losses that the original defines with another factor.
    factors : dict of str to Factors
        Of parameters by name.
    precision : {"bfloat16", "bfloat16_amx"} or None
        Of the products of hidden layers, as in `Trainer`.
    patience : int or None
        The training ends after one epoch more than these without a better score.
    last_best : bool
        Whether an epoch with an equal score replaces the best one.
    max_seconds : float or None
    seed : int
        Of the order of rows and of dropout.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    keeps_last_batch: bool = False
    weight_decay: float = 0.0
    dropout: float = 0.0
    learning_rate_schedule: Schedule | None = None
    weight_decay_schedule: Schedule | None = None
    dropout_schedule: Schedule | None = None
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    max_gradient_norm: float | None = None
    gradient_factor: float = 1.0
    factors: Mapping[str, Factors] = field(default_factory=dict)
    precision: str | None = None
    patience: int | None = None
    last_best: bool = True
    max_seconds: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What a training leaves beside the network.

    Attributes
    ----------
    history : History
    best_epoch : int
        Counted from 1, whose parameters the network has.
    best_score : float
        NaN without a score.
    """

    history: History
    best_epoch: int
    best_score: float


def new_trainer(network: TabularNetwork, settings: TrainingSettings) -> Any:
    """The core's trainer with these settings."""
    new = _core.TabularTrainerFloat32 if network.dtype == np.float32 else _core.TabularTrainerFloat64
    trainer = new(
        network.core,
        settings.beta_1,
        settings.beta_2,
        settings.epsilon,
        settings.weight_decay,
        settings.gradient_factor,
        settings.precision and getattr(_core.PairOrder, settings.precision),
    )
    for name, factors in settings.factors.items():
        trainer.set_factors(name, factors.learning_rate, factors.weight_decay, factors.epsilon)
    return trainer


def train(
    network: TabularNetwork,
    table: Any,
    settings: TrainingSettings,
    score: Callable[[], float] | None,
    score_name: str,
    threads: Threads,
    progress: Progress | None = None,
    epochs: int | None = None,
    tasks: FitTasks | None = None,
) -> Outcome:
    """Train the network; it has the parameters of its best epoch then, or of the last one without a score.

    Parameters
    ----------
    table
        A labelled table of `TabularNetwork.table`.
    score : callable or None
        The score of the network on validation rows, after an epoch; smaller is better.
    epochs : int, optional
        Ends after so many of the settings' epochs.
    tasks : FitTasks, optional
        Of scikit-learn's callbacks. They get the network that the training would leave if it ended there.

    Raises
    ------
    DivergenceError
        If the loss of an update, the score of an epoch or a weight is not finite.
    """
    trainer = new_trainer(network, settings)
    rng = np.random.default_rng(settings.seed)
    rows, size = table.rows, min(settings.batch_size, table.rows)
    used = rows if settings.keeps_last_batch else rows // size * size
    updates = -(-used // size)
    best_epoch, best_score, best = 0, math.inf, network

    def train_epoch(epoch: int) -> dict[str, float]:
        start = time.perf_counter()
        if tasks is not None:
            tasks.begin_epoch()
        progress_of_fit = (epoch - 1 + np.arange(updates) / updates) / settings.epochs
        schedule = _core.UpdateSchedule(
            schedules.factors(settings.learning_rate_schedule, progress_of_fit),
            schedules.factors(settings.weight_decay_schedule, progress_of_fit),
            schedules.factors(settings.dropout_schedule, progress_of_fit),
        )
        of_epoch = _core.UpdateSettings(
            settings.learning_rate,
            max_gradient_norm=settings.max_gradient_norm or 0.0,
            dropout=settings.dropout,
            dropout_seed=settings.seed,
            schedule=schedule,
        )
        plan = _core.EpochPlan(rng.permutation(rows)[:used], size)
        sums, position = _core.LossSum(), 0
        while position < used:
            position = trainer.run(table, plan, of_epoch, position, sums, threads(), core_calls.SECONDS_PER_CALL)
            if not math.isfinite(sums.loss):
                update = -(-position // size)
                raise _divergence(f"the loss is {sums.loss}", epoch, update, settings.learning_rate)
            if progress is not None:
                progress.part_done(epoch, position / used)
        return {"loss": sums.loss / used, "seconds": time.perf_counter() - start}

    def evaluate() -> dict[str, float]:
        nonlocal best_epoch, best_score, best
        if score is None:
            return {}
        try:
            now = score()
        except Exception as error:
            why = BY_WEIGHT if isinstance(error, TypeError) and "sample_weight" in str(error) else ""
            error.add_note(f"in validation_metric after epoch {loop.epoch + 1}{why}")
            raise
        if math.isnan(now):
            raise _divergence(f"the score {score_name} is nan", loop.epoch + 1, updates, settings.learning_rate)
        if best_epoch == 0 or now < best_score or (now == best_score and settings.last_best):
            best_epoch, best_score = loop.epoch + 1, now
            trainer.save_snapshot()
            best = network if tasks is None else copy(network)
        return {f"val_{score_name}": now, f"best_{score_name}": best_score}

    def ends(info: EpochInfo) -> bool:
        is_stale = settings.patience is not None and info.epoch - best_epoch > settings.patience
        return (score is not None and is_stale) or info.epoch == epochs

    callbacks: list[Callback] = [ends]
    if tasks is not None:
        callbacks.append(tasks.of_epochs(lambda: {"networks_": [copy(network) if score is None else best]}))
    loop = EpochLoop(
        network,
        settings.epochs,
        callbacks,
        evaluate=evaluate,
        divergence=None,
        record=History(),
        progress=progress,
        max_seconds=settings.max_seconds,
    )
    loop.run(train_epoch)
    if best_epoch:
        trainer.restore_snapshot()
    if not all(np.isfinite(array).all() for array in network.parameters.values()):
        raise _divergence("a weight is not finite", loop.epoch, updates, settings.learning_rate)
    return Outcome(loop.history, best_epoch or loop.epoch, best_score if best_epoch else math.nan)


def _divergence(what: str, epoch: int, update: int, learning_rate: float) -> DivergenceError:
    error = DivergenceError(
        f"{what} in epoch {epoch} at update {update} of the epoch, with lr={learning_rate:g}; the estimator is unchanged:"
        " fit it with a smaller lr or weight decay, or look at extreme values of y"
    )
    error.epoch, error.step, error.learning_rate = epoch, update, learning_rate
    return error
