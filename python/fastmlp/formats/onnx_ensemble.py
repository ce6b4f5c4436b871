"""Ensembles as ONNX models: the graphs of the members side by side, and the mean of their outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..model_state import ModelState
from . import onnx_graph


def to_onnx(models: Sequence[ModelState], input_type: str | None) -> Any:
    """What `Ensemble.to_onnx` returns."""
    members = [onnx_graph.to_onnx(model, input_type) for model in models]
    model, onnx = members[0], onnx_graph.load_onnx()
    onnx_graph.check_size(sum(member.ByteSize() for member in members), "an ensemble")
    spec = models[0].spec
    nodes, constants, means = [], [], []
    for j, member in enumerate(members):
        own = list(member.graph.node)
        del own[1 + [list(node.output) for node in own].index(["outputs"]) :]  # the classes are those of the mean
        for node in own:
            node.name = f"members.{j}.{node.name}"
            node.input[:] = [name if name == "inputs" else f"members.{j}.{name}" for name in node.input]
            node.output[:] = [f"members.{j}.{name}" for name in node.output]
        used = {name for node in own for name in node.input}
        for array in member.graph.initializer:
            array.name = f"members.{j}.{array.name}"
        nodes += own
        constants += [array for array in member.graph.initializer if array.name in used]
        means.append(f"members.{j}.outputs")
    of_members = len(nodes)

    def add(operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(onnx.helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    is_double = spec.dtype == np.float64  # sums are computed in double, as those of Ensemble.forward
    if not is_double:
        means = [add("Cast", [mean], f"double.{mean}", to=onnx.TensorProto.DOUBLE) for mean in means]
    add("Sum", means, "total")  # not Mean, of which onnxruntime has a kernel for float32 only
    mean = add("Div", ["total", "count"], "outputs" if is_double else "double.outputs")
    if not is_double:
        add("Cast", [mean], "outputs", to=onnx.TensorProto.FLOAT)
    numbers = {"count": np.array(len(models), np.float64), "half": np.array(0.5, spec.dtype)}
    decisions = onnx_graph.decision_nodes(onnx, spec, "outputs")
    used = {name for node in [*nodes[of_members:], *decisions] for name in node.input}
    constants += [onnx.numpy_helper.from_array(array, name) for name, array in numbers.items() if name in used]
    graph = onnx.helper.make_graph(
        nodes + decisions, "ensemble", list(model.graph.input), list(model.graph.output), constants
    )
    metadata = {f"members.{j}.{entry.key}": entry.value for j, m in enumerate(members) for entry in m.metadata_props}
    return onnx_graph.finished(onnx, graph, {"members": str(len(models)), **metadata})
