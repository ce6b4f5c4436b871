"""How tables of pandas, polars and NumPy become what the tabular networks read, against an oracle of single values."""

import json
import math
import pickle
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6", reason="the preparation of tables needs scikit-learn 1.6")

from fastmlp.tabular.preparation import Preparation  # noqa: E402
from scipy import sparse, special  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.exceptions import NotFittedError  # noqa: E402
from sklearn.preprocessing import OrdinalEncoder  # noqa: E402

TOLERANCE = {"rtol": 4 * np.finfo(np.float32).eps, "atol": 1e-12}  # one rounding to float32, some in double
RARE = 2 / math.sqrt(1 + 4 / 9)
"""A one in a column of 0 and 1 with less than a quarter of ones: the smooth clip of 1 / (half the range)."""


def columns(rows, seed, extra=()):
    """A column per case, None for missing; `extra` are texts that each text column holds too."""
    rng = np.random.default_rng(seed)

    def text(n, *more):
        return [str(each) for each in rng.permutation([*(f"v{i}" for i in range(n)), *more] * rows)[:rows]]

    def lacking(values, every):
        return [None if i % every == 1 else value for i, value in enumerate(values)]

    return {
        "red": lacking(text(2, *extra), 7),  # one column of +1 and -1
        "size": rng.normal(size=rows).tolist(),
        "town": text(9, *extra),  # 9 + 1 codes: embedded
        "age": lacking((1e3 * rng.exponential(size=rows)).round(3).tolist(), 5),
        "kind": text(3, *extra),
        "rooms": rng.integers(0, 9, rows).tolist(),
        "only": lacking(text(1, *extra), 4),
        "is_new": (rng.random(rows) < 0.7).tolist(),
        "shape": lacking(text(8, *extra), 9),  # 8 + 1 codes: one-hot
        "rarely": [1.0 * (i < 3) for i in range(rows)],
    }


TRAIN, TEST = columns(120, 0), columns(60, 1, extra=["new", "v00"])
for name in ("size", "is_new"):  # missing only after the fit
    TEST[name][3] = None


def pandas_frame(table, nullable=False, categories=False):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame(table)
    if categories:
        return frame.assign(**{name: frame[name].astype("category") for name in ("red", "town", "is_new", "shape")})
    return frame.convert_dtypes() if nullable else frame


def polars_frame(table, categories=False):
    polars = pytest.importorskip("polars", reason="polars is not installed")
    frame = polars.DataFrame(table)
    return frame.with_columns(polars.col("red", "town", "shape").cast(polars.Categorical)) if categories else frame


def object_array(table):
    array = np.empty((len(table["red"]), len(table)), object)
    for i, values in enumerate(table.values()):
        array[:, i] = values
    return array


TABLES = {
    "pandas": pandas_frame,
    "pandas, nullable": lambda table: pandas_frame(table, nullable=True),
    "pandas, categories": lambda table: pandas_frame(table, categories=True),
    "polars": polars_frame,
    "polars, categories": lambda table: polars_frame(table, categories=True),
    "objects": object_array,
}


def oracle(train, test, one_hot_scaled=True, max_one_hot_size=9):
    """numbers, one_hot and codes of `test`, value by value."""

    def robust(values, learned):
        low, quarter, median, three_quarters, high = np.quantile(learned, [0, 0.25, 0.5, 0.75, 1])
        divisor = three_quarters - quarter if three_quarters > quarter else (high - low) / 2
        scaled = [0.0 if value is None or divisor == 0 else (value - median) / divisor for value in values]
        return [z / math.sqrt(1 + (z / 3) ** 2) for z in scaled]

    def one_hot(values, known):
        if len(known) == 1:
            return [[1.0 if value == known[0] else -1.0 for value in values]]
        if len(known) == 2:
            return [[1.0 if value == known[0] else -1.0 if value == known[1] else 0.0 for value in values]]
        return [[float(value == each) for value in values] for each in known]

    found = {"numbers": [], "one_hot": [], "codes": []}
    for name in train:
        present = [value for value in train[name] if value is not None]
        if isinstance(present[0], float | int) and not isinstance(present[0], bool):
            found["numbers"].append(robust(test[name], present))
            both = [[[float(value is None) for value in part[name]]] for part in (train, test)]
            both = both if len(present) < len(train[name]) else [[], []]
        else:
            known = sorted(set(present))
            if max_one_hot_size is not None and len(known) + 1 > max_one_hot_size:
                found["codes"].append([known.index(value) + 1 if value in known else 0 for value in test[name]])
                continue
            both = [one_hot(part[name], known) for part in (train, test)]
        for learned, values in zip(*both):
            found["one_hot"].append(robust(values, learned) if one_hot_scaled else values)
    rows = len(test["red"])
    return {part: np.array(values).reshape(-1, rows).T for part, values in found.items()}


