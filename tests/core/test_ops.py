"""Parity of each operation in fastmlp.ops with NumPy, for each instruction set and dtype."""

import itertools

import numpy as np
import pytest
import reference
from fastmlp import ops
from teams import TEAMS, team_of

DTYPES = [np.float32, np.float64]
ACTIVATIONS = list(reference.ACTIVATIONS)

# Tiles are at most 14 x 32; blocks of k at most 512. One below, at and above each, and primes.
EDGES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15, 16, 17, 29, 31, 32, 33]
SHAPES = [  # (m, k, n)
    *[(d, 7, 5) for d in EDGES],
    *[(5, 3, d) for d in EDGES],
    *[(6, d, 17) for d in EDGES],
    (14, 14, 32),
    (28, 512, 64),
    (15, 513, 33),
    (13, 511, 31),
    (1, 1025, 1),
    (43, 1031, 67),
    (1, 784, 10),
    (128, 784, 10),
    (300, 20, 254),
    (29, 254, 190),
    (29, 190, 142),
    (29, 142, 96),
    (29, 96, 72),
    (29, 72, 10),
    (1100, 13, 35),
    (37, 13, 1100),
    (254, 600, 190),
]
ODD = (3, 37)  # no vector width divides 37: full vectors and a tail in each row


def random_operands(rng, m, k, n, transpose_a, transpose_b, dtype):
    a = rng.normal(size=(k, m) if transpose_a else (m, k)).astype(dtype)
    b = rng.normal(size=(n, k) if transpose_b else (k, n)).astype(dtype)
    return a, b


