"""Networks as ONNX models: one graph of standard operators, which any runtime of the last years reads."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import activations, validation
from ..model_state import ModelSpec, ModelState, Standardization
from ..version import __version__
from .model_file import model_metadata

OPSET, IR_VERSION = 13, 7  # of ONNX 1.8 (2020): nothing here needs later ones, and old runtimes refuse those
MAX_MODEL_BYTES = 2**31 - 1  # of one protobuf message

INPUT_TYPES = ("float32", "float64", "uint8")


def load_onnx() -> Any:
    try:
        import onnx
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] != "onnx":
            raise
        raise ImportError("Network.to_onnx needs onnx: pip install 'fastmlp[onnx]'") from None
    return onnx


def to_onnx(model: ModelState, input_type: str | None) -> Any:
    """What `Network.to_onnx` returns."""
    spec = model.spec
    input_type = spec.dtype.name if input_type is None else input_type
    if str(input_type).endswith(".onnx"):
        raise ValueError(f"to_onnx returns the model and writes no file: onnx.save(net.to_onnx(), {input_type!r})")
    input_type = validation.check_choice("input_type", input_type, INPUT_TYPES)
    onnx = load_onnx()
    _check_size(spec)
    constants: dict[str, float] = {}
    for i, (row, settings) in enumerate(spec.hidden_activations):
        if spec.dtype.name not in row.onnx_dtypes:
            supported = " or ".join(row.onnx_dtypes)
            raise ValueError(
                f"a network with activation={row.name!r} must be {supported} to be exported, because onnxruntime computes"
                f" no other type of it, got {spec.dtype}"
            )
        constants |= {_prefix(spec, i) + name: value for name, value in settings.items()}
        constants |= {str(each): each for _, *inputs in row.onnx for each in inputs if isinstance(each, float)}
    arrays = model.finite_arrays("exported")
    arrays["input_scale"] = np.array(spec.input_scale, spec.dtype)
    arrays["half"] = np.array(0.5, spec.dtype)
    arrays |= {name: np.array(value, spec.dtype) for name, value in constants.items()}
    standardization = model.standardization
    if standardization is not None:
        arrays |= {**standardization.arrays(), "input_factor": 1 / standardization.input_std}
    nodes = _nodes(onnx, spec, input_type, standardization)
    used = {name for node in nodes for name in node.input}
    tensor_type, tensor = onnx.helper.np_dtype_to_tensor_dtype, onnx.helper.make_tensor_value_info
    outputs = [tensor("outputs", tensor_type(spec.dtype), ["rows", spec.layer_sizes[-1]])]
    if spec.loss_row.decision is not None:
        columns = [] if spec.loss_row.decision == "argmax" else [spec.layer_sizes[-1]]
        outputs.append(tensor("classes", onnx.TensorProto.INT64, ["rows", *columns]))
    graph = onnx.helper.make_graph(
        nodes,
        "network",
        [tensor("inputs", tensor_type(np.dtype(input_type)), ["rows", spec.layer_sizes[0]])],
        outputs,
        [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items() if name in used],
    )
    return finished(onnx, graph, model_metadata(spec))


def finished(onnx: Any, graph: Any, metadata: dict[str, str]) -> Any:
    """The checked model of a graph."""
    graph_model = onnx.helper.make_model(
        graph,
        producer_name="fastmlp",
        producer_version=__version__,
        ir_version=IR_VERSION,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
    )
    onnx.helper.set_model_props(graph_model, metadata)
    onnx.checker.check_model(graph_model, full_check=True)
    return graph_model


def _nodes(onnx: Any, spec: ModelSpec, input_type: str, standardization: Standardization | None) -> list[Any]:
    """From "inputs" to "outputs" and "classes"; arrays have the names that they have in model files."""
    nodes: list[Any] = []

    def add(operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(onnx.helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def cast(values: str, found: str, dtype: str, output: str) -> str:
        if found == dtype:
            return values
        return add("Cast", [values], output, to=onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    values = "inputs"
    if standardization is not None:  # in double, as the network does
        values = cast(values, input_type, "float64", "double_inputs")
        values = add("Sub", [values, "input_mean"], "deviations")
        values = add("Mul", [values, "input_factor"], "standardized_inputs")
        input_type = "float64"
    values = cast(values, input_type, spec.dtype.name, "cast_inputs")
    if spec.input_scale != 1:
        values = add("Mul", [values, "input_scale"], "scaled_inputs")

    def activate(row: activations.Activation, prefix: str, x: str, output: str) -> str:
        found: list[str] = []
        for operator, *inputs in row.onnx:
            known = {"x": x, **{name: prefix + name for name in row.settings}}
            names = [found[each] if isinstance(each, int) else known.get(str(each), str(each)) for each in inputs]
            found.append(
                add(str(operator), names, output if len(found) + 1 == len(row.onnx) else f"{output}.{len(found)}")
            )
        return found[-1]

    last = len(spec.shapes) - 1
    for i in range(last + 1):
        # not one Gemm: onnxruntime up to 1.17 fuses that with its activation for float64, too, and has no such kernel
        values = add("MatMul", [values, f"weights.{i}"], f"products.{i}")
        values = add("Add", [values, f"biases.{i}"], f"sums.{i}")
        if i < last:
            values = activate(spec.hidden_activations[i][0], _prefix(spec, i), values, f"activations.{i}")
    if standardization is None or standardization.target_std is None:
        values = activate(activations.TABLE[spec.loss_row.output], "", values, "outputs")
    else:  # their activation is the identity
        values = cast(values, spec.dtype.name, "float64", "double_outputs")
        values = add("Mul", [values, "target_std"], "scaled_outputs")
        values = add("Add", [values, "target_mean"], "outputs" if spec.dtype == np.float64 else "shifted_outputs")
        values = cast(values, "float64", spec.dtype.name, "outputs")
    return nodes + decision_nodes(onnx, spec, values)


def decision_nodes(onnx: Any, spec: ModelSpec, outputs: str) -> list[Any]:
    """From the outputs to "classes"; none for losses without classes."""
    make = onnx.helper.make_node
    if spec.loss_row.decision == "argmax":
        return [make("ArgMax", [outputs], ["classes"], name="classes", axis=1, keepdims=0)]
    if spec.loss_row.decision == "threshold":
        likely = make("Greater", [outputs, "half"], ["likely"], name="likely")
        return [likely, make("Cast", ["likely"], ["classes"], name="classes", to=onnx.TensorProto.INT64)]
    return []


def _prefix(spec: ModelSpec, layer: int) -> str:
    """Of the names of a hidden layer's settings, where they may differ."""
    return "" if isinstance(spec.activation, str) else f"activations.{layer}."


def _check_size(spec: ModelSpec) -> None:
    besides = 4096 + 1024 * len(spec.layer_sizes)  # names, nodes and metadata: a few hundred bytes for a layer
    check_size(spec.parameter_count * spec.dtype.itemsize + besides, "a network")


def check_size(needed: int, what: str) -> None:
    if needed > MAX_MODEL_BYTES:
        raise ValueError(
            f"an ONNX model must have at most {MAX_MODEL_BYTES} bytes, the limit of protobuf, got {what} of {needed}: "
            "save has no such limit"
        )