def assert_prepared(prepared, expected):
    for part, dtype in {"numbers": np.float32, "one_hot": np.float32, "codes": np.int32}.items():
        found = getattr(prepared, part)
        assert (found.dtype, found.shape) == (dtype, expected[part].shape), part
        np.testing.assert_allclose(found, expected[part], **TOLERANCE, err_msg=part)


def assert_same(found, expected):
    for part in ("numbers", "one_hot", "codes"):
        assert getattr(found, part).tobytes() == getattr(expected, part).tobytes()


def column_of(values, **settings):
    """A preparation that has learned one column, and its parts of the same rows."""
    X = np.array(values)[:, None] if not isinstance(values, np.ndarray) else values[:, None]
    preparation = Preparation(**settings).fit(X)
    return preparation, preparation.transform(X)


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize(
    "settings", [{}, {"one_hot_scaled": False}, {"max_one_hot_size": None}, {"max_one_hot_size": 3}], ids=str
)
def test_as_the_oracle(kind, settings):
    train, test = TABLES[kind](TRAIN), TABLES[kind](TEST)
    preparation = Preparation(**settings).fit(train)
    assert_prepared(preparation.transform(train), oracle(TRAIN, TRAIN, **settings))
    expected = oracle(TRAIN, TEST, **settings)
    assert_prepared(preparation.transform(test), expected)
    assert preparation.n_features_in_ == len(TRAIN)
    assert preparation.n_numbers_ == expected["numbers"].shape[1]
    assert preparation.n_one_hot_ == expected["one_hot"].shape[1]
    assert len(preparation.cardinalities_) == expected["codes"].shape[1]
    if kind == "objects":
        assert not hasattr(preparation, "feature_names_in_")
    else:
        assert preparation.feature_names_in_.tolist() == list(TRAIN)


def test_cardinalities_count_the_code_zero():
    assert Preparation().fit(object_array(TRAIN)).cardinalities_ == (10,)
    assert Preparation(max_one_hot_size=0).fit(object_array(TRAIN)).cardinalities_ == (3, 10, 4, 2, 3, 9)


def test_codes_are_those_of_the_ordinal_encoder():
    train, test = ([[value] for value in table["town"]] for table in (TRAIN, TEST))
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1).fit(train)
    found = Preparation().fit(np.array(train, object)).transform(np.array(test, object)).codes
    np.testing.assert_array_equal(found, encoder.transform(test) + 1)


def test_missing_categories_need_no_pandas(monkeypatch):
    values = np.array(["a", None, "b", float("nan"), "a", "c"], object)
    expected = column_of(values)[1]
    monkeypatch.delitem(sys.modules, "pandas", raising=False)
    assert_same(column_of(values)[1], expected)
    assert not expected.one_hot[[1, 3]].any()


@pytest.mark.parametrize("values, known", [(["b", "a"], ["a", "b"]), ([True, False], [False, True])])
def test_the_first_of_two_categories_is_positive(values, known):
    preparation, prepared = column_of(np.array([*values, None], object), one_hot_scaled=False)
    assert preparation.categories_ == [known]
    assert prepared.one_hot[:, 0].tolist() == [-1, 1, 0]


def test_rare_categories():
    values = np.array(["a"] * 20 + ["b"] * 5 + ["c"] * 10, object)  # 57, 14 and 29 per cent
    _, prepared = column_of(values)
    np.testing.assert_allclose(prepared.one_hot[20], [-1 / math.sqrt(1 + 1 / 9), RARE, 0], **TOLERANCE)
    assert prepared.one_hot[0, 1] == 0


