"""Dropout, clipping, schedules, running means and factors of learning rates, against a slow implementation in NumPy."""

import copy
import pickle

import fastmlp
import numpy as np
import pytest
import reference
import scipy.sparse
from fastmlp import DivergenceError, Network, Trainer, activations, core_calls, fit_many, schedules
from fastmlp.streaming import Stream
from pairwise import all_pairs
from problems import DTYPES, assert_close, assert_equal_bits, parameters, problem, row_orders
from ranks import together
from regularized import factors_of_units, seed_of_dropout, trained_slowly
from teams import TEAMS, team_of

SIZES = (11, 17, 9, 4)
FACTORS = ((1.0, 0.5), (0.25, 0.0), (2.0, 1.5))
SETTINGS = {
    "dropout": {"dropout": 0.3},
    "input dropout": {"input_dropout": 0.2},
    "both, by schedule": {"dropout": 0.4, "input_dropout": 0.1, "dropout_schedule": schedules.flat_cos()},
    "in the first half": {
        "dropout": 0.4,
        "input_dropout": 0.1,
        "dropout_schedule": schedules.Schedule("step", {"steps": 2.0, "factor": 0.0}),
    },
    "clipping": {"max_gradient_norm": 0.5},
    "cosine": {"schedule": schedules.cosine(warmup=0.2, end=0.01)},
    "factors": {"learning_rate_factors": FACTORS},
    "average": {"average_decay": 0.9},
    "all": {
        "dropout": 0.2,
        "input_dropout": 0.1,
        "dropout_schedule": schedules.step(4, 0.5),
        "max_gradient_norm": 1.0,
        "schedule": schedules.one_cycle(),
        "learning_rate_factors": FACTORS,
        "average_decay": 0.8,
    },
}
CASES = all_pairs(
    settings=list(SETTINGS),
    optimizer=list(reference.OPTIMIZERS),
    activation=[*activations.ACTIVATIONS, ("silu", "tanh")],
    loss=["cross_entropy", "squared_error", "binary_cross_entropy", "huber"],
    batch_size=[16, 90],
)


def by_oracle(net, X, y, epochs, batch_size, optimizer, settings, seed=2):
    orders = row_orders(seed, len(X), epochs)
    return trained_slowly(net, X, y, orders, batch_size, optimizer, 0.02, seed_of_dropout(seed), settings)


def trainer_of(net, settings, seed=2, **more):
    return Trainer(net, **{"learning_rate": 0.02, "batch_size": 16, "seed": seed, **settings, **more})


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case.values())))
def test_training_follows_the_oracle(isa, case):
    settings, (own, _) = SETTINGS[case["settings"]], reference.OPTIMIZERS[case["optimizer"]]
    net = Network(SIZES, case["activation"], case["loss"], dtype="float64", seed=3)
    X, y = problem(90, case["loss"], layer_sizes=SIZES)
    expected, means, losses = by_oracle(net, X, y, 5, case["batch_size"], case["optimizer"], settings)
    trainer = trainer_of(net, {**settings, **own, "batch_size": case["batch_size"]})
    history = trainer.fit(X, y, epochs=5)
    assert_close(parameters(net), expected[0] + expected[1], 1e-9)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-9)
    if trainer.average_decay:
        assert_close(parameters(trainer.average), means[0] + means[1], 1e-9)


@pytest.mark.parametrize("name", SETTINGS)
def test_float32_follows_the_oracle(isa, name):
    net = Network(SIZES, "gelu", dtype="float32", seed=3)
    X, y = problem(90, dtype="float32", layer_sizes=SIZES)
    expected, _, _ = by_oracle(net, X, y, 5, 16, "adam", SETTINGS[name])
    trainer_of(net, SETTINGS[name], optimizer="adam").fit(X, y, epochs=5)
    assert_close(parameters(net), expected[0] + expected[1], 2e-4)


