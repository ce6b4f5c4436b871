"""The network against the oracle: gradients, predictions, parameters; and what must be bit for bit."""

import functools

import numpy as np
import pytest
import reference
from fastmlp import Network
from teams import TEAMS, team_of

DTYPES = ["float32", "float64"]
ACTIVATIONS = list(reference.ACTIVATIONS)
LOSSES = list(reference.LOSSES)
PENALTIES = [(0.0, 0.0), (0.02, 0.0), (0.0, 0.3), (0.02, 0.3)]

# The report's odd widths, and batches around the 14 rows of a tile and the slabs of large batches.
LAYER_SIZES = [(5, 3), (7, 13, 4), (33, 31, 17, 10), (20, 254, 190, 142, 10), (15, 96, 72, 10)]
BATCHES = [1, 2, 13, 14, 15, 29, 128, 513, 1100]
CASES = [  # each network meets each penalty; the widest is spared the largest batches
    (layer_sizes, batch, *PENALTIES[(i + j) % 4])
    for i, layer_sizes in enumerate(LAYER_SIZES)
    for j, batch in enumerate(BATCHES)
    if sum(layer_sizes) * batch < 250_000
]


def random_network(layer_sizes, activation, loss, dtype, seed=0, **settings):
    """A network with biases that are not zero, and a few weights that are: |w|'s kink."""
    net = Network(layer_sizes, activation=activation, loss=loss, dtype=dtype, seed=seed, **settings)
    rng = np.random.default_rng(seed)
    biases = [rng.normal(size=b.shape).astype(dtype) for b in net.biases]
    weights = [w.copy() for w in net.weights]
    for w in weights:
        w[0, 0] = w[-1, -1] = 0
    net.set_parameters(weights, biases)
    return net


def random_data(layer_sizes, batch, loss, dtype, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(batch, layer_sizes[0])).astype(dtype)
    return X, reference.targets_of(loss, rng.normal(size=(batch, layer_sizes[-1])).astype(dtype))


def wide(arrays):
    return [np.asarray(a, np.float64) for a in arrays]


