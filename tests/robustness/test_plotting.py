"""Displays: what they hold and draw, and what they reject."""

import sys

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

import fastmlp  # noqa: E402
from fastmlp import History, Network, Trainer, history_figure, studies  # noqa: E402
from fastmlp.plotting import (  # noqa: E402
    HeatMapDisplay,
    LearningCurveDisplay,
    PathDisplay,
    SurfaceDisplay,
    WeightsDisplay,
)
from matplotlib import pyplot  # noqa: E402
from problems import problem  # noqa: E402

X, Y = problem(60, layer_sizes=(11, 4))


@pytest.fixture(autouse=True)
def close_figures():
    yield
    pyplot.close("all")


def test_learning_curves_of_a_history():
    history = Trainer(Network((11, 4))).fit(X, Y, epochs=3, validation_data=(X, Y))
    display = LearningCurveDisplay.from_history(history, color="black")
    assert [line.get_label() for line in display.lines_] == ["training", "validation"]
    np.testing.assert_array_equal(display.lines_[1].get_ydata(), history.val_loss)
    np.testing.assert_array_equal(display.lines_[0].get_xdata(), [1, 2, 3])
    other = display.plot(pyplot.figure().add_subplot())
    assert other is display and other.ax_.get_ylabel() == "loss"
    of_estimator = {"loss": [2.0, 1.0], "val_loss": [3.0, 2.0], "val_score": [0.1, 0.2]}
    assert len(LearningCurveDisplay.from_history(of_estimator).lines_) == 2
    with pytest.raises(ValueError, match=r"loss.*'speed'"):
        LearningCurveDisplay.from_history(history, "speed")
    with pytest.raises(ValueError, match="metric"):
        LearningCurveDisplay.from_history(History())


