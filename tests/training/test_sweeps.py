"""Sweeps: the same rows, networks and scores in threads, in loky's processes and in Dask's; the guide and the example.

What starts processes does so in a process of its own, with a timeout.
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from fastmlp import Network, Trainer, _core, studies, sweeps, training_data
from problems import assert_equal_bits, parameters, problem, without_sanitizer

joblib = pytest.importorskip("joblib")
pytest.importorskip("sklearn")

ROOT = pathlib.Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "guides" / "sweeps.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", GUIDE, re.S)
X, Y = problem(120, layer_sizes=(11, 4))
SETTINGS = {"layer_sizes": (11, 7, 4), "learning_rate": 0.2, "batch_size": 16}


def run(script, folder, *arguments, timeout=180):
    """The output; a hang fails the test and leaves no process behind, not even a grandchild."""
    path = folder / "script.py"
    path.write_text(script, encoding="utf-8")
    child = subprocess.Popen(
        [sys.executable, "-W", "error", str(path), *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = child.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        raise
    assert child.returncode == 0, err[-4000:]
    return out


SWEEP = '''
import contextlib, hashlib, json, os, sys
import joblib
import numpy as np
from fastmlp import MLPClassifier, studies, sweeps
from fastmlp.callbacks import EarlyStopping
from fastmlp.threads import default_thread_count
from scipy.sparse import csr_matrix
from sklearn.datasets import load_digits
from sklearn.experimental import enable_halving_search_cv
from sklearn.model_selection import GridSearchCV, HalvingRandomSearchCV, cross_val_score

train_one = sweeps._train_one

def reported(net, epochs, n_threads, metrics, names, callbacks, X, *arrays):
    """What a worker receives, as columns of the rows; pickled by value, so that workers need not import this script."""
    rows, network = train_one(net, epochs, n_threads, metrics, names, callbacks, X, *arrays)
    seen = {"pid": os.getpid(), "n_threads": n_threads, "default": default_thread_count(), "X": type(X).__name__}
    return [{**row, **seen} for row in rows], network

def digest(rows, networks=()):
    """Of every bit but the seconds: repr(float) is exact."""
    plain = repr([{name: value for name, value in row.items() if name != "seconds"} for row in rows])
    parameters = b"".join(p.tobytes() for n in networks for p in n.weights + n.biases)
    return hashlib.sha256(plain.encode() + parameters).hexdigest()

def scores(search):
    return repr([
        (name, np.asarray(values).tolist()) for name, values in search.cv_results_.items() if "time" not in name
    ] + [search.best_params_, search.best_score_])

if __name__ == "__main__":
    X, y = load_digits(return_X_y=True)
    sets = {"val": (X[1200:1500], y[1200:1500]), "test": (csr_matrix(X[1500:]), y[1500:])}
    settings = {"learning_rate": 0.3, "batch_size": 32, "input_scale": 1 / 16}
    study = dict(seeds=(0, 3), validation_data=sets, metrics={"wrong": lambda y, p: np.mean(p.argmax(axis=1) != y)})
    configurations = [
        {**settings, "layer_sizes": (64, 24, 10), "optimizer": "adam", "learning_rate": 0.01, "dtype": "float64"},
        {**settings, "layer_sizes": (64, 24, 10), "activation": "identity", "learning_rate": 1e30},
        {**settings, "layer_sizes": (64, 10), "l1": 0.001, "proximal": True},
    ]
    model = MLPClassifier((16,), learning_rate_init=0.03, random_state=0)
    model.set_params(early_stopping=True, n_iter_no_change=1, tol=0.02)  # ends before max_iter, which would warn
    choices = {"hidden_layer_sizes": [(8,), (16,), (12, 9)], "learning_rate_init": [0.01, 0.03], "l2": [0, 1e-3, 1e-2]}

    def results():
        grid = studies.architectures([24, 12], [1, 2], X[:1200], y[:1200], 3, settings, outputs=10, **study)
        rows, networks = studies.compare(configurations, X[:1200], y[:1200], 3, **study, return_networks=True)
        stops = [EarlyStopping("val_loss", patience=1, min_delta=10)]
        stopped = studies.compare(configurations[:1], X[:1200], y[:1200], 9, **study, callbacks=stops)
        halving = HalvingRandomSearchCV(model, choices, n_candidates=6, min_resources=200, cv=2, random_state=0)
        halving.fit(X / 16, y)
        search = GridSearchCV(model, {"l2": [0, 0.1], "solver": ["adam", "sgd"]}, cv=2).fit(X / 16, y)
        folds = cross_val_score(model, X / 16, y, cv=3).tolist()
        return {
            "architectures": [len(grid), digest(grid)],
            "compare": [len(rows), [row["epoch"] for row in rows], digest(rows, networks)],
            "stopped": [[row["epoch"] for row in stopped], digest(stopped)],
            "halving": [halving.n_iterations_, scores(halving)],
            "grid search": scores(search),
            "folds": folds,
        }

    def error_of(configurations):
        try:
            studies.compare(configurations, X[:1200], y[:1200], 3)
        except Exception as error:
            return [type(error).__name__, " ".join(map(str, [*error.args, *getattr(error, "__notes__", [])]))]

    backend = sys.argv[1]
    found = {"here": results(), "pid": os.getpid()}
    with contextlib.ExitStack() as stack:
        if backend == "dask":
            from dask.distributed import Client, LocalCluster
            cluster = LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0")
            stack.enter_context(Client(stack.enter_context(cluster)))
        own = {"loky": dict(inner_max_num_threads=3, max_nbytes="10K")}.get(backend, {})
        stack.enter_context(joblib.parallel_config(backend=backend, n_jobs=2, **own))
        found["there"] = results()
        found["bad labels"] = error_of([*configurations, {**settings, "layer_sizes": (64, 9)}])
        sweeps._train_one = reported
        rows = studies.compare(configurations[:2] * 2, X[:1200], y[:1200], 1, n_threads=5)
        found["rows"] = rows
        found["rows by default"] = studies.compare(configurations[:1], X[:1200], y[:1200], 1)

        def fail(net, *arguments):
            from fastmlp import sweeps

            def broken(*arguments, **settings):
                raise OSError(5, "a bad disk")

            sweeps.fit_many = broken  # of the worker
            return sweeps._train_one(net, *arguments)

        sweeps._train_one = fail
        found["failure"] = error_of(configurations)
    print(json.dumps(found, default=float))
'''


@pytest.fixture(scope="module", params=["threading", pytest.param("loky", marks=without_sanitizer), "dask"])
def sweep(request, tmp_path_factory):
    """What SWEEP found, here and under the backend."""
    if request.param == "dask":
        pytest.importorskip("distributed")
    out = run(SWEEP, tmp_path_factory.mktemp(request.param), request.param)
    return {**json.loads(out.splitlines()[-1]), "backend": request.param}


@pytest.mark.parametrize("what", ["architectures", "compare", "stopped", "halving", "grid search", "folds"])
def test_results_have_the_same_bits_everywhere(sweep, what):
    assert sweep["there"][what] == sweep["here"][what]


def test_the_sweeps_are_what_they_say(sweep):
    """So that equal results are not equally empty ones."""
    here = sweep["here"]
    assert here["architectures"][0] == 4 * 2 * 3
    assert here["compare"][1][:6] == [1, 2, 3] * 2 and here["compare"][1][-6:] == [1, 2, 3] * 2
    assert 2 <= here["compare"][0] - 12 < 6  # the diverged nets have their last row before the end
    assert here["stopped"][0] == [1, 2, 1, 2]
    assert here["halving"][0] == 2
    assert min(here["folds"]) > 0.3


def test_workers_are_other_processes_that_get_their_share_of_the_threads(sweep):
    places = {row.get("pid", sweep["pid"]) for row in sweep["rows"]}
    if sweep["backend"] == "threading":
        assert places == {sweep["pid"]}
        return
    assert sweep["pid"] not in places
    assert {row["n_threads"] for row in sweep["rows"]} == {2}  # of five, for each of two workers


@pytest.mark.skipif(not _core.has_openmp(), reason="backends limit OpenMP's threads")
def test_workers_use_what_the_backend_says_and_not_every_core(sweep):
    (row,) = sweep["rows by default"]
    if sweep["backend"] != "threading":
        assert row["n_threads"] is None
        assert row["default"] == {"loky": 3, "dask": 1}[sweep["backend"]]


def test_loky_maps_the_data_into_memory(sweep):
    if sweep["backend"] == "loky":
        assert {row["X"] for row in sweep["rows"]} == {"memmap"}


def test_errors_name_their_net(sweep):
    kind, message = sweep["bad labels"]
    assert kind == "ValueError" and "got 9" in message and "trainers[3], Network((64, 9)" in message
    if sweep["backend"] != "threading":
        kind, message = sweep["failure"]
        assert kind == "OSError" and "a bad disk" in message
        assert "configuration {" in message and "'layer_sizes': (64, " in message and "seed 0" in message


def test_threads_share_one_copy_of_the_data(monkeypatch):
    seen, threads = [], []
    check, fit_many = training_data.check_inputs, sweeps.fit_many
    monkeypatch.setattr(training_data, "check_inputs", lambda *given: seen.append(check(*given)) or seen[-1])
    monkeypatch.setattr(
        sweeps, "fit_many", lambda *args, **given: threads.append(given["n_threads"]) or fit_many(*args, **given)
    )
    configurations = [SETTINGS, {**SETTINGS, "dtype": "float64"}]
    with joblib.parallel_config(backend="threading", n_jobs=3):
        studies.compare(configurations, X, Y, 1, validation_data={"val": (X, Y)})
        studies.compare(configurations, X, Y, 1, n_threads=1)
    assert len(seen) >= 4 and all(np.shares_memory(inputs, X) for inputs in seen)
    assert threads == [3, 1]


@pytest.mark.parametrize(
    "config", [{"backend": "loky"}, {"backend": "sequential"}, {"n_jobs": 1}, {"backend": "loky", "n_jobs": 1}]
)
def test_one_worker_is_this_process(monkeypatch, config):
    expected, nets = studies.compare([SETTINGS], X, Y, 2, return_networks=True)
    monkeypatch.setattr(joblib, "Parallel", None)
    with joblib.parallel_config(**config):
        found, same = studies.compare([SETTINGS], X, Y, 2, return_networks=True)
    assert [row["loss"] for row in found] == [row["loss"] for row in expected]
    assert_equal_bits(parameters(same[0]), parameters(nets[0]))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"configurations": []}, "at least one"),
        ({"configurations": [{**SETTINGS, "depth": 2}]}, "depth"),
        ({"configurations": [SETTINGS, {**SETTINGS, "layer_sizes": (12, 4)}]}, r"\(samples, 12\)"),
        ({"epochs": 0}, "epochs.*0"),
        ({"n_threads": 0}, "n_threads.*0"),
        ({"verbose": 3}, "verbose.*3"),
        ({"validation_data": {"val": X}}, "pair"),
        ({"validation_data": {"val": (X, Y[:5])}}, "5"),
    ],
)
def test_invalid_arguments_raise_before_a_task_is_sent(monkeypatch, change, message):
    monkeypatch.setattr(joblib, "Parallel", None)
    arguments = {"configurations": [SETTINGS], "X": X, "y": Y, "epochs": 2, **change}
    with joblib.parallel_config(backend="loky", n_jobs=2), pytest.raises((ValueError, TypeError), match=message):
        studies.compare(**arguments)


@pytest.mark.parametrize("one_by_one", [True, False])
def test_verbose_reports_how_many_nets_are_done(capfd, one_by_one):
    """Also where a backend hands out its results all at once."""

    class Elsewhere(joblib.parallel.ThreadingBackend):
        supports_sharedmem = False
        supports_return_generator = one_by_one

    with joblib.parallel_config(backend=Elsewhere(), n_jobs=2):
        rows = studies.compare([SETTINGS] * 3, X, Y, 1, verbose=True)
        studies.compare([SETTINGS] * 3, X, Y, 1)
    assert len(rows) == 3
    assert capfd.readouterr() == ("", "1/3 nets\n2/3 nets\n3/3 nets\n")


def test_studies_need_no_joblib():
    script = f"""
        import sys
        sys.modules["joblib"] = None
        import numpy as np
        from fastmlp import studies
        rows = studies.compare([{SETTINGS!r}], np.eye(11), np.arange(11) % 4, 1)
        print(len(rows))
        del sys.modules["joblib"]
        studies.compare([{SETTINGS!r}], np.eye(11), np.arange(11) % 4, 1)
        print("joblib" in sys.modules)
    """
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60
    )
    assert result.stdout.split() == ["1", "False"], result.stderr


def test_a_pruned_trial_ends_its_fit():
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    trainers = []

    def objective(trial):
        trainers.append(Trainer(Network((11, 7, 4)), learning_rate=trial.suggest_float("rate", 0.1, 0.2)))

        def report(info):
            trial.report(info.metrics["val_loss"], info.epoch)
            if trial.should_prune():
                raise optuna.TrialPruned()

        return trainers[-1].fit(X, Y, 9, validation_data=(X, Y), callbacks=[report]).val_loss[-1]

    pruner = optuna.pruners.ThresholdPruner(upper=0, n_warmup_steps=3)  # every loss from step 3 on is too high
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0), pruner=pruner)
    study.optimize(objective, n_trials=2)
    assert [trial.state.name for trial in study.trials] == ["PRUNED", "PRUNED"]
    for trainer, trial in zip(trainers, study.trials):
        assert list(trial.intermediate_values.values()) == trainer.history.val_loss
        assert len(trainer.history.loss) == 3
        trainer.fit(X, Y, 1)  # nothing is left locked


@pytest.mark.parametrize("block", BLOCKS, ids=[f"block {number}" for number in range(len(BLOCKS))])
def test_the_guides_examples_run(tmp_path, block):
    for package in ("distributed", "optuna"):
        if package in block.replace("dask.distributed", "distributed"):
            pytest.importorskip(package)
    out = run(block, tmp_path)
    assert out.strip()
    if "optuna" in block:
        pruned = int(re.search(r"(\d+) of 12 trials pruned", out)[1])
        assert 0 < pruned < 12


def test_the_example_gives_the_same_table_everywhere(tmp_path):
    pytest.importorskip("distributed")
    pytest.importorskip("matplotlib")
    script = (ROOT / "examples" / "architecture_grid.py").read_text(encoding="utf-8")
    few = "--data= --rows=300 --epochs=2 --widths 16 8 --depths 1 2 --seeds 0".split()
    tables = [run(script, tmp_path, "--backend", backend, *few) for backend in ("threads", "loky", "dask")]
    first, *others = [table.partition("#")[0] for table in tables]
    assert len(first.splitlines()) == 5
    assert others == [first, first]
