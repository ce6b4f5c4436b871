"""Figures of nets and studies, in scikit-learn's Display convention.

A class method computes what is shown and draws it on `ax`, by default in a new figure; ``plot`` draws it again, on
other axes or in another style. The attributes hold what is drawn, `ax_` and `figure_` the matplotlib Axes (Axes3D for
a surface) and Figure. Needs matplotlib, which is imported when something is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from . import validation
from .history import History
from .network import Network


class _Display:
    def _set_axes(self, ax: Any, projection: str | None = None) -> Any:
        """Set and return `ax_`: the given axes, or those of a new figure."""
        try:
            from matplotlib import pyplot
        except ModuleNotFoundError:
            raise ImportError("fastmlp.plotting needs matplotlib: pip install matplotlib") from None
        self.ax_ = pyplot.figure(layout="constrained").add_subplot(projection=projection) if ax is None else ax
        self.figure_ = self.ax_.figure
        return self.ax_


class LearningCurveDisplay(_Display):
    """Curves over epochs, each with the range over several nets of the same kind.

    Parameters
    ----------
    curves : mapping of str to array, shape (nets, epochs)
        By label.
    ylabel : str

    Attributes
    ----------
    lines_ : list of matplotlib Line2D

    Examples
    --------
    >>> import numpy as np, fastmlp
    >>> X, y = np.random.default_rng(0).normal(size=(60, 4)), np.arange(60) % 3
    >>> history = fastmlp.Trainer(fastmlp.Network((4, 8, 3))).fit(X, y, epochs=5, validation_data=(X, y))
    >>> display = fastmlp.plotting.LearningCurveDisplay.from_history(history)  # doctest: +SKIP
    """

    def __init__(self, curves: Mapping[str, np.ndarray], ylabel: str) -> None:
        self.curves = {label: np.atleast_2d(np.asarray(curve, float)) for label, curve in curves.items()}
        self.ylabel = ylabel

    @classmethod
    def from_history(
        cls, history: History | Mapping[str, Sequence[float]], metric: str = "loss", ax: Any = None, **style: Any
    ) -> LearningCurveDisplay:
        """Training and, if there is one, validation curve.

        Parameters
        ----------
        history : History or mapping of str to sequence of float
            What `Trainer.fit` returned, or an estimator's `history_`.
        metric : str
            "loss", "accuracy", or another entry; "val_<metric>" is its validation curve.
            Raises a ValueError if the history has neither.
        ax, **style
            matplotlib Axes, optional; style of the lines.
        """
        entries = {name: values for name, values in dict(history).items() if len(values)}
        names = {metric: "training", f"val_{metric}": "validation"}
        curves = {label: entries[name] for name, label in names.items() if name in entries}
        if not curves:
            raise ValueError(f"metric must be an entry of the history ({', '.join(entries)}), got {metric!r}")
        return cls(curves, metric.replace("_", " ")).plot(ax, **style)

    @classmethod
    def from_rows(
        cls, rows: Sequence[Mapping[str, Any]], metric: str, by: str, ax: Any = None, **style: Any
    ) -> LearningCurveDisplay:
        """A curve for each value of a column of a study, over its seeds.

        Parameters
        ----------
        rows : sequence of mapping
            What a function of `fastmlp.studies` returned.
        metric, by : str
            Columns.
        ax, **style
            matplotlib Axes, optional; style of the lines.
        """
        _check_columns(rows, metric, by, "seed", "epoch")
        seeds: dict[str, dict[int, list[float]]] = {}
        for row in sorted(rows, key=lambda row: row["epoch"]):
            seeds.setdefault(f"{by} = {row[by]}", {}).setdefault(row["seed"], []).append(row[metric])
        curves = {label: list(curve.values()) for label, curve in seeds.items()}
        return cls(curves, metric.replace("_", " ")).plot(ax, **style)

    def plot(self, ax: Any = None, **style: Any) -> LearningCurveDisplay:
        """Draw the mean of each curve, and its range over several nets."""
        ax = self._set_axes(ax)
        self.lines_ = []
        for label, curve in self.curves.items():
            epochs = np.arange(1, curve.shape[1] + 1)
            (line,) = ax.plot(epochs, curve.mean(axis=0), label=label, **style)
            self.lines_.append(line)
            if len(curve) > 1:
                low, high = curve.min(axis=0), curve.max(axis=0)
                ax.fill_between(epochs, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
        ax.set(xlabel="epoch", ylabel=self.ylabel)
        ax.legend()
        return self


class HeatMapDisplay(_Display):
    """A number by two others, as colours and as text.

    Parameters
    ----------
    values : array, shape (rows, columns)
    xlabel, ylabel : str
    xticks, yticks : sequence
        Of the columns and of the rows.
    """

    def __init__(
        self, values: np.ndarray, xlabel: str, ylabel: str, xticks: Sequence[Any], yticks: Sequence[Any]
    ) -> None:
        self.values = np.asarray(values, float)
        self.xlabel, self.ylabel, self.xticks, self.yticks = xlabel, ylabel, xticks, yticks

    @classmethod
    def from_rows(
        cls, rows: Sequence[Mapping[str, Any]], value: str, x: str, y: str, ax: Any = None, **style: Any
    ) -> HeatMapDisplay:
        """The mean over the seeds after the last epoch, by two columns of a study; empty where a net diverged.

        Parameters
        ----------
        rows : sequence of mapping
            What a function of `fastmlp.studies` returned.
        value, x, y : str
            Columns.
        ax, **style
            matplotlib Axes, optional; style of matplotlib's pcolormesh.
        """
        _check_columns(rows, value, x, y, "epoch")
        last = max(row["epoch"] for row in rows)
        xticks, yticks = (sorted({row[name] for row in rows}) for name in (x, y))
        cells: dict[tuple[Any, Any], list[float]] = {}
        for row in rows:
            if row["epoch"] == last or not np.isfinite(row[value]):
                cells.setdefault((row[y], row[x]), []).append(row[value])
        values = [[np.mean(cells[b, a]) if (b, a) in cells else np.nan for a in xticks] for b in yticks]
        return cls(np.array(values), x, y, xticks, yticks).plot(ax, **style)

    def plot(self, ax: Any = None, text: str = "{:.3g}", **style: Any) -> HeatMapDisplay:
        """Draw it; `text` formats the numbers."""
        ax = self._set_axes(ax)
        rows, columns = self.values.shape
        mesh = ax.pcolormesh(np.arange(columns + 1) - 0.5, np.arange(rows + 1) - 0.5, self.values, **style)
        for i, j in zip(*np.nonzero(np.isfinite(self.values))):
            luminance = np.dot(mesh.to_rgba(self.values[i, j])[:3], (0.2126, 0.7152, 0.0722))  # weights of sRGB
            colour = "white" if luminance < 0.5 else "black"
            ax.text(j, i, text.format(self.values[i, j]), ha="center", va="center", color=colour)
        ax.set_xticks(range(columns), self.xticks)
        ax.set_yticks(range(rows), self.yticks)
        ax.set(xlabel=self.xlabel, ylabel=self.ylabel)
        return self


class SurfaceDisplay(_Display):
    """A function of two variables.

    Parameters
    ----------
    x1, x2 : array, shape (points,)
    values : array, shape (points of x1, points of x2)
    """

    def __init__(self, x1: np.ndarray, x2: np.ndarray, values: np.ndarray) -> None:
        self.x1, self.x2, self.values = x1, x2, values

    @classmethod
    def from_network(
        cls,
        network: Network,
        bounds: tuple[float, float],
        points: int = 41,
        minus: Callable[[np.ndarray], np.ndarray] | None = None,
        ax: Any = None,
        **style: Any,
    ) -> SurfaceDisplay:
        """The first output of a network with two features on the square [low, high]^2.

        Parameters
        ----------
        network : Network
        bounds : (low, high)
        points : int >= 2
            Per axis.
        minus : callable, optional
            Maps X, shape (points^2, 2), to what is subtracted, shape (points^2,): the truth, to show the error.
        ax, **style
            matplotlib Axes3D, optional; style of matplotlib's plot_surface.
        """
        if network.layer_sizes[0] != 2:
            raise ValueError(f"network must have 2 features for a surface, got {network.layer_sizes[0]}")
        points = validation.check_integer("points", points, 2)
        axis = np.linspace(*bounds, points)
        X = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
        values = network.forward(X)[:, 0].astype(float)
        if minus is not None:
            values -= minus(X)
        return cls(axis, axis, values.reshape(points, points)).plot(ax, **style)

    def plot(self, ax: Any = None, **style: Any) -> SurfaceDisplay:
        """Draw it."""
        ax = self._set_axes(ax, "3d")
        first, second = np.meshgrid(self.x1, self.x2, indexing="ij")
        ax.plot_surface(first, second, self.values, **{"cmap": "viridis", "linewidth": 0, **style})
        ax.set(xlabel="$x_1$", ylabel="$x_2$")
        return self


class WeightsDisplay(_Display):
    """Weights of first-layer neurons as images, side by side; white is zero.

    Parameters
    ----------
    images : array, shape (neurons, height, width)
    """

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    @classmethod
    def from_network(
        cls, network: Network, shape: tuple[int, int], neurons: int = 12, ax: Any = None, **style: Any
    ) -> WeightsDisplay:
        """The weights into the first neurons of the first layer.

        Parameters
        ----------
        network : Network
        shape : (height, width)
            Of its input images; height * width features.
        neurons : int in [1, neurons of the layer]
        ax, **style
            matplotlib Axes, optional; style of matplotlib's imshow.
        """
        features, outputs = network.layer_sizes[:2]
        if len(shape) != 2 or shape[0] * shape[1] != features:
            raise ValueError(f"shape must have {features} pixels, one per feature, got {tuple(shape)!r}")
        neurons = validation.check_integer("neurons", neurons, 1, outputs)
        return cls(network.weights[0][:, :neurons].T.reshape(neurons, *shape)).plot(ax, **style)

    def plot(self, ax: Any = None, columns: int = 6, **style: Any) -> WeightsDisplay:
        """Draw it, `columns` neurons in each row."""
        ax = self._set_axes(ax)
        neurons, height, width = self.images.shape
        rows = -(-neurons // columns)
        sheet = np.zeros((rows * height, min(neurons, columns) * width))
        for i, image in enumerate(self.images):
            top, left = i // columns * height, i % columns * width
            sheet[top : top + height, left : left + width] = image
        limit = float(np.abs(sheet).max()) or 1.0
        ax.imshow(sheet, **{"cmap": "RdBu_r", "vmin": -limit, "vmax": limit, **style})
        ax.axis("off")
        return self


def _check_columns(rows: Sequence[Mapping[str, Any]], *names: str) -> None:
    if not rows:
        raise ValueError("rows must have at least one entry, got none")
    missing = [name for name in names if any(name not in row for row in rows)]
    if missing:
        required, lacking = (", ".join(map(repr, each)) for each in (names, missing))
        raise ValueError(f"rows must have columns {required}, and lack {lacking}")
