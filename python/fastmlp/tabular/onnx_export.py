"""Tabular estimators as ONNX models that read the table itself: one input for each of its columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import activations, losses
from ..formats.onnx_graph import IR_VERSION, OPSET, load_onnx
from ..version import __version__
from .network import TabularNetwork
from .preparation import MAX_SCALED, Preparation, one_hot_of

ML_OPSET = 2  # of the operators for categories

PREFIX = "fastmlp."
"""Begins the names of constants and of values between nodes."""

OUTPUTS = ("label", "probabilities", "predictions")
"""The names of the outputs of classifiers and regressors."""


class Graph:
    """Nodes and constants under construction."""

    def __init__(self) -> None:
        self.onnx = load_onnx()
        self.inputs: list[Any] = []
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        output = f"{PREFIX}{operator}.{len(self.nodes)}"
        self.named(output, operator, *inputs, domain=domain, **attributes)
        return output

    def named(self, output: str, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> None:
        node = self.onnx.helper.make_node(operator, list(inputs), [output], name=output, domain=domain, **attributes)
        self.nodes.append(node)

    def constant(self, values: Any, dtype: Any) -> str:
        name = f"{PREFIX}constant.{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(values, dtype), name))
        return name

    def cast(self, values: str, dtype: Any) -> str:
        return self.add("Cast", values, to=self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def concatenated(self, parts: list[str]) -> str:
        return parts[0] if len(parts) == 1 else self.add("Concat", *parts, axis=1)


def mean_outputs(
    graph: Graph, preparation: Preparation, networks: list[TabularNetwork], in_units: Callable[[Graph, str], str]
) -> str:
    """From inputs for the columns of a table to the mean of the networks' outputs, float64, shape (rows, outputs).

    `in_units` makes outputs in the unit of y of those of one network.
    """
    names = [f"column_{i}" for i in range(preparation.n_features_in_)]
    if hasattr(preparation, "feature_names_in_"):
        names = [str(name) for name in preparation.feature_names_in_]
    reserved = {name for name in names if name in ("", *OUTPUTS) or name.startswith(PREFIX)}
    taken = sorted({name for name in names if names.count(name) > 1} | reserved)
    if taken:
        raise ValueError(
            f"the inputs of an ONNX model are named like the columns: names must be different, not empty, not among"
            f" {OUTPUTS}, and not begin with {PREFIX!r}, got {taken}"
        )
    for name, known in zip(names, preparation.categories_):
        is_text = known is not None and (not known or isinstance(known[0], str))
        dtype = graph.onnx.TensorProto.STRING if is_text else graph.onnx.TensorProto.DOUBLE
        graph.inputs.append(graph.onnx.helper.make_tensor_value_info(name, dtype, ["rows", 1]))
    parts = prepared(graph, preparation, names)
    total = None
    for network in networks:
        outputs = in_units(graph, graph.cast(network_outputs(graph, network, *parts), np.float64))
        total = outputs if total is None else graph.add("Add", total, outputs)
    return graph.add("Div", str(total), graph.constant(len(networks), np.float64))


def finished(graph: Graph, name: str, outputs: list[Any]) -> Any:
    """The checked model."""
    helper = graph.onnx.helper
    model = helper.make_model(
        helper.make_graph(graph.nodes, name, graph.inputs, outputs, graph.constants),
        producer_name="fastmlp",
        producer_version=__version__,
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)],
    )
    graph.onnx.checker.check_model(model, full_check=True)
    return model


def prepared(graph: Graph, preparation: Preparation, names: list[str]) -> tuple[str | None, str | None, list[str]]:
    """Numbers and one-hot columns as in `PreparedTable`, None if there are none, and the codes of each category, int64,
    shape (rows, 1)."""
    numbers, one_hot, codes = [], [], []
    number = column = 0

    def scaled_rows(rows: np.ndarray) -> np.ndarray:
        """What the rows of a one-hot column or columns become."""
        nonlocal column
        part = slice(column, column + rows.shape[1])
        column += rows.shape[1]
        return preparation.scaled_one_hot(rows, part)

    for name, known, has_indicator in zip(names, preparation.categories_, preparation.has_indicator_):
        if known is None:
            is_missing = graph.add("IsNaN", name)
            median = graph.constant([[preparation.medians_[number]]], np.float64)
            numbers.append(_number(graph, preparation, number, graph.add("Where", is_missing, median, name)))
            number += 1
            if has_indicator:
                table = scaled_rows(np.array([[0.0], [1.0]]))
                absent, present = (graph.constant([row], np.float64) for row in table)
                one_hot.append(graph.add("Where", is_missing, present, absent))
            continue
        code = _code(graph, name, known)
        if preparation.is_one_hot(known):
            table = scaled_rows(one_hot_of(np.arange(len(known) + 1), len(known)).astype(np.float64))
            if table.shape[1]:
                gathered = graph.add("Gather", graph.constant(table, np.float64), code, axis=0)
                one_hot.append(graph.add("Reshape", gathered, graph.constant([-1, table.shape[1]], np.int64)))
        else:
            codes.append(code)
    if numbers and preparation.quantiles_ is not None:
        normal = normal_quantile(graph, graph.concatenated(numbers))
        is_constant = graph.constant([preparation.factors_ == 0], np.bool_)
        numbers = [graph.add("Where", is_constant, graph.constant([[0.0]], np.float64), normal)]
    all_numbers, all_one_hot = (
        graph.cast(graph.concatenated(part), np.float32) if part else None for part in (numbers, one_hot)
    )
    return all_numbers, all_one_hot, codes


def _code(graph: Graph, name: str, known: list[Any]) -> str:
    """The code of each row, int64, shape (rows, 1)."""
    if not known or isinstance(known[0], str):
        values = list(range(1, len(known) + 1))
        keys = known or [""]
        return graph.add(
            "LabelEncoder",
            name,
            domain="ai.onnx.ml",
            keys_strings=keys,
            values_int64s=values or [0],
            default_int64=0,
        )
    inexact = [value for value in known if float(value) != value]
    if inexact:
        raise ValueError(
            f"the inputs of an ONNX model are float64, which cannot tell the categories {inexact[:3]} of {name!r} from others:"
            " fit with .astype(str) of this column"
        )
    equal = graph.add("Equal", name, graph.constant([known], np.float64))
    counted = graph.add(
        "MatMul", graph.cast(equal, np.float64), graph.constant(np.arange(1, len(known) + 1)[:, None], np.float64)
    )
    return graph.cast(counted, np.int64)


def _number(graph: Graph, preparation: Preparation, number: int, x: str) -> str:
    def constant(value: float) -> str:
        return graph.constant([[value]], np.float64)

    if preparation.quantiles_ is not None:
        x = graph.add("Div", x, constant(preparation.spreads_[number]))
        return _probability(graph, preparation.quantiles_, number, x)
    z = graph.add("Sub", x, constant(preparation.medians_[number]))
    z = graph.add("Mul", z, constant(preparation.factors_[number]))
    z = graph.add("Max", graph.add("Min", z, constant(MAX_SCALED)), constant(-MAX_SCALED))
    third = graph.add("Div", z, constant(3))
    root = graph.add("Sqrt", graph.add("Add", graph.add("Mul", third, third), constant(1)))
    return graph.add("Div", z, root)


def _probability(graph: Graph, transformer: Any, number: int, x: str) -> str:
    """The share of the training rows below x, as QuantileTransformer interpolates it."""
    quantiles, references = transformer.quantiles_[:, number], transformer.references_
    left, widths, rises = quantiles[:-1], np.diff(quantiles), np.diff(references)
    sloped = widths > 0

    def constant(values: Any) -> str:
        return graph.constant(np.atleast_2d(values), np.float64)

    def sum_over(parts: str, weights: np.ndarray) -> str:
        return graph.add("MatMul", parts, graph.constant(weights[:, None], np.float64))

    total = constant(references[0])
    if sloped.any():
        share = graph.add("Div", graph.add("Sub", x, constant(left[sloped])), constant(widths[sloped]))
        share = graph.add("Max", graph.add("Min", share, constant(1)), constant(0))
        total = graph.add("Add", total, sum_over(share, rises[sloped]))
    if not sloped.all():  # several equal quantiles: half of the rise below x, half at x
        at = constant(left[~sloped])
        for is_passed in (graph.add("Greater", x, at), graph.add("Not", graph.add("Less", x, at))):
            total = graph.add("Add", total, sum_over(graph.cast(is_passed, np.float64), rises[~sloped] / 2))
    is_low = graph.add("Less", x, constant(quantiles[0] + BOUND))
    is_high = graph.add("Greater", x, constant(quantiles[-1] - BOUND))
    total = graph.add("Where", is_high, constant(1), total)
    total = graph.add("Where", is_low, constant(0), total)
    return graph.add("Max", graph.add("Min", total, constant(1 - BOUND)), constant(BOUND))


BOUND = 1e-7
"""QuantileTransformer's distance from the ends, and its least probability."""

