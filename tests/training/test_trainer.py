"""The training loop: trajectories against the oracle, accumulation, equal bits, history, settings."""

import copy
import re
from contextlib import nullcontext

import numpy as np
import pytest
import reference
from fastmlp import DivergenceError, Network, Trainer, _core, core_calls
from problems import (
    DTYPES,
    LAYER_SIZES,
    OPTIMIZERS,
    THREADED,
    assert_close,
    assert_equal_bits,
    parameters,
    problem,
    row_orders,
    with_a_huge_target,
)
from teams import TEAMS, team_of

PENALTIES = [(0.0, 0.0), (0.003, 0.0), (0.0, 0.02), (0.003, 0.02)]


@pytest.mark.parametrize("loss", reference.LOSSES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_fifty_steps_follow_the_oracle(isa, name, loss):
    settings, oracle_optimizer = OPTIMIZERS[name]
    rate = {"poisson": 0.005, "gamma": 0.001}.get(loss)
    if rate and "adam" not in name:  # e^z, or e^-z, diverges at the steps of the others
        settings = settings | {"learning_rate": rate}

        def oracle_optimizer(original=oracle_optimizer):
            optimizer = original()
            optimizer.learning_rate = rate
            return optimizer

    X, y = problem(155, loss)  # 10 batches of 16, the last of 11: 5 epochs are 50 steps
    for activation, (l1, l2) in zip(["tanh", "logistic", "identity", "relu"], PENALTIES, strict=True):
        net = Network(LAYER_SIZES, activation=activation, loss=loss, dtype="float64", seed=4)
        weights, biases = reference.initial_parameters(LAYER_SIZES, activation, 4)
        orders = row_orders(9, 155, 5)
        weights, biases, losses = reference.train(
            weights, biases, X, y, orders, 16, oracle_optimizer(), l1, l2, activation=activation, loss=loss
        )
        trainer = Trainer(net, batch_size=16, l1=l1, l2=l2, seed=9, **settings)
        history = trainer.fit(X, y, epochs=5)
        assert_close(parameters(net), weights + biases, 1e-10)
        np.testing.assert_allclose(history.loss, losses, rtol=1e-10)
        expected_penalty = reference.penalty(weights, l1, l2)
        np.testing.assert_allclose(history.penalty[-1], expected_penalty, rtol=1e-10)


def test_every_penalty_reaches_every_optimizer():
    X, y = problem(60)
    for name, (settings, oracle_optimizer) in OPTIMIZERS.items():
        for l1, l2 in PENALTIES:
            net = Network(LAYER_SIZES, activation="tanh", dtype="float64", seed=1)
            weights, biases, _ = reference.train(
                net.weights, net.biases, X, y, row_orders(2, 60, 3), 25, oracle_optimizer(), l1, l2, activation="tanh"
            )
            Trainer(net, batch_size=25, l1=l1, l2=l2, seed=2, **settings).fit(X, y, epochs=3)
            for p, q in zip(parameters(net), weights + biases, strict=True):
                np.testing.assert_allclose(p, q, rtol=0, atol=1e-10, err_msg=f"{name}, l1 {l1}, l2 {l2}")


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_step_is_the_networks_own_gradient(isa, dtype):
    """The fused update against the unfused gradient, also in float32."""
    layer_sizes = (33, 50, 10)
    X, y = problem(129, "cross_entropy", dtype, layer_sizes)
    net = Network(layer_sizes, activation="relu", dtype=dtype, seed=3)
    gradients = net.loss_and_gradients(X, y, l1=0.01, l2=0.1)
    expected = [p - 0.5 * g for p, g in zip(parameters(net), gradients.weights + gradients.biases, strict=True)]
    Trainer(net, learning_rate=0.5, batch_size=129, l1=0.01, l2=0.1, shuffle=False).fit(X, y, epochs=1)
    # Both sum the same 129 rows, of size below 4 / 129, each with 129 roundings at most; then a few more.
    assert_close(parameters(net), expected, 16 * np.finfo(dtype).eps)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_float32_updates_lose_no_more_than_float32_must(isa, name):
    """Targets of one sign and far away keep each gradient far from 0: nothing cancels, not even in
    Adam's quotient, so each of 4 updates is right to some roundings of its 35-term sums."""
    settings, oracle_optimizer = OPTIMIZERS[name]
    settings = dict(settings, learning_rate=settings["learning_rate"] / 8)
    optimizer = oracle_optimizer()
    optimizer.learning_rate /= 8
    rng = np.random.default_rng(0)
    X = rng.uniform(0.1, 0.3, (4, 35)).astype("float32")
    y = np.repeat(rng.choice([-100.0, 100.0], 37)[None], 4, axis=0).astype("float32")
    net = Network((35, 37), loss="squared_error", seed=2)
    weights, biases = [w.astype(float) for w in net.weights], [b.astype(float) for b in net.biases]
    new_weights, new_biases, _ = reference.train(
        weights, biases, X.astype(float), y, [np.arange(4)] * 2, 2, optimizer, 0.01, 0.1, loss="squared_error"
    )
    Trainer(net, batch_size=2, l1=0.01, l2=0.1, shuffle=False, **settings).fit(X, y, epochs=2)
    for p, start, expected in zip(parameters(net), weights + biases, new_weights + new_biases, strict=True):
        moved = np.abs(expected - start)
        assert moved.min() > 1e-4
        allowed = np.finfo(np.float32).eps * (4 * np.maximum(np.abs(start), np.abs(expected)) + 35 * moved)
        assert (np.abs(p - expected) <= allowed).all()


@pytest.mark.parametrize(
    "batch_size, accumulate",
    [
        (257, 1),
        (300, 2),
        (300, "epoch"),
        (513, 1),
        (1000, 1),
        (64, 7),
    ],
)
def test_batches_of_many_rows_follow_the_oracle(isa, batch_size, accumulate):
    X, y = problem(1000)
    net = Network(LAYER_SIZES, activation="tanh", dtype="float64", seed=1)
    weights, biases, losses = reference.train(
        net.weights,
        net.biases,
        X,
        y,
        row_orders(2, 1000, 3),
        batch_size,
        reference.Momentum(0.2, 0.9),
        0.003,
        0.02,
        accumulate,
        "tanh",
    )
    history = Trainer(
        net, learning_rate=0.2, momentum=0.9, batch_size=batch_size, accumulate=accumulate, l1=0.003, l2=0.02, seed=2
    ).fit(X, y, epochs=3)
    assert_close(parameters(net), weights + biases, 1e-12)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-12)


