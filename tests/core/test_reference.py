"""The oracle's own check: central differences, closed forms, and steps worked out by hand."""

import numpy as np
import pytest
import reference

EPS = np.finfo(np.float64).eps
LAYER_SIZES = (4, 5, 3, 2)
BATCH = 6
KINK_MARGIN = 1e-2  # relu's z stays this far from 0; the differences move z by less than 2e-3


def small_problem(activation, loss):
    """Weights, biases, X and y whose hidden values and weights keep away from every kink."""
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        weights = [rng.normal(size=shape) for shape in zip(LAYER_SIZES[:-1], LAYER_SIZES[1:])]
        biases = [rng.normal(size=outputs) for outputs in LAYER_SIZES[1:]]
        X = rng.normal(size=(BATCH, LAYER_SIZES[0]))
        labels = rng.integers(0, LAYER_SIZES[-1], BATCH)
        targets = rng.normal(size=(BATCH, LAYER_SIZES[-1]))
        a = X
        nearest = min(np.abs(w).min() for w in weights)
        for w, b in zip(weights[:-1], biases[:-1]):
            z = a @ w + b
            nearest = min(nearest, np.abs(z).min())
            a = reference.ACTIVATIONS[activation].value(z)
        if nearest > KINK_MARGIN:
            return weights, biases, X, labels if loss == "cross_entropy" else reference.targets_of(loss, targets)
    raise AssertionError("no seed keeps away from the kinks")


def assert_central_differences_agree(objective, arrays, gradients):
    """Two steps h and 2h. The truncation errors of their quotients are e and 4e, so the quotients
    differ by 3e: that difference bounds e. Each value of the objective has an error of some 100
    roundings, which the quotient divides by h."""
    h = 1e-4
    rounding = 100 * EPS * abs(objective()) / h
    for array, gradient in zip(arrays, gradients, strict=True):
        assert gradient.shape == array.shape
        for index in np.ndindex(array.shape):
            quotients = []
            for step in (h, 2 * h):
                saved = array[index]
                array[index] = saved + step
                above = objective()
                array[index] = saved - step
                below = objective()
                array[index] = saved
                quotients.append((above - below) / (2 * step))
            tolerance = abs(quotients[1] - quotients[0]) + rounding
            assert tolerance < 1e-5 * max(1, abs(objective()))  # a kink would widen it
            assert abs(gradient[index] - quotients[0]) <= tolerance


@pytest.mark.parametrize("l1, l2", [(0.0, 0.0), (0.3, 0.0), (0.0, 0.7), (0.3, 0.7)])
@pytest.mark.parametrize("loss", reference.LOSSES)
@pytest.mark.parametrize("activation", reference.ACTIVATIONS)
def test_gradients_match_central_differences(activation, loss, l1, l2):
    weights, biases, X, y = small_problem(activation, loss)

    def objective():
        result = reference.loss_and_gradients(weights, biases, X, y, activation, loss, l1, l2)
        return result.loss + result.penalty

    result = reference.loss_and_gradients(weights, biases, X, y, activation, loss, l1, l2)
    assert_central_differences_agree(objective, weights, result.weights)
    assert_central_differences_agree(objective, biases, result.biases)


def test_penalty_counts_weights_once_and_biases_never():
    weights, biases = [np.array([[1.0, -2.0], [0.0, 3.0]])], [np.array([5.0, -7.0])]
    X, y = np.zeros((1, 2)), np.array([[5.0, -7.0]])  # the biases are the targets: no data gradient
    result = reference.loss_and_gradients(weights, biases, X, y, "relu", "squared_error", 0.5, 0.25)
    assert result.loss == 0.0
    assert result.penalty == 0.5 * 6 + 0.125 * 14
    np.testing.assert_array_equal(result.weights[0], [[0.75, -1.0], [0.0, 1.25]])  # 0 at w = 0
    np.testing.assert_array_equal(result.biases[0], [0.0, 0.0])


def test_activations_of_known_values():
    z = np.array([[-np.log(3.0), 0.0, np.log(3.0)]])
    np.testing.assert_allclose(reference.logistic(z), [[1 / 4, 1 / 2, 3 / 4]], rtol=4 * EPS)
    np.testing.assert_allclose(reference.ACTIVATIONS["tanh"].value(z), [[-4 / 5, 0, 4 / 5]], rtol=4 * EPS)
    np.testing.assert_array_equal(reference.ACTIVATIONS["relu"].value(z), [[0.0, 0.0, np.log(3.0)]])
    np.testing.assert_array_equal(reference.ACTIVATIONS["identity"].value(z), z)
    extreme = np.array([[-1e4, 1e4]])
    np.testing.assert_array_equal(reference.logistic(extreme), [[0.0, 1.0]])


def test_softmax_of_known_values():
    z = np.log([[1.0, 2.0, 5.0], [4.0, 4.0, 8.0]])
    expected = [[1 / 8, 2 / 8, 5 / 8], [1 / 4, 1 / 4, 1 / 2]]
    np.testing.assert_allclose(reference.softmax(z), expected, rtol=8 * EPS)
    np.testing.assert_array_equal(reference.softmax(np.array([[1e4, 0.0, -1e4]])), [[1, 0, 0]])


