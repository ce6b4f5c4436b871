"""What a stochastic solver keeps between epochs and calls of partial_fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import core_calls, optimizers, validation
from ..network import Network
from ..trainer_state import running_mean

SCIKIT_LEARN_NAMES = {"nesterov": "nesterovs_momentum"}
"""scikit-learn's names of the settings that a Trainer has under another one."""


class SolverState:
    """A network, the core's trainer of it, and the learning rate.

    Its settings are those of the first call: setting parameters of the estimator between calls of partial_fit does not
    change them, as in scikit-learn.

    Attributes
    ----------
    learning_rate : float
        Of the next epoch.
    dropout_seed : int
        Of the masks of dropout.
    """

    def __init__(self, network: Network, parameters: dict[str, Any], dropout_seed: int) -> None:
        self.network, self.dropout_seed = network, dropout_seed
        self.learning_rate = self._initial_rate = float(parameters["learning_rate_init"])
        row = optimizers.TABLE[parameters["solver"]]
        self.rule = parameters["learning_rate"] if row.follows_schedules else "constant"
        self._power_t = parameters["power_t"]
        self._kind, self._settings = _update_rule(parameters, network.dtype)
        layers, factors = len(network.layer_sizes) - 1, parameters["learning_rate_factors"]
        factors = None if factors is None else optimizers.check_rate_factors(factors, layers)
        precision = validation.check_precision(parameters["precision"], "X", network.dtype)
        self._settings |= optimizers.besides(parameters["average_decay"], factors, layers, precision)
        self.core = core_calls.new_core_trainer(network, self._kind, self._settings)
        self._mean: Network | None = None

    @property
    def learning_rate(self) -> float:
        return self._rate

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:  # by callbacks, too
        self._rate = validation.check_number("learning_rate", rate, above=0, dtype=self.network.dtype)

    @property
    def evaluated(self) -> Network:
        """The network that predicts: with `average_decay` one that each call gives the running mean of the parameters."""
        if self.average_decay is None:
            return self.network
        now = running_mean(self.core, self.network)
        if self._mean is None:
            self._mean = now
        else:
            self._mean.set_trusted(now.weights, now.biases)
        return self._mean

    @property
    def average_decay(self) -> float | None:
        return self._settings["average_decay"] or None

    def of_network(self, network: Network) -> SolverState:
        """The same state for another network with layers of the same sizes."""
        state = object.__new__(SolverState)
        state.__dict__ = {**self.__dict__, "network": network, "_mean": None}
        state.core = core_calls.new_core_trainer(network, self._kind, self._settings)
        state.core.set_optimizer_state(*self.core.optimizer_state())
        return state

    def end_epoch(self, rows_so_far: int) -> None:
        if self.rule == "invscaling":
            self._rate = self._initial_rate / (rows_so_far + 1) ** self._power_t

    def __getstate__(self) -> dict[str, Any]:
        attributes = {name: value for name, value in self.__dict__.items() if name != "core"}
        return {**attributes, "optimizer state": self.core.optimizer_state()}

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        optimizer_state = attributes.pop("optimizer state")
        self.__dict__.update(attributes)
        self.core = core_calls.new_core_trainer(self.network, self._kind, self._settings)
        self.core.set_optimizer_state(*optimizer_state)


def _update_rule(parameters: dict[str, Any], dtype: np.dtype) -> tuple[str, dict[str, Any]]:
    """The core's update rule for an estimator's parameters; scikit-learn's momentum may be 1, a Trainer's may not."""
    row = optimizers.TABLE[parameters["solver"]]
    settings = {
        name: parameters.get(SCIKIT_LEARN_NAMES.get(name, name), setting.default)
        for name, setting in row.settings.items()
    }
    for name, setting in row.settings.items():
        if name != "momentum":
            setting.check(name, settings[name], dtype)
    if not settings.get("momentum", True):
        settings["nesterov"] = False
    return row.kind(settings), settings
