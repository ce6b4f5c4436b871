"""Figures of the experiment on the best net."""

from __future__ import annotations

import numpy as np
from best_net_measurements import CLASSES, Measurements
from fastmlp.plotting import HeatMapDisplay
from figures import BLUE, DARK_ORANGE, GREY, panels, stretch_near_one
from matplotlib.figure import Figure as Drawing


def sure(confidence: float) -> str:
    """In per cent, never more than it is: 99.99%, not 100%."""
    return f"{np.floor(1e4 * confidence) / 100:.2f}%"


def draw_confusion(measured: Measurements) -> Drawing:
    """Mistakes by true and predicted digit; right ones are left out."""
    drawing, axes = panels(1, 1, (4.8, 4.2))
    counts = measured.confusion.astype(float)
    counts[(measured.confusion == 0) | np.eye(CLASSES, dtype=bool)] = np.nan
    if np.isnan(counts).all():
        counts[0, 1] = 0  # a net without mistakes: an empty map
    display = HeatMapDisplay(counts, "predicted", "true digit", range(CLASSES), range(CLASSES))
    display.plot(axes[0, 0], text="{:.0f}", cmap="Blues", vmin=0)
    axes[0, 0].invert_yaxis()
    axes[0, 0].grid(False)
    return drawing


def draw_mistakes(measured: Measurements) -> Drawing:
    """The most confident mistakes as images."""
    drawing, axes = panels(2, 6, (8.4, 3.4))
    for ax in axes.flat:
        ax.axis("off")
    for ax, mistake in zip(axes.flat, measured.mistakes):
        ax.imshow(measured.digits.x_test[mistake["row"]].reshape(28, 28), cmap="gray_r")
        title = f"{mistake['label']}, seen as {mistake['predicted']}\n{sure(mistake['confidence'])} sure"
        ax.set_title(title, fontsize=8.5, loc="center", fontweight="normal")
    return drawing


def draw_calibration(measured: Measurements) -> Drawing:
    """Accuracy by confidence, as trained and at the temperature that validation chose."""
    drawing, axes = panels(1, 1, (4.8, 3.8))
    ax = axes[0, 0]
    found = {"as trained": measured.as_trained, f"temperature {measured.temperature:.2f}": measured.corrected}
    least = min(value.min() for each in found.values() for value in (each.confidence, each.accuracy))
    ideal = 1 - np.geomspace(1 - least, 1e-4, 50)
    ax.plot(ideal, ideal, color=GREY, linestyle=":", label="as sure as right")
    for (label, each), (colour, marker) in zip(found.items(), ((BLUE, "s"), (DARK_ORANGE, "^"))):
        ax.plot(each.confidence, each.accuracy, color=colour, marker=marker, label=label)
    ax.set(xlabel="mean confidence of a tenth of the images", ylabel="accuracy", xlim=(least, 1), ylim=(least, 1))
    stretch_near_one(ax, "x")
    stretch_near_one(ax, "y")
    ax.legend(loc="upper left")
    return drawing
