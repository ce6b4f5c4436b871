"""Figures of networks and studies, in scikit-learn's Display convention.

A class method computes what is shown and draws it on `ax`, by default in a new figure; ``plot`` draws it again, on
other axes or in another style. The attributes hold what is drawn, `ax_` and `figure_` the matplotlib Axes (Axes3D for
a surface) and Figure. Needs matplotlib, which is imported when something is drawn (ImportError without it).
Invalid arguments raise a ValueError or a TypeError.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import figure_labels, losses, validation
from .curve_displays import LearningCurveDisplay, PathDisplay
from .displays import Display, check_rows, last_epochs
from .network import Network

__all__ = ["HeatMapDisplay", "LearningCurveDisplay", "PathDisplay", "SurfaceDisplay", "WeightsDisplay"]

MIN_WIDTH_OF_ZLABEL = 2.0  # inches of the axes, below which the label would be cut off
MIN_WIDTH_OF_DISTANCE = 2.6  # inches, from which on the label has space beside tick labels such as -0.02


class HeatMapDisplay(Display):
    """A grid of numbers by two settings, as colours and as text.

    Parameters
    ----------
    values : array, shape (rows, columns)
    xlabel, ylabel : str
    xticks, yticks : sequence
        Of the columns and of the rows.
    label : str
        What the values are, beside a colour bar; without it there is none.
    """

    def __init__(
        self,
        values: np.ndarray,
        xlabel: str,
        ylabel: str,
        xticks: Sequence[Any],
        yticks: Sequence[Any],
        label: str = "",
    ) -> None:
        self.values, self.label = np.asarray(values, float), label
        self.xlabel, self.ylabel, self.xticks, self.yticks = xlabel, ylabel, xticks, yticks

    @classmethod
    def from_rows(cls, rows: Any, value: str, x: str, y: str, ax: Any = None, **style: Any) -> HeatMapDisplay:
        """The mean over the seeds after the last epoch, by two columns of a study; empty where a net diverged.

        ``EarlyStopping(restore_best=True)`` changes the networks, not the rows: these end with the last epoch.

        Parameters
        ----------
        rows : sequence of mapping, or data frame
            As in `LearningCurveDisplay.from_rows`, with `x` and `y` in place of `by`.
        value, x, y : str
            Columns: a metric and two settings.
        ax, **style
            matplotlib Axes, optional; style of matplotlib's pcolormesh.
        """
        rows = check_rows(rows, [value], {"x": x, "y": y})
        cells = {place: np.mean([row[value] for row in own]) for place, own in last_epochs(rows, x, y).items()}
        xticks, yticks = (_in_order({row[name] for row in rows}) for name in (x, y))
        values = np.array([[cells.get((a, b), np.nan) for a in xticks] for b in yticks])
        values[~np.isfinite(values)] = np.nan
        (xlabel, xticks), (ylabel, yticks) = figure_labels.of_values(x, xticks), figure_labels.of_values(y, yticks)
        return cls(values, xlabel, ylabel, xticks, yticks, figure_labels.of_column(value, rows[0])).plot(ax, **style)

    def plot(self, ax: Any = None, text: str | None = None, **style: Any) -> HeatMapDisplay:
        """Draw it.

        Parameters
        ----------
        ax, **style
            matplotlib Axes, optional; style of matplotlib's pcolormesh.
        text : str, optional
            Format of the numbers, such as ``"{:.1%}"``. Default: as many decimals for all as the largest number has
            with three digits; three digits for each if they differ more than a thousandfold.
        """
        ax, text = self._set_axes(ax), text or _format_of(self.values)
        rows, columns = self.values.shape
        mesh = ax.pcolormesh(np.arange(columns + 1) - 0.5, np.arange(rows + 1) - 0.5, self.values, **style)
        for i, j in zip(*np.nonzero(np.isfinite(self.values))):
            luminance = np.dot(mesh.to_rgba(self.values[i, j])[:3], (0.2126, 0.7152, 0.0722))  # weights of sRGB
            colour = "white" if luminance < 0.5 else "black"
            ax.text(j, i, text.format(self.values[i, j]), ha="center", va="center", color=colour)
        ax.set_xticks(range(columns), self.xticks)
        ax.set_yticks(range(rows), self.yticks)
        if self.label:
            self.figure_.colorbar(mesh, ax=ax, label=self.label)
        ax.set(xlabel=self.xlabel, ylabel=self.ylabel)
        return self


class SurfaceDisplay(Display):
    """A function of two variables.

    Parameters
    ----------
    x1, x2 : array, shape (points,)
    values : array, shape (points of x1, points of x2)
        ``values[i, j]`` is at ``x1[i], x2[j]``; matplotlib's ``contourf(x1, x2, values.T)`` draws lines of equal value.
    zlabel : str
        Drawn on axes that are at least 2 inches wide; on narrower ones it would be cut off.
    """

    def __init__(self, x1: np.ndarray, x2: np.ndarray, values: np.ndarray, zlabel: str = "") -> None:
        self.x1, self.x2, self.values, self.zlabel = x1, x2, values, zlabel

    @classmethod
    def from_function(
        cls,
        function: Callable[[np.ndarray], np.ndarray],
        bounds: Any,
        points: int = 41,
        ax: Any = None,
        zlabel: str = "value",
        **style: Any,
    ) -> SurfaceDisplay:
        """A function of X, shape (rows, 2), that returns an array of shape (rows,): the truth beside a network.

        Parameters
        ----------
        function : callable
        bounds : (low, high), or ((low, high), (low, high))
            Of both variables, or of the first and the second.
        points : int >= 2
            Per axis.
        ax, **style
            matplotlib Axes3D, optional; style of matplotlib's plot_surface.
        zlabel : str
        """
        points = validation.check_integer("points", points, 2)
        first, second = (np.linspace(*pair, points) for pair in _check_bounds(bounds))
        X = np.stack(np.meshgrid(first, second, indexing="ij"), axis=-1).reshape(-1, 2)
        values = np.asarray(function(X), float)
        if values.shape != (len(X),):
            raise ValueError(f"function must return shape ({len(X)},), one value per row of X, got {values.shape}")
        return cls(first, second, values.reshape(points, points), zlabel).plot(ax, **style)

    @classmethod
    def from_network(
        cls,
        network: Network,
        bounds: Any,
        points: int = 41,
        minus: Callable[[np.ndarray], np.ndarray] | None = None,
        ax: Any = None,
        output: int = 0,
        **style: Any,
    ) -> SurfaceDisplay:
        """An output of a network with two features: a prediction, or the probability of a class.

        Parameters
        ----------
        network : Network
        bounds, points
            As in `from_function`.
        minus : callable, optional
            Maps X, shape (points^2, 2), to what is subtracted, shape (points^2,): the truth, to show the error.
        ax, **style
            matplotlib Axes3D, optional; style of matplotlib's plot_surface.
        output : int in [0, outputs)
        """
        _check_network(network)
        if network.layer_sizes[0] != 2:
            raise ValueError(f"network must have 2 features for a surface, got {network.layer_sizes[0]}")
        outputs = network.layer_sizes[-1]
        output = validation.check_integer("output", output, 0, outputs - 1)

        def shown(X: np.ndarray) -> np.ndarray:
            values = network.forward(X)[:, output].astype(float)
            if minus is None:
                return values
            truth = np.asarray(minus(X), float)
            if truth.shape != values.shape:
                raise ValueError(f"minus must return shape {values.shape}, one value per row of X, got {truth.shape}")
            return values - truth

        zlabel = "prediction" if outputs == 1 else f"output {output}"
        if losses.TABLE[network.loss].has_labels:
            zlabel = f"probability of class {output}"
        return cls.from_function(shown, bounds, points, ax, zlabel if minus is None else "error", **style)

    def plot(self, ax: Any = None, **style: Any) -> SurfaceDisplay:
        """Draw it."""
        ax = self._set_axes(ax, "3d")
        first, second = np.meshgrid(self.x1, self.x2, indexing="ij")
        ax.plot_surface(first, second, self.values, **{"cmap": "viridis", "linewidth": 0, **style})
        width = ax.bbox.width / self.figure_.dpi
        zlabel = self.zlabel if width >= MIN_WIDTH_OF_ZLABEL else ""
        ax.set(xlabel="$x_1$", ylabel="$x_2$")
        ax.set_zlabel(zlabel, labelpad=10 if width >= MIN_WIDTH_OF_DISTANCE else 4)
        ax.set_box_aspect(None, zoom=0.75)  # no layout of matplotlib makes space for the labels of 3-D axes
        ax.locator_params(nbins=5)
        return self


class WeightsDisplay(Display):
    """Weights of first-layer neurons as images, side by side; white is zero.

    Parameters
    ----------
    images : array, shape (neurons, height, width)
    """

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    @classmethod
    def from_network(
        cls, network: Network, shape: tuple[int, int], neurons: int | None = None, ax: Any = None, **style: Any
    ) -> WeightsDisplay:
        """The weights into the first neurons of the first layer.

        Parameters
        ----------
        network : Network
        shape : (height, width)
            Of its input images; height * width features.
        neurons : int in [1, neurons of the layer], optional
            Default: 12, or all of a smaller layer.
        ax, **style
            matplotlib Axes, optional; style of matplotlib's imshow.
        """
        _check_network(network)
        features, outputs = network.layer_sizes[:2]
        if np.shape(shape) != (2,) or shape[0] * shape[1] != features:
            raise ValueError(f"shape must have {features} pixels, one per feature, as (height, width), got {shape!r}")
        shape = tuple(validation.check_integer(f"shape[{i}]", side, 1) for i, side in enumerate(shape))
        neurons = min(12, outputs) if neurons is None else validation.check_integer("neurons", neurons, 1, outputs)
        return cls(network.weights[0][:, :neurons].T.reshape(neurons, *shape)).plot(ax, **style)

    def plot(self, ax: Any = None, columns: int = 6, **style: Any) -> WeightsDisplay:
        """Draw it, `columns` neurons in each row."""
        columns = validation.check_integer("columns", columns, 1)
        ax = self._set_axes(ax)
        neurons, height, width = self.images.shape
        rows = -(-neurons // columns)
        sheet = np.full((rows * (height + 1) - 1, min(neurons, columns) * (width + 1) - 1), np.nan)  # a pixel apart
        for i, image in enumerate(self.images):
            top, left = i // columns * (height + 1), i % columns * (width + 1)
            sheet[top : top + height, left : left + width] = image
        limit = float(np.abs(self.images).max()) or 1.0
        image = ax.imshow(sheet, **{"cmap": "RdBu_r", "vmin": -limit, "vmax": limit, **style})
        ax.axis("off")
        self.figure_.colorbar(image, ax=ax, label="weight")
        return self


def _check_network(network: Any) -> None:
    if not isinstance(network, Network):
        hint = ": pass to_network() of it" if hasattr(network, "to_network") else ""
        raise TypeError(f"network must be a fastmlp.Network, got {validation.shown(network)}{hint}")


def _in_order(values: set[Any]) -> list[Any]:
    try:
        return sorted(values)
    except TypeError:  # of several types
        return sorted(values, key=str)


def _format_of(values: np.ndarray) -> str:
    sizes = np.abs(values[np.isfinite(values) & (values != 0)])
    if sizes.size and (sizes == np.floor(sizes)).all() and sizes.max() < 1e6:
        return "{:.0f}"
    if not sizes.size or sizes.max() >= 1000 or sizes.max() > 1000 * sizes.min():
        return "{:.3g}"
    return f"{{:.{max(0, 2 - int(np.floor(np.log10(sizes.max()))))}f}}"


def _check_bounds(bounds: Any) -> list[tuple[float, float]]:
    pairs = bounds if np.shape(bounds) == (2, 2) else (bounds, bounds)
    if np.shape(pairs) != (2, 2) or not all(-np.inf < low < high < np.inf for low, high in pairs):
        raise ValueError(
            f"bounds must be finite (low, high) or ((low, high), (low, high)) with low < high, got {bounds!r}"
        )
    return [(float(low), float(high)) for low, high in pairs]
