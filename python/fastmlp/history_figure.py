"""The figure of a history: a panel for its losses, and one for accuracies or scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import figure_labels

KINDS = ("loss", "accuracy", "score")
PANEL = (4.4, 3.0)  # inches


def figure(metrics: Mapping[str, Sequence[float]]) -> Any:
    """A matplotlib Figure that pyplot does not keep in memory."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise ImportError("History.plot needs matplotlib: pip install matplotlib") from None
    names = {
        kind: [name for name in metrics if figure_labels.set_and_metric(name, metrics)[1] == kind] for kind in KINDS
    }
    panels = {kind: own for kind, own in names.items() if own}
    if not panels:
        raise ValueError("a history must have at least one epoch to be drawn, got none")
    drawn = Figure(figsize=(PANEL[0] * len(panels), PANEL[1]), layout="constrained")
    for axes, (kind, own) in zip(drawn.subplots(1, len(panels), squeeze=False)[0], panels.items()):
        for name, label in zip(own, figure_labels.of_each_data(own, metrics)):
            values = metrics[name]
            draw_curve(axes, range(1, len(values) + 1), values, label=label)
        set_whole_ticks(axes)
        axes.set(xlabel="epoch", ylabel=kind)
        axes.legend()
    return drawn


def draw_curve(axes: Any, x: Any, values: Any, **style: Any) -> Any:
    """A line, or a point where there is one value only. Values that are not finite belong to the range of x, too."""
    values = np.asarray(values, float)
    (line,) = axes.plot(x, values, **{"marker": "o" if np.isfinite(values).sum() == 1 else None, **style})
    axes.update_datalim([(place, 0) for place in x], updatey=False)
    axes.autoscale_view()
    return line


def set_whole_ticks(axes: Any) -> None:
    """Ticks at whole numbers: epochs."""
    if axes.get_xscale() == "linear":
        axes.locator_params(axis="x", integer=True, min_n_ticks=1)
