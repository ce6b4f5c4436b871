"""The activations: one row each, with what the package needs beside the core's arithmetic."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from .validation import Number, Setting


@dataclass(frozen=True)
class Activation:
    """What one activation needs outside the core; its value and derivative are in cpp/kernels/activations.h.

    Attributes
    ----------
    name : str
        As in `Network` and in model files.
    onnx : tuple of tuple
        ONNX operators in turn, each with its inputs: "x", the number of an earlier operator, or a setting's name.
    c : str
        A C statement that replaces {x}; {f} is the suffix of float functions, {<setting>} a setting's value.
    he_bound : bool
        Initial weights are uniform in +-sqrt(6 / inputs) (He et al. 2015) instead of +-sqrt(6 / (inputs + outputs))
        (Glorot and Bengio 2010).
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
    onnx: tuple[tuple[str | int, ...], ...]
    c: str
    he_bound: bool = False
    scikit_learn_factor: float = 6.0
    for_hidden: bool = True
    settings: Mapping[str, Setting] = field(default_factory=dict)
    is_of_row: bool = False

    def initial_bound(self, inputs: int, outputs: int) -> float:
        return math.sqrt(6 / inputs if self.he_bound else 6 / (inputs + outputs))


TABLE = {
    row.name: row
    for row in (
        # this order of operands keeps NaN
        Activation("relu", (("Relu", "x"),), "{x} = {x} < 0 ? 0 : {x};", he_bound=True),
        Activation("tanh", (("Tanh", "x"),), "{x} = tanh{f}({x});"),
        Activation("logistic", (("Sigmoid", "x"),), "{x} = 1 / (1 + exp{f}(-{x}));", scikit_learn_factor=2.0),
        Activation("identity", (("Identity", "x"),), ""),
        Activation(
            "leaky_relu",
            (("Relu", "x"), ("Neg", "x"), ("Relu", 1), ("Mul", 2, "slope"), ("Sub", 0, 3)),
            "{x} = {x} < 0 ? {slope} * {x} : {x};",
            he_bound=True,
            settings={"slope": Number(0.01, minimum=0)},
        ),
        Activation("silu", (("Sigmoid", "x"), ("Mul", "x", 0)), "{x} /= 1 + exp{f}(-{x});", he_bound=True),
        Activation("exponential", (("Exp", "x"),), "{x} = exp{f}({x});", for_hidden=False),
        Activation("softmax", (("Softmax", "x"),), "", for_hidden=False, is_of_row=True),
    )
}

ACTIVATIONS = tuple(name for name, row in TABLE.items() if row.for_hidden)
"""The names of the activations for hidden layers."""
