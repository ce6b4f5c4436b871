"""A trainer as a file and back: its network, settings, optimizer's state, row order and history."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import model_files
from .errors import ModelFileError
from .model_files import Arrays, Fields, Path
from .trainer import History, Trainer

_NUMBERS = ("learning_rate", "l1", "l2")
_UPDATE_NUMBERS = {"sgd": (), "momentum": ("momentum",), "adam": ("beta_1", "beta_2", "epsilon")}


def save_trainer(trainer: Trainer, path: Path) -> None:
    network, steps, layers = trainer.network, *trainer._core.state()
    arrays = model_files.network_arrays(network)
    arrays |= {f"optimizer.{i}.{k}": array for i, layer in enumerate(layers) for k, array in enumerate(layer)}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"a trainer must be finite to be saved, got {name} with a value that is not")
    history = vars(trainer.history)
    arrays |= {f"history.{name}": np.array(values, np.float64) for name, values in history.items() if values}
    settings = {name: repr(float(getattr(trainer, name))) for name in _NUMBERS}
    settings |= {name: _text(value) for name, value in trainer._update_settings.items()}
    settings |= {
        "optimizer": _kind(trainer),
        "batch_size": str(trainer.batch_size),
        "accumulate": str(trainer.accumulate),
        "proximal": _text(trainer._proximal),
        "shuffle": _text(trainer._shuffle),
    }
    rows = trainer._rng.bit_generator.state
    permuting = {**rows["state"], "has_uint32": rows["has_uint32"], "uinteger": rows["uinteger"]}
    metadata = (
        model_files.network_metadata(network)
        | {f"trainer.{name}": value for name, value in settings.items()}
        | {f"rows.{name}": str(value) for name, value in permuting.items()}
        | {"steps": str(steps)}
    )
    model_files.write(path, "checkpoint", arrays, metadata)


def resume_trainer(path: Path, n_threads: int | None) -> Trainer:
    arrays, metadata = model_files.read(path)
    fields = Fields(path, metadata)
    if metadata.get("content") != "checkpoint":
        raise fields.error(f"it holds a {metadata.get('content')}, not a checkpoint; fastmlp.load reads its network")
    network = model_files.take_network(fields, arrays)
    try:
        trainer = Trainer(network, n_threads=n_threads, **_settings(fields))
        trainer._core.set_state(_at_least_zero(fields, "steps"), _optimizer_state(fields, arrays, trainer))
        trainer._rng.bit_generator.state = _row_state(fields)
    except ModelFileError:
        raise
    except (ValueError, OverflowError) as reason:
        raise fields.error(str(reason)) from None
    trainer._history = _history(fields, arrays)
    if arrays:
        raise fields.error(f"it holds tensors that do not belong to it: {', '.join(sorted(arrays)[:5])}")
    return trainer


def _kind(trainer: Trainer) -> str:
    return "momentum" if "momentum" in trainer._update_settings else trainer.optimizer


def _text(value: float | bool) -> str:
    return str(int(value)) if isinstance(value, (bool, np.bool_)) else repr(float(value))


def _settings(fields: Fields) -> dict[str, Any]:
    kind = fields.text("trainer.optimizer")
    if kind not in _UPDATE_NUMBERS:
        raise fields.error(f"trainer.optimizer must be one of {', '.join(_UPDATE_NUMBERS)}, got {kind[:50]!r}")
    settings: dict[str, Any] = {"optimizer": "adam" if kind == "adam" else "sgd"}
    settings |= {name: fields.number(f"trainer.{name}") for name in (*_NUMBERS, *_UPDATE_NUMBERS[kind])}
    settings |= {name: fields.flag(f"trainer.{name}") for name in ("proximal", "shuffle")}
    if kind == "momentum":
        settings["nesterov"] = fields.flag("trainer.nesterov")
    settings["batch_size"] = fields.integer("trainer.batch_size")
    accumulate = fields.text("trainer.accumulate")
    settings["accumulate"] = accumulate if accumulate == "epoch" else fields.integer("trainer.accumulate")
    return settings


def _at_least_zero(fields: Fields, name: str) -> int:
    value = fields.integer(name)
    if not 0 <= value < 2**63:
        raise fields.error(f"{name} must be in [0, 2^63), got {value}")
    return value


def _optimizer_state(fields: Fields, arrays: Arrays, trainer: Trainer) -> list[list[np.ndarray]]:
    kinds = {"sgd": 0, "momentum": 1, "adam": 2}[_kind(trainer)]
    dtype = trainer.network.dtype
    return [
        [
            model_files.take(fields, arrays, f"optimizer.{i}.{2 * kind + of_biases}", shape[of_biases:], dtype)
            for kind in range(kinds)
            for of_biases in (0, 1)
        ]
        for i, shape in enumerate(trainer.network._shapes())
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
