"""Features together: fits with all pairs of settings against the oracle, between teams of threads, and scikit-learn.

Each feature has tests of its own elsewhere. Here they meet: an update of several chunks of rows with skipped columns,
accumulation with Adam and a penalty, weights of rows in an evaluation of several blocks.
"""

import functools
import itertools

import numpy as np
import pytest
import reference
from combinations import CASES, INPUTS, OUTPUTS, PENALTIES, ROWS, name_of, network_of, rate_of, trainer_of
from fastmlp import MLPClassifier, MLPRegressor, fit_lbfgs
from pairwise import all_pairs
from problems import assert_close, assert_equal_bits, parameters, row_orders
from teams import TEAMS, team_of

scipy_sparse = pytest.importorskip("scipy.sparse")
sklearn_mlp = pytest.importorskip("sklearn.neural_network")
model_selection = pytest.importorskip("sklearn.model_selection")


def test_all_pairs_are_met():
    factors = {"a": [1, 2, 3], "b": "xy", "c": [True, False], "d": range(4)}
    cases = all_pairs(**factors)
    for a, b in itertools.combinations(factors, 2):
        assert {(case[a], case[b]) for case in cases} == set(itertools.product(factors[a], factors[b]))
    assert len(cases) <= 16, "few cases: no more than a third of all combinations"


