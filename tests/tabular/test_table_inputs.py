"""What users pass to tabular estimators: tables, targets and weights of unusual kinds."""

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6", reason="needs scikit-learn")

from fastmlp.tabular import RealMLPClassifier  # noqa: E402

SMALL = {"hidden_sizes": (4,), "n_epochs": 2, "n_threads": 1}
N = 20
RNG = np.random.default_rng(0)
NUMBERS = RNG.normal(size=(N, 2))
LABELS = np.arange(N) % 2


@pytest.mark.parametrize(
    "column, categories",
    [([None] * (N - 1) + ["x"], {"x"}), ([1] * (N - 1) + [True], {1}), ([None] * (N - 1) + [False], {False})],
    ids=["text", "bool and numbers", "bool"],
)
@pytest.mark.parametrize("kind", ["array", "frame"])
def test_all_rows_decide_which_columns_of_objects_are_categories(kind, column, categories):
    """Whichever of them are held out."""
    X = np.empty((N, 2), object)
    X[:, 0], X[:, 1] = NUMBERS[:, 0], column
    if kind == "frame":
        pandas = pytest.importorskip("pandas", reason="needs pandas")
        X = pandas.DataFrame({"a": NUMBERS[:, 0], "b": pandas.Series(column, dtype=object)})
    found = [RealMLPClassifier(random_state=seed, **SMALL).fit(X, LABELS).preparation_ for seed in range(12)]
    known = [each.categories_[1] for each in found]
    assert None not in known and set().union(*known) == categories
    if None in column:
        assert [] in known and all(each.transform(X).numbers.shape == (N, 1) for each in found)
