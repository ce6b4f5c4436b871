"""What newcomers try in their first hour: settings that can be read, words of other libraries, hints in errors."""

import numpy as np
import pytest
from fastmlp import DivergenceError, Network, Trainer, fit_lbfgs

X = np.random.default_rng(0).normal(size=(60, 5))
Y = np.arange(60) % 3


def test_a_trainer_shows_the_settings_that_are_not_the_defaults_and_each_can_be_read():
    trainer = Trainer(Network((5, 3)), "adam", learning_rate=0.01, beta_1=0.8, n_threads=2)
    text = repr(trainer)
    assert text.startswith("Trainer(Network((5, 3), ")
    assert all(part in text for part in ("optimizer='adam'", "learning_rate=0.01", "beta_1=0.8", "n_threads=2"))
    assert "batch_size" not in text and "shuffle" not in text
    assert (trainer.batch_size, trainer.beta_1, trainer.momentum, trainer.shuffle) == (128, 0.8, 0.0, True)
    with pytest.raises(AttributeError, match="beta_1 cannot be changed; make a new Trainer"):
        trainer.beta_1 = 0.5


def test_a_history_becomes_a_data_frame():
    pytest.importorskip("pandas")
    history = Trainer(Network((5, 3))).fit(X, Y, 3, validation_data=(X, Y))
    frame = history.to_frame()
    assert frame.index.tolist() == [1, 2, 3] and frame.index.name == "epoch"
    assert frame.columns.tolist() == list(history) == list(dict(history))
    assert frame["val_loss"].tolist() == history["val_loss"] == history.val_loss


def test_large_targets_are_named_where_the_fit_diverges():
    for fit in (
        lambda net: Trainer(net).fit(X, 1e6 * X.sum(axis=1), 5),
        lambda net: fit_lbfgs(net, X, np.full(60, 1e200)),
    ):
        net = Network((5, 8, 1), loss="squared_error", dtype="float64", activation="identity")
        with np.errstate(all="ignore"), pytest.raises(DivergenceError, match="scale X and y|X and y may be"):
            fit(net)


@pytest.mark.parametrize("verbose", [1, True])
def test_a_fit_is_verbose_with_one_as_with_true(capsys, verbose):
    Trainer(Network((5, 3))).fit(X, Y, 2, verbose=verbose)
    assert [line[:9] for line in capsys.readouterr().err.splitlines()] == ["epoch 1/2", "epoch 2/2"]


def test_a_seed_of_none_is_rejected_and_equal_seeds_give_equal_networks():
    for make in (lambda: Network((5, 3), seed=None), lambda: Trainer(Network((5, 3)), seed=None)):
        with pytest.raises(TypeError, match="seed must be an integer, got None"):
            make()
    np.testing.assert_array_equal(Network((5, 3)).weights[0], Network((5, 3)).weights[0])
    assert not np.array_equal(Network((5, 3)).weights[0], Network((5, 3), seed=1).weights[0])


def test_lists_and_other_containers_of_arrays_are_taken_as_validation_data():
    for given in ((X, Y), [X, Y], [(X, Y)]):
        assert len(Trainer(Network((5, 3))).fit(X, Y, 1, validation_data=given).val_loss) == 1
