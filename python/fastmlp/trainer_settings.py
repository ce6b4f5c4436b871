"""The settings of a Trainer: checked when they are set, in effect from the next epoch on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

from . import optimizers, validation

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


def _accumulate(trainer: Any, value: Any) -> int | str:
    if isinstance(value, str) and value != "epoch":
        raise ValueError(f"accumulate must be an integer >= 1 or 'epoch', got {value!r}")
    return value if isinstance(value, str) else validation.check_integer("accumulate", value, 1)


class TrainerSettings:
    """The part of `Trainer` that holds its settings."""

    __slots__ = ("values",)

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
    momentum = Setting[float]("As passed to the constructor.")
    nesterov = Setting[bool]("As passed to the constructor.")
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
        flags = {name: validation.check_flag(name, given.pop(name)) for name in ("proximal", "shuffle")}
        self.values = {"optimizer": optimizer}
        for name, value in given.items():
            setattr(self, name, value)
        defaults = {name: setting.default for name, setting in optimizers.SETTINGS.items()}
        self.values |= flags | defaults | optimizers.check_settings(optimizer, own, dtype)

    def resumable_settings(self) -> dict[str, Any]:
        """The settings that determine results, by the names of the constructor's arguments."""
        other = set(optimizers.SETTINGS) - set(optimizers.TABLE[self.optimizer].settings)
        return {name: value for name, value in self.values.items() if name not in ("n_threads", *other)}

    def optimizer_settings(self) -> dict[str, Any]:
        """The settings of the update rule."""
        return {name: self.values[name] for name in optimizers.TABLE[self.optimizer].settings}
