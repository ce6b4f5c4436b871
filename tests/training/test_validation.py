"""Data that are rejected and in which words, what is accepted, and that a rejection changes nothing."""

import warnings

import fastmlp
import numpy as np
import pytest
from fastmlp import DivergenceError, Network, Trainer, _core, core_calls, training_data
from fastmlp.losses import LOSSES
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rejections import REJECTED, assert_inputs_rejected, assert_rejected, classifier, data, regressor
from teams import TEAMS, team_of


@pytest.mark.parametrize("value, name", [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "inf")])
@pytest.mark.parametrize("row, column", [(0, 0), (9, 3), (19, 4)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_that_are_not_finite_are_named_with_their_position(dtype, row, column, value, name):
    X, labels, targets = data()
    X[row, column] = value
    position = rf"(?i)(?=.*{name}).*{row}\D+{column}"
    for net in (classifier(dtype), regressor(2, dtype)):
        y = labels if net.loss == "cross_entropy" else targets
        for as_given in (X, X.astype(np.float32)):
            assert_inputs_rejected(net, as_given, y, position)


@pytest.mark.parametrize("value, name", [(np.nan, "nan"), (np.inf, "inf")])
@pytest.mark.parametrize("row, column", [(0, 0), (19, 1)])
def test_targets_that_are_not_finite_are_named_with_their_position(row, column, value, name):
    X, _, targets = data()
    targets[row, column] = value
    assert_rejected(regressor(), X, targets, rf"(?i)y.*(?=.*{name}).*{row}\D+{column}")


@pytest.mark.parametrize("label", [3, -1, 2**40, 255])
@pytest.mark.parametrize("row", [0, 10, 19])
def test_labels_out_of_range_are_named(row, label):
    X, labels, _ = data()
    labels[row] = label
    assert_rejected(classifier(), X, labels, rf"(?=.*{label})(?=.*\b3\b).*{row}")


@pytest.mark.parametrize(
    "labels, message",
    [
        (np.full(20, 1.5), "1.5|float64"),
        (np.full(20, np.nan), "(?i)nan|float64"),
        (np.array(["a"] * 20), "<U1|str"),
        (np.array([None] * 20), "object|None"),
        (np.full(20, 1 + 0j), "complex128"),
        (np.full(20, np.datetime64("2020-01-01")), "datetime64"),
    ],
)
def test_labels_of_other_kinds_are_rejected(labels, message):
    assert_rejected(classifier(), data()[0], labels, message, REJECTED)


def test_labels_beyond_int64_are_rejected():
    labels = data()[1].astype(np.uint64)
    labels[7] = 2**64 - 1  # -1 in int64
    assert_rejected(classifier(), data()[0], labels, "18446744073709551615", REJECTED)


@pytest.mark.parametrize(
    "X, message",
    [
        (np.zeros((20, 4)), r"\(20, 4\)"),
        (np.zeros((20, 6), np.float32), r"\(20, 6\)"),
        (np.zeros(20), r"\(20,\)"),
        (np.zeros((20, 5, 1)), r"\(20, 5, 1\)"),
        (np.float64(3.0), r"\(\)"),
    ],
)
def test_inputs_of_a_wrong_shape_are_rejected_with_both_shapes(X, message):
    assert_inputs_rejected(classifier(), X, data()[1], rf"\(samples, 5\).*{message}")
    with pytest.raises(ValueError, match="samples, 5"):
        classifier().forward(X)


@pytest.mark.parametrize(
    "X, message",
    [
        (np.full((20, 5), "1"), "<U1|str"),
        (np.full((20, 5), None), "object"),
        (np.zeros((20, 5), complex), "complex128"),
        (np.zeros((20, 5), "datetime64[s]"), "datetime64"),
        ([[1, 2, 3, 4, 5], [1, 2]], "(?i)inhomogeneous|shape|sequence"),
        (None, "(?i)none|object"),
    ],
)
def test_inputs_of_other_kinds_are_rejected(X, message):
    assert_inputs_rejected(classifier(), X, data()[1], message, REJECTED)


def test_empty_data_is_rejected():
    assert_rejected(classifier(), np.zeros((0, 5)), np.zeros(0, int), r"(?i)\(0, 5\)|empty|at least")
    assert_rejected(regressor(), np.zeros((0, 5)), np.zeros((0, 2)), r"(?i)\(0, 5\)|empty|at least")


def test_lengths_that_disagree_are_both_named():
    X, labels, targets = data()
    assert_rejected(classifier(), X, labels[:19], "(?=.*20).*19")
    assert_rejected(regressor(), X, targets[:19], "(?=.*20).*19")


def test_targets_of_a_wrong_shape_are_rejected():
    X, labels, targets = data()
    assert_rejected(regressor(), X, targets[:, :1], r"(?=.*\(20, 1\)).*2")
    assert_rejected(regressor(), X, targets[:, 0], r"(?=.*\(20,\)).*2")
    assert_rejected(regressor(), X, targets[:, :, None], r"\(20, 2, 1\)")
    assert_rejected(classifier(), X, labels[:, None].repeat(3, 1), r"\(20, 3\)")
    assert_rejected(regressor(), X, np.full((20, 2), "a"), "<U1|str", REJECTED)


def test_values_beyond_float32_are_rejected_by_a_float32_network():
    X, labels, targets = data()
    X[4, 2] = 1e300
    assert_inputs_rejected(classifier("float32"), X, labels, r"(?=.*1e\+?300).*float32")
    assert np.isfinite(classifier("float64").forward(X)).all()
    targets[4, 1] = -1e300
    assert_rejected(regressor(2, "float32"), data()[0], targets, r"(?=.*-1e\+?300).*float32")


def test_validation_data_is_checked_before_training():
    X, labels, _ = data()
    net = classifier()
    before = net.weights
    bad = labels.copy()
    bad[3] = 99
    for validation_data in [(X[:, :4], labels), (X, bad), (X, labels[:5]), (X,), 7]:
        with pytest.raises(REJECTED):
            Trainer(net, batch_size=4).fit(X, labels, epochs=1, validation_data=validation_data)
    for p, expected in zip(net.weights, before, strict=True):
        np.testing.assert_array_equal(p, expected)


def layouts(clean):
    """The same values in every layout of NumPy."""
    every_third, backwards = (slice(None, None, 3),) * clean.ndim, (slice(None, None, -1),) * clean.ndim
    strided = np.zeros([3 * n for n in clean.shape], clean.dtype)
    strided[every_third] = clean
    buffer = np.zeros(clean.nbytes + 1, np.uint8)
    misaligned = buffer[1:].view(clean.dtype).reshape(clean.shape)
    misaligned[:] = clean
    read_only = clean.copy()
    read_only.flags.writeable = False
    return {
        "strided": strided[every_third],
        "reversed": clean[backwards].copy()[backwards],
        "Fortran order": np.asfortranarray(clean),
        "transposed": clean.T.copy().T,
        "byte order": clean.astype(clean.dtype.newbyteorder()),
        "misaligned": misaligned,
        "read-only": read_only,
        "list": clean.tolist(),
        "broadcast view": np.broadcast_to(clean, (2, *clean.shape))[1],
        "subclass": clean.copy().view(type("Subclass", (np.ndarray,), {})),
    }


def train(X, y, loss, dtype):
    net = Network((5, 7, 3), loss=loss, dtype=dtype, seed=1)
    Trainer(net, learning_rate=0.1, batch_size=6, seed=2).fit(X, y, epochs=2)
    return [*net.weights, *net.biases, net.forward(X)]


@pytest.mark.parametrize("layout", list(layouts(np.zeros((1, 1)))))
@pytest.mark.parametrize("x_dtype", [np.float32, np.float64, np.uint8])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_layout_gives_the_bits_of_the_clean_copy(dtype, x_dtype, layout):
    rng = np.random.default_rng(0)
    clean = (rng.integers(0, 9, (20, 5)) if x_dtype == np.uint8 else rng.normal(size=(20, 5))).astype(x_dtype)
    labels, targets = rng.integers(0, 3, 20), rng.normal(size=(20, 3))
    X = layouts(clean)[layout]
    for loss, y in [("cross_entropy", labels), ("squared_error", targets)]:
        expected = train(clean, y, loss, dtype)
        for p, q in zip(train(X, y, loss, dtype), expected, strict=True):
            np.testing.assert_array_equal(p, q)
        for p, q in zip(train(clean, layouts(y)[layout], loss, dtype), expected, strict=True):
            np.testing.assert_array_equal(p, q)
    np.testing.assert_array_equal(np.asarray(X), clean)


@pytest.mark.parametrize("layout", list(layouts(np.zeros((1, 1)))))
def test_sample_weights_and_coefficients_reach_the_core_as_it_reads_them(layout, monkeypatch):
    """Compilers assume that a number lies at a multiple of its size; processors may do without."""
    given = [layouts(np.ones(shape))[layout] for shape in [(5, 3), (3,)]]
    read = [training_data.check_sample_weight(given[1], 3, np.dtype(np.float64))]

    def forward_plain(weights, biases, *arguments):
        read.extend([*weights, *biases])
        return np.zeros((20, 3))

    monkeypatch.setattr(_core, "forward_plain", forward_plain)
    weights, biases = ([array] for array in given)
    core_calls.forward_plain(weights, biases, [], "squared_error", np.dtype(np.float64), None, np.ones((20, 5)), 1)
    assert len(read) == 3
    assert all(array.flags.c_contiguous and array.flags.aligned and array.dtype.isnative for array in read)


@pytest.mark.parametrize("layout", ["strided", "reversed", "Fortran order", "byte order", "misaligned"])
def test_the_core_rejects_layouts_that_it_cannot_read(layout):
    net, X = classifier(), layouts(np.ones((20, 5)))[layout]
    calls = [
        lambda: net.core.forward(X, 0, 20, 1),
        lambda: net.core.dataset(X, np.zeros(20, np.int64)),
        lambda: _core.NonzeroBits(X, 1),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="inputs must be"):
            call()


X_OF_CORE, Y_OF_CORE = np.zeros((20, 5)), np.zeros(20, np.int64)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda net, trainer: net.forward(X_OF_CORE[:, :4].copy(), 0, 20, 1), r"shape \(rows, 5\)"),
        (lambda net, trainer: net.forward(np.zeros(5), 0, 1, 1), "2 dimensions"),
        (lambda net, trainer: net.forward(X_OF_CORE, 0, 21, 1), "rows out of range"),
        (lambda net, trainer: net.forward(X_OF_CORE, -1, 2, 1), "rows out of range"),
        (lambda net, trainer: net.dataset(X_OF_CORE, Y_OF_CORE[:19]), "one entry per row"),
        (lambda net, trainer: net.dataset(X_OF_CORE, np.zeros((20, 3), np.float32)), "integer labels"),
        (lambda net, trainer: net.dataset(X_OF_CORE, Y_OF_CORE, None, np.ones(19, np.float32)), "one entry per row"),
        (lambda net, trainer: net.dataset(X_OF_CORE, Y_OF_CORE, _core.NonzeroBits(X_OF_CORE[:9], 1)), "same inputs"),
        (lambda net, trainer: net.set_layer(0, np.zeros((7, 5), "f"), np.zeros(7, "f")), "wrong shape"),
        (lambda net, trainer: net.set_layer(0, np.zeros((5, 7), "f"), np.zeros(8, "f")), "wrong shape"),
        (lambda net, trainer: trainer.set_optimizer_state(-1, [[], []]), "state is of another"),
        (lambda net, trainer: trainer.set_optimizer_state(0, [[]]), "state is of another"),
        (
            lambda net, trainer: trainer.set_optimizer_state(0, [[np.zeros((5, 7), "f"), np.zeros(7, "f")], []]),
            "another optimizer",
        ),
        (lambda net, trainer: trainer.gradients(), "no gradients"),
        (lambda net, trainer: trainer.restore_snapshot(), "no snapshot"),
    ],
)
def test_the_core_checks_shapes_and_ranges_itself(call, message):
    net = classifier()
    with pytest.raises(ValueError, match=message):
        call(net.core, Trainer(net).core)


