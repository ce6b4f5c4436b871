"""What the estimators add to scikit-learn's: weights, penalties, held-out data, callbacks, threads."""

import numpy as np
import pytest
import reference
from estimator_problems import THEIRS, assert_same_model, diabetes, many_labels, row_weights, scaled, ties
from fastmlp import MLPClassifier, MLPRegressor, Network
from problems import assert_equal_bits, parameters
from sklearn.datasets import load_digits, load_iris, load_linnerud
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from teams import TEAMS, team_of

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def oracle_sgd(model, X, y, loss, sample_weight=None, l2=0.0, l1=0.0, momentum=0.0):
    """The epochs of solver="sgd" from the model's own first weights and orders; l1 by a proximal step."""
    rng = np.random.RandomState(model.random_state)
    weights, biases = [], []
    for inputs, outputs in zip((X.shape[1], *model.hidden_layer_sizes), (*model.hidden_layer_sizes, model.n_outputs_)):
        bound = np.sqrt(6 / (inputs + outputs))
        weights.append(rng.uniform(-bound, bound, (inputs, outputs)))
        biases.append(rng.uniform(-bound, bound, outputs))
    velocities = [np.zeros_like(p) for p in weights + biases]
    rate, order = model.learning_rate_init, np.arange(len(X))
    for _ in range(model.max_iter):
        permutation = np.arange(len(X))
        rng.shuffle(permutation)
        order = order[permutation]
        for start in range(0, len(X), model.batch_size):
            rows = order[start : start + model.batch_size]
            own = None if sample_weight is None else sample_weight[rows]
            g = reference.loss_and_gradients(weights, biases, X[rows], y[rows], model.activation, loss, 0, l2, own)
            for p, gradient, v in zip(weights + biases, g.weights + g.biases, velocities):
                v *= momentum
                v -= rate * gradient
                p += v
            shrink = rate * l1 / (1 - momentum)
            weights = [np.sign(w) * np.maximum(np.abs(w) - shrink, 0) for w in weights]
    return weights + biases


SGD = dict(
    solver="sgd",
    momentum=0,
    alpha=0,
    hidden_layer_sizes=(6,),
    activation="tanh",
    batch_size=32,
    max_iter=4,
    learning_rate_init=0.1,
    random_state=1,
)


def assert_follows(model, expected):
    for got, wanted in zip(model.coefs_ + model.intercepts_, expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-12)


def test_weighted_losses_follow_the_oracle():
    X, y = scaled(load_iris)
    weights = row_weights(150)
    model = MLPClassifier(**SGD).fit(X, y, weights)
    assert_follows(model, oracle_sgd(model, X, y, "cross_entropy", weights))
    two = (y > 0).astype(float)
    model = MLPClassifier(**SGD).fit(X, two, weights)
    assert_follows(model, oracle_sgd(model, X, two[:, None], "binary_cross_entropy", weights))
    model = MLPRegressor(**SGD).fit(X, y, weights)
    assert_follows(model, oracle_sgd(model, X, y[:, None], "squared_error", weights))
    model = MLPRegressor(loss="poisson", **SGD).fit(X, y, weights)
    assert_follows(model, oracle_sgd(model, X, y[:, None], "poisson", weights))


@pytest.mark.parametrize("class_weight", [{0: 3.0, 1: 0.5}, "balanced"])
def test_class_weights_are_weights_of_rows(class_weight):
    X, y = scaled(load_iris)
    X, y = X[20:], y[20:]
    factors = len(y) / 3 / np.bincount(y) if class_weight == "balanced" else np.array([3.0, 0.5, 1.0])
    given = row_weights(len(y))
    model = MLPClassifier(class_weight=class_weight, **SGD).fit(X, y, given)
    assert_follows(model, oracle_sgd(model, X, y, "cross_entropy", given * factors[y]))


def test_class_weights_of_many_labels():
    X, Y = many_labels()
    factors = [{0: 1.0, 1: 3.0}, {0: 0.5, 1: 1.0}, {0: 1.0, 1: 1.0}, {0: 1.0, 1: 1.0}]
    weights = np.prod([np.where(Y[:, i], f[1], f[0]) for i, f in enumerate(factors)], axis=0)
    models = [
        MLPClassifier(max_iter=5, random_state=0, class_weight=factors).fit(X, Y),
        MLPClassifier(max_iter=5, random_state=0).fit(X, Y, weights),
    ]
    assert_same_model(*models, tolerance=1e-12)


