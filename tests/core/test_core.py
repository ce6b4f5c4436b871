"""Every entry point of the core by itself: what it rejects, and that it changes nothing then.

The Python package checks first, with better messages; the core checks again what memory safety needs.
"""

import numpy as np
import pytest
import reference
from core_objects import SIZES, bound, dataset, everything, new_network, run, sum_gradients
from fastmlp import Network, Trainer, _core
from fastmlp.losses import TABLE as LOSSES
from problems import DTYPES, OPTIMIZERS, assert_equal_bits, problem
from teams import team_of

# Rejections. Each changes one argument of a call that would be right.


def vector_of(core, trainer):
    return np.zeros(5 * 7 + 7 + 7 * 3 + 3)


USES_OF_DATA = {
    "run": lambda core, trainer, data: run(trainer, data),
    "sum_gradients": lambda core, trainer, data: sum_gradients(trainer, data),
    "evaluate": lambda core, trainer, data: core.evaluate(data, 0, 20, _core.LossSum(), 1),
}


@pytest.mark.parametrize("use", USES_OF_DATA.values(), ids=USES_OF_DATA)
@pytest.mark.parametrize(
    "sizes, loss",
    [
        ((6, 7, 3), "squared_error"),
        ((5, 7, 4), "squared_error"),
        ((5, 7, 3), "cross_entropy"),
        ((5, 7, 3), "binary_cross_entropy"),
        ((5, 7, 3), "poisson"),
    ],
)
def test_data_of_another_network_are_rejected(use, sizes, loss):
    core, trainer, own = bound(loss="squared_error")
    other, _, _ = bound(sizes=sizes, loss=loss)
    before = everything(core, trainer)
    with pytest.raises(ValueError, match="another network"):
        use(core, trainer, dataset(other, "float64", loss, sizes))
    assert_equal_bits(everything(core, trainer), before)
    use(core, trainer, own)


@pytest.mark.parametrize("place", [0, 9, 19])
@pytest.mark.parametrize("row", [-1, -(2**63), 20, 2**31, 2**40])
def test_orders_of_rows_stay_within_the_data(row, place):
    core, trainer, data = bound()
    before, order = everything(core, trainer), np.arange(20)
    order[place] = row
    with pytest.raises(ValueError, match="order names a row"):
        run(trainer, data, order)
    with pytest.raises(ValueError, match="order names a row"):
        sum_gradients(trainer, data, order)
    assert_equal_bits(everything(core, trainer), before)
    order[place] = 19
    run(trainer, data, order)
    sum_gradients(trainer, data, order)
    with pytest.raises(ValueError, match="order names a row"):
        run(trainer, data, 21)


@pytest.mark.parametrize("first, second", [("run", "run"), ("run", "sum"), ("sum", "run"), ("sum", "sum")])
def test_a_plan_is_a_copy_of_its_order(first, second):
    """Of the array as it was when the plan was made, for all of its calls."""
    order, results = np.random.default_rng(0).permutation(20), []
    for changed in (False, True):
        core, trainer, data = bound()
        given, total = order.copy(), _core.LossSum()
        plan = _core.EpochPlan(given, 4)
        position = 0
        for call in (first, second):
            if call == "run":
                position = trainer.run(data, plan, _core.UpdateSettings(0.1), position, total, 1, 0.0)
            else:
                position = trainer.sum_gradients(data, plan, position, total, 1, 0.0)
            given[:] = 2**40 if changed else order
        results.append([*everything(core, trainer), np.array([total.loss, total.correct])])
    assert_equal_bits(*results)


def test_a_plan_of_a_number_of_rows_takes_them_in_order():
    results = []
    for order in (20, np.arange(20)):
        core, trainer, data = bound()
        assert _core.EpochPlan(order, 3).rows == 20
        run(trainer, data, order, batch_size=3, accumulate=2)
        results.append(everything(core, trainer))
    assert_equal_bits(*results)


