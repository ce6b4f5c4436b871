"""Several levels of the quantile loss: against the oracle, in files, and the intervals of MLPRegressor."""

import copy
import pickle

import fastmlp
import numpy as np
import pytest
import reference
from fastmlp import Network, Trainer, fit_lbfgs, fit_many, ops, row_subsets
from fastmlp.streaming import Stream
from problems import DTYPES, assert_close, assert_equal_bits, parameters, problem, row_orders
from teams import TEAMS, team_of

LEVELS = (0.1, 0.25, 0.9)
SETTINGS = {"level": LEVELS}


def network(targets=2, dtype="float64", seed=3, widths=(17,)):
    sizes = (11, *widths, targets * len(LEVELS))
    return Network(sizes, "tanh", "quantile", dtype=dtype, seed=seed, loss_settings=SETTINGS)


def data(rows=90, targets=2, dtype="float64"):
    return problem(rows, "quantile", dtype, (11, targets))


def oracle(targets):
    """The loss row of outputs with these levels, all levels of the first target first."""
    row = reference.LOSSES["quantile"]
    return row._replace(
        value=lambda z, y, weight=None: reference.quantile(
            z, np.repeat(y, len(LEVELS), axis=1), weight, np.tile(LEVELS, targets)
        )
    )


@pytest.mark.parametrize("targets", [1, 2, 7])
@pytest.mark.parametrize("dtype", DTYPES)
def test_training_follows_the_oracle(isa, dtype, targets):
    net, (X, y) = network(targets, dtype), data(90, targets, dtype)
    start = net.weights, net.biases
    history = Trainer(net, learning_rate=0.01, batch_size=16, seed=2).fit(X, y, epochs=3)
    weights, biases, losses = reference.train(
        *start, X.astype(float), y.astype(float), row_orders(2, 90, 3), 16, reference.SGD(0.01),
        activation="tanh", loss=oracle(targets),
    )  # fmt: skip
    tolerance = 1e-10 if dtype == "float64" else 1e-4
    assert_close(parameters(net), weights + biases, tolerance)
    np.testing.assert_allclose(history.loss, losses, rtol=tolerance)
    z = net.forward(X)
    expected = oracle(targets).value(z.astype(float), y.astype(float))
    found = ops.loss_and_gradient("quantile", z, np.repeat(y, 3, axis=1), settings=SETTINGS)
    np.testing.assert_allclose([found.loss, net.evaluate(X, y).loss], expected[0], rtol=1e-6)
    np.testing.assert_allclose(found.gradient, expected[1], atol=1e-8)


@pytest.mark.parametrize("workers", TEAMS)
def test_the_same_bits_for_every_number_of_threads(workers):
    X, y = data(700)
    nets = [network(widths=(70, 40)) for _ in range(2)]
    Trainer(nets[0], n_threads=1).fit(X, y, epochs=2)
    with team_of(workers):
        Trainer(nets[1], n_threads=workers).fit(X, y, epochs=2)
    assert_equal_bits(parameters(nets[1]), parameters(nets[0]))


def test_one_level_is_the_same_in_a_tuple():
    X, y = data()
    nets = [Network((11, 5, 2), loss="quantile", loss_settings={"level": level}) for level in (0.3, (0.3,), [0.3])]
    for net in nets:
        assert net.spec == nets[0].spec
        Trainer(net).fit(X, y, epochs=2)
        assert_equal_bits(parameters(net), parameters(nets[0]))


def test_streams_many_fits_weights_and_lbfgs():
    X, y = data(96)
    whole, weights = network(), np.arange(96.0)
    Trainer(whole, batch_size=16, shuffle=False).fit(X, y, epochs=2)
    nets = [network() for _ in range(2)]
    Trainer(nets[0], batch_size=16, shuffle=False).fit(Stream.of_rows(X, y, chunk_rows=48), None, epochs=2)
    single = Network((11, 17, 2), "tanh", "quantile", dtype="float64", seed=3)  # one level, in the same call
    fit_many([Trainer(net, batch_size=16, shuffle=False) for net in (nets[1], single)], X, y, 2)
    for net in nets:
        assert_equal_bits(parameters(net), parameters(whole))
    expected = oracle(2).value(whole.forward(X), y, weights)[0]
    assert whole.evaluate(X, y, sample_weight=weights).loss == pytest.approx(expected, rel=1e-12)
    before = whole.evaluate(X, y).loss
    fit_lbfgs(whole, X, y, max_iter=20)
    assert whole.evaluate(X, y).loss < before


