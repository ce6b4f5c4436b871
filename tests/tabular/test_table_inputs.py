"""What users pass to tabular estimators: tables, targets and weights of unusual kinds."""

import math
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6", reason="needs scikit-learn")

from fastmlp.tabular import RealMLPClassifier, RealMLPRegressor  # noqa: E402

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


@pytest.mark.parametrize("missing", [None, float("nan")])
@pytest.mark.parametrize("later", ["x", 3.5, None])
def test_a_column_of_objects_that_are_all_missing_may_hold_anything_at_prediction(missing, later):
    X = np.empty((N, 2), object)
    X[:, 0], X[:, 1] = NUMBERS[:, 0], missing
    model = RealMLPClassifier(**SMALL).fit(X, LABELS)
    assert model.preparation_.categories_ == [None, []]
    other = X.copy()
    other[:, 1] = later
    assert np.array_equal(model.predict_proba(other), model.predict_proba(X))


def masked(values):
    return np.ma.masked_array(values, mask=np.arange(len(values)) == 3)


TARGETS = NUMBERS.sum(axis=1)
DATES = np.arange(N).astype("M8[D]")


@pytest.mark.parametrize(
    "y, error, found",
    [
        (masked(TARGETS), ValueError, "y must have no masked entries, got 1 of them"),
        (DATES, TypeError, r"real numbers, got dtype datetime64\[D\]$"),
        (DATES - DATES[0], TypeError, r"real numbers, got dtype timedelta64\[D\]$"),
        (TARGETS.astype(complex), ValueError, "real numbers, got dtype complex128"),
        (TARGETS.astype(str).astype(object), TypeError, r"values of type str: pass y.astype\(float\)"),
        (np.array([*TARGETS[1:], "1"], object), TypeError, "real numbers, got values of type str"),
        ({"y": TARGETS}, TypeError, "real numbers, got values of type dict"),
    ],
    ids=["masked", "dates", "durations", "complex", "text", "mixed", "dict"],
)
def test_targets_that_are_no_numbers_are_rejected(y, error, found):
    with pytest.raises(error, match=f"(?m){found}"):
        RealMLPRegressor(**SMALL).fit(NUMBERS, y)
    with pytest.raises(error, match=f"(?m){found}"):
        RealMLPRegressor(**SMALL).fit(NUMBERS, TARGETS, eval_set=(NUMBERS, y))


@pytest.mark.parametrize("missing", [None, math.nan])
def test_missing_labels_are_named(missing):
    y = np.where(LABELS == 1, "yes", "no").astype(object)
    broken = y.copy()
    broken[3] = missing
    with pytest.raises(ValueError, match=f"^y must have a label in each row, got {missing} in row 3$"):
        RealMLPClassifier(**SMALL).fit(NUMBERS, broken)
    with pytest.raises(ValueError, match=f"^the y of eval_set must have a label in each row, got {missing} in row 3"):
        RealMLPClassifier(**SMALL).fit(NUMBERS, y, eval_set=(NUMBERS, broken))