@pytest.mark.parametrize("sum_alone", [False, True])
@pytest.mark.parametrize("other", ["plan", "data"])
def test_a_slice_takes_no_rows_that_another_plan_or_data_set_has_prefetched(other, sum_alone):
    """A call that ends early has gathered the next rows; only the same plan of the same data may go on with them."""
    results = []
    for prefetches in (False, True):
        core, trainer, data = bound()
        X, y = problem(20, "cross_entropy", "float64", SIZES)
        more_data = core.dataset(X[::-1].copy(), y[::-1].astype(np.int64))
        orders = [np.arange(20), np.arange(20)[::-1].copy()]
        plans, settings = [_core.EpochPlan(order, 4) for order in orders], _core.UpdateSettings(0.1)
        if prefetches:
            before, total = trainer.memory(), _core.LossSum()
            assert trainer.run(data, plans[0], settings, 0, total, 1, 0.0) == 4
            trainer.set_memory(before)
            trainer.updates = 0
        data, plan, total = more_data if other == "data" else data, plans[other == "plan"], _core.LossSum()
        if sum_alone:
            assert trainer.sum_gradients(data, plan, 4, total, 1, 1e6) == 8
        else:
            assert trainer.run(data, plan, settings, 4, total, 1, 1e6) == 20
        results.append([*everything(core, trainer), np.array([total.loss])])
    assert_equal_bits(*results)


def a_loss(z, y, loss, settings=()):
    return _core.loss(z, np.asarray(y), getattr(_core.Loss, loss), list(settings))


