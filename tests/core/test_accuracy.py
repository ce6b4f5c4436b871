"""Accuracy pinned to what the kernels reach: elementary functions, losses, their gradients, and sums.

Errors are measured in ulp, units in the last place of the exact result, or in eps of the size that rounding acts on.
The bounds are the largest errors measured on AVX2, AVX-512 and generic kernels, with a tenth to a third to spare. The
exact results are long double's, which has 11 bits more than float64 on x86-64 and 60 more on 64-bit ARM.
"""

import numpy as np
import pytest
import reference
from fastmlp import Network, Trainer, ops

pytestmark = pytest.mark.skipif(
    np.finfo(np.longdouble).eps > 2e-19, reason="long double is no more exact than float64 here"
)

DTYPES = ["float32", "float64"]
EXP_ENDS = {"float32": (-87.3, 88.37), "float64": (-708.3, 709.4)}  # below e^z is 0, above infinity
ULP = {
    "exponential": 1.25,
    "logistic": 2.75,
    "tanh": 2.5,
    "silu": 3.5,
    "elu": 1.5,
    "selu": 2.5,
    "softplus": 4.0,
    "gelu": 6.5,
    "mish": 5.0,
}

FUNCTIONS = {
    "exponential": np.exp,
    "logistic": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": np.tanh,
    **{name: reference.ACTIVATIONS[name].value for name in ("silu", "elu", "selu", "softplus", "gelu", "mish")},
}


def wide(x):
    return np.asarray(x, np.longdouble)


def error_in_ulp(result, exact):
    info = np.finfo(result.dtype)
    exact = wide(exact)
    ulp = np.exp2(np.floor(np.log2(np.maximum(np.abs(exact), info.tiny)))) * wide(info.eps)
    return np.abs(wide(result) - exact) / ulp


def one_weight(loss, dtype):
    """A network whose output layer sees z where the input is z."""
    net = Network((1, 1), loss=loss, dtype=dtype)
    net.set_parameters([np.ones((1, 1), dtype)], [np.zeros(1, dtype)])
    return net


def apply(name, z):
    if name == "exponential":
        return one_weight("poisson", z.dtype.name).forward(z[:, None])[:, 0]
    return ops.activate(z[None], name)[0]


def with_neighbours(values, dtype, count=50):
    """Each value and the `count` representable numbers on either side of it."""
    bits = np.dtype(f"i{np.dtype(dtype).itemsize}")
    values = np.asarray(values, dtype)
    return (values.view(bits)[:, None] + np.arange(-count, count + 1)).astype(bits).ravel().view(dtype)


def grids(name, dtype):
    lowest, highest = EXP_ENDS[dtype]
    info = np.finfo(dtype)
    small = np.geomspace(2 * info.tiny, 1, 20_001)
    yield np.linspace(-20, 20, 400_001).astype(dtype)
    yield np.concatenate([small, -small, [0.0, -0.0]]).astype(dtype)
    halves_of_ln2 = np.log(2) / 2 * np.arange(1, 60)  # at odd ones e^z takes another power of two
    yield with_neighbours(np.concatenate([halves_of_ln2, -halves_of_ln2]), dtype)
    if name == "tanh":
        yield np.concatenate([np.linspace(-1000, 1000, 20_001), np.geomspace(20, info.max / 4, 1001)]).astype(dtype)
    else:
        z = np.linspace(lowest, highest, 200_001).astype(dtype)
        yield z[(z >= np.dtype(dtype).type(lowest)) & (z <= np.dtype(dtype).type(highest))]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_within_their_ulp(isa, name, dtype):
    for z in grids(name, dtype):
        exact = FUNCTIONS[name](wide(z))
        errors = error_in_ulp(apply(name, z), exact)
        if name == "gelu":  # the tail ends, as e^z does, where it is no normal number
            errors[np.abs(exact) < 100 * np.finfo(dtype).tiny] = 0
        worst = errors.argmax()
        assert errors[worst] <= ULP[name], f"{name}({z[worst]!r}) errs by {float(errors[worst]):.2f} ulp"


@pytest.mark.parametrize("dtype", DTYPES)
def test_exp_is_accurate_up_to_the_ends_of_its_range_and_no_further(isa, dtype):
    lowest, highest = np.array(EXP_ENDS[dtype], dtype)
    infinity = np.array(np.inf, dtype)
    inside = np.concatenate([np.linspace(highest - 2, highest, 5001), np.linspace(lowest, lowest + 2, 5001)])
    inside = np.clip(inside.astype(dtype), lowest, highest)
    assert lowest in inside and highest in inside
    assert error_in_ulp(apply("exponential", inside), np.exp(wide(inside))).max() <= ULP["exponential"]
    above = np.array([np.nextafter(highest, infinity), highest + 1, 1e4, np.finfo(dtype).max], dtype)
    below = np.array([np.nextafter(lowest, -infinity), lowest - 1, -1e4, -np.finfo(dtype).max], dtype)
    np.testing.assert_array_equal(apply("exponential", above), np.inf)
    np.testing.assert_array_equal(apply("exponential", below), 0)
    np.testing.assert_array_equal(apply("logistic", -above), 0)
    np.testing.assert_array_equal(apply("logistic", -below), 1)


