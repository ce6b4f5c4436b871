"""Checks of scalar arguments and of names. Messages quote both what was expected and what was found."""

from __future__ import annotations

import difflib
import functools
import inspect
import math
import numbers
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

MAX_THREADS = 1024
"""More than any machine has cores; a larger number is a mistake."""

PRECISIONS = ("bfloat16", "bfloat16_amx")
"""Of products, other than that of their operands."""

NAMES_ELSEWHERE = {
    "lr": "learning_rate",
    "eta": "learning_rate",
    "betas": "beta_1",
    "eps": "epsilon",
    "learning_rate_init": "learning_rate",
    "weight_decay": "l2",
    "alpha": "l2",
    "clipnorm": "max_gradient_norm",
    "clip_grad_norm": "max_gradient_norm",
    "label_smoothing": "loss_settings",
    "class_weight": "sample_weight",
    "max_grad_norm": "max_gradient_norm",
    "scheduler": "schedule",
    "lr_scheduler": "schedule",
    "dropout_rate": "dropout",
    "ema_decay": "average_decay",
    "quantiles": "level",
    "levels": "level",
    "n_epochs": "epochs",
    "max_iter": "epochs",
    "n_jobs": "n_threads",
    "num_threads": "n_threads",
    "random_state": "seed",
    "eval_set": "validation_data",
    "restore_best_weights": "restore_best",
    "monitor": "metric",
    "mode": "larger_is_better",
    "acc": "accuracy",
    "val_acc": "val_accuracy",
    "hidden_layer_sizes": "layer_sizes",
    "mse": "squared_error",
    "mean_squared_error": "squared_error",
    "crossentropy": "cross_entropy",
    "log_loss": "cross_entropy",
    "categorical_crossentropy": "cross_entropy",
    "sparse_categorical_crossentropy": "cross_entropy",
    "crossentropyloss": "cross_entropy",
    "bce": "binary_cross_entropy",
    "bceloss": "binary_cross_entropy",
    "bcewithlogitsloss": "binary_cross_entropy",
    "mseloss": "squared_error",
    "l1loss": "absolute_error",
    "mae": "absolute_error",
    "huberloss": "huber",
    "binary_crossentropy": "binary_cross_entropy",
    "sigmoid": "logistic",
    "swish": "silu",
    "linear": "identity",
}
"""Names that other libraries use, and ours."""

OWNERS = {
    "Network": ("layer_sizes", "activation", "loss", "dtype", "input_scale", "standardize", "loss_settings"),
    "Trainer": (
        "optimizer",
        "learning_rate",
        "batch_size",
        "momentum",
        "l1",
        "l2",
        "dropout",
        "schedule",
        "max_gradient_norm",
        "average_decay",
        "shuffle",
    ),
    "Trainer.fit": (
        "epochs",
        "validation_data",
        "validation_split",
        "callbacks",
        "metrics",
        "sample_weight",
        "verbose",
    ),
    "callbacks.EarlyStopping": ("patience", "restore_best"),
}
"""Where arguments belong that are looked for elsewhere."""

Function = TypeVar("Function", bound=Callable[..., Any])


def suggestion(name: str, names: Iterable[str]) -> str:
    """The end of an error message: which of the names may be meant; empty if none is near."""
    known = {each.lower(): each for each in names}
    meant = NAMES_ELSEWHERE.get(name.lower(), name.lower())
    near = [meant] if meant in known else difflib.get_close_matches(meant, known, 1, cutoff=0.75)
    return f"; did you mean {known[near[0]]!r}?" if near else ""


def owner_of(name: str, title: str) -> str:
    """The end of an error message about an unknown argument of `title`: where it belongs; empty if nowhere else.

    A distributed Trainer has the titles of `Trainer`, but not all arguments.
    """
    meant = NAMES_ELSEWHERE.get(name.lower(), name)
    owner = next((owner for owner, names in OWNERS.items() if meant in names), title)
    return "" if owner == title else f"; {meant} belongs to {owner}"


def shown(value: Any) -> str:
    """A value in a message: its repr, but of arrays and of long ones only what tells them apart."""
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"{type(value).__name__} of shape {shape}"
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:100]}..."


def checks_arguments(keyword_only_after: str | None = None) -> Callable[[Function], Function]:
    """A decorator: an unknown keyword raises a TypeError with the nearest name.

    Positional arguments after `keyword_only_after` are accepted with a DeprecationWarning.
    """

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        names = list(signature.parameters)
        is_closed = not any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
        limit = len(names) if keyword_only_after is None else names.index(keyword_only_after) + 1
        title = function.__qualname__.removesuffix(".__init__")

        @functools.wraps(function)
        def checked(*arguments: Any, **keywords: Any) -> Any:
            for name in keywords:
                if is_closed and name not in signature.parameters:
                    hint = suggestion(name, names) or owner_of(name, title)
                    raise TypeError(f"{title}() got an unexpected keyword argument {name!r}{hint}")
            if limit < len(arguments) <= len(names):
                late = ", ".join(names[limit : len(arguments)])
                warnings.warn(
                    f"{title}() takes {late} by keyword only from version 0.3 on", DeprecationWarning, stacklevel=2
                )
            return function(*arguments, **keywords)

        return checked  # type: ignore[return-value]

    return decorate