@functools.lru_cache(maxsize=None)
def data_of(kind, loss):
    """X as fastmlp takes it, the same as a float64 array, and what the loss compares outputs with."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS, INPUTS))
    if kind == "uint8":
        X = rng.integers(1, 8, X.shape).astype(np.uint8)
    if kind != "dense":  # no batch of 14 touches all columns; a few columns are always zero
        X[rng.random(X.shape) < 0.97] = 0
        X[:, ::9] = 0
    values = 0.5 * rng.normal(size=(ROWS, OUTPUTS)) + 0.1 * (X @ rng.normal(size=(INPUTS, OUTPUTS)))
    return (scipy_sparse.csr_matrix(X) if kind == "CSR" else X), X.astype(float), reference.targets_of(loss, values)


@functools.lru_cache(maxsize=None)
def expected_of(name):
    """The oracle's parameters, losses and penalties of a case: the same for each instruction set."""
    (case,) = [case for case in CASES if name_of(case) == name]
    _, X, y = data_of(case["data"], case["loss"])
    net, penalties = network_of(case), []
    batch_size, accumulate = case["batching"]
    weights, biases, losses = reference.train(
        net.weights,
        net.biases,
        X * case["input_scale"],
        y,
        row_orders(9, ROWS, 2) if case["shuffle"] else [np.arange(ROWS)] * 2,
        batch_size,
        reference.OPTIMIZERS[case["optimizer"]][1](rate_of(case)),
        accumulate=accumulate,
        activation=case["activation"],
        loss=case["loss"],
        penalties=penalties,
        **PENALTIES[case["penalty"]],
    )
    return weights, biases, losses, penalties


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_fits_follow_the_oracle(isa, case):
    X, dense, y = data_of(case["data"], case["loss"])
    net = network_of(case)
    history = trainer_of(case, net).fit(X, y, epochs=2)
    weights, biases, losses, penalties = expected_of(name_of(case))
    assert_close(parameters(net), weights + biases, 1e-10)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-10)
    np.testing.assert_allclose(history.penalty, penalties, rtol=1e-10)
    scaled = dense * case["input_scale"]
    z = reference.layer_outputs(weights, biases, scaled, case["activation"])[-1]
    np.testing.assert_allclose(net.evaluate(X, y).loss, reference.LOSSES[case["loss"]].value(z, y)[0], rtol=1e-9)
    np.testing.assert_allclose(net.forward(X), reference.LOSSES[case["loss"]].output(z), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_fits_have_the_same_bits_for_every_team(case, dtype):
    X, _, y = data_of(case["data"], case["loss"])
    stack = scipy_sparse.vstack if case["data"] == "CSR" else np.concatenate
    twice, labels = stack([X, X]), np.concatenate([y, y])  # ten blocks of rows, so that seven workers have one each
    results = []
    for workers in (1, *TEAMS):
        net = network_of(case, dtype)
        with team_of(workers):
            history = trainer_of(case, net, n_threads=workers).fit(X, y, epochs=2)
        with team_of(workers):
            gradients = net.loss_and_gradients(X, y, l1=0.1, l2=0.2, n_threads=workers)
        with team_of(workers):
            outputs, evaluation = net.forward(twice, n_threads=workers), net.evaluate(twice, labels, n_threads=workers)
        arrays = [*parameters(net), *gradients.weights, *gradients.biases, outputs]
        numbers = [history.loss, history.penalty, history.accuracy, gradients.loss, gradients.penalty, evaluation.loss]
        results.append((arrays, numbers))
    for arrays, numbers in results[1:]:
        assert_equal_bits(arrays, results[0][0])
        assert numbers == results[0][1]


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_float32_fits_stay_near_float64_ones(isa, case):
    """A few parameters may differ by more, where rounding decides the side of a kink, such as that of |w|.

    Under l1 by its subgradient all weights may end near that kink, so they are compared with those before.
    """
    tolerance = 2e-2 if case["penalty"].startswith("l1") else 2e-3
    X, _, y = data_of(case["data"], case["loss"])
    single, double = network_of(case, "float32"), network_of(case)
    for net in (single, double):
        trainer_of(case, net).fit(X, y, epochs=2)
    for p, q, before in zip(parameters(single), parameters(double), parameters(network_of(case)), strict=True):
        size = max(map(np.linalg.norm, (q, before))) if case["penalty"] == "l1" else np.linalg.norm(q)
        assert np.linalg.norm(p - q) <= tolerance * size


WEIGHTED = all_pairs(
    problem=["classes", "two classes", "many labels", "regression", "poisson"],
    solver=["sgd", "sgd, plain momentum", "sgd, no momentum", "adam", "lbfgs"],
    alpha=[0.0, 0.3],
    sample_weight=["none", "uniform", "some zero"],
    batch_size=[20, 300],
    early_stopping=[False, True],
    data=["dense", "few columns", "CSR"],
    hidden_layer_sizes=[(), (9,), (33, 17)],
    shuffle=[True, False],
)
# Without momentum nothing but a penalty moves the weights of a column that is zero in all rows of an update.
WEIGHTED += [
    dict(
        problem="classes",
        solver="sgd, no momentum",
        alpha=0.3,
        sample_weight=sample_weight,
        batch_size=batch_size,
        early_stopping=False,
        data=data,
        hidden_layer_sizes=(9,),
        shuffle=True,
    )
    for data in ("few columns", "CSR")
    for batch_size in (20, 300)
    for sample_weight in ("none", "uniform")
]
SOLVERS = {
    "sgd": dict(solver="sgd"),
    "sgd, plain momentum": dict(solver="sgd", nesterovs_momentum=False, momentum=0.6),
    "sgd, no momentum": dict(solver="sgd", momentum=0.0),
    "adam": dict(solver="adam", beta_1=0.8),
    "lbfgs": dict(solver="lbfgs"),
}


def weighted_problem(case):
    """X, y, what the estimators' constructors get, and what fit gets."""
    kind = case["problem"]
    loss = "poisson" if kind == "poisson" else "squared_error"
    X, _, values = data_of(case["data"], loss)
    rng = np.random.default_rng(5)
    y = {
        "classes": lambda: values[:, :3].argmax(axis=1),
        "two classes": lambda: values[:, 0] > 0,
        "many labels": lambda: (values[:, :4] > 0).astype(int),
        "regression": lambda: values[:, :2],
        "poisson": lambda: values[:, 0],
    }[kind]()
    weights = {
        "none": {},
        "uniform": {"sample_weight": rng.uniform(0.1, 3, ROWS)},
        "some zero": {"sample_weight": rng.integers(0, 4, ROWS).astype(float)},
    }[case["sample_weight"]]
    if case["early_stopping"] and case["solver"] == "lbfgs":
        case = {**case, "early_stopping": False}  # as scikit-learn has it
    settings = {name: case[name] for name in ("alpha", "batch_size", "early_stopping", "hidden_layer_sizes", "shuffle")}
    settings |= SOLVERS[case["solver"]] | dict(
        random_state=3, max_iter=4, learning_rate_init=0.005, activation="tanh", validation_fraction=0.45
    )
    if kind in ("regression", "poisson"):
        settings["loss"] = loss
        return X, y, MLPRegressor, sklearn_mlp.MLPRegressor, settings, weights
    return X, y, MLPClassifier, sklearn_mlp.MLPClassifier, settings, weights


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:Got `batch_size`")
@pytest.mark.parametrize("case", WEIGHTED, ids=name_of)
def test_estimators_are_scikit_learns(isa, case):
    """Of 611 rows 275 are held out for early stopping: three blocks of an evaluation, and two chunks of an update."""
    X, y, Ours, Theirs, settings, weights = weighted_problem(case)
    try:
        theirs = Theirs(**settings).fit(X, y, **weights)
    except TypeError as error:
        if "sample_weight" in str(error) or "loss" in str(error):
            pytest.skip(f"this scikit-learn has no {error}")
        raise
    ours = Ours(**settings).fit(X, y, **weights)
    assert ours.n_iter_ == theirs.n_iter_ and ours.t_ == theirs.t_
    for a, b in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6 * max(1, np.abs(b).max()))
    if case["solver"] != "lbfgs":
        np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-9)
        if settings["early_stopping"]:
            np.testing.assert_allclose(ours.validation_scores_, theirs.validation_scores_, rtol=1e-9)
            assert ours.best_validation_score_ == pytest.approx(theirs.best_validation_score_, rel=1e-9)
    np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=1e-6)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-5, atol=1e-6)
    assert ours.score(X, y, **weights) == pytest.approx(theirs.score(X, y, **weights), rel=1e-6)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:Got `batch_size`")