def gradient_error_bounds(weights, biases, X, y, activation, loss, dtype):
    """What rounding may do to the loss and to each gradient: an error analysis that runs along.

    Beside each array stands the variance `v_` of its error. A sum of k products, in whatever order,
    errs by about sqrt(k) eps times the sum of their sizes (Higham & Mary 2019, A new approach to
    probabilistic rounding error analysis; one rounding is eps/2, the other half is the oracle's own).
    Errors of different origin are independent, so their variances add; the derivative of each step
    carries them on, to first order. Activations may err by `rounding` eps of their value. At a kink, a z
    within its error of 0 may take the other side. The bounds are 4 standard deviations of errors
    that were themselves taken at the upper end, not at a typical one.
    """
    eps, deviations, rows = float(np.finfo(dtype).eps), 4.0, reference.rows_of(activation, len(weights) - 1)
    outputs, variances, slope_variances, slopes = [np.asarray(X, np.float64)], [np.zeros(X.shape)], [], []
    for i, (w, b) in enumerate(zip(weights, biases, strict=True)):
        a, v_a = outputs[-1], variances[-1]
        z = a @ w + b
        v_z = v_a @ w**2 + (len(w) + 1) * (eps * (np.abs(a) @ np.abs(w) + np.abs(b))) ** 2
        if i == len(weights) - 1:
            break
        row = rows[i]
        a, slope = row.value(z), row.derivative(z)
        at_kink = row.kink * (np.abs(z) <= deviations * np.sqrt(v_z))
        if row.kink:
            v_slope = at_kink.astype(float)
        else:
            step = 1e-4
            curvature = (row.derivative(z + step) - row.derivative(z - step)) / (2 * step)
            v_slope = v_z * curvature**2 + 2 * (row.rounding * eps) ** 2
        v_a = v_z * np.maximum(np.abs(slope), at_kink) ** 2 + (row.rounding * eps * a) ** 2
        outputs.append(a)
        slopes.append(slope)
        variances.append(v_a)
        slope_variances.append(v_slope)

    batch, classes = z.shape
    data_loss, delta = reference.LOSSES[loss].value(z, y)
    if loss == "cross_entropy":
        # p_j errs with z_j, with the mean of z under p, and with the exponential of a rounded
        # difference; its sum has `classes` terms
        p = reference.softmax(z)
        own = (eps * (z.max(axis=1, keepdims=True) - z + classes + 16)) ** 2
        v_delta = (p**2 * (v_z + (p**2 * v_z).sum(axis=1, keepdims=True) + own) + (2 * eps) ** 2) / batch**2
        v_rows = ((batch * delta) ** 2 * v_z).sum(axis=1) + own.max(axis=1)
    elif loss == "binary_cross_entropy":
        p = reference.logistic(z)
        v_delta = ((p * (1 - p)) ** 2 * (v_z + (eps * (np.abs(z) + 16)) ** 2) + (2 * eps) ** 2) / batch**2
        v_rows = ((batch * delta) ** 2 * v_z + (16 * eps * (np.abs(z) + 1)) ** 2).sum(axis=1)
    elif loss == "poisson":
        p = np.exp(z)  # as exact as z is absolutely
        v_delta = (p**2 * (v_z + (eps * (np.abs(z) + 16)) ** 2) + (2 * eps * (p + y)) ** 2) / batch**2
        sizes = 16 * p + 4 * np.abs(y * z) + 4 * y * np.log(np.maximum(y, 1)) + 4 * y
        v_rows = ((batch * delta) ** 2 * v_z).sum(axis=1) + (eps * sizes.sum(axis=1)) ** 2
    elif loss == "gamma":
        ratio = y * np.exp(-z)
        v_delta = (ratio**2 * (v_z + (eps * (np.abs(z) + 16)) ** 2) + (2 * eps * (1 + ratio)) ** 2) / batch**2
        sizes = 16 * ratio + 4 * np.abs(z) + 4 * np.abs(np.log(y)) + 8
        v_rows = ((batch * delta) ** 2 * v_z).sum(axis=1) + (eps * sizes.sum(axis=1)) ** 2
    else:
        at_kink = reference.LOSSES[loss].kink * (np.abs(z - y) <= deviations * np.sqrt(v_z))
        v_delta = (v_z + 4 * at_kink) / batch**2 + (3 * eps * delta) ** 2  # no gradient is steeper, or jumps by more
        v_rows = ((batch * delta) ** 2 * v_z).sum(axis=1)
    v_loss = v_rows.sum() / batch**2 + z.size * (eps * data_loss) ** 2

    v_weights, v_biases = [], []
    for i in reversed(range(len(weights))):
        a, v_a = outputs[i], variances[i]
        own = batch * (eps * np.abs(a).T @ np.abs(delta)) ** 2
        v_weights.insert(0, (a**2).T @ v_delta + v_a.T @ delta**2 + own)
        v_biases.insert(0, v_delta.sum(axis=0) + batch * (eps * np.abs(delta).sum(axis=0)) ** 2)
        if i > 0:
            w, slope = weights[i], slopes[i - 1]
            back = delta @ w.T
            v_back = v_delta @ (w**2).T + w.shape[1] * (eps * np.abs(delta) @ np.abs(w).T) ** 2
            delta = back * slope
            v_delta = v_back * slope**2 + (back**2 + v_back) * slope_variances[i - 1] + (eps * delta) ** 2
    return deviations * v_loss**0.5, *([deviations * np.sqrt(v) for v in vs] for vs in (v_weights, v_biases))


@functools.lru_cache(maxsize=None)
def oracle_with_bounds(layer_sizes, batch, activation, loss, dtype, l1, l2):
    """The same for each instruction set, so it is computed once."""
    net = random_network(layer_sizes, activation, loss, dtype)
    X, y = random_data(layer_sizes, batch, loss, dtype)
    weights, biases = wide(net.weights), wide(net.biases)
    expected = reference.loss_and_gradients(weights, biases, X.astype(float), y, activation, loss, l1, l2)
    return expected, gradient_error_bounds(weights, biases, X, y, activation, loss, dtype)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_match_oracle(isa, dtype, activation, loss):
    assert_gradients_match(CASES, dtype, activation, loss)


