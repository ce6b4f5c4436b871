"""TabM's estimators: scikit-learn's checks, the initial members, bins, and how a training ends."""

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6", reason="needs scikit-learn")

from fastmlp.tabular import TabMClassifier, TabMRegressor, tabm_network  # noqa: E402
from sklearn.datasets import load_iris, make_friedman1  # noqa: E402
from sklearn.utils.estimator_checks import (  # noqa: E402
    check_sample_weight_equivalence_on_dense_data,
    parametrize_with_checks,
)
from teams import TEAMS, team_of  # noqa: E402

SMALL = {"k": 4, "d_block": 24, "n_epochs": 40, "random_state": 0}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # their data of infinite values, before they are rejected
@parametrize_with_checks(
    [
        TabMClassifier(**(SMALL | {"n_epochs": 100, "lr": 0.02, "patience": None})),
        TabMRegressor(
            arch_type="tabm-mini", num_embeddings="none", **(SMALL | {"n_epochs": 100, "lr": 0.02, "patience": None})
        ),
    ]
)
def test_check_estimator(estimator, check):
    if check.func is check_sample_weight_equivalence_on_dense_data:
        pytest.skip("batches of random rows: a row twice is another training than a row of weight 2")
    check(estimator)


def test_defaults_are_those_of_the_paper():
    """Of the package's TabM.make and its example."""
    settings = TabMClassifier()._resolved()
    expected = {
        "arch_type": "tabm",
        "k": 32,
        "n_blocks": 2,
        "d_block": 512,
        "dropout": 0.1,
        "activation": "relu",
        "n_bins": 48,
        "d_embedding": 16,
        "start_scaling_init": "normal",
        "lr": 2e-3,
        "weight_decay": 3e-4,
        "gradient_clipping_norm": 1.0,
        "batch_size": 256,
        "patience": 16,
    }
    assert {name: settings[name] for name in expected} == expected
    plain = TabMRegressor(num_embeddings="none")._resolved()
    assert (plain["n_blocks"], plain["start_scaling_init"]) == (3, "random_signs")


@pytest.mark.parametrize("arch_type", tabm_network.ARCHITECTURES)
@pytest.mark.parametrize("num_embeddings", tabm_network.EMBEDDINGS)
def test_members_differ_in_the_first_factors_and_in_the_output_layers(arch_type, num_embeddings):
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame({"x": rng.normal(size=90), "c": rng.choice(list("abc"), 90), "z": rng.normal(size=90)})
    model = TabMRegressor(arch_type=arch_type, num_embeddings=num_embeddings, lr=1e-30, **(SMALL | {"n_epochs": 1}))
    values = model.fit(frame, rng.normal(size=90)).networks_[0].parameters
    factors = values["hidden.0.input_factors"]
    per_number = 16 if num_embeddings == "piecewise_linear" else 1
    assert factors.shape == (4, 2 * per_number + 3)
    for first, last in ((0, per_number), (per_number, 2 * per_number), (2 * per_number, 2 * per_number + 3)):
        assert (factors[:, first:last] == factors[:, first : first + 1]).all()
    assert len(np.unique(factors)) == (2 if num_embeddings == "none" else 12)
    if num_embeddings == "none":
        assert set(np.unique(factors)) == {-1.0, 1.0}
    else:
        np.testing.assert_allclose(values["numbers.weights"], 0, atol=1e-20)
        assert 0.2 < np.abs(values["numbers.slopes"]).max() <= 0.25
    others = [name for name in values if name.endswith("factors") and name != "hidden.0.input_factors"]
    assert len(others) == (0 if arch_type == "tabm-mini" else 3 if num_embeddings == "piecewise_linear" else 5)
    assert all((values[name] == 1).all() for name in others)
    for name in values:
        if name.endswith("member_biases"):
            assert (values[name] == values[name][0]).all() and len(np.unique(values[name][0])) > 20
    assert np.abs(values["hidden.1.weights"]).max() <= 1 / np.sqrt(24)
    assert not np.array_equal(values["heads.0.weights"], values["heads.1.weights"])


def test_decay_leaves_out_biases_and_linear_parts():
    X, y = make_friedman1(60, random_state=0)
    model = TabMRegressor(**(SMALL | {"n_epochs": 1})).fit(X, y)
    decays = {name for name, each in tabm_network.factors(model.networks_[0]).items() if each.weight_decay}
    assert decays == {
        "numbers.weights",
        *(f"hidden.{i}.{kind}" for i in (0, 1) for kind in ("input_factors", "output_factors", "weights")),
        *(f"heads.{i}.weights" for i in range(4)),
    }


