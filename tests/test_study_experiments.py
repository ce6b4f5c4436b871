"""The experiments on penalties, architecture and regression: verdicts follow from the numbers, the test decides nothing."""

import csv
import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("scipy")

sys.path.append(str(Path(__file__).parent.parent / "experiments"))  # scripts, not a package

import architecture
import architecture_measurements
import best_net
import best_net_measurements
import learning_rate
import regression
import regularization
import section
import single_runs
from architecture_measurements import HALVED_NETS, METRICS, REPORT_NETS
from architecture_measurements import Measurements as ArchitectureMeasurements
from architecture_measurements import Nets as ArchitectureNets
from campaign import Campaign
from digits import Digits
from fastmlp import DataFileError, datasets
from regularization_measurements import BINS, IMAGES, NONE, NORMS, REPORT_STRENGTHS, Measurements, Nets


def nets(curve, train=0.9, test=None):
    accuracy = np.array([curve])
    curves = {name: accuracy for name in ("loss", "accuracy", "penalty", "val_loss", "val_accuracy", "test_loss")}
    curves |= {"test_accuracy": accuracy if test is None else np.array([[test]]), "train_accuracy": np.array([[train]])}
    return Nets(curves, np.zeros(1), np.ones(len(BINS) - 1, int), np.zeros((IMAGES, 28, 28)))


def measurements(once, per_batch, path=None):
    same = {key: nets([0.5, 0.9]) for key in [NONE, *((norm, s) for norm in NORMS for s in REPORT_STRENGTHS)]}
    large = ("l2", REPORT_STRENGTHS[2])
    return Measurements(None, None, same | {large: once}, same | {large: per_batch}, path or {NONE: nets([0.9])})


def test_the_riddle_is_explained_only_by_what_was_seen():
    rises_and_falls, learns = nets([0.3, 0.6, 0.11, 0.11]), nets([0.5, 0.9])
    assert regularization.collapses(rises_and_falls) and not regularization.collapses(learns)
    verdict = lambda *both: regularization._anomaly(measurements(*both)).verdict  # noqa: E731
    assert verdict(learns, rises_and_falls) == section.EXPLAINED
    assert verdict(rises_and_falls, rises_and_falls) == section.REPRODUCED
    assert verdict(learns, learns) == section.CONTRADICTED


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
    assert regularization._collapse(nets(curve)) == sentence


def test_strengths_are_chosen_by_validation():
    path = {
        NONE: nets([0.90]),
        ("l2", 1e-3): nets([0.93], test=0.5),
        ("l2", 1e-2): nets([0.92], test=0.99),
        ("l1", 1e-3): nets([0.8]),
    }
    measured = measurements(nets([0.9]), nets([0.9]), path)
    assert measured.chosen("l2") == ("l2", 1e-3) and measured.chosen("l1") == NONE


@pytest.fixture(scope="module")
def sections(tmp_path_factory):
    def no_mnist(*args, **settings):
        raise DataFileError("no MNIST in this test")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "load_mnist", no_mnist)
        campaign = Campaign("smoke", tmp_path_factory.mktemp("report"))
        modules = regularization, regression, architecture, learning_rate, single_runs, best_net
        return [module.run(campaign) for module in modules], campaign


def test_sections_are_whole(sections):
    for made in sections[0]:
        assert made.summary and all(claim.finding for claim in (*made.claims, *made.report_figures))
        for part in made.parts:
            for figure in part.figures:
                assert figure.image.exists() and figure.picture.exists() and figure.alt
        assert all(path.exists() for path in made.data)
    assert "stand-in" in sections[0][0].notices[0]


def test_a_second_run_trains_nothing_and_says_the_same(sections):
    made, campaign = sections
    results = campaign.results("regression")
    again = regression.run(campaign)
    assert again.summary == made[1].summary and results.computed == 0


def architectures(accuracies, halved=0.8, slow_at_depth=3, epochs=200):
    """Under both rules the same: nets by their final validation accuracy; those of one depth begin slowly."""

    def net(hidden, accuracy):
        begin = accuracy / 2 if len(hidden) == slow_at_depth else 0.99 * accuracy
        curves = {name: np.array([[begin, accuracy]]) for name in METRICS} | {"test_accuracy": np.array([[accuracy]])}
        return ArchitectureNets(curves, np.array([1.0]), 100 + sum(hidden) / 100, sum(hidden))

    nets = {hidden: net(hidden, accuracy) for hidden, accuracy in zip(REPORT_NETS, accuracies)}
    nets |= {hidden: net(hidden, halved) for hidden in HALVED_NETS}
    plan = dataclasses.replace(architecture_measurements.PLANS["smoke"], report_epochs=epochs)
    return ArchitectureMeasurements(plan, Digits("MNIST", "", *[np.zeros(0)] * 4), nets, nets, {}, {})


