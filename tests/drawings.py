"""What tests of figures share: rows of studies, and the texts of axes."""

import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from matplotlib import pyplot  # noqa: E402


@pytest.fixture(autouse=True)
def close_figures():
    yield
    pyplot.close("all")


def curve_rows():
    """Two penalties, zero among them, with two seeds; the second seed of the larger one ends an epoch earlier."""
    return [
        {
            "l2": l2,
            "seed": seed,
            "epoch": epoch,
            "seconds": 1.0 + seed,
            "loss": 10 * l2 + seed + 1 / epoch,
            "val_loss": 9.0,
        }
        for l2 in (0.1, 0.0, 0.001)
        for seed in (0, 1)
        for epoch in range(1, (3 if (l2, seed) == (0.1, 1) else 4))
    ]


def legend_of(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def ticks_of(axis):
    return axis.get_ticklocs().tolist(), [label.get_text() for label in axis.get_ticklabels()]


def heat_rows():
    """Two seeds, three sizes (x) by two rates (y), two epochs: a different value for each cell, seed and epoch."""
    return [
        {
            "size": size,
            "rate": rate,
            "seed": seed,
            "epoch": epoch,
            "loss": size + 100 * rate + seed - 1000 * (epoch < 2),
        }
        for rate in (0.5, 0.25)
        for size in (32, 8, 16)
        for seed in (0, 1)
        for epoch in (1, 2)
    ]
