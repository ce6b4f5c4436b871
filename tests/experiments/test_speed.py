"""The experiments on speed: all libraries do the same work, processes answer, verdicts follow from the measurements."""

import dataclasses
import json
import os
import time
from contextlib import closing
from itertools import pairwise
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from fastmlp import Network, Trainer, datasets
from fastmlp._core import testing
from harness.digits import STAND_IN_NOTICE
from harness.run import Run
from harness.section import EXPLAINED, IN_PART, answer, make_section
from harness.tables import Table, Tables
from libraries import KINDS, library
from speed import drop_in, larger_than_memory, libraries, machines, multicore, speed_vs_rivals, time_to_accuracy
from speed import python_threads as methods
from speed.process import Process
from speed.timing import Case, Timing

# The same work


def problem(batch_size):
    rng = np.random.default_rng(0)
    sizes = (20, 16, 12, 5)
    weights = [rng.normal(0, 0.3, shape).astype(np.float32) for shape in pairwise(sizes)]
    X = rng.random((103, sizes[0]), dtype=np.float32)
    return libraries.Problem(X, rng.integers(0, sizes[-1], 103), weights, batch_size, 0.5, shuffle=False)


def kinds_of(names):
    """Each library as it is installed; those that the tests' requirements leave out by their stand-ins, too."""
    return [
        (name, kind)
        for name in names
        for kind in (KINDS if libraries.LIBRARIES[name][0] in ("jax", "torch") else ["installed"])
    ]


@pytest.mark.parametrize("batch_size", [32, 103, 1])
@pytest.mark.parametrize("name, kind", kinds_of(name for name in libraries.LIBRARIES if name != "NumPy"))
def test_every_library_trains_the_same_net(name, kind, batch_size, monkeypatch):
    module, train = libraries.LIBRARIES[name]
    library(module, kind, monkeypatch)
    epochs, given = 3, problem(batch_size)
    trainings = [train(given), libraries.train_numpy(given)]
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


@pytest.mark.parametrize("name, kind", kinds_of(["fastmlp", "JAX", "PyTorch"]))
def test_training_in_bfloat16_follows_float32(name, kind, monkeypatch):
    module, train = libraries.LIBRARIES[name]
    library(module, kind, monkeypatch)
    given = problem(32)
    trainings = [train(dataclasses.replace(given, precision="bfloat16")), libraries.train_numpy(given)]
    for training in trainings:
        training.epoch()
    for found, expected, initial in zip(*(training.weights() for training in trainings), given.weights):
        assert np.asarray(found).dtype == np.float32
        assert np.abs(found - expected).max() < 0.25 * np.abs(expected - initial).max()


def test_fastmlp_and_numpy_shuffle_alike():
    given = problem(32)
    shuffled = libraries.Problem(given.X, given.y, given.weights, 32, 0.5)
    trainings = [libraries.train_fastmlp(shuffled), libraries.train_numpy(shuffled), libraries.train_numpy(given)]
    for training in trainings:
        training.epoch()
    ours, numpys, in_order = (training.weights()[0] for training in trainings)
    np.testing.assert_allclose(ours, numpys, rtol=0, atol=1e-5)
    assert np.abs(numpys - in_order).max() > 1e-3


@pytest.mark.parametrize("name, kind", kinds_of(time_to_accuracy.RUNS))
def test_the_recipe_learns_in_every_library(name, kind, monkeypatch):
    library(libraries.LIBRARIES[name][0], kind, monkeypatch)
    images = datasets.make_digits(2000, 500)
    seconds, accuracy = time_to_accuracy.RUNS[name](*images, seed=0, epochs=3)
    assert seconds > 0 and accuracy > 0.5


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


def test_a_process_answers_whatever_else_is_printed():
    with closing(Process("builtins", "print", "noise", environment=os.environ)) as process:
        assert process.call("__str__") == "None"  # what print returned


def test_a_process_that_ends_raises():
    process = Process("builtins", "no_such_class", environment=os.environ)
    with closing(process), pytest.raises(RuntimeError, match="no_such_class ended in describe"):
        process.call("describe")