def test_claims_on_architecture_follow_the_numbers():
    def verdicts(claims):
        return [claim.verdict for claim in claims]

    as_reported = architectures([0.90, 0.895, 0.902, 0.91, 0.912, 0.915, 0.88, 0.89, 0.885])
    found = verdicts(architecture._claims(as_reported))
    assert found.pop(2) == section.CONTRADICTED, "no dip in flat curves"
    assert set(found) == {section.REPRODUCED} and len(found) == 8
    assert verdicts(architecture._report_figures(as_reported)) == [section.REPRODUCED] * 9
    shorter = architecture._report_figures(architectures([0.9] * 9, epochs=60))
    assert verdicts(shorter) == [section.UNTESTED] * 9
    otherwise = architectures([0.90, 0.95, 0.96, 0.91, 0.90, 0.91, 0.97, 0.97, 0.98], halved=0.95, slow_at_depth=1)
    found = verdicts(architecture._claims(otherwise))
    assert found == [section.CONTRADICTED] * 8 + [section.REPRODUCED]
    assert verdicts(architecture._report_figures(otherwise))[3:] == [section.CONTRADICTED] * 6
    assert otherwise.chosen == (512, 384, 288)


def test_the_same_seed_gives_the_same_regression():
    choices = regression.candidates(regression.PLANS["smoke"])
    first, second = [regression.choose_and_fit(60, 3, choices, 20, 30) for _ in range(2)]
    assert first == second


def test_regression_never_chooses_by_the_test(monkeypatch):
    """Cross-validation alone decides: a test grid that lies changes the error, not the choice."""
    choices = regression.candidates(regression.PLANS["smoke"])
    honest = regression.choose_and_fit(60, 0, choices, 20, 30)
    grid = datasets.hill_and_valley_grid
    monkeypatch.setattr(datasets, "hill_and_valley_grid", lambda points: (grid(points)[0], grid(points)[1] + 1))
    lying = regression.choose_and_fit(60, 0, choices, 20, 30)
    assert lying["chosen"] == honest["chosen"] and lying["scores"] == honest["scores"]
    assert lying["test_error"] > honest["test_error"]


def test_the_regression_table_holds_every_fit(sections):
    (path,) = [path for path in sections[0][1].data if path.suffix == ".csv"]
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    assert [(row["points"], row["seed"]) for row in rows] == [("100", "0"), ("1000", "0")]
    assert all(0 < float(row["test_error"]) < 0.1 for row in rows)


def test_a_narrower_gap_alone_does_not_help():
    def path(train, test):
        return {NONE: nets([0.9], train=0.99, test=0.95), ("l2", 1e-3): nets([0.93], train=train, test=test)}

    verdict = lambda *found: (
        regularization._generalization(  # noqa: E731
            measurements(nets([0.9]), nets([0.9]), path(*found))
        ).verdict
    )
    assert verdict(0.98, 0.96) == section.REPRODUCED
    assert verdict(0.96, 0.94) == section.IN_PART
    assert verdict(0.99, 0.93) == section.CONTRADICTED


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
    assert single_runs.chance_of_order(accuracies, (254, 128, 512)) == pytest.approx(3 / 9)  # ties count for none
    assert single_runs.chance_of_order(accuracies, (128, 254, 512)) == 0


def test_the_best_net_is_chosen_by_validation_alone():
    candidates = [
        best_net_measurements.Candidate((8,), l2, np.array(found)) for l2, found in [(0, [0.9, 0.8]), (1, [0.7, 0.95])]
    ]
    assert best_net_measurements.choice(candidates) is candidates[0]


def test_calibration_and_temperature():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(20000, 10))
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    y = np.array([rng.choice(10, p=row) for row in probabilities])
    honest = best_net_measurements.calibration(probabilities, y)
    assert honest["error"] < 0.02 and len(honest["confidence"]) == best_net_measurements.BINS
    too_sure = best_net_measurements.at_temperature(probabilities, 0.5)
    assert best_net_measurements.calibration(too_sure, y)["error"] > 0.1
    assert best_net_measurements.fit_temperature(too_sure, y) == pytest.approx(2, rel=0.05)
    np.testing.assert_allclose(best_net_measurements.at_temperature(too_sure, 2), probabilities, rtol=1e-9)


def test_what_a_net_gets_wrong():
    class Says:
        """Class y everywhere, but for the first row, of which it is surest."""

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
    found = best_net_measurements.look([Says(), Says()], (x, y), x, y)
    assert [(m["row"], m["label"], m["predicted"]) for m in found["mistakes"]] == [(0, 3, 7), (3, 5, 3)]
    assert found["confusion"][3][7] == 1 and found["confusion"][3][3] == 8 and found["confusion"][5][3] == 1
    assert found["mistaken"] == [2, 2] and found["mistaken_by_all"] == 2 and found["accuracy"] == [0.8, 0.8]


def test_the_rate_that_suits_a_batch_size():
    plan = learning_rate.PLANS["smoke"]
    rates = learning_rate.RATES
    accuracies = {(size, rate): np.array([0.5]) for size in plan.batch_sizes for rate in rates}
    accuracies[32, rates[2]] = accuracies[128, rates[4]] = np.array([0.9])
    accuracies[32, rates[3]] = np.array([0.899])
    accuracies[32, rates[8]] = np.array([np.nan])
    measured = learning_rate.Measurements(plan, None, accuracies)
    assert measured.best(32) == rates[2] and measured.best(128) == rates[4]
    assert measured.slope == pytest.approx(1)  # four times the rate for four times the batch
    assert measured.usable(32) == [rates[2], rates[3]]
    assert "power of 1.00" in learning_rate._summary(measured)
    assert learning_rate._row(measured, 32)[1:4] == [f"{rates[2]:g}", "90.00%", f"{rates[2]:g} to {rates[3]:g}"]