CENTRAL = (
    (3.3871328727963666080, 133.14166789178437745, 1971.5909503065514427, 13731.693765509461125)
    + (45921.953931549871457, 67265.770927008700853, 33430.575583588128105, 2509.0809287301226727),
    (1.0, 42.313330701600911252, 687.18700749205790830, 5394.1960214247511077)
    + (21213.794301586595867, 39307.895800092710610, 28729.085735721942674, 5226.4952788528545610),
)
TAIL = (
    (1.42343711074968357734, 4.63033784615654529590, 5.76949722146069140550, 3.64784832476320460504)
    + (1.27045825245236838258, 0.241780725177450611770, 0.0227238449892691845833, 7.74545014278341407640e-4),
    (1.0, 2.05319162663775882187, 1.67638483018380384940, 0.689767334985100004550)
    + (0.148103976427480074590, 0.0151986665636164571966, 5.47593808499534494600e-4, 1.05075007164441684324e-9),
)
"""Numerators and denominators, from the constant term on, of the normal quantile function in double precision, for
probabilities between 1e-11 and 1 - 1e-11 (Wichura 1988, algorithm AS 241)."""


def normal_quantile(graph: Graph, p: str) -> str:
    """The values below which a standard normal variable lies with these probabilities."""

    def constant(value: float) -> str:
        return graph.constant([[value]], np.float64)

    def ratio(x: str, coefficients: tuple[tuple[float, ...], tuple[float, ...]]) -> str:
        values = []
        for terms in coefficients:
            value = constant(terms[-1])
            for term in terms[-2::-1]:
                value = graph.add("Add", graph.add("Mul", value, x), constant(term))
            values.append(value)
        return graph.add("Div", *values)

    q = graph.add("Sub", p, constant(0.5))
    inner = graph.add("Sub", constant(0.180625), graph.add("Mul", q, q))
    central = graph.add("Mul", q, ratio(inner, CENTRAL))
    smaller = graph.add("Min", p, graph.add("Sub", constant(1), p))
    root = graph.add("Sqrt", graph.add("Neg", graph.add("Log", smaller)))
    outer = ratio(graph.add("Sub", root, constant(1.6)), TAIL)
    outer = graph.add("Mul", outer, graph.add("Sign", q))
    return graph.add("Where", graph.add("Less", graph.add("Abs", q), constant(0.425)), central, outer)