def test_gradients_and_fits_use_the_parameters_of_the_moment(isa):
    """No copy of the weights inside the core may become outdated."""
    X, y = problem(60)
    net = Network(LAYER_SIZES, activation="tanh", dtype="float64", seed=1)
    start = net.weights, net.biases
    Trainer(net, learning_rate=0.3, batch_size=16, seed=2).fit(X, y, epochs=3)
    trained = net.weights, net.biases
    result = net.loss_and_gradients(X, y)
    expected = reference.loss_and_gradients(*trained, X, y, "tanh", "cross_entropy")
    assert_close(result.weights + result.biases, expected.weights + expected.biases, 1e-13)
    net.set_parameters(*start)
    result = net.loss_and_gradients(X, y)
    expected = reference.loss_and_gradients(*start, X, y, "tanh", "cross_entropy")
    assert_close(result.weights + result.biases, expected.weights + expected.biases, 1e-13)
    Trainer(net, learning_rate=0.3, batch_size=16, seed=2).fit(X, y, epochs=3)
    assert_equal_bits(parameters(net), trained[0] + trained[1])


def test_rows_keep_their_order_without_shuffling():
    X, y = problem(50)
    net = Network(LAYER_SIZES, activation="tanh", dtype="float64", seed=1)
    weights, biases, losses = reference.train(
        net.weights, net.biases, X, y, [np.arange(50)] * 4, 16, reference.SGD(0.3), activation="tanh"
    )
    history = Trainer(net, learning_rate=0.3, batch_size=16, shuffle=False, seed=7).fit(X, y, epochs=4)
    assert_close(parameters(net), weights + biases, 1e-12)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_two_fits_continue_where_one_would_be(name):
    X, y = problem(70, "squared_error")
    settings, _ = OPTIMIZERS[name]
    once, twice = [Network(LAYER_SIZES, loss="squared_error", dtype="float64", seed=1) for _ in range(2)]
    long = Trainer(once, batch_size=16, seed=5, **settings).fit(X, y, epochs=5)
    trainer = Trainer(twice, batch_size=16, seed=5, **settings)
    first, second = trainer.fit(X, y, epochs=2), trainer.fit(X, y, epochs=3)
    assert_equal_bits(parameters(twice), parameters(once))
    assert first.loss + second.loss == long.loss


