"""Dropout, clipping and schedules of the estimators, against a slow implementation in NumPy."""

import warnings

import numpy as np
import pytest
import reference
from estimator_problems import diabetes, scaled
from fastmlp import MLPClassifier, MLPRegressor, Network, load, schedules
from fastmlp.callbacks import Checkpoint
from fastmlp.estimators import solvers
from regularized import trained_slowly
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

PROBLEMS = {MLPClassifier: scaled(load_iris), MLPRegressor: diabetes()}
SETTINGS = {
    "dropout": {"dropout": 0.3},
    "input_dropout": {"input_dropout": 0.2},
    "max_gradient_norm": {"max_gradient_norm": 0.1},
    "schedule": {"schedule": schedules.cosine(0.3)},
    "learning_rate_factors": {"learning_rate_factors": ((1.0, 0.5), (0.25, 0.0), (2.0, 1.5))},
    "average_decay": {"average_decay": 0.8},
    "nadam": {"solver": "nadam"},
    "rmsprop": {"solver": "rmsprop", "learning_rate_factors": ((0.5, 1.0),) * 3},
    "weight_decay_schedule": {"solver": "adamw", "weight_decay_schedule": schedules.exponential(0.1)},
    "dropout_schedule": {"dropout": 0.4, "dropout_schedule": schedules.flat_cos()},
    "all": {"dropout": 0.2, "input_dropout": 0.1, "max_gradient_norm": 0.1, "schedule": schedules.flat_cos()},
}