@pytest.mark.parametrize("numeric", ["robust", "quantiles"])
@pytest.mark.parametrize("values", [[7.5] * 40, [0.1, np.nan] * 20, [np.nan] * 40, [3] * 40])
def test_constant_columns_become_zero(numeric, values):
    preparation, prepared = column_of(values, numeric=numeric)
    assert prepared.numbers.tolist() == [[0.0]] * 40
    assert preparation.transform([[1e9]]).numbers == 0
    assert preparation.n_one_hot_ == int(np.isnan(values).any())


def test_a_column_without_a_known_category_gives_no_column():
    X = np.array([[None, 1.0], [None, 2.0]], object)
    preparation = Preparation(categorical_features=[0], max_one_hot_size=0).fit(X)
    assert (preparation.n_one_hot_, preparation.cardinalities_) == (0, ())
    assert preparation.transform(np.array([["new", 1.0]], object)).one_hot.shape == (1, 0)


def test_equal_quartiles_are_replaced_by_half_the_range():
    _, prepared = column_of([5.0] * 9 + [9.0])
    np.testing.assert_allclose(prepared.numbers[[0, 9], 0], [0, RARE], **TOLERANCE)


@pytest.mark.parametrize("numeric, limit", [("robust", 0), ("quantiles", special.ndtri(5 / 9))])  # 4/9 < 1/2 < 5/9
def test_a_missing_number_is_the_median(numeric, limit):
    values = np.random.default_rng(0).normal(size=101)
    preparation, _ = column_of(values, numeric=numeric, random_state=0)
    found = preparation.transform([[np.nan], [np.median(values)]])
    assert found.one_hot.shape == (2, 0)
    assert found.numbers[0] == found.numbers[1]
    assert abs(found.numbers[0]) <= limit


@pytest.mark.parametrize("rows, n_quantiles", [(7, 7), (200, 10), (3001, 100), (30_060, 1000)])
def test_quantiles_become_normal(rows, n_quantiles):
    x = np.random.default_rng(0).exponential(size=(rows, 2))
    found = Preparation(numeric="quantiles", random_state=3).fit(x).transform(x).numbers
    noisy = x + np.random.RandomState(3).normal(0, 1e-5, x.shape)
    levels = np.linspace(0, 1, n_quantiles)
    for i in range(2):
        quantile = np.interp(x[:, i], np.quantile(noisy[:, i], levels), levels)
        inside = (quantile > 1e-6) & (quantile < 1 - 1e-6)  # scikit-learn clips further outside
        assert inside.sum() >= rows - 5
        np.testing.assert_allclose(found[inside, i], special.ndtri(quantile[inside]), rtol=1e-5, atol=1e-6)
        assert np.abs(found[:, i]).max() < 5.2


def test_missing_numbers_are_the_median_before_quantiles():
    values = np.arange(31.0)
    values[::3] = np.nan
    imputed = np.where(np.isnan(values), np.nanmedian(values), values)
    settings = {"numeric": "quantiles", "random_state": 0, "one_hot_scaled": False}
    found, expected = column_of(values, **settings)[1], column_of(imputed, **settings)[1]
    np.testing.assert_array_equal(found.numbers, expected.numbers)
    assert found.one_hot[:, 0].tolist() == np.isnan(values).tolist()


def test_a_refit_forgets_the_quantiles():
    preparation, _ = column_of([1.0, 2.0, 4.0], numeric="quantiles")
    preparation.set_params(numeric="robust").fit([[1.0], [2.0], [4.0]])
    assert "quantiles" not in preparation.state()["arrays"]


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.longdouble, np.int8, np.uint64, bool, object])
def test_the_type_of_numbers_does_not_matter(dtype):
    X = np.random.default_rng(0).integers(0, 2, (50, 3))
    X = X if dtype is bool else 3 * X + np.arange(50)[:, None]
    expected = Preparation().fit(X.astype(np.float64)).transform(X.astype(np.float64))
    assert_same(Preparation().fit(X.astype(dtype)).transform(X.astype(dtype)), expected)
    assert_same(Preparation().fit(X).transform(X.astype(dtype)), expected)
    assert expected.numbers.shape == (50, 3)


