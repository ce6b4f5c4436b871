"""Steps with losses of the user's own: gradients against the oracle, updates against Trainer.fit, errors."""

import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import fastmlp
import numpy as np
import pytest
import reference
import scipy.sparse
from fastmlp import Network, Trainer, _core, activations, losses, ops
from problems import DTYPES, assert_close, assert_equal_bits, parameters, problem
from ranks import together
from teams import TEAMS, team_of

SIZES = (11, 17, 9, 4)


def loss_gradient(net, z, y):
    """That of the network's loss, by the core."""
    return ops.loss_and_gradient(net.loss, z, y, settings=dict(net.spec.loss_settings)).gradient


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("optimizer", reference.OPTIMIZERS)
def test_applied_gradients_are_the_updates_of_a_fit(isa, optimizer, dtype):
    """To the last bit, in batches of one row, of one micro-batch and of several."""
    for rows in (1, 16, 700):
        X, y = problem(rows, dtype=dtype, layer_sizes=SIZES)
        nets = [Network(SIZES, "silu", dtype=dtype, seed=3) for _ in range(2)]
        settings = {**reference.OPTIMIZERS[optimizer][0], "l2": 0.01, "max_gradient_norm": 0.3, "average_decay": 0.9}
        fitted, stepped = (Trainer(net, batch_size=rows, shuffle=False, **settings) for net in nets)
        fitted.fit(X, y, epochs=4)
        for _ in range(4):
            step = nets[1].begin(X)
            stepped.apply(step.backward(loss_gradient(nets[1], step.outputs, y)))
        assert_equal_bits(parameters(nets[1]), parameters(nets[0]))
        assert_equal_bits(parameters(stepped.average), parameters(fitted.average))


@pytest.mark.parametrize("loss", losses.LOSSES)
@pytest.mark.parametrize("activation", [*activations.ACTIVATIONS, ("silu", "tanh")])
def test_gradients_follow_the_oracle(isa, activation, loss):
    net = Network(SIZES, activation, loss, dtype="float64", seed=3)
    X, y = problem(90, loss, layer_sizes=SIZES)
    expected = reference.loss_and_gradients(net.weights, net.biases, X, y, activation, loss)
    step = net.begin(X)
    z = reference.layer_outputs(net.weights, net.biases, X, activation)[-1]
    assert_close([step.outputs], [z], 1e-12)
    found = step.backward(reference.LOSSES[loss].value(z, y)[1])
    assert_close(found.weights + found.biases, expected.weights + expected.biases, 1e-12)
    assert found.inputs is None


def jacobians(net, X):
    """d forward / d X, shape (rows, outputs, features), by the chain rule in float64."""
    rows = reference.rows_of(net.activation, len(net.weights) - 1)
    outputs, sums = reference.layer_values(net.weights, net.biases, X, net.activation)
    p = reference.LOSSES[net.loss].output(outputs[-1])
    if net.loss == "cross_entropy":
        back = np.einsum("rk,kj->rkj", p, np.eye(p.shape[1])) - p[:, :, None] * p[:, None, :]
    else:
        step = 1e-6
        output = reference.LOSSES[net.loss].output
        slopes = (output(outputs[-1] + step) - output(outputs[-1] - step)) / (2 * step)
        back = np.einsum("rk,kj->rkj", slopes, np.eye(p.shape[1]))
    for i in reversed(range(len(sums))):
        back = back @ net.weights[i].T
        if i:
            back = back * rows[i - 1].derivative(sums[i - 1])[:, None, :]
    return back


@pytest.mark.parametrize("loss", losses.LOSSES)
@pytest.mark.parametrize("activation", [*activations.ACTIVATIONS, ("silu", "tanh")])
def test_input_gradients_follow_the_oracle(activation, loss):
    net = Network(SIZES, activation, loss, dtype="float64", seed=3)
    X, _ = problem(30, loss, layer_sizes=SIZES)
    expected = jacobians(net, X)
    found = net.input_gradient(X)
    assert found.shape == (30, 4, 11)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-8)
    for output in range(4):
        np.testing.assert_array_equal(net.input_gradient(X, output), found[:, output])
        np.testing.assert_array_equal(net.input_gradient(X[7:9], output=output), found[7:9, output])


