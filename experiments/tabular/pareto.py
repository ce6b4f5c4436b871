"""The figure of the benchmark: time of a fit against error, a labelled point per method."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from harness.figures import BLUE, DARK_ORANGE, GREEN, GREY, panels, plain_ticks, ticks_between
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox

from tabular.comparison import on_the_front
from tabular.methods import FASTMLP, SCIKIT_LEARN, TORCH, TREES

STYLES = {
    FASTMLP: {"color": BLUE, "marker": "o"},
    TREES: {"color": DARK_ORANGE, "marker": "s"},
    TORCH: {"color": GREEN, "marker": "D"},
    SCIKIT_LEARN: {"color": GREY, "marker": "^"},
}
MARKER = 7  # points
DISTANCES = (8, 14, 22, 32, 44, 58, 75, 95)  # points from a marker to its label, tried one after another
ANGLES = (0, 180, 90, 270, 35, 145, 215, 325, 60, 120, 240, 300)  # degrees
LEADER_FROM = 20  # points: a label farther away gets a line to its marker


class Point(NamedTuple):
    name: str
    family: str
    seconds: float
    error: float
    complete: bool  # a method that was fitted to all sets


def draw(points: Sequence[Point]) -> Drawing:
    """Filled markers and the line of those that none beats; hollow markers of methods on fewer sets."""
    drawing, axes = panels(1, 1, (8.4, 5.4))
    ax = axes[0, 0]
    for family, style in STYLES.items():
        for point in (point for point in points if point.family == family):
            face = style["color"] if point.complete else "white"
            settings = {**style, "markersize": MARKER, "markerfacecolor": face, "linestyle": "none", "zorder": 3}
            ax.plot([point.seconds], [point.error], **settings)
        if any(point.family == family for point in points):
            ax.plot([], [], linestyle="none", markersize=MARKER, label=family, **style)
    complete = sorted((point for point in points if point.complete), key=lambda point: point.seconds)
    if complete:
        seconds, errors = (np.array([point[i] for point in complete]) for i in (2, 3))
        front = on_the_front(seconds, errors)
        ax.plot(seconds[front], errors[front], color=GREY, linewidth=1, linestyle=":", drawstyle="steps-post", zorder=1)
    ax.set(xscale="log", xlabel="seconds of a fit, median", ylabel="mean normalised error (0: best, 1: worst)")
    ax.margins(0.12)
    plain_ticks(ax.xaxis, ticks_between(*ax.get_xlim()))
    drawing.legend(loc="outside upper center", ncols=len(STYLES))
    _label(ax, points)
    return drawing


def _label(ax: Axes, points: Sequence[Point]) -> None:
    """Names beside the markers, each at the nearest position that covers no marker and no other name."""
    drawing = ax.get_figure()
    drawing.draw_without_rendering()
    drawing.set_layout_engine("none")  # positions in pixels stay as they are now
    pixels = drawing.dpi / 72
    centres = [ax.transData.transform((point.seconds, point.error)) for point in points]
    half = 0.7 * MARKER * pixels
    taken = [Bbox.from_extents(x - half, y - half, x + half, y + half) for x, y in centres]
    for i in sorted(range(len(points)), key=lambda i: -points[i].seconds):
        others = [*centres[:i], *centres[i + 1 :]]
        taken.append(_place(ax, points[i], centres[i], others, taken))


def _place(ax: Axes, point: Point, centre: np.ndarray, others: Sequence[np.ndarray], taken: Sequence[Bbox]) -> Bbox:
    """Writes a name; returns its box. `centre` and `others` are markers, in pixels.

    A name is nearest to its own marker where there is room. The legend names the family: fastmlp's names do without it.
    """
    settings = {"color": STYLES[point.family]["color"], "fontsize": 9, "zorder": 4}
    settings["path_effects"] = [withStroke(linewidth=2.5, foreground="white")]
    name, position = point.name.removeprefix(f"{point.family} "), (point.seconds, point.error)
    for is_nearest, distance, angle in itertools.product((True, False), DISTANCES, np.deg2rad(ANGLES)):
        x, y = distance * np.cos(angle), distance * np.sin(angle)
        sides = {"ha": "left" if x > 1 else "right" if x < -1 else "center"}
        sides["va"] = "center" if abs(y) < 1 else "bottom" if y > 0 else "top"
        label = ax.annotate(name, position, (x, y), textcoords="offset points", **sides, **settings)
        box = label.get_window_extent()
        inside = ax.bbox.x0 <= box.x0 and box.x1 <= ax.bbox.x1 and ax.bbox.y0 <= box.y0 and box.y1 <= ax.bbox.y1
        clear = not any(box.overlaps(each) for each in taken)
        own = _distance(box, centre)
        if inside and clear and (not is_nearest or all(_distance(box, each) > own for each in others)):
            if distance > LEADER_FROM:
                line = {"arrowstyle": "-", "color": settings["color"], "linewidth": 0.7}
                ax.annotate("", position, (x, y), textcoords="offset points", arrowprops=line, zorder=2)
            return box
        label.remove()
    return ax.annotate(name, position, **settings).get_window_extent()


def _distance(box: Bbox, position: np.ndarray) -> float:
    """From a position to the nearest point of a box."""
    return float(np.hypot(*(position - np.clip(position, box.min, box.max))))