REJECTED = {
    "plan, order of two dimensions": lambda core, trainer, data: _core.EpochPlan(np.zeros((2, 2), int), 4),
    "plan, rows below 0": lambda core, trainer, data: _core.EpochPlan(-1, 4),
    "plan, no rows a batch": lambda core, trainer, data: _core.EpochPlan(20, 0),
    "plan, no batch an update": lambda core, trainer, data: _core.EpochPlan(20, 4, 0),
    "plan, divisor below 0": lambda core, trainer, data: _core.EpochPlan(20, 4, 1, -1.0),
    "plan, divisor not a number": lambda core, trainer, data: _core.EpochPlan(20, 4, 1, np.nan),
    "run, before the first row": lambda core, trainer, data: run(trainer, data, position=-1),
    "run, within a batch": lambda core, trainer, data: run(trainer, data, position=1),
    "sum_gradients, before the first row": lambda core, trainer, data: sum_gradients(trainer, data, position=-1),
    "sum_gradients, within a batch": lambda core, trainer, data: sum_gradients(trainer, data, position=19),
    "evaluate, before the first row": lambda core, trainer, data: core.evaluate(data, -1, 20, _core.LossSum(), 1),
    "evaluate, beyond the last row": lambda core, trainer, data: core.evaluate(data, 0, 21, _core.LossSum(), 1),
    "evaluate, backwards": lambda core, trainer, data: core.evaluate(data, 3, 2, _core.LossSum(), 1),
    "forward, before the first row": lambda core, trainer, data: core.forward(np.zeros((4, 5)), -1, 4, 1),
    "forward, beyond the last row": lambda core, trainer, data: core.forward(np.zeros((4, 5)), 0, 5, 1),
    "forward, backwards": lambda core, trainer, data: core.forward(np.zeros((4, 5)), 3, 2, 1),
    "forward, too few columns": lambda core, trainer, data: core.forward(np.zeros((4, 4)), 0, 4, 1),
    "forward, too many columns": lambda core, trainer, data: core.forward(np.zeros((4, 6)), 0, 4, 1),
    "forward, one dimension": lambda core, trainer, data: core.forward(np.zeros(5), 0, 1, 1),
    "weights of no layer": lambda core, trainer, data: core.weights(2),
    "biases of no layer": lambda core, trainer, data: core.biases(2),
    "set_layer, no layer": lambda core, trainer, data: core.set_layer(2, np.zeros((7, 3)), np.zeros(3)),
    "set_layer, weights transposed": lambda core, trainer, data: core.set_layer(0, np.zeros((7, 5)), np.zeros(7)),
    "set_layer, a bias short": lambda core, trainer, data: core.set_layer(0, np.zeros((5, 7)), np.zeros(6)),
    "set_layer, a bias more": lambda core, trainer, data: core.set_layer(0, np.zeros((5, 7)), np.zeros(8)),
    "parameter_vector, short": lambda core, trainer, data: setattr(
        core, "parameter_vector", vector_of(core, trainer)[:-1]
    ),
    "parameter_vector, long": lambda core, trainer, data: setattr(
        core, "parameter_vector", np.append(vector_of(core, trainer), 0)
    ),
    "parameter_vector, two dimensions": lambda core, trainer, data: setattr(
        core, "parameter_vector", vector_of(core, trainer)[None]
    ),
    "set_memory, short": lambda core, trainer, data: trainer.set_memory(trainer.memory()[:-1].copy()),
    "set_memory, long": lambda core, trainer, data: trainer.set_memory(np.append(trainer.memory(), 0)),
    "set_optimizer_state, updates below 0": lambda core, trainer, data: trainer.set_optimizer_state(
        -1, trainer.optimizer_state()[1]
    ),
    "set_optimizer_state, a layer short": lambda core, trainer, data: trainer.set_optimizer_state(
        1, trainer.optimizer_state()[1][:-1]
    ),
    "set_optimizer_state, of momentum": lambda core, trainer, data: trainer.set_optimizer_state(
        1, [arrays[:2] for arrays in trainer.optimizer_state()[1]]
    ),
    "set_optimizer_state, layers exchanged": lambda core, trainer, data: trainer.set_optimizer_state(
        1, trainer.optimizer_state()[1][::-1]
    ),
    "set_optimizer_state, the last layer's arrays transposed": lambda core, trainer, data: trainer.set_optimizer_state(
        1, [trainer.optimizer_state()[1][0], [array.T.copy() for array in trainer.optimizer_state()[1][1]]]
    ),
    "restore_snapshot, none saved": lambda core, trainer, data: trainer.restore_snapshot(),
    "gradients, none summed": lambda core, trainer, data: trainer.gradients(),
    "gradient_vector, none summed": lambda core, trainer, data: trainer.gradient_vector(),
    "dataset, a label short": lambda core, trainer, data: core.dataset(np.zeros((4, 5)), np.zeros(3, int)),
    "dataset, labels of two dimensions": lambda core, trainer, data: core.dataset(
        np.zeros((4, 5)), np.zeros((4, 1), int)
    ),
    "dataset, a label below 0": lambda core, trainer, data: core.dataset(np.zeros((1, 5)), np.array([-1])),
    "dataset, a label of no class": lambda core, trainer, data: core.dataset(np.zeros((1, 5)), np.array([3])),
    "dataset, targets for labels": lambda core, trainer, data: core.dataset(np.zeros((4, 5)), np.zeros((4, 3))),
    "dataset, columns": lambda core, trainer, data: core.dataset(np.zeros((4, 6)), np.zeros(4, int)),
    "dataset, a weight short": lambda core, trainer, data: core.dataset(
        np.zeros((4, 5)), np.zeros(4, int), None, np.ones(3)
    ),
    "dataset, weights of two dimensions": lambda core, trainer, data: core.dataset(
        np.zeros((4, 5)), np.zeros(4, int), None, np.ones((4, 1))
    ),
    "dataset, bits of fewer rows": lambda core, trainer, data: core.dataset(
        np.eye(4, 5), np.zeros(4, int), _core.NonzeroBits(np.eye(3, 5), 1)
    ),
    "dataset, bits of more columns": lambda core, trainer, data: core.dataset(
        np.eye(4, 5), np.zeros(4, int), _core.NonzeroBits(np.eye(4, 6), 1)
    ),
    "matmul": lambda core, trainer, data: _core.matmul(np.zeros((2, 3)), np.zeros((2, 3)), False, False, 1),
    "matmul, a transposed": lambda core, trainer, data: _core.matmul(
        np.zeros((2, 3)), np.zeros((3, 2)), True, False, 1
    ),
    "matmul, b transposed": lambda core, trainer, data: _core.matmul(
        np.zeros((2, 3)), np.zeros((3, 2)), False, True, 1
    ),
    "matmul_bfloat16": lambda core, trainer, data: _core.matmul_bfloat16(
        np.zeros((2, 3), np.float32), np.zeros((2, 3), np.float32), False, False, _core.PairOrder.bfloat16, 1
    ),
    "activation_gradient": lambda core, trainer, data: _core.activation_gradient(
        np.zeros((2, 3)), np.zeros((2, 4)), _core.Activation.tanh, []
    ),
    "activation_gradient, z": lambda core, trainer, data: _core.activation_gradient(
        np.zeros((2, 3)), np.zeros((2, 3)), _core.Activation.tanh, [], np.zeros((2, 4))
    ),
    "activate, a setting": lambda core, trainer, data: _core.activate(np.zeros((2, 3)), _core.Activation.relu, [0.1]),
    "loss, a label short": lambda core, trainer, data: a_loss(np.zeros((2, 3)), [0], "cross_entropy"),
    "loss, a label of no class": lambda core, trainer, data: a_loss(np.zeros((2, 3)), [0, 3], "cross_entropy"),
    "loss, a label below 0": lambda core, trainer, data: a_loss(np.zeros((2, 3)), [0, -1], "cross_entropy"),
    "loss, targets for labels": lambda core, trainer, data: a_loss(np.zeros((2, 3)), np.zeros((2, 3)), "cross_entropy"),
    "loss, labels for targets": lambda core, trainer, data: a_loss(np.zeros((2, 3)), [0, 1], "squared_error"),
    "loss, a setting": lambda core, trainer, data: a_loss(np.zeros((2, 3)), [0, 1], "cross_entropy", [0.1, 0.1]),
    "loss, rows": lambda core, trainer, data: a_loss(np.zeros((2, 3)), np.zeros((3, 3)), "squared_error"),
    "loss, columns": lambda core, trainer, data: a_loss(np.zeros((2, 3)), np.zeros((2, 4)), "squared_error"),
    "loss, nothing": lambda core, trainer, data: a_loss(np.zeros((0, 3)), np.zeros((0, 3)), "squared_error"),
    "network, one size": lambda core, trainer, data: new_network("float64", [5]),
    "network, a size of 0": lambda core, trainer, data: new_network("float64", [5, 0, 3]),
    "network, a size of 2**31": lambda core, trainer, data: new_network("float64", [5, 2**31, 3]),
    "network, an activation for no layer": lambda core, trainer, data: new_network("float64", hidden=2),
    "network, a hidden layer without one": lambda core, trainer, data: new_network("float64", hidden=0),
    "network, a setting of relu": lambda core, trainer, data: new_network("float64", activation_settings=[0.1]),
    "network, a setting of cross_entropy": lambda core, trainer, data: new_network("float64", loss_settings=[0.1, 0.1]),
}


