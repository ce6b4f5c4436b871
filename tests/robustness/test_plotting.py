"""Displays: what they hold and draw, and what they reject."""

import sys

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

import fastmlp  # noqa: E402
from drawings import close_figures, curve_rows, heat_rows, legend_of, ticks_of  # noqa: E402, F401
from fastmlp import History, Network, Trainer, studies  # noqa: E402
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


# Every display: what is drawn, where, and the texts of axes, ticks and legends


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
