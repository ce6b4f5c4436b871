"""The experiments on penalties, architecture and regression: verdicts follow from the numbers, the test decides nothing."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("scipy")

sys.path.append(str(Path(__file__).parent.parent / "experiments"))  # scripts, not a package

import architecture
import regression
import regularization
import section
import architecture_measurements
from architecture_measurements import METRICS, REPORT_NETS
from architecture_measurements import Measurements as ArchitectureMeasurements
from architecture_measurements import Nets as ArchitectureNets
from campaign import Campaign
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
    assert "60% in epoch 2 and is at 11.0% from epoch 3 on" in regularization._collapse(rises_and_falls)


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
        return [regularization.run(campaign), regression.run(campaign), architecture.run(campaign)], campaign


def test_sections_are_whole(sections):
    for made in sections[0]:
        assert made.summary and made.claims and all(claim.finding for claim in made.claims)
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


def architectures(accuracies, **test):
    """Under both rules the same: nets by their final validation accuracy."""

    def nine(hidden, accuracy):
        curves = {name: np.array([[accuracy, accuracy]]) for name in METRICS}
        curves["test_accuracy"] = np.array([[test.get("test", 0.5)] * 2])
        return ArchitectureNets(curves, np.array([1.0]), float(sum(hidden)), sum(hidden))

    nets = {hidden: nine(hidden, accuracy) for hidden, accuracy in zip(REPORT_NETS, accuracies)}
    return ArchitectureMeasurements(architecture_measurements.PLANS["smoke"], None, nets, nets, {}, {})


def test_claims_on_architecture_follow_the_numbers():
    as_reported = architectures([0.90, 0.895, 0.902, 0.91, 0.912, 0.915, 0.88, 0.89, 0.885])
    verdicts = [claim.verdict for claim in architecture._claims(as_reported)]
    assert (
        verdicts == [section.REPRODUCED] * 2 + [section.CONTRADICTED] + [section.REPRODUCED] * 3
    )  # no dip: flat curves
    otherwise = architectures([0.90, 0.95, 0.96, 0.91, 0.90, 0.91, 0.97, 0.97, 0.98])
    verdicts = [claim.verdict for claim in architecture._claims(otherwise)]
    assert verdicts == [section.CONTRADICTED] * 5 + [section.REPRODUCED]
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

    verdict = lambda *found: regularization._generalization(  # noqa: E731
        measurements(nets([0.9]), nets([0.9]), path(*found))
    ).verdict
    assert verdict(0.98, 0.96) == section.REPRODUCED
    assert verdict(0.96, 0.94) == section.IN_PART
    assert verdict(0.99, 0.93) == section.CONTRADICTED