def row_losses(loss, z, targets):
    """The loss of each z alone."""
    net = one_weight(loss, z.dtype.name)
    return np.array([net.evaluate([[a]], [[t]]).loss for a, t in zip(z, targets, strict=True)])


def loss_points(dtype):
    z = np.concatenate([np.linspace(0, 3, 201), np.linspace(3, 30, 101), np.geomspace(1e-6, 1, 50)]).astype(dtype)
    return np.concatenate([z, -z])


@pytest.mark.parametrize("dtype", DTYPES)
def test_binary_cross_entropy_of_a_row_is_accurate_to_its_last_digits(isa, dtype):
    """Relative to the loss itself, for labels and the probabilities between: log(1 + e^-|z|) loses nothing."""
    z, eps = loss_points(dtype), np.finfo(dtype).eps
    for target in (0.0, 1.0, 0.25):
        exact = (np.maximum(wide(z), 0) - wide(z) * wide(target)) + np.log1p(np.exp(-np.abs(wide(z))))
        errors = np.abs(row_losses("binary_cross_entropy", z, np.full(len(z), target)) - exact) / exact
        assert errors.max() <= 2.25 * eps, f"target {target}"


@pytest.mark.parametrize("dtype", DTYPES)
def test_poisson_loss_of_a_row_is_accurate_to_its_terms(isa, dtype):
    z, eps = loss_points(dtype), np.finfo(dtype).eps
    for target in (0.0, 1.0, 7.0):
        exact = np.exp(wide(z)) - wide(target) * wide(z)
        sizes = np.exp(wide(z)) + np.abs(wide(target) * wide(z))
        if target > 0:
            exact, sizes = (
                exact + target * np.log(wide(target)) - target,
                sizes + target * np.log(wide(target)) + target,
            )
        errors = np.abs(row_losses("poisson", z, np.full(len(z), target)) - exact) / sizes
        assert errors.max() <= 1.5 * eps, f"target {target}"


@pytest.mark.parametrize("dtype", DTYPES)
def test_poisson_loss_of_a_large_count_is_accurate_near_it(isa, dtype):
    """Where the loss is a small difference of large terms; the logarithms are rounded."""
    eps = np.finfo(dtype).eps
    for target in np.array([1e3, 1e6, 1e7], dtype):
        log = np.log(wide(target))
        z = (log + np.linspace(-2, 2, 101) ** 3 / np.sqrt(target)).astype(dtype)
        d = wide(z) - log
        exact = wide(target) * (np.expm1(d) - d)
        sizes = wide(target) * (np.abs(d) * log + d**2)
        errors = np.abs(row_losses("poisson", z, np.full(len(z), target)) - exact) / sizes
        assert errors.max() <= 4 * eps, f"target {target}"


@pytest.mark.parametrize("dtype", DTYPES)
def test_squared_error_of_a_row_is_accurate_to_its_last_digits(isa, dtype):
    rng = np.random.default_rng(0)
    for outputs in (1, 7, 33):
        for _ in range(100):
            z, target = rng.normal(size=(2, 1, outputs)).astype(dtype)
            exact = ((wide(z) - wide(target)) ** 2).sum() / 2
            terms = np.sqrt(outputs)  # roundings of a sum do not lean to one side
            assert abs(ops.squared_error(z, target).loss - exact) <= (1.5 + 0.5 * terms) * np.finfo(dtype).eps * exact


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_and_cross_entropy_are_accurate_to_the_rounding_of_their_logits(isa, dtype):
    """z - max is rounded, and its error stands in the exponent: half an eps of the distance. The rest is exp and sum."""
    rng, eps = np.random.default_rng(0), np.finfo(dtype).eps
    for classes in (2, 3, 10, 16, 37, 254):
        for scale in (0.1, 1, 5, 20):
            z = (scale * rng.normal(size=(40, classes))).astype(dtype)
            labels = rng.integers(0, classes, len(z))
            distances = z.max(axis=1, keepdims=True) - wide(z)
            exponentials = np.exp(-distances)
            sums = exponentials.sum(axis=1, keepdims=True)
            allowed = eps * (distances / 2 + 2.5 + np.sqrt(classes) / 4)
            kept = distances < -EXP_ENDS[dtype][0]
            errors = np.abs(ops.softmax(z) - exponentials / sums) / (exponentials / sums)
            assert (errors <= allowed)[kept].all(), f"{classes} classes"
            for row, label in enumerate(labels):
                result = ops.softmax_cross_entropy(z[row : row + 1], labels[row : row + 1])
                exact = np.log(sums[row, 0]) + distances[row, label]
                size = 1 + exact + np.sqrt(classes) / 4
                assert abs(result.loss - exact) <= 1.5 * eps * size, f"{classes} classes"