def test_learning_curves_and_heat_maps_of_a_study():
    rows = studies.compare(
        [
            {"layer_sizes": (11, 4), "learning_rate": rate, "batch_size": size}
            for rate in (0.1, 0.2)
            for size in (8, 16, 32)
        ],
        X,
        Y,
        3,
        seeds=(0, 1),
    )
    curves = LearningCurveDisplay.from_rows(rows[len(rows) // 2 :], "accuracy", "batch_size")
    assert list(curves.curves) == ["8", "16", "32"]
    assert curves.ax_.get_legend().get_title().get_text() == "batch size"
    assert len(curves.ax_.collections) == 3  # ranges over the seeds
    heat = HeatMapDisplay.from_rows(rows, "loss", x="batch_size", y="learning_rate", cmap="magma")
    assert heat.values.shape == (2, 3)
    expected = np.mean([row["loss"] for row in rows if row["epoch"] == 3 and row["learning_rate"] == 0.2][2:4])
    np.testing.assert_allclose(heat.values[1, 1], expected)
    assert [text.get_text() for text in heat.ax_.texts] == [f"{value:.2f}" for value in heat.values.ravel()]
    diverged = [*rows[:-3], {**rows[-3], "loss": np.nan}]
    empty = HeatMapDisplay.from_rows(diverged, "loss", x="batch_size", y="learning_rate")
    assert np.isnan(empty.values[1, 2]) and len(empty.ax_.texts) == 5, "one seed of this cell is missing"
    with pytest.raises(ValueError, match="lack 'width'"):
        HeatMapDisplay.from_rows(rows, "loss", x="width", y="learning_rate")
    with pytest.raises(ValueError, match="none"):
        LearningCurveDisplay.from_rows([], "loss", "l2")


def test_surfaces():
    net = Network((2, 5, 1), loss="squared_error", seed=1)
    display = SurfaceDisplay.from_network(net, (-1, 1), 11)
    i, j = 3, 7
    np.testing.assert_allclose(display.values[i, j], net.forward([[display.x1[i], display.x2[j]]])[0, 0], rtol=1e-6)
    error = SurfaceDisplay.from_network(net, (-1, 1), 11, minus=lambda points: net.forward(points)[:, 0])
    assert not error.values.any()
    with pytest.raises(ValueError, match="2 features.*3"):
        SurfaceDisplay.from_network(Network((3, 1)), (0, 1))
    with pytest.raises(ValueError, match="points.*1"):
        SurfaceDisplay.from_network(net, (0, 1), 1)


def test_weights_as_images():
    net = Network((6, 4, 2), seed=1)
    display = WeightsDisplay.from_network(net, (2, 3), 3)
    np.testing.assert_array_equal(display.images[1], net.weights[0][:, 1].reshape(2, 3))
    assert display.ax_.images[0].get_array().shape == (2, 11)
    assert display.plot(columns=2).ax_.images[0].get_array().shape == (5, 7)
    with pytest.raises(ValueError, match="6 pixels"):
        WeightsDisplay.from_network(net, (5, 5))
    with pytest.raises(ValueError, match="neurons.*9"):
        WeightsDisplay.from_network(net, (2, 3), 9)


def test_without_matplotlib_it_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="needs matplotlib"):
        LearningCurveDisplay({"training": np.ones(3)}, "loss").plot()


def curve_rows():
    """Two penalties, zero among them, with two seeds; the second seed of the larger one ends an epoch earlier."""
    return [
        {
            "l2": l2,
            "seed": seed,
            "epoch": epoch,
            "seconds": 1.0 + seed,
            "loss": 10 * l2 + seed + 1 / epoch,
            "val_loss": 9.0,
        }
        for l2 in (0.1, 0.0, 0.001)
        for seed in (0, 1)
        for epoch in range(1, (3 if (l2, seed) == (0.1, 1) else 4))
    ]


def test_training_and_validation_curves_of_a_study_in_one_figure():
    display = LearningCurveDisplay.from_rows(curve_rows(), ["loss", "val_loss"], "l2")
    assert legend_of(display.ax_) == [f"{l2}, {name}" for l2 in (0.1, 0, 0.001) for name in ("training", "validation")]
    assert [line.get_linestyle() for line in display.lines_] == ["-", "--"] * 3
    colours = [line.get_color() for line in display.lines_]
    assert colours[::2] == colours[1::2] and len(set(colours)) == 3
    assert display.ax_.get_ylabel() == "loss"
    first = display.lines_[0].get_ydata()
    np.testing.assert_allclose(first[:2], [2.5, 2.0])
    assert np.isnan(first[2]), "the curve of a mean ends with the shortest"
    plain = LearningCurveDisplay.from_rows(curve_rows(), "loss", "l2")
    assert legend_of(plain.ax_) == ["0.1", "0", "0.001"]


def test_curves_against_seconds():
    display = LearningCurveDisplay.from_rows(curve_rows(), "loss", "l2", x="seconds")
    assert display.ax_.get_xlabel() == "seconds"
    np.testing.assert_allclose(display.lines_[1].get_xdata(), [1.5, 3.0, 4.5])  # of seeds that take 1 and 2 each
    history = {"loss": [3.0, 2.0], "val_loss": [4.0, 3.0], "seconds": [0.5, 0.25]}
    of_history = LearningCurveDisplay.from_history(history, x="seconds")
    for line in of_history.lines_:
        np.testing.assert_allclose(line.get_xdata(), [0.5, 0.75])
    with pytest.raises(ValueError, match="x='seconds' needs an entry of the history with them, got loss"):
        LearningCurveDisplay.from_history({"loss": [1.0]}, x="seconds")
    for make in (
        lambda: LearningCurveDisplay.from_rows(curve_rows(), "loss", "l2", x="second"),
        lambda: LearningCurveDisplay.from_history(history, x="second"),
    ):
        with pytest.raises(ValueError, match="x must be one of 'epoch', 'seconds', got 'second'"):
            make()


def test_epochs_are_whole_numbers():
    display = LearningCurveDisplay.from_history({"loss": [3.0, 2.0, 1.0]})
    display.figure_.canvas.draw()
    assert all(tick == round(tick) for tick in display.ax_.get_xticks())
    ax = pyplot.figure().add_subplot()
    ax.set_xscale("log")
    LearningCurveDisplay.from_history({"loss": [3.0, 2.0, 1.0]}, ax=ax)


def test_a_path_shows_the_last_epochs_by_a_setting_with_zero_at_the_left_end():
    display = PathDisplay.from_rows(curve_rows(), ["loss", "val_loss"], "l2", linewidth=3)
    assert display.x == [0.0, 0.001, 0.1] and display.ax_.get_xscale() == "symlog"
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("l2", "loss")
    assert legend_of(display.ax_) == ["training", "validation"]
    mean = [0.5 + 1 / 3, 0.51 + 1 / 3, (1 + 1 / 3 + 2 + 1 / 2) / 2]
    np.testing.assert_allclose(display.lines_[0].get_ydata(), mean)
    assert display.lines_[0].get_linewidth() == 3 and display.lines_[0].get_marker() == "o"
    band = display.ax_.collections[0].get_paths()[0].vertices
    np.testing.assert_allclose([band[band[:, 0] == 0, 1].min(), band[band[:, 0] == 0, 1].max()], [1 / 3, 4 / 3])
    left, right = display.ax_.transData.transform([(0, 0), (0.001, 0)])[:, 0]
    assert left < right
    positive = PathDisplay.from_rows([row for row in curve_rows() if row["l2"]], "loss", "l2")
    assert positive.ax_.get_xscale() == "log" and positive.ax_.get_legend() is None
    assert positive.plot(pyplot.figure().add_subplot(), marker="x").lines_[0].get_marker() == "x"
    words = [{"activation": name, "seed": 0, "epoch": 1, "loss": 1.0} for name in ("tanh", "relu")]
    assert ticks_of(PathDisplay.from_rows(words, "loss", "activation").ax_.xaxis) == ([0, 1], ["tanh", "relu"])


def test_a_path_of_a_net_that_diverged_has_a_gap():
    rows = [{"l2": l2, "seed": 0, "epoch": 1, "loss": loss} for l2, loss in ((0.1, 1.0), (1.0, np.nan), (10.0, 2.0))]
    assert np.isnan(PathDisplay.from_rows(rows, "loss", "l2").lines_[0].get_ydata()).tolist() == [False, True, False]


def test_a_path_of_settings_with_different_numbers_of_seeds():
    rows = [
        {"l2": l2, "seed": s, "epoch": 1, "loss": 1.0 + s} for l2, seeds in ((0.1, 3), (1.0, 2)) for s in range(seeds)
    ]
    display = PathDisplay.from_rows(rows, "loss", "l2")
    assert display.lines_[0].get_ydata().tolist() == [2.0, 1.5]
    np.testing.assert_array_equal(display.curves["loss"].max(axis=0), [3.0, 2.0])


@pytest.mark.parametrize("make", [LearningCurveDisplay.from_rows, PathDisplay.from_rows])
def test_names_of_columns_are_checked(make):
    for metric in (3, [], ["loss", 3]):
        with pytest.raises(TypeError, match="metric must be the name of a column or several, got "):
            make(curve_rows(), metric, "l2")
    with pytest.raises(TypeError, match="rows must be the rows of a study, got a tuple: pass its first element"):
        make((curve_rows(), []), "loss", "l2")
    with pytest.raises(TypeError, match=r"by must be the name of a column, got \['l2'\]"):
        LearningCurveDisplay.from_rows(curve_rows(), "loss", ["l2"])


def test_a_heat_map_of_a_study_has_a_colour_bar():
    display = HeatMapDisplay.from_rows(heat_rows(), "loss", x="size", y="rate")
    bar = display.figure_.axes[1]
    assert bar.get_ylabel() == display.label == "loss"
    plain = HeatMapDisplay(display.values, "size", "rate", display.xticks, display.yticks).plot()
    assert len(plain.figure_.axes) == 1


def test_a_surface_of_a_function_on_a_rectangle():
    display = SurfaceDisplay.from_function(lambda X: X[:, 0] + 10 * X[:, 1], ((0, 1), (2, 4)), points=3)
    np.testing.assert_array_equal(display.x1, [0, 0.5, 1])
    np.testing.assert_array_equal(display.x2, [2, 3, 4])
    np.testing.assert_allclose(display.values, [[20, 30, 40], [20.5, 30.5, 40.5], [21, 31, 41]])
    assert display.ax_.get_zlabel() == "value"
    net = Network((2, 1), loss="squared_error")
    assert SurfaceDisplay.from_network(net, (0, 1), 3).ax_.get_zlabel() == "prediction"
    of_error = SurfaceDisplay.from_network(net, ((0, 1), (0, 2)), 3, minus=lambda X: net.predict(X))
    with pytest.raises(ValueError, match=r"minus must return shape \(9,\), one value per row of X, got \(9, 1\)"):
        SurfaceDisplay.from_network(net, ((0, 1), (0, 2)), 3, minus=lambda X: X[:, :1])
    assert of_error.ax_.get_zlabel() == "error" and not of_error.values.any()
    for bounds in ((1, 0), 3, ((0, 1), (2, 2)), (0, 1, 2), (-np.inf, 1), ((0, 1), (0, np.inf))):
        with pytest.raises(ValueError, match="bounds must be .* with low < high, got "):
            SurfaceDisplay.from_function(lambda X: X[:, 0], bounds)
    with pytest.raises(ValueError, match=r"function must return shape \(9,\), one value per row of X, got \(9, 2\)"):
        SurfaceDisplay.from_function(lambda X: X, (0, 1), 3)


# What rows must be: one network for each seed and setting


def grid_rows():
    """Two widths by two depths, as of `studies.architectures`."""
    return [
        {
            "width": width,
            "depth": depth,
            "layer_sizes": (4, *[width] * depth, 3),
            "seed": 0,
            "epoch": epoch,
            "loss": 1.0,
        }
        for width in (8, 16)
        for depth in (1, 2)
        for epoch in (1, 2)
    ]


ROW_DISPLAYS = {
    "by": lambda rows, name: LearningCurveDisplay.from_rows(rows, "loss", name),
    "x": lambda rows, name: PathDisplay.from_rows(rows, "loss", name),
    "y": lambda rows, name: HeatMapDisplay.from_rows(rows, "loss", "seed", name),
}


@pytest.mark.parametrize("argument", ROW_DISPLAYS)
def test_rows_that_also_differ_in_another_setting_are_rejected(argument):
    make = ROW_DISPLAYS[argument]
    with pytest.raises(
        ValueError, match="rows also differ in 'depth', 'layer_sizes', got several with .*width = 8.*, "
    ) as error:
        make(grid_rows(), "width")
    assert "as in [row for row in rows if row['depth'] == 2]" in str(error.value)
    assert str(error.value).endswith(f", or use {argument}='layer_sizes'") == (argument != "y")
    make([row for row in grid_rows() if row["depth"] == 2], "width")
    make(grid_rows(), "layer_sizes")
    with pytest.raises(ValueError, match=r"one network for each seed, got several rows with .*width = 8.*epoch = 1"):
        make([row for row in grid_rows() * 2 if row["depth"] == 2], "width")
    two_studies = [{**row, "l2": l2} for l2 in (0.1, 0.2) for row in grid_rows()]
    with pytest.raises(ValueError, match="differ in 'l2'"):
        make(two_studies, "layer_sizes")


@pytest.mark.parametrize("argument", ROW_DISPLAYS)
def test_a_setting_is_no_metric_and_a_metric_no_setting(argument):
    for name in ("epoch", "loss", "val_accuracy"):
        with pytest.raises(
            ValueError, match=f"{argument} must be a column of settings, such as 'batch_size', got '{name}'"
        ):
            ROW_DISPLAYS[argument]([{**row, "val_accuracy": 0.5} for row in grid_rows()], name)
    with pytest.raises(ValueError, match=r"a metric must be a column of numbers, got 'layer_sizes' with \(4, 8, 3\)"):
        PathDisplay.from_rows(grid_rows(), "layer_sizes", "width")
    with pytest.raises(ValueError, match="lack 'val_acuracy'; all rows have .*; did you mean 'val_accuracy'"):
        PathDisplay.from_rows([{**row, "val_accuracy": 0.5} for row in grid_rows()], "val_acuracy", "width")


@pytest.mark.parametrize("argument", ROW_DISPLAYS)
def test_rows_may_be_a_data_frame(argument):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(grid_rows())
    ROW_DISPLAYS[argument](frame, "layer_sizes")
    ROW_DISPLAYS[argument](frame[frame.depth == 1], "width")
    with pytest.raises(ValueError, match="differ in 'depth'"):
        ROW_DISPLAYS[argument](frame, "width")
    with pytest.raises(TypeError, match="rows must be the rows of a study, a list of dicts or a data frame, got 3"):
        ROW_DISPLAYS[argument](3, "width")


@pytest.mark.parametrize("argument", ROW_DISPLAYS)
def test_a_frame_s_nan_is_the_setting_none(argument):
    """pandas keeps None beside numbers as nan, which no other nan is equal to."""
    pandas = pytest.importorskip("pandas")
    rows = [{**row, "max_gradient_norm": norm} for norm in (None, 0.5) for row in grid_rows()[:2]]
    frame = pandas.DataFrame(rows)
    assert frame["max_gradient_norm"].isna().sum() == 2
    of_frame, of_rows = (ROW_DISPLAYS[argument](each, "max_gradient_norm") for each in (frame, rows))
    if argument == "y":
        assert of_frame.yticks == of_rows.yticks == ["0.5", "None"]
        np.testing.assert_array_equal(of_frame.values, of_rows.values)
    else:
        assert list(map(str, of_frame.curves)) == list(map(str, of_rows.curves))
        texts = [[text.get_text() for text in each.ax_.get_xticklabels()] for each in (of_frame, of_rows)]
        assert texts[0] == texts[1] and (argument == "by" or texts[0] == ["None", "0.5"])


def test_lists_of_layer_sizes_are_settings_too():
    rows = [{**row, "layer_sizes": list(row["layer_sizes"])} for row in grid_rows()]
    assert list(LearningCurveDisplay.from_rows(rows, "loss", "layer_sizes").curves) == ["8", "8-8", "16", "16-16"]


def test_rows_are_drawn_at_their_epochs():
    rows = [{**row, "loss": float(row["epoch"]), "seconds": 1.0} for row in curve_rows()]
    some = [row for row in rows if row["epoch"] != 2 and row["l2"] == 0]
    display = LearningCurveDisplay.from_rows(some, "loss", "l2")
    np.testing.assert_array_equal(display.lines_[0].get_xdata(), [1, 3])
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), [1, 3])
    lacking = [row for row in rows if row["l2"] == 0 and (row["seed"], row["epoch"]) != (1, 2)]
    line = LearningCurveDisplay.from_rows(lacking, "loss", "l2").lines_[0]
    np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(line.get_ydata(), [1, np.nan, 3])
    with pytest.raises(ValueError, match="x='seconds' needs the rows of all epochs, got those of 1, 3"):
        LearningCurveDisplay.from_rows(some, "loss", "l2", x="seconds")


