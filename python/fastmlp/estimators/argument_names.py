"""The arguments of the estimators: how constructors keep them, and errors about unknown ones, which name a near one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from .. import validation

NAMES_ELSEWHERE = {
    "lr": "learning_rate_init",
    "eta": "learning_rate_init",
    "epochs": "max_iter",
    "n_epochs": "max_iter",
    "optimizer": "solver",
    "layer_sizes": "hidden_layer_sizes",
    "hidden_sizes": "hidden_layer_sizes",
    "betas": "beta_1",
    "eps": "epsilon",
    "seed": "random_state",
    "patience": "n_iter_no_change",
    "time_limit": "max_seconds",
    "validation_split": "validation_fraction",
    "val_fraction": "validation_fraction",
    "validation_data": "eval_set",
    "weights": "sample_weight",
    "learning_rate": "lr",
    "wd": "weight_decay",
    "p_drop": "dropout",
    "act": "activation",
    "objective": "loss",
    "quantiles": "loss_settings",
}
"""Names of a Trainer, of the tabular estimators and of other libraries, and those of scikit-learn."""

Function = TypeVar("Function", bound=Callable[..., Any])


def set_parameters(estimator: Any, arguments: dict[str, Any]) -> None:
    """Of a constructor, whose signature scikit-learn reads: each of its locals is an attribute."""
    vars(estimator).update({name: value for name, value in arguments.items() if name != "self"})


def _owner(kind: type, name: str) -> str:
    """The end of a message: whether the constructor, or `fit`, has the argument; empty if neither does."""
    parameters = inspect.signature(kind).parameters
    meant = name if name in parameters else NAMES_ELSEWHERE.get(name, "")
    if meant in parameters:
        return f"; {'it' if meant == name else meant} is a parameter of {kind.__name__}(...)"
    return "; it is an argument of fit" if name in inspect.signature(kind.fit).parameters else ""  # type: ignore[attr-defined]


def names_arguments(function: Function) -> Function:
    """A decorator of a method: the TypeError of an unknown keyword names the user's class and the nearest name."""
    names = list(inspect.signature(function).parameters)
    of_tables = {meant: theirs for theirs, meant in NAMES_ELSEWHERE.items() if theirs in names}
    near = {**of_tables, **{each: meant for each, meant in NAMES_ELSEWHERE.items() if meant in names}}

    @functools.wraps(function)
    def checked(self: Any, *arguments: Any, **keywords: Any) -> Any:
        for name in keywords:
            if name not in names:
                title = type(self).__name__ + ("" if function.__name__ == "__init__" else f".{function.__name__}")
                hint = f"; did you mean {near[name]!r}?" if name in near else _owner(type(self), name)
                hint = hint or validation.suggestion(name, names)
                raise TypeError(f"{title}() got an unexpected keyword argument {name!r}{hint}")
        return function(self, *arguments, **keywords)

    return checked  # type: ignore[return-value]
