"""The bits of fits as they were recorded: what changes the code but no result must leave them alone.

tests/golden/bits.json holds hashes of weights, losses and predictions for each instruction set. A change that is meant
to change results records them anew on each kind of machine, by `PYTHONPATH=tests python tests/core/test_bits.py`, and
says so in CHANGELOG.
"""

import hashlib
import json
import platform
from pathlib import Path

import numpy as np
import pytest
import scipy
import sklearn
from combinations import cases_of, name_of, network_of, trainer_of
from fastmlp import MLPClassifier, MLPRegressor, Network, Trainer, _core, distributed, fit_many
from fastmlp.streaming import Stream
from ranks import together

RECORD = Path(__file__).resolve().parents[1] / "golden" / "bits.json"
ROWS, INPUTS, OUTPUTS = 611, 70, 5

pytestmark = [
    pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="log and pow are the C library's"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


def data(kind="dense", loss="cross_entropy"):
    """Whole numbers and quotients of such: no function of a library enters."""
    rng = np.random.default_rng(0)
    X = rng.integers(1, 8, (ROWS, INPUTS)).astype(np.uint8)
    if kind != "dense":
        X[rng.random(X.shape) < 0.97] = 0
        X[:, ::9] = 0
    if kind != "uint8":
        X = X / 4.0
    if kind == "CSR":
        X = scipy.sparse.csr_matrix(X)
    targets = {
        "cross_entropy": lambda: rng.integers(0, OUTPUTS, ROWS),
        "squared_error": lambda: rng.integers(-20, 20, (ROWS, OUTPUTS)) / 16,
        "binary_cross_entropy": lambda: rng.integers(0, 2, (ROWS, OUTPUTS)).astype(float),
        "poisson": lambda: rng.integers(0, 5, (ROWS, OUTPUTS)).astype(float),
    }
    return X, targets[loss]()


def hash_of(*values):
    found = hashlib.sha256()
    for value in values:
        found.update(np.ascontiguousarray(value).tobytes())
    return found.hexdigest()[:16]


def everything(net, history, X, y):
    gradients = net.loss_and_gradients(X, y, l1=0.25, l2=0.5)
    accuracy = history.accuracy if net.loss == "cross_entropy" else []  # recorded before other losses had one
    return hash_of(
        *net.weights, *net.biases, history.loss, history.penalty, accuracy, net.forward(X), net.predict(X),
        *net.evaluate(X, y)[:1], *gradients.weights, *gradients.biases, gradients.loss, gradients.penalty,
    )  # fmt: skip


def fit_case(case, dtype):
    net, (X, y) = network_of(case, dtype), data(case["data"], case["loss"])
    return everything(net, trainer_of(case, net).fit(X, y, epochs=2), X, y)


def fit_stream():
    X, y = data()
    net = Network((INPUTS, 9, OUTPUTS), seed=1)
    chunks = [(X[begin : begin + 200], y[begin : begin + 200]) for begin in range(0, ROWS, 200)]
    history = Trainer(net, "adam", 0.1, batch_size=32, seed=2).fit(Stream(chunks), None, epochs=2)
    return hash_of(*net.weights, *net.biases, history.loss, net.forward(X))


def fit_ranks():
    X, y = data()

    def work(communicator):
        net = Network((INPUTS, 9, OUTPUTS), dtype="float64", seed=1)
        trainer = distributed.Trainer(net, "adam", 0.1, communicator=communicator, batch_size=60, seed=2)
        history = trainer.fit(X[communicator.rank :: 2], y[communicator.rank :: 2], epochs=2)
        return hash_of(*net.weights, *net.biases, history.loss)

    first, second = together(2, work)
    assert first == second
    return first


def fit_several():
    X, y = data()
    trainers = [Trainer(Network((INPUTS, 9, OUTPUTS), seed=seed), batch_size=32, seed=seed) for seed in range(3)]
    histories = fit_many(trainers, X, y, epochs=2)
    arrays = [array for trainer in trainers for array in trainer.network.weights]
    return hash_of(*arrays, *(history.loss for history in histories))


def fit_estimator(Mlp, weighted=False, **settings):
    X, y = data()
    weights = np.arange(ROWS) % 7 / 4 if weighted else None
    targets = y if Mlp is MLPClassifier else y / 4
    model = Mlp(hidden_layer_sizes=(9,), random_state=0, max_iter=3, **settings).fit(X, targets, weights)
    return hash_of(*model.coefs_, *model.intercepts_, model.loss_, model.predict(X))


CASES = cases_of(  # the parts of the recorded fits
    ["cross_entropy", "squared_error", "binary_cross_entropy", "poisson"],
    ["relu", "tanh", "logistic", "identity"],
    ["sgd", "momentum", "nesterov", "adam", "adam, own betas"],
)
FITS = {f"{name_of(case)}, {dtype}": (fit_case, case, dtype) for case in CASES for dtype in ("float32", "float64")}
FITS |= {"stream": (fit_stream,), "ranks": (fit_ranks,), "fit_many": (fit_several,)}
ESTIMATORS = {
    f"{Mlp.__name__}, {name}": (Mlp, settings)
    for Mlp in (MLPClassifier, MLPRegressor)
    for name, settings in {
        "adam": dict(solver="adam"),
        "sgd": dict(solver="sgd", momentum=0.8),
        "early stopping": dict(early_stopping=True, validation_fraction=0.3),
        "weights, l1": dict(weighted=True, l1=1e-3, batch_size=300),
    }.items()
}


def all_hashes():
    hashes = {name: fit(*arguments) for name, (fit, *arguments) in FITS.items()}
    of_sklearn = {name: fit_estimator(Mlp, **settings) for name, (Mlp, settings) in ESTIMATORS.items()}
    return hashes | {f"scikit-learn {sklearn.__version__}": of_sklearn}


def test_fits_have_the_recorded_bits(isa):
    """Estimators only with the recorded scikit-learn, which draws and splits. L-BFGS uses BLAS, so it is left out."""
    record = json.loads(RECORD.read_text())
    if isa not in record:
        pytest.skip(f"no bits of {isa} are recorded")
    recorded, found = record[isa], all_hashes()
    assert len(FITS) >= 40
    changed = [name for name in found if name in recorded and found[name] != recorded[name]]
    assert not changed
    assert set(FITS) <= set(recorded)


if __name__ == "__main__":
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    for name in _core.testing.available_isas():
        _core.testing.use_isa(name)
        record[name] = all_hashes()
    RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
