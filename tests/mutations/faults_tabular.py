"""Faults of the networks for tables and of their estimators."""

from faults import Fault

FAULTS = [
    Fault(
        "T01", "member * batch_rows)) {", "0)) {"
    ),  # all members drop the same units in forward, and others in backward
    Fault(
        "T02", "* factors.epsilon * correction", "* factors.epsilon"
    ),  # epsilon is added to the root before its correction, as scikit-learn does and PyTorch does not
    Fault("T03", "worker.share(state.gradient.stride() / lanes)", "worker.share(state.gradient.columns() / lanes)"),
    Fault(
        "T05", "if (is_fused(pass)) update_array(pass, state, row * state.gradient.stride() + begin, size);", ""
    ),  # factors and shares stay as they are
    Fault(
        "T06", "group < shape.members) && !sums_.size()", "false) && !sums_.size()"
    ),  # gradients of several groups of members have no sums
    Fault("T07", "std::clamp<int64_t>(above - 1, 0, bins - 1)", "std::clamp<int64_t>(above, 0, bins - 1)"),
    Fault(
        "T08", "const V folded = min(a, V::broadcast(T(0.5)) - a);", "const V folded = a;"
    ),  # sines beyond a quarter of a turn
    Fault(
        "T09", "(member == 0 ? T(0) : mean.row(i)[j]) + share", "share"
    ),  # the prediction is a part of the last member's
    Fault("T10", "(now == best_score and settings.last_best)", "False"),  # RealMLP keeps the first best epoch
    Fault(
        "T11", "weights, z = weights / deviation, z / deviation", "weights = weights / deviation"
    ),  # he+5 takes the values before their scale
    Fault(
        "T12", "np.repeat(random, columns_of_feature, axis=1)", "np.repeat(random, columns_of_feature, axis=1) * 1.01"
    ),  # signs that are not 1
    Fault("T13", '"member_biases", "slopes"', '"slopes"'),  # biases of members decay
    Fault(
        "T14", "used = rows if settings.keeps_last_batch else rows // size * size", "used = rows"
    ),  # RealMLP trains on the rows that are left
    Fault("T15", "np.repeat(targets, goal.outputs_per_target, axis=1)", "np.tile(targets, goal.outputs_per_target)"),
    Fault(
        "T16", "end = std::min(tile.row + tile.rows, (block + 1) * sum_rows);", "end = tile.row + tile.rows;"
    ),  # a sum goes on over the next block: its order depends on the number of units
    Fault("T17", "bound.in_use.exchange(true)", "bound.in_use.exchange(false)"),  # two threads use one trainer
]