@pytest.mark.parametrize("call", REJECTED.values(), ids=REJECTED)
def test_invalid_arguments_are_rejected_and_change_nothing(call):
    core, trainer, data = bound()
    before = everything(core, trainer)
    with pytest.raises((ValueError, IndexError)):
        call(core, trainer, data)
    assert_equal_bits(everything(core, trainer), before)


@pytest.mark.parametrize("loss", [name for name, row in LOSSES.items() if not row.has_labels])
def test_targets_are_one_row_for_each_row_and_one_column_for_each_output(loss):
    core, _, _ = bound(loss=loss)
    core.dataset(np.zeros((4, 5)), np.ones((4, 3)))
    for targets in (np.ones((3, 3)), np.ones((5, 3)), np.ones((4, 2)), np.ones((4, 4)), np.ones(4), np.zeros(4, int)):
        with pytest.raises(ValueError):
            core.dataset(np.zeros((4, 5)), targets)


def csr(values=(1.0, 2.0, 3.0), columns=(0, 2, 1), starts=(0, 2, 3), width=3):
    return _core.CsrInputs(np.array(values), np.array(columns, np.int32), np.array(starts, np.int64), width)


@pytest.mark.parametrize(
    "change",
    [
        dict(columns=(0, 3, 1)),
        dict(columns=(0, -1, 1)),
        dict(columns=(0, 2)),
        dict(values=(1.0, 2.0)),
        dict(starts=(1, 2, 3)),
        dict(starts=(0, 2, 4)),
        dict(starts=(0, 2, 2)),
        dict(starts=(0, 3, 2, 3)),
        dict(starts=(0, -1, 3)),
        dict(starts=()),
        dict(width=2),
        dict(width=-1),
    ],
    ids=str,
)
def test_csr_inputs_stay_within_their_arrays(change):
    right = csr()
    assert right.shape == (2, 3) and [right.position(i) for i in range(3)] == [(0, 0), (0, 2), (1, 1)]
    with pytest.raises(ValueError):
        csr(**change)
    for value in (-1, 3):
        with pytest.raises(ValueError):
            right.position(value)


