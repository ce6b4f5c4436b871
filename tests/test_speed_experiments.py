"""The experiments on speed: all libraries do the same work, processes that answer, sentences that follow the data."""

import csv
import json
import os
import sys
import time
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

sys.path.append(str(Path(__file__).parent.parent / "experiments"))  # scripts, not a package

import drop_in
import larger_than_memory
import machines
import multicore
import parallel_ways as ways
import rivals
import section
import speed_vs_rivals
import time_to_accuracy
from campaign import Campaign
from digits import STAND_IN_NOTICE
from fastmlp import DataFileError, Network, Trainer, datasets
from fastmlp._core import testing
from libraries import KINDS, library
from turns import Case, Timing
from worker import Worker


def no_mnist(*args, **settings):
    raise DataFileError("no MNIST in this test")


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """The sections of both experiments by name, without MNIST and with the libraries that are always there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "load_mnist", no_mnist)
        patch.setattr(rivals, "installed", lambda: ["fastmlp", "NumPy"])
        campaign = Campaign("smoke", tmp_path_factory.mktemp("report"))
        scripts = speed_vs_rivals, multicore, larger_than_memory, machines
        return {script.NAME: script.run(campaign) for script in scripts}


def rows_of(section, name):
    (path,) = [path for path in section.data if path.name == name]
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


# The same work


def problem(batch_size):
    rng = np.random.default_rng(0)
    sizes = (20, 16, 12, 5)
    weights = [rng.normal(0, 0.3, shape).astype(np.float32) for shape in pairwise(sizes)]
    X = rng.random((103, sizes[0]), dtype=np.float32)
    return rivals.Problem(X, rng.integers(0, sizes[-1], 103), weights, batch_size, 0.5, shuffle=False)


def kinds_of(names):
    """Each library as it is installed; those that the tests' requirements leave out by their stand-ins, too."""
    return [
        (name, kind)
        for name in names
        for kind in (KINDS if rivals.LIBRARIES[name][0] in ("jax", "torch") else ["installed"])
    ]