@pytest.mark.parametrize("batch_size", [155, 1000])
def test_a_batch_larger_than_the_data_is_all_of_it(batch_size):
    X, y = problem(155)
    net = Network(LAYER_SIZES, activation="tanh", dtype="float64", seed=1)
    weights, biases, _ = reference.train(
        net.weights, net.biases, X, y, [np.arange(155)] * 3, 155, reference.SGD(0.3), activation="tanh"
    )
    Trainer(net, learning_rate=0.3, batch_size=batch_size).fit(X, y, epochs=3)
    assert_close(parameters(net), weights + biases, 1e-12)


@pytest.mark.parametrize("name", ["sgd", "nesterov", "adam"])
@pytest.mark.parametrize("accumulate, one_batch", [(1, 16), (2, 32), (4, 64), (100, 150), ("epoch", 150)])
def test_accumulation_equals_one_large_batch(isa, name, accumulate, one_batch):
    settings, oracle_optimizer = OPTIMIZERS[name]
    X, y = problem(150)  # 9 batches of 16 and one of 6; 4 batches make groups of 64, 64 and 22 rows
    many, one = [Network(LAYER_SIZES, activation="tanh", dtype="float64", seed=2) for _ in range(2)]
    weights, biases, losses = reference.train(
        many.weights,
        many.biases,
        X,
        y,
        row_orders(3, 150, 4),
        16,
        oracle_optimizer(),
        0.003,
        0.02,
        accumulate=accumulate,
        activation="tanh",
    )
    settings = dict(settings, l1=0.003, l2=0.02, seed=3)
    history = Trainer(many, batch_size=16, accumulate=accumulate, **settings).fit(X, y, epochs=4)
    Trainer(one, batch_size=one_batch, **settings).fit(X, y, epochs=4)
    scale = max(np.abs(p).max() for p in parameters(one))
    # Adam divides by sqrt(v): where v is small the rounding of the gradient weighs more.
    assert_close(parameters(many), parameters(one), (1e-10 if name == "adam" else 1e-12) * scale)
    assert_close(parameters(many), weights + biases, 1e-10)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-10)


def train_threaded(dtype, n_threads, X, y, **settings):
    net = Network(THREADED, dtype=dtype, seed=6)
    settings = dict(settings, learning_rate=0.05, l1=1e-4, l2=1e-3, seed=8)
    history = Trainer(net, batch_size=700, n_threads=n_threads, **settings).fit(X, y, epochs=2)
    return parameters(net), history


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(dict(), id="sgd"),
        pytest.param(dict(momentum=0.9), id="momentum"),
        pytest.param(dict(optimizer="adam"), id="adam"),
        pytest.param(dict(accumulate="epoch"), id="accumulate"),
    ],
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_bits_for_every_thread_count_and_run(isa, dtype, settings):
    X, y = problem(1500, "cross_entropy", dtype, THREADED)  # batches of 700, 700 and 100
    expected, history = train_threaded(dtype, 1, X, y, **settings)
    for n_threads in (1, *TEAMS, None):
        with team_of(n_threads) if n_threads else nullcontext():
            params, again = train_threaded(dtype, n_threads, X, y, **settings)
        assert_equal_bits(params, expected)
        assert again.loss == history.loss
        assert again.penalty == history.penalty
        assert again.accuracy == history.accuracy