@pytest.mark.parametrize("label", [-1, 3, 2**32, 2**40, -(2**63)])
def test_the_core_checks_labels_itself(label):
    labels = np.zeros(20, np.int64)
    labels[19] = label
    with pytest.raises(ValueError, match="labels must lie in"):
        classifier().core.dataset(np.zeros((20, 5)), labels)


@pytest.mark.parametrize(
    "labels", [np.full(20, 1.5), np.array(["a"] * 20), np.zeros(20, object), np.zeros(20, np.int32)]
)
def test_the_core_takes_labels_of_no_other_kind(labels):
    with pytest.raises(TypeError):
        classifier().core.dataset(np.zeros((20, 5)), labels)


@pytest.mark.parametrize("row", [-1, 20, 2**40])
def test_the_core_checks_the_order_of_rows_itself(row):
    net = classifier()
    core, data = Trainer(net).core, net.core.dataset(np.zeros((20, 5)), np.zeros(20, np.int64))
    with pytest.raises(ValueError, match="order names a row"):
        core.run(data, _core.EpochPlan(np.array([0, row]), 2), _core.UpdateSettings(0.1), 0, _core.LossSum(), 1, 1.0)


def any_arrays(*shapes):
    """Arrays of every kind that NumPy has, of these shapes, in any layout."""
    dtypes = st.one_of(
        hnp.scalar_dtypes(), hnp.byte_string_dtypes(), hnp.unicode_string_dtypes(), st.just(np.dtype(object))
    )
    contiguous = st.tuples(dtypes, st.sampled_from(shapes)).flatmap(
        lambda kind: hnp.arrays(*kind, elements=st.none() if kind[0] == object else None)
    )
    return st.tuples(contiguous, st.sampled_from(list(layouts(np.zeros((1, 1)))))).map(lambda pair: _laid_out(*pair))


