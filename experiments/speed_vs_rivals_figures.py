"""The figure of the comparison with other libraries."""

from __future__ import annotations

from figures import BLUE, DARK_ORANGE, GREEN, PURPLE, panels
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import PercentFormatter
from speed_vs_rivals_measurements import OURS, OURS_ALONE, Measurements

MARKERS = {  # different shapes as well as colours
    OURS: {"color": "black", "marker": "o", "markersize": 8},
    OURS_ALONE: {"color": "black", "marker": "o", "markersize": 8, "markerfacecolor": "white"},
    "JAX": {"color": BLUE, "marker": "s", "markersize": 6.5},
    "NumPy": {"color": DARK_ORANGE, "marker": "^", "markersize": 7.5},
    "PyTorch": {"color": GREEN, "marker": "D", "markersize": 6},
    "scikit-learn": {"color": PURPLE, "marker": "v", "markersize": 7.5},
}


def shares_of_peak(measured: Measurements) -> Drawing:
    """One row per case, one mark per library."""
    timings = list(measured.timings.items())
    drawing, axes = panels(1, 1, (8.4, 1.3 + 0.36 * len(timings)))
    ax = axes[0, 0]
    for name, style in MARKERS.items():
        rows = [row for row, (_, timing) in enumerate(timings) if name in timing.seconds]
        shares = [timings[row][1].share_of_peak(name) for row in rows]
        if rows:
            ax.plot(shares, rows, linestyle="none", label=name, clip_on=False, zorder=3 if name == OURS else 2, **style)
    names = [f"{name}:  {timing.case.net}, batch {timing.case.batch_size}" for name, timing in timings]
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="share of the peak of the same threads", xlim=(0, None), ylim=(len(names) - 0.5, -0.5))
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    drawing.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=6, handletextpad=0.2)
    return drawing