@pytest.mark.parametrize("batch_size", [32, 103, 1])
@pytest.mark.parametrize("name, kind", kinds_of(name for name in rivals.LIBRARIES if name != "NumPy"))
def test_every_library_trains_the_same_net(name, kind, batch_size, monkeypatch):
    module, train = rivals.LIBRARIES[name]
    library(module, kind, monkeypatch)
    epochs, given = 3, problem(batch_size)
    trainings = [train(given), rivals.train_numpy(given)]
    for training in trainings:
        for _ in range(epochs):
            start = time.perf_counter()
            seconds = training.epoch()
            assert 0 < seconds <= time.perf_counter() - start
    # Each update adds a rounding error of sums over at most 20 inputs; the weights and what they move stay below 4.
    tolerance = 4 * epochs * -(-103 // batch_size) * 20 * np.finfo(np.float32).eps
    for found, expected, initial in zip(*(training.weights() for training in trainings), given.weights):
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
        assert np.abs(expected - initial).max() > 5 * tolerance, "it was trained"


def test_fastmlp_and_numpy_shuffle_alike():
    given = problem(32)
    shuffled = rivals.Problem(given.X, given.y, given.weights, 32, 0.5)
    trainings = [rivals.train_fastmlp(shuffled), rivals.train_numpy(shuffled), rivals.train_numpy(given)]
    for training in trainings:
        training.epoch()
    ours, numpys, in_order = (training.weights()[0] for training in trainings)
    np.testing.assert_allclose(ours, numpys, rtol=0, atol=1e-5)
    assert np.abs(numpys - in_order).max() > 1e-3


@pytest.mark.parametrize("name, kind", kinds_of(time_to_accuracy.RUNS))
def test_the_recipe_learns_in_every_library(name, kind, monkeypatch):
    library(rivals.LIBRARIES[name][0], kind, monkeypatch)
    images = datasets.make_digits(2000, 500)
    seconds, accuracy = time_to_accuracy.RUNS[name](*images, seed=0, epochs=3)
    assert seconds > 0 and accuracy > 0.5


def test_the_learning_rate_falls_to_one_step_above_zero():
    rates = [time_to_accuracy.learning_rate(epoch, 5) for epoch in range(5)]
    np.testing.assert_allclose(np.diff([*rates, 0]), -time_to_accuracy.FIRST_RATE / 5)


def test_holding_pythons_lock_changes_no_result():
    def weights():
        network = Network((784, 16, 10))
        X = np.random.default_rng(0).random((256, 784), dtype=np.float32)
        Trainer(network).fit(X, np.arange(256) % 10, epochs=1)
        return network.weights[0]

    testing.hold_gil(True)
    try:
        held = weights()
    finally:
        testing.hold_gil(False)
    np.testing.assert_array_equal(held, weights())


# Processes


def test_a_worker_answers_whatever_else_is_printed():
    with closing(Worker("builtins", "print", "noise", environment=os.environ)) as worker:
        assert worker.ask("__str__") == "None"  # what print returned


def test_a_worker_that_ends_is_told():
    worker = Worker("builtins", "no_such_class", environment=os.environ)
    with closing(worker), pytest.raises(RuntimeError, match="no_such_class ended in describe"):
        worker.ask("describe")


def test_settings_that_slow_openblas_are_not_passed_on(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    assert "OPENBLAS_CORETYPE" not in rivals.best_environment()
    assert rivals.best_environment()["OPENBLAS_NUM_THREADS"] == "1"


# Tables


def test_the_table_of_speeds_is_complete(smoke):
    section = smoke["speed_vs_rivals"]
    names = {row["library"] for row in rows_of(section, "speed.csv")} - {"fastmlp, 1 thread"}
    assert names == {"fastmlp", "NumPy"}
    found = {(row["case"], row["library"]) for row in rows_of(section, "speed.csv")}
    assert {(case, "fastmlp") for case in ("A", "T", "A, Adam", "A, digits")} <= found
    assert {(case, "NumPy") for case in ("A", "T", "A, digits")} <= found and ("A, Adam", "NumPy") not in found
    assert all(float(row[name]) > 0 for row in rows_of(section, "speed.csv") for name in ("ms_per_epoch", "gflops"))
    assert [row["library"] for row in rows_of(section, "time_to_accuracy.csv")] == ["fastmlp"]


def test_missing_libraries_and_the_stand_in_are_told(smoke):
    notices = smoke["speed_vs_rivals"].notices
    assert "JAX, PyTorch and scikit-learn" in notices[0] and STAND_IN_NOTICE in notices
    assert "98%" not in smoke["speed_vs_rivals"].parts[2].title, "that is a matter of MNIST"


def test_the_libraries_are_named(smoke):
    (table,) = next(part for part in smoke["speed_vs_rivals"].parts if "best" in part.title).tables
    assert [row[0] for row in table.rows] == ["fastmlp", "NumPy"]
    assert table.rows[1][1] == np.__version__ and all(all(row) for row in table.rows)


def test_the_table_of_cores_is_complete(smoke):
    rows = rows_of(smoke["multicore"], "multicore.csv")
    assert {row["batch"] for row in rows} == {"1", "32", "1024"}
    assert {row["gain"] for row in rows if row["threads"] == "1"} == {"1.000"}
    assert len({row["way"] for row in rows_of(smoke["multicore"], "ways.csv")}) == 5


def test_records_hold_every_round(smoke):
    records = [json.loads(line) for line in smoke["multicore"].data[0].read_text().splitlines()]
    timed = [record for record in records if "seconds" in record["measured"]]
    assert all(len(rounds) == 1 for record in timed for rounds in record["measured"]["seconds"].values())


def test_thread_counts_double_up_to_all():
    assert [multicore.thread_counts(cores) for cores in (1, 2, 6, 8)] == [[1], [1, 2], [1, 2, 4, 6], [1, 2, 4, 8]]


# Numbers and verdicts


def timing(batch_size, gain, layer_sizes=(784, 128, 10)):
    case = Case(layer_sizes, batch_size)
    seconds = case.operations / 1e9 / 100  # half of the peak of one thread
    both = {"1": np.array([seconds] * 3), "2": np.array([seconds] * 3) / gain}
    return Timing(case, both, {"1": np.full(3, 200.0), "2": np.full(3, 400.0)})


def test_shares_and_ratios_are_medians_of_the_rounds():
    found = timing(128, 1.5)
    assert found.share_of_peak("1") == pytest.approx(0.5) and found.share_of_peak("2") == pytest.approx(0.375)
    found.seconds["1"][0] *= 10
    found.peaks["1"][0] /= 10  # a busy moment
    assert found.share_of_peak("1") == pytest.approx(0.5) and found.ratio("1", "2") == pytest.approx(1.5)


def test_operations_are_counted_by_hand():
    assert Case((3, 4, 2), 1, rows=5).operations == 5 * 2 * (2 * 3 * 4 + 3 * 4 * 2)


def test_the_verdict_on_small_batches_follows_the_gains():
    def verdict(small, large, other=None):
        grid = {("a", 1): timing(1, small), ("a", 1024): timing(1024, large)}
        grid |= {("b", 1): timing(1, other), ("b", 1024): timing(1024, large)} if other else {}
        return multicore._batch_claim(grid, 2).verdict

    assert verdict(1.0, 1.9) == section.CONTRADICTED
    assert verdict(1.9, 1.0) == section.REPRODUCED
    assert verdict(1.0, 1.5, 1.9) == section.IN_PART
    assert multicore._batch_claim({}, 1).verdict == section.UNTESTED


def test_the_verdict_on_the_lock_follows_the_gains():
    def verdict(python, library, cores=2):
        gains = {way: [library] for way in (ways.NUMPY, ways.RELEASED, ways.WHOLE)}
        return multicore._lock_claim({ways.LOOP: [python], **gains, ways.HELD: [1.0]}, cores).verdict

    assert verdict(1.0, 1.9) == section.EXPLAINED
    assert verdict(1.0, 1.0) == section.REPRODUCED
    assert verdict(1.9, 1.9) == section.CONTRADICTED  # a build of Python without the lock
    assert verdict(1.0, 1.9, cores=1) == section.UNTESTED


# One import changed


def test_drop_in_compares_models(tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.setattr(datasets, "load_mnist", no_mnist)
    made = drop_in.run(Campaign("smoke", tmp_path))
    rows = {row["data"]: row for row in rows_of(made, "drop_in.csv")}
    assert set(rows) >= {"iris", "small: iris", "small: lbfgs"}
    assert sum("float64" in name for name in rows) == sum("float32" in name for name in rows) == 1
    for name, row in rows.items():
        assert float(row["ratio"]) > 0
        if "float32" not in name:
            assert float(row["difference"]) < 1e-5
            assert row["epochs_fastmlp"] == row["epochs_scikit_learn"]
            assert row["score_fastmlp"] == row["score_scikit_learn"]
    assert len(drop_in.SMALL) == 20 and len(drop_in.SHOWN) == 6


def test_drop_in_without_scikit_learn_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "load_mnist", no_mnist)
    monkeypatch.setattr(drop_in.importlib.util, "find_spec", lambda name: None)
    made = drop_in.run(Campaign("smoke", tmp_path))
    assert "not installed" in made.notices[0] and not made.parts and not rows_of(made, "drop_in.csv")


# Several machines, and data larger than memory


def test_the_table_of_machines_is_complete(smoke):
    if machines.mpiexec() is None:
        assert "mpiexec is not installed" in smoke["machines"].notices[0]
        pytest.skip("mpiexec is not installed")
    rows = rows_of(smoke["machines"], "machines.csv")
    assert [(row["net"], row["batch_size"]) for row in rows] == [("784-128-10", "256"), ("784-128-10", "1024")]
    assert all(float(row[name]) > 0 for row in rows for name in ("alone_ms", "silent_ms", "ranks_ms", "ratio"))
    model = rows_of(smoke["machines"], "model.csv")
    assert len(model) == len(machines.LINKS) * len(machines.RANKS)
    assert all(0 < float(row["efficiency"]) <= 1 for row in model)


def test_the_model_of_machines():
    """By hand: three messages there and three back, each of a quarter of the gradient."""
    net, link = (9, 5), machines.Link("", bytes_per_second=1e6, latency=1e-3)
    assert machines.gradient_bytes(net) == 200
    assert machines.sum_seconds(net, 4, link) == pytest.approx(6 * (1e-3 + 50 / 1e6))
    compute = machines.Compute(per_update=1e-3, per_row=1e-5)
    assert machines.efficiency(compute, net, 4, link, rows=530) == pytest.approx(0.5)
    enough = machines.rows_needed(compute, net, 4, link)
    assert machines.efficiency(compute, net, 4, link, enough) == pytest.approx(machines.EFFICIENT)


def test_what_is_measured_enters_the_model():
    sums = 1e-10 * np.array(machines.SUM_BYTES)
    net = (784, 128, 10)
    cases = {(net, 256): {"alone": [3e-3], "silent": [2e-3]}, (net, 1024): {"alone": [9e-3], "silent": [7e-3]}}
    measured = machines.Measurements(machines.PLANS["smoke"], cases, sums)
    assert measured.sum_here(machines.SUM_BYTES[2]) == pytest.approx(sums[2])
    assert measured.predicted(net, 256) == pytest.approx(2e-3 + 1e-10 * 407080)
    compute = measured.compute(net)
    assert (compute.seconds(256), compute.seconds(1024)) == pytest.approx((3e-3, 9e-3))


def test_the_table_of_streams_is_complete(smoke):
    rows = rows_of(smoke["larger_than_memory"], "larger_than_memory.csv")
    assert [(row["net"], row["dtype"]) for row in rows] == [("784-128-10", "float32"), ("784-128-10", "uint8")]
    assert all(float(row["stream_speed"]) > 0 for row in rows)
    assert rows[0]["bytes"] == str(2000 * 784 * 4)
