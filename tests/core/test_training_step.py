"""What depends on the shape of a network in a training step: few or many outputs, heads by rows, packed columns."""

import numpy as np
import pytest
import reference
from fastmlp import Network, Trainer
from problems import assert_close, assert_equal_bits, parameters, problem, row_orders
from teams import TEAMS, team_of

# Heads of 1 to 3 vectors; layers of few inputs; gradients of so many panels and columns that these are packed in blocks.
SHAPES = [(5, 3), (5, 40, 1), (3, 40, 2), (30, 2, 17, 16), (9, 33, 40), (70, 9, 300, 11), (300, 450, 3)]
OPTIMIZERS = {
    "sgd": (dict(learning_rate=0.1), lambda: reference.SGD(0.1)),
    "adam": (dict(optimizer="adam", learning_rate=1e-3), lambda: reference.Adam(1e-3)),
}


@pytest.mark.parametrize("batch_size", [7, 100])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "-".join(map(str, shape)))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_shape_matches_the_oracle_with_equal_bits_of_all_teams(isa, dtype, shape, optimizer, batch_size):
    settings, oracle = OPTIMIZERS[optimizer]
    rows = int(2.7 * batch_size)
    X, y = problem(rows, layer_sizes=shape, dtype=dtype)
    found = []
    for n_threads in (1, *TEAMS):
        net = Network(shape, dtype=dtype, seed=1)
        with team_of(n_threads):
            Trainer(net, batch_size=batch_size, seed=2, n_threads=n_threads, **settings).fit(X, y, 1, verbose=False)
        found.append(parameters(net))
        assert_equal_bits(found[-1], found[0])
    weights, biases = reference.initial_parameters(shape, "relu", 1)
    orders = row_orders(2, rows, 1)
    weights, biases, _ = reference.train(weights, biases, X.astype(np.float64), y, orders, batch_size, oracle())
    assert_close(found[0], weights + biases, 1e-10 if dtype == "float64" else 1e-4)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "-".join(map(str, shape)))
@pytest.mark.parametrize("n_threads", [1, *TEAMS])
def test_a_step_uses_weights_that_were_set_since_the_last(shape, n_threads):
    X, y = problem(40, layer_sizes=shape)
    other = Network(shape, dtype="float64", seed=9)
    found = []
    for trained_before in (False, True):
        net = Network(shape, dtype="float64", seed=1)
        trainer = Trainer(net, learning_rate=0.1, batch_size=40, seed=2, n_threads=n_threads, shuffle=False)
        if trained_before:
            with team_of(n_threads):
                trainer.fit(X, y, 2, verbose=False)
        net.set_parameters(other.weights, other.biases)
        with team_of(n_threads):
            trainer.fit(X, y, 1, verbose=False)
        found.append(parameters(net))
    assert_equal_bits(*found)


@pytest.mark.parametrize("n_threads", [1, *TEAMS])
def test_clipped_steps_use_the_weights_of_the_step_before(n_threads):
    shape = (6, 20, 12, 3)
    X, y = problem(30, layer_sizes=shape)
    nets = [Network(shape, dtype="float64", seed=1) for _ in range(2)]
    with team_of(n_threads):
        Trainer(
            nets[0], learning_rate=0.5, batch_size=30, shuffle=False, max_gradient_norm=1e-3, n_threads=n_threads
        ).fit(X, y, 3, verbose=False)
    for _ in range(3):  # each step of the oracle scales the gradient itself
        result = reference.loss_and_gradients(nets[1].weights, nets[1].biases, X, y, "relu", "cross_entropy")
        parts = result.weights + result.biases
        scale = min(1, 1e-3 / np.sqrt(sum((part**2).sum() for part in parts)))
        updated = [w - 0.5 * scale * g for w, g in zip(nets[1].weights + nets[1].biases, parts)]
        nets[1].set_parameters(updated[: len(shape) - 1], updated[len(shape) - 1 :])
    assert_close(parameters(nets[0]), parameters(nets[1]), 1e-12)