OTHER_DTYPE = {"float32": np.float64, "float64": np.float32}


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_of_another_type_or_layout_are_not_converted(dtype):
    core, trainer, _ = bound(dtype)
    wrong, right = OTHER_DTYPE[dtype], np.dtype(dtype).type
    weights, biases = core.weights(0), core.biases(0)
    for call in (
        lambda: core.set_layer(0, weights.astype(wrong), biases),
        lambda: core.set_layer(0, weights, biases.astype(wrong)),
        lambda: core.set_layer(0, np.asfortranarray(weights), biases),
        lambda: setattr(core, "parameter_vector", vector_of(core, trainer).astype(wrong)),
        lambda: core.dataset(np.zeros((4, 5), right), np.zeros(4, np.int32)),
        lambda: core.dataset(np.zeros((4, 5), right), np.zeros(4, int), None, np.ones(4, wrong)),
        lambda: _core.EpochPlan(np.arange(20, dtype=np.int32), 4),
        lambda: _core.EpochPlan(20.0, 4),
        lambda: trainer.set_memory(trainer.memory().astype(wrong)),
        lambda: trainer.set_optimizer_state(
            0, [[a.astype(wrong) for a in arrays] for arrays in trainer.optimizer_state()[1]]
        ),
        lambda: _core.matmul(np.zeros((2, 2), right), np.zeros((2, 2), wrong), False, False, 1),
        lambda: _core.matmul_bfloat16(
            np.zeros((2, 2), np.float32), np.zeros((2, 2)), False, False, _core.PairOrder.bfloat16, 1
        ),
        lambda: a_loss(np.zeros((2, 2), right), np.zeros((2, 2), wrong), "squared_error"),
        lambda: a_loss(np.zeros((2, 2), right), np.zeros(2, np.int32), "cross_entropy"),
        lambda: _core.softmax(np.zeros((2, 2), np.int64)),
    ):
        with pytest.raises(TypeError):
            call()