def test_settings_that_slow_openblas_are_not_passed_on(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    assert "OPENBLAS_CORETYPE" not in libraries.best_environment()
    assert libraries.best_environment()["OPENBLAS_NUM_THREADS"] == "1"


# Tables


def test_the_table_of_speeds_is_complete(csv_rows):
    rows = csv_rows("speed_vs_rivals/speed.csv")
    names = {row["library"] for row in rows} - {"fastmlp, 1 thread"}
    assert names == {"fastmlp", "NumPy"}
    found = {(row["case"], row["library"]) for row in rows}
    assert {(case, "fastmlp") for case in ("A", "T", "A, Adam", "A, digits")} <= found
    assert {(case, "NumPy") for case in ("A", "T", "A, digits")} <= found and ("A, Adam", "NumPy") not in found
    assert all(float(row[name]) > 0 for row in rows for name in ("ms_per_epoch", "gflops"))
    assert [row["library"] for row in csv_rows("speed_vs_rivals/time_to_accuracy.csv")] == ["fastmlp"]


def test_missing_libraries_and_the_stand_in_are_named(smoke):
    made = smoke[1]["speed_vs_rivals"]
    assert "JAX, PyTorch and scikit-learn" in made.notices[0]
    assert STAND_IN_NOTICE.partition(",")[0] in (smoke[0] / "index.html").read_text("utf-8")


def test_the_libraries_are_named(csv_rows):
    rows = csv_rows("speed_vs_rivals/libraries.csv")
    assert [row["library"] for row in rows] == ["fastmlp", "NumPy"]
    assert rows[1]["version"] == np.__version__ and all(all(row.values()) for row in rows)


def test_the_table_of_cores_is_complete(csv_rows):
    rows = csv_rows("multicore/multicore.csv")
    assert {row["batch"] for row in rows} == {"1", "32", "1024"}
    assert {float(row["gain"]) for row in rows if row["threads"] == "1"} == {1}
    assert len({row["way"] for row in csv_rows("multicore/ways.csv")}) == 5


def test_records_hold_every_round(smoke):
    path = smoke[0] / "results" / "multicore" / "results.jsonl"
    results = [json.loads(line)["result"] for line in path.read_text().splitlines()]
    timed = [result for result in results if "seconds" in result]
    assert timed and all(len(rounds) == 1 for result in timed for rounds in result["seconds"].values())


def test_thread_counts_double_up_to_all():
    assert [multicore.thread_counts(cores) for cores in (1, 2, 6, 8)] == [[1], [1, 2], [1, 2, 4, 6], [1, 2, 4, 8]]


@pytest.mark.parametrize("threads, nets", [((1,), 1), ((1, 2), 3), ((1, 2, 4, 8, 16), 5)])
def test_the_figure_shows_any_number_of_threads_and_nets(threads, nets):
    def row(**columns):
        return {"gain": 1.5, "gain_low": 1.4, "gain_high": 1.6} | columns

    cases = [{"net": f"net {net}", "batch": batch} for net in range(nets) for batch in (1, 1024)]
    tables = {
        "multicore": Table.of([row(threads=count, **case) for case in cases for count in threads]),
        "rivals": Table.of([row(library="NumPy", threads=threads[-1], **case) for case in cases]),
    }
    drawing = multicore.figures(Tables(tables, SimpleNamespace()))["multicore"]
    assert [ax.get_title(loc="left") for ax in drawing.axes] == [f"net {net}" for net in range(nets)]
    assert sum(ax.get_xlabel() == "batch size" for ax in drawing.axes) == min(3, nets)
    colours = [multicore._line_of(count, threads[-1])["color"] for count in threads if count > 1]
    assert colours == sorted(set(colours), reverse=True) and colours[-1:] in ([], ["0.0"])
    plt.close(drawing)


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


def cores(gains, python=1.0, library=1.9, threads=2):
    """Gains of nets with the smallest and the largest batch, and of the methods."""
    table = [
        {"net": net, "batch": batch, "threads": threads, "gain": gain}
        for net, pair in zip("ab", gains)
        for batch, gain in zip((1, 1024), pair)
    ]
    of_methods = {methods.LOOP: python, methods.HELD: 1.0}
    of_methods |= dict.fromkeys((methods.NUMPY, methods.RELEASED, methods.WHOLE), library)
    ways = [{"way": method, "threads": threads, "round": 0, "gain": gain} for method, gain in of_methods.items()]
    return multicore.holds(Tables({"multicore": Table.of(table), "ways": Table.of(ways)}, SimpleNamespace()))


def test_the_verdict_on_small_batches_follows_the_gains():
    assert cores([(1.0, 1.9)])["batches"] is False
    assert cores([(1.9, 1.0)])["batches"] is True
    assert cores([(1.0, 1.5), (1.9, 1.5)])["batches"] == IN_PART
    assert cores([(1.0, 1.0)], threads=1) == {"batches": None, "lock": None}


def test_the_verdict_on_the_lock_follows_the_gains():
    assert cores([(1, 1)], 1.0, 1.9)["lock"] == EXPLAINED
    assert cores([(1, 1)], 1.0, 1.0)["lock"] is True
    assert cores([(1, 1)], 1.9, 1.9)["lock"] is False  # a build of Python without the lock


@pytest.mark.parametrize(
    "ms, verdict", [((50, 60, 90, 200, 240), True), ((50, 90, 150, 200, 300), IN_PART), ((50, 90, 80, 200, 300), False)]
)
def test_the_verdict_on_run_time_follows_the_cases(ms, verdict):
    rows = [{"case": c, "library": "fastmlp", "ms_per_epoch": m} for c, m in zip(speed_vs_rivals.ARCHITECTURES, ms)]
    assert speed_vs_rivals.holds(Tables({"speed": Table.of(rows)}, SimpleNamespace()))["run_time"] == verdict


# One import changed


def test_drop_in_compares_models(tmp_path, without_mnist):
    pytest.importorskip("sklearn")
    rows = {row["data"]: row for row in Run("smoke", tmp_path).tables(drop_in)["drop_in"].rows()}
    assert set(rows) >= {"iris", "small: iris", "small: lbfgs"}
    assert sum("float64" in name for name in rows) == sum("float32" in name for name in rows) == 1
    for name, row in rows.items():
        assert row["ratio"] > 0
        if "float32" not in name:
            assert row["difference"] < 1e-5
            assert row["epochs_fastmlp"] == row["epochs_scikit_learn"]
            assert row["score_fastmlp"] == row["score_scikit_learn"]
    assert len(drop_in.SMALL) == 20 and len(drop_in.SHOWN) == 6


def test_drop_in_without_scikit_learn_says_so(tmp_path, monkeypatch, without_mnist):
    monkeypatch.setattr(drop_in.importlib.util, "find_spec", lambda name: None)
    made = make_section(drop_in, Run("smoke", tmp_path))
    assert "not installed" in made.notices[0] and not made.parts and not made.files


def test_the_answer_of_drop_in_counts_models_once_and_bounds_from_the_right_side(monkeypatch):
    rows = [
        ("iris", 9, 1e-14, 7.4),
        ("MNIST, 128, float32", 8, 66, 4.9),
        ("MNIST, 128, float64", 9, 3.31e-11, 3.3),
        ("small: iris", 9, 1e-14, 7.4),
        ("small: lbfgs", 9, 1e-13, 1.19),
    ]
    columns = ("data", "epochs_fastmlp", "difference", "ratio")
    table = Table.of([{**dict(zip(columns, row)), "epochs_scikit_learn": 9} for row in rows])
    monkeypatch.setattr(
        "harness.section.committed_tables", lambda experiment: Tables({"drop_in": table}, SimpleNamespace())
    )
    found = answer(drop_in)
    assert "no parameter of 3 models differs by more than 4e-11 of its size" in found
    assert "3 of 4 fits end after the same epoch" in found
    assert "takes 3.3 to 7.4 times as long; on 2 small problems at least 1.1 times" in found


def test_the_table_of_drop_in_bounds_differences():
    both = {drop_in.OURS: [1.0] * 3, drop_in.THEIRS: [7.4] * 3}
    result = {"rows": 100, "scores": dict.fromkeys(both, 1.0), "epochs": dict.fromkeys(both, 9), "seconds": both}
    row = drop_in._row("iris", {**result, "difference": 3.31e-11})
    assert row["difference"] == 3.4e-11 and row["ratio"] == 7.4


# Several machines, and data larger than memory


def test_the_table_of_machines_is_complete(smoke, csv_rows):
    if machines.mpiexec() is None:
        assert "mpiexec is not installed" in smoke[1]["machines"].notices[0]
        pytest.skip("mpiexec is not installed")
    rows = csv_rows("machines/machines.csv")
    assert [(row["net"], row["batch_size"]) for row in rows] == [("784-128-10", "256"), ("784-128-10", "1024")]
    assert all(float(row[name]) > 0 for row in rows for name in ("alone_ms", "silent_ms", "ranks_ms", "ratio"))
    model = csv_rows("machines/model.csv")
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
    seconds = (
        {"alone": [3e-3], "silent": [2e-3], "ranks": [3e-3]},
        {"alone": [9e-3], "silent": [7e-3], "ranks": [6e-3]},
    )
    assert machines.sum_here(sums, machines.SUM_BYTES[2]) == pytest.approx(sums[2])
    found = machines.rows([(net, 256), (net, 1024)], {"cases": seconds, "sums": sums})
    small, large = found["machines"]
    assert small["predicted_ms"] == pytest.approx(1e3 * (2e-3 + 1e-10 * 407080), rel=1e-3)
    assert (small["ratio"], large["ratio"]) == (1, 1.5)
    compute = machines.Compute.of(3e-3, 9e-3)
    assert (compute.seconds(256), compute.seconds(1024)) == pytest.approx((3e-3, 9e-3))
    assert found["model"][0]["efficiency"] == round(machines.efficiency(compute, net, 2, machines.LINKS[0]), 3)


def test_the_table_of_streams_is_complete(csv_rows):
    rows = csv_rows("larger_than_memory/larger_than_memory.csv")
    assert [(row["net"], row["dtype"]) for row in rows] == [("784-128-10", "float32"), ("784-128-10", "uint8")]
    assert all(float(row["stream_speed"]) > 0 for row in rows)
    assert rows[0]["bytes"] == str(2000 * 784 * 4)


def test_the_page_on_data_larger_than_memory_says_what_each_source_cost(tmp_path, monkeypatch):
    def seconds(net, dtype, rows, rounds):
        speeds = {"float32": (1, 0.88, 0.9, 0.97), "uint8": (1, 0.93, 0.95, 1.01)}[dtype]
        return {source: [1 / speed] for source, speed in zip(larger_than_memory.SOURCES, speeds)}

    monkeypatch.setattr(larger_than_memory, "seconds_per_epoch", seconds)
    made = make_section(larger_than_memory, Run("smoke", tmp_path))
    assert made.parts[0].blocks[2].rows[0][7:] == ["88 %", "90 %", "97 %"]
    assert "With a memory map, and the file in the page cache, epochs run at 97 % to 101 %" in made.parts[0].blocks[1]
