"""The settings of a Network, which cannot be changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .model_state import ModelSpec

IN_THEIR_PLACE = {
    "fit": "Trainer(network).fit(X, y, epochs)",
    "predict_proba": "forward(X)",
    "score": "evaluate(X, y)",
    "state_dict": "to_state_dict()",
    "load_state_dict": "Network.from_state_dict(state, ...)",
    "parameters": "weights and biases",
    "eval": "forward(X), which has no dropout",
    "train": "Trainer(network).fit(X, y, epochs)",
}
"""Attributes of the networks of other libraries, and what a `Network` has for them."""


class NetworkSettings:
    """The part of `Network` that shows its settings."""

    __slots__ = ("spec",)

    spec: ModelSpec  # what the network is, without its parameters

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Features, hidden widths, outputs."""
        return self.spec.layer_sizes

    @property
    def activation(self) -> str | tuple[str, ...]:
        """The name of the activation of all hidden layers; a tuple, one for each, where these or their settings differ."""
        return self.spec.activation

    @property
    def loss(self) -> str:
        """The name of the loss."""
        return self.spec.loss

    @property
    def activation_settings(self) -> Mapping[str, Any] | tuple[Mapping[str, Any], ...]:
        """A copy of the settings of the activation; a tuple, one for each hidden layer, if `activation` is one."""
        settings = self.spec.activation_settings
        return tuple(map(dict, settings)) if isinstance(settings, tuple) else dict(settings)

    @property
    def loss_settings(self) -> Mapping[str, Any]:
        """A copy of the settings of the loss."""
        return dict(self.spec.loss_settings)

    @property
    def dtype(self) -> np.dtype:
        """The type of parameters, computation and results."""
        return self.spec.dtype

    @property
    def input_scale(self) -> float:
        """The factor of the inputs."""
        return self.spec.input_scale

    @property
    def standardize(self) -> bool:
        """Whether the network standardizes its inputs, and its targets if they are real numbers, from its first fit on."""
        return self.spec.standardize

    @property
    def parameter_count(self) -> int:
        """The number of weights and biases."""
        return self.spec.parameter_count

    if not TYPE_CHECKING:  # type checkers know the attributes

        def __getattr__(self, name: str) -> Any:
            hint = f"; use {IN_THEIR_PLACE[name]}" if name in IN_THEIR_PLACE else ""
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{hint}")