def network_outputs(
    graph: Graph, network: TabularNetwork, numbers: str | None, one_hot: str | None, codes: list[str]
) -> str:
    """What `TabularNetwork.forward` returns, shape (rows, outputs)."""
    a, p = network.architecture, network.parameters

    def constant(values: Any) -> str:
        return graph.constant(values, np.float32)

    def shape(*sizes: int) -> str:
        return graph.constant(sizes, np.int64)

    def per_number(values: str, weights: np.ndarray) -> str:
        """(rows, numbers, terms) times weights (numbers, terms, outputs), as (rows, numbers * outputs)."""
        product = graph.add("MatMul", graph.add("Transpose", values, perm=[1, 0, 2]), constant(weights))
        product = graph.add("Transpose", product, perm=[1, 0, 2])
        return graph.add("Reshape", product, shape(-1, weights.shape[0] * weights.shape[2]))

    parts = []
    if numbers is not None:
        each = graph.add("Reshape", numbers, shape(-1, a.numbers, 1))
        if a.frequencies:
            angles = graph.add("Mul", each, constant(2 * np.pi * p["numbers.frequencies"].astype(float)[None]))
            angles = graph.add("Add", angles, constant(p["numbers.phases"][None]))
            weights = p["numbers.weights"].reshape(a.numbers, a.frequencies, a.embedding_outputs)
            embedded = per_number(graph.add("Cos", angles), weights)
            parts.append(graph.add("Add", embedded, constant(p["numbers.biases"].reshape(1, -1))))
        if a.bin_edges:
            parts.append(_piecewise(graph, network, each, per_number))
        else:
            parts.append(numbers)
    if one_hot is not None:
        parts.append(one_hot)
    for i, code in enumerate(codes):
        table = p[f"categories.{i}"]
        gathered = graph.add("Gather", constant(table), code, axis=0)
        parts.append(graph.add("Reshape", gathered, shape(-1, table.shape[1])))
    values = graph.add("Reshape", graph.concatenated(parts), shape(1, -1, p["hidden.0.weights"].shape[0]))
    row = activations.TABLE[a.activation]
    for i in range(len(a.hidden)):
        layer = {name.rpartition(".")[2]: array for name, array in p.items() if name.startswith(f"hidden.{i}.")}
        if "input_factors" in layer:
            values = graph.add("Mul", values, constant(layer["input_factors"][:, None]))
        values = graph.add("MatMul", values, constant(layer["weights"]))
        if "output_factors" in layer:
            values = graph.add("Mul", values, constant(layer["output_factors"][:, None]))
        biases = layer.get("member_biases", layer.get("biases"))
        values = graph.add("Add", values, constant(np.reshape(biases, (-1, 1, a.hidden[i]))))
        activated = _activated(graph, row, values)
        if "activation_shares" in layer:
            change = graph.add("Sub", activated, values)
            change = graph.add("Mul", change, constant(layer["activation_shares"][:, None]))
            activated = graph.add("Add", values, change)
        values = activated
    heads = [np.stack([p[f"heads.{k}.{kind}"] for k in range(a.members)]) for kind in ("weights", "biases")]
    values = graph.add("Add", graph.add("MatMul", values, constant(heads[0])), constant(heads[1][:, None]))
    if losses.TABLE[a.loss].has_labels:
        values = graph.add("Softmax", values, axis=2)
    return graph.add("ReduceMean", values, axes=[0], keepdims=0)