@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize("dtype", DTYPES)
def test_ranges_of_rows_are_those_rows(dtype, rows):
    """Predictions and evaluations of a range are those of its rows alone, its ends included and excluded."""
    core, _, _ = bound(dtype)
    X, y = problem(20, dtype=dtype, layer_sizes=SIZES)
    y = y.astype(np.int64)
    weights = np.random.default_rng(0).uniform(0.5, 2, 20).astype(dtype)
    data = core.dataset(X, y, None, weights)
    for begin in (0, 3, 20 - rows):
        part = slice(begin, begin + rows)
        expected, found = _core.LossSum(), _core.LossSum()
        core.evaluate(core.dataset(X[part], y[part], None, weights[part]), 0, rows, expected, 1)
        core.evaluate(data, begin, begin + rows, found, 1)
        assert (found.loss, found.correct) == (expected.loss, expected.correct)
        np.testing.assert_array_equal(core.forward(X, begin, begin + rows, 1), core.forward(X[part], 0, rows, 1))
    core.evaluate(data, 20, 20, expected, 1)
    assert len(core.forward(X, 20, 20, 1)) == 0


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_restoring_undoes_all_updates_since(dtype, name):
    """Parameters, the optimizer's arrays and its count of updates: training continues as if no update had been made."""
    settings, _ = OPTIMIZERS[name]
    X, y = problem(48, dtype=dtype)
    pair = []
    for undone in (False, True):
        net = Network((11, 17, 9, 4), dtype=dtype, seed=1)
        trainer = Trainer(net, batch_size=16, seed=2, **settings)
        trainer.fit(X, y, epochs=2)
        if undone:
            trainer.core.save_snapshot()
            run(trainer.core, net.core.dataset(X, y.astype(np.int64)), 48, batch_size=16)
            trainer.core.restore_snapshot()
        updates, layers = trainer.core.optimizer_state()
        trainer.fit(X, y, epochs=1)
        pair.append([np.array([updates]), *(array for arrays in layers for array in arrays), *net.weights, *net.biases])
    assert_equal_bits(*pair)


def few_columns(dtype="float64", rows=700, columns=150):
    rng = np.random.default_rng(0)
    X = rng.integers(1, 9, (rows, columns)).astype(dtype)
    X[rng.random(X.shape) < 0.97] = 0
    return X, rng.integers(0, 3, rows), rng.uniform(0.5, 2, rows).astype(dtype)


def core_inputs(X, kind):
    """(what the core takes for inputs, the bits of its elements that are not zero)."""
    if kind == "CSR":
        rows, columns = np.nonzero(X)
        starts = np.searchsorted(rows, np.arange(len(X) + 1))
        return _core.CsrInputs(X[rows, columns], columns.astype(np.int32), starts.astype(np.int64), X.shape[1]), None
    return X, _core.NonzeroBits(X, 1) if kind == "skipped columns" else None


@pytest.mark.parametrize("kind", ["dense", "skipped columns", "CSR"])
@pytest.mark.parametrize("batch_size, accumulate", [(13, 1), (600, 1), (40, 3)])
def test_an_epoch_may_be_cut_into_calls_of_any_teams(isa, kind, batch_size, accumulate):
    """Each call begins where the one before ended, with rows that it has prefetched, though its team may be another."""
    X, labels, weights = few_columns()
    plan = _core.EpochPlan(np.random.default_rng(1).permutation(len(X)), batch_size, accumulate)
    results = []
    for teams in [(1,), (1, 1), (2, 3, 1, 7, 2), (3, 2), (1, 7)]:
        core = Network((150, 40, 3), dtype="float64", seed=1).core
        trainer = _core.TrainerFloat64(core, _core.UpdateKind.adam)
        inputs, bits = core_inputs(X, kind)
        data, total = core.dataset(inputs, labels, bits, weights), _core.LossSum()
        seconds, settings = (1e6 if len(teams) == 1 else 0.0), _core.UpdateSettings(0.01, l2=0.1)
        _core.testing.use_whole_teams(True)
        try:
            for _ in range(2):
                position, calls = 0, 0
                while position < plan.rows:
                    threads = teams[calls % len(teams)]
                    position = trainer.run(data, plan, settings, position, total, threads, seconds)
                    calls += 1
                assert calls > 1 or len(teams) == 1
        finally:
            _core.testing.use_whole_teams(False)
        results.append([trainer.memory(), np.array([trainer.updates, total.loss, total.correct])])
    for found in results[1:]:
        assert_equal_bits(found, results[0])


