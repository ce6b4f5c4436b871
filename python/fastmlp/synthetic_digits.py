"""Draws digits that look like MNIST's from the outlines of matplotlib's fonts.

Each glyph becomes one signed distance field: the distance of every point of a
grid to the outline, positive in the ink. Looking the field up through a random
distortion and cutting it at a random level gives an anti-aliased digit of any
size and stroke width without rasterising anything twice.

Only uniform draws and elementary arithmetic lead from the seed to the pixels
(no BLAS, no trigonometry, no exponential): the bytes do not depend on which
library or instruction set NumPy uses for those.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from .errors import DataFileError

SIDE = 28  # pixels, as in MNIST
GLYPH_SIDE = 20.0  # pixels: MNIST scales each digit into a box of 20 x 20

# Those of matplotlib's own fonts that have the ten digits as such. The order
# decides which glyph a seed draws.
FONT_FILES = (
    "DejaVuSans.ttf",
    "DejaVuSans-Bold.ttf",
    "DejaVuSans-Oblique.ttf",
    "DejaVuSans-BoldOblique.ttf",
    "DejaVuSansMono.ttf",
    "DejaVuSansMono-Bold.ttf",
    "DejaVuSansMono-Oblique.ttf",
    "DejaVuSansMono-BoldOblique.ttf",
    "DejaVuSerif.ttf",
    "DejaVuSerif-Bold.ttf",
    "DejaVuSerif-Italic.ttf",
    "DejaVuSerif-BoldItalic.ttf",
    "STIXGeneral.ttf",
    "STIXGeneralBol.ttf",
    "STIXGeneralItalic.ttf",
    "STIXGeneralBolIta.ttf",
    "cmr10.ttf",
    "cmb10.ttf",
    "cmmi10.ttf",
    "cmss10.ttf",
    "cmtt10.ttf",
)

# Strength of the distortions, chosen by trial so that a linear model stays
# clearly below a network with a hidden layer (see make_digits).
TILT = 0.12  # tangent of half the largest rotation: 14 degrees
SHEAR = 0.3
SCALE = (0.8, 1.1)  # of width and height, drawn separately
SHIFT = 0.8  # pixels, on top of centring by mass as in MNIST
ELASTIC = 2.8  # pixels by which a control point of the elastic grid may move
STROKE = (-0.4, 0.7)  # pixels by which the outline moves outwards
SOFTNESS = (0.6, 1.4)  # pixels over which an edge fades
INTENSITY = (0.8, 1.0)
GRAIN = 0.25  # largest share of its intensity that a pixel of ink loses
SPECK = 0.002  # share of pixels replaced by dirt

_CHUNK = 512  # samples per step: each float32 array takes 1.6 MB and stays in cache
_FIELD_SIDE = 64  # grid points per side of a distance field
_FIELD_REACH = 0.8  # the field covers [-0.8, 0.8] of the larger side of its glyph
_CONTROL_SPACING = 7.0  # pixels between control points of the elastic grid


def draw_digits(samples: int, seed: int, stream: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw images (samples, 784) of uint8 and labels (samples,) of int64.

    Streams are independent of each other. Every chunk of samples has a random
    generator of its own, so fewer samples of a stream are the first of more.
    """
    images = np.empty((samples, SIDE * SIDE), np.uint8)
    labels = np.empty(samples, np.int64)
    fields = _distance_fields()
    for chunk, first in enumerate(range(0, samples, _CHUNK)):
        rows = slice(first, min(first + _CHUNK, samples))
        random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream, chunk)))
        _draw_chunk(random, fields, images[rows], labels[rows])
    return images, labels


def _draw_chunk(
    random: np.random.Generator,
    fields: np.ndarray,  # (fonts, 10, field side, field side)
    images: np.ndarray,  # (count, 784), written
    labels: np.ndarray,  # (count,), written
) -> None:
    count = len(labels)

    def draw(low: float, high: float, *shape: int) -> np.ndarray:
        # A whole chunk is always drawn, so that a shorter one is its beginning.
        unit = random.random((_CHUNK, *shape), dtype=np.float32)[:count]
        unit *= np.float32(high - low)
        unit += np.float32(low)
        return unit

    labels[:] = random.integers(0, 10, _CHUNK)[:count]
    fonts = random.integers(0, len(fields), _CHUNK)[:count]

    # The inverse map, from a pixel to a point of the glyph: unrotate, unshear, unscale.
    tilt = draw(-TILT, TILT)
    cosine = (1 - tilt * tilt) / (1 + tilt * tilt)
    sine = 2 * tilt / (1 + tilt * tilt)
    shear = draw(-SHEAR, SHEAR)
    width = draw(*SCALE) * np.float32(GLYPH_SIDE)
    height = draw(*SCALE) * np.float32(GLYPH_SIDE)
    x_from_x, x_from_y = (cosine + shear * sine) / width, (shear * cosine - sine) / width
    y_from_x, y_from_y = sine / height, cosine / height

    middle = (SIDE - 1) / 2
    pixels = np.arange(SIDE, dtype=np.float32) - np.float32(middle)
    x = _elastic(draw(-ELASTIC, ELASTIC, _CONTROLS, _CONTROLS))
    x += pixels
    x -= draw(-SHIFT, SHIFT, 1, 1)
    y = _elastic(draw(-ELASTIC, ELASTIC, _CONTROLS, _CONTROLS))
    y -= pixels[:, None]  # rows count downwards, glyphs upwards
    y -= draw(-SHIFT, SHIFT, 1, 1)

    distance = _look_up(
        fields.reshape(-1),
        (fonts * 10 + labels) * _FIELD_SIDE**2,
        x * _per_image(x_from_x) + y * _per_image(x_from_y),
        x * _per_image(y_from_x) + y * _per_image(y_from_y),
    )
    distance *= _per_image((width + height) / 2)  # back to pixels
    distance += draw(*STROKE, 1, 1)
    distance /= draw(*SOFTNESS, 1, 1)
    distance += np.float32(0.5)
    ink = np.clip(distance, 0, 1, out=distance)
    ink *= draw(*INTENSITY, 1, 1)

    # One draw per pixel serves both kinds of noise: its lowest values are dirt,
    # all of it is grain.
    noise = draw(0.0, 1.0, SIDE, SIDE)
    dirt = noise < SPECK
    ink *= 1 - np.float32(GRAIN) * noise
    ink[dirt] = noise[dirt] / np.float32(SPECK)
    ink *= 255
    ink += np.float32(0.5)
    images[:] = ink.reshape(count, -1).astype(np.uint8)