@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_bits_however_an_epoch_is_cut_into_native_calls(monkeypatch, dtype):
    """Native calls end by the clock, so where they end must not show."""
    X, y = problem(1500, "cross_entropy", dtype, THREADED)
    results = []
    for seconds in (0.0, 1e6):  # a call for each chunk of rows; one call for the epoch
        monkeypatch.setattr("fastmlp.core_calls.SECONDS_PER_CALL", seconds)
        monkeypatch.setattr("fastmlp.core_calls.OPERATIONS_PER_CALL", seconds * 1e9)
        net = Network(THREADED, dtype=dtype, seed=6)
        history = Trainer(net, learning_rate=0.05, batch_size=100, accumulate=3, seed=8).fit(X, y, epochs=2)
        gradients, evaluation = net.loss_and_gradients(X, y), net.evaluate(X, y)
        arrays = parameters(net) + gradients.weights + gradients.biases + [net.forward(X)]
        results.append((arrays, [history.loss, history.accuracy, gradients.loss, evaluation]))
    assert_equal_bits(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]


def test_small_batches_give_equal_bits_for_every_thread_count(isa):
    X, y = problem(333, "cross_entropy", "float32", THREADED)
    expected = None
    for n_threads in (1, *TEAMS):
        net = Network(THREADED, seed=6)
        with team_of(n_threads):
            Trainer(net, learning_rate=0.05, batch_size=13, seed=8, n_threads=n_threads).fit(X, y, epochs=2)
        expected = expected or parameters(net)
        assert_equal_bits(parameters(net), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_uint8_training_equals_training_on_floats(isa, dtype):
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (90, 30)).astype(np.uint8), rng.integers(0, 4, 90)
    results = []
    for X in (pixels, pixels.astype(dtype)):
        net = Network((30, 12, 4), dtype=dtype, seed=1, input_scale=1 / 255)
        Trainer(net, learning_rate=0.5, batch_size=16, seed=2).fit(X, labels, epochs=3)
        results.append(parameters(net))
    assert_equal_bits(*results)
    weights, biases = reference.initial_parameters((30, 12, 4), "relu", 1)
    weights, biases, _ = reference.train(
        weights, biases, pixels / 255, labels, row_orders(2, 90, 3), 16, reference.SGD(0.5)
    )
    assert_close(results[0], weights + biases, 1e-10 if dtype == "float64" else 1e-4)


def test_history_holds_one_entry_per_epoch():
    X, y = problem(100)
    X_val, y_val = problem(37, seed=1)
    net = Network(LAYER_SIZES, activation="tanh", dtype="float64", seed=1)
    history = Trainer(net, learning_rate=0.2, batch_size=16, l2=0.01, seed=2).fit(
        X, y, epochs=3, validation_data=(X_val, y_val)
    )
    for name in ("loss", "penalty", "accuracy", "val_loss", "val_accuracy", "seconds"):
        values = getattr(history, name)
        assert isinstance(values, list) and len(values) == 3, name
        assert all(isinstance(v, float) and np.isfinite(v) for v in values), name
    assert all(s >= 0 for s in history.seconds)
    final = net.evaluate(X_val, y_val)  # validation comes after the epoch
    assert history.val_loss[-1] == final.loss
    assert history.val_accuracy[-1] == final.accuracy
    np.testing.assert_allclose(history.penalty[-1], reference.penalty(net.weights, 0, 0.01), rtol=1e-12)