GRADIENTS = {
    "binary_cross_entropy": lambda z, target: FUNCTIONS["logistic"](z) - target,
    "poisson": lambda z, target: np.exp(z) - target,
    "squared_error": lambda z, target: z - target,
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", GRADIENTS)
def test_gradients_of_losses_are_accurate_to_their_terms(isa, loss, dtype):
    """One row, one output for each z: the gradient of a bias is that of its z."""
    eps, z = np.finfo(dtype).eps, np.linspace(-30, 30, 10_007).astype(dtype)
    if loss == "poisson":  # but e^30 would be all there is to see in the loss
        z = np.linspace(-30, 5, 10_007).astype(dtype)
    net = Network((1, len(z)), loss=loss, dtype=dtype)
    net.set_parameters([z[None]], [np.zeros_like(z)])
    for target in (0.0, 1.0):
        exact = GRADIENTS[loss](wide(z), target)
        found = net.loss_and_gradients([[1.0]], np.full((1, len(z)), target)).biases[0]
        max_term = np.abs(exact) if target == 0 else np.maximum(np.abs(exact), 1)
        assert (np.abs(found - exact) <= 2.75 * eps * max_term).all(), f"target {target}"


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_loss_of_many_rows_is_summed_in_double(isa, dtype, loss):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(100_003, 3)).astype(dtype)
    net = Network((3, 3), loss=loss, dtype=dtype)
    net.set_parameters([np.eye(3, dtype=dtype)], [np.zeros(3, dtype)])
    if loss == "cross_entropy":
        y = rng.integers(0, 3, len(z))
        exact = (np.log(np.exp(wide(z)).sum(axis=1)) - wide(z)[np.arange(len(z)), y]).mean()
    else:
        y = rng.normal(size=z.shape).astype(dtype)
        exact = ((wide(z) - wide(y)) ** 2).sum(axis=1).mean() / 2
    eps = np.finfo(dtype).eps  # the rows' own errors average out; the sum adds hardly any
    allowed = 0.1 * eps if dtype == "float32" else 20 * eps
    assert abs(net.evaluate(z, y).loss - exact) <= allowed * exact
    trainer = Trainer(net, learning_rate=1e-30, batch_size=1000)
    assert abs(trainer.fit(z, y, epochs=1).loss[0] - exact) <= allowed * exact


@pytest.mark.parametrize("dtype", DTYPES)
def test_penalties_of_many_weights_are_summed_in_double(isa, dtype):
    """A float sum of 10^6 weights would have lost four of its seven digits."""
    net = Network((1009, 1013, 3), loss="squared_error", dtype=dtype, seed=0)
    absolute = sum(np.abs(wide(w)).sum() for w in net.weights)
    squares = sum((wide(w) ** 2).sum() for w in net.weights) / 2
    allowed = 1e-8 if dtype == "float32" else 5e-14
    X, y = np.zeros((1, 1009)), np.zeros((1, 3))
    for settings, exact in [({"l1": 1.0}, absolute), ({"l2": 1.0}, squares)]:
        found = net.loss_and_gradients(X, y, **settings).penalty
        assert abs(found - exact) <= allowed * exact, settings
        trained = Trainer(net, learning_rate=1e-30, **settings).fit(X, y, epochs=1).penalty[0]
        assert abs(trained - exact) <= allowed * exact, settings


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_many_rows_lose_no_more_than_sums_of_sums_must(isa, dtype):
    """60,000 gradients of one sign are summed by 256 and these sums one after another: two sums of some 250 terms."""
    rng = np.random.default_rng(0)
    X, y = rng.uniform(1, 2, (60_000, 3)).astype(dtype), rng.uniform(-3, -2, (60_000, 1)).astype(dtype)
    net = Network((3, 1), loss="squared_error", dtype=dtype)
    net.set_parameters([np.ones((3, 1), dtype)], [np.zeros(1, dtype)])
    errors = wide(X) @ np.ones((3, 1), np.longdouble) - wide(y)
    result, allowed = net.loss_and_gradients(X, y), np.sqrt(250) * np.finfo(dtype).eps
    for found, exact in [(result.weights[0], wide(X).T @ errors), (result.biases[0], errors.sum(axis=0))]:
        exact = exact / len(X)
        assert (np.abs(found - exact) <= allowed * exact).all()
