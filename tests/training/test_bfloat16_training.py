"""Training with products in bfloat16: gradients with the oracle's bits, and all that training in float32 has."""

import functools

import numpy as np
import pytest
import reference_bfloat16 as oracle
from fastmlp import Network, Trainer, core_calls, distributed
from fastmlp._core import EpochPlan, LossSum, PairOrder, UpdateSettings, testing
from problems import assert_close, assert_equal_bits, parameters
from ranks import together
from reference_bfloat16 import multiply_adds
from scipy import sparse
from teams import TEAMS, team_of

SHAPES = [(6, 5, 3), (7, 9, 1), (33, 17, 18, 2), (40, 64, 31, 10), (5, 20, 17), (20, 30, 300), (11, 40)]
FEW_OUTPUTS = 16  # an output layer of no more is float32's


def exact_problem(rows, shape, seed=0):
    """Regression whose inputs and targets have few digits, with about half of the inputs zero."""
    rng = np.random.default_rng(seed)
    X = rng.integers(-64, 65, (rows, shape[0])).astype(np.float32) / 32 * (rng.random((rows, shape[0])) < 0.5)
    return X, rng.integers(-32, 33, (rows, shape[-1])).astype(np.float32) / 16


def network_of(shape, **settings):
    net = Network(shape, loss="squared_error", dtype="float32", seed=1, **settings)
    rng = np.random.default_rng(2)
    biases = [rng.normal(size=b.shape).astype(np.float32) / 8 for b in net.biases]
    net.set_parameters(net.weights, biases)
    return net


def gradients_of(net, X, y, precision, chain):
    """The step of a relu network for the mean over rows and outputs of half the squared error, in float32."""
    weights, biases, last = net.weights, net.biases, len(net.weights) - 1
    in_pairs = functools.partial(oracle.matmul, precision=precision)
    small = net.layer_sizes[-1] <= FEW_OUTPUTS
    inputs = [oracle.rounded(X) if last > 0 or not small else X]
    for i, (w, b) in enumerate(zip(weights, biases)):
        product = chain if i == last and small else in_pairs
        z = product(inputs[-1], w) + b
        inputs.append(oracle.rounded(np.maximum(z, 0)) if i < last else z)
    delta = (inputs.pop() - y) * (np.float32(1) / np.float32(len(X)))
    found = [None] * (last + 1)
    for i in range(last, -1, -1):
        is_float = i == last and small
        delta = delta if is_float else oracle.rounded(delta)
        weight = (chain if is_float else in_pairs)(inputs[i].T, delta)
        bias = np.zeros(delta.shape[1], np.float32)
        for row in delta:
            bias += row
        found[i] = weight, bias
        if i:
            delta = (chain if is_float else in_pairs)(delta, weights[i].T) * (inputs[i] > 0)
    return found


def summed_gradients(net, X, y, **settings):
    trainer = Trainer(net, batch_size=X.shape[0], shuffle=False, **settings)
    data = trainer._training_data(X, y, None, 1)
    core_calls.sum_gradients(trainer.core, data, lambda: settings.get("n_threads", 1))
    return trainer.core.gradients()


@pytest.mark.parametrize("rows", [1, 2, 29, 128])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "-".join(map(str, shape)))
def test_gradients_have_the_oracles_bits(arithmetic, precision, isa, shape, rows):
    X, y = exact_problem(rows, shape)
    net = network_of(shape)
    expected = gradients_of(net, X, y, precision, multiply_adds(is_fused=isa != "generic"))
    for given in (X, sparse.csr_matrix(X)):
        weights, biases = summed_gradients(net, given, y, n_threads=1, precision=precision)
        for i, (weight, bias) in enumerate(expected):
            np.testing.assert_array_equal(weights[i], weight, err_msg=f"weights of layer {i}")
            np.testing.assert_array_equal(biases[i], bias, err_msg=f"biases of layer {i}")


def test_an_output_layer_of_float32_reads_rounded_units_after_dropout(isa, precision):
    """With one row its gradient is the product of these units and that of its biases."""
    shape = (33, 64, 5)
    X, y = exact_problem(1, shape)
    trainer = Trainer(network_of(shape), precision=precision)
    data, settings = trainer._training_data(X, y, None, 1), UpdateSettings(0.1, dropout=0.3, dropout_seed=1)
    trainer.core.sum_gradients(data.core, EpochPlan(1, 1), 0, LossSum(), 1, 1.0, settings)
    weights, biases = trainer.core.gradients()
    units = weights[1] / biases[1]
    assert np.count_nonzero(units) > 20
    np.testing.assert_allclose(units, oracle.rounded(units), rtol=2**-21)


SETTINGS = {
    "plain": {},
    "momentum": {"momentum": 0.9, "l2": 0.01},
    "adam": {"optimizer": "adam", "learning_rate": 1e-3},
    "accumulate": {"accumulate": 3, "l1": 0.01, "proximal": True},
    "dropout": {"dropout": 0.3, "input_dropout": 0.2},
    "clip": {"max_gradient_norm": 0.1, "average_decay": 0.9},
    "factors": {"optimizer": "adamw", "learning_rate_factors": (0.5, 2.0), "schedule": "cosine"},
}