def test_a_history_of_several_fits_keeps_values_at_their_epochs():
    X, y = problem(60, layer_sizes=(11, 4))
    trainer = Trainer(Network((11, 4)))
    trainer.fit(X, y, 3)
    second = trainer.fit(X, y, 2, validation_data=(X, y), metrics={"one": lambda y, predictions: 1.0})
    trainer.fit(X, y, 1)
    history = trainer.history
    assert {len(history[name]) for name in history} == {6} and len(second.val_loss) == 2
    np.testing.assert_array_equal(history.val_loss, [*[np.nan] * 3, *second.val_loss, np.nan])
    np.testing.assert_array_equal(history["val_one"], [*[np.nan] * 3, 1, 1, np.nan])
    assert "nan" not in repr(history)


def test_history_of_a_standing_network_is_its_evaluation():
    """With a learning rate of nearly 0 the metrics seen in training are those of the start."""
    X, y = problem(100)
    net = Network(LAYER_SIZES, dtype="float64", seed=1)
    weights, biases = reference.initial_parameters(LAYER_SIZES, "relu", 1)
    probabilities = reference.forward(weights, biases, X, "relu", "cross_entropy")
    history = Trainer(net, learning_rate=1e-30, batch_size=16).fit(X, y, epochs=2)
    np.testing.assert_allclose(history.loss, -np.log(probabilities[np.arange(100), y]).mean(), rtol=1e-12)
    np.testing.assert_allclose(history.accuracy, (probabilities.argmax(axis=1) == y).mean(), rtol=1e-12)


def test_a_history_is_a_copy():
    """Neither does changing one change the trainer's, nor does a further fit change one that was given out."""
    X, y = problem(40)
    trainer = Trainer(Network(LAYER_SIZES, dtype="float64"), learning_rate=0.1, batch_size=16)
    returned = trainer.fit(X, y, epochs=2, validation_data=(X, y))
    taken = trainer.history
    for name in ("loss", "penalty", "accuracy", "val_loss", "val_accuracy", "seconds"):
        getattr(taken, name).append(7.0)
        getattr(returned, name).append(8.0)
    trainer.fit(X, y, epochs=1, validation_data=(X, y))
    for name in ("loss", "penalty", "accuracy", "val_loss", "val_accuracy", "seconds"):
        assert len(getattr(trainer.history, name)) == 3
        assert len(getattr(taken, name)) == len(getattr(returned, name)) == 3
        assert getattr(taken, name)[-1] == 7.0 and getattr(returned, name)[-1] == 8.0


def test_two_classes_with_one_output_have_an_accuracy():
    X, y = problem(100, "binary_cross_entropy", layer_sizes=(11, 6, 1))
    net = Network((11, 6, 1), loss="binary_cross_entropy", dtype="float64", seed=1)
    right = np.mean(net.predict(X) == (y[:, 0] > 0.5))
    history = Trainer(net, learning_rate=1e-30, batch_size=16).fit(X, y, epochs=2, validation_data=(X, y))
    np.testing.assert_allclose(history.accuracy, right, rtol=1e-12)
    np.testing.assert_allclose(history.val_accuracy, right, rtol=1e-12)


def test_history_lists_without_meaning_stay_empty():
    X, y = problem(40, "squared_error")
    net = Network(LAYER_SIZES, loss="squared_error", dtype="float64")
    history = Trainer(net, learning_rate=0.01, batch_size=16).fit(X, y, epochs=2)
    assert (history.accuracy, history.val_loss, history.val_accuracy) == ([], [], [])
    assert history.penalty == [0.0, 0.0]
    validated = Trainer(net, learning_rate=0.01, batch_size=16).fit(X, y, epochs=2, validation_data=(X, y))
    assert len(validated.val_loss) == 2 and validated.val_accuracy == []


