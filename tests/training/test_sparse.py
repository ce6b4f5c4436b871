"""CSR inputs: the bits of the dense array, which is never made, and what is rejected."""

import os
import subprocess
import sys

import numpy as np
import pytest
import reference
from fastmlp import Network, Trainer, _core, fit_many
from problems import (
    DTYPES,
    OPTIMIZERS,
    assert_close,
    assert_equal_bits,
    parameters,
    problem,
    row_orders,
    without_sanitizer,
)
from teams import TEAMS, team_of


class Csr:
    """What fastmlp needs of a SciPy CSR matrix."""

    def __init__(self, data, indices, indptr, shape):
        self.data, self.indices, self.indptr, self.shape = data, indices, indptr, shape

    def tocsr(self):
        return self

    def copy(self):
        return Csr(self.data.copy(), self.indices.copy(), self.indptr.copy(), self.shape)

    def sum_duplicates(self):
        rows = []
        for begin, end in zip(self.indptr, self.indptr[1:]):
            row = {}
            for column, value in sorted(zip(self.indices[begin:end], self.data[begin:end]), key=lambda pair: pair[0]):
                row[column] = row[column] + value if column in row else value
            rows.append(row)
        self.data = np.array([value for row in rows for value in row.values()], self.data.dtype)
        self.indices = np.array([column for row in rows for column in row], self.indices.dtype)
        self.indptr = np.cumsum([0] + [len(row) for row in rows]).astype(self.indptr.dtype)


def csr(dense, index_dtype=np.int32):
    rows, columns = np.nonzero(dense)
    indptr = np.searchsorted(rows, np.arange(len(dense) + 1)).astype(index_dtype)
    return Csr(dense[rows, columns], columns.astype(index_dtype), indptr, dense.shape)


def sparse_problem(rows, columns, x_dtype="float64", density=0.04, classes=5, seed=0):
    """Some rows, and some columns, are all zero; dense, CSR and labels."""
    rng = np.random.default_rng(seed)
    X = rng.integers(1, 200, (rows, columns)) if np.dtype(x_dtype).kind in "iu" else rng.normal(size=(rows, columns))
    X[rng.random(X.shape) >= density] = 0
    X[::50] = 0
    X[:, ::11] = 0
    X = X.astype(x_dtype)
    return X, csr(X), rng.integers(0, classes, rows)


def results(X, y, layer_sizes, n_threads, dtype="float32", loss="cross_entropy", epochs=2, **settings):
    """Everything that a network computes from X after it was trained on it."""
    net = Network(layer_sizes, dtype=dtype, loss=loss, seed=1, input_scale=1 / 3)
    trainer = Trainer(net, **{"learning_rate": 0.02, "batch_size": 32, "seed": 2, "n_threads": n_threads, **settings})
    with team_of(n_threads):
        history = trainer.fit(X, y, epochs)
        gradients = net.loss_and_gradients(X, y, l1=0.01, l2=0.1, n_threads=n_threads)
    trained = parameters(net)
    validated = trainer.fit(X, y, 1, validation_data=(X, y))
    numbers = [history.loss, validated.val_loss, gradients.loss, *net.evaluate(X, y, n_threads)]
    outputs = [net.forward(X, n_threads), net.predict(X, n_threads)]
    return trained + parameters(net) + gradients.weights + gradients.biases + outputs + [np.array(n) for n in numbers]


