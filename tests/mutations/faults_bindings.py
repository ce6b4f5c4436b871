"""Faults of the bindings: their checks, the GIL released, arrays kept alive, states taken over."""

from faults import Fault

FAULTS = [
    # from the first round
    Fault(
        "B01",
        "const Pin pin = pin_inputs(x); const ReleasedGil released; finite = network",
        "const Pin pin = pin_inputs(x); finite = network",
    ),  # forward keeps the GIL
    Fault(
        "B02", "if (*std::min_element(order_.begin(), order_.end()) < 0)", "if (order_.front() < 0)"
    ),  # reads before the data
    Fault(
        "B04",
        "outputs == network.outputs() && loss == network.loss().kind;",
        "outputs == network.outputs();",
    ),  # a data set of another loss is taken
    Fault("B05", "plan.max_row() < data.inputs.rows", "plan.max_row() <= data.inputs.rows"),  # one row beyond the data
    Fault("B06", "const ReleasedGil released; network.evaluate(", "network.evaluate("),  # evaluate keeps the GIL
    Fault(
        "B07", "data.targets_from(begin + part.begin, z.columns)", "data.targets_from(part.begin, z.columns)"
    ),  # from the second call on
    Fault(
        "B08", "piece.array_offset <= to.nbytes() - piece.bytes", "piece.array_offset <= to.nbytes()"
    ),  # reads beyond the array
    Fault("B09", 'each = py::getattr(each, "base")', "each = py::none()"),  # the memory of a view is not held
    Fault(
        "B10",
        "if (is_held(owner))",
        "if (is_held(owner) && owner.thread != std::this_thread::get_id())",
    ),  # a callback may fit the network that is being fitted
    Fault(
        "B11", "forks == forks_ || (thread", "forks <= forks_ || (thread"
    ),  # a child of fork cannot fit what its parent was fitting
    Fault(
        "B12", "std::fill_n(to.weights, layer.shape().size(), T(0));", ""
    ),  # NaN of a diverged fit stays in the padding
    Fault("B13", "trainer.set_updates(updates);", ""),  # a resumed Adam begins to count anew
]
