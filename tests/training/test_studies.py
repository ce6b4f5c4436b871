"""Studies: each net is the one that Trainer would have made, the tables say what was varied, settings are checked."""

import inspect

import numpy as np
import pytest
from fastmlp import Network, Trainer, studies
from fastmlp.callbacks import Checkpoint
from problems import assert_equal_bits, parameters, problem

X, Y = problem(120, layer_sizes=(11, 4))
VALIDATION = (X[:30], Y[:30])
SETTINGS = {"layer_sizes": (11, 7, 4), "learning_rate": 0.2, "batch_size": 16}
WITHOUT_SIZE = {name: SETTINGS[name] for name in ("layer_sizes", "learning_rate")}
WITHOUT_SHAPE = {name: SETTINGS[name] for name in ("learning_rate", "batch_size")}


STUDIES = {
    "compare": lambda **more: studies.compare([SETTINGS], X, Y, 2, **more),
    "batch_sizes": lambda **more: studies.batch_sizes([16], X, Y, 2, WITHOUT_SIZE, **more),
    "penalty_path, l1": lambda **more: studies.penalty_path("l1", [0.01], X, Y, 2, SETTINGS, **more),
    "penalty_path, l2": lambda **more: studies.penalty_path("l2", [0.01], X, Y, 2, SETTINGS, **more),
    "architectures": lambda **more: studies.architectures([7], [1], X, Y, 2, WITHOUT_SHAPE, outputs=4, **more),
    "learning_curve": lambda **more: studies.learning_curve([120], X, Y, 2, SETTINGS, **more),
}


def test_compare_trains_the_nets_that_trainer_trains():
    adam = {"optimizer": "adam", "average_decay": 0.9}
    configurations = [{**SETTINGS, "activation": "tanh"}, {**SETTINGS, **adam, "dtype": "float64"}]
    sets = {"val": VALIDATION, "test": (X, Y)}
    rows, nets = studies.compare(
        configurations, X, Y, 3, seeds=(4, 5), validation_data=sets, n_threads=2, return_networks=True
    )
    assert [(row["seed"], row["epoch"]) for row in rows] == [
        (s, e) for _ in range(2) for s in (4, 5) for e in (1, 2, 3)
    ]
    trainer = Trainer(Network((11, 7, 4), dtype="float64", seed=5), **adam, learning_rate=0.2, batch_size=16, seed=5)
    history = trainer.fit(X, Y, epochs=3, validation_data=VALIDATION)
    assert_equal_bits(parameters(nets[3]), parameters(trainer.average))
    assert [row["loss"] for row in rows[9:]] == history.loss
    assert [row["val_loss"] for row in rows[9:]] == history.val_loss
    assert [row["val_accuracy"] for row in rows[9:]] == history.val_accuracy
    assert rows[-1]["test_loss"] == trainer.average.evaluate(X, Y).loss
    assert rows[-1]["optimizer"] == "adam" and rows[0]["activation"] == "tanh"


def test_settings_of_any_configuration_are_columns_of_all_rows():
    configurations = [
        SETTINGS,
        {**SETTINGS, "optimizer": "adam", "loss": "cross_entropy"},
        {**SETTINGS, "dropout": 0.5},
    ]
    rows = studies.compare(configurations, X, Y, 1, seeds=(0, 1))
    assert [row["optimizer"] for row in rows[::2]] == ["sgd", "adam", "sgd"]
    assert [row["dropout"] for row in rows[::2]] == [0.0, 0.0, 0.5]
    assert {row["loss_function"] for row in rows} == {"cross_entropy"} and "activation" not in rows[0]
    assert len({frozenset(row) for row in rows}) == 1


def test_callbacks_are_called_for_every_net_and_may_end_it():
    seen = []

    def stop_the_tanh(info):
        seen.append((info.network.activation, info.epoch))
        return info.network.activation == "tanh" and info.epoch == 2

    configurations = [{**SETTINGS, "activation": "tanh"}, SETTINGS]
    rows = studies.compare(configurations, X, Y, 3, callbacks=[stop_the_tanh])
    assert [row["epoch"] for row in rows] == [1, 2, 1, 2, 3]
    assert sorted(seen) == [("relu", 1), ("relu", 2), ("relu", 3), ("tanh", 1), ("tanh", 2)]
    assert len(studies.batch_sizes([8, 16], X, Y, 5, WITHOUT_SIZE, callbacks=[lambda info: True])) == 2
    with pytest.raises(TypeError, match="callables, got 3"):
        studies.compare(configurations, X, Y, 3, callbacks=[3])