@pytest.mark.parametrize("sizes", [(3, 1), (3, 4), (3, 5, 1), (1, 1, 1, 1)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_small_shapes_and_scaled_bytes(sizes, dtype):
    net = Network(sizes, "tanh", "squared_error", dtype=dtype, seed=3, input_scale=1 / 64)
    X = np.random.default_rng(0).integers(0, 256, (5, sizes[0]), np.uint8)
    found, scaled = net.input_gradient(X), X / 64
    twin = Network(sizes, "tanh", "squared_error", dtype="float64")
    twin.set_parameters(net.weights, net.biases)
    expected = jacobians(twin, scaled) / 64
    assert found.dtype == dtype and found.shape == ((5, sizes[0]) if sizes[-1] == 1 else expected.shape)
    assert_close([found], [expected.reshape(found.shape)], 1e-6 if dtype == "float32" else 1e-8)
    step = net.begin(X)
    if sizes[-1] == 1:
        ones = step.backward(np.ones(5), inputs=True)  # one output: one dimension
        np.testing.assert_array_equal(ones.inputs, found)
    one = step.backward(np.ones((5, sizes[-1])))
    z = reference.layer_outputs(net.weights, net.biases, scaled, "tanh")
    last = z[-2].T @ np.ones((5, sizes[-1]))
    assert_close([one.weights[-1]], [last], 1e-5)


def test_rows_in_many_blocks_have_the_same_gradients():
    """More than one call of the core, and more than one step of input_gradient."""
    net = Network((6, 40, 3), "gelu", dtype="float64", seed=1)
    X = np.random.default_rng(0).normal(size=(9000, 6))
    whole = net.input_gradient(X)
    for rows in (slice(0, 5), slice(4090, 4100), slice(8998, 9000)):
        np.testing.assert_array_equal(whole[rows], net.input_gradient(X[rows]))
    big = Network((6, 2000, 2000, 3), seed=1)
    step, y = big.begin(X[:700]), np.arange(700) % 3
    found = step.backward(loss_gradient(big, step.outputs, y))
    assert step._rows_per_call() < 700
    expected = big.loss_and_gradients(X[:700], y)
    assert_equal_bits(found.weights + found.biases, expected.weights + expected.biases)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("workers", TEAMS)
def test_the_same_bits_for_every_number_of_threads(workers, dtype):
    X, y = problem(700, dtype=dtype, layer_sizes=(64, 300, 50, 10))

    def results(n_threads):
        net = Network((64, 300, 50, 10), "gelu", dtype=dtype, seed=1)
        step, trainer = net.begin(X, n_threads), Trainer(net, optimizer="adam", n_threads=n_threads)
        found = step.backward(loss_gradient(net, step.outputs, y), inputs=True)
        trainer.apply(found)
        last = net.input_gradient(X[:300], n_threads=n_threads)
        return [step.outputs, *found.weights, *found.biases, found.inputs, *parameters(net), last]

    alone = results(1)
    with team_of(workers):
        assert_equal_bits(results(workers), alone)


def test_a_step_goes_backward_several_times_and_keeps_its_rows():
    X, _ = problem(20, layer_sizes=SIZES)
    net, given = Network(SIZES, dtype="float64", seed=1), X.copy()
    step = net.begin(given)
    given[:] = np.nan  # a copy was made
    first, second = np.random.default_rng(0).normal(size=(2, 20, 4))
    one, two, sum_ = (step.backward(g, inputs=True) for g in (first, second, first + second))
    for a, b, c in zip(one.weights + [one.inputs], two.weights + [two.inputs], sum_.weights + [sum_.inputs]):
        np.testing.assert_allclose(a + b, c, rtol=0, atol=1e-12)
    only = step.backward(first, parameters=False, inputs=True)
    assert only.weights == only.biases == []
    np.testing.assert_array_equal(only.inputs, one.inputs)


def test_checkpoints_between_updates_are_exact(tmp_path):
    X, y = problem(20, layer_sizes=SIZES)

    def go_on(trainer, updates):
        for _ in range(updates):
            step = trainer.network.begin(X)
            trainer.apply(step.backward(loss_gradient(trainer.network, step.outputs, y)))

    whole, part = (Trainer(Network(SIZES, seed=1), optimizer="adam") for _ in range(2))
    go_on(whole, 5)
    go_on(part, 3)
    part.save(tmp_path / "checkpoint")
    resumed = Trainer.resume(tmp_path / "checkpoint")
    go_on(resumed, 2)
    assert_equal_bits(parameters(resumed.network), parameters(whole.network))


# Errors


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_an_update_that_diverges_changes_nothing(optimizer, dtype):
    X, y = problem(20, layer_sizes=SIZES)
    net = Network(SIZES, dtype=dtype, seed=1)
    trainer, step = Trainer(net, optimizer, 0.1, average_decay=0.5), net.begin(X)
    good = step.backward(loss_gradient(net, step.outputs, y))
    trainer.apply(good)
    before, twin = parameters(net), copy.deepcopy(trainer)
    trainer.learning_rate = float(np.finfo(dtype).max)
    huge = with_change(good, "weights", [np.full(w.shape, np.finfo(dtype).max / 2) for w in good.weights])
    with pytest.raises(
        fastmlp.DivergenceError, match="the weights are not finite after update 2, with learning"
    ) as caught:
        trainer.apply(huge if optimizer == "sgd" else good)
    assert (caught.value.epoch, caught.value.step, caught.value.learning_rate) == (1, 2, trainer.learning_rate)
    assert_equal_bits(parameters(net), before)
    trainer.learning_rate = 0.1
    for each in (trainer, twin):  # the optimizer's state is as before, too
        each.apply(fastmlp.history.Gradients(0, 0, good.weights, good.biases))
    assert_equal_bits(parameters(net), parameters(twin.network))
    assert_equal_bits(parameters(trainer.average), parameters(twin.average))


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_beyond_the_range_in_the_units_of_standardized_targets_are_rejected(dtype):
    X, y = problem(20, "squared_error", dtype, (11, 2))
    net = Network((11, 2), loss="squared_error", dtype=dtype, standardize=True)
    net.learn_standardization(X, y * np.array([1, 1000]))
    gradient = np.zeros((20, 2), dtype)
    gradient[7] = np.finfo(dtype).max / 100
    step = net.begin(X)
    with pytest.raises(
        ValueError, match=r"grad_outputs times the standard deviations of y must be .*, got .* at \[7, 1\]"
    ):
        step.backward(gradient)
    assert all(np.isfinite(array).all() for array in step.backward(gradient / 100).weights)


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, pickle.dumps])
def test_steps_are_not_copied(make):
    with pytest.raises(TypeError, match="a step cannot be copied or pickled: call begin again"):
        make(Network(SIZES).begin(np.zeros((2, 11))))


