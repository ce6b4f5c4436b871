"""The optimizers: one row each, with their settings and the core's update rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._core import PairOrder
from .validation import Flag, Number, Setting, check_number, shown


def _kind_of_sgd(settings: Mapping[str, Any]) -> str:
    if settings["nesterov"] and not settings["momentum"]:
        raise ValueError("nesterov=True needs a momentum above 0, got momentum=0")
    return "momentum" if settings["momentum"] else "sgd"


@dataclass(frozen=True)
class Optimizer:
    """What one optimizer needs outside the core; its update rules are in cpp/kernels/updates.h.

    Attributes
    ----------
    name : str
        As in `Trainer` and in checkpoints.
    settings : mapping of str to Setting
        By their names in `Trainer`, in checkpoints and in the core.
    kind : callable
        Gets the settings and returns the name of the core's update rule.
    learning_rate : float
        Its default, as in scikit-learn and PyTorch.
    follows_schedules : bool
        The estimators' `learning_rate` ("invscaling", "adaptive") applies, as in scikit-learn.
    """

    name: str
    settings: Mapping[str, Setting]
    kind: Callable[[Mapping[str, Any]], str]
    learning_rate: float = 0.001
    follows_schedules: bool = False


_ADAM = {
    "beta_1": Number(0.9, minimum=0, below=1),
    "beta_2": Number(0.999, minimum=0, below=1),
    "epsilon": Number(1e-8, above=0),
}

TABLE = {
    row.name: row
    for row in (
        Optimizer(
            "sgd",
            {"momentum": Number(0.0, minimum=0, below=1), "nesterov": Flag(False)},
            _kind_of_sgd,
            learning_rate=0.1,
            follows_schedules=True,
        ),
        Optimizer("adam", _ADAM, lambda settings: "adam"),
        Optimizer("nadam", {**_ADAM, "momentum_decay": Number(0.004, minimum=0)}, lambda settings: "nadam"),
        Optimizer(
            "rmsprop",
            {"rho": Number(0.99, minimum=0, below=1), "epsilon": _ADAM["epsilon"]},
            lambda settings: "rmsprop",
            learning_rate=0.01,
        ),
        Optimizer("adamw", {**_ADAM, "weight_decay": Number(0.01, minimum=0)}, lambda settings: "adamw"),
    )
}

OPTIMIZERS = tuple(TABLE)
"""The names of the optimizers."""

SETTINGS = {name: setting for row in TABLE.values() for name, setting in row.settings.items()}
"""Every setting of an optimizer. Optimizers that share a name share its default and range, too."""


Factors = tuple[float, float] | Sequence[tuple[float, float]]
"""Of the learning rate: a pair (weights, biases), or one for each layer."""


def check_rate_factors(value: Any, layers: int) -> Factors:
    """``learning_rate_factors`` that are not None."""
    name = "learning_rate_factors"
    expected = f"{name} must be a pair (weights, biases), or a pair for each of the {layers} layers, got {value!r}"
    try:
        factors = tuple(tuple(each) if np.ndim(each) else each for each in value)
    except (TypeError, ValueError):
        raise TypeError(expected) from None
    pairs = factors if all(isinstance(each, tuple) for each in factors) else (factors,)
    if pairs is not factors and not isinstance(value, tuple):  # [0, 1] may be meant as factors of two layers
        raise ValueError(f"{expected}; a pair must be a tuple, factors of layers pairs such as [(0, 0), (1, 1)]")
    if len(pairs) not in (1 if pairs is not factors else layers, layers) or any(len(pair) != 2 for pair in pairs):
        raise ValueError(expected)
    checked = tuple((check_number(name, pair[0], minimum=0), check_number(name, pair[1], minimum=0)) for pair in pairs)
    return checked if pairs is factors else checked[0]


def besides(average_decay: float | None, factors: Factors | None, layers: int, precision: str | None) -> dict[str, Any]:
    """The settings of the core's trainer that belong to no optimizer."""
    of_layers: Any = factors or ()
    if of_layers and not isinstance(of_layers[0], tuple):
        of_layers = (of_layers,) * layers
    return {
        "average_decay": average_decay or 0.0,
        "rate_factors": list(of_layers),
        "bfloat16": precision and getattr(PairOrder, precision),
    }


def check_settings(optimizer: str, given: Mapping[str, Any], dtype: np.dtype) -> dict[str, Any]:
    """The settings of this optimizer, checked, with its defaults for None; those of others must be None."""
    row = TABLE[optimizer]
    for name, value in given.items():
        if name not in row.settings and value is not None:
            owners = " or ".join(repr(other.name) for other in TABLE.values() if name in other.settings)
            penalty = "; l2= is the penalty of all optimizers" if name == "weight_decay" else ""
            raise ValueError(
                f"{name} belongs to optimizer={owners}, got {name}={shown(value)} with {optimizer!r}{penalty}"
            )
    own = {
        name: setting.default if given[name] is None else setting.check(name, given[name], dtype)
        for name, setting in row.settings.items()
    }
    row.kind(own)
    return own