def test_validation_and_callbacks_leave_the_training_alone():
    X, y = problem(100, "cross_entropy", "float32")
    results = []
    watched = dict(validation_data=(X[:30], y[:30]), callbacks=[lambda info: None, lambda info: False])
    for extra in (dict(), watched):
        net = Network(LAYER_SIZES, seed=1)
        Trainer(net, learning_rate=0.2, batch_size=16, momentum=0.5).fit(X, y, epochs=3, **extra)
        results.append(parameters(net))
    assert_equal_bits(*results)


def test_callbacks_see_each_finished_epoch_and_may_stop():
    X, y = problem(40)
    net = Network(LAYER_SIZES, dtype="float64", seed=1)
    seen = []

    def watch(info):
        assert info.network is net
        seen.append((info.epoch, info.epochs, dict(info.metrics), info.network.weights[0]))

    history = Trainer(net, learning_rate=0.2, batch_size=16).fit(
        X, y, epochs=10, callbacks=[watch, lambda info: info.epoch == 3], validation_data=(X, y)
    )
    assert [s[0] for s in seen] == [1, 2, 3]
    assert {s[1] for s in seen} == {10}
    assert len(history.loss) == 3
    for epoch, _, metrics, _ in seen:
        for name in ("loss", "penalty", "accuracy", "val_loss", "val_accuracy"):
            assert metrics[name] == getattr(history, name)[epoch - 1]
    np.testing.assert_array_equal(seen[-1][3], net.weights[0])
    assert (seen[0][3] != seen[1][3]).any()


def test_only_true_stops():
    X, y = problem(40)
    for answer, epochs in [(True, 1), (None, 3), (False, 3)]:
        net = Network(LAYER_SIZES, dtype="float64")
        trainer = Trainer(net, learning_rate=0.1, batch_size=16)
        history = trainer.fit(X, y, epochs=3, callbacks=[lambda info, answer=answer: answer])
        assert len(history.loss) == epochs


def test_trainer_names_its_network():
    net = Network(LAYER_SIZES)
    assert Trainer(net).network is net


def diverging(rate, kind="sgd", seed=1, **settings):
    net = Network(LAYER_SIZES, loss="squared_error", activation="identity", seed=seed)
    return Trainer(net, kind, learning_rate=rate, batch_size=16, seed=2, **settings)


@pytest.mark.parametrize("settings", [{}, {"momentum": 0.5}, {"accumulate": 2}, {"l2": 0.1}])
@pytest.mark.parametrize("rate", [2.0, 30.0, 1e6, 1e18])
def test_divergence_raises_in_its_update_and_leaves_the_last_good_weights(rate, settings):
    """The weights are those of the update before the last one whose loss was finite: as if the fit had ended there."""
    X, y = problem(200, "squared_error", "float32")
    trainer = diverging(rate, **settings)
    with (
        np.errstate(all="ignore"),
        pytest.raises(DivergenceError, match=re.escape(f"with learning_rate={rate:g}")) as caught,
    ):
        trainer.fit(X, y, epochs=50)
    epoch, step = caught.value.epoch, caught.value.step
    assert caught.value.learning_rate == rate and len(trainer.history.loss) == epoch - 1
    assert trainer.network.evaluate(X[:1], y[:1]).loss < np.inf
    rows = 16 * settings.get("accumulate", 1)
    twin = diverging(rate, **settings)
    if epoch > 1:
        twin.fit(X, y, epochs=epoch - 1)
    order = twin._rng.permutation(len(X))
    if step > 2:
        part = order[: (step - 2) * rows]
        twin.values["shuffle"] = False
        twin.fit(X[part], y[part], epochs=1)
    assert_equal_bits(parameters(trainer.network), parameters(twin.network))
    assert all(np.isfinite(p).all() for p in parameters(trainer.network))