def test_a_heat_map_takes_the_last_epoch_of_each_net():
    """With early stopping they differ."""
    rows = [row for row in grid_rows() if (row["width"], row["depth"], row["epoch"]) != (8, 1, 2)]
    assert np.isfinite(HeatMapDisplay.from_rows(rows, "loss", "width", "depth").values).all()


# Labels, ticks and space


def test_a_history_names_its_data():
    history = {
        "loss": [3.0],
        "val_loss": [2.0],
        "test_loss": [1.0],
        "val_accuracy": [0.5],
        "test_auc": [0.7],
        "accuracy": [0.4],
    }
    expected = {
        "loss": (["training", "validation", "test"], "loss"),
        "accuracy": (["training", "validation"], "accuracy"),
        "val_accuracy": (["validation"], "validation accuracy"),
        "test_loss": (["test"], "test loss"),
        "auc": (["test"], "auc"),
        "test_auc": (["test"], "test auc"),
    }
    for metric, (names, label) in expected.items():
        display = LearningCurveDisplay.from_history(history, metric)
        assert (legend_of(display.ax_), display.ax_.get_ylabel()) == (names, label)
    assert legend_of(History(loss=[3.0], val_loss=[2.0]).plot().axes[0]) == ["training", "validation"]


@pytest.mark.parametrize(
    "entries, names",
    [
        (["training_loss", "val_loss", "loss"], ["training", "training_loss", "validation"]),
        (["validation_loss", "val_loss", "loss"], ["training", "validation", "val_loss"]),
    ],
)
def test_sets_whose_names_are_labels_of_others_have_curves_of_their_own(entries, names):
    history = {name: [float(i), i / 2] for i, name in enumerate(entries)}
    order = ["loss", *entries[:2]]
    display = LearningCurveDisplay.from_history(history)
    assert legend_of(display.ax_) == names
    assert [line.get_ydata()[0] for line in display.lines_] == [history[name][0] for name in order]
    of_history = legend_of(history_figure.figure(history).axes[0])
    assert len(of_history) == len(set(of_history)) == 3
    rows = [{"l2": 0.1, "seed": 0, "epoch": 1, **{name: values[0] for name, values in history.items()}}]
    assert legend_of(PathDisplay.from_rows(rows, order, "l2").ax_) == names
    assert legend_of(LearningCurveDisplay.from_rows(rows, order, "l2").ax_) == [f"0.1, {name}" for name in names]


