"""fit_ensemble: members have the bits of fits on their rows, and the ensemble is their mean."""

import copy
import pickle

import fastmlp
import numpy as np
import pytest
from fastmlp import DivergenceError, Ensemble, Network, Trainer, fit_ensemble, row_subsets
from fastmlp.losses import LOSSES, TABLE
from fastmlp.streaming import Stream
from problems import DTYPES, LAYER_SIZES, assert_equal_bits, parameters, problem
from teams import TEAMS, team_of

ROWS = 47
SEEDS = (4, 0, 9)
SETTINGS = {"layer_sizes": LAYER_SIZES, "batch_size": 8, "momentum": 0.5, "learning_rate": 0.05}


def rows_of_members(rows, seeds, samples=ROWS):
    if rows == "all":
        return [np.arange(samples)] * len(seeds)
    if rows == "bootstrap":
        return [row_subsets.bootstrap(samples, seed) for seed in seeds]
    return [np.setdiff1d(np.arange(samples), part) for part in row_subsets.folds(samples, len(seeds))]


def data(kind, loss, dtype):
    X, y = problem(ROWS, loss, dtype)
    if kind == "csr":
        X = np.round(X)
        return pytest.importorskip("scipy.sparse").csr_array(X), X, y
    return X, X, y


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["array", "csr"])
@pytest.mark.parametrize("rows", ["all", "bootstrap", "folds"])
@pytest.mark.parametrize("loss, dtype", [("cross_entropy", "float32"), ("huber", "float64")])
def test_members_are_fits_on_their_rows(loss, dtype, rows, kind, weighted):
    given, X, y = data(kind, loss, dtype)
    settings = {**SETTINGS, "loss": loss, "dtype": dtype}
    weights = np.random.default_rng(1).uniform(0.5, 2, ROWS) if weighted else None
    expected = []
    for seed, chosen in zip(SEEDS, rows_of_members(rows, SEEDS)):
        trainer = Trainer(
            Network(LAYER_SIZES, loss=loss, dtype=dtype, seed=seed), "sgd", 0.05, 8, momentum=0.5, seed=seed
        )
        of_rows = None if weights is None else weights[chosen]
        history = trainer.fit(X[chosen], y[chosen], 3, validation_data=(X, y), sample_weight=of_rows)
        expected.append((trainer.network, history))
    for n_threads in (1, 2, 7):
        more = {"n_threads": n_threads, "sample_weight": weights, "validation_data": (X, y)}
        ensemble = fit_ensemble(settings, given, y, 3, seeds=SEEDS, rows=rows, **more)
        assert len(ensemble) == len(ensemble.histories) == 3
        for member, history, (network, of_network) in zip(ensemble.members, ensemble.histories, expected):
            assert_equal_bits(parameters(member), parameters(network))
            assert (history.loss, history.val_loss) == (of_network.loss, of_network.val_loss)
        assert (ensemble.out_of_fold is not None) == (rows == "folds")
    if rows == "folds":
        for part, (network, _) in zip(row_subsets.folds(ROWS, 3), expected):
            np.testing.assert_array_equal(ensemble.out_of_fold[part], network.forward(X[part]))


def test_bootstrap_rows_and_folds():
    first, second = (row_subsets.bootstrap(1000, seed) for seed in (0, 1))
    for rows in (first, second):
        assert len(rows) == 1000 and rows.min() >= 0 and rows.max() < 1000
        assert abs(len(np.unique(rows)) - 632) < 60  # (1 - 1/e) of them, six standard deviations of about 10
    assert (first != second).any()
    np.testing.assert_array_equal(first, row_subsets.bootstrap(1000, 0))
    parts = row_subsets.folds(103, 4)
    assert sorted(map(len, parts)) == [25, 26, 26, 26]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(103))
    assert (np.diff(parts[0]) > 1).any(), "drawn at random"


def networks(loss="cross_entropy", dtype="float64", count=3):
    return [Network((5, 7, 3), "tanh", loss, dtype, seed=seed) for seed in range(count)]


