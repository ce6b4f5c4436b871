"""Figures of the regression: surfaces of prediction and error, and the error by number of points."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from fastmlp import Network, datasets
from fastmlp.plotting import SurfaceDisplay
from figures import BLUE, DARK_ORANGE, GREY, STYLE, panels, plain_ticks, ticks_between
from matplotlib import pyplot
from matplotlib.figure import Figure as Drawing

POINTS = 41  # per axis: finer than the eye sees
SIDES = ((28, -60), (28, 30))  # elevation and azimuth, degrees


def draw_surfaces(nets: Mapping[int, Network]) -> Drawing:
    """A row per view: the function, then prediction and error of each net."""
    axis = np.linspace(-2, 2, POINTS)
    truth = datasets.hill_and_valley_grid(POINTS)[1].reshape(POINTS, POINTS)
    shown = [(SurfaceDisplay(axis, axis, truth), "the function", "viridis", 0)]
    for points, net in nets.items():
        values = net.forward(datasets.hill_and_valley_grid(POINTS)[0]).reshape(POINTS, POINTS)
        shown.append((SurfaceDisplay(axis, axis, values), f"learnt from {points} points", "viridis", points))
        shown.append((SurfaceDisplay(axis, axis, values - truth), "its error", "coolwarm", 0))
    pyplot.rcParams.update(STYLE)
    drawing = pyplot.figure(figsize=(1.75 * len(shown), 3.8), layout="constrained")
    for row, (elevation, azimuth) in enumerate(SIDES):
        for column, (display, title, colours, points) in enumerate(shown):
            ax = drawing.add_subplot(2, len(shown), row * len(shown) + column + 1, projection="3d")
            display.plot(ax, cmap=colours, rcount=20, ccount=20, alpha=0.8)
            if points:
                sample, values = datasets.make_hill_and_valley(points)
                ax.scatter(sample[:, 0], sample[:, 1], values, color="black", s=3, linewidth=0)
            ax.view_init(elevation, azimuth)
            ax.set(xticks=(-2, 0, 2), yticks=(-2, 0, 2))
            ax.set_xlabel("$x_1$", labelpad=-10, fontsize=8)
            ax.set_ylabel("$x_2$", labelpad=-10, fontsize=8)
            ax.zaxis.set_major_formatter(lambda value, _: f"{value:g}")
            ax.tick_params(pad=-3, labelsize=6)
            if row == 0:
                ax.set_title(title, fontsize=8)
    return drawing


def draw_errors(errors: Mapping[int, np.ndarray], reported: Mapping[int, float]) -> Drawing:
    """Test errors by number of points, with the report's."""
    drawing, axes = panels(1, 1, (6.2, 3.8))
    ax = axes[0, 0]
    points = list(errors)
    for m, each in errors.items():
        ax.plot([m] * len(each), each, "o", color=BLUE, markersize=3.5, alpha=0.45, linewidth=0)
    ax.plot(points, [np.median(each) for each in errors.values()], "-s", color=BLUE, markersize=6, label="median")
    known = {m: error for m, error in reported.items() if m in errors}
    ax.plot(list(known), list(known.values()), "^", color=DARK_ORANGE, markersize=8, label="the report")
    ax.set(xscale="log", yscale="log", xlabel="training points", ylabel="mean squared error on the grid")
    plain_ticks(ax.xaxis, ticks_between(*ax.get_xlim(), (1, 3)))
    ax.axhline(float(np.var(datasets.hill_and_valley_grid(200)[1])), color=GREY, linestyle=":", linewidth=0.9)
    ax.annotate(
        "variance of the function",
        (points[0], 1.15 * float(np.var(datasets.hill_and_valley_grid(200)[1]))),
        color=GREY,
        fontsize=8,
    )
    ax.legend(loc="lower left")
    return drawing