def test_float32_gives_float64_up_to_rounding():
    X = np.random.default_rng(0).normal(size=(101, 3))
    found, expected = Preparation().fit(X.astype(np.float32)), Preparation().fit(X)
    np.testing.assert_allclose(
        found.transform(X.astype(np.float32)).numbers, expected.transform(X).numbers, rtol=0, atol=2e-6
    )  # values up to 4, differences over quartiles' distances of 1.3


def test_all_finite_numbers_stay_finite():
    X = np.array([[1e300, 1e-310, 1e-300], [-1e300, 0, 0], [0, 1e-310, 2e-300], [5e299, 0, 1e-300]])
    preparation = Preparation().fit(X)
    quantiles = Preparation(numeric="quantiles", random_state=0).fit(X)
    for rows in (X, 1e300 * np.eye(3), -1e300 * np.eye(3)):
        found = preparation.transform(rows).numbers
        assert np.isfinite(found).all() and np.abs(found).max() <= 3
        found = quantiles.transform(rows).numbers
        assert np.isfinite(found).all() and np.abs(found).max() < 6


def test_categories_of_numbers():
    X = np.array([[3, 1.5], [1, 2.5], [2, 1.0], [1, 0.0]])
    preparation = Preparation(categorical_features=[0], one_hot_scaled=False).fit(X)
    assert preparation.categories_ == [[1, 2, 3], None]
    for first in ([2, 7, 3], [2.0, np.nan, 3.0], np.array([2, None, 3.0], object)):
        rows = np.stack([first, np.zeros(3)], axis=1)
        assert preparation.transform(rows).one_hot.tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 1]]


IDS = [2**53, 2**53 + 1, None, 2**53 + 2]


@pytest.mark.parametrize("kind", ["Int64", "UInt64", "category", "object", "polars"])
def test_large_integers_are_different_categories_beside_missing_values(kind):
    if kind == "polars":
        frame = pytest.importorskip("polars", reason="polars is not installed").DataFrame({"id": IDS})
    else:
        pandas = pytest.importorskip("pandas", reason="pandas is not installed")
        column = pandas.Categorical(IDS) if kind == "category" else pandas.array(IDS, dtype=kind)
        frame = pandas.DataFrame({"id": column})
    preparation = Preparation(categorical_features=["id"], one_hot_scaled=False).fit(frame)
    assert preparation.categories_ == [[each for each in IDS if each]]
    assert preparation.transform(frame).one_hot.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert preparation.transform(frame[1:3]).one_hot.tolist() == [[0, 1, 0], [0, 0, 0]]


def test_an_error_leaves_a_preparation_as_it_was():
    X = np.arange(12.0).reshape(4, 3)
    preparation = Preparation().fit(X)
    expected = preparation.transform(X)
    with pytest.raises(ValueError, match="finite numbers"):
        preparation.fit(np.array([[1, np.inf], [2, 3]]))
    assert_same(preparation.transform(X), expected)


@pytest.mark.parametrize(
    "chosen",
    [["a", "c"], np.array(["a", "c"]), [0, 2], np.array([2, 0]), (True, False, True), np.array([True, False, True])],
    ids=repr,
)
def test_ways_to_name_categorical_features(chosen):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame({"a": [3, 1, 2], "b": [1.0, 2.0, 4.0], "c": ["x", "y", "x"]})
    preparation = Preparation(categorical_features=chosen).fit(frame)
    assert preparation.categories_ == [[1, 2, 3], None, ["x", "y"]]
    assert_same(Preparation.from_state(preparation.state()).transform(frame), preparation.transform(frame))


def test_messages_name_what_categorical_features_holds():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame({"a": [3, 1, 2], "b": [1.0, 2.0, 4.0]})
    with pytest.raises(ValueError, match="must hold names of columns of X, got 0$"):
        Preparation(categorical_features=["a", 0]).fit(frame)
    frame.columns = pandas.MultiIndex.from_tuples([("a", "x"), ("a", "y")])
    assert Preparation(categorical_features=[("a", "x")]).fit(frame).categories_ == [[1, 2, 3], None]