@pytest.mark.parametrize("count", [1, 2, 9])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
def test_predictions_are_means_and_spreads(loss, dtype, count):
    X = np.random.default_rng(0).normal(size=(12, 5))
    members = networks(loss, dtype, count)
    ensemble = Ensemble(members)
    outputs = np.stack([member.forward(X) for member in members]).astype(float)
    mean, spread = ensemble.forward(X, return_std=True)
    eps = np.finfo(dtype).eps
    assert mean.dtype == spread.dtype == dtype
    np.testing.assert_allclose(mean, outputs.mean(axis=0), rtol=2 * eps)
    np.testing.assert_allclose(spread, outputs.std(axis=0), rtol=4 * eps, atol=count * 1e-16 * outputs.max())
    for i in range(len(X)):  # the bits of a row depend on no other row
        for found, expected in zip(ensemble.forward(X[i : i + 1], return_std=True), (mean[i], spread[i])):
            np.testing.assert_array_equal(found[0], expected)
    np.testing.assert_array_equal(ensemble.predict(X), TABLE[loss].decide(mean))


@pytest.mark.parametrize("workers", TEAMS)
def test_no_team_changes_a_bit_of_a_prediction(workers):
    X = np.random.default_rng(0).normal(size=(900, 5))  # rows for seven workers
    ensemble = Ensemble(networks())
    expected = ensemble.forward(X, 1, return_std=True)
    with team_of(workers):
        found = ensemble.forward(X, workers, return_std=True)
    assert_equal_bits(found, expected)


def test_sparse_inputs_are_predicted():
    sparse = pytest.importorskip("scipy.sparse")
    X = np.round(np.random.default_rng(0).normal(size=(12, 5)))
    ensemble = Ensemble(networks())
    for given in (sparse.csr_array(X), sparse.csc_array(X), X.tolist()):
        np.testing.assert_array_equal(ensemble.forward(given), ensemble.forward(X))