def _laid_out(array, layout):
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return layouts(array)[layout]
        except (TypeError, ValueError, IndexError):  # not every type can be laid out so
            return array


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@example(np.full((4, 3), 382), np.ones(4, np.int8), "gamma")  # diverges
@given(
    any_arrays((4, 3), (4, 3), (4, 3), (3,), (), (0, 3), (4, 0), (2, 4, 3)),
    any_arrays((4,), (4,), (4,), (4, 1), (), (0,), (4, 2)),
    st.sampled_from(LOSSES),
)
def test_any_array_is_right_or_rejected(X, y, loss):
    net = Network((3, 5, 2 if loss == "cross_entropy" else 1), loss=loss, dtype="float64", seed=1)
    before = net.weights + net.biases
    expected = np.zeros((4, 3))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of NumPy's conversions
        try:
            found = net.forward(X)
        except REJECTED as error:
            assert "X must" in str(error), error
        else:
            expected = np.array(X).astype(np.float64)
            np.testing.assert_array_equal(found, net.forward(expected))
        try:
            Trainer(net, learning_rate=1e-3).fit(X, y, epochs=1)
        except DivergenceError:  # a ValueError, too; of numbers like 1e300, or e^-z of a gamma loss
            assert all(np.isfinite(p).all() for p in net.weights + net.biases)
        except REJECTED as error:
            assert any(words in str(error) for words in ("X must", "y must", "labels must")), error
            for p, q in zip(net.weights + net.biases, before, strict=True):
                np.testing.assert_array_equal(p, q)
        else:
            other = Network((3, 5, 2 if loss == "cross_entropy" else 1), loss=loss, dtype="float64", seed=1)
            same = np.array(y).astype(np.int64 if loss == "cross_entropy" else np.float64)
            Trainer(other, learning_rate=1e-3).fit(expected, same, epochs=1)
            for p, q in zip(net.weights + net.biases, other.weights + other.biases, strict=True):
                np.testing.assert_array_equal(p, q)


