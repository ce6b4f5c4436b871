"""A trainer as a file and back: its network, settings, optimizer's state, row order and history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import model_files
from .errors import ModelFileError
from .model_files import Arrays, Fields, Path
from .trainer import History, Trainer

_NUMBERS = ("learning_rate", "l1", "l2")
_NUMBERS_OF = {"sgd": ("momentum",), "adam": ("beta_1", "beta_2", "epsilon")}


def save_trainer(trainer: Trainer, path: Path) -> None:
    network = trainer.network
    with network._at_rest():
        arrays = model_files.finite_arrays(network, "saved")
        steps, layers = trainer._core.optimizer_state()
        history, rows = vars(trainer.history), trainer._rng.bit_generator.state
    arrays |= {f"optimizer.{i}.{k}": array for i, layer in enumerate(layers) for k, array in enumerate(layer)}
    arrays |= {f"history.{name}": np.array(values, np.float64) for name, values in history.items() if values}
    settings = {name: repr(float(getattr(trainer, name))) for name in _NUMBERS}
    momentum = {"momentum": 0.0, "nesterov": False} if trainer.optimizer == "sgd" else {}
    settings |= {name: _text(value) for name, value in (momentum | trainer._update_settings).items()}
    settings |= {
        "optimizer": trainer.optimizer,
        "batch_size": str(trainer.batch_size),
        "accumulate": str(trainer.accumulate),
        "proximal": _text(trainer._proximal),
        "shuffle": _text(trainer._shuffle),
    }
    permuting = {**rows["state"], "has_uint32": rows["has_uint32"], "uinteger": rows["uinteger"]}
    metadata = (
        model_files.network_metadata(network)
        | {f"trainer.{name}": value for name, value in settings.items()}
        | {f"rows.{name}": str(value) for name, value in permuting.items()}
        | {"steps": str(steps)}
    )
    model_files.write(path, "checkpoint", arrays, metadata)


def resume_trainer(path: Path, new_trainer: Callable[..., Trainer]) -> Trainer:
    arrays, metadata = model_files.read(path)
    fields = Fields(path, metadata)
    if metadata.get("content") != "checkpoint":
        raise fields.error(f"it holds a {metadata.get('content')}, not a checkpoint; fastmlp.load reads its network")
    network = model_files.take_network(fields, arrays)
    try:
        trainer = new_trainer(network, **_settings(fields))
        trainer._core.set_optimizer_state(_bits(fields, "steps", 62), _optimizer_state(fields, arrays, trainer))
        trainer._rng.bit_generator.state = _row_state(fields)
    except ModelFileError:
        raise
    except (ValueError, OverflowError) as reason:
        raise fields.error(str(reason)) from None
    trainer._history = _history(fields, arrays)
    if arrays:
        raise fields.error(f"it holds tensors that do not belong to it: {', '.join(sorted(arrays)[:5])}")
    return trainer


def _text(value: float | bool) -> str:
    return str(int(value)) if isinstance(value, (bool, np.bool_)) else repr(float(value))


def _settings(fields: Fields) -> dict[str, Any]:
    optimizer = fields.text("trainer.optimizer")
    if optimizer not in _NUMBERS_OF:
        raise fields.error(f"trainer.optimizer must be one of {', '.join(_NUMBERS_OF)}, got {optimizer!r}")
    settings: dict[str, Any] = {"optimizer": optimizer}
    settings |= {name: fields.number(f"trainer.{name}") for name in (*_NUMBERS, *_NUMBERS_OF[optimizer])}
    settings |= {name: fields.flag(f"trainer.{name}") for name in ("proximal", "shuffle")}
    if optimizer == "sgd":
        settings["nesterov"] = fields.flag("trainer.nesterov")
    settings["batch_size"] = fields.integer("trainer.batch_size")
    accumulate = fields.text("trainer.accumulate")
    settings["accumulate"] = accumulate if accumulate == "epoch" else fields.integer("trainer.accumulate")
    return settings


def _optimizer_state(fields: Fields, arrays: Arrays, trainer: Trainer) -> list[list[np.ndarray]]:
    _, new = trainer._core.optimizer_state()  # of the shapes that the file's must have
    return [
        [
            model_files.take(fields, arrays, f"optimizer.{i}.{k}", array.shape, array.dtype)
            for k, array in enumerate(layer)
        ]
        for i, layer in enumerate(new)
    ]


def _row_state(fields: Fields) -> dict[str, Any]:
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
    history = History()
    for name, values in vars(history).items():
        entries = arrays.get(f"history.{name}")
        if entries is not None:
            values.extend(
                model_files.take(fields, arrays, f"history.{name}", (entries.size,), np.dtype(np.float64)).tolist()
            )
    return history
