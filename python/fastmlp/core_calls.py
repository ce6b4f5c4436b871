"""Calls of the core in slices: each returns after some milliseconds, so that Python can handle signals in between."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from . import _core, training_data
from .activations import Activation
from .history import Evaluation
from .model_state import Standardization
from .threads import default_thread_count
from .training_data import TrainingData

OPERATIONS_PER_CALL = 2e9
"""Of one native call that cannot stop half way: about 10 ms on one fast core."""

SECONDS_PER_CALL = 0.03
"""After which a native call that can stop and continue returns."""

Threads = Callable[[], int]
"""Called before each call of the core: the number of threads that a fit may use now."""


OnProgress = Callable[[float], None]
"""Called with the share of an epoch that is done."""


class LossNotFinite(Exception):
    """Ends an epoch in this update, counted from 1; after `last_good` updates the loss was finite. Not for users."""

    def __init__(self, loss: float, update: int, last_good: int) -> None:
        super().__init__(loss, update, last_good)
        self.loss, self.update, self.last_good = loss, update, last_good


def rows_per_call(core: Any) -> int:
    """How many rows go into one prediction or evaluation by the core's network."""
    return max(128, int(OPERATIONS_PER_CALL / core.forward_operations))


def evaluate(network: Any, data: TrainingData, n_threads: int) -> Evaluation:
    """The (weighted) mean loss, and the accuracy."""
    step, sums = network.rows_per_call, _core.LossSum()
    for begin in range(0, data.rows, step):
        network.core.evaluate(data.core, begin, min(begin + step, data.rows), sums, n_threads)
    return Evaluation(sums.loss / data.weight, sums.correct / data.weight if has_accuracy(network) else math.nan)


def core_activations(hidden: Sequence[tuple[Activation, Mapping[str, float]]]) -> list[tuple[Any, list[float]]]:
    """The activations of hidden layers, and their settings, as the core takes them."""
    return [(getattr(_core.Activation, row.name), list(settings.values())) for row, settings in hidden]


def forward_plain(
    weights: Any,
    biases: Any,
    hidden: Sequence[tuple[Activation, Mapping[str, float]]],
    loss: str,
    dtype: np.dtype,
    standardization: Standardization | None,
    X: Any,
    n_threads: int | None,
) -> np.ndarray | None:
    """`Network.forward` of these arrays, which are read where they are; None if a value of X is not finite."""
    X = training_data.check_input_array(X, len(weights[0]))
    threads = n_threads or default_thread_count()
    weights, biases = ([training_data.plain(array, dtype) for array in part] for part in (weights, biases))
    moments = None if standardization is None else (standardization.input_mean, standardization.input_std)
    call = (weights, biases, core_activations(hidden), getattr(_core.Loss, loss), moments, X)
    step, parts = max(1024, int(OPERATIONS_PER_CALL / 2 / sum(array.size for array in weights))), []
    for begin in range(0, len(X), step):
        parts.append(_core.forward_plain(*call, begin, min(begin + step, len(X)), threads))
        if parts[-1] is None:
            return None
    outputs = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return outputs if standardization is None else standardization.in_units_of_targets(outputs)


def has_accuracy(network: Any) -> bool:
    return network.spec.loss_row.decision is not None


def penalty(network: Any, l1: float, l2: float) -> float:
    """``l1 * sum|w| + l2/2 * sum(w**2)`` over the weights."""
    if not (l1 or l2):
        return 0.0
    absolute, squares = network.core.weight_norms()
    return l1 * absolute + l2 / 2 * squares


def new_core_trainer(network: Any, kind: str, settings: dict[str, Any] | None = None) -> Any:
    """The core's trainer of a network, with the state of this update rule."""
    core_type = _core.TrainerFloat32 if network.dtype == np.float32 else _core.TrainerFloat64
    return core_type(network.core, getattr(_core.UpdateKind, kind), **(settings or {}))


def train(
    core: Any,
    data: TrainingData,
    order: np.ndarray,
    batch_size: int,
    accumulate: int,
    settings: _core.UpdateSettings,
    threads: Threads,
    on_progress: OnProgress = lambda share: None,
    stops_at_divergence: bool = True,
) -> _core.LossSum:
    """Train the core's trainer once on the rows that `order`, int64, names; LossNotFinite stops at a divergence.

    After each call of the core, `on_progress` gets the share of the rows that is done.
    """
    rows, rows_of_update = len(order), batch_size * accumulate
    plan = _core.EpochPlan(order, batch_size, accumulate)
    sums, position = _core.LossSum(), 0
    while position < rows:
        position = core.run(data.core, plan, settings, position, sums, threads(), SECONDS_PER_CALL)
        if stops_at_divergence and not math.isfinite(sums.loss):
            update = -(-position // rows_of_update)
            raise LossNotFinite(sums.loss, update, update - 2)  # it shows in the update after the one that caused it
        on_progress(position / rows)
    return sums


def sum_gradients(core: Any, data: TrainingData, threads: Threads) -> float:
    """The mean loss over all rows; its gradients are then in the core's trainer."""
    plan = _core.EpochPlan(data.rows, data.rows)
    sums, position = _core.LossSum(), 0
    while position < data.rows:
        position = core.sum_gradients(data.core, plan, position, sums, threads(), SECONDS_PER_CALL)
    return sums.loss / data.rows


def train_or_go_back(
    core: Any,
    network: Any,
    updates: int,
    train_updates: Callable[[int], Any],
    divergence: Callable[[str, int], Exception],
) -> Any:
    """Train for so many updates. If the loss or a weight becomes NaN or infinite, restore the last finite weights.

    train_updates(n) makes the first n of the updates and returns their sums, or raises LossNotFinite;
    divergence(what, update) makes the error to raise.
    """

    def go_back_to(good_updates: int) -> None:
        core.restore_snapshot()
        try:
            if good_updates > 0:
                train_updates(good_updates)
        except LossNotFinite:  # another thread has changed the data meanwhile
            core.restore_snapshot()
        if not network.core.is_finite():
            core.restore_snapshot()

    core.save_snapshot()
    try:
        sums = train_updates(updates)
    except LossNotFinite as failure:
        go_back_to(failure.last_good)
        raise divergence(f"the loss is {failure.loss}", failure.update) from None
    if not network.core.is_finite():
        go_back_to(updates - 1)
        raise divergence("the weights are not finite", updates)
    return sums
