"""The solvers of the estimators: epochs of mini-batches, and L-BFGS, with scikit-learn's messages and warnings."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .. import core_calls, epoch_loop, lbfgs, optimizers, schedules, validation
from .._core import LossSum, UpdateSchedule, UpdateSettings
from ..core_calls import Threads
from ..epoch_loop import EpochLoop
from ..errors import DivergenceError
from ..history import Callback, EpochInfo, History
from ..input_scales import warn_of_other_rows
from ..network import Network
from ..training_data import TrainingData
from .fit_tasks import FitTasks
from .scikit_learn import check_optimize_result
from .stopping import StoppingRule

NOT_FINITE = "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed: "
"""scikit-learn's message, before the details."""


@dataclass(frozen=True)
class HeldOut:
    """Rows that are evaluated after each epoch."""

    X: Any
    encoded: np.ndarray
    weights: np.ndarray | None
    with_loss: bool  # and not only their score
    data: TrainingData


OF_MINI_BATCHES = (
    "dropout",
    "input_dropout",
    "max_gradient_norm",
    "schedule",
    "weight_decay_schedule",
    "dropout_schedule",
    "average_decay",
    "learning_rate_factors",
    "precision",
)
"""Parameters that solver="lbfgs" does not have."""

OF_ONE_SOLVER = {"adamw": "weight_decay", "rmsprop": "rho", "nadam": "momentum_decay"}
"""Parameters beyond scikit-learn's that other solvers ignore."""

MIN_ROWS = 30
"""A standard deviation of so many rows is right up to an eighth, 1 / sqrt(2 * rows)."""


CURVES = ("loss_curve_", "validation_scores_", "validation_loss_curve_", "history_")


def copies_of_curves(estimator: Any) -> dict[str, Any]:
    """Of those that it has; a fit continues them."""
    return {name: getattr(estimator, name).copy() for name in CURVES if getattr(estimator, name, None) is not None}


