"""The experiments on learning: verdicts follow from the numbers, choices from validation, and equal seeds give equal results."""

from types import SimpleNamespace

import numpy as np
import pytest
from fastmlp import datasets
from harness.section import EXPLAINED, IN_PART, text_of
from harness.tables import Table, Tables
from harness.text import fill
from learning import (
    architecture,
    batch_size,
    best_net,
    learning_rate,
    precision,
    regression,
    regularization,
    single_runs,
)
from learning import batch_size_analysis as analysis

SIZES = (128, 1024, 60000)
ROWS = 60000


def sizes_of(experiment, **changed):
    return SimpleNamespace(**{**vars(experiment.SIZES["full"]), **changed})


# Batch size


def falling(rate, epochs=200, seeds=3, limit=0.1):
    """Losses that fall to a limit, shape (seeds, epochs); the seeds differ by a thousandth."""
    return limit + 2.2 * np.exp(-rate * np.arange(1, epochs + 1)) + 0.001 * np.arange(seeds)[:, None]


def curve_rows(rule, size, loss, accuracy=None, **columns):
    accuracy = 1 - loss / 2.5 if accuracy is None else accuracy
    updates = 1 if rule == batch_size.ONE_UPDATE else -(-ROWS // size)
    for seed, of_seed in enumerate(loss):
        for i, value in enumerate(of_seed):
            metrics = {name: value for name in ("loss", "val_loss")} | {
                n: accuracy[seed][i] for n in ("accuracy", "val_accuracy")
            }
            place = {"rule": rule, "batch_size": size, "seed": seed, "epoch": i + 1, "updates": updates * (i + 1)}
            yield place | metrics | {"seconds": 0.1 * (i + 1)} | columns


def curves_of(loss, updates_per_epoch=1):
    rows = curve_rows(batch_size.ONE_UPDATE, 1, np.atleast_2d(loss))
    return Table.of([{**row, "updates": updates_per_epoch * row["epoch"]} for row in rows])


def fabricated(
    one_update=None, mini_batch=None, seconds=((0.099, 0.1, 0.101),) * 3, peaks=None, data="MNIST", accuracy=None
):
    one_update = one_update or {size: falling(0.1) for size in SIZES}
    mini_batch = mini_batch or {size: falling(rate) for size, rate in zip(SIZES, (2.0, 0.5, 0.1))}
    curves = [
        *(row for size, loss in one_update.items() for row in curve_rows(batch_size.ONE_UPDATE, size, loss, accuracy)),
        *(row for size, loss in mini_batch.items() for row in curve_rows(batch_size.MINI_BATCH, size, loss)),
    ]
    times = [
        {"batch_size": size, "threads": 1, "round": i, "seconds_per_epoch": value}
        for size, rounds in zip(SIZES, seconds)
        for i, value in enumerate(rounds)
    ]
    peaks = peaks or {"fastmlp": (10**6, 2 * 10**6), "numpy": (2 * 10**6, 3 * 10**8)}
    memory = [
        {"trainer": trainer, "batch_size": size, "peak_bytes_beyond_data": count}
        for trainer, counts in peaks.items()
        for size, count in zip((128, 60000), counts)
    ]
    tables = {"curves": Table.of(curves), "times": Table.of(times), "memory": Table.of(memory)}
    epochs = next(iter(one_update.values())).shape[1]
    return Tables(tables, sizes_of(batch_size, epochs=epochs), data)


def test_the_expected_findings_get_the_expected_verdicts():
    found = batch_size.holds(fabricated())
    assert {key: found[key] for key in found if "curve" not in key} == {
        "convergence": EXPLAINED,
        "steep": True,
        "levels": IN_PART,
        "time_per_batch": EXPLAINED,
        "time_per_epoch": True,
        "memory": EXPLAINED,
    }
    assert [found[f"curve_{size}"] for size in SIZES] == [False] * 3


def test_differences_of_curves_are_bounded_from_above():
    close = {size: falling(0.1, limit=0.1 + 0.00121 * i) for i, size in enumerate(SIZES)}
    assert fill("{difference:up2}", batch_size.numbers(fabricated(one_update=close))) == "0.0025"
    spread = falling(0.1)  # of 0, 0.001 and 0.002
    spread[1] += 0.00112
    found = batch_size.numbers(fabricated(one_update=dict.fromkeys(SIZES, spread)))
    assert fill("{between_seeds:up2}", found) == "0.0022"


def test_the_verdict_on_convergence_follows_the_curves():
    different = {size: falling(rate) for size, rate in zip(SIZES, (0.1, 0.2, 0.3))}
    alike = dict.fromkeys(SIZES, falling(0.1))
    assert batch_size.holds(fabricated(one_update=different))["convergence"] is False
    assert batch_size.holds(fabricated(mini_batch=alike))["convergence"] is True
    assert batch_size.holds(fabricated(one_update=different, mini_batch=alike))["convergence"] is None


def test_the_verdicts_on_shape_and_level_follow_the_curves():
    def straight(last):
        loss = np.linspace(2.3, last, 200)[None]
        return batch_size.holds(fabricated(one_update=dict.fromkeys(SIZES, loss), accuracy=1 - loss / 3.25))

    found = straight(0.33)
    assert (found["steep"], found["levels"], found["curve_128"]) == (False, True, True)
    assert straight(1.0)["levels"] is False
    short = batch_size.holds(fabricated(one_update=dict.fromkeys(SIZES, falling(0.1, epochs=30, limit=0.5))))
    assert (short["steep"], short["levels"], short["curve_1024"]) == (None, None, None)
    others = batch_size.holds(fabricated(data="make_digits"))
    assert (others["levels"], others["curve_60000"]) == (None, None)


def test_the_verdicts_on_time_and_memory_follow_the_measurements():
    def times(*medians):
        return batch_size.holds(fabricated(seconds=[(0.99 * m, m, 1.01 * m) for m in medians]))

    assert times(0.3, 0.2, 0.1)["time_per_epoch"] is False
    assert times(0.1, 0.2, 0.3)["time_per_batch"] is True  # a small batch's rows are cheaper
    noisy = fabricated(seconds=((0.297, 0.3, 0.303), (0.198, 0.2, 0.202), (0.1, 0.1, 0.5)))
    assert batch_size.holds(noisy)["time_per_epoch"] is None
    growing = {"fastmlp": (10**6, 4 * 10**8), "numpy": (10**6, 4 * 10**8)}
    assert batch_size.holds(fabricated(peaks=growing))["memory"] is True
    unknown = dict.fromkeys(growing, (None, None))
    assert batch_size.holds(fabricated(peaks=unknown))["memory"] is None


def test_updates_explain_only_curves_that_meet():
    def power_law(updates_per_epoch, factor=1.0):
        return curves_of(factor * 3.0 * (updates_per_epoch * np.arange(1, 41.0)) ** -0.3, updates_per_epoch)

    by_epoch, by_update = analysis.factors(power_law(469), power_law(59))
    assert by_update == pytest.approx(1, abs=0.01) and by_epoch == pytest.approx((469 / 59) ** 0.3)
    assert analysis.factors(power_law(469), power_law(59, 1.5))[1] == pytest.approx(1.5, rel=0.01)
    assert np.isnan(analysis.factors(power_law(59), power_law(1))[1]), "no number of updates in common"


def test_the_limit_of_scaling_is_found_where_it_is():
    def limits(*losses):
        rows = [{"batch_size": size, "val_loss": loss} for size, loss in zip((32, 64, 128, 256, 512), losses)]
        return analysis.limits_of_scaling(Table.of(rows))

    assert limits(0.2, 0.1, 0.1, 0.11, 9.0) == (64, 256, 512)
    assert limits(0.1, 0.1, 0.1, 0.1, 0.1) == (32, 512, None)
    assert limits(0.1, 0.1, 0.1, None, 0.1) == limits(0.1, 0.1, 0.1, float("inf"), 0.1) == (32, 128, 256)


# Regularization


LARGE = ("l2", regularization.LARGE)
LEARNS, FALLS = (0.3, 0.5, 0.9, 0.9), (0.3, 0.6, 0.11, 0.11)


def penalties(once=LEARNS, per_batch=FALLS, path=None):
    """Accuracies of L2 at the report's largest strength; all others learn."""
    report = [
        {"counted": way, "norm": norm, "strength": strength, "seed": 0, "epoch": i + 1, "val_accuracy": value}
        for way, large in (("once", once), ("per_batch", per_batch))
        for norm, strength in [("none", 0.0), *((n, s) for n in ("l1", "l2") for s in regularization.REPORT_STRENGTHS)]
        for i, value in enumerate(large if (norm, strength) == LARGE else LEARNS)
    ]
    path = path or {("none", 0.0): (0.9, 0.9, 0.9), ("l1", 1e-3): (0.9, 0.9, 0.9), ("l2", 1e-3): (0.9, 0.9, 0.9)}
    accuracies = [
        {"norm": key[0], "strength": key[1], "seed": 0, "zeros": 0.0}
        | dict(zip(("train_accuracy", "val_accuracy", "test_accuracy"), values))
        for key, values in path.items()
    ]
    tables = {"report_rule": Table.of(report), "path": Table.of(accuracies)}
    return Tables(tables, sizes_of(regularization, path=sorted({key[1] for key in path if key[1]})))


def test_the_collapse_is_explained_only_by_what_was_seen():
    assert regularization.collapses(np.array(FALLS)) and not regularization.collapses(np.array(LEARNS))

    def verdict(*both):
        found = regularization.holds(penalties(*both))
        assert found["collapse"] == found["figure_l2_0.005"]
        return found["collapse"]

    assert verdict(LEARNS, FALLS) == EXPLAINED
    assert verdict(FALLS, FALLS) is True
    assert verdict(LEARNS, LEARNS) is False


@pytest.mark.parametrize(
    "curve, sentence",
    [
        ([0.3, 0.6, 0.11, 0.11], "rises to 60% in epoch 2 and is at 11.0% from epoch 3 on"),
        ([0.4, 0.6, 0.24, 0.136, 0.105, 0.105], "rises to 60% in epoch 2 and is at 10.5% from epoch 5 on"),
        ([0.4, 0.6, 0.105, 0.2, 0.105, 0.105], "rises to 60% in epoch 2 and is at 10.5% from epoch 5 on"),
        ([0.4, 0.6, 0.14, 0.12, 0.105], "rises to 60% in epoch 2 and ends at 10.5%"),
        ([0.4, 0.6, 0.93, 0.93], "rises to 93% in epoch 3 and ends at 93%"),
    ],
)
def test_a_fallen_curve_is_said_to_be_only_where_it_is(curve, sentence):
    assert regularization.course(range(1, len(curve) + 1), np.array(curve)) == sentence


def test_strengths_are_chosen_by_validation():
    path = {
        ("none", 0.0): (0.9, 0.90, 0.9),
        ("l2", 1e-3): (0.9, 0.93, 0.5),
        ("l2", 1e-2): (0.9, 0.92, 0.99),
        ("l1", 1e-3): (0.9, 0.8, 0.9),
    }
    t = penalties(path=path)
    assert regularization.chosen(t, "l2") == ("l2", 1e-3) and regularization.chosen(t, "l1") == ("none", 0.0)


def test_a_narrower_gap_alone_does_not_help():
    def verdict(train, test):
        path = {("none", 0.0): (0.99, 0.9, 0.95), ("l1", 1e-3): (0.9, 0.8, 0.9), ("l2", 1e-3): (train, 0.93, test)}
        return regularization.holds(penalties(path=path))["generalization"]

    assert verdict(0.98, 0.96) is True
    assert verdict(0.96, 0.94) == IN_PART
    assert verdict(0.99, 0.93) is False


# Architecture


def architectures(accuracies, halved=0.8, slow_at_depth=3, epochs=200):
    """Under both rules the same: nets by their final validation accuracy; those of one depth begin slowly."""
    ends = dict(zip(architecture.REPORT_NETS, accuracies)) | dict.fromkeys(architecture.HALVED_NETS, halved)
    nets = [
        {"rule": rule, "hidden": hidden, "seed": 0, "val_accuracy": end, "test_accuracy": end}
        for rule in architecture.RULES
        for hidden, end in ends.items()
    ]
    curves = [
        {"rule": row["rule"], "hidden": row["hidden"], "seed": 0, "epoch": epoch}
        | {"val_accuracy": row["val_accuracy"] * (0.5 if row["hidden"].count("-") + 1 == slow_at_depth else 0.99)}
        for row in nets
        for epoch in (1, epochs // 20)
    ]
    return Tables({"nets": Table.of(nets), "curves": Table.of(curves)}, sizes_of(architecture, report_epochs=epochs))


def test_claims_on_architecture_follow_the_numbers():
    def split(t):
        found = architecture.holds(t)
        figures = [found.pop(f"figure_{hidden}") for hidden in architecture.REPORT_NETS]
        return figures, found

    figures, found = split(architectures([0.90, 0.895, 0.902, 0.91, 0.912, 0.915, 0.88, 0.89, 0.885]))
    assert not found.pop("dips"), "no dip in flat curves"
    assert figures == [True] * 9 and list(found.values()) == [True] * 7
    assert split(architectures([0.9] * 9, epochs=60))[0] == [None] * 9
    otherwise = architectures([0.90, 0.95, 0.96, 0.91, 0.90, 0.91, 0.97, 0.97, 0.98], halved=0.95, slow_at_depth=1)
    figures, found = split(otherwise)
    assert not any(found.values()) and len(found) == 8 and figures[3:] == [False] * 6
    assert architecture.best(architecture.accuracies(otherwise, architecture.MINI_BATCH)) == "512-384-288"


def test_a_dip_is_the_deepest_fall_between_the_epochs():
    accuracy = np.full(60, 0.9)
    accuracy[[3, 20, 50]] = 0.5, 0.8, 0.1
    assert architecture.deepest_fall(Table({"accuracy": accuracy})) == pytest.approx(0.1)


# Regression


def test_the_same_seed_gives_the_same_regression():
    choices = regression.candidates(regression.SIZES["smoke"])
    first, second = [regression.choose_and_fit(60, 3, choices, 20, 30) for _ in range(2)]
    assert first == second


def test_regression_never_chooses_by_the_test(monkeypatch):
    """Cross-validation alone decides: a test grid that lies changes the error, not the choice."""
    choices = regression.candidates(regression.SIZES["smoke"])
    honest = regression.choose_and_fit(60, 0, choices, 20, 30)
    grid = datasets.hill_and_valley_grid
    monkeypatch.setattr(datasets, "hill_and_valley_grid", lambda points: (grid(points)[0], grid(points)[1] + 1))
    lying = regression.choose_and_fit(60, 0, choices, 20, 30)
    assert lying["chosen"] == honest["chosen"] and lying["scores"] == honest["scores"]
    assert lying["test_error"] > honest["test_error"]


def test_the_regression_table_holds_every_fit(csv_rows):
    rows = csv_rows("regression/regression.csv")
    assert [(row["points"], row["seed"]) for row in rows] == [("100", "0"), ("1000", "0")]
    assert all(0 < float(row["test_error"]) < 0.1 for row in rows)


@pytest.mark.parametrize("error, holds", [(0.01, (True, True)), (0.02, (False, True)), (1e-5, (True, False))])
def test_claims_on_regression_follow_the_errors(error, holds):
    rows = [{"points": points, "seed": 0, "test_error": error} for points in (100, 1000)]
    found = regression.holds(Tables({"regression": Table.of(rows)}, sizes_of(regression)))
    assert (found["figure_100"], found["error_100"]) == holds


# Single runs


def test_the_difference_of_two_means_has_an_interval():
    accuracies = {
        128: np.array([0.90, 0.91, 0.92]),
        254: np.array([0.95, 0.96, 0.97]),
        512: np.array([0.90, 0.91, 0.92]),
    }
    real = single_runs.difference(accuracies, 128, 254)
    assert real.mean == pytest.approx(0.05) and real.low < 0.05 < real.high and real.is_real
    assert real.low == pytest.approx(0.05 - 2.776445 * np.sqrt(2 * 1e-4 / 3), rel=1e-6)  # t of 4 degrees of freedom
    assert real.seeds_needed == 2
    none = single_runs.difference(accuracies, 128, 512)
    assert not none.is_real and none.seeds_needed == np.inf
    assert single_runs.chance_of_order(accuracies, (254, 128, 512)) == pytest.approx(3 / 9)  # ties do not count
    assert single_runs.chance_of_order(accuracies, (128, 254, 512)) == 0


@pytest.mark.parametrize(
    "best, verdict", [((0.9, 0.8, 0.95), True), ((0.9, 0.88, 0.895), EXPLAINED), ((0.8, 0.9, 0.7), False)]
)
def test_the_verdict_on_the_order_of_widths_follows_the_runs(best, verdict):
    rows = [
        {"rule": single_runs.ONE_UPDATE, "width": width, "seed": seed, "test_accuracy": mean + spread}
        for width, mean in zip(single_runs.WIDTHS, best)
        for seed, spread in enumerate((-0.01, 0, 0.01))
    ]
    assert single_runs.holds(Tables({"runs": Table.of(rows)}, sizes_of(single_runs)))["order"] == verdict


# The best net


def test_the_best_net_is_chosen_by_validation_alone():
    assert best_net.choice(np.array([[0.9, 0.8], [0.7, 0.95]])) == 0
    rows = [
        {"hidden": "8", "l2": l2, "seed": s, "val_accuracy": a} for l2, s, a in ((0, 0, 0.9), (0, 1, 0.8), (1, 0, 0.7))
    ]
    assert best_net.chosen(Table.of(rows))[0] == "8, L2 0"


def test_calibration_and_temperature():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(20000, 10))
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    y = np.array([rng.choice(10, p=row) for row in probabilities])
    honest = best_net.calibration(probabilities, y)
    assert honest["error"] < 0.02 and len(honest["confidence"]) == best_net.BINS
    too_sure = best_net.at_temperature(probabilities, 0.5)
    assert best_net.calibration(too_sure, y)["error"] > 0.1
    assert best_net.fit_temperature(too_sure, y) == pytest.approx(2, rel=0.05)
    np.testing.assert_allclose(best_net.at_temperature(too_sure, 2), probabilities, rtol=1e-9)


def test_what_a_net_gets_wrong():
    class Says:
        """Class 3 everywhere, but for the first row, of which it is surest."""

        def forward(self, x):
            found = np.full((len(x), 10), 0.02)
            found[:, 3] = 0.82
            found[0] = 0.001
            found[0, 7] = 0.991
            return found

        def predict(self, x):
            return self.forward(x).argmax(axis=1)

    y = np.array([3, 3, 3, 5, 3, 3, 3, 3, 3, 3])
    x = np.zeros((10, 784))
    found = best_net.examine([Says(), Says()], (x, y), x, y)
    assert [(m["row"], m["label"], m["predicted"]) for m in found["mistakes"]] == [(0, 3, 7), (3, 5, 3)]
    assert found["confusion"][3][7] == 1 and found["confusion"][3][3] == 8 and found["confusion"][5][3] == 1
    assert found["mistaken"] == [2, 2] and found["mistaken_by_all"] == 2 and found["accuracy"] == [0.8, 0.8]
    assert best_net._pairs(np.array(found["confusion"])) == "3 seen as 7 (1) and 5 seen as 3 (1)"


# Learning rates


def test_the_rate_that_suits_a_batch_size():
    rates = learning_rate.RATES
    accuracies = dict.fromkeys(((size, rate) for size in (32, 128) for rate in rates), 0.5)
    accuracies[32, rates[2]] = accuracies[128, rates[4]] = 0.9
    accuracies[32, rates[3]] = 0.899
    accuracies[32, rates[8]] = None
    rows = [
        {"batch_size": size, "learning_rate": rate, "seed": 0, "val_accuracy": accuracy}
        for (size, rate), accuracy in accuracies.items()
    ]
    t = Tables({"accuracy": Table.of(rows)}, sizes_of(learning_rate, batch_sizes=(32, 128)))
    assert learning_rate.best(t, 32) == rates[2] and learning_rate.best(t, 128) == rates[4]
    assert learning_rate.slope(t) == pytest.approx(1)  # four times the rate for four times the batch
    assert learning_rate.usable(t, 32) == [rates[2], rates[3]]
    answer = fill(text_of(learning_rate).answer, {**learning_rate.numbers(t), "sizes": t.sizes})
    assert "from 0.05 with batches of 32 to 0.2 with batches of 128" in answer and "power of 1.00" in answer
    row = learning_rate.views(t)["rates"][0]
    assert (row["best"], row["accuracy"], row["first"], row["last"]) == (rates[2], 0.9, rates[2], rates[3])


# Precision


def test_errors_in_two_precisions_are_compared_by_their_standard_error():
    accuracy = {"float32": (0.98, 0.96), "bfloat16": (0.97, 0.93)}  # errors 0.03 and 0.05, variances 0.0002 and 0.0008
    images = [
        {"data": "MNIST", "net": "8", "precision": kind, "seed": seed, "test_accuracy": value}
        for kind, of_seed in accuracy.items()
        for seed, value in enumerate(of_seed)
    ]
    tables = [
        {"set": "pol", "precision": kind, "seed": seed, "error": value}
        for kind, of_seed in {"float32": (2.0, 4.0), "bfloat16": (2.0, 4.0)}.items()
        for seed, value in enumerate(of_seed)
    ]
    t = Tables({"images": Table.of(images), "tables": Table.of(tables)}, sizes_of(precision))
    images_row, tables_row = precision.pairs(t)
    assert images_row["relative"] == pytest.approx(2 / 3)
    assert images_row["deviations"] == pytest.approx(0.02 / np.sqrt((0.0002 + 0.0008) / 2))
    assert tables_row["relative"] == tables_row["deviations"] == 0
    numbers = precision.numbers(t)
    assert (numbers["pairs"], numbers["within"], numbers["within_two"]) == (2, 2, 2)