def test_partial_fit_knows_classes_that_a_call_does_not_see():
    X, y = scaled(load_iris)
    model = MLPClassifier(class_weight={0: 2.0}, random_state=0).partial_fit(X[50:], y[50:], classes=[0, 1, 2])
    plain = MLPClassifier(random_state=0).partial_fit(X[50:], y[50:], classes=[0, 1, 2])
    assert_same_model(model, plain)


@pytest.mark.parametrize("batch_size", [10, 150])
def test_l2_does_not_depend_on_the_batch_size(batch_size):
    X, y = scaled(load_iris)
    settings = SGD | {"batch_size": batch_size}
    model = MLPClassifier(l2=0.05, **settings).fit(X, y)
    assert_follows(model, oracle_sgd(model, X, y, "cross_entropy", l2=0.05))
    squares = sum((w**2).sum() for w in model.coefs_)
    assert model.history_["penalty"][-1] == pytest.approx(0.05 / 2 * squares, rel=0.2)  # seen while training


@pytest.mark.parametrize("momentum", [0, 0.8])
def test_l1_takes_proximal_steps(momentum):
    X, y = scaled(load_iris)
    settings = SGD | {"momentum": momentum, "nesterovs_momentum": False}
    model = MLPClassifier(l1=0.02, l2=0.01, **settings).fit(X, y)
    assert_follows(model, oracle_sgd(model, X, y, "cross_entropy", l1=0.02, l2=0.01, momentum=momentum))


def stationarity(model, X, y, l1):
    """How far the penalized loss is from a point of rest: |g + l1 sign(w)| where w != 0, |g| - l1 elsewhere."""
    g = reference.loss_and_gradients(model.coefs_, model.intercepts_, X, y, model.activation, "cross_entropy")
    worst = 0.0
    for w, gradient in zip(model.coefs_, g.weights):
        off = np.where(w != 0, np.abs(gradient + l1 * np.sign(w)), np.maximum(np.abs(gradient) - l1, 0))
        worst = max(worst, off.max())
    return worst


@pytest.mark.parametrize(
    "solver",
    [
        dict(solver="sgd", momentum=0, learning_rate_init=0.5),
        dict(solver="sgd", momentum=0.9, learning_rate_init=0.1),
        dict(solver="sgd", momentum=0.9, nesterovs_momentum=False, learning_rate_init=0.1),
        dict(solver="adam", learning_rate_init=0.02),
        dict(solver="lbfgs", tol=1e-7, max_fun=100_000),
    ],
    ids=["sgd", "Nesterov", "momentum", "adam", "lbfgs"],
)
def test_l1_rests_where_the_penalized_loss_is_stationary(solver):
    X, y = scaled(load_iris)
    l1 = 0.02
    settings = dict(hidden_layer_sizes=(5,), activation="tanh", alpha=0, batch_size=150, max_iter=3000, random_state=1)
    model = MLPClassifier(l1=l1, tol=0, n_iter_no_change=np.inf, **settings).set_params(**solver).fit(X, y)
    zeros = sum((w == 0).sum() for w in model.coefs_)
    assert 10 <= zeros <= 30  # of 35
    assert stationarity(model, X, y, l1) < 1e-4
    assert model.score(X, y) > 0.9


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("Mlp", THEIRS)
def test_l1_large_enough_leaves_only_zeros(Mlp, solver):
    X, y = scaled(load_iris)
    settings = dict(learning_rate_init=0.05, hidden_layer_sizes=(6,), random_state=0, max_iter=300)
    model = Mlp(l1=10.0, solver=solver, **settings).fit(X, y)
    assert all((w == 0).all() for w in model.coefs_)
    biases = [b.copy() for b in model.intercepts_]
    assert any(b.any() for b in biases)  # no penalty on them


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_eval_set_curves_equal_an_evaluation_by_hand(solver):
    X, y = scaled(load_iris)
    train, held = np.arange(0, 150, 2), np.arange(1, 150, 2)
    seen = []

    def look(info):
        p = info.network.forward(X[held])
        seen.append((log_loss(y[held], p), accuracy_score(y[held], p.argmax(axis=1)), info.metrics))

    model = MLPClassifier(solver=solver, max_iter=7, alpha=5.0, random_state=0)
    model.fit(X[train], y[train], eval_set=(X[held], y[held]), callbacks=[look])
    losses, scores, metrics = zip(*seen)
    assert len(losses) == model.n_iter_ == 7
    np.testing.assert_allclose(model.validation_loss_curve_, losses, rtol=1e-12)
    np.testing.assert_allclose(model.validation_scores_, scores)
    assert set(model.history_) == {"loss", "penalty", "seconds", "val_loss", "val_score"}
    for name in model.history_:
        assert model.history_[name] == [m[name] for m in metrics]
    np.testing.assert_allclose(model.loss_, model.history_["loss"][-1] + model.history_["penalty"][-1])