def labelled(rows, shape, seed=0):
    """uint8 with columns that are zero in whole batches, and labels."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 256, (rows, shape[0]), dtype=np.uint8) * (rng.random(shape[0]) < 0.6)
    return X.astype(np.uint8), rng.integers(0, shape[-1], rows)


def trained(X, y, shape, epochs=2, precision="bfloat16", weights=None, activation="relu", **settings):
    net = Network(shape, activation, dtype="float32", seed=1, input_scale=1 / 255 if X.dtype == np.uint8 else 1.0)
    trainer = Trainer(net, batch_size=29, seed=3, precision=precision, **settings)
    trainer.fit(X, y, epochs, verbose=False, sample_weight=weights)
    return trainer


@pytest.mark.parametrize("name", SETTINGS)
def test_all_teams_and_forms_of_the_inputs_give_equal_bits(arithmetic, precision, name):
    shape, settings = (45, 40, 33, 5), SETTINGS[name] | {"precision": precision}
    X, y = labelled(150, shape)
    weights = np.random.default_rng(5).random(150)
    one = parameters(trained(X, y, shape, n_threads=1, weights=weights, **settings).network)
    for n_threads in TEAMS:
        with team_of(n_threads):
            found = trained(X, y, shape, n_threads=n_threads, weights=weights, **settings)
        assert_equal_bits(parameters(found.network), one)
    if not settings.get("input_dropout"):
        same = trained(sparse.csr_matrix(X), y, shape, n_threads=1, weights=weights, **settings)
        assert_equal_bits(parameters(same.network), one)


def as_vector(net):
    return np.concatenate([p.ravel() for p in parameters(net)])


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "mish"])
@pytest.mark.parametrize("name", SETTINGS)
def test_it_follows_float32_within_its_digits(precision, name, activation):
    """The losses are close, and so are the parameters, measured by how far the fit has moved them."""
    shape, settings = (45, 40, 33, 20), SETTINGS[name]
    X, y = labelled(150, shape)
    exact, rounded = (trained(X, y, shape, 4, each, activation=activation, **settings) for each in (None, precision))
    np.testing.assert_allclose(rounded.history.loss, exact.history.loss, rtol=0.02)
    assert rounded.history.loss != exact.history.loss
    start = Network(shape, activation, dtype="float32", seed=1)
    before, by_float32, found = (as_vector(net) for net in (start, exact.network, rounded.network))
    assert np.linalg.norm(found - by_float32) < 0.2 * np.linalg.norm(by_float32 - before)


def test_native_and_emulated_arithmetic_train_alike(isa, precision):
    X, y = labelled(150, (45, 40, 33, 20))
    found = []
    for emulates in (False, True):
        testing.emulate_bfloat16(emulates)
        try:
            found.append(parameters(trained(X, y, (45, 40, 33, 20), precision=precision, activation="tanh").network))
        finally:
            testing.emulate_bfloat16(False)
    assert_equal_bits(*found)


def test_the_two_orders_of_sums_differ():
    X, y = labelled(150, (45, 40, 5))
    found = [parameters(trained(X, y, (45, 40, 5), precision=order.name).network) for order in PairOrder]
    assert any((a != b).any() for a, b in zip(*found))


def test_an_output_layer_of_few_outputs_is_that_of_float32():
    """Without a hidden layer nothing else is multiplied."""
    X, y = labelled(150, (45, 16))
    found = [parameters(trained(X, y, (45, 16), precision=precision).network) for precision in (None, "bfloat16")]
    assert_equal_bits(*found)
    X, y = labelled(150, (45, 17))
    found = [parameters(trained(X, y, (45, 17), precision=precision).network) for precision in (None, "bfloat16")]
    assert any((a != b).any() for a, b in zip(*found))


def test_a_resumed_trainer_goes_on_in_bfloat16(tmp_path, precision):
    X, y = labelled(150, (45, 40, 5))
    whole = trained(X, y, (45, 40, 5), epochs=5, precision=precision)
    trained(X, y, (45, 40, 5), epochs=2, precision=precision).save(tmp_path / "half")
    half = Trainer.resume(tmp_path / "half")
    assert half.precision == precision
    half.fit(X, y, 3, verbose=False)
    assert_equal_bits(parameters(half.network), parameters(whole.network))
    with pytest.raises(AttributeError, match="precision cannot be changed; make a new Trainer"):
        half.precision = None


def test_ranks_train_in_bfloat16(precision):
    shape = (45, 40, 33, 20)
    X, y = labelled(150, shape)

    def on_ranks(count, precision):
        def work(communicator):
            net = Network(shape, seed=1, input_scale=1 / 255)
            trainer = distributed.Trainer(net, batch_size=50, precision=precision, communicator=communicator)
            trainer.fit(X[communicator.rank :: count], y[communicator.rank :: count], epochs=2)
            return parameters(net)

        return together(count, work)

    (alone,) = on_ranks(1, precision)
    first, second = on_ranks(2, precision)
    assert_equal_bits(first, second)
    by_float32 = on_ranks(2, None)[0]
    assert_close(first, by_float32, 0.02)
    assert any((a != b).any() for a, b in zip(first, by_float32))
    assert any((a != b).any() for a, b in zip(alone, on_ranks(1, None)[0]))


@pytest.mark.parametrize(
    "dtype, precision, error, match",
    [
        ("float64", "bfloat16", ValueError, "precision 'bfloat16' is for float32 networks, got float64"),
        ("float32", "float16", ValueError, "precision must be one of 'bfloat16', 'bfloat16_amx', got 'float16'"),
        ("float32", 16, TypeError, "precision must be one of 'bfloat16', 'bfloat16_amx', got 16"),
    ],
)
def test_other_precisions_are_refused(dtype, precision, error, match):
    with pytest.raises(error, match=match):
        Trainer(Network((3, 4, 2), dtype=dtype), precision=precision)