def test_files_copies_and_exports_keep_the_levels(tmp_path):
    X, y = data()
    net = network()
    trainer = Trainer(net, shuffle=False)
    trainer.fit(X, y, epochs=1)
    net.save(tmp_path / "model")
    trainer.save(tmp_path / "checkpoint")
    state = Network.from_state_dict(net.to_state_dict(), activation="tanh", loss="quantile", loss_settings=SETTINGS)
    copies = [fastmlp.load(tmp_path / "model"), Trainer.resume(tmp_path / "checkpoint").network, state]
    copies += [pickle.loads(pickle.dumps(net)), copy.deepcopy(net)]
    trainer.fit(X, y, epochs=1)
    for other in copies:
        assert other.spec == net.spec and repr(other) == repr(net)
        Trainer(other, shuffle=False).fit(X, y, epochs=1)
        assert_equal_bits(parameters(other), parameters(net))
    assert "0.1, 0.25, 0.9" in repr(net)


@pytest.mark.parametrize(
    "level, message",
    [
        ((0.5, 0.5), r"level'\] must be a number or ascending numbers, got \(0.5, 0.5\)"),
        ((0.9, 0.1), r"level'\] must be a number or ascending numbers"),
        ((), r"level'\] must be a number or ascending numbers, got \(\)"),
        ((0.1, 1.0), r"level'\]\[1\] must be a finite number > 0 and < 1, got 1.0"),
        (0, r"level'\] must be a finite number > 0 and < 1, got 0"),
        (LEVELS, "layer_sizes must end with a multiple of the 3 levels"),
    ],
)
def test_wrong_levels_are_rejected(level, message):
    with pytest.raises(ValueError, match=message):
        Network((11, 4), loss="quantile", loss_settings={"level": level})
    with pytest.raises(TypeError, match=r"level'\]\[0\] must be a number, got 'a'"):
        Network((11, 2), loss="quantile", loss_settings={"level": ("a", 0.5)})
    with pytest.raises(TypeError, match=r"level'\] must be a number, got 'a'"):
        Network((11, 2), loss="quantile", loss_settings={"level": "a"})


def test_targets_have_a_column_for_each_target_not_for_each_output():
    X, y = data()
    net = network()
    before = parameters(net)
    for wrong in (np.repeat(y, 3, axis=1), y[:, :1], y[:, 0]):
        with pytest.raises(ValueError, match=r"y must have shape \(90, 2\)"):
            Trainer(net).fit(X, wrong, epochs=1)
    assert_equal_bits(parameters(net), before)


def test_members_of_an_ensemble_must_have_the_same_levels():
    others = Network((11, 17, 6), "tanh", "quantile", dtype="float64", loss_settings={"level": (0.1, 0.5, 0.9)})
    with pytest.raises(ValueError, match=r"quantile at \(0.1, 0.25, 0.9\).* quantile at \(0.1, 0.5, 0.9\)"):
        fastmlp.Ensemble([network(), others])
    assert len(fastmlp.Ensemble([network(), network(seed=4)])) == 2


# The estimator


def regressor(**settings):
    pytest.importorskip("sklearn")
    defaults = dict(hidden_layer_sizes=(17,), schedule="cosine", max_iter=30, learning_rate_init=0.02, random_state=0)
    return fastmlp.MLPRegressor("quantile", **{**defaults, "loss_settings": SETTINGS, **settings})


