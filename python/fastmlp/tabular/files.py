"""Model files of tabular estimators: safetensors, as `formats/model_file.py` describes, with content ``tabular``.

The metadata ``tabular`` is JSON text: the class of the estimator and its settings, the architecture of its networks,
how tables are prepared, and what the estimator knows of y. Tensors: ``preparation.<name>`` and ``fitted.<name>`` of
F64, and ``networks.<j>.<name>``, the parameters of network j, of F32.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..errors import ModelFileError
from ..formats import model_file
from ..schedules import Schedule
from .network import Architecture, TabularNetwork, parameter_shapes
from .preparation import Preparation

SCHEDULE = "schedule: "
"""Begins the text of a setting that is a schedule."""

PAIRS = "pairs"
"""The key of a setting that is a dict, whose keys need not be text."""


@dataclass(frozen=True)
class TabularState:
    """A fitted estimator as a value.

    Attributes
    ----------
    estimator : str
        The name of its class.
    settings : dict
        Parameters of its constructor; others have their defaults.
    fitted : dict
        What it knows of y: arrays of float64, and what JSON can hold.
    """

    estimator: str
    settings: dict[str, Any]
    fitted: dict[str, Any]
    preparation: Preparation
    networks: list[TabularNetwork]


def write(state: TabularState, path: str | os.PathLike[str]) -> None:
    """What the estimators' `save` does."""
    preparation = state.preparation.state()
    description = {
        "class": state.estimator,
        "settings": _written_settings(state.settings),
        "architecture": asdict(state.networks[0].architecture),
        "networks": len(state.networks),
        "preparation": {name: value for name, value in preparation.items() if name != "arrays"},
        "fitted": {name: value for name, value in state.fitted.items() if not isinstance(value, np.ndarray)},
    }
    arrays = {f"preparation.{name}": np.ascontiguousarray(value) for name, value in preparation["arrays"].items()}
    arrays |= {f"fitted.{name}": value for name, value in state.fitted.items() if isinstance(value, np.ndarray)}
    for j, network in enumerate(state.networks):
        arrays |= {f"networks.{j}.{name}": value for name, value in network.parameters.items()}
    model_file.write(path, "tabular", arrays, {"tabular": json.dumps(description)})


def read(path: str | os.PathLike[str], restored: Callable[[TabularState], Any]) -> Any:
    """What `restored` makes of the state in a file. ModelFileError if the file is damaged, or that fails."""
    arrays, metadata = model_file.read(path)
    name = os.fsdecode(path)
    if metadata.get("content") != "tabular":
        raise ModelFileError(f"{name} holds no tabular estimator: fastmlp.load reads it")
    try:
        return restored(_state(json.loads(metadata["tabular"]), arrays))
    except Exception as reason:  # whatever a damaged description leads to
        message = str(reason)[: model_file.MAX_MESSAGE_LENGTH]
        raise ModelFileError(f"{name} is damaged: {type(reason).__name__}: {message}") from None


def _state(description: dict[str, Any], arrays: dict[str, np.ndarray]) -> TabularState:
    def part(prefix: str) -> dict[str, np.ndarray]:
        return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}

    count = description["networks"]
    return TabularState(
        description["class"],
        _read_settings(description["settings"]),
        description["fitted"] | part("fitted."),
        Preparation.from_state({**description["preparation"], "arrays": part("preparation.")}),
        [_network(description["architecture"], part(f"networks.{j}.")) for j in range(count)],
    )


def _network(description: dict[str, Any], arrays: dict[str, np.ndarray]) -> TabularNetwork:
    """Compares shapes before the network is made, so that it needs no more memory than the file has bytes."""
    given = dict(description)
    for name in ("hidden", "categories", "bin_edges"):
        given[name] = tuple(tuple(each) if isinstance(each, list) else each for each in given[name])
    architecture = Architecture(**given)
    expected = parameter_shapes(architecture)
    found = {name: array.shape for name, array in arrays.items()}
    if found != expected:
        different = sorted(set(found.items()) ^ set(expected.items()))[0]
        raise ValueError(f"the parameters do not fit the architecture: {different[0]} of shape {different[1]}")
    if not all(array.dtype == np.float32 and np.isfinite(array).all() for array in arrays.values()):
        raise ValueError("parameters must be finite numbers of float32")
    network = TabularNetwork(architecture)
    network.parameters = arrays
    return network


def _written_settings(settings: dict[str, Any]) -> dict[str, Any]:
    written = {}
    for name, value in settings.items():
        if isinstance(value, Schedule):
            try:
                written[name] = SCHEDULE + value.to_text()
            except ValueError:  # a function
                continue
        else:
            if isinstance(value, dict):
                value = {PAIRS: list(map(list, value.items()))}
            try:
                written[name] = json.loads(json.dumps(value, default=_plain))
            except TypeError:  # a function or a generator of random numbers
                continue
    return written


def _plain(value: Any) -> Any:
    """Of arrays, scalars and indices of NumPy and pandas, and of other sequences, anywhere in a setting."""
    return value.tolist() if hasattr(value, "tolist") else list(value)


def _read_settings(written: dict[str, Any]) -> dict[str, Any]:
    def as_tuples(value: Any) -> Any:
        return tuple(map(as_tuples, value)) if isinstance(value, list) else value

    def read(value: Any) -> Any:
        if isinstance(value, str) and value.startswith(SCHEDULE):
            return Schedule.from_text(value.removeprefix(SCHEDULE))
        if isinstance(value, dict):
            return dict(value[PAIRS])
        return as_tuples(value)

    return {name: read(value) for name, value in written.items()}