@pytest.mark.parametrize(
    "Mlp, load, loss",
    [
        (MLPRegressor, lambda: scaled(load_linnerud), lambda t, p: ((t - p) ** 2).mean() / 2),
        (MLPRegressor, diabetes, lambda t, p: ((t - p) ** 2).mean() / 2),
        (MLPClassifier, many_labels, lambda t, p: -(t * np.log(p) + (1 - t) * np.log(1 - p)).sum(axis=1).mean()),
    ],
)
def test_the_validation_loss_is_defined_as_the_training_loss(Mlp, load, loss):
    X, y = load()
    model = Mlp(solver="sgd", learning_rate_init=1e-12, max_iter=2, random_state=0).fit(X, y, eval_set=(X, y))
    outputs = model.predict_proba(X) if Mlp is MLPClassifier else model.predict(X)
    np.testing.assert_allclose(model.validation_loss_curve_, [loss(y, outputs)] * 2, rtol=1e-6)
    np.testing.assert_allclose(model.history_["loss"], model.validation_loss_curve_, rtol=1e-6)


@pytest.mark.parametrize("metric", ["score", "loss"])
def test_early_stopping_on_an_eval_set_keeps_the_best_weights(metric):
    X, y = load_digits(return_X_y=True)
    settings = dict(learning_rate_init=0.05, early_stopping=True, stopping_metric=metric, n_iter_no_change=4)
    model = MLPClassifier(random_state=0, **settings).fit(X[:300], y[:300], eval_set=(X[1000:], y[1000:]))
    assert model.n_iter_ < model.max_iter
    curve = {"score": model.validation_scores_, "loss": -np.array(model.validation_loss_curve_)}[metric]
    best = int(np.argmax(curve))
    assert best < model.n_iter_ - 1
    assert model.score(X[1000:], y[1000:]) == model.validation_scores_[best] == model.best_validation_score_
    assert log_loss(y[1000:], model.predict_proba(X[1000:])) == pytest.approx(model.validation_loss_curve_[best])


