"""Predictions of one output: they have the shape of the targets, so that their difference does not broadcast."""

import copy
import pickle

import numpy as np
import pytest
from fastmlp import Ensemble, Network, Trainer, distributed, fit_ensemble, fit_lbfgs, fit_many, load, streaming
from problems import problem
from ranks import Ranks, together

pytest.importorskip("sklearn", reason="estimators make networks, too")

from fastmlp import MLPClassifier, MLPRegressor  # noqa: E402

SIZES = (11, 6, 1)
LOSSES = ["squared_error", "binary_cross_entropy", "poisson"]


def network(loss="squared_error", **more):
    return Network(SIZES, loss=loss, dtype="float64", **more)


def fit_alone(net, X, y):
    Trainer(net).fit(X, y, 1)


def fit_stream(net, X, y):
    Trainer(net).fit(streaming.Stream([(X[:20], y[:20]), (X[20:], y[20:])]), None, 1)


def fit_held_out(net, X, y):
    Trainer(net).fit(X, y, 1, validation_split=0.2)


def fit_several(net, X, y):
    fit_many([Trainer(net), Trainer(network(net.loss))], X, y, 1)


def fit_by_lbfgs(net, X, y):
    fit_lbfgs(net, X, y, 1)


def fit_on_a_rank(net, X, y):
    distributed.Trainer(net, communicator=Ranks.Rank(Ranks(1), 0)).fit(X, y, 1)


FITS = [fit_alone, fit_stream, fit_held_out, fit_several, fit_by_lbfgs, fit_on_a_rank]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("fit", FITS)
def test_predictions_have_the_shape_of_the_targets_of_the_last_fit(fit, loss):
    X, y = problem(60, loss, layer_sizes=SIZES)
    net = network(loss)
    assert net.predict(X).shape == (60,), "before a fit"
    for targets in (y, y[:, 0], y.tolist(), y[:, 0].tolist(), y):
        fit(net, X, targets)
        predictions = net.predict(X)
        assert predictions.shape == (predictions - targets).shape == np.shape(targets)
        decided = net.forward(X) > 0.5 if loss == "binary_cross_entropy" else net.forward(X)
        np.testing.assert_array_equal(predictions.ravel(), decided[:, 0])
    assert net.forward(X).shape == (60, 1)


@pytest.mark.parametrize("columns", [True, False])
@pytest.mark.parametrize("without_rows", [0, 1])
def test_a_rank_without_rows_predicts_in_the_shape_of_the_others(without_rows, columns):
    X, y = problem(60, "squared_error", layer_sizes=SIZES)
    y = y if columns else y[:, 0]

    def fit(communicator):
        own, net = slice(0 if communicator.rank == without_rows else 60), network()
        distributed.Trainer(net, communicator=communicator).fit(X[own], y[own], 1)
        return net.predict(X).shape

    assert together(2, fit) == [y.shape] * 2


def test_evaluations_and_fits_that_are_rejected_change_no_shape():
    X, y = problem(60, "squared_error", layer_sizes=SIZES)
    net = network()
    Trainer(net).fit(X, y[:, 0], 1, validation_data=(X, y))
    net.evaluate(X, y)
    with pytest.raises(ValueError):
        Trainer(net).fit(X, np.where(np.arange(60) == 7, np.nan, y[:, 0])[:, None], 1)
    assert net.predict(X).shape == (60,)


def test_the_shape_is_part_of_files_copies_and_ensembles(tmp_path):
    X, y = problem(60, "squared_error", layer_sizes=SIZES)
    for targets in (y, y[:, 0]):
        trainer = Trainer(network(), average_decay=0.5)
        trainer.fit(X, targets, 1)
        trainer.network.save(tmp_path / "a"), trainer.save(tmp_path / "b")
        ensemble = fit_ensemble({"layer_sizes": SIZES, "loss": "squared_error"}, X, targets, 1, seeds=[0, 1])
        ensemble.save(tmp_path / "c")
        nets = [load(tmp_path / "a"), Trainer.resume(tmp_path / "b").network, ensemble, load(tmp_path / "c")]
        nets += [copy.deepcopy(trainer.network), pickle.loads(pickle.dumps(trainer)).network, trainer.average]
        nets += [Ensemble([trainer.network])]
        assert [net.predict(X).shape for net in nets] == [targets.shape] * len(nets)


@pytest.mark.parametrize("outputs", [2, 3])
def test_several_outputs_have_two_dimensions(outputs):
    X, y = problem(60, "squared_error", layer_sizes=(11, outputs))
    net = Network((11, outputs), loss="squared_error")
    Trainer(net).fit(X, y, 1)
    assert net.predict(X).shape == (60, outputs)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_networks_of_estimators_predict_one_number_for_each_row():
    X, y = problem(60, layer_sizes=(11, 2))
    for Estimator in (MLPClassifier, MLPRegressor):
        model = Estimator(hidden_layer_sizes=(3,), solver="lbfgs", max_iter=9).fit(X, y)
        net = model.to_network()
        assert net.predict(X).shape == (60,)
        np.testing.assert_array_equal(net.predict(X), model.predict(X))