def test_metrics_of_a_study_have_the_same_names_on_curves_and_paths():
    rows = [{"l2": 0.1, "seed": 0, "epoch": 1, "loss": 3.0, "val_loss": 2.0, "test_loss": 2.0, "val_auc": 0.5}]
    for make in (LearningCurveDisplay.from_rows, PathDisplay.from_rows):
        prefix = "0.1, " if make == LearningCurveDisplay.from_rows else ""
        for metrics, label, names in (
            (["loss", "val_loss", "test_loss"], "loss", ["training", "validation", "test"]),
            (["val_loss", "val_auc"], "validation loss, validation auc", ["validation loss", "validation auc"]),
        ):
            display = make(rows, metrics, "l2")
            assert display.ax_.get_ylabel() == label
            assert legend_of(display.ax_) == [prefix + name for name in names]
    assert make(rows, "val_auc", "l2").ax_.get_ylabel() == "validation auc"


def path_of(name, values, width=6.4):
    rows = [{name: value, "seed": 0, "epoch": 1, "loss": 1.0} for value in values]
    ax = pyplot.figure(figsize=(width, 2.4), layout="constrained").add_subplot()
    return PathDisplay.from_rows(rows, "loss", name, ax=ax).ax_


@pytest.mark.parametrize(
    "name, values, scale, texts",
    [
        ("batch_size", [16, 128, 1000], "log", ["16", "128", "1000"]),
        ("batch_size", [300, 400, 500], "log", ["300", "400", "500"]),
        ("depth", [3, 1, 2], "linear", ["1", "2", "3"]),
        ("l2", [0, 1e-4, 1e-3, 1e-2], "symlog", ["0", "0.0001", "0.001", "0.01"]),
        ("learning_rate", [0.1, 0.2, 0.4], "log", ["0.1", "0.2", "0.4"]),
        ("l2", [0.1], "log", ["0.1"]),
        ("layer_sizes", [(4, 32, 3), [4, 32, 24, 3]], "linear", ["32", "32-24"]),
        ("layer_sizes", [(4, 32, 3), (4, 3)], "linear", ["4-32-3", "4-3"]),
        ("layer_sizes", ["(4, 32, 3)", "(4, 16, 3)"], "linear", ["(4, 32, 3)", "(4, 16, 3)"]),  # of a file of text
        ("activation", ["tanh", "relu"], "linear", ["tanh", "relu"]),
        ("shuffle", [True, False], "linear", ["True", "False"]),
        ("limit", [0, 1, np.inf], "linear", ["0", "1", "inf"]),
    ],
)
def test_ticks_of_a_path_are_its_values(name, values, scale, texts):
    ax = path_of(name, values)
    ax.figure.canvas.draw()
    shown = [label.get_text() for label in ax.get_xticklabels() + ax.get_xticklabels(minor=True)]
    assert (ax.get_xscale(), shown) == (scale, texts)


