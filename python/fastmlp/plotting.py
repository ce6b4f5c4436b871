"""Figures of nets and studies, in scikit-learn's Display convention.

A class method computes what is shown and draws it; ``plot`` draws it again, on other axes or in another style; the
attributes hold what is drawn, `ax_` and `figure_` where. Needs matplotlib, which is imported when something is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from . import validation
from .network import Network
from .trainer import History


def _axes(ax: Any, projection: str | None = None) -> Any:
    """The given axes, or those of a new figure."""
    try:
        from matplotlib import pyplot
    except ModuleNotFoundError:
        raise ImportError("fastmlp.plotting needs matplotlib: pip install matplotlib") from None
    if ax is not None:
        return ax
    return pyplot.figure(layout="constrained").add_subplot(projection=projection)


class LearningCurveDisplay:
    """Curves over epochs, each with the range over several nets of the same kind.

    Parameters
    ----------
    curves : mapping of str to array, shape (nets, epochs)
        By label.
    ylabel : str

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
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
            "loss", "accuracy", or another entry; "val_<metric>" or "validation_<metric>" is its validation curve.
        ax : matplotlib Axes, optional
        **style
            Of the lines.

        Raises
        ------
        ValueError
            If the history has no such entry.
        """
        entries = dict(history) if isinstance(history, Mapping) else vars(history)
        names = {metric: "training", f"val_{metric}": "validation", f"validation_{metric}": "validation"}
        curves = {label: entries[name] for name, label in names.items() if len(entries.get(name, ()))}
        if not curves:
            known = ", ".join(name for name, values in entries.items() if len(values))
            raise ValueError(f"metric must be an entry of the history ({known}), got {metric!r}")
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
            As in `from_history`.
        """
        _check_columns(rows, metric, by, "seed", "epoch")
        curves: dict[str, dict[int, list[float]]] = {}
        for row in sorted(rows, key=lambda row: row["epoch"]):
            curves.setdefault(f"{by} = {row[by]}", {}).setdefault(row["seed"], []).append(row[metric])
        return cls({label: list(seeds.values()) for label, seeds in curves.items()}, metric.replace("_", " ")).plot(
            ax, **style
        )

    def plot(self, ax: Any = None, **style: Any) -> LearningCurveDisplay:
        """Draw the mean of each curve, and its range where there are several."""
        self.ax_ = _axes(ax)
        self.figure_ = self.ax_.figure
        self.lines_ = []
        for label, curve in self.curves.items():
            epochs = np.arange(1, curve.shape[1] + 1)
            (line,) = self.ax_.plot(epochs, curve.mean(axis=0), label=label, **style)
            self.lines_.append(line)
            if len(curve) > 1:
                low, high = curve.min(axis=0), curve.max(axis=0)
                self.ax_.fill_between(epochs, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
        self.ax_.set(xlabel="epoch", ylabel=self.ylabel)
        self.ax_.legend()
        return self


class HeatMapDisplay:
    """A number by two others, as colours and as text.

    Parameters
    ----------
    values : array, shape (rows, columns)
    xlabel, ylabel : str
    xticks, yticks : sequence
        Of the columns and of the rows.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
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
        ax : matplotlib Axes, optional
        **style
            Of matplotlib's pcolormesh.
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
        self.ax_ = _axes(ax)
        self.figure_ = self.ax_.figure
        rows, columns = self.values.shape
        mesh = self.ax_.pcolormesh(np.arange(columns + 1) - 0.5, np.arange(rows + 1) - 0.5, self.values, **style)
        for i, j in zip(*np.nonzero(np.isfinite(self.values))):
            lightness = np.dot(mesh.to_rgba(self.values[i, j])[:3], (0.2126, 0.7152, 0.0722))  # as sRGB weighs colours
            colour = "white" if lightness < 0.5 else "black"
            self.ax_.text(j, i, text.format(self.values[i, j]), ha="center", va="center", color=colour)
        self.ax_.set_xticks(range(columns), self.xticks)
        self.ax_.set_yticks(range(rows), self.yticks)
        self.ax_.set(xlabel=self.xlabel, ylabel=self.ylabel)
        return self


class SurfaceDisplay:
    """A function of two variables.

    Parameters
    ----------
    x1, x2 : array, shape (points,)
    values : array, shape (points of x1, points of x2)

    Attributes
    ----------
    ax_ : matplotlib Axes3D
    figure_ : matplotlib Figure
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
            Gets X, shape (points^2, 2), and returns what is subtracted: the truth, to show the error.
        ax : matplotlib Axes3D, optional
        **style
            Of matplotlib's plot_surface.
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
        self.ax_ = _axes(ax, "3d")
        self.figure_ = self.ax_.figure
        first, second = np.meshgrid(self.x1, self.x2, indexing="ij")
        self.ax_.plot_surface(first, second, self.values, **{"cmap": "viridis", "linewidth": 0, **style})
        self.ax_.set(xlabel="$x_1$", ylabel="$x_2$")
        return self


class WeightsDisplay:
    """Weights of first-layer neurons as images, side by side; white is zero.

    Parameters
    ----------
    images : array, shape (neurons, height, width)

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
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
            Of the images that it sees; height * width features.
        neurons : int >= 1
            At most as many as the layer has.
        ax : matplotlib Axes, optional
        **style
            Of matplotlib's imshow.
        """
        features, outputs = network.layer_sizes[:2]
        if len(shape) != 2 or shape[0] * shape[1] != features:
            raise ValueError(f"shape must have {features} pixels, one per feature, got {tuple(shape)!r}")
        neurons = validation.check_integer("neurons", neurons, 1, outputs)
        return cls(network.weights[0][:, :neurons].T.reshape(neurons, *shape)).plot(ax, **style)

    def plot(self, ax: Any = None, columns: int = 6, **style: Any) -> WeightsDisplay:
        """Draw it, so many neurons a row."""
        self.ax_ = _axes(ax)
        self.figure_ = self.ax_.figure
        neurons, height, width = self.images.shape
        rows = -(-neurons // columns)
        sheet = np.zeros((rows * height, min(neurons, columns) * width))
        for i, image in enumerate(self.images):
            top, left = i // columns * height, i % columns * width
            sheet[top : top + height, left : left + width] = image
        limit = float(np.abs(sheet).max()) or 1.0
        self.ax_.imshow(sheet, **{"cmap": "RdBu_r", "vmin": -limit, "vmax": limit, **style})
        self.ax_.axis("off")
        return self


def _check_columns(rows: Sequence[Mapping[str, Any]], *names: str) -> None:
    if not rows:
        raise ValueError("rows must have at least one entry, got none")
    missing = [name for name in names if any(name not in row for row in rows)]
    if missing:
        raise ValueError(
            f"rows must have columns {', '.join(map(repr, names))}, and lack {', '.join(map(repr, missing))}"
        )