@pytest.mark.parametrize("first", range(len(ACTIVATIONS)))
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_several_activations_match_oracle(isa, dtype, first):
    """Each activation is in some case the first, the middle and the last one."""
    several = tuple((ACTIVATIONS * 2)[first + i] for i in (0, 5, 1))
    assert_gradients_match([((33, 31, 17, 25, 10), 29, 0.02, 0.3)], dtype, several, "squared_error")


def assert_gradients_match(cases, dtype, activation, loss):
    eps = np.finfo(dtype).eps
    for layer_sizes, batch, l1, l2 in cases:
        net = random_network(layer_sizes, activation, loss, dtype)
        X, y = random_data(layer_sizes, batch, loss, dtype)
        result = net.loss_and_gradients(X, y, l1=l1, l2=l2)
        expected, (e_loss, e_weights, e_biases) = oracle_with_bounds(
            layer_sizes, batch, activation, loss, dtype, l1, l2
        )
        where = f"{layer_sizes}, batch {batch}, l1 {l1}, l2 {l2}"
        assert abs(result.loss - expected.loss) <= e_loss, where
        terms = sum(w.size for w in expected.weights) if dtype == "float64" else 16  # summed in double
        np.testing.assert_allclose(result.penalty, expected.penalty, rtol=np.sqrt(terms) * eps, err_msg=where)
        for g, reference_g, e, w in zip(result.weights, expected.weights, e_weights, net.weights, strict=True):
            assert g.dtype == dtype and g.shape == reference_g.shape
            allowed = e + 4 * eps * (np.abs(reference_g) + l1 + l2 * np.abs(w))
            assert (np.abs(g - reference_g) <= allowed).all(), where
        for g, reference_g, e in zip(result.biases, expected.biases, e_biases, strict=True):
            assert g.dtype == dtype and g.shape == reference_g.shape
            assert (np.abs(g - reference_g) <= e + 4 * eps * np.abs(reference_g)).all(), where


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_error_bounds_are_tight_enough_to_notice(activation, loss):
    """Bounds near the size of the gradients would let the parity test pass whatever happens."""
    at_most = {"float32": 1e-3, "float64": 1e-11}
    if reference.ACTIVATIONS[activation].kink:
        at_most["float32"] = 0.25  # of 600,000 hidden values, a few lie within their error of the kink
    for layer_sizes in LAYER_SIZES:
        for batch in (1, 128):
            for dtype, relative in at_most.items():
                expected, (_, e_weights, e_biases) = oracle_with_bounds(
                    layer_sizes, batch, activation, loss, dtype, 0.0, 0.0
                )
                for g, e in zip(expected.weights + expected.biases, e_weights + e_biases, strict=True):
                    assert np.linalg.norm(e) <= relative * np.linalg.norm(g)


