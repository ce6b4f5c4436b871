"""Problems for estimators, scikit-learn's own models of them, and how the two are compared."""

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.9", reason="compares with scikit-learn 1.9's own models")

from fastmlp import MLPClassifier, MLPRegressor  # noqa: E402
from sklearn import neural_network  # noqa: E402
from sklearn.datasets import load_diabetes, load_digits, load_wine, make_multilabel_classification  # noqa: E402
from sklearn.preprocessing import scale  # noqa: E402

THEIRS = {MLPClassifier: neural_network.MLPClassifier, MLPRegressor: neural_network.MLPRegressor}


def scaled(load):
    X, y = load(return_X_y=True)
    return scale(X), y


def diabetes():
    X, y = scaled(load_diabetes)
    return X, y / 100


def counts():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4))
    return X, rng.poisson(np.exp(X @ [0.5, -0.3, 0.2, 0.1])).astype(float)


def labels_as_text():
    X, y = scaled(load_wine)
    return X, np.array(["barolo", "grignolino", "barbera"], dtype=object)[y]


def many_labels():
    return make_multilabel_classification(n_samples=120, n_classes=4, random_state=0)


def digits(kind=np.asarray):
    X, y = load_digits(return_X_y=True)
    return kind(X[:400]), y[:400]


def row_weights(rows):
    return np.random.default_rng(1).uniform(0.1, 3, rows)


def assert_same_model(ours, theirs, tolerance=1e-5):
    """Each parameter within the tolerance of its size, or of a thousandth of its layer's largest."""
    assert ours.n_iter_ == theirs.n_iter_
    pairs = zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True)
    for a, b in pairs:
        assert a.shape == b.shape
        assert (np.abs(a - b) <= tolerance * np.maximum(np.abs(b), 1e-3 * np.abs(b).max())).all()


def assert_same_attributes(ours, theirs):
    for name in ("loss_curve_", "validation_scores_", "best_loss_", "best_validation_score_", "loss_"):
        assert hasattr(ours, name) == hasattr(theirs, name) or name == "validation_scores_"
        value = getattr(theirs, name, None)
        if value is None:
            assert getattr(ours, name, None) is None
        else:
            np.testing.assert_allclose(getattr(ours, name), value, rtol=1e-6, atol=1e-9)
    for name in ("t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(ours, name) == getattr(theirs, name)


def ties(kind):
    """Few rows, of which 16 are held out: scores are k/16, often the same, and steps of one are exactly 0.0625."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(64, 4))
    separable = X[:, 0] > 0
    if kind == "separable":
        return X + 2 * np.c_[separable, separable, separable, separable], separable.astype(int)
    return X, np.where(rng.random(64) < 0.3, rng.integers(0, 3, 64), separable)
