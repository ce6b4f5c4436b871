"""Draws digits that look like MNIST's from the outlines of matplotlib's fonts.

Each glyph becomes one signed distance field: the distance of each point of a grid to the outline, positive in the ink.
Reading the field through a random distortion and cutting it at a random level gives an anti-aliased digit of any size
and stroke width without rasterising anything twice.

Only uniform draws and elementary arithmetic lead from the seed to the pixels (no BLAS, no trigonometry, no
exponential): the bytes do not depend on which library or instruction set NumPy uses for those.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from .. import validation
from ..errors import DataFileError

SIDE = 28  # pixels, as in MNIST
GLYPH_SIDE = 20.0  # pixels: MNIST scales each digit into a box of 20 x 20

# The fonts of matplotlib with all ten digits as glyphs. The order decides which glyph a seed draws.
FONTS = (
    "DejaVuSans DejaVuSans-Bold DejaVuSans-Oblique DejaVuSans-BoldOblique "
    "DejaVuSansMono DejaVuSansMono-Bold DejaVuSansMono-Oblique DejaVuSansMono-BoldOblique "
    "DejaVuSerif DejaVuSerif-Bold DejaVuSerif-Italic DejaVuSerif-BoldItalic "
    "STIXGeneral STIXGeneralBol STIXGeneralItalic STIXGeneralBolIta cmr10 cmb10 cmmi10 cmss10 cmtt10"
).split()

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


def make_digits(
    train_samples: int = 60000, test_samples: int = 10000, *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draw a stand-in for MNIST from the fonts that matplotlib ships.

    Each image is one digit in one of 21 fonts: rotated, sheared, scaled, moved and bent elastically, in a random stroke
    width and intensity, with grain in the ink and specks of dirt. As in MNIST its centre of mass lies about the middle,
    a fifth of the pixels is not zero, and the classes are about equally frequent. Training and test samples are drawn
    alike and independently. For a seed, fewer samples are the first of more.

    The difficulty is near MNIST's. With 20000 training samples, a linear model reaches a test accuracy of about 0.91, a
    hidden layer of 128 units 0.97, one of 512 units 0.98.

    Parameters
    ----------
    train_samples : int >= 1, default 60000
    test_samples : int >= 1, default 10000
    seed : int >= 0, default 0
        The same seed gives the same bytes.

    Returns
    -------
    x_train, y_train, x_test, y_test : arrays
        As `load_mnist`: x of uint8 in [0, 255], shape (samples, 784), C-contiguous; y of int64 in [0, 9], shape
        (samples,).

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    DataFileError
        If matplotlib was installed without its fonts.
    """
    train_samples = validation.check_integer("train_samples", train_samples, 1)
    test_samples = validation.check_integer("test_samples", test_samples, 1)
    seed = validation.check_integer("seed", seed, 0)
    return (*draw_digits(train_samples, seed, stream=0), *draw_digits(test_samples, seed, stream=1))


