"""The benchmark on tables: splits, tuned defaults, errors, what is computed from the fits, and the page."""

import fastmlp.tabular
import numpy as np
import pandas as pd
import pytest
from harness.run import Run
from harness.section import make_section
from harness.tables import Table, Tables
from tabular import data, fits, nets, page_tables, pareto, trees
from tabular import tabular_estimators as benchmark
from tabular.comparison import Comparison, means_of_known, on_the_front, standard_error
from tabular.methods import FAMILIES, METHODS, ORIGINALS, REFERENCE
from tabular.tuned_defaults import LIBRARIES, PARAMETERS, tuned_defaults

# Tables and splits


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """Two small tables of classes, with missing values in the first one, and one of numbers."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 2)).round(3)
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": rng.choice(["None", "u", "v"], 600)})
    labels = np.array([">50K", "<=50K"])[(x[:, 0] > 0.3).astype(int)]
    holes = frame.mask(rng.random(frame.shape) < 0.1)
    holes.assign(target=labels).to_csv(tmp_path / "adult.csv.gz", index=False)
    classes = np.digitize(x[:, 0] + x[:, 1], (-0.5, 0.5)) + 3
    frame.assign(target=classes).to_csv(tmp_path / "satimage.csv.gz", index=False)
    frame.assign(target=10 * x[:, 0]).to_csv(tmp_path / "california.csv.gz", index=False)
    monkeypatch.setenv(data.VARIABLE, str(tmp_path))


def test_tables_are_read_with_categories_and_missing_values(tables):
    X, y, classes = data.read("adult")
    assert X.shape == (600, 3) and classes == 2 and set(y) == {0, 1} and y.dtype == np.int64
    assert list(X.select_dtypes("category").columns) == ["c"] and list(X["c"].cat.categories) == ["None", "u", "v"]
    assert (X.isna().sum() > 30).all(), "only empty cells are missing"
    _, y, classes = data.read("satimage")
    assert classes == 3 and set(y) == {0, 1, 2}
    _, y, classes = data.read("california")
    assert classes == 0 and y.dtype == np.float64


def test_the_rows_of_a_small_table_are_the_same_each_time(tables):
    first, second = (data.read("california", 50) for _ in range(2))
    pd.testing.assert_frame_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    np.testing.assert_array_equal(first[1], 10 * first[0]["a"])
    assert len(data.read("california", 5000)[1]) == 600


def test_a_missing_folder_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv(data.VARIABLE, str(tmp_path))
    assert data.folder() is None
    with pytest.raises(FileNotFoundError, match="FASTMLP_TABULAR must name the folder of adult.csv.gz"):
        data.read("adult")


@pytest.mark.parametrize("classes", [0, 2, 5])
def test_a_split_has_all_rows_once_in_the_right_shares(classes):
    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat(np.arange(classes), 1000 // classes)) if classes else rng.normal(size=1000)
    parts = data.split(y, seed=3, stratified=bool(classes))
    assert [len(part) for part in parts] == [600, 200, 200]
    assert sorted(np.concatenate(parts)) == list(range(1000))
    if classes:
        for part, share in zip(parts, (0.6, 0.2, 0.2)):
            counts = np.bincount(y[part], minlength=classes)
            np.testing.assert_allclose(counts, share * 1000 / classes, rtol=0, atol=1)


def test_a_split_depends_on_its_seed_alone():
    y = np.arange(500) % 3
    first, again, other = (data.split(y, seed, True) for seed in (1, 1, 2))
    assert all(np.array_equal(*pair) for pair in zip(first, again))
    assert not any(np.array_equal(*pair) for pair in zip(first, other))


@pytest.mark.parametrize("name", ["adult", "california"])
def test_every_method_gets_the_same_rows(tables, monkeypatch, name):
    seen = {}

    def recorder(method):
        def function(problem, **settings):
            def predict(X):
                seen[method] = (problem, X)  # the last call: not the tiny one
                return np.full((len(X), problem.classes), 0.5) if problem.classes else np.zeros(len(X))

            return predict

        return function

    for method, row in METHODS.items():
        module, _, function = row.function.partition(":")
        if module != "tabm_package":
            monkeypatch.setattr({"trees": trees, "nets": nets}[module], function, recorder(method))
            found = fits.Fits(method, "1").fit(name, seed=4, max_rows=None)
            assert found["rows"] == 360 and found["fit_seconds"] >= 0
    assert len(seen) == len(METHODS) - 1
    X, y, _ = data.read(name)
    rows = data.split(y, 4, name in data.CLASSIFICATION)
    for problem, X_test in seen.values():
        for got, part in ((problem.X, rows.train), (problem.X_validation, rows.validation), (X_test, rows.test)):
            pd.testing.assert_frame_equal(got, X.iloc[part].reset_index(drop=True))
        np.testing.assert_array_equal(problem.y, y[rows.train])
        np.testing.assert_array_equal(problem.y_validation, y[rows.validation])
        assert problem.seed == 4


# Methods


EXPECTED = {  # the arguments that pytabkit 1.7.3 passes, without those that equal the libraries' defaults
    ("LightGBM", False): {
        "num_iterations": 1000, "early_stopping_round": 300, "learning_rate": 0.04, "num_leaves": 50, "max_bin": 255,
        "bagging_fraction": 0.75, "bagging_freq": 1, "feature_fraction": 1.0, "min_data_in_leaf": 40,
        "min_sum_hessian_in_leaf": 1e-7, "lambda_l2": 0.0,
    },
    ("LightGBM", True): {
        "num_iterations": 1000, "early_stopping_round": 300, "learning_rate": 0.05, "num_leaves": 100, "max_bin": 255,
        "bagging_fraction": 0.7, "bagging_freq": 1, "feature_fraction": 1.0, "min_data_in_leaf": 3,
        "min_sum_hessian_in_leaf": 1e-7, "lambda_l2": 0.0,
    },
    ("XGBoost", False): {
        "num_boost_round": 1000, "early_stopping_rounds": 300, "eta": 0.08, "max_depth": 6, "max_bin": 256,
        "subsample": 0.65, "colsample_bylevel": 0.9, "min_child_weight": 5e-6, "lambda": 0.0, "tree_method": "hist",
    },
    ("XGBoost", True): {
        "num_boost_round": 1000, "early_stopping_rounds": 300, "eta": 0.05, "max_depth": 9, "max_bin": 256,
        "subsample": 0.7, "colsample_bylevel": 1.0, "min_child_weight": 2.0, "lambda": 0.0, "tree_method": "hist",
    },
    ("CatBoost", False): {
        "iterations": 1000, "od_wait": 300, "learning_rate": 0.08, "depth": 7, "border_count": 254,
        "bootstrap_type": "Bernoulli", "subsample": 0.9, "l2_leaf_reg": 1e-5, "leaf_estimation_iterations": 1,
        "random_strength": 0, "one_hot_max_size": 15, "boosting_type": "Plain",
    },
    ("CatBoost", True): {
        "iterations": 1000, "od_wait": 300, "learning_rate": 0.09, "depth": 9, "border_count": 254,
        "bootstrap_type": "Bernoulli", "subsample": 0.9, "l2_leaf_reg": 1e-5, "leaf_estimation_iterations": 20,
        "random_strength": 0, "one_hot_max_size": 20, "boosting_type": "Plain",
    },
}  # fmt: skip


@pytest.mark.parametrize("library, regression", EXPECTED)
def test_tuned_defaults_are_those_of_their_authors(library, regression):
    assert tuned_defaults(library, regression) == EXPECTED[library, regression]


def test_each_argument_has_one_row():
    assert {library for row in PARAMETERS.values() for library in row} == set(LIBRARIES)
    for library in LIBRARIES:
        names = [row[library][0] for row in PARAMETERS.values() if library in row]
        assert len(set(names)) == len(names)


def test_the_methods_can_be_found():
    assert REFERENCE in METHODS and {row.family for row in METHODS.values()} == set(FAMILIES)
    assert all(name in METHODS for pair in ORIGINALS.items() for name in pair)
    modules = {"trees": trees, "nets": nets}
    for row in METHODS.values():
        module, _, function = row.function.partition(":")
        assert module == "tabm_package" or callable(getattr(modules[module], function))
    assert METHODS["HistGradientBoosting"].installed and "scikit-learn " in METHODS["HistGradientBoosting"].versions


@pytest.mark.parametrize(
    "native, expected",
    [(("bfloat16", "bfloat16_amx"), "bfloat16_amx"), (("bfloat16",), "bfloat16"), ((), None)],
)
def test_nets_in_bfloat16_use_the_products_of_this_processor(monkeypatch, native, expected):
    config = {name: "native" if name in native else "emulated" for name in ("bfloat16", "bfloat16_amx")}
    monkeypatch.setattr(fastmlp, "show_config", lambda mode: config)
    settings = []
    monkeypatch.setattr(fastmlp.tabular, "TabMClassifier", lambda **given: settings.append(given) or _Fitted())
    method = METHODS["fastmlp TabM in bfloat16"]
    assert method.installed == (expected is not None) and METHODS["fastmlp TabM"].installed
    if expected:
        nets.fastmlp(fits.tiny(2, 1), **method.settings)
        assert settings[0]["precision"] == expected and method.versions.endswith(f" with {expected}")


class _Fitted:
    def fit(self, X, y, eval_set):
        return self

    predict_proba = None


def test_the_last_of_the_smallest_errors_counts():
    assert [trees.last_minimum(values) for values in ([3.0], [2, 1, 1, 2], [1, 2, 3], [2, 2])] == [0, 2, 0, 1]


def test_two_classes_have_two_columns_and_missing_categories_a_name(tables):
    binary, many = (fits.tiny(classes, 1) for classes in (2, 3))
    np.testing.assert_array_equal(trees._both_classes(np.array([0.25, 1]), binary), [[0.75, 0.25], [0, 1]])
    assert trees._both_classes(np.ones((2, 3)), many).shape == (2, 3)
    X = binary.X.copy()
    X.loc[[3, 5], "category"] = None
    named = trees._named(X, binary)
    assert named["category"][3] == named["category"][5] == "missing" and not named["category"].isna().any()
    assert X["category"].isna().sum() == 2, "the table itself is not changed"
    pd.testing.assert_frame_equal(trees._named(binary.X, binary), binary.X)


def test_errors_by_hand():
    probabilities = np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8], [1, 0, 0]], np.float32)
    found = fits.errors(probabilities, np.array([0, 2, 1]), 3)
    assert found["error"] == pytest.approx(1 / 3)
    smallest = np.log(2.0**-23)
    assert found["log_loss"] == pytest.approx(-(np.log(0.5) + np.log(0.8) + smallest) / 3)
    assert fits.errors(np.array([[1.0], [4.0]]), np.array([1.0, 1.0]), 0) == {"error": pytest.approx(np.sqrt(4.5))}


@pytest.mark.parametrize("name", ["adult", "satimage", "california"])
@pytest.mark.parametrize("method", ["HistGradientBoosting", "scikit-learn MLP"])
def test_methods_of_scikit_learn_learn_small_tables(tables, method, name):
    found = fits.Fits(method, "1").fit(name, seed=0, max_rows=None)
    assert found["rows"] == 360 and found["fit_seconds"] > 0
    assert found["error"] < (0.25 if name in data.CLASSIFICATION else 3)  # the target's standard deviation is 10
    assert ("log_loss" in found) == (name in data.CLASSIFICATION)


# What is computed from the fits


def made_up(rows):
    """Of a method, a set, and by seed its errors and seconds."""
    columns = ("method", "set", "seed", "threads", "error", "fit_seconds")
    fixed = {"log_loss": 0.5, "predict_seconds": 0.25, "rows": 60, "version": "x 1.0"}
    return Table.of([{**dict(zip(columns, row)), **fixed} for row in rows])


A, B, C = "LightGBM", "CatBoost", "fastmlp RealMLP-TD"
FITS = [
    *((A, "adult", seed, 1, error, 2.0) for seed, error in enumerate((0.1, 0.3))),
    *((B, "adult", seed, 1, error, 4.0) for seed, error in enumerate((0.1, 0.1))),
    *((C, "adult", seed, 1, error, 8.0) for seed, error in enumerate((0.4, 0.4))),
    *((A, "california", seed, 1, 4.0, seconds) for seed, seconds in enumerate((1.0, 3.0))),
    *((B, "california", seed, 1, 2.0, 6.0) for seed in range(2)),
    *((C, "california", seed, 1, 2.0, 10.0) for seed in range(2)),
]


def test_means_ratios_ranks_and_normalised_errors_by_hand():
    found = Comparison.of(made_up(FITS))
    assert (found.methods, found.sets) == ([A, B, C], ["adult", "california"])
    np.testing.assert_allclose(found.error, [[0.2, 4], [0.1, 2], [0.4, 2]])
    np.testing.assert_allclose(found.fit_seconds, [[2, 2], [4, 6], [8, 10]])
    np.testing.assert_allclose(found.ratios(A), [[1, 1], [0.5, 0.5], [2, 0.5]])
    np.testing.assert_allclose(found.geometric_means(A), [1, 0.5, 1])
    np.testing.assert_allclose(found.ranks([True] * 3), [(2 + 3) / 2, (1 + 1.5) / 2, (3 + 1.5) / 2])
    np.testing.assert_allclose(found.ranks([True, True, False]), [2, 1, (3 + 1.5) / 2])
    np.testing.assert_allclose(found.normalised(), [[1 / 3, 1], [0, 0], [1, 0]], atol=1e-15)


def test_a_method_on_fewer_sets_has_no_rank():
    fewer = [row for row in FITS if row[:2] != (B, "california")]
    found = Comparison.of(made_up(fewer))
    assert found.complete.tolist() == [True, False, True]
    np.testing.assert_allclose(found.ranks([True] * 3), [(1 + 2) / 2, np.nan, (2 + 1) / 2])
    np.testing.assert_allclose(found.geometric_means(A), [1, 0.5, 1])
    np.testing.assert_allclose(means_of_known(found.normalised()), [2 / 3, 0, 1 / 2], atol=1e-15)


def test_a_method_on_fewer_splits_is_compared_on_these():
    fewer = [row for row in FITS if row[0] != B or row[2] == 0]
    found = Comparison.of(made_up(fewer))
    assert found.complete.tolist() == [True, False, True]
    np.testing.assert_allclose(found.error, [[0.2, 4], [np.nan, np.nan], [0.4, 2]])
    np.testing.assert_allclose(found.ratios(A), [[1, 1], [1, 0.5], [2, 0.5]])  # 0.1 / 0.1 in the first split
    np.testing.assert_allclose(found.normalised(), [[0, 1], [0, 0], [1, 0]], atol=1e-15)
    np.testing.assert_allclose(found.ranks([True] * 3), [(1 + 2) / 2, np.nan, (2 + 1) / 2])


def test_the_splits_of_a_method():
    known = np.array([[0.1, 0.2, 0.3], [np.nan, 0.2, np.nan], [np.nan] * 3])
    assert [page_tables.splits_of(errors) for errors in (known, known[:1], known[1:])] == ["1 to 3", "3", "1"]


def test_without_the_reference_nothing_is_divided():
    found = Comparison.of(made_up([row for row in FITS if row[0] != A]))
    assert np.isnan(found.geometric_means(A)).all()
    alone = Comparison.of(made_up([(A, "adult", 0, 1, 0.0, 1.0)]))
    assert alone.geometric_means(A) == [1] and alone.normalised() == [[0]] and alone.ranks([True]) == [1]


def test_a_time_that_was_not_measured_is_left_out():
    found = Comparison.of(made_up([(A, "adult", 0, 1, 0.5, 3.0), (A, "adult", 1, 1, 0.7, np.nan)]))
    assert found.fit_seconds[0, 0] == 3.0 and found.error[0, 0] == pytest.approx(0.6)
    assert np.isnan(Comparison.of(made_up([(A, "adult", 0, 1, 0.5, np.nan)])).fit_seconds).all()


def test_the_page_has_no_times_that_were_not_measured():
    ours = [("fastmlp RealMLP-TD", "adult", seed, 1, 0.5, seconds) for seed, seconds in enumerate((np.nan, 3.0))]
    theirs = [("pytabkit RealMLP-TD", "adult", seed, 1, 0.5, np.nan) for seed in range(2)]
    two = [("fastmlp RealMLP-TD", "adult", 0, 2, 0.5, 1.0)]  # beside one thread's, which was not measured
    t = Tables(
        {"fits": made_up([(A, "adult", seed, 1, 0.5, 1.0) for seed in range(2)] + ours + theirs + two)},
        benchmark.SIZES["full"],
    )
    views = benchmark.views(t)
    seconds = {row["method"]: row["adult"] for row in views["classification_seconds"]}
    assert seconds == {A: "1.0 s", "fastmlp RealMLP-TD": "3.0 s", "pytabkit RealMLP-TD": ""}
    assert views["originals"][0]["times"] == ""
    assert {row["two_threads"] for row in views["summary"]} == {""}
    figure = benchmark.figures(t)["pareto"]
    assert {text.get_text() for text in figure.axes[0].texts} >= {A, "RealMLP-TD"}
    assert "pytabkit RealMLP-TD" not in {text.get_text() for text in figure.axes[0].texts}


def test_the_front_is_what_nothing_beats():
    seconds, errors = np.array([1, 2, 2, 4, 8]), np.array([0.5, 0.6, 0.4, 0.4, 0.1])
    assert on_the_front(seconds, errors).tolist() == [True, False, True, False, True]


def test_standard_errors_by_hand():
    assert standard_error(np.array([1.0, 3.0])) == pytest.approx(1) and np.isnan(standard_error(np.array([1.0])))
    assert page_tables.with_error(np.array([10.0, 14.0]), 2) == "12.00 ± 2.00"
    assert page_tables.with_error(np.array([0.00123])) == "0.001230" and page_tables.with_error(np.array([0.0])) == "0"


def test_the_tables_of_the_page_by_hand():
    two = [(B, "adult", 0, 2, 0.1, 2.5), (B, "california", 0, 2, 2.0, 3.0)]
    ours = [("pytabkit RealMLP-TD", "adult", seed, 1, error, 40.0) for seed, error in enumerate((0.3, 0.5))]
    t = Tables({"fits": made_up([*FITS, *ours, *two])}, benchmark.SIZES["full"])
    views = benchmark.views(t)
    summary = {row["method"]: row for row in views["summary"]}
    assert [row["method"] for row in views["summary"]] == [B, A, C, "pytabkit RealMLP-TD"]
    assert summary[B]["two_threads"] == "1.80" and summary[A]["two_threads"] == ""  # the median of 1.6 and 2
    assert (summary[A]["rank"], summary[A]["rank_in_trees"]) == ("2.5", "2.0")
    assert summary["pytabkit RealMLP-TD"]["rank"] == summary["pytabkit RealMLP-TD"]["rank_in_trees"] == ""
    assert (summary[C]["sets"], summary["pytabkit RealMLP-TD"]["sets"]) == (2, 1)
    blank = dict.fromkeys(data.CLASSIFICATION[1:], "")
    assert views["classification"][0] == {"method": A, "adult": "20.00 ± 10.00", **blank}
    assert views["regression"][1]["california"] == "2.000 ± 0.000"
    assert views["regression_seconds"][1]["california"] == "6.0 s"
    first, second = views["winners"]
    assert (first["trees"], first["ours"], first["verdict"]) == (B, C, "300.0% more")
    assert (first["tree_error"], first["our_error"]) == ("10.00 %", "40.00 %")
    assert (second["trees"], second["verdict"]) == (B, "0.0% less")
    (original,) = views["originals"]
    assert (original["method"], original["set"], original["times"]) == ("RealMLP-TD", "adult", "5.0")
    assert original["difference"] == "+0.0% ± 25.0%"  # 0.1 and -0.1 of 0.4
    numbers = benchmark.numbers(t)
    assert numbers["trees_win"].endswith("on 1 of 2 tables: adult (fastmlp RealMLP-TD has 300.0% more than CatBoost).")
    told = ("fastmlp RealMLP-TD 1.0 (9.0 s a fit)", "pytabkit RealMLP-TD 2.0 (40.0 s a fit, 1 of the tables, 2 splits)")
    assert f"on one thread: {'; '.join((*told, 'CatBoost 0.50 (5.0 s a fit)'))}." in numbers["answer"]


def test_names_in_the_figure_cover_neither_markers_nor_each_other():
    rng = np.random.default_rng(0)
    points = [
        pareto.Point(method, row.family, 10 ** rng.uniform(0, 0.8), rng.uniform(0, 0.2), not row.slow)
        for method, row in METHODS.items()
    ]
    drawing = pareto.draw([*points, pareto.Point("far", FAMILIES[0], 1000, 1, True)])
    drawing.draw_without_rendering()
    (ax,) = drawing.axes
    boxes = [text.get_window_extent() for text in ax.texts if text.get_text()]
    assert len(boxes) == len(points) + 1
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])
    centres = [ax.transData.transform((point.seconds, point.error)) for point in points]
    assert not any(box.contains(*centre) for box in boxes for centre in centres)


# The page


def test_the_page_of_made_up_tables(tables, tmp_path):
    """Methods that are not installed are named and have no row."""
    run = Run("smoke", tmp_path / "report")
    made = make_section(benchmark, run)
    rows = Table.read(run.folder(benchmark) / "fits.csv")
    assert "HistGradientBoosting" in rows["method"] and set(rows["set"]) == {"satimage"}
    assert made.images["pareto"].is_file() and len(made.parts) == 4
    assert {name for name, row in METHODS.items() if not row.installed}.isdisjoint(rows["method"])
    assert all(("Not installed" in notice) for notice in made.notices)


def test_without_tables_or_pandas_the_page_says_so(tmp_path, monkeypatch):
    monkeypatch.delenv(data.VARIABLE, raising=False)
    made = make_section(benchmark, Run("smoke", tmp_path))
    assert "FASTMLP_TABULAR names no folder" in made.notices[0] and not made.parts and not made.files
    monkeypatch.setattr(benchmark.importlib.util, "find_spec", lambda name: None)
    assert "pandas is not installed" in benchmark.notices()[0]


def test_a_configuration_is_a_fit_and_the_versions_that_it_depends_on(tables, tmp_path):
    run = Run("smoke", tmp_path)
    jobs = benchmark.jobs(run, benchmark.SIZES["quick"])
    configurations = [job.configuration for job in jobs]
    assert len({tuple(each.items()) for each in configurations}) == len(jobs)
    each = next(each for each in configurations if each["method"] == "HistGradientBoosting")
    named = {"method": "HistGradientBoosting", "set": "adult", "seed": 0, "threads": 1}
    assert each == {**named, "version": METHODS["HistGradientBoosting"].versions, "max_rows": 2000}
    row = jobs[0].rows({"rows": 9, "error": 0.123456789, "fit_seconds": 1.23456, "predict_seconds": 2.0})["fits"][0]
    assert row["error"] == 0.123457 and row["fit_seconds"] == 1.235 and row["log_loss"] is None