def test_weight_decay_follows_its_schedule(isa):
    net = Network(SIZES, dtype="float64", seed=3)
    X, y = problem(90, layer_sizes=SIZES)
    settings = {"weight_decay_schedule": schedules.exponential(0.1), "learning_rate_factors": FACTORS}
    expected, _, _ = by_oracle(net, X, y, 4, 16, "adamw", settings)
    trainer_of(net, settings, **reference.OPTIMIZERS["adamw"][0]).fit(X, y, epochs=4)
    assert_close(parameters(net), expected[0] + expected[1], 1e-10)


def fitted(X, y, settings, dtype="float64", n_threads=1, epochs=3, activation="silu", **more):
    net = Network((X.shape[1], 70, 40, 4), activation, dtype=dtype, seed=1)
    trainer = trainer_of(net, settings, optimizer="adam", n_threads=n_threads, **more)
    trainer.fit(X, y, epochs=epochs)
    return trainer


def everything(trainer):
    average = parameters(trainer.average) if trainer.average_decay else []
    return parameters(trainer.network) + average + [np.array(trainer.history.loss)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("workers", TEAMS)
def test_the_same_bits_for_every_number_of_threads(name, dtype, workers):
    """In several micro-batches per mini-batch, and several mini-batches per update; with derivatives kept and not."""
    X, y = problem(700, dtype=dtype, layer_sizes=SIZES)
    for more in ({"batch_size": 300, "activation": "relu"}, {"batch_size": 32, "accumulate": 3}):
        alone = fitted(X, y, SETTINGS[name], dtype, **more)
        with team_of(workers):
            together = fitted(X, y, SETTINGS[name], dtype, workers, **more)
        assert_equal_bits(everything(together), everything(alone))


@pytest.mark.parametrize("name", SETTINGS)
def test_epochs_may_be_cut_into_slices(name, monkeypatch):
    X, y = problem(700, layer_sizes=SIZES)
    whole = fitted(X, y, SETTINGS[name], batch_size=300)
    monkeypatch.setattr(core_calls, "SECONDS_PER_CALL", 0.0)
    assert_equal_bits(everything(fitted(X, y, SETTINGS[name], batch_size=300)), everything(whole))


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("name", SETTINGS)
def test_a_resumed_fit_goes_on_with_the_same_bits(name, tmp_path):
    X, y = problem(90, layer_sizes=SIZES)

    def interrupt(info):
        if info.epoch == 2:
            info.trainer.save(tmp_path / "checkpoint")
            raise Interrupted

    whole = fitted(X, y, SETTINGS[name], epochs=5)
    trainer = trainer_of(Network((11, 70, 40, 4), "silu", dtype="float64", seed=1), SETTINGS[name], optimizer="adam")
    with pytest.raises(Interrupted):
        trainer.fit(X, y, epochs=5, callbacks=[interrupt])
    resumed = Trainer.resume(tmp_path / "checkpoint")
    copies = [pickle.loads(pickle.dumps(resumed)), copy.deepcopy(resumed)]
    assert repr(resumed) == repr(trainer)
    for each in (resumed, *copies):
        each.fit(X, y, epochs=3)
        assert_equal_bits(everything(each), everything(whole))


@pytest.mark.parametrize("name", SETTINGS)
def test_fit_many_and_streams_train_the_same(name):
    X, y = problem(96, layer_sizes=SIZES)
    alone = fitted(X, y, SETTINGS[name], shuffle=False)
    trainers = [
        trainer_of(
            Network((11, 70, 40, 4), "silu", dtype="float64", seed=1), SETTINGS[name], optimizer="adam", shuffle=False
        )
        for _ in range(3)
    ]
    fit_many(trainers[:2], X, y, epochs=3)
    trainers[2].fit(Stream.of_rows(X, y, chunk_rows=48), None, epochs=3)  # whole mini-batches
    for trainer in trainers:
        assert_equal_bits(everything(trainer)[:-1], everything(alone)[:-1])


def test_sparse_rows_drop_the_same_inputs():
    X, y = problem(90, layer_sizes=SIZES)
    X[np.abs(X) < 1] = 0
    dense = fitted(X, y, SETTINGS["both, by schedule"])
    sparse = fitted(scipy.sparse.csr_matrix(X), y, SETTINGS["both, by schedule"])
    assert_equal_bits(everything(sparse), everything(dense))


@pytest.mark.parametrize("name", ["clipping", "cosine", "factors", "average"])
def test_two_ranks_train_what_one_process_does(name):
    X, y = problem(96, layer_sizes=SIZES)
    halves = np.concatenate([np.arange(48).reshape(-1, 8), np.arange(48, 96).reshape(-1, 8)], axis=1).ravel()
    one = fitted(X[halves], y[halves], SETTINGS[name], shuffle=False)

    def work(communicator):
        net = Network((11, 70, 40, 4), "silu", dtype="float64", seed=1)
        trainer = fastmlp.distributed.Trainer(
            net, optimizer="adam", learning_rate=0.02, batch_size=16, seed=2, shuffle=False, communicator=communicator,
            **SETTINGS[name],
        )  # fmt: skip
        mine = slice(48 * communicator.rank, 48 * (communicator.rank + 1))
        trainer.fit(X[mine], y[mine], epochs=3)
        return trainer

    for trainer in together(2, work):
        assert_close(everything(trainer), everything(one), 1e-9)


@pytest.mark.parametrize("name", ["both, by schedule", "all"])
@pytest.mark.parametrize("sync_every", [1, 3])
def test_ranks_drop_units_independently_and_keep_equal_parameters(sync_every, name):
    """On the same rows, equal masks would give what one process trains, but for rounding."""
    X, y = problem(48, layer_sizes=SIZES)
    settings = {**SETTINGS[name], "shuffle": False}

    def trained(kind, **more):
        trainer = kind(Network((11, 70, 40, 4), dtype="float64", seed=1), **settings, **more)
        trainer.fit(X, y, epochs=2)
        return trainer.network

    def work(communicator):
        return trained(fastmlp.distributed.Trainer, batch_size=16, communicator=communicator, sync_every=sync_every)

    first, second = together(2, work)
    assert_equal_bits(parameters(first), parameters(second))
    alone = trained(Trainer, batch_size=8)
    assert np.abs(first.weights[0] - alone.weights[0]).max() > 1e-6


# The mask


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_masks_are_like_independent_draws(rate):
    """Of 400 x 400 draws per update: frequencies by row, by unit and of pairs lie within 5 standard deviations."""
    rows = units = 400
    masks = [factors_of_units(rate, 12345, update, layer, rows, units) > 0 for update in range(2) for layer in (1, 2)]
    deviation = np.sqrt(rate * (1 - rate))
    for mask in masks:
        drawn = (mask - (1 - rate)) / deviation  # mean 0, variance 1
        assert abs(drawn.mean()) < 5 / np.sqrt(rows * units)
        for axis in (0, 1):
            assert np.abs(drawn.mean(axis=axis)).max() < 5 / np.sqrt(rows)
            neighbours = (np.take(drawn, range(1, rows), axis) * np.take(drawn, range(rows - 1), axis)).mean()
            assert abs(neighbours) < 5 / np.sqrt(rows * units)
    for i in range(4):
        for j in range(i):
            product = ((masks[i] - (1 - rate)) * (masks[j] - (1 - rate))).mean() / deviation**2
            assert abs(product) < 5 / np.sqrt(rows * units)


def test_predictions_and_evaluations_drop_nothing():
    X, y = problem(90, layer_sizes=SIZES)
    trainer = fitted(X, y, {"dropout": 0.5, "input_dropout": 0.5})
    net = trainer.network
    assert_close([net.forward(X)], [reference.forward(net.weights, net.biases, X, "silu", net.loss)], 1e-12)
    history = trainer.fit(X, y, epochs=1, validation_data=(X, y))
    assert history.val_loss[0] == net.evaluate(X, y).loss < history.loss[0]


# Schedules


@pytest.mark.parametrize("name", schedules.SCHEDULES)
def test_schedules_are_smooth_functions_with_their_ends(name):
    schedule = getattr(schedules, name)()
    t = np.linspace(0, 1, 2001)[:-1]
    values = schedule(t)
    assert values.shape == t.shape and (values >= 0).all() and values.max() <= 1 + 1e-12
    assert [schedule(float(each)) for each in t[::500]] == values[::500].tolist()
    assert schedules.Schedule.from_text(schedule.to_text()) == schedule == schedules.check_schedule("x", name)
    ends = {
        "constant": (1, 1), "step": (1, 0.01), "exponential": (1, 0.01), "cosine": (1, 0), "one_cycle": (0.04, 4e-5),
        "coslog4": (0, 0), "flat_cos": (1, 0),
    }  # fmt: skip
    np.testing.assert_allclose((values[0], values[-1]), ends[name], rtol=0.01, atol=1e-4)


def test_schedules_have_their_values_in_the_middle():
    assert schedules.step(4, 0.5)(0.6) == 0.25
    assert schedules.exponential(0.01)(0.5) == pytest.approx(0.1)
    assert schedules.cosine(0.2, 0.5)(0.1) == pytest.approx(0.5)
    assert schedules.cosine(0.2, 0.5)(0.6) == pytest.approx(0.75)
    assert schedules.one_cycle(0.3)(0.3) == 1
    np.testing.assert_allclose(
        schedules.coslog4()((2 ** np.array([0.5, 1, 1.5, 2]) - 1) / 15), [1, 0, 1, 0], atol=1e-12
    )
    assert schedules.flat_cos()(0.75) == pytest.approx(0.5)


def test_schedules_name_the_argument_that_they_reject():
    with pytest.raises(ValueError, match=r"^warmup must be a finite number >= 0 and < 1, got 1$"):
        schedules.cosine(warmup=1)
    with pytest.raises(TypeError, match=r"^factor must be a number, got 'half'$"):
        schedules.step(4, "half")


def test_the_curve_is_in_the_history_and_continues_by_fit():
    X, y = problem(90, layer_sizes=SIZES)
    trainer = trainer_of(Network(SIZES, seed=1), {"schedule": lambda t: 1 - t})
    for epochs in (4, 2):  # each fit is a schedule of its own
        trainer.fit(X, y, epochs=epochs)
    last_updates = [(epoch + 80 / 90) / total for total in (4, 2) for epoch in range(total)]
    np.testing.assert_allclose(trainer.history["learning_rate"], [0.02 * (1 - t) for t in last_updates])


# Errors


@pytest.mark.parametrize(
    "argument, error, message",
    [
        ({"dropout": 1.0}, ValueError, "dropout must be a finite number >= 0 and < 1, got 1.0"),
        ({"input_dropout": "much"}, TypeError, "input_dropout must be a number, got 'much'"),
        ({"max_gradient_norm": 0}, ValueError, "max_gradient_norm must be a finite number > 0, got 0"),
        ({"average_decay": 1}, ValueError, "average_decay must be a finite number > 0 and < 1, got 1"),
        ({"schedule": "cosin"}, ValueError, "schedule must be one of .* got 'cosin'; did you mean 'cosine'"),
        ({"schedule": schedules.Schedule("cosin")}, ValueError, "schedule must be one of .* got 'cosin'"),
        (
            {"schedule": schedules.Schedule("cosine", {"warmup": -1.0, "end": 0.1})},
            ValueError,
            r"settings\['warmup'\] must be a finite number >= 0 and < 1, got -1.0",
        ),
        ({"schedule": 0.5}, TypeError, "schedule must be a schedule, its name, a function of the progress or None"),
        ({"weight_decay_schedule": "cosine"}, ValueError, "needs an optimizer with weight_decay, got 'sgd'"),
        ({"learning_rate_factors": [(1, 1)]}, ValueError, "must be a pair .* for each of the 3 layers"),
        ({"learning_rate_factors": [(1, 1), (1,), (1, 2)]}, ValueError, "must be a pair .* for each of the 3 layers"),
        (
            {"learning_rate_factors": [(1, 1), (1, -1), (1, 2)]},
            ValueError,
            "learning_rate_factors must be a finite number >= 0, got -1",
        ),
        ({"learning_rate_factors": 3}, TypeError, "must be a pair"),
        ({"learning_rate_factors": [0, 1]}, ValueError, r"got \[0, 1\]; a pair must be a tuple"),
        ({"learning_rate_factors": [0, 1, 1]}, ValueError, r"got \[0, 1, 1\]; a pair must be a tuple"),
        ({"learning_rate_factors": np.ones(2)}, ValueError, "a pair must be a tuple"),
    ],
    ids=repr,
)
def test_wrong_settings_are_rejected(argument, error, message):
    with pytest.raises(error, match=message):
        Trainer(Network(SIZES), **argument)


def test_steps_begin_where_rounding_falls_below_them():
    """29 / 100 * 100 is below 29."""
    progress = np.arange(100) / 100
    np.testing.assert_array_equal(schedules.step(100, 0.5)(progress), 0.5 ** np.arange(100))


def test_a_norm_that_overflows_ends_a_fit():
    """Its inverse as a factor would leave the weights as they are."""
    net = Network((1, 1), loss="absolute_error", dtype="float64")
    X = np.full((4, 1), 1e200)
    with pytest.raises(DivergenceError):
        Trainer(net, learning_rate=1e-200, max_gradient_norm=1.0).fit(X, X[:, 0], epochs=1)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"schedule": lambda t: -1.0}, "must return finite factors >= 0, got -1 at progress 0"),
        ({"schedule": lambda t: "1"}, "the schedule .*lambda.* must return a number, got '1' at progress 0"),
        ({"schedule": lambda t: np.ones(1)}, r"must return a number, got array\(\[1.\]\) at progress 0"),
        ({"schedule": lambda t: None}, "must return a number, got None at progress 0"),
        ({"dropout": 0.5, "dropout_schedule": lambda t: 2.0}, "dropout of 0.5 must be below 1, got the factor 2.0"),
        (
            {"input_dropout": 0.2, "dropout_schedule": lambda t: 5.0},
            "dropout of 0.2 must be below 1, got the factor 5.0",
        ),
    ],
)
def test_a_schedule_that_returns_no_valid_factor_changes_nothing(settings, message):
    X, y = problem(90, layer_sizes=SIZES)
    net = Network(SIZES, dtype="float64", seed=1)
    before = parameters(net)
    with pytest.raises((ValueError, TypeError), match=message):
        trainer_of(net, settings).fit(X, y, epochs=1)
    assert_equal_bits(parameters(net), before)


