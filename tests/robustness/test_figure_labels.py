"""The texts of figures: labels, legends, ticks, and the space for them."""

import numpy as np
import pytest
from drawings import close_figures, legend_of  # noqa: F401
from fastmlp import History, history_figure
from fastmlp.plotting import HeatMapDisplay, LearningCurveDisplay, PathDisplay, SurfaceDisplay
from matplotlib import pyplot


def test_epochs_are_whole_numbers():
    display = LearningCurveDisplay.from_history({"loss": [3.0, 2.0, 1.0]})
    display.figure_.canvas.draw()
    assert all(tick == round(tick) for tick in display.ax_.get_xticks())
    ax = pyplot.figure().add_subplot()
    ax.set_xscale("log")
    LearningCurveDisplay.from_history({"loss": [3.0, 2.0, 1.0]}, ax=ax)


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