@pytest.mark.parametrize("n_threads", [1, *TEAMS])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_first_of_many_values_that_are_not_finite_is_named(dtype, n_threads):
    """Each worker searches a share of its own in blocks: whichever ends last, the first value counts."""
    rng = np.random.default_rng(n_threads)
    X, y = rng.normal(size=(40_000, 5)).astype(dtype), np.zeros(40_000, int)
    shares = np.linspace(0, X.size, n_threads + 1).astype(int)
    anywhere = [np.sort(rng.integers(0, X.size, 3)) for _ in range(10)]
    first_ends_first = np.append(shares[0], shares[1:] - 1)  # at the head of the first share, at the end of the others
    first_ends_last = np.append(shares[1] - 1, shares[1:-1])
    for places in [*anywhere, *5 * [first_ends_first, first_ends_last]]:
        bad = X.copy()
        bad.flat[places] = rng.choice([np.nan, np.inf, -np.inf], len(places))
        row, column = divmod(int(places[0]), 5)
        with (
            team_of(n_threads),
            pytest.raises(ValueError, match=rf"X must be finite, got (nan|inf|-inf) at \[{row}, {column}\]"),
        ):
            Trainer(classifier(dtype), n_threads=n_threads).fit(bad, y, epochs=1)


def test_integers_and_booleans_are_numbers():
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 2, (20, 5)), rng.integers(0, 3, 20)
    expected = train(X.astype(np.float64), y, "cross_entropy", "float64")
    for dtype in (np.int8, np.int64, np.uint16, np.float16, bool, ">f2", ">i4"):
        for p, q in zip(train(X.astype(dtype), y, "cross_entropy", "float64"), expected, strict=True):
            np.testing.assert_array_equal(p, q)


