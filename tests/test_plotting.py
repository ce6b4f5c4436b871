"""Displays: what they hold and draw, and what they refuse."""

import sys

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from fastmlp import History, Network, Trainer, studies  # noqa: E402
from fastmlp.plotting import HeatMapDisplay, LearningCurveDisplay, SurfaceDisplay, WeightsDisplay  # noqa: E402
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
    of_estimator = {"loss": [2.0, 1.0], "validation_loss": [3.0, 2.0], "validation_score": [0.1, 0.2]}
    assert len(LearningCurveDisplay.from_history(of_estimator).lines_) == 2
    with pytest.raises(ValueError, match=r"loss.*'speed'"):
        LearningCurveDisplay.from_history(history, "speed")
    with pytest.raises(ValueError, match="metric"):
        LearningCurveDisplay.from_history(History())


def test_learning_curves_and_heat_maps_of_a_study():
    rows, _ = studies.compare(
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
    curves = LearningCurveDisplay.from_rows(rows, "accuracy", "batch_size")
    assert set(curves.curves) == {"batch_size = 8", "batch_size = 16", "batch_size = 32"}
    assert len(curves.ax_.collections) == 3  # ranges over the seeds
    heat = HeatMapDisplay.from_rows(rows, "loss", x="batch_size", y="learning_rate", cmap="magma")
    assert heat.values.shape == (2, 3)
    expected = np.mean([row["loss"] for row in rows if row["epoch"] == 3 and row["learning_rate"] == 0.2][2:4])
    np.testing.assert_allclose(heat.values[1, 1], expected)
    assert [text.get_text() for text in heat.ax_.texts] == [f"{value:.3g}" for value in heat.values.ravel()]
    diverged = [{**row, "epoch": 1, "loss": np.nan} if row is rows[-1] else row for row in rows]
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
    assert display.ax_.images[0].get_array().shape == (2, 9)
    assert display.plot(columns=2).ax_.images[0].get_array().shape == (4, 6)
    with pytest.raises(ValueError, match="6 pixels"):
        WeightsDisplay.from_network(net, (5, 5))
    with pytest.raises(ValueError, match="neurons.*9"):
        WeightsDisplay.from_network(net, (2, 3), 9)


def test_without_matplotlib_it_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="needs matplotlib"):
        LearningCurveDisplay({"training": np.ones(3)}, "loss").plot()
