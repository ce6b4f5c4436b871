"""What the displays of `fastmlp.plotting` share: their axes, and the check of a study's rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class Display:
    """In scikit-learn's convention: `ax_` and `figure_` are what was drawn on."""

    def _set_axes(self, ax: Any, projection: str | None = None) -> Any:
        """Set and return `ax_`: the given axes, or those of a new figure."""
        try:
            from matplotlib import pyplot
        except ModuleNotFoundError:
            raise ImportError("fastmlp.plotting needs matplotlib: pip install matplotlib") from None
        self.ax_ = pyplot.figure(layout="constrained").add_subplot(projection=projection) if ax is None else ax
        self.figure_ = self.ax_.figure
        return self.ax_


def check_columns(rows: Sequence[Mapping[str, Any]], *names: str) -> None:
    if isinstance(rows, tuple):
        raise TypeError("rows must be the rows of a study, got a tuple: pass its first element")
    if not rows:
        raise ValueError("rows must have at least one entry, got none")
    missing = [name for name in names if any(name not in row for row in rows)]
    if missing:
        required, lacking = (", ".join(map(repr, each)) for each in (names, missing))
        raise ValueError(f"rows must have columns {required}, and lack {lacking}")
