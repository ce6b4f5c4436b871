"""ReduceOnPlateau: when it reduces the learning rate, in every kind of fit, and after a resume."""

from types import SimpleNamespace

import numpy as np
import pytest
from fastmlp import History, Network, Trainer, fit_many
from fastmlp.callbacks import ReduceOnPlateau
from problems import assert_equal_bits, parameters, problem

X, Y = problem(60)
SIZES = (11, 17, 9, 4)


def rates(values, metric="loss", begin=0, **settings):
    """The learning rate after each epoch with these values."""
    history, optimizer, found = History(), SimpleNamespace(learning_rate=1.0), []
    callback = ReduceOnPlateau(metric, **settings)
    for value in values:
        history.append({metric: value})
        callback(SimpleNamespace(history=history, optimizer=optimizer, begin=begin))
        found.append(optimizer.learning_rate)
    return found


def test_it_reduces_after_patience_epochs_without_improvement():
    assert rates([3, 2, 2, 2, 2, 1, 1, 1], patience=2, factor=0.5) == [1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]
    assert rates([3, 3, 3, 3, 3], patience=1, factor=0.5) == [1, 0.5, 0.25, 0.125, 0.0625]
    assert rates([3, 2.9, 2.8, 2.5], patience=2, factor=0.5, min_delta=0.3) == [1, 1, 0.5, 0.5]
    assert rates([1, 2, 2, 2], "val_score", patience=2, factor=0.5) == [1, 1, 1, 0.5]
    assert rates([9, 9, 9, 1, 1, 1], begin=3, patience=2, factor=0.5) == [1, 1, 1, 1, 1, 0.5]
    assert rates([3, 3, 3, 3], patience=1, factor=0.1, min_rate=0.05) == [1, 0.1, 0.05, 0.05]


class Interrupted(Exception):
    pass


def test_a_resumed_fit_goes_on_with_the_same_bits(tmp_path):
    def trainer():
        return Trainer(Network(SIZES, dtype="float64", seed=1), learning_rate=0.5, batch_size=16)

    def callback():
        return ReduceOnPlateau("loss", 0.5, patience=2, min_delta=0.1)

    def interrupt(info):
        if info.epoch == 5:
            info.trainer.save(tmp_path / "checkpoint")
            raise Interrupted

    whole, part = trainer(), trainer()
    whole.fit(X, Y, epochs=12, callbacks=[callback()])
    assert whole.learning_rate < 0.5
    with pytest.raises(Interrupted):
        part.fit(X, Y, epochs=12, callbacks=[callback(), interrupt])
    resumed = Trainer.resume(tmp_path / "checkpoint")
    resumed.fit(X, Y, epochs=7, callbacks=[callback()])
    assert resumed.learning_rate == whole.learning_rate
    assert_equal_bits(parameters(resumed.network), parameters(whole.network))


def test_every_kind_of_fit_takes_it():
    slow = [Trainer(Network(SIZES), learning_rate=rate) for rate in (1e-9, 0.1)]
    fit_many(slow, X, Y, 4, callbacks=[ReduceOnPlateau("loss", 0.5, patience=1, min_delta=0.01)])
    assert [trainer.learning_rate for trainer in slow] == [1e-9 / 8, 0.1]
    pytest.importorskip("sklearn")
    from fastmlp import MLPClassifier

    seen = []
    model = MLPClassifier((3,), learning_rate_init=1e-9, max_iter=4, n_iter_no_change=9)
    with pytest.warns(UserWarning):
        model.fit(
            X,
            Y,
            callbacks=[
                ReduceOnPlateau("loss", 0.5, patience=1, min_delta=0.01),
                lambda info: seen.append(info.optimizer.learning_rate),
            ],
        )
    np.testing.assert_allclose(seen, [1e-9, 1e-9 / 2, 1e-9 / 4, 1e-9 / 8])


def test_wrong_arguments_are_rejected():
    for settings, message in (
        ({"factor": 1.0}, "factor must be a finite number > 0 and < 1, got 1.0"),
        ({"factor": 0}, "factor must be a finite number > 0 and < 1, got 0"),
        ({"patience": 0}, "patience must be at least 1, got 0"),
        ({"min_delta": -1}, "min_delta must be a finite number >= 0, got -1"),
        ({"min_rate": -1}, "min_rate must be a finite number >= 0, got -1"),
    ):
        with pytest.raises(ValueError, match=message):
            ReduceOnPlateau(**settings)
    with pytest.raises(TypeError, match="needs a fit with a learning rate; L-BFGS has none"):
        ReduceOnPlateau()(SimpleNamespace(optimizer=None))
    with pytest.raises(ValueError, match="metric must be an entry of the history"):
        Trainer(Network(SIZES)).fit(X, Y, epochs=1, callbacks=[ReduceOnPlateau("val_los")])
