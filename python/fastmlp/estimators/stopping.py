"""scikit-learn's rules for the end of a stochastic fit: no improvement, early stopping, the adaptive learning rate."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..history import EpochInfo
from .solver_state import SolverState


class StoppingRule:
    """A part of the estimators: counts epochs without improvement, and keeps the best weights."""

    early_stopping: bool
    stopping_metric: str
    tol: float
    n_iter_no_change: float
    verbose: bool | int
    loss_: float
    best_loss_: float | None
    best_validation_score_: float | None
    _optimizer: SolverState

    def _start_stopping(self, parameters: tuple[list[np.ndarray], list[np.ndarray]]) -> None:
        """Before the first epoch of a model with these weights and biases."""
        self._no_improvement_count = 0
        self._metric_of_best = ""  # of early stopping; its best value, and in this call the parameters that had it
        self._best_value = -math.inf
        self._best = tuple([p.copy() for p in arrays] for arrays in parameters) if self.early_stopping else None
        self.best_loss_ = None if self.early_stopping else math.inf
        self.best_validation_score_ = -math.inf if self.early_stopping else None

    def _continue_stopping(self) -> None:
        """Before the epochs of each call: values of another metric are on another scale."""
        if self.early_stopping and self._metric_of_best != self.stopping_metric:
            self._metric_of_best, self._best_value = self.stopping_metric, -math.inf

    def _ends_without_improvement(self, info: EpochInfo) -> bool:
        """The first callback of a fit."""
        if self._improved(info.metrics):
            network = self._optimizer.evaluated
            self._best = [w.copy() for w in network.weights], [b.copy() for b in network.biases]
        self._optimizer.end_epoch(self.t_)
        return self._no_improvement_count > self.n_iter_no_change and self._stops()

    def _improved(self, metrics: dict[str, float]) -> bool:
        """Counts epochs without improvement; returns whether early stopping should keep the weights as the best."""
        if not self.early_stopping:
            if self.best_loss_ is None:  # early_stopping was on when the model was new
                self.best_loss_ = math.inf
            has_improved = self.loss_ <= self.best_loss_ - self.tol
            self._no_improvement_count = 0 if has_improved else self._no_improvement_count + 1
            self.best_loss_ = min(self.best_loss_, self.loss_)
            return False
        if self.verbose:
            print(f"Validation score: {metrics['val_score']:f}")
        value = -metrics["val_loss"] if self.stopping_metric == "loss" else metrics["val_score"]
        self._no_improvement_count = self._no_improvement_count + 1 if value < self._best_value + self.tol else 0
        if value > self._best_value:
            self._best_value = value
            self.best_validation_score_ = metrics["val_score"]
            return True
        return False

    def _stops(self) -> bool:
        """After too many epochs without improvement; the adaptive rule continues with a fifth of the learning rate."""
        state = self._optimizer
        name = "Validation score" if self.early_stopping else "Training loss"
        message = f"{name} did not improve more than tol={self.tol:f} for {self.n_iter_no_change} consecutive epochs."
        stops = state.rule != "adaptive"
        if stops:
            message += " Stopping."
        elif state.learning_rate <= 1e-6:
            stops = True
            message += " Learning rate too small. Stopping."
        else:
            state.learning_rate /= 5.0
            self._no_improvement_count = 0
            message += f" Setting learning rate to {state.learning_rate:f}"
        if self.verbose:
            print(message)
        return stops

    def _best_parameters(self) -> Any:
        """The weights and biases that early stopping keeps, once per call; None to keep the last.

        A later call that does not improve keeps what it has trained, as in scikit-learn.
        """
        if not self.early_stopping:
            return None
        best, self._best = self._best, None
        return best