@pytest.mark.parametrize("chosen", [["a"], [0], [True, False, False, False]], ids=repr)
def test_named_columns_are_added_to_those_of_categories(chosen):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    codes, flags, numbers = pandas.Categorical([7, 5, 7]), [True, False, True], [1.0, 2.0, 4.0]
    frame = pandas.DataFrame({"a": [3, 1, 2], "b": codes, "c": flags, "d": numbers})
    preparation = Preparation(categorical_features=chosen).fit(frame)
    assert preparation.categories_ == [[1, 2, 3], [5, 7], [False, True], None]
    assert Preparation(categorical_features=None).fit(frame).categories_ == [None] * 4


def test_text_of_numbers_warns():
    numbers = [f"{i / 7:.3g}" for i in range(25)]
    X = np.array(numbers, object)[:, None]
    with pytest.warns(UserWarning, match=r"X\[:, 0\] is text, .* its 25 different values .* pass pandas.to_numeric"):
        Preparation().fit(X)
    Preparation(categorical_features=[0]).fit(X)  # such as codes of places
    Preparation().fit(X[:20])
    Preparation().fit(np.array([*numbers, "none"], object)[:, None])


def test_categories_found_in_arrays():
    objects = np.array([[1, "a", True, None], [2.5, None, False, 3]], object)
    assert Preparation().fit(objects).categories_ == [None, ["a"], [False, True], None]
    assert Preparation().fit([[1, "a"], [2, "b"]]).categories_ == [None, ["a", "b"]]
    assert Preparation().fit(np.array([["1", "a"], ["2", "b"]])).categories_ == [["1", "2"], ["a", "b"]]
    assert Preparation().fit(np.array([[True], [False]])).categories_ == [None]
    assert Preparation(categorical_features=None).fit(np.array([[True], [2]], object)).categories_ == [None]


@pytest.mark.parametrize(
    "X, settings, error, message",
    [
        (np.zeros(3), {}, ValueError, r"X must have shape \(rows, columns\), got \(3,\)"),
        (np.zeros((0, 3)), {}, ValueError, r"0 sample\(s\) \(shape=\(0, 3\)\)"),
        (np.zeros((3, 0)), {}, ValueError, r"0 feature\(s\) \(shape=\(3, 0\)\)"),
        (sparse.csr_array(np.eye(3)), {}, TypeError, "sparse input is not supported"),
        (np.ma.masked_equal(np.eye(3), 1), {}, ValueError, "no masked entries, got 3"),
        (np.array([[1.0, 2], [3, np.inf]]), {}, ValueError, r"X\[:, 1\] must hold finite .*, got inf in row 1"),
        (np.array([[None, "a"], [-np.inf, "b"]], object), {}, ValueError, r"X\[:, 0\] .* got -inf in row 1"),
        (np.array([[None], [2], [1e301]]), {}, ValueError, r"X\[:, 0\] .* within 1e\+300, got 1e\+301 in row 2"),
        (np.array([[1], [None], [-(10**400)]]), {}, ValueError, r"X\[:, 0\] .* within 1e\+300, got -inf in row 2"),
        (np.array([[np.float32(1)], [10**400]], object), {}, ValueError, "got inf in row 1"),
        (np.array([[np.timedelta64(3, "D")], [None]]), {}, TypeError, r"X\[:, 0\] must hold numbers, got .* in row 0"),
        (None, {}, TypeError, "X must be a data frame of pandas or polars, or an array of rows, got NoneType"),
        ({"a": [1.0]}, {}, TypeError, "X must be a data frame of pandas or polars, or an array of rows, got dict"),
        (np.array([[1.0], [np.inf]]), {"categorical_features": [0]}, ValueError, "got inf in row 1"),
        (np.eye(2) * 1j, {}, ValueError, "Complex data not supported"),
        (np.array([["2020-01-01"]], "M8[D]"), {}, TypeError, r"must hold numbers or text, got .*datetime64\[D\]"),
        (np.array([[b"a"]]), {}, TypeError, r"X\[:, 0\] must hold numbers, got b'a' in row 0"),
        (np.array([[None], ["a"], [1]], object), {}, TypeError, r"must hold text such as 'a', got 1 in row 2"),
        (np.array([[1], ["a"]], object), {}, TypeError, r"X\[:, 0\] must hold numbers, got 'a' in row 1"),
        (
            np.array([["a"]], object),
            {"categorical_features": None},
            TypeError,
            "got 'a' in row 0: .* unless categorical_features=None",
        ),
        (np.eye(2), {"numeric": "robst"}, ValueError, "numeric must be one of .* did you mean 'robust'"),
        (np.eye(2), {"one_hot_scaled": 1}, TypeError, "one_hot_scaled must be True or False, got 1"),
        (np.eye(2), {"max_one_hot_size": -1}, ValueError, "max_one_hot_size must be at least 0, got -1"),
        (
            np.eye(2),
            {"categorical_features": "all"},
            ValueError,
            "categorical_features must be 'auto', None or a list of columns, got 'all'",
        ),
        (np.eye(2), {"categorical_features": [2]}, ValueError, r"must hold indices in \[0, 2\), got 2"),
        (np.eye(2), {"categorical_features": [-1]}, ValueError, r"must hold indices in \[0, 2\), got -1"),
        (np.eye(2), {"categorical_features": ["0"]}, ValueError, r"must hold indices in \[0, 2\), got '0'$"),
        (np.eye(2), {"categorical_features": [True]}, ValueError, r"must have shape \(2,\) if bool, got \(1,\)"),
    ],
)
def test_rejected_in_fit(X, settings, error, message):
    with pytest.raises(error, match=message):
        Preparation(**settings).fit(X)