@pytest.mark.parametrize("travel", [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
def test_an_ensemble_travels(travel):
    X, y = problem(ROWS)
    ensemble = fit_ensemble(SETTINGS, X, y, 2, seeds=(0, 1), rows="folds")
    other = travel(ensemble)
    np.testing.assert_array_equal(other.forward(X), ensemble.forward(X))
    np.testing.assert_array_equal(other.out_of_fold, ensemble.out_of_fold)
    assert repr(other) == repr(ensemble) and other.histories == ensemble.histories


def test_what_it_says_of_itself():
    assert repr(Ensemble(networks(count=2))) == (
        "Ensemble(2 x Network((5, 7, 3), activation='tanh', loss='cross_entropy', dtype='float64'))"
    )
    mixed = Ensemble([Network((5, 3)), Network((5, 4, 3))])
    assert "Network((5, 3)" in repr(mixed) and "Network((5, 4, 3)" in repr(mixed)
    assert len(mixed) == 2 and mixed.histories == [] and mixed.out_of_fold is None


@pytest.mark.parametrize(
    "members, message",
    [
        ([], "at least one entry"),
        (Network((5, 3)), "a sequence of Network"),
        ("abc", r"members\[0\] must be a fastmlp.Network"),
        (3, "a sequence of Network"),
        ([Network((5, 3)), None], r"members\[1\] must be a fastmlp.Network"),
        ([Network((5, 3)), Network((6, 3))], r"5 features.*members\[1\], 6 features"),
        ([Network((5, 3)), Network((5, 4))], "3 outputs.*4 outputs"),
        ([Network((5, 3)), Network((5, 3), loss="poisson")], "cross_entropy.*poisson"),
        ([Network((5, 3)), Network((5, 3), dtype="float64")], "float32.*float64"),
    ],
)
def test_members_must_fit_together(members, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Ensemble(members)


X, Y = problem(20)
WRONG = {
    "settings": (dict(settings=[SETTINGS]), "settings must be a mapping"),
    "no sizes": (dict(settings={}), "needs layer_sizes"),
    "a seed": (dict(settings={**SETTINGS, "seed": 1}), "all but the seed, got 'seed'"),
    "a name": (dict(settings={**SETTINGS, "lr": 1}), "did you mean 'learning_rate'"),
    "seeds": (dict(seeds=3), "seeds must be an iterable of integers"),
    "no seed": (dict(seeds=[]), "seeds must have at least 1 entries.*got 0"),
    "one fold": (dict(seeds=[1], rows="folds"), "at least 2 entries.*got 1"),
    "many folds": (dict(seeds=range(21), rows="folds"), "at least 21 rows for 21 folds, got 20"),
    "a float": (dict(seeds=[1.5]), "seed must be an integer"),
    "rows": (dict(rows="half"), "rows must be one of 'all', 'bootstrap', 'folds', got 'half'"),
    "X": (dict(X=X[:, :3]), r"X must have shape \(samples, 11\)"),
    "stream": (dict(X=Stream([(X, Y)])), "got a Stream"),
    "validation_split": (dict(validation_split=0.1), "validation_split"),
    "epochs": (dict(epochs=0), "epochs"),
    "max_seconds": (dict(max_seconds=0), "max_seconds"),
    "verbose": (dict(verbose=3), "verbose"),
    "weights": (dict(sample_weight=np.zeros(20)), "positive sum"),
    "weights of one fold": (
        dict(seeds=[0, 1], rows="folds", sample_weight=np.isin(np.arange(20), row_subsets.folds(20, 2)[0])),
        "positive sum",
    ),
}


@pytest.mark.parametrize("changes, message", WRONG.values(), ids=WRONG)
def test_wrong_arguments_are_named(changes, message):
    with pytest.raises((TypeError, ValueError), match=message):
        fit_ensemble(**{"settings": SETTINGS, "X": X, "y": Y, "epochs": 1, **changes})


def test_a_member_that_diverges_is_named():
    with np.errstate(all="ignore"), pytest.raises(DivergenceError) as caught:
        fit_ensemble({**SETTINGS, "learning_rate": 1e30, "activation": "identity"}, X, Y, 3)
    assert "trainers[" in " ".join(caught.value.__notes__)


def test_callbacks_see_each_member():
    seen = []

    def note(info):
        seen.append(info.network)
        return info.epoch == 2

    ensemble = fit_ensemble(SETTINGS, X, Y, 5, seeds=(0, 1), callbacks=[note], n_threads=1)
    assert [id(network) for network in seen] == [id(member) for member in ensemble.members for _ in range(2)]
    assert [len(history.loss) for history in ensemble.histories] == [2, 2]


def test_the_data_are_kept_once(monkeypatch):
    """Every member trains on the arrays that were passed."""
    from fastmlp import training_data

    given, bind = [], training_data.bind
    monkeypatch.setattr(training_data, "bind", lambda net, X, *more: given.append(X) or bind(net, X, *more))
    for rows in ("all", "bootstrap", "folds"):
        given.clear()
        fit_ensemble(SETTINGS, X, Y, 1, seeds=(0, 1, 2), rows=rows)
        assert len(given) == 3 and all(array is X for array in given)


def test_it_is_public():
    assert fastmlp.Ensemble is Ensemble and "fit_ensemble" in dir(fastmlp)


def test_members_are_the_running_means_that_were_evaluated():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 4)), np.arange(60) % 3
    settings = {"layer_sizes": (4, 8, 3), "optimizer": "adam", "learning_rate": 0.05, "average_decay": 0.9}
    ensemble = fastmlp.fit_ensemble(settings, X, y, 3, seeds=[0, 1], validation_data=(X, y))
    for member, history in zip(ensemble.members, ensemble.histories):
        assert member.evaluate(X, y).loss == history.val_loss[-1]
    rows, networks = fastmlp.studies.compare([settings], X, y, 3, validation_data=(X, y), return_networks=True)
    assert networks[0].evaluate(X, y).loss == rows[-1]["val_loss"]
