"""The activations: one row each, with what the package needs beside the core's arithmetic."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .validation import Number, Setting, check_choice, check_part_settings


@dataclass(frozen=True)
class Activation:
    """What one activation needs outside the core; its value and derivative are in cpp/kernels/activations.h.

    Attributes
    ----------
    name : str
        As in `Network` and in model files.
    onnx : tuple of tuple
        ONNX operators in turn, each with its inputs: "x", the number of an earlier operator, a setting's name, or a
        constant, a float.
    onnx_dtypes : tuple of str
        Those for which onnxruntime has these operators.
    c : str
        A C statement that replaces {x}; {f} is the suffix of float functions, {<setting>} a setting's value.
    bound_factor : float or None
        Initial weights are uniform in +-sqrt(factor / inputs): 6 for variance 2 / inputs (He et al. 2015), 3 for variance
        1 / inputs (LeCun et al. 1998). None: in +-sqrt(6 / (inputs + outputs)) (Glorot and Bengio 2010).
    scikit_learn_factor : float
        The numerator in scikit-learn's bound of initial weights, sqrt(factor / (inputs + outputs)).
    for_hidden : bool
        False: for output layers only.
    settings : mapping of str to Setting
        In the order in which the core takes them.
    is_of_row : bool
        It normalizes a whole row, as softmax does, so that exported C needs a block of its own for it.
    """

    name: str
    onnx: tuple[tuple[str | int | float, ...], ...]
    c: str
    bound_factor: float | None = None
    scikit_learn_factor: float = 6.0
    for_hidden: bool = True
    settings: Mapping[str, Setting] = field(default_factory=dict)
    onnx_dtypes: tuple[str, ...] = ("float32", "float64")
    is_of_row: bool = False

    def initial_bound(self, inputs: int, outputs: int) -> float:
        return math.sqrt(6 / (inputs + outputs) if self.bound_factor is None else self.bound_factor / inputs)


_HE, _LECUN = 6.0, 3.0
# e^m - 1 = 2t / (1 - t) with m = min(x, 0), t = tanh(m / 2), which has no cancellation
_BELOW_ZERO = (
    *(("Neg", "x"), ("Relu", 0), ("Mul", 1, -0.5)),
    *(("Tanh", 2), ("Add", 3, 3), ("Sub", 1.0, 3), ("Div", 4, 5)),
)
# max(x, 0) + log(1 + e) with e = e^-|x|; the rounding error of u = 1 + e is e - (u - 1), and adds itself / u to log(u)
_SOFTPLUS = (
    *(("Abs", "x"), ("Neg", 0), ("Exp", 1), ("Add", 2, 1.0)),
    *(("Sub", 3, 1.0), ("Sub", 2, 4), ("Div", 5, 3), ("Log", 3), ("Add", 6, 7)),
    *(("Relu", "x"), ("Add", 8, 9)),
)
# The factor of products whose other factor becomes 0, because minus infinity times 0 is NaN. Below -1000 they are 0.
_FINITE, _C_FINITE = ("Max", "x", -1000.0), "({x} < -1000 ? -1000 : {x})"
_C_SOFTPLUS = "({x} > 0 ? {x} : 0) + log1p{f}(exp{f}(-fabs{f}({x})))"


TABLE = {
    row.name: row
    for row in (
        # this order of operands keeps NaN
        Activation("relu", (("Relu", "x"),), "{x} = {x} < 0 ? 0 : {x};", bound_factor=_HE),
        Activation("tanh", (("Tanh", "x"),), "{x} = tanh{f}({x});"),
        Activation("logistic", (("Sigmoid", "x"),), "{x} = 1 / (1 + exp{f}(-{x}));", scikit_learn_factor=2.0),
        Activation("identity", (("Identity", "x"),), ""),
        Activation(
            "leaky_relu",
            (("Relu", "x"), ("Neg", "x"), ("Relu", 1), ("Mul", 2, "slope"), ("Sub", 0, 3)),
            "{x} = {x} < 0 ? {slope} * {x} : {x};",
            bound_factor=_HE,
            settings={"slope": Number(0.01, minimum=0)},
        ),
        Activation(
            "silu",
            (("Sigmoid", "x"), _FINITE, ("Mul", 0, 1)),
            f"{{x}} = {_C_FINITE} / (1 + exp{{f}}(-{{x}}));",
            bound_factor=_HE,
        ),
        Activation(
            "elu",
            (*_BELOW_ZERO, ("Mul", 6, "alpha"), ("Relu", "x"), ("Add", 7, 8)),
            "{x} = {x} > 0 ? {x} : {alpha} * expm1{f}({x});",
            bound_factor=_HE,
            settings={"alpha": Number(1.0, minimum=0)},
        ),
        Activation(
            "selu",
            (
                *_BELOW_ZERO,
                ("Mul", 6, 1.7580993408473768),
                ("Relu", "x"),
                ("Mul", 8, 1.0507009873554805),
                ("Add", 7, 9),
            ),
            "{x} = {x} > 0 ? 1.0507009873554805{f} * {x} : 1.7580993408473768{f} * expm1{f}({x});",
            bound_factor=_LECUN,
        ),
        Activation(
            "gelu",
            (("Mul", "x", 0.7071067811865476), ("Erf", 0), ("Add", 1, 1.0), _FINITE, ("Mul", 3, 0.5), ("Mul", 2, 4)),
            f"{{x}} = {_C_FINITE} * (erfc{{f}}(-0.7071067811865476{{f}} * {{x}}) / 2);",
            bound_factor=_HE,
            onnx_dtypes=("float32",),
        ),
        Activation(
            "gelu_tanh",
            (
                ("Mul", "x", "x"),
                ("Mul", 0, 0.07135481627260025),
                ("Add", 1, 1.5957691216057308),
                ("Mul", 2, "x"),
                ("Sigmoid", 3),
                _FINITE,
                ("Mul", 4, 5),
            ),
            f"{{x}} = {_C_FINITE} / "
            "(1 + exp{f}(-{x} * (1.5957691216057308{f} + 0.07135481627260025{f} * {x} * {x})));",
            bound_factor=_HE,
        ),
        Activation(
            "mish",
            (*_SOFTPLUS, ("Tanh", 10), _FINITE, ("Mul", 11, 12)),
            f"{{x}} = {_C_FINITE} * tanh{{f}}({_C_SOFTPLUS});",
            bound_factor=_HE,
        ),
        Activation("softplus", _SOFTPLUS, f"{{x}} = {_C_SOFTPLUS};"),
        Activation("exponential", (("Exp", "x"),), "{x} = exp{f}({x});", for_hidden=False),
        Activation("softmax", (("Softmax", "x"),), "", for_hidden=False, is_of_row=True),
    )
}

ACTIVATIONS = tuple(name for name, row in TABLE.items() if row.for_hidden)
"""The names of the activations for hidden layers."""

Names = str | tuple[str, ...]
Settings = Mapping[str, float] | tuple[Mapping[str, float], ...]


def check_hidden(activation: Any, settings: Any, hidden_layers: int, dtype: np.dtype) -> tuple[Names, Settings]:
    """The arguments activation and activation_settings of `Network`: one name and its settings for all hidden layers.

    Only where these differ, two tuples with one entry for each hidden layer.
    """
    if not isinstance(activation, (list, tuple)) and not isinstance(settings, (list, tuple)):
        name = check_choice("activation", activation, ACTIVATIONS)
        return name, check_part_settings("activation_settings", TABLE[name], settings, dtype)
    names = _of_each("activation", activation, hidden_layers) or ACTIVATIONS[:1]
    given = _of_each("activation_settings", settings, hidden_layers) or [None]
    pairs = []
    for i, (name, of_layer) in enumerate(zip(names, given)):
        name = check_choice(f"activation[{i}]", name, ACTIVATIONS)
        pairs.append((name, check_part_settings(f"activation_settings[{i}]", TABLE[name], of_layer, dtype)))
    if all(pair == pairs[0] for pair in pairs):
        return pairs[0]
    return tuple(name for name, _ in pairs), tuple(of_layer for _, of_layer in pairs)


def _of_each(name: str, value: Any, hidden_layers: int) -> Sequence[Any]:
    if not isinstance(value, (list, tuple)):
        return [value] * max(hidden_layers, 1)  # the initial weights of a linear model depend on an activation, too
    if len(value) != hidden_layers:
        raise ValueError(
            f"{name} must have one entry for each hidden layer, {hidden_layers} of them, got {len(value)}: {value!r}"
        )
    return value


def of_hidden(
    activation: Names, settings: Settings, hidden_layers: int
) -> list[tuple[Activation, Mapping[str, float]]]:
    """Each hidden layer's activation and its settings, of what `check_hidden` returned."""
    if isinstance(activation, str):
        return [(TABLE[activation], settings)] * hidden_layers  # type: ignore[list-item]
    return [(TABLE[name], of_layer) for name, of_layer in zip(activation, settings)]  # type: ignore[misc]


def text_of(activation: str | Sequence[str]) -> str:
    """One text for one name or several."""
    return activation if isinstance(activation, str) else ", ".join(activation)


def of_initial_weights(activation: Names, layers: int) -> list[Activation]:
    """The activation that the initial weights of each layer are for: the output layer's are for the last hidden one."""
    names = [activation] * layers if isinstance(activation, str) else [*activation, activation[-1]]
    return [TABLE[name] for name in names]