def test_a_stopping_metric_without_early_stopping_warns():
    X, y = scaled(load_iris)
    model = MLPClassifier(stopping_metric="loss", solver="lbfgs", random_state=0)
    with pytest.warns(UserWarning, match="stopping_metric='loss' has no effect without early_stopping=True"):
        model.fit(X, y)
    with pytest.warns(UserWarning, match="early_stopping=True has no effect with solver='lbfgs'"):
        model.set_params(early_stopping=True).fit(X, y)
    model.set_params(early_stopping=False, stopping_metric="score").fit(X, y)


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(weight_decay=0.5), "weight_decay has no effect with solver='adam'; it is for 'adamw'"),
        (dict(weight_decay=0.5, solver="lbfgs"), "weight_decay has no effect with solver='lbfgs'"),
        (dict(rho=0.5, solver="nadam"), "rho has no effect with solver='nadam'; it is for 'rmsprop'"),
        (dict(momentum_decay=0.5, solver="adamw"), "momentum_decay has no effect with solver='adamw'"),
        (dict(ensemble_rows="bootstrap"), "ensemble_rows='bootstrap' has no effect with n_ensemble=1"),
        (dict(dropout_schedule="cosine"), "dropout_schedule has no effect without dropout or input_dropout"),
        (dict(dropout=0.1, hidden_layer_sizes=()), "dropout has no effect without hidden layers"),
        (dict(l1=0.01, average_decay=0.9), "l1 leaves hardly a weight exactly zero with average_decay"),
    ],
)
def test_additions_without_effect_warn(settings, message):
    X, y = scaled(load_iris)
    with pytest.warns(UserWarning, match=message):
        MLPClassifier(max_iter=2, random_state=0, **settings).fit(X, y)
    with_effect = [
        dict(weight_decay=0.5, solver="adamw"),
        dict(input_dropout=0.1, dropout_schedule="cosine"),
        dict(ensemble_rows="bootstrap", n_ensemble=2),
    ]
    for settings in [*with_effect, dict(rho=0.5, solver="rmsprop"), dict(momentum_decay=0.1, solver="nadam")]:
        MLPClassifier(max_iter=2, random_state=0, **settings).fit(X, y)


def test_partial_fit_takes_an_eval_set():
    X, y = scaled(load_iris)
    model = MLPClassifier(random_state=0)
    for _ in range(3):
        model.partial_fit(X[::2], y[::2], classes=[0, 1, 2], eval_set=(X[1::2], y[1::2]))
    assert len(model.validation_loss_curve_) == len(model.validation_scores_) == len(model.history_["loss"]) == 3
    model.partial_fit(X, y)  # and goes on without
    assert len(model.validation_loss_curve_) == 3 and len(model.loss_curve_) == 4


def test_another_stopping_metric_starts_anew():
    X, y = scaled(load_iris)
    settings = dict(warm_start=True, early_stopping=True, max_iter=20, n_iter_no_change=50, random_state=0)
    model = MLPClassifier(**settings).fit(X, y, eval_set=(X, y))
    before = model.validation_loss_curve_[-1]
    model.set_params(stopping_metric="loss").fit(X, y, eval_set=(X, y))
    min_loss = min(model.validation_loss_curve_)
    assert min_loss < before
    assert log_loss(y, model.predict_proba(X)) == pytest.approx(min_loss)


def test_a_loss_is_not_measured_against_an_accuracy():
    """The negative loss is never as high as an accuracy was, but it improves: the fit goes on for all of its epochs."""
    X, y = scaled(load_iris)
    settings = dict(warm_start=True, early_stopping=True, max_iter=8, n_iter_no_change=3, tol=0.0, random_state=0)
    model = MLPClassifier(**settings).fit(X, y, eval_set=(X, y))
    epochs = len(model.loss_curve_)
    model.set_params(stopping_metric="loss").fit(X, y, eval_set=(X, y))
    assert len(model.loss_curve_) - epochs == 8


def test_the_split_may_be_watched_by_its_loss():
    X, y = scaled(load_iris)
    weights = row_weights(150)
    model = MLPClassifier(early_stopping=True, stopping_metric="loss", random_state=0, max_iter=30)
    held_out = []
    model.fit(X, y, weights, callbacks=[lambda info: held_out.append(info.metrics["val_loss"])])
    assert model.validation_loss_curve_ == held_out
    _, rows = train_test_split(np.arange(150), random_state=drawn_before_the_split(model), test_size=0.1)
    p = model.predict_proba(X[rows])
    assert log_loss(y[rows], p, sample_weight=weights[rows]) == pytest.approx(min(held_out), rel=1e-9)


def drawn_before_the_split(model):
    """The random state after the initial weights."""
    rng = np.random.RandomState(model.random_state)
    for w, b in zip(model.coefs_, model.intercepts_):
        rng.uniform(size=w.shape)
        rng.uniform(size=b.shape)
    return rng