class Solvers(StoppingRule):
    """The part of the estimators that trains a network on checked data."""

    def _checked_hidden_sizes(self) -> list[int]:
        hidden = self.hidden_layer_sizes
        hidden = list(hidden) if hasattr(hidden, "__iter__") else [hidden]
        if not all(isinstance(size, Integral) and not isinstance(size, bool) for size in hidden):
            raise TypeError(f"hidden_layer_sizes must hold integers, got {hidden}")
        if any(size <= 0 for size in hidden):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {hidden}.")
        return hidden

    def _check_additions(self, X: Any, eval_pair: Any, incremental: bool, is_member: bool) -> None:
        """Those that another parameter rules out, or leaves without effect, or that X needs."""
        for name in OF_MINI_BATCHES if self.solver == "lbfgs" else ():
            value = getattr(self, name)
            if value is not None and not (isinstance(value, Real) and value == 0):
                raise ValueError(f"{name} is for solvers with mini-batches, got solver='lbfgs'")
        if self.stopping_metric != "score" and not self.early_stopping:
            validation.warn(f"stopping_metric={self.stopping_metric!r} has no effect without early_stopping=True")
        if self.early_stopping and self.solver == "lbfgs":
            validation.warn("early_stopping=True has no effect with solver='lbfgs'")
        if self.ensemble_rows != "all" and self.n_ensemble == 1 and not is_member:
            validation.warn(f"ensemble_rows={self.ensemble_rows!r} has no effect with n_ensemble=1")
        if getattr(X, "dtype", None) == np.uint8 and not self.standardize and np.prod(X.shape) and X.max() > 127:
            validation.warn("X is uint8 with values above 127: pass X / 255, or standardize=True")
        if eval_pair is not None and not is_member and hasattr(eval_pair[0], "columns") == hasattr(X, "columns"):
            warn_of_other_rows(X, eval_pair[0], "eval_set")
        if self.l1 and self.average_decay is not None:
            validation.warn(
                "l1 leaves hardly a weight exactly zero with average_decay: the mean has former weights in it"
            )
        own = optimizers.TABLE[self.solver].settings if self.solver in optimizers.TABLE else {}
        if self.l1 and "momentum" in own and self.momentum == 1:
            raise ValueError(f"l1={self.l1} needs a momentum below 1, got momentum={self.momentum}")
        for solver, name in OF_ONE_SOLVER.items():
            if name not in own and getattr(self, name) != optimizers.TABLE[solver].settings[name].default:
                validation.warn(f"{name} has no effect with solver={self.solver!r}; it is for {solver!r}")
        rows = X.shape[0] if hasattr(X, "shape") else len(X) if hasattr(X, "__len__") else MIN_ROWS
        if incremental and self.standardize and not hasattr(self, "coefs_") and rows < MIN_ROWS:
            validation.warn(
                f"the first call of partial_fit has {rows} rows, and standardize=True keeps their means and standard"
                " deviations: begin with more rows"
            )
        for name in ("schedule", "weight_decay_schedule", "dropout_schedule"):
            if getattr(self, name) is not None and incremental:
                raise ValueError(f"partial_fit does not support {name}: it sees no end of the training")
        if self.average_decay is not None and incremental:
            raise ValueError("partial_fit does not support average_decay: the next call would train the mean")
        if self.weight_decay_schedule is not None and "weight_decay" not in optimizers.TABLE[self.solver].settings:
            raise ValueError(f"weight_decay_schedule needs a solver with weight_decay, got {self.solver!r}")
        schedules.warn_without_dropout(self, len(self._checked_hidden_sizes()))

    def network_of_this_moment(self) -> Network:
        """What predicts in callbacks of a fit."""
        return self.network_in_training if self.solver == "lbfgs" else self._optimizer.evaluated

    def attributes_of_this_moment(self) -> dict[str, Any]:
        """Those that the estimator would have if the fit ended now."""
        self.take_parameters(self.network_of_this_moment())
        of_the_fit = ("network_in_training", "_optimizer")
        now = {name: value for name, value in vars(self).items() if name not in of_the_fit}
        return now | copies_of_curves(self)

    def _fit_stochastic(
        self,
        network: Network,
        data: TrainingData,
        rows: np.ndarray,
        held_out: HeldOut | None,
        callbacks: list[Callback],
        tasks: FitTasks,
        incremental: bool,
        threads: Threads,
    ) -> None:
        batch_size = min(200, len(rows)) if self.batch_size == "auto" else self.batch_size
        if batch_size > len(rows):
            _warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped")
            batch_size = len(rows)
        self._continue_stopping()
        self.n_iter_ = 0

        def train_epoch(epoch: int) -> dict[str, float]:
            nonlocal rows
            tasks.begin_epoch()
            if self.shuffle:
                permutation = np.arange(len(rows))
                self._random_state.shuffle(permutation)
                rows = rows[permutation]
            return self._train_epoch(network, data, rows, int(batch_size), threads, epoch)

        def divergence(what: str) -> DivergenceError:
            return self._divergence(what, loop.epoch, -(-len(rows) // int(batch_size)))

        loop = EpochLoop(
            self._optimizer.evaluated,
            1 if incremental else self.max_iter,
            [self._record, self._ends_without_improvement, *callbacks],
            evaluate=lambda: self._evaluate(self._optimizer.evaluated, held_out, threads()),
            divergence=None if self.early_stopping else divergence,
            record=self._history(),
            optimizer=self._optimizer,
            max_seconds=self.max_seconds,
        )
        try:
            ends_early = loop.run(train_epoch)
            self._report_end(loop)
            if not ends_early and not incremental and self.schedule is None:  # its end is that of the fit
                _warn(
                    f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization"
                    " hasn't converged yet.",
                    ConvergenceWarning,
                )
        except KeyboardInterrupt:
            _warn("Training interrupted by user.")
        finally:
            self.take_parameters(self._optimizer.evaluated)
        best = self._best_parameters()
        if best is not None:
            self.coefs_, self.intercepts_ = best

    def _history(self) -> History:
        return self.__dict__.setdefault("history_", History())  # parameters that were set by hand have none yet

    def _train_epoch(
        self, network: Network, data: TrainingData, rows: np.ndarray, batch_size: int, threads: Threads, epoch: int
    ) -> dict[str, float]:
        start = time.perf_counter()
        progress = (epoch - 1 + np.arange(0, len(rows), batch_size) / len(rows)) / self.max_iter
        settings = UpdateSettings(
            self._optimizer.learning_rate,
            self.l1,
            self.l2,
            self.alpha,
            proximal=True,
            measures_penalty=bool(self.alpha or self.l1 or self.l2),
            max_gradient_norm=self.max_gradient_norm or 0.0,
            dropout=self.dropout,
            input_dropout=self.input_dropout,
            dropout_seed=self._optimizer.dropout_seed,
            schedule=self._schedule_of_epoch(progress),
        )

        def train(updates: int, **more: bool) -> LossSum:
            first = rows[: updates * batch_size]
            return core_calls.train(self._optimizer.core, data, first, batch_size, 1, settings, threads, **more)

        updates = -(-len(rows) // batch_size)
        if self.early_stopping:  # as in scikit-learn, it keeps the best weights, and the last ones may be NaN
            sums = train(updates, stops_at_divergence=False)
        else:
            sums = core_calls.train_or_go_back(
                self._optimizer.core,
                network,
                updates,
                train,
                lambda what, update: self._divergence(what, epoch, update),
            )
        loss, penalty = sums.loss / len(rows) * self._loss_factor(network), sums.penalty / len(rows)
        self.t_ += len(rows)
        self.loss_curve_.append(self._end_iteration(loss, penalty))
        metrics = {"loss": loss, "penalty": penalty}
        if self.schedule is not None:
            factor = schedules.factors(schedules.check_schedule("schedule", self.schedule), progress[-1:])
            metrics["learning_rate"] = self._optimizer.learning_rate * float(factor[0])
        return metrics | {"seconds": time.perf_counter() - start}

    def _schedule_of_epoch(self, progress: np.ndarray) -> UpdateSchedule | None:
        kinds = {name: getattr(self, name) for name in ("schedule", "weight_decay_schedule", "dropout_schedule")}
        if not any(kinds.values()):
            return None
        checked = [schedules.check_schedule(name, given) for name, given in kinds.items()]
        return UpdateSchedule(*(schedules.factors(each, progress) for each in checked))

    def _end_iteration(self, loss: float, penalty: float) -> float:
        self.n_iter_ += 1
        self.loss_ = np.float64(loss + penalty)
        if self.verbose:
            print(f"Iteration {self.n_iter_}, loss = {self.loss_:.8f}")
        return self.loss_

    def _report_end(self, loop: EpochLoop) -> None:
        if self.verbose and loop.history.out_of_time:
            print(f"max_seconds={self.max_seconds:g} leave no time for another iteration. Stopping.")

    def _divergence(self, what: str, epoch: int, update: int) -> DivergenceError:
        return epoch_loop.divergence_error(what, epoch, update, self._optimizer.learning_rate, NOT_FINITE)

    def _fit_lbfgs(
        self,
        network: Network,
        data: TrainingData,
        held_out: HeldOut | None,
        callbacks: list[Callback],
        threads: Threads,
    ) -> None:
        self.n_iter_ = 0

        def end_iteration(info: EpochInfo) -> None:
            self._end_iteration(info.metrics["loss"], info.metrics["penalty"])
            self._record(info)

        loop = EpochLoop(
            network,
            self.max_iter,
            [end_iteration, *callbacks],
            evaluate=lambda: self._evaluate(network, held_out, threads()),
            divergence=lambda what: lbfgs.divergence_error(what, loop.epoch, NOT_FINITE),
            record=self._history(),
            max_seconds=self.max_seconds,
        )
        options = {"maxfun": self.max_fun, "maxiter": self.max_iter, "gtol": self.tol}
        l2 = self.l2 + self.alpha / data.weight
        try:
            factor = self._loss_factor(network)
            result = loop.with_hooks(lambda: lbfgs.minimize(network, data, self.l1, l2, factor, options, threads, loop))
            self._report_end(loop)
            if result is not None:
                self.n_iter_ = check_optimize_result("lbfgs", result, self.max_iter)
                self.loss_ = float(result.fun)
        except KeyboardInterrupt:
            _warn("Training interrupted by user.")
        finally:
            self.take_parameters(network)


def _warn(message: str, category: type[Warning] = UserWarning) -> None:
    """A warning that names the line outside this package that called fit."""
    warnings.warn(message, category, stacklevel=6)
