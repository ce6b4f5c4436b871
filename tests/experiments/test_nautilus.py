"""The sampler whose nets are replaced: its exact evidence, its turns and clocks, and what its text says of a table."""

import sys
import warnings
from types import ModuleType, SimpleNamespace

import fastmlp
import numpy as np
import pytest
from harness.run import Run
from harness.section import answer, make_section
from harness.tables import Table, Tables
from speed import nautilus

COLUMNS = ("seed", "library", "total_seconds", "training_seconds", "predictions_seconds", "log_evidence", "sample_size")
ROWS = [
    (0, "scikit-learn", 80.0, 60.0, 10.0, -11.61467, 10010.33),
    (0, "fastmlp", 40.0, 15.0, 5.0, -11.61467, 10010.33),
    (1, "scikit-learn", 90.0, 50.0, 13.0, -11.6, 10010.0),
    (1, "fastmlp", 30.0, 10.0, 10.0, -11.6, 10011.0),
]
MADE_UP = Table.of([{**dict(zip(COLUMNS, row)), "nautilus": "1.0.6"} for row in ROWS])


def test_the_exact_evidence_is_that_of_a_fine_grid():
    axis = np.linspace(-nautilus.LIMIT, nautilus.LIMIT, 2001)
    points = np.stack(np.meshgrid(axis, axis), axis=-1)
    mean = np.exp(nautilus.log_likelihood(points)).sum() * (axis[1] - axis[0]) ** 2 / (2 * nautilus.LIMIT) ** 2
    assert nautilus.log_evidence(2) == pytest.approx(np.log(mean), abs=1e-4)
    assert nautilus.log_evidence(6) == pytest.approx(3 * nautilus.log_evidence(2))


@pytest.fixture
def sampler(monkeypatch):
    """A stand-in for nautilus, whose run trains two emulators and has three turns."""

    class Emulator:
        @classmethod
        def train(cls, x):
            assert cls is Emulator
            return cls()

        def predict(self, x):
            return 2 * x

    class Sampler:
        log_z, n_eff = -1.5, 100.0

        def __init__(self, prior, likelihood, **settings):
            self.settings, self.n_like, self.turns = settings, 0, []

        def run(self, n_eff, n_like_max):
            assert Emulator.train(3).predict(4) == 8
            self.turns.append(n_like_max)
            self.n_like = n_like_max
            return len(self.turns) == 3

    neural = SimpleNamespace(MLPRegressor=None, NeuralNetworkEmulator=Emulator)
    module = ModuleType("nautilus")
    module.neural, module.Sampler = neural, Sampler
    monkeypatch.setitem(sys.modules, "nautilus", module)
    monkeypatch.setitem(sys.modules, "nautilus.neural", neural)
    return neural


def test_the_class_is_replaced_and_parts_are_timed(sampler, monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(nautilus.time, "process_time", lambda: next(clock))
    with warnings.catch_warnings():  # the sampling ignores warnings, in a process of its own
        sampling = nautilus.Sampling("fastmlp")
        assert sampler.MLPRegressor is fastmlp.MLPRegressor
        sampling.prepare(dimensions=4, live_points=10, sample_size=100, epochs=5, seed=1)
        found = [sampling.advance() for _ in range(3)]
    assert sampling._sampler.settings["n_dim"] == 4 and sampling._sampler.settings["seed"] == 1
    assert sampling._sampler.turns == [nautilus.CALLS * turn for turn in (1, 2, 3)]
    assert found[:2] == [None, None]
    # A turn reads the clock six times: total, training twice, predictions twice, total.
    expected = {"total": 15, "training": 3, "predictions": 3, "log_evidence": -1.5, "sample_size": 100, "calls": 1500}
    assert found[2] == expected


def test_scikit_learns_class_stays(sampler):
    nautilus.Sampling("scikit-learn")
    assert sampler.MLPRegressor is None


def test_ratios_are_taken_seed_by_seed():
    assert nautilus.ratios(MADE_UP, "total").tolist() == [2, 3]
    assert nautilus.ratios(MADE_UP, "training", "predictions").tolist() == [3.5, 3.15]
    assert nautilus.shares(MADE_UP, "scikit-learn").tolist() == [0.875, 0.7]
    assert nautilus.equal(MADE_UP) == 1


def test_the_answer_says_what_the_table_says(monkeypatch):
    tables = Tables({"nautilus": MADE_UP}, nautilus.SIZES["full"])
    monkeypatch.setattr("harness.section.committed_tables", lambda experiment: tables)
    found = answer(nautilus)
    assert "takes 2.0 to 3.0 times as long" in found and "are 70 % to 88 % of it" in found
    assert "for 1 of 2 seeds" in found


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(nautilus.importlib.util, "find_spec", lambda name: None if name == "nautilus" else name)
    made = make_section(nautilus, Run("smoke", tmp_path))
    assert made.notices == ["Not installed: nautilus-sampler (pip install nautilus-sampler)."] and not made.parts


def test_nautilus_finds_the_exact_evidence_with_both(tmp_path):
    pytest.importorskip("nautilus")
    table = Run("smoke", tmp_path).tables(nautilus)["nautilus"]
    assert table["library"].tolist() == ["scikit-learn", "fastmlp"]
    assert table["log_evidence"] == pytest.approx(nautilus.log_evidence(2), abs=1)
    assert np.all(table["training_seconds"] + table["predictions_seconds"] < table["total_seconds"])
