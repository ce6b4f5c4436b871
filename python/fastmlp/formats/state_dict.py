"""Parameters under PyTorch's names, as in the state dict of torch.nn.Sequential(Linear, ReLU, Linear, ...)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import activations, losses, training_data, validation
from ..model_state import ModelState, Standardization, checked_spec
from ..threads import default_thread_count


def to_state_dict(model: ModelState, fold_input_scale: bool) -> dict[str, np.ndarray]:
    """What `Network.to_state_dict` returns."""
    fold_input_scale = validation.check_flag("fold_input_scale", fold_input_scale)
    spec, arrays = model.spec, model.finite_arrays("exported")
    if spec.input_scale != 1:
        if not fold_input_scale:
            raise ValueError(
                f"a state dict has no place for input_scale={spec.input_scale!r}: pass fold_input_scale=True to "
                "multiply it into the first layer's weights, or scale the inputs of the other program yourself"
            )
        with np.errstate(over="ignore", under="ignore"):
            arrays["weights.0"] = arrays["weights.0"] * spec.dtype.type(spec.input_scale)
        name = "weights.0 times input_scale"
        training_data.check_finite(name, arrays["weights.0"], spec.dtype, default_thread_count())
    if model.standardization is not None:
        if not fold_input_scale:
            raise ValueError(
                "a state dict has no place for means and standard deviations: pass fold_input_scale=True to fold them into"
                " the weights and biases of the first and of the last layer"
            )
        _fold(model.standardization, arrays, len(spec.shapes) - 1)
        for name in arrays:
            with np.errstate(over="ignore", under="ignore"):
                arrays[name] = arrays[name].astype(spec.dtype)
            training_data.check_finite(f"{name}, folded,", arrays[name], spec.dtype, default_thread_count())
    state = {}
    for i in range(len(spec.shapes)):
        state[f"{2 * i}.weight"] = np.ascontiguousarray(arrays[f"weights.{i}"].T)
        state[f"{2 * i}.bias"] = arrays[f"biases.{i}"]
    return state


def _fold(standardization: Standardization, arrays: dict[str, np.ndarray], last: int) -> None:
    """Into the weights and biases, in float64."""
    with np.errstate(all="ignore"):
        scaled = arrays["weights.0"] / standardization.input_std[:, None]
        arrays["biases.0"] = arrays["biases.0"] - standardization.input_mean @ scaled
        arrays["weights.0"] = scaled
        if standardization.target_std is not None:
            arrays[f"weights.{last}"] = arrays[f"weights.{last}"] * standardization.target_std
            arrays[f"biases.{last}"] = (
                arrays[f"biases.{last}"] * standardization.target_std + standardization.target_mean
            )


def from_state_dict(
    state: Any, activation: Any, loss: str, dtype: Any, input_scale: float, *settings: Any
) -> ModelState:
    """What `Network.from_state_dict` makes a network of."""
    validation.check_choice("loss", loss, losses.LOSSES)
    arrays = _arrays(state)
    layers = _layers(arrays)
    dtype = _common_dtype(arrays) if dtype is None else validation.check_dtype(dtype)
    activations.check_hidden(activation, settings[0] if settings else None, len(layers) - 1, dtype)
    validation.check_scale("input_scale", input_scale, dtype)
    weights: list[np.ndarray] = []
    biases: list[np.ndarray] = []
    threads = default_thread_count()
    for name in layers:
        weight, bias = f"state[{name + 'weight'!r}]", f"state[{name + 'bias'!r}]"
        w, b = arrays[name + "weight"], arrays[name + "bias"]
        if w.ndim != 2 or 0 in w.shape:
            raise ValueError(f"{weight} must have shape (outputs, inputs), both at least 1, got {w.shape}")
        if weights and w.shape[1] != weights[-1].shape[1]:
            raise ValueError(
                f"{weight} must have shape (outputs, {weights[-1].shape[1]}), the outputs of the layer before it, "
                f"got {w.shape}"
            )
        weights.append(training_data.check_parameter(weight, w, w.shape, dtype, threads).T)
        biases.append(training_data.check_parameter(bias, b, w.shape[:1], dtype, threads))
    sizes = (weights[0].shape[0], *(w.shape[1] for w in weights))
    return ModelState(checked_spec(sizes, activation, loss, dtype, input_scale, *settings), weights, biases)


def _arrays(state: Any) -> dict[str, np.ndarray]:
    if not isinstance(state, Mapping):
        raise TypeError(f"state must be a mapping from names to arrays, got {type(state).__name__}")
    arrays = {}
    for key, value in state.items():
        if not isinstance(key, str) or key.rpartition(".")[2] not in ("weight", "bias"):
            raise ValueError(f"the keys of state must end in 'weight' or 'bias', those of dense layers, got {key!r}")
        found = str(getattr(value, "dtype", type(value).__name__)).removeprefix("torch.")
        if found not in ("float32", "float64"):
            raise TypeError(f"state[{key!r}] must be an array of float32 or float64, got {found}")
        arrays[key] = np.asanyarray(value.detach().cpu() if hasattr(value, "detach") else value)
    return arrays


def _layers(arrays: Mapping[str, np.ndarray]) -> list[str]:
    """The names of the layers, each with its dot, in the order in which they are computed."""
    layers = list(dict.fromkeys(key.removesuffix("weight").removesuffix("bias") for key in arrays))
    if not layers:
        raise ValueError("state must hold at least one layer, got an empty mapping")
    for name in layers:
        if getattr(arrays.get(name + "weight"), "ndim", 2) == 1:
            raise ValueError(
                f"state must hold dense layers only, got {name + 'weight'!r} of shape {arrays[name + 'weight'].shape}, as"
                " PReLU and normalization layers have it"
            )
        for kind, advice in (("weight", ""), ("bias", "; for a layer without one, zeros of shape (outputs,)")):
            if name + kind not in arrays:
                raise ValueError(f"state must hold {name + kind!r} beside its other half{advice}")
    known = set(layers)
    for name in layers:
        prefix = re.sub(r"\d+\.$", "", name)
        if prefix != name and prefix in known:
            raise ValueError(f"state must number all layers or none, got {prefix + 'weight'!r} beside numbered ones")
    parts = {name: re.split(r"(\d+)", name) for name in layers}  # text and numbers in turn
    places: dict[tuple[str, ...], list[int]] = {}  # of the layers whose names differ in numbers only
    for place, name in enumerate(layers):
        places.setdefault(tuple(parts[name][::2]), []).append(place)
    for own in places.values():  # files sort "10" before "2"
        ordered = sorted((layers[place] for place in own), key=lambda name: [*map(int, parts[name][1::2])])
        for place, name in zip(own, ordered):
            layers[place] = name
    return layers


def _common_dtype(arrays: Mapping[str, np.ndarray]) -> np.dtype:
    dtypes = {array.dtype.name for array in arrays.values()}
    if len(dtypes) > 1:
        raise ValueError(f"state must hold arrays of one dtype, got {' and '.join(sorted(dtypes))}: pass dtype=")
    return np.dtype(dtypes.pop())