def noisy(rows, targets, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(0, 1, (rows, 2))
    y = X[:, :1] + np.arange(targets) + (0.2 + X[:, 1:]) * rng.normal(size=(rows, targets))
    return X, y if targets > 1 else y[:, 0]


@pytest.mark.parametrize("targets", [1, 3])
@pytest.mark.parametrize("n_ensemble", [1, 2])
def test_intervals_hold_their_share(targets, n_ensemble):
    """0.8 of 3000 new targets, within 5 standard deviations and what 3000 rows leave uncertain."""
    X, y = noisy(3000, targets)
    model = regressor(n_ensemble=n_ensemble).fit(X, y)
    X_new, y_new = noisy(3000, targets, seed=1)
    quantiles = model.predict_quantiles(X_new)
    assert quantiles.shape == (*y_new.shape, 3) and (np.diff(quantiles) >= 0).all()
    lower, upper = model.predict_interval(X_new)
    assert lower.shape == upper.shape == y_new.shape
    assert abs(np.mean((lower < y_new) & (y_new < upper)) - 0.8) < 5 * np.sqrt(0.8 * 0.2 / 3000) + 0.02
    predicted = model.predict(X_new)  # the level nearest to the median, 0.25
    assert predicted.shape == y_new.shape
    assert abs(np.mean(y_new < predicted) - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 3000) + 0.02


def test_fits_are_those_of_a_network_and_curves_work():
    X, y = noisy(200, 2)
    model = regressor(max_iter=3, batch_size=200, shuffle=False, solver="sgd", momentum=0, alpha=0, schedule=None)
    with pytest.warns(UserWarning):
        model.fit(X, y, eval_set=(X, y))
    assert model.n_outputs_ == 6 and len(model.validation_scores_) == len(model.validation_loss_curve_) == 3
    assert model.score(X, y) == model.validation_scores_[-1]
    net = model.to_network()
    assert net.spec.levels == LEVELS
    np.testing.assert_array_equal(np.sort(net.forward(X).reshape(200, 2, 3))[..., 1], model.predict(X))
    assert net.evaluate(X, y).loss == pytest.approx(model.validation_loss_curve_[-1], rel=1e-12)
    other = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(other.predict_quantiles(X), model.predict_quantiles(X))
    stopping = {"early_stopping": True, "stopping_metric": "loss", "n_iter_no_change": 1, "tol": 10.0}
    stopped = regressor(max_iter=5, schedule=None, **stopping).fit(X, y)
    assert len(stopped.validation_scores_) < 5
    parts = regressor(schedule=None).partial_fit(X, y).partial_fit(X, y)
    assert parts.predict_quantiles(X).shape == (200, 2, 3)


def test_what_needs_several_levels_says_so():
    X, y = noisy(50, 1)
    pytest.importorskip("sklearn")
    plain = fastmlp.MLPRegressor(max_iter=2, schedule="cosine").fit(X, y)
    with pytest.raises(
        ValueError, match="predict_quantiles needs a fit with loss='quantile', got loss='squared_error'"
    ):
        plain.predict_quantiles(X)
    one = regressor(loss_settings=None, max_iter=2).fit(X, y)
    assert one.predict_quantiles(X).shape == (50, 1)
    for model in (plain, one):
        with pytest.raises(ValueError, match="predict_interval needs a fit with loss='quantile' and several levels"):
            model.predict_interval(X)
    with pytest.raises(ValueError, match="eval_set must have 1 targets a row like fit's y, got 2"):
        regressor().fit(X, y, eval_set=noisy(50, 2))
    with pytest.raises(ValueError, match="ascending"):
        regressor(loss_settings={"level": (0.9, 0.1)}).fit(X, y)


@pytest.mark.parametrize("targets", [1, 2])
def test_the_predicted_median_is_that_of_the_sorted_quantiles(targets):
    """The quantiles of a short fit cross."""
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3))
    y = X[:, :targets] if targets > 1 else X[:, 0]
    settings = dict(loss_settings={"level": (0.4, 0.5, 0.6)}, max_iter=2, schedule="constant", random_state=0)
    model = fastmlp.MLPRegressor("quantile", (5,), early_stopping=True, **settings).fit(X, y, eval_set=(X, y))
    quantiles = model.predict_quantiles(X)
    assert (model.to_network().forward(X)[:, 1] != quantiles.reshape(120, -1)[:, 1]).any()
    np.testing.assert_array_equal(model.predict(X), quantiles[..., 1])
    assert model.best_validation_score_ == pytest.approx(metrics.r2_score(y, model.predict(X)))
    ensemble = fastmlp.MLPRegressor("quantile", (5,), n_ensemble=2, ensemble_rows="folds", **settings)
    for _ in range(2):  # the second fit knows the levels of the first one
        ensemble.fit(X, y)
        for member, part in zip(ensemble.estimators_, row_subsets.folds(120, 2)):
            np.testing.assert_array_equal(ensemble.out_of_fold_[part], member.predict_quantiles(X[part]))
    mean, spread = ensemble.predict(X, return_std=True)
    of_members = [member.predict(X) for member in ensemble.estimators_]
    np.testing.assert_allclose(mean, np.mean(of_members, axis=0), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(spread, np.std(of_members, axis=0), rtol=1e-9, atol=1e-12)
    of_quantiles = np.mean([member.predict_quantiles(X) for member in ensemble.estimators_], axis=0)
    np.testing.assert_allclose(ensemble.predict_quantiles(X), of_quantiles, rtol=1e-12, atol=1e-15)


def test_a_score_that_says_little_of_a_quantile_warns():
    X, y = noisy(60, 1)
    model = regressor(loss_settings={"level": 0.9}, early_stopping=True, max_iter=2)
    with pytest.warns(
        UserWarning, match=r"watches R\^2, which says little of the quantiles of \(0.9,\): pass stopping"
    ):
        model.fit(X, y)
    model.set_params(stopping_metric="loss").fit(X, y)
    model.set_params(stopping_metric="score", loss_settings={"level": (0.1, 0.5)}).fit(X, y)