def test_studies_vary_one_thing():
    rows = studies.batch_sizes([8, 120], X, Y, 2, WITHOUT_SIZE, validation_data={"val": VALIDATION})
    assert [(row["batch_size"], row["epoch"]) for row in rows] == [(8, 1), (8, 2), (120, 1), (120, 2)]
    rows = studies.penalty_path("l2", [0, 0.1], X, Y, 1, SETTINGS)
    assert [row["l2"] for row in rows] == [0, 0.1] and rows[1]["penalty"] > 0
    rows = studies.architectures([8, 4], [1, 3], X, Y, 1, {"learning_rate": 0.1}, outputs=4)
    assert [(row["width"], row["depth"]) for row in rows] == [(8, 1), (8, 3), (4, 1), (4, 3)]
    assert rows[1]["layer_sizes"] == (11, 8, 6, 4, 4)
    assert [row["parameters"] for row in rows] == [Network(row["layer_sizes"]).parameter_count for row in rows]
    rows = studies.learning_curve([40, 120], X, Y, 1, SETTINGS, seeds=(1,))
    assert [row["train_size"] for row in rows] == [40, 120]
    net = Network((11, 7, 4), seed=1)
    assert rows[0]["loss"] == Trainer(net, learning_rate=0.2, batch_size=16, seed=1).fit(X[:40], Y[:40], 1).loss[0]


def test_iterators_serve_all_sizes_of_a_learning_curve():
    called = []
    rows = studies.learning_curve(
        [40, 120], X, Y, 1, SETTINGS, seeds=iter((1, 2)), callbacks=iter([lambda info: called.append(info.epoch)])
    )
    assert [(row["train_size"], row["seed"]) for row in rows] == [(40, 1), (40, 2), (120, 1), (120, 2)]
    assert called == [1] * 4


def test_iterators_serve_all_widths_of_a_grid():
    rows = studies.architectures([4, 5], iter([1, 2]), X, Y, 1, WITHOUT_SHAPE, outputs=4)
    assert [(row["width"], row["depth"]) for row in rows] == [(4, 1), (4, 2), (5, 1), (5, 2)]


def test_a_learning_curve_checks_all_its_networks_before_it_trains(tmp_path):
    trained = []
    with pytest.raises(ValueError, match="train_sizes must be at least 1 and at most 120, got 121"):
        studies.learning_curve([40, 121], X, Y, 1, SETTINGS, callbacks=[trained.append])
    with pytest.raises(TypeError, match="Checkpoint writes one file, but this fit has 2 networks"):
        studies.learning_curve([40, 120], X, Y, 1, SETTINGS, callbacks=[trained.append, Checkpoint(tmp_path / "one")])
    assert not trained


def test_learning_curves_take_the_weights_of_all_rows():
    weights = np.linspace(0.5, 2, 120)
    rows = studies.learning_curve([40, 120], X, Y, 1, SETTINGS, seeds=(1,), sample_weight=weights)
    for row, size in zip(rows, (40, 120), strict=True):
        trainer = Trainer(Network((11, 7, 4), seed=1), learning_rate=0.2, batch_size=16, seed=1)
        assert row["loss"] == trainer.fit(X[:size], Y[:size], 1, sample_weight=weights[:size]).loss[0]
    with pytest.raises(ValueError, match=r"sample_weight must have shape \(120,\), got \(121,\)"):
        studies.learning_curve([40], X, Y, 1, SETTINGS, sample_weight=np.ones(121))