@pytest.mark.parametrize("kind", ["dense", "skipped columns", "CSR"])
@pytest.mark.parametrize("batch_size", [13, 600])
@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("divides", [False, True])
def test_sums_of_gradients_and_updates_are_a_run(isa, kind, batch_size, accumulate, divides):
    """As ranks do it: the gradient of each update summed by itself, then one update; to rounding, in any slices.

    With `divides` the divisor of each is given, else it is the sum of the sample weights.
    """
    X, labels, weights = few_columns()
    order, results = np.random.default_rng(1).permutation(len(X)), []
    settings, rows = _core.UpdateSettings(0.01, l1=1e-3, l2=0.1), batch_size * accumulate
    for apart in (False, True):
        core = Network((150, 40, 3), activation="tanh", dtype="float64", seed=1).core
        trainer = _core.TrainerFloat64(core, _core.UpdateKind.adam)
        inputs, bits = core_inputs(X, kind)
        data, total = core.dataset(inputs, labels, bits, weights), _core.LossSum()
        whole = _core.EpochPlan(order, batch_size, accumulate)
        position = 0
        while position < len(order) and apart:
            chosen = order[position : position + rows]
            divisor, end = weights[chosen].sum(), min(position + rows, len(order))
            plan = _core.EpochPlan(order, batch_size, accumulate, divisor) if divides else whole
            while position < end:
                position = trainer.sum_gradients(data, plan, position, total, 1, 0.0)
            assert position == end
            trainer.update(settings, divisor, 2)
        if not apart:
            trainer.run(data, whole, settings, 0, total, 1, 1e6)
        assert trainer.updates == -(-len(order) // rows)
        results.append([core.weights(0), core.biases(0), core.weights(1), core.biases(1)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-11)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_single_row_meets_panels_of_every_width(isa, dtype):
    """A row alone has a product of its own, over several panels at once and then the rest."""
    eps = np.finfo(dtype).eps
    edges = [lanes * n + d for lanes in (16, 32, 64, 128) for n in (1, 2, 3, 4) for d in (-1, 0, 1)]
    X = np.random.default_rng(0).normal(size=(9, 7)).astype(dtype)
    for width in sorted({1, 2, 7, *edges, 300, 523}):
        for sizes in [(7, width), (7, width, 3)]:
            net = Network(sizes, activation="tanh", loss="squared_error", dtype=dtype, seed=1)
            net.set_parameters(net.weights, [np.linspace(-1, 1, len(b)) for b in net.biases])
            together = net.forward(X)
            np.testing.assert_array_equal(net.forward(X[4:5]), together[4:5])
            weights, biases = [w.astype(float) for w in net.weights], [b.astype(float) for b in net.biases]
            exact = reference.forward(weights, biases, X.astype(float), "tanh", "squared_error")
            bound = reference.rounding_bound(weights, biases, X.astype(float), "tanh", "squared_error", float(eps))
            assert (np.abs(together - exact) <= bound).all()


@pytest.mark.parametrize("kind", ["same type", "another type", "uint8 scaled", "CSR"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_prediction_of_what_is_not_finite_is_none(dtype, kind):
    """Wherever it stands: in the first and last row of a block, in a block of one row, in any column."""
    core = Network((5, 4), dtype=dtype, input_scale=0.5 if kind == "uint8 scaled" else 1.0).core
    for rows, workers in ((1, 1), (2, 1), (128, 1), (129, 2), (300, 2)):  # a block has up to 128 rows
        X = np.ones((rows, 5), OTHER_DTYPE[dtype] if kind == "another type" else dtype)
        with team_of(workers):
            assert core.forward(core_inputs(X, kind)[0], 0, rows, workers) is not None
        for row in {0, 1 % rows, rows // 2, min(127, rows - 1), min(128, rows - 1), rows - 1}:
            for column in (0, 2, 4):
                for value in (np.nan, np.inf, -np.inf):
                    bad = X.copy()
                    bad[row, column] = value
                    with team_of(workers):
                        assert core.forward(core_inputs(bad, kind)[0], 0, rows, workers) is None, (rows, row, column)


@pytest.mark.parametrize("dtype", DTYPES)
def test_each_column_counts_for_being_finite(isa, dtype):
    """Rows are searched several vectors at a time, then the rest one by one."""
    for columns in (1, 31, 64, 65, 131, 300):
        core = Network((columns, 2), dtype=dtype).core
        for value in (np.nan, np.inf, -np.inf):
            X = np.zeros((1, columns), dtype)
            assert core.forward(X, 0, 1, 1) is not None
            for column in range(columns):
                X[0, column] = value
                assert core.forward(X, 0, 1, 1) is None, f"column {column} of {columns}"
                X[0, column] = 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_each_parameter_counts_for_being_finite(dtype):
    core = Network((37, 19, 5), dtype=dtype, seed=1).core
    assert core.is_finite()
    for layer in (0, 1):
        weights, biases = core.weights(layer), core.biases(layer)
        for array in (weights, biases):
            for place in (0, array.size // 2, array.size - 1):
                for value in (np.nan, np.inf, -np.inf):
                    kept, array.flat[place] = array.flat[place], value
                    core.set_layer(layer, weights, biases)
                    assert not core.is_finite()
                    array.flat[place] = kept
                    core.set_layer(layer, weights, biases)
                    assert core.is_finite()
    large = np.full((37, 19), np.finfo(dtype).max ** 0.6, dtype)  # whose squares are infinite
    core.set_layer(0, large, np.zeros(19, dtype))
    assert core.is_finite()


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_clipped_loss_ends_at_the_epsilon_of_its_type(isa, dtype, loss):
    for clips in (False, True):
        core = new_network(dtype, (1, 2), loss, clips)
        core.set_layer(0, np.array([[0, 1]], dtype), np.zeros(2, dtype))
        X = np.full((3, 1), 70, dtype)
        targets = np.zeros(3, int) if loss == "cross_entropy" else np.array([[1, 0]] * 3, dtype)
        if loss == "binary_cross_entropy":
            core.set_layer(0, np.array([[-1, -1]], dtype), np.zeros(2, dtype))
        total = _core.LossSum()
        core.evaluate(core.dataset(X, targets), 0, 3, total, 1)
        expected = -np.log(float(np.finfo(dtype).eps)) if clips else 70.0
        assert total.loss / 3 == pytest.approx(expected, rel=4 * float(np.finfo(dtype).eps))


@pytest.mark.parametrize("loss", _core.Loss.__members__)
@pytest.mark.parametrize("dtype", DTYPES)
def test_no_loss_hides_what_is_not_a_number(isa, dtype, loss):
    """In an evaluation and in training, clipped or not: a divergence must be visible."""
    for clips in (False, True):
        for outputs in (1, 3, 17):
            core = new_network(dtype, (1, outputs), loss, clips)
            for spoiled in {0, outputs // 2, outputs - 1}:
                biases = np.zeros(outputs, dtype)
                biases[spoiled] = np.nan
                core.set_layer(0, np.zeros((1, outputs), dtype), biases)
                X = np.ones((300, 1), dtype)
                targets = np.zeros(300, int) if loss == "cross_entropy" else np.ones((300, outputs), dtype)
                data, total = core.dataset(X, targets), _core.LossSum()
                core.evaluate(data, 0, 300, total, 1)
                assert np.isnan(total.loss) and total.correct == 0
                trainer = getattr(_core, f"Trainer{dtype.capitalize()}")(core, _core.UpdateKind.sgd)
                total = _core.LossSum()
                trainer.sum_gradients(data, _core.EpochPlan(300, 300), 0, total, 1, 1e6)
                assert np.isnan(total.loss) and np.isnan(trainer.gradients()[1][0][spoiled])


def test_values_of_csr_inputs_have_places_beside_empty_rows():
    inputs = csr(starts=(0, 0, 2, 2, 2, 3, 3))
    assert inputs.shape == (6, 3)
    assert [inputs.position(i) for i in range(3)] == [(1, 0), (1, 2), (4, 1)]
    assert csr(columns=(0, 2, 1)).ascending
    assert not csr(columns=(2, 0, 1)).ascending
    assert not csr(columns=(1, 1, 1)).ascending, "a column that is named twice"
    assert csr(columns=(1, 2, 1)).ascending, "the next row may begin with any"