@pytest.mark.parametrize("transpose_a, transpose_b", [(False, False), (False, True), (True, False), (True, True)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_matmul_matches_numpy(isa, dtype, transpose_a, transpose_b):
    rng = np.random.default_rng(0)
    eps = np.finfo(dtype).eps
    for m, k, n in SHAPES:
        a, b = random_operands(rng, m, k, n, transpose_a, transpose_b, dtype)
        product = ops.matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b)
        assert product.dtype == dtype
        wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
        expected = (wide_a.T if transpose_a else wide_a) @ (wide_b.T if transpose_b else wide_b)
        # k roundings of half an eps in each of the two products, in whatever order; doubled.
        tolerance = 4 * k * eps * np.abs(a).max() * np.abs(b).max()
        np.testing.assert_allclose(product, expected, rtol=0, atol=tolerance, err_msg=f"{(m, k, n)}")


@pytest.mark.parametrize("dtype", DTYPES)
def test_matmul_with_identity_is_exact(isa, dtype):
    rng = np.random.default_rng(1)
    for m, n in itertools.product([1, 6, 13, 14, 15, 29, 128], [1, 8, 16, 17, 31, 32, 33, 254, 600]):
        a = rng.normal(size=(m, n)).astype(dtype)
        eye = np.eye(n, dtype=dtype)
        np.testing.assert_array_equal(ops.matmul(a, eye), a)
        np.testing.assert_array_equal(ops.matmul(eye, a, transpose_b=True), a.T)
        np.testing.assert_array_equal(ops.matmul(a.T.copy(), eye, transpose_a=True), a)


@pytest.mark.parametrize("transpose_a, transpose_b", [(False, False), (False, True), (True, False), (True, True)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_matmul_gives_equal_bits_for_every_thread_count(isa, dtype, transpose_a, transpose_b):
    rng = np.random.default_rng(2)
    for m, k, n in [(300, 254, 190), (1031, 600, 10), (10, 1100, 600)]:
        a, b = random_operands(rng, m, k, n, transpose_a, transpose_b, dtype)
        one = ops.matmul(a, b, transpose_a, transpose_b, n_threads=1)
        for n_threads in TEAMS:
            with team_of(n_threads):
                many = ops.matmul(a, b, transpose_a, transpose_b, n_threads=n_threads)
            np.testing.assert_array_equal(many, one)


def chain_of_multiply_adds(a, b, fused, dtype):
    """Each element is one chain over k, in order, from zero. With whole numbers Python computes each step exactly."""
    product = np.zeros((len(a), b.shape[1]), dtype)
    for i, j in np.ndindex(product.shape):
        total = 0
        for x, y in zip(a[i].tolist(), b[:, j].tolist(), strict=True):
            term = int(x) * int(y)
            total = int(dtype(float(total + (term if fused else int(dtype(float(term)))))))
        product[i, j] = total
    return product


@pytest.mark.parametrize("transpose_a, transpose_b", [(False, False), (False, True), (True, False), (True, True)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_each_element_is_one_chain_of_fused_multiply_adds(isa, dtype, transpose_a, transpose_b):
    """But on generic, which has none. The numbers are so large that each product and each sum is rounded."""
    rng, bits, differ = np.random.default_rng(5), (16 if dtype == np.float32 else 30), 0
    for m, k, n in [(1, 23, 1), (7, 29, 33), (15, 17, 5), (3, 600, 2)]:
        a = rng.integers(-(2**bits), 2**bits, (m, k)).astype(dtype)
        b = rng.integers(-(2**bits), 2**bits, (k, n)).astype(dtype)
        expected = chain_of_multiply_adds(a, b, isa != "generic", dtype)
        differ += (expected != chain_of_multiply_adds(a, b, isa == "generic", dtype)).sum()
        a, b = (a.T.copy() if transpose_a else a), (b.T.copy() if transpose_b else b)
        np.testing.assert_array_equal(ops.matmul(a, b, transpose_a, transpose_b), expected)
    assert differ > 100, "the two kinds of chain differ"


@pytest.mark.parametrize("dtype", DTYPES)
def test_matmul_rows_do_not_depend_on_their_place(isa, dtype):
    rng = np.random.default_rng(3)
    a, b = random_operands(rng, 61, 785, 43, False, False, dtype)
    full = ops.matmul(a, b)
    for first, last in [(0, 1), (13, 14), (14, 29), (47, 61), (60, 61), (3, 58)]:
        np.testing.assert_array_equal(ops.matmul(a[first:last].copy(), b), full[first:last])
    np.testing.assert_array_equal(ops.matmul(a[::-1].copy(), b), full[::-1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_matmul_keeps_nan_in_its_row_and_column(isa, dtype):
    rng = np.random.default_rng(4)
    for m, k, n in [(1, 3, 1), (29, 33, 17), (15, 513, 33)]:
        a, b = random_operands(rng, m, k, n, False, False, dtype)
        clean = ops.matmul(a, b)
        row, column = m // 2, n // 2
        spoiled_a, spoiled_b = a.copy(), b.copy()
        spoiled_a[row, k - 1] = np.nan
        spoiled_b[0, column] = np.nan
        spoiled = ops.matmul(spoiled_a, spoiled_b)
        expected = clean.copy()
        expected[row, :] = np.nan
        expected[:, column] = np.nan
        np.testing.assert_array_equal(spoiled, expected)


def test_matmul_of_empty_operands():
    zeros = ops.matmul(np.ones((3, 0)), np.ones((0, 4)))
    np.testing.assert_array_equal(zeros, np.zeros((3, 4)))
    for shape in [(1, 1), (2, 3), (7, 5), (300, 41)]:  # in memory that held something else before
        for _ in range(20):
            np.full(shape, 7.0)
            product = ops.matmul(np.zeros((shape[0], 0)), np.zeros((0, shape[1])))
            np.testing.assert_array_equal(product, np.zeros(shape))
    assert ops.matmul(np.ones((0, 3)), np.ones((3, 4))).shape == (0, 4)
    assert ops.matmul(np.ones((3, 4)), np.ones((4, 0))).shape == (3, 0)


def test_matmul_rejects_what_does_not_fit():
    a, b = np.ones((3, 4)), np.ones((5, 6))
    with pytest.raises(ValueError, match=r"\(3, 4\).*\(5, 6\)"):
        ops.matmul(a, b)
    with pytest.raises(ValueError, match=r"\(4, 3\).*\(5, 6\)"):
        ops.matmul(np.ones((4, 3)), b, transpose_b=True)
    with pytest.raises((TypeError, ValueError), match="float32"):
        ops.matmul(np.ones((3, 4), np.float32), np.ones((4, 5), np.float64))
    with pytest.raises((TypeError, ValueError), match="int64"):
        ops.matmul(np.ones((3, 4), np.int64), np.ones((4, 5), np.int64))
    with pytest.raises(ValueError, match=r"\(4,\)"):
        ops.matmul(a, np.ones(4))
    for n_threads in (0, -1):
        with pytest.raises(ValueError, match=f"n_threads.*{n_threads}"):
            ops.matmul(a, np.ones((4, 2)), n_threads=n_threads)


def grid(dtype):
    """From the smallest normal numbers to 1e4, both signs, with a vector tail; shape (3, ...)."""
    info = np.finfo(dtype)
    near_zero = np.geomspace(info.tiny, 0.1, 400)
    away = np.concatenate([np.linspace(0.01, 20, 997), np.geomspace(20, 1e4, 100)])
    special = np.array([0.0, 1e4, info.smallest_subnormal, info.tiny / 2, info.max / 4, 0.625, 1, 9])
    positive = np.concatenate([near_zero, away, special])
    return np.concatenate([positive, -positive]).astype(dtype)[None, :-1].repeat(3, axis=0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_are_accurate_to_a_few_ulp(isa, activation, dtype):
    z = grid(dtype)
    a = ops.activate(z, activation)
    assert a.dtype == dtype
    # longdouble's own roundings vanish beside 8 eps; results near `tiny` may lose their digits
    row, info = reference.ACTIVATIONS[activation], np.finfo(dtype)
    expected = row.value(z.astype(np.longdouble))
    allowed = row.rounding * float(info.eps) * row.condition(z.astype(float)) * np.abs(expected)
    assert (np.abs(a - expected) <= allowed + (row.rounding and 100 * float(info.tiny))).all()
    if hasattr(ops, activation):
        np.testing.assert_array_equal(getattr(ops, activation)(z), a)


@pytest.mark.parametrize("dtype", DTYPES)
def test_tanh_is_odd_and_bounded(isa, dtype):
    z = grid(dtype)
    a = ops.tanh(z)
    np.testing.assert_array_equal(ops.tanh(-z), -a)
    assert np.abs(a).max() == 1
    tiny = np.abs(z) < 1e-8 * np.finfo(dtype).eps ** 0.5
    np.testing.assert_array_equal(a[tiny], z[tiny])  # tanh(z) = z - z^3/3: nothing left to round


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_let_nan_and_infinity_through(isa, activation, dtype):
    z = np.ones(ODD, dtype)
    z[1, 5] = z[2, 36] = np.nan
    z[0, 0], z[0, 36] = np.inf, -np.inf
    a = ops.activate(z, activation)
    np.testing.assert_array_equal(np.isnan(a), np.isnan(z))  # a divergence must stay visible
    limits = reference.ACTIVATIONS[activation].value(np.array([np.inf, -np.inf])).astype(dtype)
    np.testing.assert_allclose((a[0, 0], a[0, 36]), limits, rtol=0, atol=np.finfo(dtype).tiny)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_do_not_depend_on_the_place_in_a_vector(isa, activation, dtype):
    for value in (-3.3, -0.1, 0.7, 11.0):
        for columns in (1, 3, 8, 15, 17, 37):
            a = ops.activate(np.full((2, columns), value, dtype), activation)
            single = ops.activate(np.full((1, 1), value, dtype), activation)
            np.testing.assert_array_equal(a, np.broadcast_to(single, a.shape))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activation_gradient_matches_oracle(isa, activation, dtype):
    rng = np.random.default_rng(5)
    row, eps = reference.ACTIVATIONS[activation], np.finfo(dtype).eps
    for shape in [(1, 1), (2, 16), ODD, (5, 254)]:
        z = rng.normal(size=shape).astype(dtype)
        z[0, 0] = 0
        output = row.value(z.astype(np.float64)).astype(dtype)
        grad_output = rng.normal(size=shape).astype(dtype)
        gradient = ops.activation_gradient(output, grad_output, activation, z=z)
        assert gradient.dtype == dtype
        slope = row.derivative(z.astype(np.float64))
        # the output is rounded, and so are terms of at most 1 each (1 - a^2 may cancel); times grad_output
        tolerance = (row.rounding and 5) * eps * np.abs(grad_output).max()
        np.testing.assert_allclose(gradient, slope * grad_output, rtol=0, atol=tolerance)


def exponential_tolerance(z, eps):
    """Relative error of exp(z - max) over its sum: z - max is rounded and its error stands in the
    exponent; a few ulp of the exponential; the sum over the columns; the division."""
    distance = z.max(axis=1, keepdims=True) - z
    return eps * (distance + 16 + z.shape[1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_matches_oracle(isa, dtype):
    rng = np.random.default_rng(6)
    info = np.finfo(dtype)
    for shape in [(1, 1), (1, 2), (2, 10), (13, 16), (29, 17), (3, 37), (5, 254)]:
        z = (5 * rng.normal(size=shape)).astype(dtype)
        p = ops.softmax(z)
        assert p.dtype == dtype
        wide = z.astype(np.longdouble)
        expected = reference.softmax(wide)
        assert (np.abs(p - expected) <= exponential_tolerance(wide, info.eps) * expected + info.tiny).all()
        np.testing.assert_allclose(p.sum(axis=1, dtype=np.float64), 1, rtol=(shape[1] + 4) * info.eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_is_invariant_to_an_exact_shift(isa, dtype):
    rng = np.random.default_rng(7)
    z = (np.round(64 * rng.normal(size=(7, 37))) / 64).astype(dtype)
    p = ops.softmax(z)
    for shift in (-4096.0, 64.0, 1000.0):  # z + shift has no rounding
        np.testing.assert_array_equal(ops.softmax(z + dtype(shift)), p)


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_rows_do_not_depend_on_neighbours(isa, dtype):
    z = np.random.default_rng(8).normal(size=(29, 10)).astype(dtype)
    p = ops.softmax(z)
    for row in range(len(z)):
        np.testing.assert_array_equal(ops.softmax(z[row : row + 1]), p[row : row + 1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_of_huge_logits_is_finite(isa, dtype):
    huge = np.finfo(dtype).max
    z = np.array([[1e4, -1e4, 0], [huge, -huge, 0], [-huge, -huge, -huge], [0, 0, -1e4]], dtype)
    p = ops.softmax(z)
    np.testing.assert_array_equal(p[:2], [[1, 0, 0], [1, 0, 0]])
    np.testing.assert_allclose(p[2:], [[1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0]], rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_cross_entropy_matches_oracle(isa, dtype):
    rng = np.random.default_rng(9)
    eps = np.finfo(dtype).eps
    for batch, classes in [(1, 1), (1, 2), (13, 10), (29, 17), (128, 3), (7, 254), (1100, 10)]:
        z = (5 * rng.normal(size=(batch, classes))).astype(dtype)
        labels = rng.integers(0, classes, batch)
        result = ops.softmax_cross_entropy(z, labels)
        wide = z.astype(np.float64)
        loss, gradient = reference.cross_entropy(wide, labels)
        relative = exponential_tolerance(wide, eps)
        # A row's loss is (z_max - z_label) + log(sum): the errors of the one and of the other,
        # and the mean over the batch adds one rounding per row.
        tolerance = relative.max() + (batch + 4) * eps * abs(loss)
        assert isinstance(result.loss, float)
        assert abs(result.loss - loss) <= tolerance
        assert result.gradient.dtype == dtype
        allowed = (relative * reference.softmax(wide) + 2 * eps) / batch
        assert (np.abs(result.gradient - gradient) <= allowed).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_few_classes_give_the_bits_of_many(isa, dtype):
    # Few classes are computed with a row in each lane, many with a column; a class of probability 0 changes nothing.
    rng = np.random.default_rng(15)
    for rows, classes in itertools.product([1, 3, 4, 7, 8, 9, 16, 17, 33], EDGES):
        few = (3 * rng.normal(size=(rows, classes))).astype(dtype)
        few[rng.random(few.shape) < 0.2] = 1  # ties
        few[::5, rng.integers(classes)] = rng.choice([np.nan, np.inf, -np.inf, 90])
        labels = rng.integers(0, classes, rows)
        many = np.full((rows, 65), -np.inf, dtype)
        many[:, :classes] = few
        # -inf - inf is no number: there only the losses are the same
        results = [ops.softmax_cross_entropy(z, labels) for z in (few, many)]
        np.testing.assert_array_equal(results[0].loss, results[1].loss)
        usable = ~(few == np.inf).any(axis=1) & ~np.isnan(few).any(axis=1) & ~(few == -np.inf).all(axis=1)
        bits = [result.gradient[usable, :classes].tobytes() for result in results]
        assert bits[0] == bits[1], (rows, classes)


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_cross_entropy_of_a_hopeless_guess_is_finite(isa, dtype):
    z = np.array([[1e4, 0.0], [0.0, 1e4]], dtype)
    result = ops.softmax_cross_entropy(z, np.array([1, 1]))
    assert result.loss == 5e3
    np.testing.assert_array_equal(result.gradient, [[0.5, -0.5], [0, 0]])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", reference.LOSSES)
def test_every_loss_matches_oracle(isa, loss, dtype):
    rng = np.random.default_rng(13)
    for shape in [(1, 1), (3, 17), (40, 5)]:
        z = rng.normal(size=shape).astype(dtype)
        y = reference.targets_of(loss, rng.normal(size=shape).astype(dtype))
        result = ops.loss_and_gradient(loss, z, y)
        expected, gradient = reference.LOSSES[loss].value(z.astype(np.float64), y)
        size = 1 + np.exp(np.abs(z)).max()  # of the terms
        np.testing.assert_allclose(result.loss, expected, rtol=0, atol=16 * shape[1] * size * np.finfo(dtype).eps)
        tolerance = 16 * size * np.finfo(dtype).eps / shape[0]
        np.testing.assert_allclose(result.gradient, gradient, rtol=0, atol=tolerance)


def test_losses_reject_what_they_cannot_compare():
    z = np.zeros((2, 3))
    for loss, y, found in [
        ("poisson", np.full((2, 3), -1.0), "-1"),
        ("binary_cross_entropy", np.full((2, 3), 1.5), "1.5"),
        ("mse", z, "squared_error"),
        ("squared_error", np.zeros((2, 2)), r"\(2, 2\)"),
    ]:
        with pytest.raises(ValueError, match=found):
            ops.loss_and_gradient(loss, z, y)
    with pytest.raises(ValueError, match="delta"):
        ops.loss_and_gradient("squared_error", z, z, {"delta": 1.0})
    with pytest.raises(ValueError, match="slope"):
        ops.activate(z, "relu", {"slope": 0.1})


@pytest.mark.parametrize("dtype", DTYPES)
def test_squared_error_matches_oracle(isa, dtype):
    rng = np.random.default_rng(10)
    eps = np.finfo(dtype).eps
    for shape in [(1, 1), (1, 2), (13, 10), (29, 17), (128, 1), (7, 254), (1100, 3)]:
        prediction, target = rng.normal(size=(2, *shape)).astype(dtype)
        result = ops.squared_error(prediction, target)
        loss, gradient = reference.squared_error(prediction.astype(np.float64), target.astype(np.float64))
        assert isinstance(result.loss, float)
        # squares are positive, so nothing cancels: one rounding per term
        np.testing.assert_allclose(result.loss, loss, rtol=(np.prod(shape) + 4) * eps)
        assert result.gradient.dtype == dtype
        np.testing.assert_allclose(result.gradient, gradient, rtol=4 * eps)


def test_losses_reject_bad_targets():
    z = np.zeros((3, 4))
    for labels, found in [([0, 1, 4], "4"), ([0, -1, 1], "-1"), ([0, 1, 2**40], str(2**40))]:
        with pytest.raises(ValueError, match=found):
            ops.softmax_cross_entropy(z, np.array(labels))
    with pytest.raises(ValueError, match="3.*2|2.*3"):
        ops.softmax_cross_entropy(z, np.array([0, 1]))
    with pytest.raises((TypeError, ValueError), match="float64"):
        ops.softmax_cross_entropy(z, np.array([0.0, 1.5, 2.0]))
    with pytest.raises(ValueError, match=r"\(3, 5\)"):
        ops.squared_error(z, np.zeros((3, 5)))


def test_unknown_activation_names_the_known_ones():
    with pytest.raises(ValueError, match="sigmoid.*relu|relu.*sigmoid"):
        ops.activate(np.zeros((1, 1)), "sigmoid")
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        ops.activation_gradient(np.zeros((2, 3)), np.zeros((3, 2)), "relu")


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)])
def test_elementwise_ops_of_nothing_are_nothing(shape):
    nothing = np.zeros(shape)
    assert ops.tanh(nothing).shape == shape
    assert ops.activation_gradient(nothing, nothing, "tanh").shape == shape
    with pytest.raises(ValueError, match="prediction"):  # but the mean of nothing has no value
        ops.squared_error(nothing, nothing)


@pytest.mark.parametrize("name", ["relu", "tanh", "softmax"])
def test_ops_take_any_layout_and_leave_it_alone(isa, name):
    z = np.random.default_rng(11).normal(size=(14, 18))
    view = z[::2, ::-3]
    before = view.copy()
    np.testing.assert_array_equal(getattr(ops, name)(view), getattr(ops, name)(before))
    np.testing.assert_array_equal(view, before)