@pytest.mark.parametrize(
    "name, values",
    [
        ("batch_size", [2**i for i in range(12)]),
        ("batch_size", range(10, 210, 10)),
        ("l2", [0, *np.logspace(-6, -1, 11)]),
        ("layer_sizes", [(784, *[width] * depth, 10) for width in (128, 254, 512) for depth in (1, 2, 3)]),
    ],
)
def test_tick_labels_of_a_path_do_not_overlap(name, values):
    ax = path_of(name, values, width=3.1)
    ax.tick_params(labelsize=8)
    ax.figure.canvas.draw()
    labels = ax.get_xticklabels()
    assert len(labels) >= 3
    if labels[0].get_rotation():
        assert [label.get_rotation() for label in labels] == [45] * len(values)
    else:
        boxes = [label.get_window_extent() for label in labels]
        assert all(left.x1 < right.x0 for left, right in zip(boxes, boxes[1:]))


@pytest.mark.parametrize("layout", ["constrained", None])
def test_a_long_legend_does_not_cover_the_curves(layout):
    rows = [{"width": width, "seed": 0, "epoch": epoch, "loss": 1.0} for width in range(9) for epoch in (1, 2)]
    ax = pyplot.figure(layout=layout).add_subplot()
    LearningCurveDisplay.from_rows(rows, "loss", "width", ax=ax)
    ax.figure.canvas.draw()
    box = ax.get_legend().get_window_extent()
    assert (box.x0 >= ax.bbox.x1) == (layout is not None)
    assert box.x1 <= ax.figure.bbox.x1


def test_one_epoch_is_a_point():
    for ax in (LearningCurveDisplay.from_history({"loss": [1.0]}).ax_, History(loss=[1.0]).plot().axes[0]):
        ax.figure.canvas.draw()
        assert ax.lines[0].get_marker() == "o"
        low, high = ax.get_xlim()
        assert [tick for tick in ax.get_xticks() if low <= tick <= high] == [1]
    line = LearningCurveDisplay.from_history({"loss": [1.0, np.nan]}).lines_[0]
    assert line.get_marker() == "o"
    assert LearningCurveDisplay.from_history({"loss": [1.0, 2.0]}).lines_[0].get_marker() == "None"


def test_epochs_and_settings_of_nets_that_diverged_are_on_the_axis():
    rows = [{"l2": l2, "seed": 0, "epoch": 1, "loss": np.nan if l2 > 1 else 1.0} for l2 in (0.1, 1.0, 100.0)]
    assert PathDisplay.from_rows(rows, "loss", "l2").ax_.get_xlim()[1] > 100
    low, high = LearningCurveDisplay.from_history({"loss": [np.nan] * 8}).ax_.get_xlim()
    assert low < 1 and 8 < high < 9


@pytest.mark.parametrize("panels, has_label", [(1, True), (2, True), (3, False)])
def test_labels_of_surfaces_have_space(panels, has_label):
    style = {"projection": "3d"}
    figure, axes = pyplot.subplots(
        ncols=panels, figsize=(6.3, 3), subplot_kw=style, layout="constrained", squeeze=False
    )
    for ax in axes[0]:
        SurfaceDisplay.from_function(lambda X: X[:, 0], (0, 1), 3, ax=ax, zlabel="prediction")
        assert ax.get_zlabel() == ("prediction" if has_label else "")
    figure.canvas.draw()
    image = np.asarray(figure.canvas.buffer_rgba())[..., :3]
    assert (image[:, -3:] == 255).all() and (image[-3:] == 255).all(), "nothing is cut off"


def test_axes_of_a_surface_are_checked():
    with pytest.raises(ValueError, match=r"ax must have projection='3d', got .*subplot_kw=\{'projection': '3d'\}"):
        SurfaceDisplay.from_function(lambda X: X[:, 0], (0, 1), 3, ax=pyplot.figure().add_subplot())


def test_arguments_that_belong_elsewhere():
    for make in (
        lambda: LearningCurveDisplay.from_rows(curve_rows(), "loss", "l2", label="mine"),
        lambda: PathDisplay.from_rows(curve_rows(), "loss", "l2", label="mine"),
        lambda: LearningCurveDisplay.from_history({"loss": [1.0]}, label="mine"),
    ):
        with pytest.raises(TypeError, match="each curve has its own, got 'mine': change it with .*set_label"):
            make()
    with pytest.raises(TypeError, match="a History or a mapping, got a sequence: from_rows draws rows"):
        LearningCurveDisplay.from_history(curve_rows())
    with pytest.raises(TypeError, match="a History or a mapping, got Trainer.*: pass its history$"):
        LearningCurveDisplay.from_history(fastmlp.Trainer(Network((2, 3))))
    for draw in (
        lambda net: SurfaceDisplay.from_network(net, (0, 1)),
        lambda net: WeightsDisplay.from_network(net, (1, 2)),
    ):
        with pytest.raises(TypeError, match=r"network must be a fastmlp.Network, got Ensemble\("):
            draw(fastmlp.Ensemble([Network((2, 3))]))
    with pytest.raises(TypeError, match="rows must be the rows of a study, .*got History"):
        LearningCurveDisplay.from_rows(History(loss=[1.0]), "loss", "l2")
    for shape in (6, "6"):
        with pytest.raises(ValueError, match=f"as \\(height, width\\), got {shape!r}"):
            WeightsDisplay.from_network(Network((6, 2)), shape)
    assert len(WeightsDisplay.from_network(Network((6, 8, 2)), (2, 3)).images) == 8


