"""Values that describe a network and a trainer: all that model files, exporters, pickles and ranks see."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import activations, losses, validation
from .history import History


@dataclass(frozen=True)
class ModelSpec:
    """What a network is, without its parameters; each field as in `Network`."""

    layer_sizes: tuple[int, ...]
    activation: activations.Names  # a tuple, one for each hidden layer, only where these or their settings differ
    loss: str
    dtype: np.dtype
    input_scale: float = 1.0
    clips_loss: bool = False  # reported losses count a probability as at least eps, as scikit-learn's do
    activation_settings: activations.Settings = field(default_factory=dict)  # a tuple if activation is one
    loss_settings: Mapping[str, Any] = field(default_factory=dict)
    standardize: bool = False
    column_targets: bool = False  # the targets of the last fit had shape (samples, 1)

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of each layer."""
        return list(zip(self.layer_sizes, self.layer_sizes[1:]))

    @property
    def levels(self) -> tuple[float, ...]:
        """Of the outputs of one target, where the loss has several; otherwise empty."""
        levels = losses.levels_of(self.loss_row, self.loss_settings)
        return levels if len(levels) > 1 else ()

    @property
    def core_loss_settings(self) -> list[float]:
        return list(self.levels or self.loss_settings.values())

    @property
    def parameter_count(self) -> int:
        return sum((inputs + 1) * outputs for inputs, outputs in self.shapes)

    @property
    def loss_row(self) -> losses.Loss:
        return losses.TABLE[self.loss]

    def decide(self, outputs: np.ndarray) -> np.ndarray:
        """What `Network.predict` makes of outputs; those of one output have the shape of the targets."""
        decided = self.loss_row.decide(outputs)
        return decided[:, 0] if decided.shape[1:] == (1,) and not self.column_targets else decided

    @property
    def has_real_targets(self) -> bool:
        """Whether the targets may be any real numbers, so that they may be standardized."""
        return self.loss_row.targets is not None and math.isinf(self.loss_row.targets.minimum)

    @property
    def hidden_activations(self) -> list[tuple[activations.Activation, Mapping[str, float]]]:
        """The activation of each hidden layer, and its settings."""
        return activations.of_hidden(self.activation, self.activation_settings, len(self.layer_sizes) - 2)


def checked_spec(
    layer_sizes: Any,
    activation: Any,
    loss: Any,
    dtype: Any,
    input_scale: Any,
    activation_settings: Any = None,
    loss_settings: Any = None,
    clips_loss: bool = False,
    standardize: Any = False,
    column_targets: bool = False,
) -> ModelSpec:
    """The spec of these arguments of `Network`, or its ValueError, TypeError or MemoryError."""
    dtype = validation.check_dtype(dtype)
    layer_sizes = validation.check_layer_sizes(layer_sizes, dtype)
    names, settings = activations.check_hidden(activation, activation_settings, len(layer_sizes) - 2, dtype)
    loss = validation.check_choice("loss", loss, losses.LOSSES)
    spec = ModelSpec(
        layer_sizes,
        names,
        loss,
        dtype,
        validation.check_scale("input_scale", input_scale, dtype),
        clips_loss,
        settings,
        validation.check_part_settings("loss_settings", losses.TABLE[loss], loss_settings, dtype),
        validation.check_flag("standardize", standardize),
        column_targets,
    )
    if spec.standardize and spec.input_scale != 1:
        raise ValueError(
            f"standardize=True needs input_scale=1, because it scales the inputs itself, got {spec.input_scale!r}"
        )
    if spec.levels and layer_sizes[-1] % len(spec.levels):
        raise ValueError(
            f"layer_sizes must end with a multiple of the {len(spec.levels)} levels, one output for each level of a target,"
            f" got {layer_sizes}"
        )
    return spec


@dataclass(frozen=True, eq=False)
class Standardization:
    """Means and standard deviations; a network computes with (x - mean) / std.

    Attributes
    ----------
    input_mean, input_std : array of float64, shape (features,)
        The means are zero if they were computed from a sparse matrix, which stays sparse then.
    target_mean, target_std : array of float64, shape (outputs,), or None
        Of the targets, for the losses of real targets.
    """

    input_mean: np.ndarray
    input_std: np.ndarray
    target_mean: np.ndarray | None = None
    target_std: np.ndarray | None = None

    def arrays(self) -> dict[str, np.ndarray]:
        """By their names, those that are there."""
        return {name: array for name, array in vars(self).items() if array is not None}

    def __repr__(self) -> str:
        checksum = zlib.crc32(b"".join(array.tobytes() for array in self.arrays().values()))
        return f"<Standardization of {len(self.input_mean)} inputs, checksum {checksum:08x}>"

    def of_targets(self, y: np.ndarray) -> np.ndarray:
        """Targets (rows, outputs) as the network is trained on them, in float64."""
        return y if self.target_std is None else (y - self.target_mean) / self.target_std

    def in_units_of_targets(self, outputs: np.ndarray) -> np.ndarray:
        """What the network has computed, in the units of the targets it was given, in the same dtype."""
        return (
            outputs if self.target_std is None else (outputs * self.target_std + self.target_mean).astype(outputs.dtype)
        )


@dataclass(frozen=True)
class ModelState:
    """A network as a value."""

    spec: ModelSpec
    weights: Sequence[np.ndarray]  # shapes (inputs, outputs), row-major, of the spec's dtype
    biases: Sequence[np.ndarray]  # shapes (outputs,)
    standardization: Standardization | None = None  # None before the first fit, and without standardize

    def saved_arrays(self) -> dict[str, np.ndarray]:
        """All arrays by their names in model files; ValueError if one is not finite."""
        return self.finite_arrays("saved") | (self.standardization.arrays() if self.standardization else {})

    def finite_arrays(self, purpose: str) -> dict[str, np.ndarray]:
        """Weights and biases by their names in model files; ValueError if one is not finite."""
        arrays = {f"weights.{i}": array for i, array in enumerate(self.weights)}
        arrays |= {f"biases.{i}": array for i, array in enumerate(self.biases)}
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise ValueError(
                    f"a network must be finite to be {purpose}, got {name} with {array[~np.isfinite(array)][0]}"
                )
        return arrays


@dataclass(frozen=True)
class TrainerState:
    """A trainer as a value, with its network."""

    model: ModelState
    settings: Mapping[str, Any]  # the arguments of Trainer, but for the seed and n_threads
    updates: int  # so far
    optimizer_arrays: Sequence[Sequence[np.ndarray]]  # of each layer: beside its weights and biases in turn
    row_order: Mapping[str, Any]  # the state of the NumPy generator that permutes the rows
    history: History
    fit_begin: int  # epochs of the history before the fit that it was taken in
    fit_end: int  # and when that fit will be done


@contextmanager
def unchanged(core: Any) -> Iterator[None]:
    """Guards a read of all parameters of the core's network: RuntimeError if another thread changes them meanwhile."""
    before = core.parameters_version
    if not core.is_locked_elsewhere():
        yield
        if core.parameters_version == before:
            return
    raise RuntimeError("a fit of this network is under way in another thread; save or copy it from a callback")