def test_floats_that_float64_would_narrow_are_rejected():
    if np.dtype(np.longdouble).itemsize == 8:
        pytest.skip("this system's longdouble is float64")
    X, labels, targets = data()
    assert_inputs_rejected(
        classifier(), X.astype(np.longdouble), labels, f"X must be .*{np.dtype(np.longdouble)}", TypeError
    )
    assert_rejected(regressor(), X, targets.astype(np.longdouble), f"y must be .*{np.dtype(np.longdouble)}", TypeError)


def test_data_may_not_be_changed_by_training():
    X, labels, _ = data()
    X_before, labels_before = X.copy(), labels.copy()
    Trainer(classifier(), batch_size=4).fit(X, labels, epochs=2)
    np.testing.assert_array_equal(X, X_before)
    np.testing.assert_array_equal(labels, labels_before)


def test_inputs_that_overflow_when_scaled_are_rejected_by_predictions():
    net = Network((5, 3), input_scale=1e30)
    X = np.full((2, 5), 1e20)
    with pytest.raises(ValueError, match=r"input_scale=1e\+30.*float32.*got 1e\+20 at \[0, 0\]"):
        net.forward(X)
    assert np.isfinite(Network((5, 3), input_scale=1e30, dtype="float64").forward(X)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_largest_accepted_inputs_are_finite_when_scaled(dtype):
    rng = np.random.default_rng(0)
    max_float, accepted = float(np.finfo(dtype).max), 0
    for scale in rng.uniform(1.1, 1e6, 300):
        net = Network((1, 1), loss="squared_error", dtype=dtype, input_scale=scale)
        for step in (-9, -5, -4, -3, -2, -1, 0):
            X = np.array([[max_float / scale * (1 + step * np.finfo(dtype).eps)]])
            try:
                net.forward(X)
            except ValueError as error:
                assert "times input_scale" in str(error)
            else:
                assert np.isfinite(X.astype(dtype) * np.dtype(dtype).type(scale)).all()
                accepted += 1
    assert accepted > 300


def test_masked_entries_are_rejected():
    X, labels, targets = data()
    mask = np.zeros(X.shape, bool)
    assert np.isfinite(classifier().forward(np.ma.array(X, mask=mask))).all()
    mask[3, 1] = True
    assert_inputs_rejected(classifier(), np.ma.array(X, mask=mask), labels, "masked.*1")
    assert_inputs_rejected(classifier(), list(np.ma.array(X, mask=mask)), labels, "masked.*1")
    assert_rejected(classifier(), X, np.ma.array(labels, mask=mask[:, 1]), "masked.*1")
    assert_rejected(regressor(), X, np.ma.array(targets, mask=mask[:, :2]), "masked.*1")


# At the bounds, for every type and every entry point


BYTES = np.arange(60 * 11).reshape(60, 11).astype(np.uint8)
FITS_ON_BYTES = {
    "Trainer": lambda X, net: fastmlp.Trainer(net).fit(X, Y_OF_BYTES, 1),
    "a stream": lambda X, net: fastmlp.Trainer(net).fit(fastmlp.streaming.Stream([(X, Y_OF_BYTES)]), None, 2),
    "fit_many": lambda X, net: fastmlp.fit_many([fastmlp.Trainer(net)], X, Y_OF_BYTES, 1),
    "a net beside one that scales": lambda X, net: fastmlp.fit_many(
        [fastmlp.Trainer(each) for each in (fastmlp.Network((11, 3), input_scale=1 / 255), net)], X, Y_OF_BYTES, 1
    ),
    "fit_lbfgs": lambda X, net: fastmlp.fit_lbfgs(net, X, Y_OF_BYTES, 1),
}
Y_OF_BYTES = np.arange(60) % 3


@pytest.mark.parametrize("fit", FITS_ON_BYTES.values(), ids=FITS_ON_BYTES)
def test_bytes_without_a_scale_warn(fit):
    with pytest.warns(UserWarning, match="pass input_scale=1/255 to Network for images") as warned:
        fit(BYTES, fastmlp.Network((11, 3), dtype="float64"))
    assert [each.filename for each in warned] == [__file__]
    fit(BYTES, fastmlp.Network((11, 3), dtype="float64", input_scale=1 / 255))
    fit(BYTES // 2, fastmlp.Network((11, 3), dtype="float64"))  # values that may be counts
    fit(BYTES.clip(1), fastmlp.Network((11, 3), dtype="float64", input_scale=1 / 255))  # whose smallest is not 0
    if fit is not FITS_ON_BYTES["a stream"]:
        fit(BYTES, fastmlp.Network((11, 3), dtype="float64", standardize=True))


@pytest.mark.parametrize("fit", FITS_ON_BYTES.values(), ids=FITS_ON_BYTES)
def test_other_integers_and_two_scales_warn(fit):
    for X, scale, advice in (
        (BYTES.astype(np.int32), 1.0, "input_scale=1/255 to Network for images, and standardize=True for tables"),
        (BYTES * 1.0, 1.0, "X is whole numbers with values above 127"),
        (BYTES.tolist(), 1.0, "X is int64 with values above 127"),
        (BYTES / 255, 1 / 255, r"within \[-1, 1\] .* input_scale is 0.00392, which makes it very small"),
        (-BYTES.astype(np.float32) / 255, 1 / 255, "which makes it very small"),
        (4 * np.sin(BYTES), 1 / 255, r"within \[-4, 4\]"),
        (np.where(BYTES == BYTES.max(), 200, np.sin(BYTES)), 1 / 255, r"within \[-200, 200\] .* very small"),
    ):
        if isinstance(X, list) and fit is FITS_ON_BYTES["a stream"]:
            continue
        with pytest.warns(UserWarning, match=advice) as warned:
            fit(X, fastmlp.Network((11, 3), dtype="float64", input_scale=scale))
        assert [each.filename for each in warned] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(BYTES + 0.5, fastmlp.Network((11, 3), dtype="float64"))
        fit(BYTES / 255, fastmlp.Network((11, 3), dtype="float64"))
        fit((BYTES // 2).astype(int), fastmlp.Network((11, 3), dtype="float64"))


@pytest.mark.filterwarnings("ignore:half of the columns of")
def test_bytes_to_evaluate_warn_where_the_network_has_no_scale():
    net = fastmlp.Network((11, 3), dtype="float64")
    for call in (
        lambda X: net.evaluate(X, Y_OF_BYTES),
        lambda X: fastmlp.Trainer(net).fit(BYTES / 255, Y_OF_BYTES, 1, validation_data=(X, Y_OF_BYTES)),
        lambda X: fastmlp.fit_lbfgs(net, BYTES / 255, Y_OF_BYTES, 1, validation_data=(X, Y_OF_BYTES)),
        lambda X: fastmlp.fit_many(
            [fastmlp.Trainer(net)], BYTES / 255, Y_OF_BYTES, 1, validation_data={"a": (X, Y_OF_BYTES)}
        ),
    ):
        with pytest.warns(UserWarning, match="X is uint8 .* pass input_scale=1/255 to Network for images$"):
            call(BYTES)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", "half of the columns of")
            call(BYTES / 255)
            call(BYTES.astype(int))  # a fit says enough of tables


def test_a_frame_of_bytes_warns():
    pandas = pytest.importorskip("pandas")
    with pytest.warns(UserWarning, match="X is uint8 with values above 127"):
        fastmlp.Trainer(fastmlp.Network((11, 3))).fit(pandas.DataFrame(BYTES), Y_OF_BYTES, 1)


@pytest.mark.filterwarnings("ignore:half of the columns of")
@pytest.mark.parametrize("kind", ["evaluate", "validation data"])
def test_scaled_rows_to_evaluate_warn_where_the_network_scales_them_again(kind):
    net = fastmlp.Network((11, 3), input_scale=1 / 255)
    with pytest.warns(UserWarning, match="which makes it very small"):
        if kind == "evaluate":
            net.evaluate(BYTES / 255, Y_OF_BYTES)
        else:
            fastmlp.Trainer(net).fit(BYTES, Y_OF_BYTES, 1, validation_data=(BYTES / 255, Y_OF_BYTES))


TABLE = np.random.default_rng(1).normal(size=(120, 11)) * 3 + 40
SCALED = (TABLE - TABLE.mean(axis=0)) / TABLE.std(axis=0)
Y_OF_TABLE = np.arange(120) % 3
FAR = r"half of the columns of validation_data, or more, have another .* scale both in the same way$"


@pytest.mark.parametrize(
    "fit",
    [
        lambda X, held_out: fastmlp.Trainer(network_of_table()).fit(X, Y_OF_TABLE, 1, validation_data=held_out),
        lambda X, held_out: fastmlp.fit_lbfgs(network_of_table(), X, Y_OF_TABLE, 1, validation_data={"a": held_out}),
        lambda X, held_out: fastmlp.fit_many(
            [fastmlp.Trainer(network_of_table())], X, Y_OF_TABLE, 1, validation_data=held_out
        ),
        lambda X, held_out: fastmlp.fit_ensemble(
            {"layer_sizes": (11, 3), "dtype": "float64"}, X, Y_OF_TABLE, 1, seeds=[0], validation_data=held_out
        ),
    ],
    ids=["Trainer", "fit_lbfgs", "fit_many", "fit_ensemble"],
)
def test_rows_to_validate_on_that_are_scaled_in_another_way_warn(fit):
    for X, held_out in ((SCALED, TABLE), (TABLE, SCALED), (SCALED.tolist(), TABLE.astype(np.float32))):
        with pytest.warns(UserWarning, match=FAR):
            fit(X, (held_out, Y_OF_TABLE))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(SCALED, (SCALED[:60] * 2 + 1, Y_OF_TABLE[:60]))
        fit(SCALED, (TABLE[:9], Y_OF_TABLE[:9]))  # too few to say
        fit(SCALED, (np.hstack([TABLE[:, :5], SCALED[:, 5:]]), Y_OF_TABLE))  # most columns are alike
        fit(SCALED, (np.ones_like(SCALED), Y_OF_TABLE))  # which do not vary


def network_of_table():
    return fastmlp.Network((11, 3), dtype="float64")


class DataSet:
    """As those of PyTorch are."""

    def __init__(self, *arrays):
        self.tensors = arrays

    def __len__(self):
        return len(self.tensors[0])

    def __getitem__(self, index):
        if index >= len(self):
            raise IndexError(index)
        return tuple(array[index] for array in self.tensors)


def test_what_is_no_array_is_named():
    data = DataSet(TABLE, Y_OF_TABLE)
    message = "X must be an array, got DataSet, which NumPy cannot convert; pass the arrays in it"
    with pytest.raises(TypeError, match=message):
        fastmlp.Trainer(network_of_table()).fit(data, None, 1)
    with pytest.raises(TypeError, match=message):
        network_of_table().predict(data)


INTEGERS = [np.uint8, np.uint16, np.uint32, np.uint64, np.int8, np.int16, np.int32, np.int64]


def labels_rejected_by(net, X, y, match):
    """By each function that takes labels; the network stays as it is."""
    before = net.weights
    callers = {
        "evaluate": lambda: net.evaluate(X, y),
        "loss_and_gradients": lambda: net.loss_and_gradients(X, y),
        "fit": lambda: Trainer(net).fit(X, y, 1),
        "validation data": lambda: Trainer(net).fit(X, np.zeros(len(X), int), 1, validation_data=(X, y)),
        "fit_many": lambda: fastmlp.fit_many([Trainer(net)], X, y, 1),
        "fit_many's validation data": lambda: fastmlp.fit_many(
            [Trainer(net)], X, np.zeros(len(X), int), 1, validation_data=(X, y)
        ),
        "a stream": lambda: Trainer(net).fit(fastmlp.streaming.Stream([(X, y)]), None, 1),
        "rows of arrays": lambda: Trainer(net, shuffle=False).fit(fastmlp.streaming.Stream.of_rows(X, y), None, 1),
        "softmax_cross_entropy": lambda: fastmlp.ops.softmax_cross_entropy(np.zeros((len(X), 3)), y),
        "a study": lambda: fastmlp.studies.compare([{"layer_sizes": net.layer_sizes}], X, y, 1),
    }
    for name, call in callers.items():
        with pytest.raises(ValueError, match=match):
            call()
            pytest.fail(f"{name} takes them")
    for w, expected in zip(net.weights, before):
        np.testing.assert_array_equal(w, expected)


@pytest.mark.parametrize("kind", INTEGERS)
def test_labels_of_every_type_lie_below_the_number_of_classes(kind):
    X, _, _ = data()
    net = classifier()
    for row in (0, 11, 19):
        y = np.zeros(20, kind)
        y[row] = 2
        assert net.evaluate(X, y).loss == net.evaluate(X, y.tolist()).loss
        bad = [3, np.iinfo(kind).max, *([-1, np.iinfo(kind).min] if np.iinfo(kind).min else [])]
        for label in bad if row == 11 else bad[:1]:
            y[row] = label
            labels_rejected_by(net, X, y, rf"^labels must lie in \[0, 3\), got {label} in row {row} of y")


@pytest.mark.parametrize(
    "loss, good, bad, message",
    [
        ("binary_cross_entropy", [0.0, -0.0, 1.0, 0.5], [-5e-324, np.nextafter(1, 2), 2.0], r"in \[0, 1\]"),
        ("poisson", [0.0, -0.0, 1e30, 5e-324], [-5e-324, -1.0], "at least 0"),
    ],
)
def test_targets_are_accepted_up_to_the_bounds_of_their_loss(loss, good, bad, message):
    X, _, _ = data()
    net = Network((5, 2), loss=loss, dtype="float64")
    for value in good:
        y = np.full((20, 2), 0.5)
        y[7, 1] = value
        assert np.isfinite(net.evaluate(X, y).loss)
    for value in bad:
        y[7, 1] = value
        assert_rejected(net, X, y, rf"y must be {message} for {loss}, got .* at \[7, 1\]")


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_inputs_are_accepted_up_to_the_range_divided_by_their_scale(dtype, sign):
    """Whatever the scale's sign; a scale of at most 1 in size leaves all of it."""
    kind, max_float = np.dtype(dtype).type, float(np.finfo(dtype).max)
    for size in (2.0, 1000.0, max_float):
        net = Network((1, 1), loss="squared_error", dtype=dtype, input_scale=sign * size)
        for value in (max_float / size * 0.999, -max_float / size * 0.999):
            assert np.isfinite(net.forward(np.array([[value]]))).all()
        for value in (max_float / size * 1.001, -max_float / size * 1.001) if size < max_float else (2.0, -2.0):
            with pytest.raises(ValueError, match=r"X times input_scale=-?\d.* must be within the range .*, got -?\d"):
                net.forward(np.array([[value]], "float64"))
    for size in (1.0, 0.5, 1e-30):
        net = Network((1, 1), loss="squared_error", dtype=dtype, input_scale=sign * size)
        net.set_parameters([np.ones((1, 1))], [np.zeros(1)])
        scaled = kind(max_float) * kind(sign * size)
        assert net.forward(np.array([[max_float]], dtype))[0, 0] == scaled


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_largest_number_of_a_type_is_finite_and_what_follows_is_named(dtype):
    X = np.zeros((3, 5), dtype)
    X[0, 1], X[1, 3] = np.finfo(dtype).max, -np.finfo(dtype).max
    net = Network((5, 2), dtype=dtype)
    net.evaluate(X * 0, [0, 1, 0])
    X[2, 4] = np.nan
    with pytest.raises(ValueError, match=r"X must be finite, got nan at \[2, 4\]"):
        net.evaluate(X, [0, 1, 0])