@pytest.mark.parametrize(
    "values, texts",
    [
        ([0.75, 0.818], ["0.750", "0.818"]),
        ([1.5, 12.25], ["1.5", "12.2"]),
        ([0.0, 0.5], ["0.000", "0.500"]),
        ([1e-5, 2.0], ["1e-05", "2"]),
        ([1234.0, 5000.0], ["1234", "5000"]),
        ([1234.5, 5000.0], ["1.23e+03", "5e+03"]),
        ([0.0, 0.0], ["0", "0"]),
    ],
)
def test_numbers_of_a_heat_map_have_the_same_decimals(values, texts):
    display = HeatMapDisplay([values], "x", "y", [1, 2], [1]).plot()
    assert [text.get_text() for text in display.ax_.texts] == texts


# Every display: what is drawn, where, and the texts of axes, ticks and legends


def legend_of(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def ticks_of(axis):
    return axis.get_ticklocs().tolist(), [label.get_text() for label in axis.get_ticklabels()]


@pytest.mark.parametrize("metric", ["loss", "accuracy", "penalty", "val_loss", "val_accuracy", "seconds"])
@pytest.mark.parametrize("as_mapping", [True, False])
def test_a_learning_curve_shows_its_entries_over_the_epochs(metric, as_mapping):
    history = Trainer(Network((11, 4))).fit(X, Y, epochs=4, validation_data=(X[:9], Y[:9]))
    given = vars(history) if as_mapping else history
    display = LearningCurveDisplay.from_history(given, metric, linestyle="--")
    expected = {"validation" if metric.startswith("val") else "training": getattr(history, metric)}
    if metric in ("loss", "accuracy"):
        expected["validation"] = getattr(history, f"val_{metric}")
    assert list(display.curves) == legend_of(display.ax_) == list(expected)
    for line, values in zip(display.lines_, expected.values(), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4])
        np.testing.assert_array_equal(line.get_ydata(), values)
        assert line.get_linestyle() == "--" and line in display.ax_.lines
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("epoch", metric.replace("val_", "validation "))
    assert not display.ax_.collections, "one net has no range"


@pytest.mark.parametrize("metric, validation", [("loss", "val_loss"), ("score", "val_score")])
def test_learning_curves_of_an_estimator_s_history(metric, validation):
    history = {"loss": [3.0, 2.0], "penalty": [0.0, 0.0], "val_loss": [4.0, 5.0], "val_score": [0.1, 0.2]}
    display = LearningCurveDisplay.from_history(history, metric)
    curves = {label: curve.tolist() for label, curve in display.curves.items()}
    expected = {"training": [history[metric]]} if metric in history else {}
    assert curves == expected | {"validation": [history[validation]]}


def test_learning_curves_of_rows_show_means_and_ranges():
    values = {(1, 0): [4.0, 2.0, 1.0], (1, 5): [2.0, 2.0, 3.0], (8, 0): [9.0, 8.0, 7.0], (8, 5): [9.0, 6.0, 9.0]}
    rows = [
        {"batch_size": size, "seed": seed, "epoch": epoch, "val_loss": value, "loss": 0.0}
        for (size, seed), curve in values.items()
        for epoch, value in enumerate(curve, 1)
    ]
    display = LearningCurveDisplay.from_rows(rows[::-1], "val_loss", "batch_size", linewidth=3)
    assert set(legend_of(display.ax_)) == {"1", "8"}
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("epoch", "validation loss")
    expected = {
        "1": ([3, 2, 2], [2, 2, 1], [4, 2, 3]),
        "8": ([9, 7, 8], [9, 6, 7], [9, 8, 9]),
    }
    for line, band in zip(display.lines_, display.ax_.collections, strict=True):
        mean, low, high = expected[line.get_label()]
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
        np.testing.assert_array_equal(line.get_ydata(), mean)
        assert line.get_linewidth() == 3
        corners = band.get_paths()[0].vertices
        for epoch in (1, 2, 3):
            at_epoch = corners[corners[:, 0] == epoch][:, 1]
            assert (at_epoch.min(), at_epoch.max()) == (low[epoch - 1], high[epoch - 1])
        assert band.get_alpha() == 0.15
        assert matplotlib.colors.same_color(band.get_facecolor()[0, :3], line.get_color())


def heat_rows():
    """Two seeds, three sizes (x) by two rates (y), two epochs: a different value for each cell, seed and epoch."""
    return [
        {
            "size": size,
            "rate": rate,
            "seed": seed,
            "epoch": epoch,
            "loss": size + 100 * rate + seed - 1000 * (epoch < 2),
        }
        for rate in (0.5, 0.25)
        for size in (32, 8, 16)
        for seed in (0, 1)
        for epoch in (1, 2)
    ]


def test_a_heat_map_shows_the_last_epochs_means_where_ticks_and_labels_say():
    display = HeatMapDisplay.from_rows(heat_rows(), "loss", x="size", y="rate", cmap="gray")
    expected = np.array([[size + 100 * rate + 0.5 for size in (8, 16, 32)] for rate in (0.25, 0.5)])
    ax = display.ax_
    np.testing.assert_array_equal(display.values, expected)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("size", "rate")
    assert ticks_of(ax.xaxis) == ([0, 1, 2], ["8", "16", "32"])
    assert ticks_of(ax.yaxis) == ([0, 1], ["0.25", "0.5"])
    (mesh,) = ax.collections
    np.testing.assert_array_equal(mesh.get_array().reshape(2, 3), expected)
    assert mesh.get_cmap().name == "gray"
    corners = mesh.get_coordinates()
    np.testing.assert_array_equal(corners[0, :, 0], [-0.5, 0.5, 1.5, 2.5])
    np.testing.assert_array_equal(corners[:, 0, 1], [-0.5, 0.5, 1.5])
    texts = {text.get_position(): text for text in ax.texts}
    assert {place: text.get_text() for place, text in texts.items()} == {
        (j, i): f"{expected[i, j]:.3g}" for i in range(2) for j in range(3)
    }
    low, high = expected.min(), expected.max()
    for (j, i), text in texts.items():  # readable: gray is as light as the value is high
        lightness = (expected[i, j] - low) / (high - low)
        assert text.get_color() == ("white" if lightness < 0.5 else "black")
    again = display.plot(pyplot.figure().add_subplot(), text="{:.0f}!")
    assert [text.get_text() for text in again.ax_.texts] == [f"{value:.0f}!" for value in expected.ravel()]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_net_that_diverged_leaves_its_cell_empty(value):
    rows = [row for row in heat_rows() if not (row["size"] == 16 and row["rate"] == 0.5 and row["seed"] == 1)]
    rows.append({"size": 16, "rate": 0.5, "seed": 1, "epoch": 1, "loss": value})
    display = HeatMapDisplay.from_rows(rows, "loss", x="size", y="rate")
    assert np.isfinite(display.values).tolist() == [[True] * 3, [True, False, True]]
    assert {text.get_position() for text in display.ax_.texts} == {(j, i) for i in (0, 1) for j in (0, 1, 2)} - {(1, 1)}