def _piecewise(graph: Graph, network: TabularNetwork, each: str, per_number: Any) -> str:
    a, p = network.architecture, network.parameters
    bins, far = max(map(len, a.bin_edges)) - 1, np.finfo(np.float32).max
    left, width, least, greatest = np.zeros((4, a.numbers, bins))
    width[:] = 1
    for j, edges in enumerate(a.bin_edges):
        n = len(edges) - 1
        left[j, :n], width[j, :n], greatest[j, :n] = edges[:-1], np.diff(edges), 1
        least[j, 0], greatest[j, n - 1] = -far, far
    shares = graph.add("Sub", each, graph.constant(left[None], np.float32))
    shares = graph.add("Div", shares, graph.constant(width[None], np.float32))
    shares = graph.add("Max", shares, graph.constant(least[None], np.float32))
    shares = graph.add("Min", shares, graph.constant(greatest[None], np.float32))
    embedded = per_number(shares, p["numbers.weights"].reshape(a.numbers, bins, a.embedding_outputs))
    linear = per_number(each, p["numbers.slopes"][:, None])
    biases = graph.constant(p["numbers.biases"].reshape(1, -1), np.float32)
    return graph.add("Add", graph.add("Add", embedded, linear), biases)


def _activated(graph: Graph, row: activations.Activation, x: str) -> str:
    found: list[str] = []
    for operator, *inputs in row.onnx:
        names = [
            found[each] if isinstance(each, int) else x if each == "x" else graph.constant(each, np.float32)
            for each in inputs
        ]
        found.append(graph.add(str(operator), *names))
    return found[-1] if found else x
