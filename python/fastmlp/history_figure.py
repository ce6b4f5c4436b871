"""The figure of a history: a panel for its losses, and one for accuracies or scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

KINDS = ("loss", "accuracy", "score")
PANEL = (4.4, 3.0)  # inches


def figure(metrics: Mapping[str, Sequence[float]]) -> Any:
    """A matplotlib Figure that pyplot does not keep in memory."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise ImportError("History.plot needs matplotlib: pip install matplotlib") from None
    names = {kind: [name for name in metrics if name == kind or name.endswith(f"_{kind}")] for kind in KINDS}
    panels = {kind: own for kind, own in names.items() if own}
    if not panels:
        raise ValueError("a history must have at least one epoch to be drawn, got none")
    drawn = Figure(figsize=(PANEL[0] * len(panels), PANEL[1]), layout="constrained")
    for axes, (kind, own) in zip(drawn.subplots(1, len(panels), squeeze=False)[0], panels.items()):
        for name in own:
            values = metrics[name]
            label = {kind: "training", f"val_{kind}": "validation"}.get(name, name.removesuffix(f"_{kind}"))
            axes.plot(range(1, len(values) + 1), values, label=label, marker="o" if len(values) == 1 else None)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set(xlabel="epoch", ylabel=kind)
        axes.legend()
    return drawn