def check_choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """The one of the choices that equals the value, which may be of a subclass of str, such as an Enum."""
    expected = f"{name} must be one of {', '.join(map(repr, choices))}, got {shown(value)}"
    if not isinstance(value, str):
        raise TypeError(expected)
    if value not in choices:
        raise ValueError(expected + suggestion(value, choices))
    return choices[choices.index(value)]


def check_precision(value: Any, of: str, dtype: np.dtype) -> str | None:
    """The precision of products of `of`, which have this dtype; None: theirs."""
    if value is None:
        return None
    precision = check_choice("precision", value, PRECISIONS)
    if dtype != np.float32:
        raise ValueError(f"precision {precision!r} is for float32 {of}, got {dtype}")
    return precision


def check_integer(name: str, value: Any, minimum: int, maximum: int = 2**63 - 1) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {shown(value)}")
    if not minimum <= value <= maximum:
        upper = f" and at most {maximum}" if maximum < 2**63 - 1 or value > maximum else ""
        raise ValueError(f"{name} must be at least {minimum}{upper}, got {shown(value)}")
    return int(value)


def check_number(
    name: str,
    value: Any,
    above: float = -math.inf,
    minimum: float = -math.inf,
    below: float = math.inf,
    dtype: np.dtype | None = None,
) -> float:
    """A finite number > above, >= minimum and < below; with a dtype, also after rounding to it."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {shown(value)}")
    number = _as_float(value)
    with np.errstate(over="ignore", under="ignore"):
        rounded = number if dtype is None else float(dtype.type(number))
    is_valid = [math.isfinite(each) and above < each and minimum <= each < below for each in (number, rounded)]
    if not all(is_valid):
        bounds = [
            f"{sign} {bound:g}" for sign, bound in ((">", above), (">=", minimum), ("<", below)) if math.isfinite(bound)
        ]
        as_used = f", which {dtype} rounds to {rounded:g}" if is_valid[0] else ""
        raise ValueError(
            f"{name} must be a finite number {' and '.join(bounds)}".rstrip() + f", got {shown(value)}{as_used}"
        )
    return number


def check_scale(name: str, value: Any, dtype: np.dtype) -> float:
    """A finite number other than zero, of either sign."""
    scale = check_number(name, value, dtype=dtype)
    if float(dtype.type(scale)) == 0:
        raise ValueError(f"{name} must not be zero in {dtype}, got {shown(value)}")
    return scale


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        return math.inf


def check_pair(name: str, value: Any) -> tuple[Any, Any]:
    """(X, y), which may be in a list of one, as for XGBoost and LightGBM."""
    X, y = _arrays(name, value, "a pair (X, y)", 2)
    return X, y


def check_triple(name: str, value: Any) -> tuple[Any, Any, Any]:
    """(X, y, sample_weight) of such a triple or of a pair; sample_weight None for a pair. In a list of one, too."""
    arrays = _arrays(name, value, "a pair (X, y) or a triple (X, y, sample_weight)", 3)
    X, y, sample_weight = arrays if len(arrays) == 3 else (*arrays, None)
    return X, y, sample_weight


def _arrays(name: str, value: Any, expected: str, most: int) -> Any:
    given = value if isinstance(value, (tuple, list)) else []
    tuples = [each for each in given if isinstance(each, (tuple, list)) and each and hasattr(each[0], "shape")]
    if tuples and len(tuples) == len(given):
        if len(tuples) > 1:
            raise TypeError(f"{name} must be {expected}, got {len(tuples)} of them")
        (value,) = tuples
    if not isinstance(value, (tuple, list)) or not 2 <= len(value) <= most:
        kind = type(value).__name__
        found = f"a {kind} of {len(value)}" if isinstance(value, (tuple, list)) else kind
        raise TypeError(f"{name} must be {expected}, got {found}")
    return value


def check_flag(name: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


class Number(NamedTuple):
    """A setting of a part that is a finite number in a range; `check` as `check_number`."""

    default: float
    above: float = -math.inf
    minimum: float = -math.inf
    below: float = math.inf

    def check(self, name: str, value: Any, dtype: np.dtype) -> float:
        return check_number(name, value, self.above, self.minimum, self.below, dtype)


class Flag(NamedTuple):
    """A setting of a part that is True or False."""

    default: bool

    def check(self, name: str, value: Any, dtype: np.dtype) -> bool:
        return check_flag(name, value)


class Levels(NamedTuple):
    """A setting that is a number in (0, 1), or several ascending ones, each for an output of its own."""

    default: float

    def check(self, name: str, value: Any, dtype: np.dtype) -> float | tuple[float, ...]:
        if isinstance(value, str) or not isinstance(value, (Sequence, np.ndarray)):
            return check_number(name, value, above=0, below=1, dtype=dtype)
        levels = tuple(
            check_number(f"{name}[{i}]", each, above=0, below=1, dtype=dtype) for i, each in enumerate(value)
        )
        if not levels or any(b <= a for a, b in zip(levels, levels[1:])):
            raise ValueError(f"{name} must be a number or ascending numbers, got {shown(value)}")
        return levels[0] if len(levels) == 1 else levels


Setting = Number | Flag | Levels


def check_part_settings(name: str, part: Any, given: Any, dtype: np.dtype) -> dict[str, float]:
    """The settings of an activation or a loss (a row with a name and settings), those not given by their defaults."""
    if given is not None and not isinstance(given, Mapping):
        raise TypeError(f"{name} must be a dict, got {shown(given)}")
    given = given or {}
    for key in given:
        if key not in part.settings:
            known = f"may hold {', '.join(part.settings)}" if part.settings else "must be empty"
            raise ValueError(f"{name} of {part.name!r} {known}, got {key!r}{suggestion(key, part.settings)}")
    return {
        key: setting.check(f"{name}[{key!r}]", given.get(key, setting.default), dtype)
        for key, setting in part.settings.items()
    }


def check_max_seconds(max_seconds: Any) -> float | None:
    return None if max_seconds is None else check_number("max_seconds", max_seconds, above=0)


def check_seed(seed: Any) -> int:
    return check_integer("seed", seed, 0)


def check_threads(n_threads: Any) -> int | None:
    if getattr(n_threads, "shape", ()):
        raise TypeError(f"n_threads must be an integer, got {shown(n_threads)}: pass weights as sample_weight=")
    if isinstance(n_threads, numbers.Integral) and n_threads < 0:  # as joblib's n_jobs
        raise ValueError(f"n_threads must be at least 1, got {n_threads}: None lets fits use all cores")
    return None if n_threads is None else check_integer("n_threads", n_threads, 1, MAX_THREADS)


def check_dtype(dtype: Any) -> np.dtype:
    try:
        checked = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"dtype must be 'float32' or 'float64', got {dtype!r}") from None
    if checked not in (np.float32, np.float64):
        raise ValueError(f"dtype must be 'float32' or 'float64', got {checked.name!r}")
    return checked


def check_layer_sizes(layer_sizes: Any, dtype: np.dtype) -> tuple[int, ...]:
    if isinstance(layer_sizes, np.ndarray) and layer_sizes.ndim == 1:
        layer_sizes = tuple(layer_sizes)
    if isinstance(layer_sizes, (str, bytes)) or not isinstance(layer_sizes, Sequence):
        raise TypeError(f"layer_sizes must be a sequence of integers such as (784, 128, 10), got {shown(layer_sizes)}")
    if len(layer_sizes) < 2:
        raise ValueError(f"layer_sizes must have at least two entries (features, outputs), got {tuple(layer_sizes)!r}")
    sizes = tuple(check_integer(f"layer_sizes[{i}]", size, 1, 2**31 - 1) for i, size in enumerate(layer_sizes))
    # The weights, each row padded to a cache line, and for training their transposed copy.
    padded = sum(inputs * (outputs + 15) + outputs * (inputs + 15) for inputs, outputs in zip(sizes, sizes[1:]))
    needed, present = padded * dtype.itemsize, _physical_memory()
    if needed > present:
        raise MemoryError(f"layer_sizes {sizes} need {needed:.3g} bytes for weights, this machine has {present:.3g}")
    return sizes


def _physical_memory() -> float:
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # not every system reports it
        return math.inf


def check_callbacks(callbacks: Any) -> list[Callable[..., Any]]:
    """None: no callbacks."""
    callbacks = () if callbacks is None else callbacks
    if not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks must be an iterable of callables, got {shown(callbacks)}")
    checked = list(callbacks)
    for callback in checked:
        if isinstance(callback, type):
            name = callback.__name__
            raise TypeError(f"callbacks must be objects, got the class {name}: call it, {name}()")
        if not callable(callback):
            raise TypeError(f"callbacks must be callables, got {shown(callback)}")
    return checked


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """A warning that names the line outside this package."""
    depth, frame = 1, inspect.currentframe()
    while frame and frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == __package__:
        depth, frame = depth + 1, frame.f_back
    warnings.warn(message, category, stacklevel=depth)