def _per_image(values: np.ndarray) -> np.ndarray:
    return values[:, None, None]


def _look_up(
    table: np.ndarray,  # all fields, flat
    start: np.ndarray,  # (count,): where the field of each image begins
    x: np.ndarray,  # (count, rows, columns), in glyph units; overwritten
    y: np.ndarray,  # the same
) -> np.ndarray:
    """Interpolate linearly between the four grid points around each place."""
    per_unit = np.float32((_FIELD_SIDE - 1) / (2 * _FIELD_REACH))
    for place in (x, y):
        place += np.float32(_FIELD_REACH)
        place *= per_unit
        # Beyond the border the field is far outside of the ink anyway.
        np.clip(place, 0, np.float32(_FIELD_SIDE - 1.001), out=place)
    column, row = x.astype(np.int32), y.astype(np.int32)
    x -= np.floor(x)
    y -= np.floor(y)
    corner = row * _FIELD_SIDE + column + _per_image(start)
    lower = table[corner]
    lower += x * (table[corner + 1] - lower)
    corner += _FIELD_SIDE
    upper = table[corner]
    upper += x * (table[corner + 1] - upper)
    upper -= lower
    upper *= y
    upper += lower
    return upper


def _spline_weights() -> tuple[np.ndarray, np.ndarray]:
    """First control point (28,) of each pixel and weights (3, 28) of it and the next two."""
    place = (np.arange(SIDE, dtype=np.float32) + np.float32(0.5)) / np.float32(_CONTROL_SPACING)
    first = place.astype(np.int64)
    part = place - np.floor(place)
    # Uniform quadratic B-spline: smooth, and never beyond its control points.
    return first, np.stack([(1 - part) ** 2 / 2, (1 + 2 * part - 2 * part**2) / 2, part**2 / 2])


_FIRST, _WEIGHTS = _spline_weights()
_CONTROLS = int(_FIRST[-1]) + 3


def _elastic(controls: np.ndarray) -> np.ndarray:
    """Smooth displacements (count, 28, 28) from control points (count, controls, controls)."""
    rows = sum(controls[:, _FIRST + k] * _WEIGHTS[k][:, None] for k in range(3))
    return sum(rows[:, :, _FIRST + k] * _WEIGHTS[k] for k in range(3))


@functools.lru_cache(maxsize=1)
def _distance_fields() -> np.ndarray:
    """Signed distance fields (fonts, 10, side, side), in units of the larger side of the glyph."""
    try:
        import matplotlib
        from matplotlib.font_manager import FontProperties
        from matplotlib.textpath import TextPath
    except ImportError as failure:
        raise ImportError(
            "make_digits draws with the fonts of matplotlib, which is not installed: pip install matplotlib"
        ) from failure

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    fields = np.empty((len(FONT_FILES), 10, _FIELD_SIDE, _FIELD_SIDE), np.float32)
    for font, name in enumerate(FONT_FILES):
        if not (folder / name).is_file():
            raise DataFileError(f"make_digits needs the font {name} of matplotlib, {folder} lacks it")
        properties = FontProperties(fname=folder / name)
        for digit in range(10):
            path = TextPath((0, 0), str(digit), size=100, prop=properties)
            fields[font, digit] = _distance_field(path.to_polygons())
    return fields


def _distance_field(contours: list[np.ndarray]) -> np.ndarray:
    """Distance (side, side) of each grid point to closed contours, positive inside."""
    begin = np.concatenate([contour[:-1] for contour in contours])  # (edges, 2)
    end = np.concatenate([contour[1:] for contour in contours])
    box = begin.max(0) - begin.min(0)
    # Holes run the other way round, so that signed areas leave them out.
    cross = begin[:, 0] * end[:, 1] - end[:, 0] * begin[:, 1]
    centre = ((begin + end) * cross[:, None]).sum(0) / (3 * cross.sum())
    begin = (begin - centre) / box.max()
    end = (end - centre) / box.max()

    axis = np.linspace(-_FIELD_REACH, _FIELD_REACH, _FIELD_SIDE)
    x, y = axis[None, :, None], axis[:, None, None]  # against edges: (rows, columns, edges)
    (edge_x, edge_y), (to_x, to_y) = begin.T, (end - begin).T
    length2 = to_x * to_x + to_y * to_y
    along = (x - edge_x) * to_x + (y - edge_y) * to_y
    along = np.clip(along / np.where(length2 > 0, length2, 1), 0, 1)
    distance2 = (x - edge_x - along * to_x) ** 2 + (y - edge_y - along * to_y) ** 2

    # A point is inside if a ray to its right crosses the outline an odd number of times.
    straddles = (edge_y > y) != (end[:, 1] > y)
    crossing = edge_x + (y - edge_y) * to_x / np.where(to_y == 0, 1, to_y)
    inside = (straddles & (x < crossing)).sum(-1) % 2 == 1
    distance = np.sqrt(distance2.min(-1))
    return np.where(inside, distance, -distance)