def drawn(model, X, outputs):
    """Initial network, row orders and the seed of dropout, as a fit draws them."""
    rng = np.random.RandomState(model.random_state)
    weights, biases, sizes = [], [], (X.shape[1], *model.hidden_layer_sizes, outputs)
    for inputs, width in zip(sizes, sizes[1:]):
        bound = np.sqrt(6 / (inputs + width))
        weights.append(rng.uniform(-bound, bound, (inputs, width)))
        biases.append(rng.uniform(-bound, bound, width))
    seed = int(rng.randint(2**31)) if model.dropout or model.input_dropout else 0
    orders, order = [], np.arange(len(X))
    for _ in range(model.max_iter):
        permutation = np.arange(len(X))
        rng.shuffle(permutation)
        order = order[permutation]
        orders.append(order)
    loss = "squared_error" if outputs == 1 else "cross_entropy"
    net = Network(sizes, model.activation, loss, dtype="float64")
    net.set_parameters(weights, biases)
    return net, orders, seed


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("Mlp", PROBLEMS)
def test_fits_follow_the_oracle(Mlp, name):
    X, y = (np.asarray(values, float) for values in PROBLEMS[Mlp])
    model = Mlp(
        hidden_layer_sizes=(9, 7),
        activation="tanh",
        alpha=0,
        batch_size=32,
        max_iter=4,
        learning_rate_init=0.02,
        random_state=3,
    )
    settings = SETTINGS[name]
    solver = settings.get("solver", "adam")
    own, _ = reference.OPTIMIZERS[solver]  # the settings of the oracle's optimizer
    model.set_params(**settings, **{key: value for key, value in own.items() if key != "optimizer"})
    labels, outputs = (y.astype(int), len(np.unique(y))) if Mlp is MLPClassifier else (y, 1)
    net, orders, seed = drawn(model, X, outputs)
    last, means, _ = trained_slowly(net, X, labels, orders, 32, solver, 0.02, seed, settings)
    expected = means if model.average_decay else last
    model.fit(X, y)
    for found, wanted in zip(model.coefs_ + model.intercepts_, expected[0] + expected[1], strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.filterwarnings("ignore:dropout_schedule has no effect without dropout")
def test_copies_and_grids_keep_them(name):
    X, y = PROBLEMS[MLPClassifier]
    model = MLPClassifier((9, 7), max_iter=3, random_state=1, **SETTINGS[name])
    assert clone(model).get_params() == model.get_params()
    first, second = model.fit(X, y).coefs_, clone(model).fit(X, y).coefs_
    assert all((p == q).all() for p, q in zip(first, second))
    plain = MLPClassifier((9, 7), max_iter=3, random_state=1).fit(X, y)
    assert any((p != q).any() for p, q in zip(plain.coefs_, first))
    grid = {key: [value, MLPClassifier().get_params()[key]] for key, value in SETTINGS[name].items() if key != "solver"}
    assert len(GridSearchCV(clone(model), grid, cv=2).fit(X, y).cv_results_["params"]) == 2 ** len(grid)


@pytest.mark.parametrize("name", ["dropout", "input_dropout", "max_gradient_norm"])
def test_partial_fit_goes_on_with_new_masks(name):
    X, y = PROBLEMS[MLPClassifier]
    settings = dict(hidden_layer_sizes=(9,), random_state=1, shuffle=False, **SETTINGS[name])
    whole = MLPClassifier(max_iter=3, **settings).fit(X, y)
    parts = MLPClassifier(**settings)
    for _ in range(3):
        parts.partial_fit(X, y, classes=np.unique(y))
    for p, q in zip(whole.coefs_, parts.coefs_):
        np.testing.assert_array_equal(p, q)


def test_what_they_rule_out_is_rejected():
    X, y = PROBLEMS[MLPClassifier]
    for name in solvers.OF_MINI_BATCHES:
        value = "bfloat16" if name == "precision" else SETTINGS[name][name]
        model = MLPClassifier((9, 7), solver="lbfgs", **{name: value})
        with pytest.raises(ValueError, match=f"{name} is for solvers with mini-batches, got solver='lbfgs'"):
            model.fit(X, y)
        assert not hasattr(model, "coefs_")
    of_fit = {name: "cosine" for name in solvers.OF_MINI_BATCHES if name.endswith("schedule")} | {"average_decay": 0.5}
    for name, value in of_fit.items():
        with pytest.raises(ValueError, match=f"partial_fit does not support {name}"):
            MLPClassifier(solver="adamw", **{name: value}).partial_fit(X, y, classes=np.unique(y))
    with pytest.raises(ValueError, match="weight_decay_schedule needs a solver with weight_decay, got 'adam'"):
        MLPClassifier(weight_decay_schedule="cosine").fit(X, y)
    with pytest.raises(ValueError, match="learning_rate_factors must be a pair .* for each of the 2 layers"):
        MLPClassifier((9,), learning_rate_factors=[(1, 1)]).fit(X, y)
    with pytest.raises(ValueError, match="precision 'bfloat16' is for float32 X, got float64"):
        MLPClassifier((9,), precision="bfloat16").fit(X.astype(np.float64), y)
    for name, value in {"dropout": 1, "input_dropout": -0.1, "max_gradient_norm": 0, "schedule": "cosin"}.items():
        with pytest.raises(ValueError, match=f"'{name}' parameter of MLPClassifier must be"):
            MLPClassifier(**{name: value}).fit(X, y)


def test_a_schedule_ends_without_a_warning():
    X, y = PROBLEMS[MLPClassifier]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MLPClassifier((3,), max_iter=2, schedule="cosine").fit(X, y)
    with pytest.warns(ConvergenceWarning):
        MLPClassifier((3,), max_iter=2).fit(X, y)


def test_the_mean_of_the_parameters_predicts():
    """In callbacks, in scores of held-out rows, and with early stopping."""
    X, y = PROBLEMS[MLPClassifier]
    model, scores = MLPClassifier((9,), max_iter=8, average_decay=0.9, early_stopping=True, random_state=1), []
    model.fit(X, y, eval_set=(X, y), callbacks=[lambda info: scores.append(model.score(X, y))])
    assert model.validation_scores_ == scores
    assert model.score(X, y) == max(scores) == model.best_validation_score_


def test_callbacks_and_checkpoints_have_the_mean_of_the_parameters(tmp_path):
    pytest.importorskip("safetensors", reason="needs safetensors")
    X, y = PROBLEMS[MLPClassifier]
    model, path = (
        MLPClassifier((9,), max_iter=8, average_decay=0.9, learning_rate_init=0.05, random_state=1),
        tmp_path / "a",
    )

    def compare(info):
        np.testing.assert_array_equal(info.network.forward(X), model.predict_proba(X))
        info.save(path)
        np.testing.assert_array_equal(load(path).forward(X), model.predict_proba(X))

    best, last = tmp_path / "best", tmp_path / "last"
    checkpoints = [Checkpoint(best, best="val_loss"), Checkpoint(last)]
    model.fit(X[::2], y[::2], eval_set=(X[1::2], y[1::2]), callbacks=[compare, *checkpoints])
    found = load(best).evaluate(X[1::2], y[1::2].astype(int)).loss
    assert found == pytest.approx(min(model.validation_loss_curve_), rel=1e-6)
    np.testing.assert_array_equal(load(last).forward(X), model.predict_proba(X))


def test_the_history_has_the_rates_of_a_schedule():
    X, y = scaled(load_iris)
    model = MLPClassifier(max_iter=3, batch_size=50, schedule="cosine", learning_rate_init=0.01, random_state=0).fit(
        X, y
    )
    expected = [0.01 * schedules.cosine()((epoch + 2 / 3) / 3) for epoch in range(3)]  # of the last of three updates
    np.testing.assert_allclose(model.history_["learning_rate"], expected, rtol=1e-12)
    assert "learning_rate" not in MLPClassifier(max_iter=1, random_state=0).fit(X, y).history_