def test_cross_entropy_of_known_values():
    z = np.log([[1.0, 2.0, 5.0], [4.0, 4.0, 8.0]])
    loss, gradient = reference.cross_entropy(z, np.array([1, 2]))
    np.testing.assert_allclose(loss, (np.log(4.0) + np.log(2.0)) / 2, rtol=8 * EPS)
    expected = [[1 / 16, -6 / 16, 5 / 16], [1 / 8, 1 / 8, -1 / 4]]
    np.testing.assert_allclose(gradient, expected, rtol=8 * EPS)
    loss, _ = reference.cross_entropy(np.array([[1e4, 0.0]]), np.array([1]))
    assert loss == 1e4  # log(softmax) taken apart would be -inf


def test_squared_error_is_half_the_sum_over_outputs():
    z, targets = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[0.0, 4.0], [3.0, 1.0]])
    loss, gradient = reference.squared_error(z, targets)
    assert loss == ((1 + 4) / 2 + (0 + 9) / 2) / 2
    np.testing.assert_array_equal(gradient, [[0.5, -1.0], [0.0, 1.5]])


def test_binary_cross_entropy_of_known_values():
    z, targets = np.log([[3.0, 1.0], [1.0, 1 / 3]]), np.array([[1.0, 0.0], [0.0, 0.5]])  # p is 3/4, 1/2, 1/2, 1/4
    loss, gradient = reference.binary_cross_entropy(z, targets)
    rows = [np.log(4 / 3) + np.log(2.0), np.log(2.0) + 0.5 * np.log(4.0) + 0.5 * np.log(4 / 3)]
    np.testing.assert_allclose(loss, np.mean(rows), rtol=8 * EPS)
    np.testing.assert_allclose(gradient, [[-1 / 8, 1 / 4], [1 / 4, -1 / 8]], rtol=8 * EPS)


def test_poisson_is_half_the_deviance():
    z, targets = np.log([[2.0, 3.0], [1.0, 4.0]]), np.array([[2.0, 0.0], [3.0, 4.0]])
    loss, gradient = reference.poisson(z, targets)
    rows = [0 + 3.0, 3 * np.log(3.0) - 3 + 1]
    np.testing.assert_allclose(loss, np.mean(rows), rtol=8 * EPS)
    np.testing.assert_allclose(gradient, [[0.0, 1.5], [-1.0, 0.0]], atol=8 * EPS)


@pytest.mark.parametrize("loss", reference.LOSSES)
def test_a_weight_of_two_is_a_row_twice(loss):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(5, 3))
    y = reference.targets_of(loss, rng.normal(size=(5, 3)))
    twice = [0, 1, 1, 3, 4]  # row 1 weighs 2, row 2 nothing
    loss_twice, gradient = reference.LOSSES[loss].value(z[twice], y[twice])
    weighted, weighted_gradient = reference.LOSSES[loss].value(z, y, [1, 2, 0, 1, 1])
    np.testing.assert_allclose(weighted, loss_twice, rtol=8 * EPS)
    gradient[1] += gradient[2]
    gradient[2] = 0
    np.testing.assert_allclose(weighted_gradient, gradient, atol=8 * EPS)


def test_gradient_vanishes_at_the_least_squares_solution():
    rng = np.random.default_rng(0)
    X, targets = rng.normal(size=(20, 3)), rng.normal(size=(20, 2))
    with_ones = np.column_stack([X, np.ones(20)])
    solution = np.linalg.lstsq(with_ones, targets, rcond=None)[0]
    result = reference.loss_and_gradients([solution[:3]], [solution[3]], X, targets, "relu", "squared_error")
    residual = targets - with_ones @ solution
    np.testing.assert_allclose(result.loss, 0.5 * np.sum(residual**2) / 20, rtol=100 * EPS)
    tolerance = 20 * 20 * EPS * np.abs(with_ones).max() * np.abs(residual).max()
    assert np.abs(result.weights[0]).max() < tolerance
    assert np.abs(result.biases[0]).max() < tolerance


def test_forward_of_a_network_computed_by_hand():
    weights = [np.array([[1.0, -1.0], [2.0, 1.0]]), np.array([[3.0], [4.0]])]
    biases = [np.array([0.5, -0.5]), np.array([-1.0])]
    X = np.array([[1.0, 2.0], [1.0, -1.0]])  # hidden z: (5.5, 0.5) and (-0.5, -2.5)
    relu = reference.forward(weights, biases, X, "relu", "squared_error")
    np.testing.assert_array_equal(relu, [[17.5], [-1.0]])
    identity = reference.forward(weights, biases, X, "identity", "squared_error")
    np.testing.assert_array_equal(identity, [[17.5], [-12.5]])


