"""validation_split: the bits of a fit on the other rows with the held-out ones as validation data."""

import numpy as np
import pytest
from fastmlp import Network, Trainer, fit_many, row_subsets
from fastmlp.streaming import Stream
from problems import LAYER_SIZES, assert_equal_bits, parameters, problem

ROWS = 50
KINDS = ["array", "bytes", "list", "frame", "csr", "csc", "fortran"]


def as_kind(kind, X):
    if kind == "frame":
        return pytest.importorskip("pandas").DataFrame(X)
    if kind in ("csr", "csc"):
        return getattr(pytest.importorskip("scipy.sparse"), f"{kind}_array")(X)
    return {"list": X.tolist, "fortran": lambda: np.asfortranarray(X)}.get(kind, lambda: X)()


def data(kind, loss, dtype):
    X, y = problem(ROWS, loss, dtype)
    X = np.abs(np.round(3 * X)).astype(np.uint8 if kind == "bytes" else dtype)
    return as_kind(kind, X), X, y


def trainer(loss="cross_entropy", dtype="float64", **settings):
    net = Network(LAYER_SIZES, loss=loss, dtype=dtype, seed=1, input_scale=0.1)
    return Trainer(net, **{"batch_size": 8, "momentum": 0.5, "seed": 3, **settings})


def metrics(history):
    return {name: history[name] for name in history if name != "seconds"}


FITS = {
    "fit": lambda trainer, *data, **more: trainer.fit(*data, epochs=3, **more),
    "fit_many": lambda trainer, *data, **more: fit_many([trainer], *data, epochs=3, **more)[0],
}


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
@pytest.mark.parametrize("settings", [{}, {"shuffle": False}, {"accumulate": 3}, {"accumulate": "epoch"}], ids=str)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loss, dtype", [("cross_entropy", "float32"), ("squared_error", "float64")])
def test_it_is_a_fit_on_the_other_rows(loss, dtype, kind, weighted, settings, fit):
    given, X, y = data(kind, loss, dtype)
    weights = np.random.default_rng(2).uniform(0.5, 2, ROWS) if weighted else None
    rows, held_out = row_subsets.hold_out(ROWS, 0.3)
    of_rows = None if weights is None else weights[rows]
    expected, found = trainer(loss, dtype, **settings), trainer(loss, dtype, **settings)
    for n_threads in (1, 3):  # in a second fit, too
        validation_data = (X[held_out], y[held_out], None if weights is None else weights[held_out])
        more = {"n_threads": n_threads, "validation_data": validation_data, "sample_weight": of_rows}
        history = fit(expected, X[rows], y[rows], **more)
        again = fit(found, given, y, validation_split=0.3, sample_weight=weights, n_threads=n_threads)
        assert metrics(again) == metrics(history) and "val_loss" in again
        assert_equal_bits(parameters(found.network), parameters(expected.network))


@pytest.mark.parametrize("rows, fraction, count", [(2, 0.5, 1), (10, 0.1, 1), (10, 0.94, 9), (101, 0.25, 25)])
def test_each_row_is_trained_on_or_held_out(rows, fraction, count):
    training, held_out = row_subsets.hold_out(rows, fraction)
    assert len(held_out) == count
    np.testing.assert_array_equal(np.sort(np.concatenate([training, held_out])), np.arange(rows))
    assert (np.diff(training) > 0).all() and (np.diff(held_out) > 0).all()
    assert_equal_bits(row_subsets.hold_out(rows, fraction), (training, held_out))


def test_held_out_rows_are_drawn_at_random():
    _, held_out = row_subsets.hold_out(10_000, 0.3)
    counts = np.histogram(held_out, bins=10, range=(0, 10_000))[0]  # of means 300, standard deviation 14.5
    assert len(set(counts)) > 1 and (abs(counts - 300) < 6 * 14.5).all()


def test_a_resumed_fit_holds_out_the_same_rows(tmp_path):
    pytest.importorskip("safetensors")
    _, X, y = data("array", "cross_entropy", "float64")
    complete, stopped = trainer(), trainer()
    complete.fit(X, y, epochs=5, validation_split=0.2)
    stopped.fit(X, y, epochs=2, validation_split=0.2)
    stopped.save(tmp_path / "half.safetensors")
    resumed = Trainer.resume(tmp_path / "half.safetensors")
    resumed.fit(X, y, epochs=3, validation_split=0.2)
    assert metrics(resumed.history) == metrics(complete.history)
    assert_equal_bits(parameters(resumed.network), parameters(complete.network))


_, X, Y = data("array", "cross_entropy", "float64")
WRONG = {
    "zero": ((X, Y), {"validation_split": 0.0}, "validation_split must be a finite number > 0"),
    "one": ((X, Y), {"validation_split": 1}, "< 1, got 1"),
    "nan": ((X, Y), {"validation_split": np.nan}, "validation_split"),
    "text": ((X, Y), {"validation_split": "0.1"}, "validation_split"),
    "too small": ((X, Y), {"validation_split": 0.005}, "got 0 of 50 rows to validate on"),
    "too large": ((X, Y), {"validation_split": 0.995}, "got 50 of 50 rows to validate on"),
    "both": ((X, Y), {"validation_split": 0.1, "validation_data": (X, Y)}, "validation_data or validation_split"),
    "weights": ((X, Y), {"validation_split": 0.1, "sample_weight": np.zeros(ROWS)}, "positive sum"),
    "labels": ((X, Y + 9), {"validation_split": 0.1}, "labels must lie in"),
}


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
@pytest.mark.parametrize("given, more, message", WRONG.values(), ids=WRONG)
def test_what_cannot_be_split_changes_nothing(fit, given, more, message):
    each = trainer()
    before, order = parameters(each.network), each.state().row_order
    with pytest.raises((TypeError, ValueError), match=message):
        fit(each, *given, **more)
    assert_equal_bits(parameters(each.network), before)
    assert each.state().row_order == order and not each.history.loss


def test_the_weights_of_both_parts_must_have_a_sum():
    rows, held_out = row_subsets.hold_out(ROWS, 0.2)
    for part in (rows, held_out):
        weights = np.ones(ROWS)
        weights[part] = 0
        with pytest.raises(ValueError, match="positive sum"):
            trainer().fit(X, Y, epochs=1, validation_split=0.2, sample_weight=weights)


def test_a_stream_cannot_be_split():
    with pytest.raises(TypeError, match="validation_split needs an array or a sparse matrix, got a Stream"):
        trainer().fit(Stream([(X, Y)]), None, epochs=1, validation_split=0.2)


def test_ranks_refuse_it_by_name():
    from fastmlp import distributed
    from ranks import together

    def work(communicator):
        each = distributed.Trainer(Network(LAYER_SIZES), communicator=communicator)
        with pytest.raises(TypeError, match="validation_split"):
            each.fit(X, Y, epochs=1, validation_split=0.2)

    together(1, work)
