"""The settings of a Trainer: checked when they are set, in effect from the next epoch on."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

import numpy as np

from . import optimizers, schedules, validation
from ._core import UpdateSchedule, UpdateSettings
from .schedules import Schedule

T = TypeVar("T")


class Setting(Generic[T]):
    """A property that checks its value; without a check it is read-only."""

    def __init__(self, doc: str, check: Callable[[Any, Any], T] | None = None) -> None:
        self.__doc__ = doc
        self._check = check

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, trainer: None, owner: type) -> Setting[T]: ...
    @overload
    def __get__(self, trainer: Any, owner: type) -> T: ...
    def __get__(self, trainer: Any, owner: type) -> Any:
        return self if trainer is None else trainer.values[self._name]

    def __set__(self, trainer: Any, value: Any) -> None:
        if self._check is None:
            raise AttributeError(f"{self._name} cannot be changed; make a new Trainer")
        trainer.values[self._name] = self._check(trainer, value)


def _number(name: str, **bounds: float) -> Callable[[Any, Any], float]:
    return lambda trainer, value: validation.check_number(name, value, dtype=trainer.network.dtype, **bounds)


def _optional(check: Callable[[Any, Any], T]) -> Callable[[Any, Any], T | None]:
    return lambda trainer, value: None if value is None else check(trainer, value)


def _rate(name: str) -> Callable[[Any, Any], float]:
    return lambda trainer, value: validation.check_number(name, value, minimum=0, below=1)


def _schedule(name: str, of: str = "") -> Callable[[Any, Any], Schedule | None]:
    def check(trainer: Any, value: Any) -> Schedule | None:
        if value is not None and of and of not in optimizers.TABLE[trainer.optimizer].settings:
            raise ValueError(f"{name} needs an optimizer with {of}, got {trainer.optimizer!r}")
        return schedules.check_schedule(name, value)

    return check


def _accumulate(trainer: Any, value: Any) -> int | str:
    if isinstance(value, str) and value != "epoch":
        raise ValueError(f"accumulate must be an integer >= 1 or 'epoch', got {value!r}")
    return "epoch" if isinstance(value, str) else validation.check_integer("accumulate", value, 1)


FIXED: dict[str, Callable[[Any, Any], Any]] = {
    "proximal": lambda trainer, value: validation.check_flag("proximal", value),
    "shuffle": lambda trainer, value: validation.check_flag("shuffle", value),
    "average_decay": _optional(_number("average_decay", above=0, below=1)),
    "learning_rate_factors": _optional(
        lambda trainer, value: optimizers.check_rate_factors(value, len(trainer.network.layer_sizes) - 1)
    ),
    "precision": lambda trainer, value: validation.check_precision(value, "networks", trainer.network.dtype),
}
"""The checks of settings that cannot be changed."""

OPTIONAL = {
    "max_gradient_norm": None,
    "dropout": 0.0,
    "input_dropout": 0.0,
    "schedule": None,
    "weight_decay_schedule": None,
    "dropout_schedule": None,
    "average_decay": None,
    "learning_rate_factors": None,
    "precision": None,
}
"""Settings that a checkpoint holds only where they are in use, with their defaults."""


class TrainerSettings:
    """The part of `Trainer` that holds its settings."""

    __slots__ = ("values",)

    network: Any
    values: dict[str, Any]  # by name, the optimizer's own included

    optimizer = Setting[str]("The name of the update rule.")
    learning_rate = Setting[float](
        "The learning rate. May be changed between epochs, also by a callback.", _number("learning_rate", above=0)
    )
    batch_size = Setting[int](
        "Rows of a mini-batch. May be changed between epochs.",
        lambda trainer, value: validation.check_integer("batch_size", value, 1),
    )
    l1 = Setting[float]("Strength of the l1 penalty. May be changed between epochs.", _number("l1", minimum=0))
    l2 = Setting[float]("Strength of the l2 penalty. May be changed between epochs.", _number("l2", minimum=0))
    accumulate = Setting["int | str"]("Mini-batches per update. May be changed between epochs.", _accumulate)
    n_threads = Setting["int | None"](
        "Number of threads. May be changed between fits.", lambda trainer, value: validation.check_threads(value)
    )
    max_gradient_norm = Setting["float | None"](
        "The largest norm of the gradient, or None. May be changed between epochs.",
        _optional(_number("max_gradient_norm", above=0)),
    )
    dropout = Setting[float]("Of hidden units. May be changed between epochs.", _rate("dropout"))
    input_dropout = Setting[float]("Of inputs. May be changed between epochs.", _rate("input_dropout"))
    schedule = Setting["Schedule | None"](
        "The factor of the learning rate. May be changed between epochs.", _schedule("schedule")
    )
    weight_decay_schedule = Setting["Schedule | None"](
        "The factor of the weight decay. May be changed between epochs.",
        _schedule("weight_decay_schedule", "weight_decay"),
    )
    dropout_schedule = Setting["Schedule | None"](
        "The factor of both dropouts. May be changed between epochs.", _schedule("dropout_schedule")
    )
    average_decay = Setting["float | None"]("As passed to the constructor.")
    learning_rate_factors = Setting["Factors | None"]("As passed to the constructor.")
    precision = Setting["str | None"]("As passed to the constructor.")
    momentum = Setting[float]("As passed to the constructor.")
    nesterov = Setting[bool]("As passed to the constructor.")
    rho = Setting[float]("As passed to the constructor.")
    momentum_decay = Setting[float]("As passed to the constructor.")
    beta_1 = Setting[float]("As passed to the constructor.")
    beta_2 = Setting[float]("As passed to the constructor.")
    epsilon = Setting[float]("As passed to the constructor.")
    weight_decay = Setting[float]("As passed to the constructor.")
    proximal = Setting[bool]("As passed to the constructor.")
    shuffle = Setting[bool]("As passed to the constructor.")

    def _set_all(self, dtype: Any, given: dict[str, Any]) -> None:
        """The settings of a new trainer."""
        optimizer = validation.check_choice("optimizer", given.pop("optimizer"), optimizers.OPTIMIZERS)
        own = {name: given.pop(name) for name in optimizers.SETTINGS}
        fixed = {name: check(self, given.pop(name)) for name, check in FIXED.items()}
        if given["learning_rate"] is None:
            given["learning_rate"] = optimizers.TABLE[optimizer].learning_rate
        self.values = {"optimizer": optimizer}
        for name, value in given.items():
            setattr(self, name, value)
        defaults = {name: setting.default for name, setting in optimizers.SETTINGS.items()}
        self.values |= fixed | defaults | optimizers.check_settings(optimizer, own, dtype)
        schedules.warn_without_dropout(self, len(self.network.layer_sizes) - 2)

    def resumable_settings(self) -> dict[str, Any]:
        """The settings that determine results, by the constructor's names: for the package itself."""
        other = set(optimizers.SETTINGS) - set(optimizers.TABLE[self.optimizer].settings)
        unused = [name for name in OPTIONAL if self.values[name] == OPTIONAL[name]]
        return {name: value for name, value in self.values.items() if name not in ("n_threads", *other, *unused)}

    def optimizer_settings(self) -> dict[str, Any]:
        """The settings of the core's trainer: for the package itself."""
        own = {name: self.values[name] for name in optimizers.TABLE[self.optimizer].settings}
        layers = len(self.network.layer_sizes) - 1
        return own | optimizers.besides(self.average_decay, self.learning_rate_factors, layers, self.precision)

    def update_settings(self, progress: np.ndarray) -> UpdateSettings:
        """What the core needs for updates at these points of progress, shape (updates,): for the package itself."""
        kinds = (self.schedule, self.weight_decay_schedule, self.dropout_schedule)
        schedule = UpdateSchedule(*(schedules.factors(each, progress) for each in kinds)) if any(kinds) else None
        return UpdateSettings(
            self.learning_rate,
            self.l1,
            self.l2,
            proximal=self.proximal,
            max_gradient_norm=self.max_gradient_norm or 0.0,
            dropout=self.dropout,
            input_dropout=self.input_dropout,
            dropout_seed=self._dropout_seed(),
            schedule=schedule,
        )

    @abstractmethod
    def _dropout_seed(self) -> int:
        """Of all updates."""