def test_parameters_that_have_changed_are_noticed():
    X, y = problem(20, layer_sizes=SIZES)
    net = Network(SIZES)
    trainer, ones = Trainer(net), np.ones((20, 4))
    changes = [
        lambda: net.set_parameters(net.weights, net.biases),
        lambda: trainer.fit(X, y, epochs=1),
        lambda: trainer.apply(net.begin(X).backward(ones)),
    ]
    for change in changes:
        step = net.begin(X)
        step.backward(ones)
        change()
        with pytest.raises(RuntimeError, match="the parameters have changed since the step began: call begin again"):
            step.backward(ones)


def test_steps_that_begin_during_a_fit_end_with_its_next_update():
    X, y = problem(20, layer_sizes=SIZES)
    net, ones, steps, told = Network(SIZES), np.ones((20, 4)), [], []

    def backward(step):
        try:
            step.backward(ones)
            told.append("none")
        except RuntimeError as error:
            told.append(str(error))

    def begin_and_go_back(info):
        if steps:
            backward(steps[0])  # of the epoch before
        steps.append(net.begin(X))
        backward(steps[-1])  # of this one
        thread = threading.Thread(target=lambda: steps.append(net.begin(X)))
        thread.start()
        thread.join()

    Trainer(net).fit(X, y, epochs=2, callbacks=[begin_and_go_back])
    for step in steps:
        backward(step)
    changed = "the parameters have changed since the step began: call begin again"
    assert told == ["none", changed, "none"] + [changed] * 4