SETTINGS = {
    "sgd": dict(),
    "sgd, l1 and l2": dict(l1=1e-3, l2=1e-2),
    "momentum": dict(momentum=0.9),
    "nesterov, l2": dict(momentum=0.9, nesterov=True, l2=1e-2),
    "adam": dict(optimizer="adam"),
    "adam, l1": dict(optimizer="adam", l1=1e-3),
    "accumulate": dict(accumulate=3),
    "accumulate an epoch": dict(accumulate="epoch", momentum=0.9, l1=1e-3),
    "several chunks": dict(batch_size=600),
    "several chunks, l2": dict(batch_size=600, l2=1e-2),
    "several chunks, adam": dict(batch_size=600, optimizer="adam"),
    "single rows": dict(batch_size=1, epochs=1),
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_bits_are_those_of_the_dense_array(isa, dtype, settings):
    for x_dtype in ("float32", "float64"):
        dense, sparse, y = sparse_problem(700, 150, x_dtype)
        expected = results(dense, y, (150, 200, 5), 1, dtype, **settings)
        for n_threads in (1, *TEAMS):
            assert_equal_bits(results(sparse, y, (150, 200, 5), n_threads, dtype, **settings), expected)


@pytest.mark.parametrize("x_dtype", ["uint8", "int64", "float16", "bool"])
@pytest.mark.parametrize("index_dtype", ["int32", "int64", "uint16"])
def test_types_of_values_and_indices(x_dtype, index_dtype):
    dense, _, y = sparse_problem(100, 40, x_dtype)
    assert_equal_bits(results(csr(dense, index_dtype), y, (40, 9, 5), 1), results(dense, y, (40, 9, 5), 1))


@pytest.mark.parametrize("layer_sizes", [(150, 5), (150, 17, 9, 5)])
@pytest.mark.parametrize("density", [0.02, 0.5, 1.0])
def test_linear_and_deep_networks_and_dense_data(layer_sizes, density):
    """At density 1 nothing can be skipped; a chunk of CSR holds its columns one by one all the same."""
    dense, sparse, y = sparse_problem(300, 150, density=density)
    targets = np.stack([np.sin(y + i) for i in range(5)], axis=1)
    for loss, target in [("cross_entropy", y), ("squared_error", targets)]:
        expected = results(dense, target, layer_sizes, 1, loss=loss)
        assert_equal_bits(results(sparse, target, layer_sizes, 2, loss=loss), expected)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_follows_the_oracle(isa, name):
    settings, oracle_optimizer = OPTIMIZERS[name]
    X, y = problem(120, layer_sizes=(40, 8, 4))
    X[np.random.default_rng(1).random(X.shape) < 0.9] = 0
    net = Network((40, 8, 4), activation="tanh", dtype="float64", seed=1)
    weights, biases, _ = reference.train(
        net.weights, net.biases, X, y, row_orders(2, 120, 4), 7, oracle_optimizer(), 0.003, 0.02, 2, activation="tanh"
    )
    Trainer(net, batch_size=7, l1=0.003, l2=0.02, seed=2, accumulate=2, **settings).fit(csr(X), y, epochs=4)
    assert_close(parameters(net), weights + biases, 1e-10)


def test_a_row_alone_is_predicted_as_among_others(isa):
    dense, sparse, _ = sparse_problem(300, 150)
    net = Network((150, 200, 5), seed=1)
    together = net.forward(sparse)
    np.testing.assert_array_equal(together, net.forward(dense))
    for row in (0, 1, 127, 128, 299):
        np.testing.assert_array_equal(net.forward(csr(dense[row : row + 1])), together[row : row + 1])


def test_predictions_in_several_calls_join(monkeypatch):
    dense, sparse, y = sparse_problem(500, 30)
    net = Network((30, 5), seed=1)
    expected = net.forward(dense), net.evaluate(dense, y)
    monkeypatch.setattr(net, "rows_per_call", 128)
    np.testing.assert_array_equal(net.forward(sparse), expected[0])
    assert net.evaluate(sparse, y) == expected[1]


def test_one_trainer_takes_sparse_and_dense_data_in_turn():
    """Its buffers for sparse rows are narrow: they must grow for denser and for dense ones."""
    dense, _, y = sparse_problem(64, 400, density=0.002)
    denser, _, _ = sparse_problem(64, 400, density=0.02)
    nets = [Network((400, 7, 5), seed=1) for _ in range(2)]
    for net, form in zip(nets, (csr, np.asarray)):
        trainer = Trainer(net, batch_size=16, seed=2, n_threads=1)
        for X in (form(dense), form(denser), denser, form(dense)):
            trainer.fit(X, y, epochs=1)
    assert_equal_bits(parameters(nets[0]), parameters(nets[1]))


def test_fit_many_shares_sparse_data():
    dense, sparse, y = sparse_problem(200, 60)

    def trained(X):
        trainers = [
            Trainer(Network((60, width, 5), dtype=dtype, seed=width, input_scale=scale), learning_rate=0.1, seed=1)
            for width, dtype, scale in [(8, "float32", 1.0), (9, "float64", 1.0), (10, "float32", 0.5)]
        ]
        fit_many(trainers, X, y, epochs=2, validation_data=(X, y))
        return [p for trainer in trainers for p in parameters(trainer.network)]

    assert_equal_bits(trained(sparse), trained(dense))


def test_explicit_zeros_and_the_order_within_a_row_mean_nothing(isa):
    dense, sparse, y = sparse_problem(200, 80)
    rng = np.random.default_rng(3)
    stored = (dense != 0) | (rng.random(dense.shape) < 0.05)
    rows, columns = np.nonzero(stored)
    shuffled = np.lexsort((rng.random(len(rows)), rows))
    indptr = np.searchsorted(rows, np.arange(201))
    untidy = Csr(dense[rows, columns][shuffled], columns[shuffled], indptr, dense.shape)
    assert (untidy.data == 0).any() and (np.diff(untidy.indices) < 0).sum() > 200
    assert_equal_bits(results(untidy, y, (80, 9, 5), 1), results(dense, y, (80, 9, 5), 1))


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [2, 0, 1, 5, 4, 3]], ids=["ascending", "unsorted"])
def test_duplicates_are_summed_in_a_copy(order):
    data, columns = np.array([0.5, 1, 2, 4, 0.25, 8], np.float32), np.array([0, 2, 2, 1, 1, 3])
    X = Csr(data[order], columns[order], np.array([0, 3, 3, 6]), (3, 4))
    dense = np.array([[0.5, 0, 3, 0], [0, 0, 0, 0], [0, 4.25, 0, 8]], np.float32)
    before = X.copy()
    assert_equal_bits(results(X, np.arange(3), (4, 6, 3), 1), results(dense, np.arange(3), (4, 6, 3), 1))
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(X, name), getattr(before, name))