@pytest.mark.parametrize("dtype", DTYPES)
def test_repeated_gradients_are_equal_bits(isa, dtype):
    net = random_network((33, 31, 17, 10), "tanh", "cross_entropy", dtype)
    X, y = random_data((33, 31, 17, 10), 529, "cross_entropy", dtype)
    first, second = net.loss_and_gradients(X, y), net.loss_and_gradients(X, y)
    assert first.loss == second.loss
    for a, b in zip(first.weights + first.biases, second.weights + second.biases, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_initial_parameters_equal_the_oracle(dtype, activation, loss):
    for layer_sizes in [(5, 3), (7, 13, 4), (33, 31, 17, 10)]:
        for seed in (0, 12345):
            net = Network(layer_sizes, activation=activation, loss=loss, dtype=dtype, seed=seed)
            weights, biases = reference.initial_parameters(layer_sizes, activation, seed)
            for got, expected in zip(net.weights + net.biases, weights + biases, strict=True):
                assert got.dtype == dtype
                np.testing.assert_array_equal(got, expected.astype(dtype))


def test_default_network_is_relu_cross_entropy_float32():
    net = Network((4, 3, 2), seed=5)
    X = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    weights, biases = reference.initial_parameters((4, 3, 2), "relu", 5)
    expected = reference.forward(weights, biases, X, "relu", "cross_entropy")
    assert net.forward(X).dtype == np.float32
    np.testing.assert_allclose(net.forward(X), expected, atol=100 * np.finfo(np.float32).eps)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_forward_predict_and_evaluate_match_oracle(isa, dtype, activation, loss):
    layer_sizes = (33, 31, 17, 10)
    net = random_network(layer_sizes, activation, loss, dtype)
    for batch in (1, 15, 529):
        X, y = random_data(layer_sizes, batch, loss, dtype)
        weights, biases = wide(net.weights), wide(net.biases)
        expected = reference.forward(weights, biases, X, activation, loss)
        outputs = net.forward(X)
        assert outputs.dtype == dtype and outputs.shape == (batch, 10)
        bound = reference.rounding_bound(weights, biases, wide([X])[0], activation, loss, float(np.finfo(dtype).eps))
        assert (np.abs(outputs - expected) <= bound).all()
        assert (bound <= 2e3 * np.finfo(dtype).eps * np.maximum(1, np.abs(expected))).all(), "tight enough to notice"
        evaluation = net.evaluate(X, y)
        e_loss, _, _ = gradient_error_bounds(weights, biases, X, y, activation, loss, dtype)
        expected_loss, _ = reference.LOSSES[loss].value(reference.layer_outputs(weights, biases, X, activation)[-1], y)
        assert abs(evaluation.loss - expected_loss) <= e_loss
        if loss == "cross_entropy":
            predicted = net.predict(X)
            assert np.issubdtype(predicted.dtype, np.integer)
            np.testing.assert_array_equal(predicted, outputs.argmax(axis=1))
            np.testing.assert_allclose(evaluation.accuracy, np.mean(predicted == y), rtol=1e-12)
        else:
            predicted = (outputs > 0.5).astype(np.int64) if loss == "binary_cross_entropy" else outputs
            np.testing.assert_array_equal(net.predict(X), predicted)
            right = np.mean((predicted == (y > 0.5)).all(axis=1)) if loss == "binary_cross_entropy" else np.nan
            np.testing.assert_allclose(evaluation.accuracy, right, rtol=1e-12)


def test_values_are_rounded_before_they_are_scaled(isa):
    X = np.random.default_rng(0).normal(size=(40, 7))
    net = Network((7, 5, 3), input_scale=0.3)
    y = np.arange(40) % 3
    np.testing.assert_array_equal(net.forward(X), net.forward(X.astype(np.float32)))
    assert net.loss_and_gradients(X, y).loss == net.loss_and_gradients(X.astype(np.float32), y).loss


@pytest.mark.parametrize("rows", [1, 5, 300])
@pytest.mark.parametrize("dtype", DTYPES)
def test_outputs_that_are_not_numbers_are_no_correct_predictions(isa, dtype, rows):
    """Finite weights may give inf - inf. The first class, which a search for the largest starts with, is not it."""
    huge = np.finfo(dtype).max / 2
    net = Network((2, 1, 3), activation="identity", dtype=dtype)
    net.set_parameters([np.array([[huge], [huge]], dtype), np.array([[4, -4, 4]], dtype)], net.biases)
    middle = Network((1, 2, 1, 3), activation="identity", dtype=dtype)
    middle.set_parameters(
        [np.array([[huge, huge]], dtype), np.array([[4], [-4]], dtype), np.ones((1, 3), dtype)], middle.biases
    )
    with np.errstate(all="ignore"):
        for label in range(3):
            labels = np.full(rows, label)
            assert middle.evaluate(np.ones((rows, 1)), labels).accuracy == 0, "all outputs are NaN"
            assert net.evaluate(np.ones((rows, 2)), labels).accuracy == 0, "infinity - infinity in the softmax"
        assert np.isnan(middle.forward(np.ones((rows, 1)))).all()


@pytest.mark.parametrize("outputs", [1, 3, 17])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_row_is_right_if_each_output_is_on_the_side_of_its_target(isa, dtype, outputs):
    """Also of targets between 0 and 1; no output of NaN is right."""
    rng = np.random.default_rng(0)
    net = Network((5, 7, outputs), loss="binary_cross_entropy", dtype=dtype, seed=2)
    X = rng.normal(size=(300, 5)).astype(dtype)
    y = np.where(rng.random((300, outputs)) < 0.9, net.predict(X).reshape(300, -1), rng.random((300, outputs)))
    right = ((y > 0.5) == (net.forward(X) > 0.5)).all(axis=1)
    assert 0.1 < right.mean() < 1
    weights = np.arange(300.0) % 4
    assert net.evaluate(X, y).accuracy == pytest.approx(right.mean(), rel=1e-12)
    assert net.evaluate(X, y, sample_weight=weights).accuracy == pytest.approx(np.average(right, weights=weights))
    huge = np.finfo(dtype).max
    broken = Network((1, 2, outputs), activation="identity", loss="binary_cross_entropy", dtype=dtype)
    broken.set_parameters([np.array([[huge, -huge]], dtype), np.ones((2, outputs), dtype)], broken.biases)
    with np.errstate(all="ignore"):
        for target in (0.0, 1.0):  # of infinity - infinity
            assert broken.evaluate(np.full((3, 1), 4), np.full((3, outputs), target)).accuracy == 0


def test_a_summary_has_a_line_for_each_layer(capsys):
    net = Network((5, 12345, 7), activation="leaky_relu", loss="poisson", dtype="float64")
    net.summary()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["layer", "inputs", "outputs", "activation", "parameters"],
        ["1", "5", "12345", "leaky_relu", str(6 * 12345)],
        ["2", "12345", "7", "exponential", str(12346 * 7)],
        [str(net.parameter_count), "parameters,", "float64,", "loss", "poisson"],
    ]