@pytest.mark.parametrize("accumulate", [1, 2, "epoch"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_divergence_in_any_update_leaves_the_state_before_it(name, accumulate):
    """Weights, optimizer and row order: a further fit goes on like that of a trainer which stopped there."""
    X, y = problem(115, "squared_error", "float32")  # the last batch has five rows

    def new():
        net = Network(LAYER_SIZES, activation="tanh", loss="squared_error", seed=1)
        return Trainer(net, batch_size=10, shuffle=False, accumulate=accumulate, **OPTIMIZERS[name][0])

    rows_of_update = 115 if accumulate == "epoch" else 10 * accumulate
    for step in range(1, 1 + -(-115 // rows_of_update)):
        trainer, twin = new(), new()
        bad = with_a_huge_target(y, min(step * rows_of_update, 115) - 1)
        with np.errstate(all="ignore"), pytest.raises(DivergenceError, match="loss is inf in epoch 1 at upd") as caught:
            trainer.fit(X, bad, epochs=3)
        assert (caught.value.epoch, caught.value.step) == (1, step)
        assert caught.value.learning_rate == trainer.learning_rate and trainer.history.loss == []
        good = max(step - 2, 0) * rows_of_update  # the update before may be what did it
        if good:
            twin.fit(X[:good], y[:good], epochs=1)
        assert trainer.core.updates == twin.core.updates == max(step - 2, 0)
        for each in (trainer, twin):
            each.fit(X, y, epochs=2)
        assert_equal_bits(parameters(trainer.network), parameters(twin.network))


def test_weights_that_no_later_batch_has_read_are_not_left_infinite():
    """The weight's column is zero, and so skipped, between the update that spoils it and a loss that shows it."""
    X, y = np.zeros((8, 3), np.float32), np.ones((8, 1), np.float32)
    X[:2, 0] = 1e30
    net = Network((3, 1), loss="squared_error")
    net.set_parameters([np.zeros((3, 1))], [np.zeros(1)])
    trainer = Trainer(net, learning_rate=1e9, batch_size=2, shuffle=False)
    with np.errstate(all="ignore"), pytest.raises(DivergenceError, match="in epoch 1") as caught:
        trainer.fit(X, y, epochs=1)
    assert caught.value.step > 2, "the batch after the first is finite"
    assert_equal_bits(parameters(net), [np.zeros((3, 1)), np.zeros(1)])
    assert trainer.core.updates == 0


@pytest.mark.parametrize("answer", [1, "x", 2.5, np.zeros(2), object()])
def test_only_a_boolean_may_stop(answer):
    """A callback that returns what file.write returned must not end the training unnoticed."""
    X, y = problem(40)
    trainer = Trainer(Network(LAYER_SIZES, dtype="float64"), learning_rate=0.1, batch_size=16)
    with pytest.raises(TypeError, match="True"):
        trainer.fit(X, y, epochs=3, callbacks=[lambda info: answer])
    for stop in (np.True_, True):
        assert len(trainer.fit(X, y, epochs=3, callbacks=[lambda info, stop=stop: stop]).loss) == 1


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_blow_up_in_the_last_update_of_an_epoch_raises(epochs):
    X, y = problem(64, "squared_error", "float32")
    net = Network(LAYER_SIZES, loss="squared_error", activation="identity")
    before = parameters(net)
    with pytest.raises(DivergenceError, match="weights are not finite in epoch 1 at update 1"):
        Trainer(net, learning_rate=3e38, batch_size=64).fit(100 * X, y, epochs=epochs)
    assert_equal_bits(parameters(net), before)


def test_data_that_turn_bad_before_the_way_back_leave_the_weights_of_the_epoch_s_start(monkeypatch):
    """Another thread may change X between the divergence and the replay; here the replay itself is what changes it."""
    X, y = problem(200, "squared_error", "float32")
    X = X.astype(np.float32)
    trainer = diverging(30.0)
    before = parameters(trainer.network)
    real, calls = core_calls.train, []

    def change_then_run(*args):
        calls.append(1)
        if len(calls) == 2:
            X[:] = np.inf
        return real(*args)

    monkeypatch.setattr(core_calls, "train", change_then_run)
    with np.errstate(all="ignore"), pytest.raises(DivergenceError, match="epoch 1") as caught:
        trainer.fit(X, y, epochs=1)
    assert caught.value.step > 2 and len(calls) == 2
    assert_equal_bits(parameters(trainer.network), before)


def test_a_bias_that_blows_up_alone_raises():
    net = Network((3, 2), loss="squared_error", dtype="float64")
    with np.errstate(all="ignore"), pytest.raises(DivergenceError, match="weights are not finite in epoch 1"):
        Trainer(net, learning_rate=1e200).fit(np.zeros((4, 3)), np.full((4, 2), -1e150), epochs=1)
    assert all(np.isfinite(b).all() for b in net.biases)


def test_a_validation_loss_that_is_not_finite_raises():
    X, y = problem(40, "squared_error", "float32")
    net = Network(LAYER_SIZES, loss="squared_error", activation="identity")
    with pytest.raises(DivergenceError, match="val_loss is inf in epoch 1") as caught:
        Trainer(net, learning_rate=1e-3).fit(X, y, epochs=2, validation_data=(np.full_like(X, 1e38), y))
    assert caught.value.epoch == 1 and all(np.isfinite(p).all() for p in parameters(net))


def test_a_network_that_is_not_finite_can_be_copied_and_read():
    net = Network(LAYER_SIZES)
    net.core.set_layer(0, np.full_like(net.weights[0], np.nan), net.biases[0])
    assert np.isnan(copy.deepcopy(net).forward(np.ones((1, LAYER_SIZES[0])))).any()


def test_parameters_set_after_weights_that_are_not_finite_are_clean():
    """NaN must not stay in the padding of the weights."""
    X, y = problem(64, "cross_entropy", "float32")
    net = Network(LAYER_SIZES)
    weights, biases = net.weights, net.biases
    core = core_calls.new_core_trainer(net, "sgd")
    plan, settings = _core.EpochPlan(64, 16), _core.UpdateSettings(1e30)
    for _ in range(3):
        core.run(net.core.dataset(X, y), plan, settings, 0, _core.LossSum(), 1, 60.0)
    assert np.isnan(net.weights[0]).any()
    net.set_parameters(weights, biases)
    history = Trainer(net, learning_rate=0.1, batch_size=16, l2=1e-3).fit(X, y, epochs=1)
    assert np.isfinite(history.penalty).all()
    assert np.isfinite(net.loss_and_gradients(X, y, l2=1.0).penalty)


def test_settings_that_may_change_are_checked_and_others_are_fixed():
    X, y = problem(40)
    trainer = Trainer(Network(LAYER_SIZES, dtype="float64"), learning_rate=0.1, batch_size=16)
    for name, good, bad in [
        ("learning_rate", 0.2, -1),
        ("batch_size", 7, 0),
        ("l1", 0.1, -1),
        ("l2", 0.1, float("nan")),
        ("accumulate", "epoch", "Epoch"),
        ("n_threads", 2, 0),
    ]:
        setattr(trainer, name, good)
        with pytest.raises(ValueError, match=name):
            setattr(trainer, name, bad)
        assert getattr(trainer, name) == good
    for name in ("network", "optimizer", "leraning_rate"):
        with pytest.raises(AttributeError):
            setattr(trainer, name, 1)
    assert len(trainer.fit(X, y, epochs=1).loss) == 1


def test_data_of_another_network_are_rejected_by_the_core():
    """Also if a network that a trainer holds is initialised again."""
    net = Network((4, 3))
    trainer = Trainer(net)
    net.__init__((400, 3))
    with pytest.raises(ValueError, match="another network"):
        trainer.fit(np.zeros((10, 400)), np.zeros(10, int), epochs=1)