@pytest.mark.parametrize(
    "X, error, message",
    [
        ([[1.0, "a"]], ValueError, "X has 2 features, but Preparation is expecting 3 features as input"),
        ([["n/a", "a", 1]], TypeError, r"X\[:, 0\] must hold numbers as in fit, got 'n/a' in row 0$"),
        ([[1, "a", 1], [1, 5, 1]], TypeError, r"X\[:, 1\] must hold text such as 'a' as in fit, got 5 in row 1$"),
        (np.eye(3), TypeError, r"X\[:, 1\] must hold text such as 'a' as in fit, got 0.0 in row 0$"),
        ([[1, "a", "x"]], TypeError, r"X\[:, 2\] must hold numbers as in fit, got 'x' in row 0$"),
        ([[np.inf, "a", 1]], ValueError, r"X\[:, 0\] must hold finite .*, got inf in row 0"),
    ],
)
def test_rejected_in_transform(X, error, message):
    train = np.array([[1.0, "a", 3], [2.0, "b", 5], [4.0, "a", 3]], object)
    preparation = Preparation(categorical_features=[1, 2]).fit(train)
    with pytest.raises(error, match=message):
        preparation.transform(X)


def test_names_are_checked():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame({"size": [1.0, 2.0, 4.0], "town": ["x", "y", "x"]})
    preparation = Preparation().fit(frame)
    for restored in (preparation, Preparation.from_state(preparation.state())):
        with pytest.raises(ValueError, match="same order"):
            restored.transform(frame[["town", "size"]])
        with pytest.raises(ValueError, match="unseen at fit time:\n- city"):
            restored.transform(frame.rename(columns={"town": "city"}))
        with pytest.raises(TypeError, match=r"X\['size'\] must hold numbers as in fit, got 'big' in row 0"):
            restored.transform(frame.assign(size=["big", "big", "big"]))
        with pytest.warns(UserWarning, match="does not have valid feature names"):
            assert_same(restored.transform(frame.to_numpy()), preparation.transform(frame))
    with pytest.raises(ValueError, match="names of columns of X, got 'twn'; did you mean 'town'"):
        Preparation(categorical_features=["twn"]).fit(frame)
    dates = frame.assign(size=pandas.date_range("2020", periods=3))
    with pytest.raises(TypeError, match=r"X\['size'\] must hold numbers or text, got values of type datetime64"):
        Preparation().fit(dates)
    unnamed = frame.set_axis([0, 1], axis=1)
    assert not hasattr(Preparation().fit(unnamed), "feature_names_in_")
    assert_same(Preparation().fit(unnamed).transform(unnamed), preparation.transform(frame))


def test_must_be_fitted():
    for call in (lambda: Preparation().transform(np.eye(2)), lambda: Preparation().state()):
        with pytest.raises(NotFittedError):
            call()


