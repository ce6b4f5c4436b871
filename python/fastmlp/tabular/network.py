"""A network for tables: the core's network, and its parameters as arrays by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from .. import _core, activations, core_calls, losses, validation
from ..training_data import plain
from .preparation import PreparedTable

HIDDEN_ACTIVATIONS = tuple(row.name for row in activations.TABLE.values() if row.for_hidden and not row.settings)
"""The activations that these networks can have."""


@dataclass(frozen=True)
class Architecture:
    """What a network for tables is made of.

    Attributes
    ----------
    numbers, columns : int
        Columns of numbers, which may be embedded, and columns that pass as they are.
    categories : tuple of (int, int)
        The number of codes of each embedded category, and the dimension of its embedding.
    hidden : tuple of int
        The widths of the hidden layers.
    outputs : int
        Classes, or targets (times quantiles).
    activation : str
        Of the hidden layers, as in `Network`.
    loss : str
    loss_settings : dict
    members : int
        Networks that share the weights of their hidden layers; the prediction is their mean.
    scales_inputs, scales_layers : bool
        Whether each member has factors of the inputs of the first layer, or of the inputs and outputs of all hidden
        layers, with biases of its own.
    mixes_activation : bool
        Whether each hidden unit has a trained share of its activation; the rest is the identity.
    frequencies, embedding_outputs : int
        Of the periodic embedding of each number; 0: it has none.
    bin_edges : tuple of tuple of float
        Of the bins of each number, ascending, if its embedding is piecewise linear, with `embedding_outputs` outputs.
    """

    numbers: int
    columns: int
    hidden: tuple[int, ...]
    outputs: int
    activation: str
    loss: str
    categories: tuple[tuple[int, int], ...] = ()
    loss_settings: Mapping[str, Any] = field(default_factory=dict)
    members: int = 1
    scales_inputs: bool = False
    scales_layers: bool = False
    mixes_activation: bool = False
    frequencies: int = 0
    embedding_outputs: int = 0
    bin_edges: tuple[tuple[float, ...], ...] = ()


def parameter_shapes(a: Architecture) -> dict[str, tuple[int, ...]]:
    """The shapes of all parameters by name."""
    shapes: dict[str, tuple[int, ...]] = {}
    width = a.columns + sum(dimension for _, dimension in a.categories)
    terms = a.frequencies if a.numbers else 0
    if terms:
        shapes["numbers.frequencies"] = shapes["numbers.phases"] = (a.numbers, terms)
    if a.bin_edges:
        terms = max(map(len, a.bin_edges)) - 1
        shapes["numbers.slopes"] = (a.numbers, a.embedding_outputs)
    if terms:
        shapes["numbers.weights"] = (a.numbers, terms * a.embedding_outputs)
        shapes["numbers.biases"] = (a.numbers, a.embedding_outputs)
        width += a.numbers * a.embedding_outputs
    width += 0 if a.bin_edges else a.numbers
    for i, category in enumerate(a.categories):
        shapes[f"categories.{i}"] = tuple(category)
    for i, outputs in enumerate(a.hidden):
        shapes[f"hidden.{i}.weights"] = (width, outputs)
        if a.scales_layers or (a.scales_inputs and i == 0):
            shapes[f"hidden.{i}.input_factors"] = (a.members, width)
        if a.scales_layers:
            shapes[f"hidden.{i}.output_factors"] = shapes[f"hidden.{i}.member_biases"] = (a.members, outputs)
        else:
            shapes[f"hidden.{i}.biases"] = (outputs,)
        if a.mixes_activation:
            shapes[f"hidden.{i}.activation_shares"] = (a.members, outputs)
        width = outputs
    for k in range(a.members):
        shapes[f"heads.{k}.weights"], shapes[f"heads.{k}.biases"] = (width, a.outputs), (a.outputs,)
    return shapes


class TabularNetwork:
    """A network of this architecture; its parameters are zero, and factors and shares too, until they are set.

    Parameters
    ----------
    architecture : Architecture
    dtype : {"float32", "float64"}
    """

    def __init__(self, architecture: Architecture, dtype: str = "float32") -> None:
        self.architecture, self.dtype = architecture, np.dtype(dtype)
        self.core = self._new_core()

    def _new_core(self) -> Any:
        a = self.architecture
        shape = _core.TabularShape(
            a.numbers,
            a.columns,
            a.frequencies,
            a.embedding_outputs,
            list(a.categories),
            list(a.hidden),
            a.outputs,
            a.members,
            a.scales_inputs,
            a.scales_layers,
            a.mixes_activation,
            [list(edges) for edges in a.bin_edges],
        )
        row = activations.TABLE[a.activation]
        settings = [setting.default for setting in row.settings.values()]
        loss = losses.TABLE[a.loss]
        loss_settings = validation.check_part_settings("loss_settings", loss, dict(a.loss_settings), self.dtype)
        values = list(losses.levels_of(loss, loss_settings) or loss_settings.values())
        new = _core.TabularNetFloat32 if self.dtype == np.float32 else _core.TabularNetFloat64
        return new(shape, getattr(_core.Activation, a.activation), settings, getattr(_core.Loss, a.loss), values)

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        """Copies of all parameters by name."""
        return self.core.parameters()

    @parameters.setter
    def parameters(self, values: Mapping[str, Any]) -> None:
        self.core.set_parameters({name: plain(value, self.dtype) for name, value in values.items()})

    def table(self, prepared: PreparedTable, y: Any = None, sample_weight: Any = None) -> Any:
        """The core's view of rows, with labels (int64, shape (rows,)) or targets, shape (rows, outputs), if y is given."""
        parts = [plain(part, self.dtype) for part in (prepared.numbers, prepared.one_hot)]
        parts.append(plain(prepared.codes, np.int32))
        if y is None:
            return self.core.table(*parts)
        has_labels = losses.TABLE[self.architecture.loss].has_labels
        name, dtype = ("labels", np.dtype(np.int64)) if has_labels else ("targets", self.dtype)
        if sample_weight is not None:
            sample_weight = plain(sample_weight, self.dtype)
        return self.core.labelled_table(*parts, **{name: plain(y, dtype)}, sample_weights=sample_weight)

    def forward(self, prepared: PreparedTable, n_threads: int) -> np.ndarray:
        """Class probabilities or predictions, the mean over the members, shape (rows, outputs)."""
        rows = core_calls.rows_per_call(self.core)
        parts = [
            self.core.forward(self.table(prepared.rows(begin, begin + rows)), n_threads)
            for begin in range(0, max(1, len(prepared)), rows)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def __getstate__(self) -> dict[str, Any]:
        return {"architecture": asdict(self.architecture), "dtype": self.dtype.name, "parameters": self.parameters}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(Architecture(**state["architecture"]), state["dtype"])  # type: ignore[misc]
        self.parameters = state["parameters"]
