"""What tests of callbacks share: every kind of fit, and trainers whose metrics are chosen."""

from types import SimpleNamespace

import pytest
from fastmlp import History, Network, Trainer, distributed, fit_many, streaming
from fastmlp.history import EpochInfo
from problems import problem
from ranks import Ranks

pytest.importorskip("sklearn", reason="estimators call callbacks, too")

from fastmlp import MLPClassifier, MLPRegressor, fit_lbfgs  # noqa: E402

SIZES = (11, 6, 4)
X, Y = problem(60, layer_sizes=SIZES)
HELD_OUT = problem(20, layer_sizes=SIZES, seed=1)


def network(**settings):
    return Network(SIZES, activation="tanh", dtype="float64", seed=1, **settings)


class Fitted(SimpleNamespace):
    """One fit: its network, its trainer if it has one, and the entries of its history by name."""


def of_trainer(trainer, history):
    return Fitted(network=trainer.network, trainer=trainer, history=vars(history))


def fit_alone(callbacks, epochs):
    trainer = Trainer(network(), batch_size=16)
    return [of_trainer(trainer, trainer.fit(X, Y, epochs, validation_data=HELD_OUT, callbacks=callbacks))]


def fit_stream(callbacks, epochs):
    trainer = Trainer(network(), batch_size=16)
    stream = streaming.Stream.of_rows(X, Y, chunk_rows=20)
    return [of_trainer(trainer, trainer.fit(stream, None, epochs, validation_data=HELD_OUT, callbacks=callbacks))]


def fit_several(callbacks, epochs):
    trainers = [Trainer(network(), batch_size=16, seed=seed) for seed in range(3)]
    histories = fit_many(trainers, X, Y, epochs, validation_data=HELD_OUT, callbacks=callbacks, n_threads=1)
    return list(map(of_trainer, trainers, histories))


def fit_by_lbfgs(callbacks, epochs):
    net = network()
    history = fit_lbfgs(net, X, Y, epochs, validation_data=HELD_OUT, callbacks=callbacks)
    return [Fitted(network=net, trainer=None, history=vars(history))]


def fit_on_a_rank(callbacks, epochs):
    trainer = distributed.Trainer(network(), communicator=Ranks.Rank(Ranks(1), 0), batch_size=16)
    return [of_trainer(trainer, trainer.fit(X, Y, epochs, validation_data=HELD_OUT, callbacks=callbacks))]


def fit_estimator(Estimator, solver):
    def fit(callbacks, epochs):
        model = Estimator(hidden_layer_sizes=(6,), solver=solver, max_iter=epochs, random_state=0, alpha=0.1)
        model.fit(X, Y, eval_set=HELD_OUT, callbacks=callbacks)
        return [Fitted(network=None, trainer=None, history=vars(model.history_))]

    return fit


FITS = {
    "Trainer": fit_alone,
    "Trainer, a stream": fit_stream,
    "fit_many": fit_several,
    "fit_lbfgs": fit_by_lbfgs,
    "distributed": fit_on_a_rank,
    **{
        f"{Estimator.__name__}, {solver}": fit_estimator(Estimator, solver)
        for Estimator in (MLPClassifier, MLPRegressor)
        for solver in ("sgd", "adam", "lbfgs")
    },
}


def entries_of(name, values):
    """A trainer whose history gets one value after another, and what a callback returns for each."""
    trainer, history = Trainer(network()), History()

    def add(value):
        history.append({name: value} if name == "loss" else {name: value, "loss": 0.0})
        return EpochInfo(len(history.loss), len(values), {}, trainer.network, trainer, history)

    return map(add, values)


def altered(values):
    """A callback that replaces the validation loss by these, in turn."""

    def alter(info):  # before the others are called
        info.history.val_loss[-1] = values[len(info.history.loss) - 1]

    return alter
