"""What tests of the tabular estimators share: small tables, and settings of quick fits."""

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6", reason="needs scikit-learn")

from sklearn.datasets import make_friedman1  # noqa: E402

SMALL = {"hidden_sizes": (16, 16), "n_epochs": 30, "random_state": 0}


def friedman(rows=300):
    X, y = make_friedman1(rows, random_state=0)
    return X, y


def table_of_people(rows=200, seed=0):
    """A frame with numbers, categories and missing values, and labels that depend on all of them."""
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    rng = np.random.default_rng(seed)
    frame = pandas.DataFrame(
        {
            "age": rng.integers(18, 90, rows).astype(float),
            "income": rng.lognormal(10, 1, rows),
            "city": rng.choice(list("abcdefghijkl"), rows),
            "plan": pandas.Categorical(rng.choice(["free", "paid", "team"], rows)),
            "active": rng.random(rows) < 0.5,
        }
    )
    score = frame["age"] / 50 + frame["active"] + (frame["plan"] == "paid") + frame["city"].isin(list("abc"))
    labels = np.where(score > score.median(), "yes", "no")
    frame.loc[rng.random(rows) < 0.2, "age"] = np.nan
    frame.loc[rng.random(rows) < 0.2, "city"] = None
    return frame, labels