def test_bins_are_quantiles():
    rng = np.random.default_rng(0)
    numbers = np.stack([rng.normal(size=1000), np.repeat([0.0, 1.0], 500), np.zeros(1000)], axis=1).astype(np.float32)
    edges = tabm_network.bin_edges(numbers, 4)
    np.testing.assert_allclose(edges[0], np.quantile(numbers[:, 0], [0, 0.25, 0.5, 0.75, 1]), rtol=1e-6)
    assert edges[1] == (0.0, 0.5, 1.0)
    assert edges[2] == (0.0, 1.0)
    assert len(tabm_network.bin_edges(numbers[:3], 48)[0]) == 3


def test_bins_are_not_narrow():
    """An embedding that is steep in the first bin would give huge values below it."""
    rng = np.random.default_rng(0)
    X = np.concatenate([np.zeros(300), 1e-11 * rng.random(180), rng.exponential(size=120)])[:, None]
    model = TabMRegressor(**SMALL).fit(X, X[:, 0] > 1e-3)
    (edges,) = model.networks_[0].architecture.bin_edges
    assert np.diff(edges).min() >= tabm_network.MIN_WIDTH * (1 - 1e-6) and len(edges) > 5
    assert np.abs(model.predict([[-1e-3], [-1.0], [0.0]])).max() < 30


def test_learns_and_stops_early():
    X, y = make_friedman1(600, random_state=0)
    model = TabMRegressor(k=8, d_block=64, patience=3, random_state=0).fit(X[:500], y[:500])
    assert model.score(X[500:], y[500:]) > 0.9
    scores = model.history_["val_rmse"]
    assert model.best_epochs_[0] == int(np.argmin(scores)) + 1
    assert len(scores) == model.best_epochs_[0] + 4 < 1000  # the fourth epoch that is not better ends it
    ties = TabMRegressor(patience=3, validation_metric=lambda y, p: 1.0, **SMALL).fit(X, y)
    assert ties.best_epochs_ == [1] and len(ties.history_.loss) == 5


def test_the_rows_that_are_left_are_a_batch():
    """Adam's first update moves biases by the learning rate, the second one those of unequal classes by nearly as much."""
    X, y = load_iris().data, np.arange(150) < 130
    settings = SMALL | {"n_epochs": 1, "batch_size": 100, "val_fraction": 0.0}
    start, end = (TabMClassifier(lr=lr, **settings).fit(X, y).networks_[0].parameters for lr in (1e-30, 1e-4))
    assert 1.5e-4 < np.abs(end["heads.0.biases"] - start["heads.0.biases"]).max() < 2.1e-4


def test_the_same_seed_gives_the_same_bits_for_every_number_of_threads():
    X, y = load_iris(return_X_y=True)
    found = []
    for n in (1, *TEAMS):
        with team_of(n):
            found.append(TabMClassifier(n_threads=n, **SMALL).fit(X, y).predict_proba(X[:100]))
    assert all(np.array_equal(each, found[0]) for each in found)


def test_quantiles_of_members_and_pickle():
    X, y = make_friedman1(300, random_state=0)
    model = TabMRegressor(objective="quantile", quantiles=(0.2, 0.8), **SMALL).fit(X, y)
    predictions = model.predict(X)
    assert predictions.shape == (300, 2) and (predictions[:, 0] < predictions[:, 1]).mean() > 0.9
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict(X), predictions)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"arch_type": "tabm-packed"}, "arch_type must be one of"),
        ({"num_embeddings": "periodic"}, "num_embeddings must be one of"),
        ({"k": 0}, "k must be"),
        ({"n_bins": 1}, "n_bins must be"),
        ({"d_embedding": 65}, "d_embedding must be"),
        ({"gradient_clipping_norm": 0}, "gradient_clipping_norm must be"),
        ({"patience": -1}, "patience must be"),
        ({"dropout": 1}, "dropout must be"),
        ({"activation": "softmax"}, "activation must be one of"),
    ],
)
def test_wrong_settings_are_rejected(settings, message):
    X, y = make_friedman1(20, random_state=0)
    with pytest.raises(ValueError, match=message):
        TabMRegressor(**settings).fit(X, y)