def test_a_missing_cell_is_empty():
    rows = [row for row in heat_rows() if (row["size"], row["rate"]) != (32, 0.25)]
    display = HeatMapDisplay.from_rows(rows, "loss", x="size", y="rate")
    assert np.isfinite(display.values).tolist() == [[True, True, False], [True] * 3]


def test_a_surface_shows_the_function_over_its_square(monkeypatch):
    from mpl_toolkits.mplot3d import Axes3D

    drawn = []
    monkeypatch.setattr(Axes3D, "plot_surface", lambda self, *values, **style: drawn.append((*values, style)))
    net = Network((2, 5, 3), loss="squared_error", seed=1)
    display = SurfaceDisplay.from_network(net, (-1, 3), 5, minus=lambda X: X[:, 0] + 10 * X[:, 1], alpha=0.5)
    axis = [-1, 0, 1, 2, 3]
    np.testing.assert_array_equal(display.x1, axis)
    np.testing.assert_array_equal(display.x2, axis)
    expected = [[net.forward([[a, b]])[0, 0] - (a + 10 * b) for b in axis] for a in axis]
    np.testing.assert_allclose(display.values, expected, rtol=1e-6)
    (first, second, third, style) = drawn.pop()
    np.testing.assert_array_equal(first, np.repeat(axis, 5).reshape(5, 5))
    np.testing.assert_array_equal(second, np.tile(axis, 5).reshape(5, 5))
    np.testing.assert_array_equal(third, display.values)
    assert style == {"cmap": "viridis", "linewidth": 0, "alpha": 0.5}
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("$x_1$", "$x_2$")
    assert display.ax_.name == "3d"
    display.plot(cmap="magma")
    assert drawn.pop()[-1]["cmap"] == "magma"
    assert SurfaceDisplay.from_network(net, (0, 1)).values.shape == (41, 41)
    assert SurfaceDisplay.from_network(net, (0, 1), 2).values.shape == (2, 2)


