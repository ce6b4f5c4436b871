"""standardize=True: the bits of a network that is trained on, and predicts from, rows that were standardized before."""

import copy
import pickle
import threading

import fastmlp
import numpy as np
import pytest
import scipy.sparse
from compiled import needs_compiler, run_exported
from fastmlp import Network, Trainer, distributed, fit_ensemble, fit_lbfgs, fit_many, row_subsets
from fastmlp.losses import LOSSES, TABLE
from fastmlp.streaming import Stream
from onnx_models import run
from problems import DTYPES, assert_equal_bits, parameters
from ranks import Ranks, together
from reference import targets_of
from teams import TEAMS, team_of

ROWS, SIZES = 90, (9, 14, 7, 4)
REAL = [name for name in LOSSES if TABLE[name].targets and np.isinf(TABLE[name].targets.minimum)]
KINDS = ["float32", "float64", "uint8", "csr", "list"]


def data(kind, loss, seed=0):
    """Rows of very different columns, one of them constant, as they are given and as a float64 array; and targets."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(ROWS, SIZES[0])) * 10.0 ** np.arange(-4, 5) + rng.normal(0, 1e3, SIZES[0])
    if kind in ("uint8", "csr"):
        X = np.round(rng.uniform(0, 250, X.shape) * (rng.random(X.shape) < 0.6))
    X[:, 3] = 7
    X = X.astype(kind if kind in ("float32", "uint8") else "float64")
    y = targets_of(loss, rng.normal(size=(ROWS, SIZES[-1])))
    if loss in REAL:
        y = 300 + 5 * y
    given = {"csr": scipy.sparse.csr_matrix, "list": np.ndarray.tolist}.get(kind, lambda X: X)(X)
    return given, X.astype(float), y


def moments(values, weights, sparse=False):
    """In extended precision."""
    values, weights = values.astype(np.longdouble), np.asarray(weights, np.longdouble)[:, None]
    mean = (weights * values).sum(axis=0) / weights.sum()
    std = np.sqrt((weights * (values - mean) ** 2).sum(axis=0) / weights.sum())
    std[np.ptp(values[weights[:, 0] != 0], axis=0) == 0] = 1
    return (mean * (not sparse)).astype(float), std.astype(float)


def by_hand(net, X, y):
    """Rows and targets as a plain network takes them."""
    known = net.standardization
    Z = ((X - known.input_mean) * (1 / known.input_std)).astype(net.dtype)
    return Z, y if known.target_std is None else ((y - known.target_mean) / known.target_std).astype(net.dtype)


def assert_same(net, plain, X):
    """The same parameters, and the same predictions but for the units."""
    assert_equal_bits(parameters(net), parameters(plain))
    known = net.standardization
    outputs = plain.forward(by_hand(net, X, X)[0] if known.target_std is None else by_hand(net, X, 0.0)[0])
    if known.target_std is not None:
        outputs = (outputs * known.target_std + known.target_mean).astype(net.dtype)
    np.testing.assert_array_equal(net.forward(X), outputs)


def pair(loss="squared_error", dtype="float64", sizes=SIZES, **settings):
    return [
        Network(sizes, "tanh", loss, dtype, seed=1, standardize=standardize, **settings)
        for standardize in (True, False)
    ]


def trainer(net, **settings):
    return Trainer(net, **{"learning_rate": 0.02, "batch_size": 16, "momentum": 0.5, "seed": 3, **settings})


FITS = {
    "fit": lambda net, *data, **more: trainer(net).fit(*data, epochs=3, **more),
    "fit_many": lambda net, *data, **more: fit_many([trainer(net)], *data, epochs=3, **more)[0],
    "Adam, accumulating": lambda net, *data, **more: trainer(
        net, optimizer="adam", momentum=None, accumulate="epoch", input_dropout=0.2
    ).fit(*data, epochs=3, **more),
    "lbfgs": lambda net, *data, **more: fit_lbfgs(net, *data, max_iter=3, **more),
}


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "loss, dtype", [("squared_error", "float64"), ("cross_entropy", "float32"), ("huber", "float32")]
)
def test_a_fit_is_that_on_standardized_rows(loss, dtype, kind, weighted, fit):
    if fit is FITS["lbfgs"]:
        dtype = "float64"
    given, X, y = data(kind, loss)
    weights = np.random.default_rng(2).integers(0, 3, ROWS) if weighted else None
    net, plain = pair(loss, dtype)
    history = fit(net, given, y, sample_weight=weights, validation_data=(given, y), n_threads=3)
    known, of_rows = net.standardization, np.ones(ROWS) if weights is None else weights
    for found, expected in zip(
        (known.input_mean, known.input_std), moments(X, of_rows, sparse=kind == "csr"), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-13)
    if loss in REAL:
        for found, expected in zip((known.target_mean, known.target_std), moments(y, of_rows), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-13)
    rows = by_hand(net, X, y)
    expected = fit(plain, *rows, sample_weight=weights, validation_data=rows, n_threads=1)
    for name in set(history) - {"seconds"}:
        assert history[name] == expected[name], name
    assert_same(net, plain, X)
    assert net.evaluate(given, y) == plain.evaluate(*rows)


@pytest.mark.parametrize("workers", TEAMS)
def test_no_team_changes_a_bit_of_what_is_learned(workers):
    X = np.random.default_rng(0).normal(size=(50, 500))
    alone, by_team = (Network((500, 3), dtype="float64") for _ in range(2))
    alone.learn_standardization(X, n_threads=1)
    with team_of(workers):
        by_team.learn_standardization(X, n_threads=workers)
    assert_equal_bits(by_team.standardization.arrays().values(), alone.standardization.arrays().values())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss(isa, loss, dtype):
    _, X, y = data("float64", loss)
    net, plain = pair(loss, dtype)
    trainer(net, learning_rate=1e-3).fit(X, y, epochs=2)
    assert (net.standardization.target_std is not None) == (loss in REAL)
    trainer(plain, learning_rate=1e-3).fit(*by_hand(net, X, y), epochs=2)
    assert_same(net, plain, X)
    before = net.loss_and_gradients(X, y)
    assert before.loss == plain.loss_and_gradients(*by_hand(net, X, y)).loss


def test_several_quantiles():
    _, X, y = data("float64", "quantile")
    net, plain = pair("quantile", sizes=(9, 8, 6), loss_settings={"level": (0.1, 0.5, 0.9)})
    y = y[:, :2]
    trainer(net).fit(X, y, epochs=3)
    known = net.standardization
    np.testing.assert_array_equal(known.target_mean, np.repeat(known.target_mean[::3], 3))
    trainer(plain).fit(by_hand(net, X, 0.0)[0], (y - known.target_mean[::3]) / known.target_std[::3], epochs=3)
    assert_same(net, plain, X)


@pytest.mark.parametrize("kind", ["float64", "csr"])
@pytest.mark.parametrize("fit", [FITS["fit"], FITS["fit_many"]], ids=["fit", "fit_many"])
def test_rows_held_out_are_not_learned_from(fit, kind):
    given, X, y = data(kind, "squared_error")
    net, _ = pair()
    fit(net, given, y, validation_split=0.3)
    rows, _ = row_subsets.hold_out(ROWS, 0.3)
    np.testing.assert_allclose(net.standardization.input_std, moments(X[rows], np.ones(len(rows)))[1], rtol=1e-13)
    np.testing.assert_allclose(net.standardization.target_mean, y[rows].mean(axis=0), rtol=1e-13)


@pytest.mark.parametrize("rows", ["all", "bootstrap", "folds"])
def test_each_member_of_an_ensemble_learns_from_its_rows(rows):
    _, X, y = data("float64", "squared_error")
    settings = {"layer_sizes": SIZES, "loss": "squared_error", "standardize": True, "batch_size": 16}
    ensemble = fit_ensemble(settings, X, y, epochs=2, seeds=range(3), rows=rows)
    for i, member in enumerate(ensemble.members):
        counts = np.ones(ROWS)
        if rows == "bootstrap":
            counts = np.bincount(row_subsets.bootstrap(ROWS, i), minlength=ROWS)
        if rows == "folds":
            counts[row_subsets.folds(ROWS, 3)[i]] = 0
        np.testing.assert_allclose(member.standardization.input_mean, moments(X, counts)[0], rtol=1e-12)


def test_a_second_fit_keeps_what_the_first_has_learned():
    _, X, y = data("float64", "squared_error")
    net, _ = pair()
    trainer(net).fit(X, y, epochs=1)
    known = net.standardization
    trainer(net).fit(2 * X, y, epochs=1)
    assert net.standardization is known


def test_before_the_first_fit_rows_are_taken_as_they_are():
    _, X, _ = data("float64", "squared_error")
    net, plain = pair()
    np.testing.assert_array_equal(net.forward(X), plain.forward(X))
    assert net.standardization is None and "standardize=True" in repr(net) and "standardize" not in repr(plain)


FAILURES = {
    "validation data of other shapes": lambda net, X, y: trainer(net).fit(X, y, 1, validation_data=(X[:, 1:], y)),
    "in fit_many": lambda net, X, y: fit_many([trainer(net)], X, y, 1, validation_data=(X[:, 1:], y)),
    "in fit_lbfgs": lambda net, X, y: fit_lbfgs(net, X, y, validation_data=(X[:, 1:], y)),
    "targets of other shapes": lambda net, X, y: trainer(net).fit(X, y[:, 1:], 1),
}


@pytest.mark.parametrize("fit", FAILURES.values(), ids=FAILURES)
def test_an_invalid_fit_learns_nothing(fit):
    _, X, y = data("float64", "squared_error")
    net, plain = pair()
    with pytest.raises(ValueError, match="must have shape"):
        fit(net, X, y)
    assert net.lacks_standardization
    np.testing.assert_array_equal(net.forward(X), plain.forward(X))


class Fails:
    def begin_fit(self, info):
        raise OSError("no")

    def __call__(self, info): ...


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
def test_a_fit_that_a_callback_does_not_let_begin_learns_nothing(fit):
    _, X, y = data("float64", "squared_error")
    net, plain = pair()
    with pytest.raises(OSError, match="no"):
        fit(net, X, y, callbacks=[Fails()])
    assert net.lacks_standardization
    np.testing.assert_array_equal(net.forward(X), plain.forward(X))
    fit(net, 2 * X, y)
    np.testing.assert_array_equal(net.standardization.input_mean, fit_alone(2 * X, y).standardization.input_mean)


def fit_alone(X, y):
    net, _ = pair()
    trainer(net).fit(X, y, epochs=1)
    return net


def test_nets_whose_fit_has_not_begun_learn_nothing():
    """Two networks one after the other, of which the first fails."""
    _, X, y = data("float64", "squared_error")
    nets = [pair()[0] for _ in range(2)]
    with pytest.raises(OSError, match="no"):
        fit_many([trainer(net) for net in nets], X, y, 1, callbacks=[Fails()], n_threads=1)
    assert all(net.lacks_standardization for net in nets)


def test_nets_that_are_fitted_at_once_keep_their_own_means():
    _, X, y = data("float64", "squared_error")
    together, alone = [[pair()[0], fit_alone(2 * X, 3 * y)] for _ in range(2)]
    fit_many(list(map(trainer, together)), X, y, 2)
    for found, net in zip(together, alone):
        trainer(net).fit(X, y, epochs=2)
        assert_equal_bits(parameters(found), parameters(net))


def test_only_nets_of_real_targets_learn_those():
    _, X, y = data("float64", "squared_error")
    nets = [Network(SIZES, loss=loss, standardize=True) for loss in ("binary_cross_entropy", "squared_error")]
    fit_many(list(map(Trainer, nets)), X, 1.0 * (y > 300), 1)
    assert [net.standardization.target_std is None for net in nets] == [True, False]


def test_a_column_of_rounding_errors_is_constant():
    net = Network((2, 1), loss="squared_error")
    net.learn_standardization(np.array([[0.1, 1.0], [0.1, 1.0 + 2.0**-52], [0.1, 1.0]]))
    np.testing.assert_array_equal(net.standardization.input_std, [1, 1])


def test_other_rows_without_targets_leave_the_targets_as_they_are():
    _, X, y = data("float64", "squared_error")
    net = fit_alone(X, y)
    known = net.standardization
    net.learn_standardization(2 * X)
    np.testing.assert_array_equal(net.standardization.input_mean, 2 * known.input_mean)
    np.testing.assert_array_equal(net.standardization.target_mean, known.target_mean)
    np.testing.assert_array_equal(net.standardization.target_std, known.target_std)


# Fits that see the rows in parts


def test_a_stream_needs_means_before():
    _, X, y = data("float64", "squared_error")
    net, plain = pair()
    stream = Stream.of_rows(X, y, chunk_rows=30)
    with pytest.raises(ValueError, match="a Stream has no means .* call network.learn_standardization"):
        trainer(net).fit(stream, None, epochs=1)
    net.learn_standardization(X[:50], y[:50])
    np.testing.assert_allclose(net.standardization.input_mean, X[:50].mean(axis=0), rtol=1e-13)
    trainer(net).fit(stream, None, epochs=2)
    trainer(plain).fit(Stream.of_rows(*by_hand(net, X, y), chunk_rows=30), None, epochs=2)
    assert_same(net, plain, X)


def test_ranks_need_the_same_means_before():
    _, X, y = data("float64", "squared_error")

    def fit(communicator, samples):
        net, _ = pair()
        if samples is not None:
            net.learn_standardization(*samples[communicator.rank])
        part = slice(communicator.rank, None, 2)
        distributed.Trainer(net, communicator=communicator, batch_size=16).fit(X[part], y[part], epochs=1)
        return net

    errors = Ranks(2).run(lambda communicator: fit(communicator, None))
    assert any("a distributed Trainer has no means" in str(error) for error in errors)
    errors = Ranks(2).run(lambda communicator: fit(communicator, [(X, y), (X[1:], y[1:])]))
    assert any("standardization: <Standardization of 9 inputs, checksum" in str(error) for error in errors)
    nets = together(2, lambda communicator: fit(communicator, [(X, y), (X, y)]))
    assert_equal_bits(parameters(nets[0]), parameters(nets[1]))


def test_steps_of_a_loss_of_your_own_are_in_the_units_of_the_targets():
    _, X, y = data("float64", "squared_error")
    net, plain = pair()
    net.learn_standardization(X, y)
    step, std = net.begin(X), net.standardization.target_std
    np.testing.assert_array_equal(step.outputs, net.forward(X))
    found = step.backward(step.outputs - y, inputs=True)
    Z, t = by_hand(net, X, y)
    other = plain.begin(Z)
    expected = other.backward((other.outputs - t) * std**2, inputs=True)
    for p, q in zip(found.weights + found.biases, expected.weights + expected.biases):
        np.testing.assert_allclose(p, q, rtol=1e-9, atol=1e-9 * np.abs(q).max())
    of_inputs = expected.inputs / net.standardization.input_std
    np.testing.assert_allclose(found.inputs, of_inputs, rtol=1e-9, atol=1e-9 * np.abs(of_inputs).max())


def test_a_step_needs_means_before():
    net = Network((9, 5, 4), loss="squared_error", standardize=True)
    X, _, y = data("float64", "squared_error")
    with pytest.raises(ValueError, match="a step has no means .* call network.learn_standardization"):
        net.begin(X)
    net.learn_standardization(X, y)
    net.begin(X)


def test_the_gradient_of_the_inputs_is_that_of_forward():
    _, X, y = data("float64", "squared_error")
    net, _ = pair()
    net.learn_standardization(X, y)
    gradient, e = net.input_gradient(X[:5]), 1e-3
    for column, std in enumerate(net.standardization.input_std):
        shift = np.zeros(SIZES[0])
        shift[column] = e * std
        slope = (net.forward(X[:5] + shift) - net.forward(X[:5] - shift)) / (2 * e * std)
        scale = net.standardization.target_std / std
        np.testing.assert_allclose(gradient[:, :, column] / scale, slope / scale, atol=1e-5)


# Values that cannot be standardized


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_outside_of_the_range_are_found(dtype):
    small, large = (1e-100, 1e250) if dtype == "float64" else (1e-30, 1e20)
    X = np.array([[0.0, 1.0], [0.0, 2.0], [small, 3.0]])
    net = Network((2, 1), loss="squared_error", dtype=dtype)
    bad = np.array([[0.0, 2.0], [large, 2.0]])
    for kind in (np.array, scipy.sparse.csr_matrix):
        net.learn_standardization(kind(X))
        Trainer(net, learning_rate=1e-9).fit(kind(X), np.zeros(3), 1)
        calls = (
            net.forward,
            net.begin if kind is np.array else net.forward,
            lambda rows: net.evaluate(rows, np.zeros(2)),
            lambda rows: Trainer(net).fit(rows, np.zeros(2), 1),
        )
        for call in calls:
            with pytest.raises(ValueError, match=rf"of {dtype} when it is standardized, got 1e\+.* at \[1, 0\], where"):
                call(kind(bad))


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_that_are_far_from_a_large_mean_are_found(dtype):
    large = np.array([[0.6 * np.finfo(dtype).max]])
    net = Network((1, 1), loss="squared_error", dtype=dtype)
    net.learn_standardization(large)
    assert np.isfinite(net.forward(large / 2)).all()
    with pytest.raises(ValueError, match=f"X must stay within the range of {dtype} when it is standardized"):
        net.forward(-large)


def test_spreads_beyond_the_range_are_found():
    net = Network((2, 1), loss="squared_error", dtype="float64")
    with pytest.raises(ValueError, match="X has values too large to be standardized, in column 1"):
        net.learn_standardization(np.array([[0.0, 1e308], [0.0, -1e308]]))
    with pytest.raises(ValueError, match="y has values too large to be standardized, in column 0"):
        net.learn_standardization(np.eye(2), np.array([1e308, -1e308]))


def test_a_sparse_matrix_is_not_centred():
    given, X, y = data("csr", "squared_error")
    net, _ = pair()
    net.learn_standardization(given, y)
    assert not net.standardization.input_mean.any()
    np.testing.assert_array_equal(net.forward(given), net.forward(X))
    net.learn_standardization(X, y)
    for call in (net.forward, lambda X: net.evaluate(X, y), lambda X: trainer(net).fit(X, y, 1)):
        with pytest.raises(ValueError, match="X must be dense .* got a sparse matrix"):
            call(given)


def test_it_scales_the_inputs_itself():
    with pytest.raises(ValueError, match="needs input_scale=1"):
        Network((2, 1), standardize=True, input_scale=0.5)
    with pytest.raises(ValueError, match="input_scale=1, got 0.5"):
        Network((2, 1), input_scale=0.5).learn_standardization(np.eye(2))
    with pytest.raises(TypeError, match="standardize must be True or False"):
        Network((2, 1), standardize="yes")


def test_a_fit_locks_it_in_every_thread():
    _, X, y = data("float64", "squared_error")
    net, _ = pair()
    rejected = []

    def learn():
        with pytest.raises(RuntimeError, match="a fit of this network is under way"):
            net.learn_standardization(X, y)
        rejected.append(threading.current_thread())

    def again(info):
        learn()
        thread = threading.Thread(target=learn)
        thread.start()
        thread.join()

    trainer(net).fit(X, y, epochs=1, callbacks=[again])
    assert len(set(rejected)) == 2, "threads"


# Files and exports


def fitted(loss, dtype, kind="float64"):
    given, X, y = data(kind, loss)
    net, _ = pair(loss, dtype)
    trainer(net, learning_rate=1e-3).fit(given, y, epochs=2)
    return net, X


def assert_equal(net, other, X):
    assert repr(net) == repr(other)
    assert_equal_bits(net.standardization.arrays().values(), other.standardization.arrays().values())
    np.testing.assert_array_equal(net.forward(X), other.forward(X))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", ["huber", "cross_entropy"])
def test_copies_and_files_keep_it(tmp_path, loss, dtype):
    net, X = fitted(loss, dtype)
    path = tmp_path / "net.safetensors"
    net.save(path)
    for other in (fastmlp.load(path), pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        assert_equal(net, other, X)
    fastmlp.Ensemble([net, net]).save(path)
    for member in fastmlp.load(path).members:
        assert_equal(net, member, X)
    unlearned, _ = pair(loss, dtype)
    unlearned.save(path)
    assert fastmlp.load(path).lacks_standardization


def test_a_resumed_fit_goes_on_with_it(tmp_path):
    _, X, y = data("float64", "squared_error")
    (first, _), (second, _) = pair(), pair()
    whole, part = trainer(first, average_decay=0.5), trainer(second, average_decay=0.5)
    whole.fit(X, y, epochs=4)
    part.fit(X, y, epochs=2)
    part.save(tmp_path / "trainer.safetensors")
    resumed = Trainer.resume(tmp_path / "trainer.safetensors")
    resumed.fit(X, y, epochs=2)
    assert_equal(first, resumed.network, X)
    assert_equal(whole.average, resumed.average, X)


@pytest.mark.parametrize(
    "change, value",
    [
        *((name, value) for name in ("input_std", "target_std") for value in (0, 1e-310, -1)),
        ("input_mean", np.nan),
    ],
)
def test_a_damaged_file_is_rejected(tmp_path, change, value):
    numpy_files = pytest.importorskip("safetensors.numpy")
    safetensors = pytest.importorskip("safetensors")
    net, _ = fitted("squared_error", "float32")
    net.save(tmp_path / "net")
    with safetensors.safe_open(tmp_path / "net", "numpy") as file:
        metadata = file.metadata()
    assert metadata["format_version"] == "4"
    arrays = numpy_files.load_file(tmp_path / "net")
    arrays[change][1] = value
    numpy_files.save_file(arrays, tmp_path / "net", metadata)
    with pytest.raises(fastmlp.ModelFileError, match=f"damaged: {change} must be"):
        fastmlp.load(tmp_path / "net")


@pytest.mark.parametrize("input_type", ["float32", "float64", "uint8"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", ["squared_error", "poisson", "cross_entropy", "binary_cross_entropy"])
def test_onnx_standardizes(loss, dtype, input_type):
    pytest.importorskip("onnx")
    net, X = fitted(loss, dtype, "uint8" if input_type == "uint8" else "float64")
    X = X.astype(input_type)
    found, expected = run(net.to_onnx(input_type), X), net.forward(X)
    tolerance = 200 * np.finfo(dtype).eps * np.abs(expected).max()
    assert found["outputs"].dtype == expected.dtype
    np.testing.assert_allclose(found["outputs"], expected, rtol=0, atol=tolerance)
    both = run(fastmlp.Ensemble([net, net]).to_onnx(input_type), X)["outputs"]
    np.testing.assert_allclose(both, expected, rtol=0, atol=tolerance)


@needs_compiler
def test_c_standardizes(tmp_path):
    nets = {
        f"{loss}_{dtype}": fitted(loss, dtype)[0] for loss in ("squared_error", "cross_entropy") for dtype in DTYPES
    }
    _, X, _ = data("float64", "squared_error")
    for name, (outputs, _) in run_exported(nets, X, tmp_path).items():
        expected = nets[name].forward(X.astype(nets[name].dtype))
        tolerance = 200 * np.finfo(expected.dtype).eps * np.abs(expected).max()
        np.testing.assert_allclose(outputs, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("layer_sizes", [SIZES, (9, 4)], ids=str)
def test_a_state_dict_folds_it(layer_sizes):
    _, X, y = data("float64", "squared_error")
    net = Network(layer_sizes, loss="squared_error", dtype="float64", standardize=True)
    trainer(net).fit(X, y, epochs=2)
    with pytest.raises(ValueError, match="no place for means and standard deviations: pass fold_input_scale=True"):
        net.to_state_dict()
    folded = Network.from_state_dict(net.to_state_dict(fold_input_scale=True), activation="relu", loss="squared_error")
    np.testing.assert_allclose(folded.forward(X), net.forward(X), rtol=1e-9, atol=1e-9 * np.abs(y).max())
    narrow = Network((2, 1), loss="squared_error")
    narrow.learn_standardization(1e-39 * np.eye(2))
    with pytest.raises(ValueError, match="weights.0, folded, must be finite"):
        narrow.to_state_dict(fold_input_scale=True)
    narrow.learn_standardization(1e20 * np.eye(2), 1e-40 * np.eye(2)[:, :1])
    assert all(np.isfinite(each).all() for each in narrow.to_state_dict(fold_input_scale=True).values())
