"""Checkpoints: a trainer's state as a file and back. The layout is described in model_file.py."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from .. import optimizers, validation
from ..history import History
from ..model_state import ModelSpec, TrainerState
from ..schedules import Schedule
from ..trainer_settings import OPTIONAL
from . import model_file
from .model_file import Arrays, Fields, Path

NUMBERS = ("learning_rate", "l1", "l2")
FLAGS = ("proximal", "shuffle")

OTHERS = {
    "ensemble": ("an ensemble", "fastmlp.load"),
    "tabular": ("a tabular estimator", "fastmlp.tabular.load"),
}
"""What other files hold, by their content, and what reads it."""


def write_trainer(state: TrainerState, path: Path) -> None:
    """What `Trainer.save` does."""
    arrays = state.model.saved_arrays()
    for i, layer in enumerate(state.optimizer_arrays):
        arrays |= {f"optimizer.{i}.{k}": array for k, array in enumerate(layer)}
    arrays |= {f"history.{name}": np.array(state.history[name], np.float64) for name in state.history}
    rows = state.row_order
    rows = {**rows["state"], "has_uint32": rows["has_uint32"], "uinteger": rows["uinteger"]}
    metadata = (
        model_file.model_metadata(state.model.spec)
        | {f"trainer.{name}": _text(value) for name, value in state.settings.items()}
        | {f"rows.{name}": str(value) for name, value in rows.items()}
        | {"steps": str(state.updates), "fit_begin": str(state.fit_begin), "fit_end": str(state.fit_end)}
    )
    model_file.write(path, "checkpoint", arrays, metadata)


def _text(value: Any) -> str:
    if isinstance(value, Schedule):
        return value.to_text()
    if isinstance(value, tuple):  # of pairs of floats
        return json.dumps(value)
    if isinstance(value, (bool, np.bool_)):
        return str(int(value))
    return repr(value) if isinstance(value, float) else str(value)


def read_trainer(path: Path) -> tuple[TrainerState, Fields]:
    """The state in a checkpoint, and the file's fields, for errors."""
    arrays, metadata = model_file.read(path)
    fields = Fields(path, metadata)
    if metadata.get("content") != "checkpoint":
        content = metadata.get("content")
        what, reader = OTHERS.get(content, (f"a {content}", "fastmlp.load"))
        raise fields.error_of_content(f"holds {what}, not a checkpoint: {reader} reads it")
    model = model_file.take_model(fields, arrays)
    settings = _settings(fields, len(model.spec.shapes))
    updates = _bits(fields, "steps", 62)
    optimizer_arrays = _optimizer_arrays(fields, arrays, model.spec, "average_decay" in settings)
    history = _history(fields, arrays)
    begin = _bits(fields, "fit_begin", 62) if "fit_begin" in metadata else 0  # older files lack it
    if begin > len(history.loss):
        raise fields.error(f"fit_begin must be at most the {len(history.loss)} epochs of the history, got {begin}")
    end = _bits(fields, "fit_end", 62) if "fit_end" in metadata else len(history.loss)
    state = TrainerState(model, settings, updates, optimizer_arrays, _row_order(fields), history, begin, end)
    if arrays:
        raise fields.error(f"it holds tensors that do not belong to it: {', '.join(sorted(arrays)[:5])}")
    return state, fields


def _settings(fields: Fields, layers: int) -> dict[str, Any]:
    optimizer = fields.text("trainer.optimizer")
    if optimizer not in optimizers.TABLE:
        raise fields.error(f"trainer.optimizer must be one of {', '.join(optimizers.TABLE)}, got {optimizer!r}")
    settings: dict[str, Any] = {"optimizer": optimizer}
    settings |= {name: fields.number(f"trainer.{name}") for name in NUMBERS}
    settings |= {name: fields.flag(f"trainer.{name}") for name in FLAGS}
    for name, setting in optimizers.TABLE[optimizer].settings.items():
        read = fields.flag if isinstance(setting, validation.Flag) else fields.number
        settings[name] = read(f"trainer.{name}")
    for name in OPTIONAL:
        if f"trainer.{name}" in fields:
            settings[name] = _optional(fields, name, layers)
    settings["batch_size"] = fields.integer("trainer.batch_size")
    accumulate = fields.text("trainer.accumulate")
    settings["accumulate"] = accumulate if accumulate == "epoch" else fields.integer("trainer.accumulate")
    return settings


def _optional(fields: Fields, name: str, layers: int) -> Any:
    if name == "precision":
        return fields.text(f"trainer.{name}")
    if not name.endswith("schedule") and name != "learning_rate_factors":
        return fields.number(f"trainer.{name}")
    text = fields.text(f"trainer.{name}")
    try:
        if name.endswith("schedule"):
            return Schedule.from_text(text)
        value = json.loads(text)
        return optimizers.check_rate_factors(tuple(value) if isinstance(value, list) else value, layers)
    except (ValueError, TypeError, RecursionError) as reason:
        raise fields.error(f"trainer.{name} is {text!r}: {reason}") from None


def _optimizer_arrays(fields: Fields, arrays: Arrays, spec: ModelSpec, averages: bool) -> list[list[np.ndarray]]:
    """As many for each layer as any has; the core checks that they are as many as the optimizer keeps."""
    numbers = [name.rpartition(".")[2] for name in arrays if name.startswith("optimizer.")]
    count = max((int(number) + 1 for number in numbers if number.isdecimal() and len(number) < 3), default=0)

    def taken(i: int, k: int, shape: tuple[int, ...]) -> np.ndarray:
        name = f"optimizer.{i}.{k}"
        if averages and k >= count - 2:  # the running means of the weights and biases
            return model_file.take_finite(fields, arrays, name, shape, spec.dtype)
        array = model_file.take(fields, arrays, name, shape, spec.dtype)
        if np.isnan(array).any():
            raise fields.error(f"{name} must not hold NaN")
        return array

    return [
        [taken(i, k, (outputs,) if k % 2 else (inputs, outputs)) for k in range(count)]
        for i, (inputs, outputs) in enumerate(spec.shapes)
    ]


def _row_order(fields: Fields) -> dict[str, Any]:
    return {
        "bit_generator": "PCG64",
        "state": {name: _bits(fields, f"rows.{name}", 128) for name in ("state", "inc")},
        "has_uint32": _bits(fields, "rows.has_uint32", 1),
        "uinteger": _bits(fields, "rows.uinteger", 32),
    }


def _bits(fields: Fields, name: str, count: int) -> int:
    value = fields.integer(name)
    if not 0 <= value < 1 << count:
        raise fields.error(f"{name} must be in [0, 2^{count}), got {value}")
    return value


def _history(fields: Fields, arrays: Arrays) -> History:
    history, dtype = History(), np.dtype(np.float64)
    for name in [name for name in arrays if name.startswith("history.")]:
        metric = name.removeprefix("history.")
        if not metric.isidentifier() or hasattr(History, metric):  # which would hide a method
            raise fields.error(f"{metric!r} is no name of a metric")
        entries = model_file.take(fields, arrays, name, (arrays[name].size,), dtype)
        vars(history)[metric] = entries.tolist()
    return history