@pytest.mark.parametrize("case", [case for case in WEIGHTED if case["solver"] != "lbfgs"], ids=name_of)
def test_a_weighted_validation_loss_is_that_of_the_oracle(case):
    """Of 275 rows that were held out, three blocks; penalties do not enter it."""
    X, y, Ours, _, settings, weights = weighted_problem(case)
    settings |= dict(early_stopping=True, stopping_metric="loss", max_iter=1, l1=1e-3, l2=1e-2)
    model = Ours(**settings).fit(X, y, **weights)
    stratify = y if case["problem"] == "two classes" else None
    rng = np.random.RandomState(settings["random_state"])
    for w, b in zip(model.coefs_, model.intercepts_, strict=True):  # drawn before the split
        rng.uniform(size=w.shape), rng.uniform(size=b.shape)
    _, rows = model_selection.train_test_split(np.arange(ROWS), random_state=rng, test_size=0.45, stratify=stratify)
    assert len(rows) > 256
    dense = X.toarray() if scipy_sparse.issparse(X) else X
    z = reference.layer_outputs(model.coefs_, model.intercepts_, dense[rows], "tanh")[-1]
    weights = [array[rows] for array in weights.values()]
    y = y[rows]
    loss = {
        "classes": "cross_entropy",
        "two classes": "binary_cross_entropy",
        "many labels": "binary_cross_entropy",
        "regression": "squared_error",
        "poisson": "poisson",
    }[case["problem"]]
    expected, _ = reference.LOSSES[loss].value(z, np.asarray(y, int if loss == "cross_entropy" else float), *weights)
    if case["problem"] == "regression":
        expected /= y.shape[1]  # a mean over the targets, as scikit-learn reports it
    assert model.validation_loss_curve_[-1] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("case", CASES[::3], ids=name_of)
def test_lbfgs_takes_no_step_up(case):
    X, _, y = data_of(case["data"], case["loss"])
    net = network_of(case)
    penalty = {name: PENALTIES[case["penalty"]].get(name, 0.0) for name in ("l1", "l2")}
    start = net.loss_and_gradients(X, y, **penalty)
    history = fit_lbfgs(net, X, y, 10, **penalty)
    end = net.loss_and_gradients(X, y, **penalty)
    totals = [start.loss + start.penalty, *np.add(history.loss, history.penalty)]
    assert totals[-1] < totals[0]
    if "l1" not in case["penalty"]:  # with it, the search counts both parts of a weight, which is their difference
        assert (np.diff(totals) <= 0).all()
    assert end.loss == pytest.approx(history.loss[-1], rel=1e-12)
    assert end.penalty == pytest.approx(history.penalty[-1], rel=1e-12)
