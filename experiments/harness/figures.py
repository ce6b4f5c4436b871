"""The style of the figures: legible in black and white and without colour vision, on white, small files."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # files only: no display needed

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

# Okabe and Ito's colours, distinct for colour-blind people; ordered so that their greys differ too.
BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#6b6b6b"
DARK_ORANGE = "#B35900"  # text in ORANGE would be too pale on white

STYLE = {
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#444444",
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.7,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "fastmlp",  # the same results give the same file
    "svg.fonttype": "path",
}
PNG_DOTS_PER_INCH = 110  # a column of a README, at about 60 KB


def panels(rows: int, columns: int, size: tuple[float, float], **settings: object) -> tuple[Drawing, np.ndarray]:
    """A drawing in the style of all figures; its axes, always of shape (rows, columns)."""
    plt.rcParams.update(STYLE)
    return plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False, **settings)


def as_pixels(drawing: Drawing) -> Drawing:
    """Marks what would be large as lines, such as surfaces and images, to be saved as a PNG only."""
    drawing.as_pixels = True
    return drawing


def save(drawing: Drawing, folder: Path, name: str) -> Path:
    """Write <name>.png, and <name>.svg unless it is marked `as_pixels`; returns the path for the page."""
    image, picture = folder / f"{name}.svg", folder / f"{name}.png"
    pixels = hasattr(drawing, "as_pixels")
    with np.errstate(all="ignore"):  # a BLAS may set flags in unused lanes, in products of a few points
        if not pixels:
            drawing.savefig(image, metadata={"Date": None})
            image.write_text(_short_paths(image.read_text(encoding="utf-8")), encoding="utf-8")
        drawing.savefig(picture, dpi=PNG_DOTS_PER_INCH)
    plt.close(drawing)
    if pixels:
        _reduce_colours(picture)
    return picture if pixels else image


def _reduce_colours(picture: Path) -> None:
    """To 256: a third of the size."""
    from PIL import Image  # a dependency of matplotlib

    with Image.open(picture) as image:
        image.convert("RGB").quantize(256, Image.Quantize.FASTOCTREE).save(picture, optimize=True)


def _short_paths(svg: str) -> str:
    """Paths to a tenth of a point instead of a millionth, without spaces around commands: less than half the size."""

    def shorten(path: re.Match[str]) -> str:
        rounded = re.sub(r"-?\d+\.\d+", lambda number: f"{float(number[0]):.1f}", path[0])
        return re.sub(r"\s*([A-Za-z])\s*", r"\1", rounded)

    return re.sub(r'(?<= d=")[^"]*', shorten, svg)


def label(
    ax: Axes, text: str, x: float, y: float, colour: str, offset: tuple[float, float] = (4, 0), **settings: object
) -> None:
    """Text beside a point of a line, in the line's colour, legible where it crosses another line."""
    from matplotlib.patheffects import withStroke

    ax.annotate(
        text,
        (x, y),
        xytext=offset,
        textcoords="offset points",
        color=colour,
        va=settings.pop("va", "center"),
        fontsize=9,
        path_effects=[withStroke(linewidth=2.5, foreground="white")],
        annotation_clip=False,
        **settings,
    )


def plain_ticks(axis: object, ticks: Sequence[float], text: Callable[[float], str] = "{:g}".format) -> None:
    """Ticks at these positions only, as plain numbers: a log axis in powers of ten is hard to read."""
    axis.set_major_locator(FixedLocator(list(ticks)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
    axis.set_minor_formatter(NullFormatter())


def in_thousands(count: float) -> str:
    """The text of a tick: 100, 1k, 10k."""
    return f"{count:g}" if count < 1000 else f"{count / 1000:g}k"


def ticks_between(low: float, high: float, steps: Sequence[float] = (1, 2, 5)) -> list[float]:
    """The numbers step * 10^k between two positive limits."""
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ticks = [step * 10.0**power for power in powers for step in steps]
    return [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]


def stretch_near_one(ax: Axes, axis: str = "y") -> None:
    """An accuracy axis, "x" or "y", that shows 0.98 and 0.99 as far apart as 0.9 and 0.95: the log of the share of errors."""
    smallest = 1e-3  # share of errors at which 1.0 itself is drawn
    getattr(ax, f"set_{axis}scale")(
        "function",
        functions=(
            lambda accuracy: -np.log10(np.maximum(1 + smallest - np.asarray(accuracy), smallest / 2)),
            lambda height: 1 + smallest - 10.0 ** -np.asarray(height),
        ),
    )
    getattr(ax, f"set_{axis}lim")(None, 1)
    plain_ticks(getattr(ax, f"{axis}axis"), (0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.998, 1))