@pytest.mark.parametrize("neurons, columns", [(1, 6), (5, 6), (6, 6), (7, 6), (12, 6), (4, 2), (5, 3), (3, 1)])
def test_weights_stand_side_by_side_and_white_is_zero(neurons, columns):
    net = Network((6, 12, 2), seed=1)
    display = WeightsDisplay.from_network(net, (2, 3), neurons).plot(columns=columns)
    (image,) = display.ax_.images
    sheet = np.ma.filled(image.get_array(), np.nan)
    width, height = min(neurons, columns), -(-neurons // columns)
    assert sheet.shape == (3 * height - 1, 4 * width - 1), "a pixel apart"
    assert np.isnan(sheet[2::3]).all() and np.isnan(sheet[:, 3::4]).all()
    for place in range(width * height):
        top, left = 3 * (place // width), 4 * (place % width)
        tile = sheet[top : top + 2, left : left + 3]
        if place < neurons:
            np.testing.assert_array_equal(tile, net.weights[0][:, place].reshape(2, 3))
        else:
            assert np.isnan(tile).all()
    max_weight = np.abs(net.weights[0][:, :neurons]).max()
    assert image.get_clim() == (-max_weight, max_weight)
    assert image.get_cmap().name == "RdBu_r"
    assert min(image.to_rgba(0.0)[:3]) > 0.96
    red, blue = image.to_rgba(max_weight), image.to_rgba(-max_weight)
    assert red[0] > red[2] and blue[2] > blue[0], "red is positive"
    assert not display.ax_.axison


def test_weights_by_default_and_of_zeros():
    net = Network((6, 20, 2), seed=1)
    display = WeightsDisplay.from_network(net, (2, 3), cmap="gray")
    assert display.images.shape == (12, 2, 3)
    assert display.ax_.images[0].get_array().shape == (5, 23) and display.ax_.images[0].get_cmap().name == "gray"
    net.set_parameters([0 * w for w in net.weights], net.biases)
    assert WeightsDisplay.from_network(net, (3, 2), 20).ax_.images[0].get_clim() == (-1, 1)
    for shape in ((2, 2), (6,), (1, 2, 3), (-2, -3, 1)):
        with pytest.raises(ValueError, match=rf"6 pixels, one per feature, as .*, got \{str(shape)[:-1]}"):
            WeightsDisplay.from_network(net, shape)
    with pytest.raises(ValueError, match=r"shape\[0\] must be at least 1, got -2"):
        WeightsDisplay.from_network(net, (-2, -3))
    with pytest.raises(ValueError, match="columns must be at least 1, got 0"):
        display.plot(columns=0)
    for neurons in (0, 21):
        with pytest.raises(ValueError, match=f"neurons must be at least 1 and at most 20, got {neurons}"):
            WeightsDisplay.from_network(net, (2, 3), neurons)


def test_every_display_draws_on_the_axes_given():
    net = Network((2, 3, 1), loss="squared_error")
    makers = {
        "history": lambda ax: LearningCurveDisplay.from_history({"loss": [1.0]}, ax=ax),
        "rows": lambda ax: LearningCurveDisplay.from_rows(heat_rows()[:12], "loss", "size", ax=ax),
        "path": lambda ax: PathDisplay.from_rows(heat_rows()[:12], "loss", "size", ax=ax),
        "function": lambda ax: SurfaceDisplay.from_function(lambda X: X[:, 0], (0, 1), 3, ax=ax),
        "heat": lambda ax: HeatMapDisplay.from_rows(heat_rows(), "loss", "size", "rate", ax=ax),
        "surface": lambda ax: SurfaceDisplay.from_network(net, (0, 1), 3, ax=ax),
        "weights": lambda ax: WeightsDisplay.from_network(net, (1, 2), 3, ax=ax),
    }
    for name, make in makers.items():
        ax = pyplot.figure().add_subplot(projection="3d" if name in ("surface", "function") else None)
        display = make(ax)
        assert display.ax_ is ax and display.figure_ is ax.figure
        other = pyplot.figure().add_subplot(projection="3d" if name in ("surface", "function") else None)
        assert display.plot(other) is display and display.ax_ is other and display.figure_ is other.figure
        before = pyplot.get_fignums()
        new = make(None)
        assert len(pyplot.get_fignums()) == len(before) + 1 and new.figure_.number not in before
        pyplot.close("all")


@pytest.mark.parametrize("display", [LearningCurveDisplay, HeatMapDisplay])
def test_missing_columns_are_named_beside_those_needed(display):
    call = {
        LearningCurveDisplay: lambda rows: display.from_rows(rows[:12], "loss", "size"),
        HeatMapDisplay: lambda rows: display.from_rows(rows, "loss", "size", "rate"),
    }[display]
    needed = {
        LearningCurveDisplay: ["loss", "size", "seed", "epoch"],
        HeatMapDisplay: ["loss", "size", "rate", "seed", "epoch"],
    }
    for name in needed[display]:
        for lacking in (0, 11):  # in one row only
            rows = heat_rows()
            del rows[lacking][name]
            with pytest.raises(ValueError, match=f"must have columns .*'{name}'.*, and lack '{name}'; all rows have '"):
                call(rows)


def test_many_curves_have_colours_of_their_own():
    curves = {str(k): np.array([[k, k + 1.0]]) for k in range(12)}
    display = LearningCurveDisplay(curves, "y").plot()
    assert len({matplotlib.colors.to_hex(line.get_color()) for line in display.lines_}) == 12
    rows = [{"size": k, "seed": 0, "epoch": e, "loss": k, "val_loss": k} for k in range(12) for e in (1, 2)]
    display = LearningCurveDisplay.from_rows(rows, ["loss", "val_loss"], by="size")
    looks = {(matplotlib.colors.to_hex(line.get_color()), line.get_linestyle()) for line in display.lines_}
    assert len(looks) == 24


def test_categories_of_a_path_are_not_joined():
    rows = [
        {"kind": kind, "seed": seed, "epoch": 1, "loss": seed + 1.0} for kind in ("relu", "tanh") for seed in (0, 1)
    ]
    display = PathDisplay.from_rows(rows, "loss", x="kind")
    (line,) = display.lines_
    assert line.get_linestyle() == "None" and line.get_marker() == "o"
    (bars,) = display.ax_.collections
    np.testing.assert_array_equal(bars.get_segments(), [[[place, 1], [place, 2]] for place in (0, 1)])


def test_a_schedule_is_a_setting_to_draw_by():
    schedules = (None, fastmlp.schedules.cosine(), fastmlp.schedules.step(2))
    rows = studies.compare([{"layer_sizes": (11, 4), "schedule": each} for each in schedules], X, Y, 2)
    display = LearningCurveDisplay.from_rows(rows, "loss", by="schedule")
    assert len(display.lines_) == 3


def test_a_surface_shows_the_output_that_is_asked_for():
    net = Network((2, 3))
    display = SurfaceDisplay.from_network(net, (0, 1), points=3, output=2)
    assert display.values[2, 2] == net.forward([[1, 1]])[0, 2]
    assert display.ax_.get_zlabel() == "probability of class 2"
    assert SurfaceDisplay.from_network(Network((2, 1), loss="poisson"), (0, 1)).ax_.get_zlabel() == "prediction"
    with pytest.raises(ValueError, match="output must be"):
        SurfaceDisplay.from_network(net, (0, 1), output=3)


def test_a_frame_of_a_history_is_drawn():
    pytest.importorskip("pandas")
    history = Trainer(Network((11, 4))).fit(X, Y, epochs=3, validation_data=(X, Y))
    display = LearningCurveDisplay.from_history(history.to_frame())
    np.testing.assert_array_equal(display.lines_[1].get_ydata(), history.val_loss)
    column = LearningCurveDisplay({"a": history.to_frame()["val_loss"], "none": []}, "loss").plot()
    np.testing.assert_array_equal(column.lines_[0].get_ydata(), history.val_loss)
    assert not len(column.lines_[1].get_ydata())


def test_a_metric_whose_name_ends_with_loss_is_no_set():
    def hinge_loss(y, predictions):
        return 1.0

    history = Trainer(Network((11, 4))).fit(X, Y, 2, validation_data=(X, Y), metrics={"hinge_loss": hinge_loss})
    labels = [[line.get_label() for line in axes.get_lines()] for axes in history.plot().axes]
    assert labels == [["training", "validation"]] * 2
    assert LearningCurveDisplay.from_history(history, "val_hinge_loss").ax_.get_ylabel() == "validation hinge loss"
    both = {"a_loss": [1.0], "a_accuracy": [1.0], "a_small_loss": [1.0], "a_small_accuracy": [1.0], "loss": [2.0]}
    assert [line.get_label() for line in LearningCurveDisplay.from_history(both).lines_] == ["training", "a", "a_small"]


def test_weights_have_a_colour_bar():
    display = WeightsDisplay.from_network(Network((4, 3)), (2, 2))
    (bar,) = [axes for axes in display.figure_.axes if axes is not display.ax_]
    assert bar.get_ylabel() == "weight"