def test_a_schedule_made_without_its_function_is_saved(tmp_path):
    """Its numbers may be NumPy's, and those left out have their defaults."""
    trainer = trainer_of(Network(SIZES), {"schedule": schedules.Schedule("step", {"factor": np.float32(0.5)})})
    trainer.save(tmp_path / "checkpoint")
    assert Trainer.resume(tmp_path / "checkpoint").schedule == schedules.step(factor=0.5) == trainer.schedule


class LikeNumPy1:
    """Its functions have a name only."""

    __name__ = "cos"

    def __call__(self, progress):
        return 1.0


@pytest.mark.parametrize("function", [np.cos, LikeNumPy1()])
def test_a_function_as_schedule_cannot_be_saved(tmp_path, function):
    trainer = trainer_of(Network(SIZES), {"schedule": function})
    with pytest.raises(ValueError, match="holds the schedules of fastmlp.schedules only, got the function cos"):
        trainer.save(tmp_path / "checkpoint")
    assert not list(tmp_path.iterdir())


def test_a_schedule_of_no_dropout_warns():
    net = Network((3, 2))
    with pytest.warns(UserWarning, match="dropout_schedule has no effect without dropout or input_dropout"):
        Trainer(net, dropout_schedule="cosine")
    Trainer(net, input_dropout=0.1, dropout_schedule="cosine")


def test_dropout_without_hidden_layers_warns():
    with pytest.warns(
        UserWarning, match="dropout has no effect without hidden layers; input_dropout is for the inputs"
    ):
        Trainer(Network((3, 2)), dropout=0.1)
    Trainer(Network((3, 2)), input_dropout=0.1)
    Trainer(Network((3, 4, 2)), dropout=0.1)


def test_an_average_needs_its_setting():
    with pytest.raises(ValueError, match="average needs a Trainer with average_decay"):
        _ = Trainer(Network(SIZES)).average
    net = Network(SIZES, seed=4)
    assert_equal_bits(parameters(Trainer(net, average_decay=0.9).average), parameters(net))  # before the first update