def test_a_change_while_a_step_goes_backward_is_noticed(monkeypatch):
    net, ones = Network(SIZES), np.ones((20, 4))
    step = net.begin(problem(20, layer_sizes=SIZES)[0])

    class OfAnotherThread:
        def backward(self, *arguments):
            net.set_parameters(net.weights, net.biases)
            return core.backward(*arguments)

        def gradients(self):
            return core.gradients()

    core = step._core
    monkeypatch.setattr(step, "_core", OfAnotherThread())
    with pytest.raises(RuntimeError, match="the parameters have changed since the step began: call begin again"):
        step.backward(ones)


def test_a_step_goes_backward_in_many_threads():
    """The core's sums are those of one backward at a time."""
    net = Network((11, 300, 300, 4), seed=0)
    step = net.begin(problem(3000, layer_sizes=net.layer_sizes)[0], n_threads=1)
    gradients = [np.random.default_rng(i).normal(size=(3000, 4)).astype(np.float32) for i in range(4)]
    expected = [step.backward(gradient).weights[0] for gradient in gradients]
    with ThreadPoolExecutor(4) as threads:
        found = threads.map(lambda gradient: step.backward(gradient).weights[0], gradients)
        assert_equal_bits(found, expected)


def test_no_update_during_a_fit_of_another_thread():
    X, y = problem(20, layer_sizes=SIZES)
    net = Network(SIZES)
    trainer, found = Trainer(net), []
    gradients = net.begin(X).backward(np.ones((20, 4)))

    def elsewhere():
        for call in (lambda: trainer.apply(gradients), lambda: net.begin(X).backward(np.ones((20, 4)))):
            try:
                call()
            except RuntimeError as error:
                found.append(str(error))

    def from_another_thread(info):
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()

    trainer.fit(X, y, epochs=1, callbacks=[from_another_thread])
    assert "a fit of this network is under way" in found[0] and "have changed" in found[1]


def with_change(gradients, name, value):
    return gradients._replace(**{name: value})


def test_wrong_arguments_change_nothing():
    X, _ = problem(20, layer_sizes=SIZES)
    net = Network(SIZES, seed=1)
    trainer, before = Trainer(net), parameters(net)
    step = net.begin(X)
    good = step.backward(np.ones((20, 4)))
    for X_wrong, error, message in (
        (X[:, :5], ValueError, r"X must have shape \(samples, 11\), got \(20, 5\)"),
        (X[:0], ValueError, "X must have at least one row"),
        (scipy.sparse.csr_matrix(X), TypeError, "X must be a dense array for a step, got a sparse matrix"),
        (np.where(X == X[3, 4], np.nan, X), ValueError, r"X must be finite, got nan at \[3, 4\]"),
        ([["x"] * 11], TypeError, "X must be an array of real numbers"),
    ):
        for call in (net.begin, net.input_gradient):
            with pytest.raises(error, match=message):
                call(X_wrong)
    for gradient, error, message in (
        (np.ones((20, 3)), ValueError, r"grad_outputs must have shape \(20, 4\), got \(20, 3\)"),
        (np.ones(20), ValueError, r"grad_outputs must have shape \(20, 4\), got \(20,\)"),
        (np.full((20, 4), np.inf), ValueError, "grad_outputs must be finite, got inf"),
        (np.full((20, 4), "a"), TypeError, "grad_outputs must be an array of real numbers"),
    ):
        with pytest.raises(error, match=message):
            step.backward(gradient)
    with pytest.raises(TypeError, match="inputs must be True or False, got 1"):
        step.backward(np.ones((20, 4)), inputs=1)
    with pytest.raises(ValueError, match="output must be at least 0 and at most 3, got 4"):
        net.input_gradient(X, output=4)
    nan = [w * np.nan for w in good.weights]
    for gradients, error, message in (
        (
            with_change(good, "weights", good.weights[:2]),
            ValueError,
            "gradients.weights must be a list of 3 arrays, got 2",
        ),
        (with_change(good, "biases", good.weights), ValueError, r"gradients.biases\[0\] must have shape \(17,\)"),
        (with_change(good, "weights", nan), ValueError, r"gradients.weights\[0\] must be finite"),
        (good.weights, TypeError, "gradients must have attributes weights and biases"),
    ):
        with pytest.raises(error, match=message):
            trainer.apply(gradients)
    assert_equal_bits(parameters(net), before)
    assert trainer.core.updates == 0


