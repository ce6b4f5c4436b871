"""Metrics of the user's own, in every fit that has validation data."""

import numpy as np
import pytest
from fastmlp import Network, Trainer, fit_ensemble, fit_lbfgs, fit_many, load, metrics, streaming
from fastmlp.callbacks import Checkpoint, EarlyStopping
from fastmlp.metrics import mean_squared_error
from problems import problem

SIZES = (11, 6, 1)
X, Y = problem(60, "squared_error", layer_sizes=SIZES)
Y = Y[:, 0]
HELD_OUT = (X[:20], Y[:20])
WEIGHTS = np.arange(20.0) % 3


def network(loss="squared_error", sizes=SIZES, **more):
    return Network(sizes, activation="tanh", loss=loss, dtype="float64", seed=1, **more)


def fit_alone(**more):
    net = network()
    return [(net, Trainer(net, batch_size=16).fit(X, Y, 3, **more))]


def fit_stream(**more):
    net = network()
    return [(net, Trainer(net, batch_size=16).fit(streaming.Stream.of_rows(X, Y, chunk_rows=20), None, 3, **more))]


def fit_several(**more):
    nets = [network(), network()]
    return list(zip(nets, fit_many([Trainer(net, batch_size=16) for net in nets], X, Y, 3, n_threads=2, **more)))


def fit_by_lbfgs(**more):
    net = network()
    return [(net, fit_lbfgs(net, X, Y, 3, **more))]


def fit_members(**more):
    settings = {"layer_sizes": SIZES, "loss": "squared_error", "dtype": "float64"}
    ensemble = fit_ensemble(settings, X, Y, 3, seeds=[0, 1], n_threads=2, **more)
    return list(zip(ensemble.members, ensemble.histories))


FITS = {
    "Trainer": fit_alone,
    "a stream": fit_stream,
    "fit_many": fit_several,
    "fit_lbfgs": fit_by_lbfgs,
    "fit_ensemble": fit_members,
}


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
def test_functions_of_y_and_predictions_are_entries_of_the_history(fit):
    shapes, infos = set(), []

    def largest(y, predictions):
        shapes.add((y.shape, predictions.shape))
        return np.abs(y - predictions).max()

    sets = {"test": HELD_OUT, "other": (X, Y)}
    functions = {"mse": mean_squared_error, "largest": largest}
    for net, history in fit(validation_data=sets, metrics=functions, callbacks=[infos.append]):
        assert len(history.test_mse) == len(history.other_largest) == 3
        for name, (inputs, y) in sets.items():
            difference = net.predict(inputs) - y
            assert history[f"{name}_mse"][-1] == pytest.approx(np.mean(difference**2), rel=1e-12)
            assert history[f"{name}_largest"][-1] == np.abs(difference).max()
            assert history[f"{name}_mse"][-1] == pytest.approx(2 * history[f"{name}_loss"][-1], rel=1e-12)
        assert "mse" not in history
    assert shapes == {((20,), (20,)), ((60,), (60,))}
    assert all({"test_mse", "other_largest"} < info.metrics.keys() for info in infos)


def test_callbacks_can_watch_them(tmp_path):
    values, path = iter([0.1, 0.9, 0.5, 0.6, 0.7, 0.2]), tmp_path / "a"
    stopping = EarlyStopping("val_auc", 3, restore_best=True, larger_is_better=True)
    keep = Checkpoint(path, best="val_auc", larger_is_better=True)
    net = network()
    history = Trainer(net).fit(
        X, Y, 6, validation_data=HELD_OUT, metrics={"auc": lambda y, p: next(values)}, callbacks=[stopping, keep]
    )
    assert history.val_auc == [0.1, 0.9, 0.5, 0.6, 0.7]
    assert net.evaluate(*HELD_OUT).loss == load(path).evaluate(*HELD_OUT).loss == history.val_loss[1]


def test_predictions_are_probabilities_of_the_classes():
    X, y = problem(60, layer_sizes=(11, 4))
    net = network("cross_entropy", (11, 4))
    share = {"share": lambda y, p: np.mean(p.argmax(axis=1) == y), "sum": lambda y, p: p.sum(axis=1).mean()}
    history = Trainer(net).fit(X, y, 2, validation_split=0.25, metrics=share)
    assert history.val_share == history.val_accuracy
    np.testing.assert_allclose(history.val_sum, 1, rtol=1e-12)


def test_they_see_the_running_mean_of_the_weights_and_the_units_of_the_targets():
    net = network(standardize=True)
    trainer = Trainer(net, average_decay=0.5)
    history = trainer.fit(X, 100 * Y, 2, validation_data=(X, 100 * Y), metrics={"mse": mean_squared_error})
    expected = np.mean((trainer.average.predict(X) - 100 * Y) ** 2)
    assert history.val_mse[-1] == pytest.approx(expected, rel=1e-12)
    assert history.val_mse[-1] > 100 * history.val_loss[-1], "whose targets are standardized"