def draw_digits(samples: int, seed: int, stream: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw images (samples, 784) of uint8 and labels (samples,) of int64.

    Streams are independent of each other. Each chunk of samples has its own random generator, so fewer samples of a
    stream are the first of more.
    """
    images = np.empty((samples, SIDE * SIDE), np.uint8)
    labels = np.empty(samples, np.int64)
    for chunk, first in enumerate(range(0, samples, _CHUNK)):
        rows = slice(first, min(first + _CHUNK, samples))
        random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream, chunk)))
        images[rows], labels[rows] = _draw_chunk(random, rows.stop - first)
    return images, labels


def _draw_chunk(random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `count` images (count, 784) of uint8 and labels (count,) of a chunk."""
    fields = _distance_fields()

    def draw(low: float, high: float, rows: int = 1, columns: int = 1) -> np.ndarray:  # (count, rows, columns)
        # A whole chunk is always drawn, so that a shorter one is its beginning.
        unit = random.random((_CHUNK, rows, columns), dtype=np.float32)[:count]
        unit *= np.float32(high - low)
        unit += np.float32(low)
        return unit

    labels = random.integers(0, 10, _CHUNK)[:count]
    fonts = random.integers(0, len(fields), _CHUNK)[:count]

    # The inverse map, from a pixel to a point of the glyph: unrotate, unshear, unscale.
    tilt = draw(-TILT, TILT)
    cosine = (1 - tilt * tilt) / (1 + tilt * tilt)
    sine = 2 * tilt / (1 + tilt * tilt)
    shear = draw(-SHEAR, SHEAR)
    width = draw(*SCALE) * np.float32(GLYPH_SIDE)
    height = draw(*SCALE) * np.float32(GLYPH_SIDE)

    pixels = np.arange(SIDE, dtype=np.float32) - np.float32((SIDE - 1) / 2)
    x = _elastic(draw(-ELASTIC, ELASTIC, _CONTROLS, _CONTROLS))
    x += pixels
    x -= draw(-SHIFT, SHIFT)
    y = _elastic(draw(-ELASTIC, ELASTIC, _CONTROLS, _CONTROLS))
    y -= pixels[:, None]  # rows count downwards, glyphs upwards
    y -= draw(-SHIFT, SHIFT)

    distance = _interpolate(
        fields,
        fonts * 10 + labels,
        x * ((cosine + shear * sine) / width) + y * ((shear * cosine - sine) / width),
        x * (sine / height) + y * (cosine / height),
    )
    distance *= (width + height) / 2  # back to pixels
    distance += draw(*STROKE)
    distance /= draw(*SOFTNESS)
    distance += np.float32(0.5)
    ink = np.clip(distance, 0, 1, out=distance)
    ink *= draw(*INTENSITY)

    # One draw per pixel serves both kinds of noise: its lowest values are dirt, all of it is grain.
    noise = draw(0.0, 1.0, SIDE, SIDE)
    dirt = noise < SPECK
    ink *= 1 - np.float32(GRAIN) * noise
    ink[dirt] = noise[dirt] / np.float32(SPECK)
    ink *= 255
    ink += np.float32(0.5)
    return ink.reshape(count, -1).astype(np.uint8), labels


def _interpolate(fields: np.ndarray, glyphs: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Read the fields `glyphs` (count,) at the points x, y (count, 28, 28) in glyph units, which are overwritten.

    Returns shape (count, 28, 28), bilinear between grid points.
    """
    per_unit = np.float32((_FIELD_SIDE - 1) / (2 * _FIELD_REACH))
    for coordinate in (x, y):
        coordinate += np.float32(_FIELD_REACH)
        coordinate *= per_unit
        # Points beyond the border read it: it is far outside the ink, too.
        np.clip(coordinate, 0, np.float32(_FIELD_SIDE - 1.001), out=coordinate)
    column, row = x.astype(np.int32), y.astype(np.int32)
    x -= np.floor(x)
    y -= np.floor(y)
    table = fields.reshape(-1)
    corner = row * _FIELD_SIDE + column + glyphs[:, None, None] * _FIELD_SIDE**2
    lower = table[corner]
    lower += x * (table[corner + 1] - lower)
    corner += _FIELD_SIDE
    upper = table[corner]
    upper += x * (table[corner + 1] - upper)
    upper -= lower
    upper *= y
    upper += lower
    return upper


_PLACE = (np.arange(SIDE, dtype=np.float32) + np.float32(0.5)) / np.float32(_CONTROL_SPACING)
_FIRST = _PLACE.astype(np.int64)  # (28,): first of the three control points of each pixel
_PART = _PLACE - np.floor(_PLACE)
# (3, 28), their weights: a uniform quadratic B-spline is smooth, and stays within its control points.
_WEIGHTS = np.stack([(1 - _PART) ** 2 / 2, (1 + 2 * _PART - 2 * _PART**2) / 2, _PART**2 / 2])
_CONTROLS = int(_FIRST[-1]) + 3  # per side


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
        raise ImportError("make_digits needs the fonts of matplotlib: pip install matplotlib") from failure

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    fields = np.empty((len(FONTS), 10, _FIELD_SIDE, _FIELD_SIDE), np.float32)
    for font, name in enumerate(FONTS):
        file = folder / f"{name}.ttf"
        if not file.is_file():
            raise DataFileError(f"make_digits needs matplotlib's font {file}, which is missing")
        properties = FontProperties(fname=file)
        for digit in range(10):
            path = TextPath((0, 0), str(digit), size=100, prop=properties)
            fields[font, digit] = _distance_field(path.to_polygons())
    return fields


def _distance_field(contours: list[np.ndarray]) -> np.ndarray:
    """Distance (side, side) of each grid point to closed contours, positive inside."""
    begin = np.concatenate([contour[:-1] for contour in contours])  # (edges, 2)
    end = np.concatenate([contour[1:] for contour in contours])
    box = begin.max(0) - begin.min(0)
    # Holes run the other way round, so that their signed area is subtracted.
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
