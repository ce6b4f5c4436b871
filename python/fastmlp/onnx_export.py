"""Networks as ONNX models: one graph of standard operators, which any runtime of the last years reads."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import validation
from .model_files import finite_arrays, network_metadata

OPSET, IR_VERSION = 13, 7  # of ONNX 1.8 (2020): nothing here needs later ones, and old runtimes refuse those
LARGEST_MODEL = 2**31 - 1  # bytes in one protobuf message

INPUT_TYPES = ("float32", "float64", "uint8")
OPERATORS = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid", "identity": "Identity"}
OUTPUT_OPERATORS = {
    "cross_entropy": "Softmax",
    "squared_error": "Identity",
    "binary_cross_entropy": "Sigmoid",
    "poisson": "Exp",
}


def _onnx() -> Any:
    try:
        import onnx
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] != "onnx":
            raise
        raise ImportError("Network.to_onnx needs onnx: pip install 'fastmlp[onnx]'") from None
    return onnx


def to_onnx(network: Any, input_type: str | None) -> Any:
    """What `Network.to_onnx` returns."""
    from . import __version__

    input_type = network.dtype.name if input_type is None else input_type
    input_type = validation.check_choice("input_type", input_type, INPUT_TYPES)
    onnx = _onnx()
    _check_size(network)
    arrays = finite_arrays(network, "exported")
    arrays["input_scale"] = np.array(network.input_scale, network.dtype)
    arrays["half"] = np.array(0.5, network.dtype)
    nodes = _nodes(onnx, network, input_type)
    used = {name for node in nodes for name in node.input}
    tensor_type, tensor = onnx.helper.np_dtype_to_tensor_dtype, onnx.helper.make_tensor_value_info
    outputs = [tensor("outputs", tensor_type(network.dtype), ["rows", network.layer_sizes[-1]])]
    if network.loss == "cross_entropy":
        outputs.append(tensor("classes", onnx.TensorProto.INT64, ["rows"]))
    elif network.loss == "binary_cross_entropy":
        outputs.append(tensor("classes", onnx.TensorProto.INT64, ["rows", network.layer_sizes[-1]]))
    graph = onnx.helper.make_graph(
        nodes,
        "network",
        [tensor("inputs", tensor_type(np.dtype(input_type)), ["rows", network.layer_sizes[0]])],
        outputs,
        [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items() if name in used],
    )
    model = onnx.helper.make_model(
        graph,
        producer_name="fastmlp",
        producer_version=__version__,
        ir_version=IR_VERSION,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
    )
    onnx.helper.set_model_props(model, network_metadata(network))
    onnx.checker.check_model(model, full_check=True)
    return model


def _nodes(onnx: Any, network: Any, input_type: str) -> list[Any]:
    """From "inputs" to "outputs" and "classes"; arrays go by the names that they have in model files."""
    nodes: list[Any] = []

    def add(operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(onnx.helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    values = "inputs"
    if input_type != network.dtype.name:
        values = add("Cast", [values], "cast_inputs", to=onnx.helper.np_dtype_to_tensor_dtype(network.dtype))
    if network.input_scale != 1:
        values = add("Mul", [values, "input_scale"], "scaled_inputs")
    last = len(network.layer_sizes) - 2
    for i in range(last + 1):
        # not one Gemm: onnxruntime up to 1.17 fuses that with its activation for float64, too, and has no such kernel
        values = add("MatMul", [values, f"weights.{i}"], f"products.{i}")
        values = add("Add", [values, f"biases.{i}"], f"sums.{i}")
        if i < last:
            values = add(OPERATORS[network.activation], [values], f"activations.{i}")
    values = add(OUTPUT_OPERATORS[network.loss], [values], "outputs")
    if network.loss == "cross_entropy":
        add("ArgMax", [values], "classes", axis=1, keepdims=0)
    elif network.loss == "binary_cross_entropy":
        add("Cast", [add("Greater", [values, "half"], "likely")], "classes", to=onnx.TensorProto.INT64)
    return nodes


def _check_size(network: Any) -> None:
    besides = 4096 + 1024 * len(network.layer_sizes)  # names, nodes and metadata: a few hundred bytes for a layer
    needed = network.parameter_count * network.dtype.itemsize + besides
    if needed > LARGEST_MODEL:
        raise ValueError(
            f"an ONNX model must have at most {LARGEST_MODEL} bytes, the limit of protobuf, got a network of {needed}: "
            "Network.save has no such limit"
        )