def test_a_net_that_diverges_has_its_last_row_there():
    configurations = [{**SETTINGS, "activation": "identity", "learning_rate": rate} for rate in (0.1, 1e30)]
    with np.errstate(all="ignore"):
        rows = studies.compare(configurations, X, Y, 3, validation_data={"val": VALIDATION}, verbose=False)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 1]  # the second update meets products of weights of about 1e29
    assert rows[-1].keys() == rows[0].keys() and rows[-1]["learning_rate"] == 1e30
    assert np.isnan([rows[-1][name] for name in ("loss", "accuracy", "val_loss", "val_accuracy", "seconds")]).all()
    assert all(np.isfinite(row["val_loss"]) for row in rows[:-1])


def test_rows_hold_the_loss_function_and_the_loss():
    X, y = np.random.default_rng(0).normal(size=(60, 4)), np.arange(60.0) % 2
    losses = ("squared_error", "binary_cross_entropy", "poisson")
    rows = studies.compare([{"layer_sizes": (4, 1), "loss": loss} for loss in losses], X, y, 2)
    assert [row["loss_function"] for row in rows] == np.repeat(losses, 2).tolist()
    assert all(np.isfinite(row["loss"]) for row in rows)


def test_an_l1_path_leaves_zeros():
    _, nets = studies.compare([{**SETTINGS, "l1": 0.05, "proximal": True}], X, Y, 30, return_networks=True)
    assert sum((w == 0).sum() for w in nets[0].weights) > 20
    rows = studies.penalty_path("l1", [0.05], X, Y, 1, SETTINGS)
    assert rows[0]["proximal"] is True


@pytest.mark.parametrize(
    "name, call",
    [
        ("batch_size", lambda more: studies.batch_sizes([16], X, Y, 1, {**WITHOUT_SIZE, **more})),
        ("l1", lambda more: studies.penalty_path("l1", [0.1], X, Y, 1, {**SETTINGS, **more})),
        ("proximal", lambda more: studies.penalty_path("l1", [0.1], X, Y, 1, {**SETTINGS, **more})),
        ("l2", lambda more: studies.penalty_path("l2", [0.1], X, Y, 1, {**SETTINGS, **more})),
        ("layer_sizes", lambda more: studies.architectures([8], [1], X, Y, 1, {**WITHOUT_SHAPE, **more}, outputs=4)),
    ],
)
def test_settings_that_a_study_sets_itself_are_rejected(name, call):
    value = {"layer_sizes": (11, 999, 4), "proximal": False}.get(name, 7)
    with pytest.raises(ValueError, match=f"^settings must not hold '{name}', which this study sets itself, got "):
        call({name: value})
    call({})
    studies.penalty_path(
        "l2", [0.1], X, Y, 1, {**SETTINGS, "l1": 0.5, "proximal": True}
    )  # the other penalty may be there


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_returns_rows_and_on_request_the_networks_too(name):
    rows, networks = STUDIES[name](seeds=(3, 1), return_networks=True)
    assert [len(networks), {type(net) for net in networks}] == [2, {Network}]
    assert [row["seed"] for row in rows] == [3, 3, 1, 1]
    assert [row["loss"] for row in STUDIES[name](seeds=(3, 1))] == [row["loss"] for row in rows]
    final = networks[1].evaluate(*VALIDATION)
    assert STUDIES[name](seeds=(3, 1), validation_data=VALIDATION)[-1]["val_loss"] == final.loss


@pytest.mark.parametrize("name", STUDIES)
def test_errors_name_the_study_that_was_called(name):
    title = name.partition(",")[0]
    with pytest.raises(
        TypeError, match=rf"^{title}\(\) got an unexpected keyword argument 'seed'; did you mean 'seeds'"
    ):
        STUDIES[name](seed=3)
    assert {"seeds", "validation_data", "metrics"} < inspect.signature(getattr(studies, title)).parameters.keys()


def test_the_old_name_of_validation_data_warns():
    with pytest.warns(DeprecationWarning, match="evaluation_sets is now validation_data") as warned:
        rows = studies.batch_sizes([8], X, Y, 1, WITHOUT_SIZE, evaluation_sets={"val": VALIDATION})
    assert "val_loss" in rows[0] and warned[0].filename == __file__
    with pytest.raises(TypeError, match="got both"):
        studies.compare([SETTINGS], X, Y, 1, evaluation_sets={"val": VALIDATION}, validation_data=VALIDATION)