def test_callbacks_see_every_epoch():
    X, y = scaled(load_iris)
    for settings in (dict(tol=1, n_iter_no_change=2), dict(early_stopping=True, n_iter_no_change=1), dict(max_iter=3)):
        seen = []
        model = MLPClassifier(random_state=0, **settings)
        model.fit(X, y, callbacks=[lambda info, seen=seen: seen.append(info.epoch)])
        assert seen == list(range(1, model.n_iter_ + 1))


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_a_callback_ends_the_fit(solver):
    X, y = scaled(load_iris)
    model = MLPClassifier(solver=solver, random_state=0)
    kept = []

    def stop(info):
        kept.append([*info.network.weights, *info.network.biases])
        return info.epoch == 4

    model.fit(X, y, callbacks=[stop])
    assert model.n_iter_ == 4
    for got, expected in zip(model.coefs_ + model.intercepts_, kept[-1], strict=True):
        np.testing.assert_array_equal(got, expected)
    with pytest.raises(TypeError, match="callbacks"):
        model.fit(X, y, callbacks=[1])


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_an_interrupt_keeps_the_model_so_far(solver):
    X, y = scaled(load_iris)
    kept = []

    def interrupt(info):
        kept.append(parameters(info.network))
        if info.epoch == 3:
            raise KeyboardInterrupt

    model = MLPClassifier(solver=solver, random_state=0)
    with pytest.warns(UserWarning, match="interrupted"):
        model.fit(X, y, callbacks=[interrupt])
    assert model.n_iter_ == 3
    assert_equal_bits(model.coefs_ + model.intercepts_, kept[-1])
    model.fit(X, y)
    assert model.n_iter_ > 3


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_the_model_is_the_same_for_every_number_of_threads(solver):
    X, y = load_digits(return_X_y=True)
    models = []
    for n_threads in (1, *TEAMS):
        model = MLPClassifier((300,), solver=solver, max_iter=4, random_state=0, n_threads=n_threads)
        with team_of(n_threads):
            models.append(model.fit(X, y))
    for model in models[1:]:
        for a, b in zip(models[0].coefs_, model.coefs_):
            np.testing.assert_array_equal(a, b)


def test_to_network_is_a_copy():
    X, y = scaled(load_iris)
    model = MLPClassifier(max_iter=5, random_state=0).fit(X, y)
    net = model.to_network()
    assert isinstance(net, Network)
    np.testing.assert_array_equal(net.forward(X), model.predict_proba(X))
    net.set_parameters([w * 0 for w in net.weights], net.biases)
    assert model.coefs_[0].any()
    with pytest.raises(NotFittedError):
        MLPClassifier().to_network()


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_each_penalty_alone_is_in_the_history(solver):
    """Of weights that nearly stand still, or of the last iteration; alpha is divided by the rows."""
    X, y = ties("noisy")
    settings = dict(solver=solver, learning_rate_init=1e-12, batch_size=64, max_iter=3, random_state=0)
    if solver == "lbfgs":  # until p or q is zero in each w = p - q
        settings |= dict(max_iter=300)
    for name, strength in (("alpha", 0.5), ("l1", 0.01), ("l2", 0.02)):
        model = MLPClassifier((4,), **{"alpha": 0, **settings, name: strength}).fit(X, y)
        squares = sum((w**2).sum() for w in model.coefs_)
        expected = {
            "alpha": 0.5 / 2 * squares / 64,
            "l1": 0.01 * sum(np.abs(w).sum() for w in model.coefs_),
            "l2": 0.02 / 2 * squares,
        }[name]
        penalty = model.history_["penalty"][-1]
        assert penalty == pytest.approx(expected, rel=1e-4 if solver == "lbfgs" else 1e-6)
        assert model.loss_ == pytest.approx(model.history_["loss"][-1] + penalty, rel=1e-12)
    plain = MLPClassifier((4,), **{"alpha": 0, **settings}).fit(X, y)
    assert set(plain.history_["penalty"]) == {0.0}


def test_lbfgs_prints_its_iterations(capsys):
    X, y = ties("noisy")
    model = MLPClassifier((4,), solver="lbfgs", verbose=True, max_iter=5, random_state=0).fit(X, y)
    losses = np.add(model.history_["loss"], model.history_["penalty"])
    printed = capsys.readouterr().out.splitlines()
    assert printed == [f"Iteration {i}, loss = {loss:.8f}" for i, loss in enumerate(losses, 1)]