def test_labels_of_text_and_of_numbers_are_named():
    mixed = np.array(["a", 1] * (N // 2), object)
    with pytest.raises(TypeError, match="^y must hold labels of one type, got 'a' and 1$"):
        RealMLPClassifier(**SMALL).fit(NUMBERS, mixed)


def test_targets_in_columns_of_text_are_rejected():
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    for dtype in ("object", "string"):
        with pytest.raises(TypeError, match=r"y must .* got values of type str: pass y.astype\(float\)"):
            RealMLPRegressor(**SMALL).fit(NUMBERS, pandas.Series(TARGETS.astype(str), dtype=dtype))
    missing = pandas.Series([None, *TARGETS[1:]], dtype="Float64")
    with pytest.raises(ValueError, match="Input y contains NaN"):
        RealMLPRegressor(**SMALL).fit(NUMBERS, missing)
    with pytest.raises(ValueError, match=r"sample_weight must hold numbers .* got nan in row 0"):
        RealMLPRegressor(**SMALL).fit(NUMBERS, TARGETS, missing)


@pytest.mark.parametrize("kind", ["array", "list"])
def test_masked_labels_and_rows_are_rejected(kind):
    rows = np.ma.masked_greater(NUMBERS, 1.0)
    X = list(rows) if kind == "list" else rows
    for arguments, name in (((NUMBERS, masked(LABELS)), "y"), ((X, LABELS), "X")):
        with pytest.raises(ValueError, match=f"{name} must have no masked entries"):
            RealMLPClassifier(**SMALL).fit(*arguments)
        with pytest.raises(ValueError, match=f"{name} must have no masked entries"):
            RealMLPClassifier(**SMALL).fit(NUMBERS, LABELS, eval_set=arguments)


@pytest.mark.parametrize(
    "weights, error, found",
    [
        (masked(np.ones(N)), ValueError, "have no masked entries, got 1 of them"),
        (DATES, TypeError, r"real numbers, got dtype datetime64\[D\]$"),
        (np.full(N, 1 + 1j), ValueError, "real numbers, got dtype complex128$"),
        (np.full(N, "1"), TypeError, "real numbers, got dtype <U1$"),
        ("balanced", TypeError, "real numbers, got dtype <U8$"),
        ({0: 1.0}, TypeError, "real numbers, got values of type dict$"),
        ([None] * N, ValueError, r"numbers in \[0, 1e\+100\], got nan in row 0$"),
        (np.where(np.arange(N) == 4, -1, 1), ValueError, r"numbers in \[0, 1e\+100\], got -1.0 in row 4$"),
        (np.full(N, 1e308), ValueError, r"numbers in \[0, 1e\+100\], got 1e\+308 in row 0$"),
        (np.zeros(N), ValueError, "a number above 0, got zeros only$"),
        (np.ones((N, 1)), ValueError, r"shape \(20,\), got \(20, 1\)$"),
    ],
    ids=["masked", "dates", "complex", "text", "word", "dict", "None", "negative", "huge", "zeros", "column"],
)
def test_weights_that_cannot_be_used_are_rejected(weights, error, found):
    with pytest.raises(error, match=f"(?m)sample_weight must .*{found}"):
        RealMLPClassifier(**SMALL).fit(NUMBERS, LABELS, weights)
    with pytest.raises(error, match=f"(?m)the sample_weight of eval_set must .*{found}"):
        RealMLPClassifier(**SMALL).fit(NUMBERS, LABELS, eval_set=(NUMBERS, LABELS, weights))


def test_large_weights_are_relative():
    expected = RealMLPClassifier(random_state=0, **SMALL).fit(NUMBERS, LABELS).predict_proba(NUMBERS)
    factors = {0: 2.0**330, 1: 2.0**330}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = RealMLPClassifier(class_weight=factors, random_state=0, **SMALL)
        found = model.fit(NUMBERS, LABELS, np.full(N, 2.0**330)).predict_proba(NUMBERS)
    assert np.array_equal(found, expected)
    with pytest.raises(ValueError, match=r"class_weight must hold numbers in \[0, 1e\+100\], .* got {0: 1e\+200"):
        RealMLPClassifier(class_weight={0: 1e200, 1: 1.0}, **SMALL).fit(NUMBERS, LABELS)


@pytest.mark.parametrize(
    "eval_set, error, found",
    [
        ((np.where(NUMBERS > 1, np.inf, NUMBERS), TARGETS), ValueError, "got inf in row"),
        ((NUMBERS, TARGETS[:5]), ValueError, r"numbers of samples: \[20, 5\]"),
        ((NUMBERS[:, :1], TARGETS), ValueError, "X has 1 features"),
        ((NUMBERS.astype(str), TARGETS), TypeError, "must hold numbers as in fit"),
        ((None, TARGETS), TypeError, "got NoneType"),
        ((NUMBERS, np.full(N, np.nan)), ValueError, "Input y contains NaN"),
        ((NUMBERS, NUMBERS), ValueError, "eval_set must have 1 targets as y has, got 2"),
    ],
    ids=["inf", "length", "columns", "text", "None", "missing y", "targets"],
)
def test_errors_about_an_eval_set_name_it(eval_set, error, found):
    with pytest.raises(error, match=f"(?s){found}.*eval_set, which a Pipeline does not transform"):
        RealMLPRegressor(**SMALL).fit(NUMBERS, TARGETS, eval_set=eval_set)


@pytest.mark.parametrize(
    "class_weight, error, found",
    [
        ("balance", ValueError, "must be a dict of label to number, 'balanced' or None, got 'balance'"),
        ([1, 2], ValueError, r"must be a dict of label to number, 'balanced' or None, got \[1, 2\]"),
        ({0: "1"}, TypeError, "must hold numbers, got '1'"),
        ({0: None}, TypeError, "must hold numbers, got None"),
    ],
)
def test_class_weights_of_other_kinds_are_rejected(class_weight, error, found):
    with pytest.raises(error, match=f"^class_weight {found}$"):
        RealMLPClassifier(class_weight=class_weight, **SMALL).fit(NUMBERS, LABELS)


@pytest.mark.parametrize("y", [TARGETS, np.stack([TARGETS, -TARGETS], axis=1)], ids=["one target", "two targets"])
@pytest.mark.parametrize("metric", ["rmse", "mae"])
def test_scores_of_several_quantiles_are_those_of_the_one_nearest_to_the_median(metric, y):
    settings = {"objective": "quantile", "quantiles": (0.1, 0.4, 0.95), "validation_metric": metric, "random_state": 0}
    model = RealMLPRegressor(**settings, **SMALL).fit(NUMBERS, y, eval_set=(NUMBERS, y))
    distances = np.abs(y.reshape(N, -1) - model.predict(NUMBERS)[:, 1::3])
    assert model.best_scores_[0] == pytest.approx(distances.mean() if metric == "mae" else (distances**2).mean() ** 0.5)


def test_labels_of_an_eval_set_are_those_of_y():
    with pytest.raises(ValueError, match=r"eval_set has the label 0, which y lacks: its classes are \['0', '1'\]"):
        RealMLPClassifier(**SMALL).fit(NUMBERS, LABELS.astype(str), eval_set=(NUMBERS, LABELS))


def test_an_eval_set_is_prepared_once():
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    frame = pandas.DataFrame(NUMBERS, columns=["a", "b"])
    with pytest.warns(UserWarning, match="X has feature names") as warned:
        RealMLPRegressor(**SMALL).fit(NUMBERS, TARGETS, eval_set=(frame, TARGETS))
    assert len(warned) == 1


@pytest.mark.parametrize("known", [0, 1])
def test_a_table_of_missing_categories_is_named(known):
    """One known category is a column; without one there is nothing to learn from."""
    X = np.array([["x"] * known + [None] * (N - known)], object).T
    model = RealMLPClassifier(val_fraction=0.0, categorical_features=[0], **SMALL)
    if known:
        assert model.fit(X, LABELS).predict_proba(X).shape == (N, 2)
        return
    with pytest.raises(
        ValueError, match="X must have a column with values, got categories that are missing in 20 rows"
    ):
        model.fit(X, LABELS)