@pytest.mark.parametrize("kind", ["pandas", "objects"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"numeric": "quantiles", "one_hot_scaled": False, "max_one_hot_size": None, "random_state": np.int64(5)},
        {"categorical_features": np.array([0, 2, 4, 5, 6, 7, 8]), "random_state": np.random.RandomState(0)},
    ],
    ids=["defaults", "quantiles", "indices"],
)
def test_state_and_pickles_restore_an_equal_object(kind, settings):
    train, test = TABLES[kind](TRAIN), TABLES[kind](TEST)
    preparation = Preparation(**settings).fit(train)
    expected, state = preparation.transform(test), preparation.state()
    arrays = {name: array.copy() for name, array in state.pop("arrays").items()}
    assert all(array.dtype == np.float64 for array in arrays.values())
    restored = Preparation.from_state(json.loads(json.dumps(state)) | {"arrays": arrays})
    for other in (restored, pickle.loads(pickle.dumps(preparation)), clone(preparation).fit(train)):
        assert_same(other.transform(test), expected)
        for name in ("n_features_in_", "n_numbers_", "n_one_hot_", "cardinalities_", "categories_"):
            assert getattr(other, name) == getattr(preparation, name)
    again = restored.state()
    assert {name: array.tolist() for name, array in again.pop("arrays").items()} == {
        name: array.tolist() for name, array in arrays.items()
    }
    assert again == state


@pytest.mark.parametrize("numeric", ["robust", "quantiles"])
@pytest.mark.parametrize("rows", [0, 1, 2])
def test_few_rows(numeric, rows):
    X = object_array(TRAIN)
    preparation = Preparation(numeric=numeric, random_state=0).fit(X)
    found, expected = preparation.transform(X[:rows]), preparation.transform(X)
    for part in ("numbers", "one_hot", "codes"):
        np.testing.assert_array_equal(getattr(found, part), getattr(expected, part)[:rows])
    few = X[: max(rows, 1)]
    assert np.isfinite(Preparation(numeric=numeric).fit(few).transform(few).numbers).all()


def test_objects_of_a_frame_are_read_by_their_values():
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=50)
    frame = pandas.DataFrame({"a": numbers, "b": rng.choice(["x", "y"], 50)})
    mixed = frame.astype(object)  # as arrays of numbers and text become
    expected, found = (Preparation().fit(each).transform(each) for each in (frame, mixed))
    assert np.array_equal(found.numbers, expected.numbers) and np.array_equal(found.one_hot, expected.one_hot)


@pytest.mark.parametrize(
    "array",
    [np.array(["x", "y", "x"], object), np.array([1.0, 2.0, 1.0], object), np.eye(3)[0] > 0, np.eye(3)[0]],
    ids=["text", "objects", "bool", "float"],
)
def test_sparse_columns_of_a_frame_are_read_as_dense_ones(array):
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    dense, sparse_ = (pandas.DataFrame({"a": each}) for each in (array, pandas.arrays.SparseArray(array)))
    expected = Preparation().fit(dense)
    found = Preparation().fit(sparse_)
    assert found.categories_ == expected.categories_
    assert_same(found.transform(sparse_), expected.transform(dense))


def test_a_category_that_is_missing_everywhere_is_missing():
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    frame = pandas.DataFrame({"a": np.arange(9.0), "c": list("abcabcabc")})
    preparation = Preparation(one_hot_scaled=False).fit(frame)
    for nothing in (np.nan, None, pandas.NA):
        assert (preparation.transform(pandas.DataFrame({"a": [1.0], "c": [nothing]})).one_hot == 0).all()


def test_other_values_get_a_hint():
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    frame = pandas.DataFrame({"bin": pandas.cut(np.arange(9.0), 3)})
    with pytest.raises(TypeError, match=r"got Interval.* in row 0: .astype\(str\) makes text of it"):
        Preparation().fit(frame)


def test_other_frames_get_a_hint():
    lazy = pytest.importorskip("polars", reason="polars is not installed").LazyFrame({"a": [1.0, 2.0]})
    with pytest.raises(TypeError, match=r"X must be a data frame of pandas or polars, got LazyFrame: pass collect\(\)"):
        Preparation().fit(lazy)


def test_tiny_numbers_are_not_drowned_in_noise():
    x = np.random.default_rng(0).normal(size=(500, 1))
    large, tiny = (
        Preparation(numeric="quantiles", random_state=0).fit(each).transform(each).numbers for each in (x, 1e-9 * x)
    )
    np.testing.assert_allclose(tiny, large, atol=2e-3)