@pytest.mark.parametrize(
    "settings", [{"dropout": 0.1}, {"input_dropout": 0.1}, {"schedule": "cosine"}, {"dropout_schedule": "flat_cos"}]
)
@pytest.mark.filterwarnings("ignore:dropout_schedule has no effect without dropout")
def test_settings_that_need_a_fit_are_refused(settings):
    X, _ = problem(20, layer_sizes=SIZES)
    net = Network(SIZES)
    with pytest.raises(ValueError, match=f"apply needs a Trainer without {next(iter(settings))}, got"):
        Trainer(net, **settings).apply(net.begin(X).backward(np.ones((20, 4))))


@pytest.mark.parametrize("accumulate", [2, "epoch"])
def test_an_update_of_several_batches_and_gradients_of_another_network_are_refused(accumulate):
    net, other = Network(SIZES), Network(SIZES)
    gradients = net.begin(problem(20, layer_sizes=SIZES)[0]).backward(np.ones((20, 4)))
    with pytest.raises(ValueError, match=f"apply makes one update .* accumulate=1, got {accumulate!r}"):
        Trainer(net, accumulate=accumulate).apply(gradients)
    before = parameters(other)
    with pytest.raises(ValueError, match="a step of the trainer's network, got those of another network"):
        Trainer(other).apply(gradients)
    assert_equal_bits(parameters(other), before)
    Trainer(other).apply(fastmlp.history.Gradients(0, 0, gradients.weights, gradients.biases))
    weights, biases, inputs = gradients
    assert inputs is None and len(weights) == len(biases)


def test_a_distributed_trainer_refuses_by_name():
    def work(communicator):
        net = Network(SIZES)
        trainer = fastmlp.distributed.Trainer(net, communicator=communicator)
        with pytest.raises(TypeError, match="apply needs a fastmlp.Trainer, got a distributed one"):
            trainer.apply(net.begin(np.zeros((2, 11))).backward(np.zeros((2, 4))))

    together(2, work)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_core_rejects_what_it_could_not_read(dtype):
    kind, (core_step, core_trainer) = np.dtype(dtype).type, CORES[dtype]
    core = Network((3, 5, 2), dtype=dtype).core
    step, X = core_step(core, 4), np.ones((4, 3), dtype)
    ones, wide = np.ones((4, 2), dtype), np.ones((4, 3), dtype)
    assert step.forward(X, 0, 4, 1) == 4
    with pytest.raises(ValueError, match="no gradients have been summed"):
        step.gradients()
    for call, message in (
        (lambda: core_step(core, 0), "at least one row"),
        (lambda: step.forward(X[:3], 0, 3, 1), "must have the rows of the step"),
        (lambda: step.forward(X[:, :2].copy(), 0, 4, 1), r"shape \(rows, 3\)"),
        *((lambda begin=begin, end=end: step.forward(X, begin, end, 1), "rows out of range") for begin, end in RANGES),
        *(
            (lambda begin=begin, end=end: step.backward(ones, begin, end, True, None, 1), "rows out of range")
            for begin, end in RANGES
        ),
        (lambda: step.backward(wide, 0, 4, True, None, 1), "shape of the outputs"),
        (lambda: step.backward(ones[:3], 0, 3, True, None, 1), "shape of the outputs"),
        (lambda: step.backward(ones, 0, 4, False, ones, 1), "shape of the inputs"),
        (lambda: step.backward(ones, 0, 4, False, wide[:3], 1), "shape of the inputs"),
        (lambda: core_trainer(core, _core.UpdateKind.sgd).apply([], [], _core.UpdateSettings(0.1), 1), "each layer"),
        (
            lambda: core_trainer(core, _core.UpdateKind.sgd).apply(
                [wide, wide], [ones[0], ones[0]], _core.UpdateSettings(0.1), 1
            ),
            "wrong shape",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError):
        step.backward(ones.astype(kind).T.copy().T, 0, 4, True, None, 1)  # not C-contiguous


RANGES = [(-1, 2), (0, 5), (3, 2), (2, 2)]
CORES = {
    "float32": (_core.StepFloat32, _core.TrainerFloat32),
    "float64": (_core.StepFloat64, _core.TrainerFloat64),
}