def prediction_cases(dtype):
    """Rows of full precision, and rows like images: mostly zero, some columns zero everywhere."""
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(1100, 61)).astype(dtype)
    sparse = np.where(rng.random((1100, 61)) < 0.8, 0, dense).astype(dtype)
    sparse[:, ::5] = 0
    return [dense, sparse]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation, loss", [("relu", "cross_entropy"), ("tanh", "squared_error")])
def test_a_row_is_predicted_alike_in_any_company(isa, dtype, activation, loss):
    for layer_sizes in [(61, 10), (61, 33, 17, 3)]:
        net = random_network(layer_sizes, activation, loss, dtype)
        for X in prediction_cases(dtype):
            full = net.forward(X)
            for row in (0, 1, 6, 13, 14, 15, 127, 512, 1099):
                np.testing.assert_array_equal(net.forward(X[row : row + 1]), full[row : row + 1])
            for size in (2, 5, 13, 14, 15, 29, 128, 513):
                for first in (0, 3, 1100 - size):
                    rows = slice(first, first + size)
                    np.testing.assert_array_equal(net.forward(X[rows]), full[rows])
            shuffled = np.random.default_rng(1).permutation(len(X))
            np.testing.assert_array_equal(net.forward(X[shuffled]), full[shuffled])
            others = X.copy()
            others[1::2] = 1e3
            np.testing.assert_array_equal(net.forward(others)[::2], full[::2])