def test_own_metrics_are_columns_and_nan_where_a_net_diverged():
    def share(y, predictions):
        return np.mean(predictions.argmax(axis=1) == y)

    rows = studies.compare(
        [SETTINGS], X, Y, 2, validation_data={"val": VALIDATION, "test": (X, Y)}, metrics={"own": share}
    )
    assert [row["val_own"] for row in rows] == [row["val_accuracy"] for row in rows]
    assert [row["test_own"] for row in rows] == [row["test_accuracy"] for row in rows]
    wild = {**SETTINGS, "activation": "identity", "learning_rate": 1e30}
    with np.errstate(all="ignore"):
        rows = studies.compare([wild], X, Y, 3, validation_data=VALIDATION, metrics={"own": share})
    assert np.isnan(rows[-1]["val_own"])
    with pytest.raises(ValueError, match="metrics are measured on validation data"):
        studies.compare([SETTINGS], X, Y, 1, metrics={"own": share})


def test_widths_fall_by_the_ratio():
    assert studies.widths(512, 3) == (512, 384, 288)
    assert studies.widths(254, 3) == (254, 190, 143)  # the report rounds 142.9 down
    assert studies.widths(2, 4, 0.1) == (2, 1, 1, 1)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: studies.compare([{**SETTINGS, "depth": 3}], X, Y, 1), "depth"),
        (lambda: studies.compare([{**SETTINGS, "seed": 3}], X, Y, 1), "all but the seed, got 'seed'"),
        (lambda: studies.compare([{"batch_size": 3}], X, Y, 1), "layer_sizes"),
        (lambda: studies.compare([SETTINGS], X, Y, 1, seeds=[-1]), "seed.*-1"),
        (lambda: studies.compare([SETTINGS], X, Y, 1, seeds=3), r"seeds .* iterable of int >= 0, got 3: .* pass \[3\]"),
        (lambda: studies.compare([SETTINGS], X, Y, 1, validation_data={"val": X}), "pair"),
        (lambda: studies.penalty_path("l3", [0.1], X, Y, 1, SETTINGS), "norm.*l3"),
        (lambda: studies.learning_curve([121], X, Y, 1, SETTINGS), "train_sizes.*121"),
        (lambda: studies.architectures([4], [1], X, Y, 1, {}, outputs=4, ratio=0), "ratio.*0"),
        (lambda: studies.widths(0, 1), "first.*0"),
        (lambda: studies.compare([], X, Y, 1), "configurations must have at least one"),
        (lambda: studies.compare([SETTINGS], X, Y, 1, seeds=[]), "seeds must have at least one"),
        (lambda: studies.compare([SETTINGS, 3], X, Y, 1), r"configurations\[1\] must be a mapping of settings, got 3"),
        (lambda: studies.batch_sizes(32, X, Y, 1, {}), r"sizes must be a sequence, got 32: for one pass \[32\]"),
        (lambda: studies.batch_sizes([32], X, Y, 1, None), "settings must be a mapping .* got None"),
        (lambda: studies.penalty_path("l2", 0.1, X, Y, 1, SETTINGS), "strengths must be a sequence, got 0.1"),
        (lambda: studies.architectures(4, [1], X, Y, 1, {}, outputs=4), "first_widths must be a sequence, got 4"),
        (lambda: studies.architectures([4], 1, X, Y, 1, {}, outputs=4), "depths must be a sequence, got 1"),
        (lambda: studies.learning_curve([], X, Y, 1, SETTINGS), "train_sizes must have at least one"),
        (lambda: studies.learning_curve([5], X, Y, 1, None), "settings must be a mapping .* got None"),
        (lambda: studies.learning_curve([16], X[:60], Y, 1, SETTINGS), "the same number of rows, got 60 and 120"),
        (lambda: studies.learning_curve([16], None, Y, 1, SETTINGS), r"X must have shape .*, got \(\)"),
        (lambda: studies.architectures([4], [1], X[0], Y, 1, {}, outputs=4), r"X must have shape .*, got \(11,\)"),
    ],
)
def test_bad_arguments_raise(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_tables_are_equal_twice_and_for_any_threads():
    first, second = [studies.batch_sizes([8, 60], X, Y, 2, WITHOUT_SIZE, n_threads=n) for n in (1, 2)]
    for row in first + second:
        del row["seconds"]
    assert first == second


def test_proximal_steps_of_every_optimizer_follow_the_mathematics():
    """One update from known weights: the plain step, then the shrinking; and zero columns shrink as well."""
    inputs = np.array(X)
    inputs[:, 3] = 0
    for settings in (
        {"optimizer": "sgd"},
        {"optimizer": "sgd", "momentum": 0.5},
        {"optimizer": "sgd", "momentum": 0.5, "nesterov": True},
        {"optimizer": "adam"},
    ):
        nets = [Network((11, 4), dtype="float64", seed=2) for _ in range(2)]
        for net, l1 in zip(nets, (0.0, 0.3)):
            Trainer(net, learning_rate=0.1, batch_size=120, l1=l1, proximal=True, **settings).fit(inputs, Y, epochs=1)
        plain, shrunk = (net.weights[0] for net in nets)
        shift = np.abs(plain) - np.abs(shrunk)
        if settings["optimizer"] == "sgd":
            expected = 0.1 * 0.3 / (1 - settings.get("momentum", 0))
        else:  # the first step of Adam goes 0.1 * sign(g), as m / sqrt(v) is sign(g): s is 0.1 / |g|
            start = Network((11, 4), dtype="float64", seed=2)
            gradient = start.loss_and_gradients(inputs, Y).weights[0]
            rate = 0.1 * np.sqrt(1 - 0.999) / (1 - 0.9)
            expected = rate * 0.3 / (np.sqrt(0.001 * gradient**2) + 1e-8)
        np.testing.assert_allclose(shift, np.minimum(expected, np.abs(plain)), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_has_the_rows_of_its_nets_histories(name):
    """All that was varied, each seed and epoch in order, and the very numbers of a fit by hand."""
    rows = STUDIES[name](seeds=(3, 1), validation_data={"val": VALIDATION, "other": (X[30:50], Y[30:50])}, n_threads=1)
    own = {"l1": 0.01, "proximal": True} if "l1" in name else {"l2": 0.01} if "l2" in name else {}
    columns = {**SETTINGS, **own}
    if name == "architectures":
        columns |= {"width": 7, "depth": 1, "parameters": 12 * 7 + 8 * 4}
    if name == "learning_curve":
        columns |= {"train_size": 120}
    expected = []
    for seed in (3, 1):
        net = Network((11, 7, 4), seed=seed)
        trainer = Trainer(net, learning_rate=0.2, batch_size=16, seed=seed, **own)
        for epoch in (1, 2):
            history = trainer.fit(X, Y, 1)
            measured = {name: getattr(history, name)[0] for name in ("loss", "penalty", "accuracy")}
            for set_name, pair in (("val", VALIDATION), ("other", (X[30:50], Y[30:50]))):
                measured[f"{set_name}_loss"], measured[f"{set_name}_accuracy"] = net.evaluate(*pair)
            expected.append({**columns, "seed": seed, "epoch": epoch, **measured})
    for row in rows:
        assert row.pop("seconds") >= 0
    assert rows == expected


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_has_by_default_one_seed_and_no_evaluation(name):
    rows = STUDIES[name]()
    assert [(row["seed"], row["epoch"]) for row in rows] == [(0, 1), (0, 2)]
    assert not any("_loss" in column or "_accuracy" in column for row in rows for column in row)


@pytest.mark.parametrize(
    "loss, rate, validates, last",
    [
        ("squared_error", 1e38, True, 1),
        ("squared_error", 1e25, True, 1),
        ("squared_error", 1e13, False, 3),
        ("cross_entropy", 3e38, True, 2),
    ],
)
def test_a_net_that_diverges_has_a_row_for_each_epoch_until_then(loss, rate, validates, last):
    """Its numbers up to the epoch before, and then nan in all columns that were measured.

    float32 ends at 3.4e38. An update makes weights of about the rate times what they were. So the squares on the
    validation rows are infinite after an update of 1e25, and those of training after two of 1e13. The cross entropy is
    a difference of outputs: below 2.2e38 on the validation rows after an update, up to 4.1e38 on those of training.
    """
    targets = np.eye(4)[Y] if loss == "squared_error" else Y
    common = {"layer_sizes": (11, 4), "loss": loss, "batch_size": 120}  # one update per epoch
    sets = {"val": (X[:9], targets[:9])} if validates else {}
    common |= {} if validates else {"schedule": "constant"}
    with np.errstate(all="ignore"):
        rows = studies.compare(
            [{**common, "learning_rate": 1e-3}, {**common, "learning_rate": rate}], X, targets, 5, validation_data=sets
        )
    fine, diverged = rows[:5], rows[5:]
    assert [row["epoch"] for row in fine] == [1, 2, 3, 4, 5]
    assert [row["epoch"] for row in diverged] == list(range(1, last + 1))
    assert all(row.keys() == fine[0].keys() for row in diverged)
    measured = fine[0].keys() - {*common, "learning_rate", "loss_function", "seed", "epoch"} | {"loss"}
    assert ("epoch_learning_rate" in measured) == ("schedule" in common)
    assert {"loss", "penalty", "seconds"} <= measured
    assert ("accuracy" in measured) == (loss == "cross_entropy")
    assert np.isnan([diverged[-1][column] for column in measured]).all()
    assert all(np.isfinite(row["loss"]) for row in diverged[:-1])


@pytest.mark.parametrize("first, depth, ratio", [(1, 1, 1e-9), (7, 4, 1.0), (10, 3, 0.5), (3, 3, 2.0), (254, 5, 0.75)])
def test_widths_are_rounded_and_at_least_one(first, depth, ratio):
    found = studies.widths(first, depth, ratio)
    exact = [first * ratio**layer for layer in range(depth)]
    assert found[0] == first and len(found) == depth
    assert all(abs(width - wanted) <= 0.5 or (width == 1 and wanted < 1) for width, wanted in zip(found, exact))
    assert all(type(width) is int for width in found)
    for name in ("first", "depth"):
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
            studies.widths(**{"first": 1, "depth": 1, name: 0})


def test_a_schedule_leaves_the_setting_of_the_learning_rate():
    configurations = [{"layer_sizes": (11, 4), "learning_rate": rate, "schedule": "cosine"} for rate in (0.1, 0.2)]
    rows = studies.compare(configurations, X, Y, 2)
    assert [row["learning_rate"] for row in rows] == [0.1, 0.1, 0.2, 0.2]
    factors = [row["epoch_learning_rate"] / row["learning_rate"] for row in rows]
    assert factors == pytest.approx([1, 0.5] * 2)  # one update per epoch


def test_settings_that_are_left_out_have_the_values_that_are_used():
    more = {"learning_rate": 0.5, "momentum": 0.9, "activation": "tanh", "dtype": "float64", "epsilon": 1e-6}
    configurations = [
        {"layer_sizes": (11, 5, 4)},
        {"layer_sizes": (11, 5, 4), "optimizer": "adam", "epsilon": 1e-6},
        {"layer_sizes": (11, 5, 4), **{name: value for name, value in more.items() if name != "epsilon"}},
    ]
    first, second, third = studies.compare(configurations, X, Y, 1)
    assert first["learning_rate"] == 0.1 and second["learning_rate"] == 0.001 and third["learning_rate"] == 0.5
    assert first["momentum"] == 0 and first["activation"] == "relu" and first["dtype"] == "float32"
    assert first.keys() == second.keys() == third.keys()
    of_iterator = studies.compare(iter(configurations), X, Y, 1, seeds=(0, 1))
    assert [row["learning_rate"] for row in of_iterator] == [0.1, 0.1, 0.001, 0.001, 0.5, 0.5]
    with pytest.raises(TypeError, match=r"must be a sequence of mappings, got a mapping: pass \[\{'layer_sizes'"):
        studies.compare({"layer_sizes": (11, 4)}, X, Y, 1)