def test_they_get_the_weights_of_the_validation_data():
    net = network()
    history = Trainer(net).fit(X, Y, 1, validation_data=(*HELD_OUT, WEIGHTS), metrics={"mse": mean_squared_error})
    expected = np.average((net.predict(HELD_OUT[0]) - HELD_OUT[1]) ** 2, weights=WEIGHTS)
    assert history.val_mse == [pytest.approx(expected, rel=1e-12)]


def test_they_may_write_into_what_they_get():
    def spoil(y, predictions, sample_weight):
        for each in (y, predictions, sample_weight):
            each[:] = -1
        return 0.0

    pair, functions = (X[:20], Y[:20].copy(), WEIGHTS.copy()), {"spoil": spoil, "mse": mean_squared_error}
    net = network()
    history = Trainer(net).fit(X, Y, 2, validation_data=pair, metrics=functions)
    expected = np.average((net.predict(pair[0]) - Y[:20]) ** 2, weights=WEIGHTS)
    assert history.val_mse[-1] == pytest.approx(expected, rel=1e-12)
    assert np.array_equal(pair[1], Y[:20]) and np.array_equal(pair[2], WEIGHTS)


def test_a_column_of_targets_has_a_column_of_predictions():
    shapes = []
    pair = (X[:20], Y[:20, None])
    Trainer(network()).fit(X, Y, 1, validation_data=pair, metrics={"s": lambda y, p: shapes.append(p.shape) or 0})
    assert shapes == [(20, 1)]


@pytest.mark.parametrize(
    "given, error, message",
    [
        ([mean_squared_error], TypeError, "metrics must be a dict of functions of y and predictions, got "),
        ({"a b": mean_squared_error}, ValueError, "names in metrics must be identifiers such as 'auc'.*got 'a b'"),
        ({"loss": mean_squared_error}, ValueError, "other than 'loss' and 'accuracy', got 'loss'"),
        ({"accuracy": mean_squared_error}, ValueError, "got 'accuracy'"),
        ({"auc": 3}, TypeError, r"metrics\['auc'\] must be a function of y and predictions, got 3"),
    ],
)
@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
def test_others_are_rejected_before_the_fit(fit, given, error, message):
    with pytest.raises(error, match=message):
        fit(validation_data=HELD_OUT, metrics=given)


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
def test_they_need_validation_data(fit):
    for sets in (None, {}):
        with pytest.raises(ValueError, match="measured on validation data: pass validation_data$"):
            fit(metrics={"mse": mean_squared_error}, validation_data=sets)
    fit(metrics={}), fit(metrics=None)


def test_an_error_in_a_metric_names_it():
    def fails(y, predictions):
        raise OSError("no")

    for function, error in ((fails, OSError), (lambda y, p: p, TypeError)):
        with pytest.raises(error) as raised:
            Trainer(network()).fit(X, Y, 1, validation_data=HELD_OUT, metrics={"own": function})
        assert raised.value.__notes__ == ["metrics['own']"]


def test_an_error_says_that_a_metric_gets_weights():
    held_out = (*HELD_OUT, WEIGHTS)
    with pytest.raises(TypeError, match="sample_weight") as raised:
        Trainer(network()).fit(X, Y, 1, validation_data=held_out, metrics={"one": lambda y, p: 1.0})
    assert raised.value.__notes__ == ["metrics['one']: it gets sample_weight, because the rows have weights"]


def test_a_metric_that_is_called_a_loss_may_be_nan():
    history = Trainer(network()).fit(X, Y, 2, validation_data=HELD_OUT, metrics={"log_loss": lambda y, p: np.nan})
    assert np.isnan(history.val_log_loss).all() and len(history.loss) == 2


def test_mean_squared_error_rejects_what_would_broadcast():
    assert metrics.mean_squared_error([[1.0, 2.0]], [[3.0, 2.0]]) == 2.0
    assert mean_squared_error([1.0, 2.0], [2.0, 4.0], sample_weight=[3, 1]) == 7 / 4
    for y, predictions in ((np.ones(3), np.ones((3, 1))), ([], []), (1.0, 2.0)):
        with pytest.raises(ValueError, match="y and predictions must have the same shape, with at least one row"):
            mean_squared_error(y, predictions)
    for weights in ([3], [[3], [1]], 3.0):
        with pytest.raises(ValueError, match=r"sample_weight must have shape \(2,\), got \("):
            mean_squared_error([1.0, 2.0], [2.0, 4.0], sample_weight=weights)
    with pytest.raises(ValueError, match="sample_weight must have a positive sum, got 0"):
        mean_squared_error([1.0, 2.0], [2.0, 4.0], sample_weight=[0, 0])