@pytest.mark.parametrize("batch_size", [1, 7, 30])
def test_no_value_at_all_trains_the_biases(batch_size):
    dense = np.zeros((30, 12))
    y = np.arange(30) % 3
    expected = results(dense, y, (12, 6, 3), 1, batch_size=batch_size, l2=0.1)
    assert_equal_bits(results(csr(dense), y, (12, 6, 3), 1, batch_size=batch_size, l2=0.1), expected)
    assert expected[2].any() or expected[3].any()


def test_indices_may_change_during_a_fit():
    """The core has a copy of them, so that no other thread can lead it out of its buffers."""
    dense, sparse, y = sparse_problem(100, 40)
    expected = results(dense, y, (40, 9, 5), 1, epochs=3)[:4]

    def spoil(info):
        sparse.indices[:] = 2**31 - 1
        sparse.indptr[:] = -(2**31)

    net = Network((40, 9, 5), seed=1, input_scale=1 / 3)
    Trainer(net, learning_rate=0.02, batch_size=32, seed=2, n_threads=1).fit(sparse, y, 3, callbacks=[spoil])
    assert_equal_bits(parameters(net), expected)


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux to limit memory")
@without_sanitizer
def test_wide_data_are_never_made_dense():
    """A dense X has 4.8 GB here and a dense chunk of it 400 MB; 300 MB must do for everything."""
    script = """
import resource, sys
import numpy as np
from fastmlp import Network, Trainer
from test_sparse import Csr
rng = np.random.default_rng(0)
rows, columns, nonzeros = 3000, 400_000, 20
X = Csr(rng.random(rows * nonzeros, np.float32), rng.integers(0, columns, rows * nonzeros, np.int32),
        np.arange(rows + 1) * nonzeros, (rows, columns))
y = rng.integers(0, 3, rows)
net = Network((columns, 3), seed=1)
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + 300_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    np.ones((256, columns), np.float32)
except MemoryError:
    print("limited")
for settings in (dict(), dict(momentum=0.9), dict(accumulate="epoch"), dict(batch_size=1000)):
    Trainer(net, n_threads=1, **settings).fit(X, y, epochs=1, validation_data=(X, y))
net.forward(X, n_threads=1)
net.loss_and_gradients(X, y, n_threads=1)
print("done")
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=300)
    assert run.stdout.split() == ["limited", "done"], run.stderr


def spoiled(**changes):
    X = csr(np.arange(20.0).reshape(4, 5))
    for name, change in changes.items():
        setattr(X, name, change(getattr(X, name).copy()) if callable(change) else change)
    return X


def put(place, value):
    def change(array):
        array[place] = value
        return array

    return change


@pytest.mark.parametrize(
    "X, error, message",
    [
        (spoiled(shape=(4, 6)), ValueError, r"samples, 5\).*\(4, 6\)"),
        (spoiled(shape=(20,)), ValueError, r"samples, 5\).*\(20,\)"),
        (Csr(np.zeros(0), np.zeros(0, int), np.zeros(1, int), (0, 5)), ValueError, r"at least one row.*\(0, 5\)"),
        (spoiled(shape=(3, 5)), ValueError, r"indptr.*\(4,\).*\(5,\)"),
        (spoiled(shape=(2**40, 5)), ValueError, r"indptr.*\(1099511627777,\).*\(5,\)"),
        (spoiled(indptr=put(0, 1)), ValueError, "indptr.*from 0 to 19.*got 1 to 19"),
        (spoiled(indptr=put(-1, 20)), ValueError, "indptr.*from 0 to 19.*got 0 to 20"),
        (spoiled(indptr=put(-1, 18)), ValueError, "indptr.*from 0 to 19.*got 0 to 18"),
        (spoiled(indptr=put(2, 3)), ValueError, "indptr.*decrease.*3 after 4 at row 1"),
        (spoiled(indptr=put(1, -4)), ValueError, "indptr.*decrease.*-4 after 0 at row 0"),
        (spoiled(indptr=put(2, 2**31 - 1)), ValueError, "indptr.*decrease.*14 after 2147483647 at row 2"),
        (spoiled(indptr=lambda a: a.astype(float)), TypeError, "indptr.*float64"),
        (spoiled(indices=put(7, 5)), ValueError, r"indices.*\[0, 5\).*got 5 in row 1"),
        (spoiled(indices=put(7, -1)), ValueError, r"indices.*\[0, 5\).*got -1 in row 1"),
        (spoiled(indices=lambda a: a + np.int64(2**32)), ValueError, r"indices.*\[0, 5\).*got 4294967297 in row 0"),
        (spoiled(indices=lambda a: a[:-1]), ValueError, r"indices.*\(18,\).*\(19,\)"),
        (spoiled(indices=lambda a: a[:, None]), ValueError, r"indices.*\(19, 1\).*\(19,\)"),
        (spoiled(indices=lambda a: a.astype(object)), TypeError, "indices.*object"),
        (spoiled(data=lambda a: a[:-1]), ValueError, r"indices.*data.*\(19,\).*\(18,\)"),
        (spoiled(data=lambda a: a.astype(complex)), TypeError, "complex128"),
        (spoiled(data=lambda a: a.astype(object)), TypeError, "object"),
        (spoiled(data=lambda a: a.astype(np.longdouble)), TypeError, "float128|longdouble"),
        (spoiled(data=put(6, np.nan)), ValueError, r"nan at \[1, 2\]"),
        (spoiled(data=put(18, -np.inf)), ValueError, r"-inf at \[3, 4\]"),
        (spoiled(data=put(0, 1e300)), ValueError, r"float32.*1e\+300 at \[0, 1\]"),
    ],
)
def test_invalid_csr_inputs_are_rejected_by_every_entry_point(X, error, message):
    net = Network((5, 7, 3), seed=1)
    before, good, y = parameters(net), csr(np.ones((4, 5))), np.array([0, 1, 2, 0])
    calls = [
        lambda: net.forward(X),
        lambda: net.predict(X),
        lambda: net.evaluate(X, y),
        lambda: net.loss_and_gradients(X, y),
        lambda: Trainer(net).fit(X, y, epochs=1),
        lambda: Trainer(net).fit(good, y, epochs=1, validation_data=(X, y)),
        lambda: fit_many([Trainer(net)], X, y, epochs=1),
    ]
    for call in calls:
        with pytest.raises(error, match=message):
            call()
    assert_equal_bits(parameters(net), before)


def test_labels_and_rows_must_agree():
    with pytest.raises(ValueError, match=r"\(4,\).*\(3,\)"):
        Network((5, 3)).evaluate(csr(np.ones((4, 5))), np.zeros(3, int))


def test_values_that_overflow_when_scaled_are_rejected():
    net = Network((5, 3), input_scale=1e30)
    X = csr(np.full((2, 5), 1e20))
    for call in (net.forward, lambda X: net.evaluate(X, np.zeros(2, int))):
        with pytest.raises(ValueError, match=r"input_scale=1e\+30.*float32"):
            call(X)


@pytest.mark.parametrize(
    "column_index, row_starts, message",
    [
        ([0, 5], [0, 1, 2], "column indices"),
        ([0, -1], [0, 1, 2], "column indices"),
        ([0, 1], [0, 3, 2], "decrease"),
        ([0, 1], [0, -1, 2], "decrease"),
        ([0, 1], [1, 1, 2], "from 0"),
        ([0, 1], [0, 1, 3], "from 0"),
        ([0, 1], [], "shape"),
        ([0], [0, 1], "shape"),
    ],
)
def test_the_core_checks_the_indices_itself(column_index, row_starts, message):
    with pytest.raises(ValueError, match=message):
        _core.CsrInputs(np.ones(2), np.array(column_index, np.int32), np.array(row_starts, np.int64), 5)


class TestSciPy:
    """The same with the real thing."""

    @pytest.fixture
    def sp(self):
        return pytest.importorskip("scipy.sparse")

    @pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"])
    def test_every_format_gives_the_bits_of_the_dense_array(self, sp, form):
        dense, _, y = sparse_problem(120, 40)
        expected = results(dense, y, (40, 9, 5), 1)
        for kind in ("array", "matrix"):
            X = getattr(sp, f"{form}_{kind}")(dense)
            assert_equal_bits(results(X, y, (40, 9, 5), 1), expected)
            np.testing.assert_array_equal(X.toarray(), dense)

    def test_untidy_matrices_are_left_as_they_are(self, sp):
        rng = np.random.default_rng(0)
        data, indices, indptr = rng.normal(size=400), rng.integers(0, 30, 400), np.arange(0, 401, 8)
        X = sp.csr_matrix((data.copy(), indices.copy(), indptr.copy()), (50, 30))
        y = np.arange(50) % 3
        tidy = X.copy()
        tidy.sum_duplicates()
        assert tidy.nnz < X.nnz
        expected = results(tidy.toarray(), y, (30, 9, 3), 1)
        assert_equal_bits(results(X, y, (30, 9, 3), 1), expected)
        for name, before in [("data", data), ("indices", indices), ("indptr", indptr)]:
            np.testing.assert_array_equal(getattr(X, name), before)
        X.has_canonical_format = True  # wrong, as after a change of the arrays by hand
        assert_equal_bits(results(X, y, (30, 9, 3), 1), expected)

    def test_slices_and_one_dimension(self, sp):
        dense, _, _ = sparse_problem(120, 40)
        net = Network((40, 3), seed=1)
        np.testing.assert_array_equal(net.forward(sp.csr_array(dense)[7:90:3]), net.forward(dense[7:90:3]))
        with pytest.raises(ValueError, match=r"samples, 40\).*\((1, 41|41,)\)|1-d|1D"):
            net.forward(sp.coo_array(np.ones(41)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_a_matrix_with_unsorted_and_doubled_indices_stays_as_it_is(dtype):
    values, columns, starts = np.array([1, 2, 3, 4], dtype), np.array([3, 1, 1, 0]), np.array([0, 3, 4])
    sparse = pytest.importorskip("scipy.sparse")
    X = sparse.csr_matrix((values.copy(), columns.copy(), starts.copy()), shape=(2, 5))
    net = Network((5, 2))
    np.testing.assert_array_equal(net.forward(X), net.forward(X.toarray()))
    Trainer(net).fit(X, [0, 1], epochs=1)
    np.testing.assert_array_equal(X.indices, columns)
    np.testing.assert_array_equal(X.data, values)