@pytest.mark.parametrize("dtype", DTYPES)
def test_forward_and_gradients_are_equal_bits_for_every_thread_count(isa, dtype):
    layer_sizes = (61, 300, 50, 10)
    net = random_network(layer_sizes, "relu", "cross_entropy", dtype)
    X, y = random_data(layer_sizes, 1100, "cross_entropy", dtype)
    one, gradients = net.forward(X, n_threads=1), net.loss_and_gradients(X, y, n_threads=1)
    evaluation = net.evaluate(X, y, n_threads=1)
    for n_threads in TEAMS:
        with team_of(n_threads):
            np.testing.assert_array_equal(net.forward(X, n_threads=n_threads), one)
        with team_of(n_threads):
            assert net.evaluate(X, y, n_threads=n_threads) == evaluation
        with team_of(n_threads):
            again = net.loss_and_gradients(X, y, n_threads=n_threads)
        assert again.loss == gradients.loss
        for a, b in zip(again.weights + again.biases, gradients.weights + gradients.biases, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", DTYPES)
def test_parameters_make_an_exact_round_trip(isa, dtype):
    rng = np.random.default_rng(2)
    for layer_sizes in [(1, 1), (5, 3), (784, 10), (33, 31, 17, 10), (20, 254, 190, 142, 96, 72, 10)]:
        net = Network(layer_sizes, dtype=dtype)
        weights = [rng.normal(size=w.shape).astype(dtype) for w in net.weights]
        biases = [rng.normal(size=b.shape).astype(dtype) for b in net.biases]
        weights[0][0, 0] = -0.0
        biases[0][0] = np.finfo(dtype).smallest_subnormal
        net.set_parameters(weights, biases)
        for got, expected in zip(net.weights + net.biases, weights + biases, strict=True):
            assert got.dtype == dtype and got.flags.c_contiguous
            np.testing.assert_array_equal(got, expected)
            np.testing.assert_array_equal(np.signbit(got), np.signbit(expected))


def test_settings_of_the_parts_are_attributes():
    net = Network((3, 4, 2), ["relu"], "huber", activation_settings=[None], loss_settings={"delta": 2.0})
    assert (net.activation_settings, net.loss_settings) == ({}, {"delta": 2.0})
    net = Network((3, 4, 4, 2), "elu", activation_settings=[{"alpha": 0.5}, {"alpha": 2.0}])
    assert net.activation_settings == ({"alpha": 0.5}, {"alpha": 2.0}) and net.loss_settings == {"label_smoothing": 0.0}
    settings = {"activation_settings": net.activation_settings, "loss_settings": net.loss_settings}
    assert repr(Network((3, 4, 4, 2), "elu", **settings)) == repr(net)


@pytest.mark.parametrize("activation", ["elu", ["elu", "leaky_relu"]])
def test_settings_of_the_parts_are_copies(activation):
    """The core has them already: a change would be in the next file only."""
    net = Network((3, 4, 4, 2), activation, "huber")
    described = repr(net)
    of_activation = net.activation_settings if activation == "elu" else net.activation_settings[0]
    of_activation["alpha"] = net.loss_settings["delta"] = 5.0
    assert repr(net) == described and net.loss_settings == {"delta": 1.0}


def test_parameters_are_copies_in_both_directions():
    net = Network((3, 4, 2))
    weights, biases = [w.copy() for w in net.weights], [b.copy() for b in net.biases]
    net.set_parameters(weights, biases)
    before = [p.copy() for p in weights + biases]
    for p in weights + biases:
        p[:] = 7
    for copies in (net.weights, net.biases):
        with pytest.raises(ValueError, match="read-only"):
            copies[0][:] = 7
        with pytest.raises(TypeError, match="assignment"):
            copies[0] = copies[0] * 2
    for p, expected in zip(net.weights + net.biases, before, strict=True):
        np.testing.assert_array_equal(p, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_uint8_inputs_equal_scaled_floats(isa, dtype):
    layer_sizes = (50, 21, 10)
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (77, 50)).astype(np.uint8)
    pixels[:, ::3] = 0
    labels = rng.integers(0, 10, 77)
    net = random_network(layer_sizes, "tanh", "cross_entropy", dtype, input_scale=1 / 255)
    plain = random_network(layer_sizes, "tanh", "cross_entropy", dtype)
    scaled = (pixels / 255).astype(dtype)
    weights, biases = wide(net.weights), wide(net.biases)
    expected = reference.loss_and_gradients(weights, biases, pixels / 255, labels, "tanh", "cross_entropy")
    e_loss, e_weights, e_biases = gradient_error_bounds(weights, biases, scaled, labels, "tanh", "cross_entropy", dtype)
    # Rounding 1/255 and the product is worth two more terms in each sum of 50: less than twice the bound.
    for result in (
        net.loss_and_gradients(pixels, labels),
        net.loss_and_gradients(pixels.astype(dtype), labels),
        plain.loss_and_gradients(scaled, labels),
    ):
        assert abs(result.loss - expected.loss) <= 2 * e_loss
        for g, reference_g, e in zip(
            result.weights + result.biases, expected.weights + expected.biases, e_weights + e_biases, strict=True
        ):
            assert (np.abs(g - reference_g) <= 2 * e).all()
    np.testing.assert_array_equal(net.forward(pixels), net.forward(pixels.astype(dtype)))


def test_uint8_inputs_without_a_scale_are_plain_numbers(isa):
    net = random_network((9, 4, 2), "relu", "squared_error", "float64")
    pixels = np.random.default_rng(4).integers(0, 256, (15, 9)).astype(np.uint8)
    np.testing.assert_array_equal(net.forward(pixels), net.forward(pixels.astype(np.float64)))


def test_other_float_inputs_are_converted():
    X = np.random.default_rng(5).normal(size=(15, 9))
    net = random_network((9, 4, 2), "relu", "squared_error", "float32")
    np.testing.assert_array_equal(net.forward(X), net.forward(X.astype(np.float32)))
    double = random_network((9, 4, 2), "relu", "squared_error", "float64")
    single = X.astype(np.float32)
    np.testing.assert_array_equal(double.forward(single), double.forward(single.astype(np.float64)))


def test_squared_error_takes_a_column_for_one_output():
    net = random_network((5, 4, 1), "tanh", "squared_error", "float64")
    X, y = random_data((5, 4, 1), 8, "squared_error", "float64")
    column, flat = net.loss_and_gradients(X, y), net.loss_and_gradients(X, y.ravel())
    assert column.loss == flat.loss
    np.testing.assert_array_equal(column.weights[0], flat.weights[0])


def test_labels_may_be_any_integers():
    net = random_network((5, 4, 3), "relu", "cross_entropy", "float64")
    X, labels = random_data((5, 4, 3), 8, "cross_entropy", "float64")
    expected = net.loss_and_gradients(X, labels).loss
    for dtype in (np.int8, np.uint8, np.int16, np.int32, np.uint32, np.int64, ">i4"):
        assert net.loss_and_gradients(X, labels.astype(dtype)).loss == expected
    assert net.loss_and_gradients(X, labels.tolist()).loss == expected


def test_a_linear_model_of_mnist_shape_matches_oracle(isa):
    net = random_network((784, 10), "relu", "cross_entropy", "float64")
    X, y = random_data((784, 10), 129, "cross_entropy", "float64")
    weights, biases = wide(net.weights), wide(net.biases)
    expected = reference.loss_and_gradients(weights, biases, X, y, "relu", "cross_entropy")
    result = net.loss_and_gradients(X, y)
    _, (e,), (e_bias,) = gradient_error_bounds(weights, biases, X, y, "relu", "cross_entropy", "float64")
    assert (np.abs(result.weights[0] - expected.weights[0]) <= e).all()
    assert (np.abs(result.biases[0] - expected.biases[0]) <= e_bias).all()


def test_each_network_keeps_the_instruction_set_it_was_made_with():
    from fastmlp._core import testing

    default = testing.current_isa()
    X, _ = random_data((33, 10), 15, "cross_entropy", "float32")
    try:
        testing.use_isa("generic")
        net = random_network((33, 10), "relu", "cross_entropy", "float32")
        before = net.forward(X)
        testing.use_isa(testing.available_isas()[-1])
        np.testing.assert_array_equal(net.forward(X), before)
    finally:
        testing.use_isa(default)