STEPS = {  # two steps with gradients 1 and 0.5 from w = 1, worked out by hand
    "sgd": (reference.SGD(0.1), [0.9, 0.85]),
    "momentum": (reference.Momentum(0.1, 0.5), [0.9, 0.8]),  # v = -0.1, then -0.05 - 0.05
    "nesterov": (reference.Nesterov(0.1, 0.5), [0.85, 0.75]),  # -0.05 - 0.1, then -0.05 - 0.05
    # t=1: m=0.1, v=0.001: step 0.1; t=2: m=0.14, v=0.001249, over 0.19 and 0.001999
    "adam": (reference.Adam(0.1, epsilon=0.0), [0.9, 0.9 - 0.1 * (0.14 / 0.19) / np.sqrt(0.001249 / 0.001999)]),
}


@pytest.mark.parametrize("name", STEPS)
def test_optimizer_steps_match_hand_calculation(name):
    optimizer, expected = STEPS[name]
    params = [np.array([[1.0]]), np.array([1.0])]
    for gradient, value in zip((1.0, 0.5), expected, strict=True):
        optimizer.step(params, [np.full_like(p, gradient) for p in params])
        for p in params:
            np.testing.assert_allclose(p, value, rtol=50 * EPS)  # 1 - beta_2 cancels three digits


def test_adam_epsilon_stands_beside_the_root():
    w = [np.array([1.0])]
    reference.Adam(0.1, epsilon=0.01).step(w, [np.array([0.2])])
    rate = 0.1 * np.sqrt(0.001) / 0.1
    np.testing.assert_allclose(w[0], 1 - rate * 0.02 / (np.sqrt(0.001 * 0.04) + 0.01), rtol=1e-14)


@pytest.mark.parametrize(
    "layer_sizes, activation, bounds",
    [
        ((6, 24, 2), "relu", (1.0, 0.5)),
        ((6, 18, 8), "tanh", (0.5, np.sqrt(6 / 26))),
        ((6, 18, 8), "logistic", (0.5, np.sqrt(6 / 26))),
    ],
)
def test_initial_weights_fill_their_bounds(layer_sizes, activation, bounds):
    weights, biases = reference.initial_parameters(layer_sizes, activation, 3)
    assert [w.shape for w in weights] == list(zip(layer_sizes[:-1], layer_sizes[1:], strict=True))
    for w, b, bound in zip(weights, biases, bounds, strict=True):
        assert 0.8 * bound < w.max() <= bound
        assert -bound <= w.min() < -0.8 * bound
        np.testing.assert_array_equal(b, np.zeros(w.shape[1]))


def test_initial_parameters_are_one_stream_of_the_seed():
    weights, _ = reference.initial_parameters((2, 3, 1), "relu", 11)
    stream = np.random.default_rng(11).uniform(-1, 1, 9)
    np.testing.assert_allclose(weights[0].ravel(), stream[:6] * np.sqrt(3), rtol=0, atol=4 * EPS)
    np.testing.assert_allclose(weights[1].ravel(), stream[6:] * np.sqrt(2), rtol=0, atol=4 * EPS)


@pytest.mark.parametrize("accumulate, group", [(1, 4), (3, 12), ("epoch", 22)])
def test_accumulation_equals_one_large_batch(accumulate, group):
    rng = np.random.default_rng(1)
    weights, biases = reference.initial_parameters((3, 5, 2), "tanh", 0)
    X, y = rng.normal(size=(22, 3)), rng.integers(0, 2, 22)  # 22 = 5 * 4 + 2: a last smaller batch
    orders = [rng.permutation(22) for _ in range(3)]
    settings = dict(l1=0.01, l2=0.1, activation="tanh", loss="cross_entropy")
    many = reference.train(
        weights, biases, X, y, orders, 4, reference.Momentum(0.5, 0.9), accumulate=accumulate, **settings
    )
    one = reference.train(weights, biases, X, y, orders, group, reference.Momentum(0.5, 0.9), **settings)
    for a, b in zip(many[0] + many[1], one[0] + one[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-13)
    np.testing.assert_allclose(many[2], one[2], rtol=1e-13)


def test_train_reports_the_loss_as_met_and_leaves_its_arguments_alone():
    rng = np.random.default_rng(2)
    weights, biases = reference.initial_parameters((3, 2), "relu", 0)
    before = [p.copy() for p in weights + biases]
    X, y = rng.normal(size=(10, 3)), rng.normal(size=(10, 2))
    order = rng.permutation(10)
    new_weights, new_biases, losses = reference.train(
        weights, biases, X, y, [order], 6, reference.SGD(0.1), loss="squared_error"
    )
    first, last = order[:6], order[6:]
    start = reference.loss_and_gradients(weights, biases, X[first], y[first], "relu", "squared_error")
    w1, b1 = weights[0] - 0.1 * start.weights[0], biases[0] - 0.1 * start.biases[0]
    middle = reference.loss_and_gradients([w1], [b1], X[last], y[last], "relu", "squared_error")
    np.testing.assert_allclose(losses, [(6 * start.loss + 4 * middle.loss) / 10], rtol=10 * EPS)
    np.testing.assert_allclose(new_weights[0], w1 - 0.1 * middle.weights[0], rtol=0, atol=1e-15)
    np.testing.assert_allclose(new_biases[0], b1 - 0.1 * middle.biases[0], rtol=0, atol=1e-15)
    for p, saved in zip(weights + biases, before, strict=True):
        np.testing.assert_array_equal(p, saved)
