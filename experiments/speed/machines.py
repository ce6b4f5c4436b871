"""What would several machines gain? Ranks that train one net together over MPI, and a model of larger clusters."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from harness.figures import BLUE, DARK_ORANGE, panels
from harness.jobs import Job
from harness.run import Run, Sizes
from harness.tables import Row, Table, Tables
from matplotlib.figure import Figure as Drawing

RANKS_HERE = 2
NETS = ((784, 128, 10), (784, 512, 384, 10), (784, 512, 384, 288, 10))
SUM_BYTES = tuple(4**i for i in range(6, 13))  # 4 kB to 16 MB
BATCH_SIZES = (256, 1024)  # of all ranks: two, to separate the time of an update from that of a row
RANKS = (2, 8, 16, 32, 64)
ROWS_PER_RANK = 512
EFFICIENT = 0.8

SIZES = Sizes(seconds=(3, 20, 600), nets=(NETS[:1], NETS[:2], NETS), rows=(2048, 16384, 32768), rounds=(1, 3, 21))

Net = tuple[int, ...]


@dataclass(frozen=True)
class Link:
    """Between two machines."""

    name: str
    bytes_per_second: float
    latency: float  # seconds of a message; usual values, not measured here


LINKS = (Link("1 Gbit", 125e6, 50e-6), Link("10 Gbit", 1.25e9, 20e-6), Link("100 Gbit", 12.5e9, 5e-6))


@dataclass(frozen=True)
class Compute:
    """Seconds of an update's computation, linear in its rows."""

    per_update: float
    per_row: float

    def seconds(self, rows: float) -> float:
        return self.per_update + self.per_row * rows

    @classmethod
    def of(cls, small: float, large: float) -> Compute:
        """From the seconds of an update with the small and the large batch, of one process with all cores."""
        per_row = (large - small) / (BATCH_SIZES[1] - BATCH_SIZES[0])
        return cls(max(0.0, small - per_row * BATCH_SIZES[0]), per_row)


def gradient_bytes(net: Net) -> int:
    """Of float32."""
    return 4 * sum((inputs + 1) * outputs for inputs, outputs in zip(net, net[1:]))


def sum_seconds(net: Net, ranks: int, link: Link) -> float:
    """Of the sum of all gradients: each rank sends its part to each other rank, then the parts' sums to each other."""
    return 2 * (ranks - 1) * link.latency + 2 * (ranks - 1) / ranks * gradient_bytes(net) / link.bytes_per_second


def efficiency(compute: Compute, net: Net, ranks: int, link: Link, rows: float = ROWS_PER_RANK) -> float:
    """The share of an update that is computation."""
    return compute.seconds(rows) / (compute.seconds(rows) + sum_seconds(net, ranks, link))


def rows_needed(compute: Compute, net: Net, ranks: int, link: Link) -> float:
    """Of each rank and update, for an efficiency of EFFICIENT."""
    needed = sum_seconds(net, ranks, link) * EFFICIENT / (1 - EFFICIENT)
    return max(1.0, (needed - compute.per_update) / compute.per_row)


def sum_here(sums: list[float], size: float) -> float:
    """Seconds of a sum of so many bytes over the ranks here, interpolated between the measured SUM_BYTES."""
    return float(np.exp(np.interp(np.log(size), np.log(SUM_BYTES), np.log(sums))))


def mpiexec() -> str | None:
    """Beside this Python, or on the path."""
    return shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))


def notices() -> list[str]:
    return [] if mpiexec() else ["mpiexec is not installed: pip install mpich mpi4py"]


def jobs(run: Run, sizes: SimpleNamespace) -> list[Job]:
    if notices():
        return []
    cases = [(net, size) for net in sizes.nets for size in BATCH_SIZES]
    settings = {"cases": cases, "rows": sizes.rows, "rounds": sizes.rounds, "bytes": list(SUM_BYTES)}
    return [Job({"ranks": RANKS_HERE, **settings}, lambda: run_ranks(settings), lambda result: rows(cases, result))]


def run_ranks(settings: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "settings.json")
        path.write_text(json.dumps(settings), encoding="utf-8")
        program = Path(__file__).with_name("machines_rank.py")
        command = [mpiexec(), "-n", str(RANKS_HERE), sys.executable, "-m", "mpi4py", str(program), str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the ranks ended with status {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def rows(cases: list[tuple[Net, int]], result: dict[str, Any]) -> dict[str, list[Row]]:
    """Milliseconds per update of each case, and the model of clusters that follows from them."""
    measured, model = [], []
    alone: dict[Net, list[float]] = {}
    for (net, size), rounds in zip(cases, result["cases"]):
        seconds = {name: float(np.median(rounds[name])) for name in ("alone", "silent", "ranks")}
        predicted = seconds["silent"] + sum_here(result["sums"], gradient_bytes(net))
        ratio = float(np.median(np.array(rounds["alone"]) / np.array(rounds["ranks"])))
        measured.append(
            {
                **{"net": _name(net), "batch_size": size, "gradient_bytes": gradient_bytes(net)},
                **{f"{name}_ms": float(f"{1e3 * value:.4g}") for name, value in seconds.items()},
                **{"predicted_ms": float(f"{1e3 * predicted:.4g}"), "ratio": round(ratio, 3)},
            }
        )
        alone.setdefault(net, []).append(seconds["alone"])
    for net, pair in alone.items():
        compute = Compute.of(*pair)
        for link in LINKS:
            for ranks in RANKS:
                model.append(
                    {
                        **{"net": _name(net), "network": link.name, "ranks": ranks},
                        "sum_ms": float(f"{1e3 * sum_seconds(net, ranks, link):.4g}"),
                        "efficiency": round(efficiency(compute, net, ranks, link), 3),
                        "rows_for_80_percent": round(rows_needed(compute, net, ranks, link)),
                    }
                )
    return {"machines": measured, "model": model}


def _name(net: Net) -> str:
    return "-".join(map(str, net))


def numbers(t: Tables) -> dict[str, Any]:
    machines, model = t["machines"], t["model"]
    net = machines["net"][-1]
    values = {
        "ratios": machines.where(batch_size=BATCH_SIZES[-1])["ratio"],
        "errors": machines["predicted_ms"] / machines["ranks_ms"] - 1,
        "net": net,
        "fast": model.row(net=net, network=LINKS[-1].name, ranks=64)["efficiency"],
        "slow": model.row(net=net, network=LINKS[0].name, ranks=8)["efficiency"],
        "links": "; ".join(
            f"{link.name} with {link.bytes_per_second / 1e6:g} MB/s and {link.latency * 1e6:g} µs per message"
            for link in LINKS
        ),
    }
    if t.results:  # not of the committed tables
        sums = t.results[0]["sums"]
        values |= {"small_sum": sums[0], "large_sum": sums[-1], "small": SUM_BYTES[0], "large": SUM_BYTES[-1]}
    return values


def views(t: Tables) -> dict[str, list[Row]]:
    lines = []
    for (net, network), part in t["model"].groups("net", "network").items():
        shares = {f"at_{ranks}": share for ranks, share in zip(part["ranks"], part["efficiency"])}
        lines.append({"net": net, "network": network, **shares, "rows": part["rows_for_80_percent"][-1]})
    return {"efficiency": lines}


def figures(t: Tables) -> dict[str, Any]:
    return {"machines": draw(t["model"])}


def draw(model: Table) -> Drawing:
    """A panel per net, a line per link."""
    nets = model.groups("net")
    drawing, axes = panels(1, len(nets), (3.0 * len(nets) + 0.6, 3.2), sharey=True)
    styles = ((DARK_ORANGE, "^", ":"), (BLUE, "s", "--"), ("black", "o", "-"))
    for ax, (net, part) in zip(axes[0], nets.items()):
        for (name, line), (color, marker, style) in zip(part.groups("network").items(), styles):
            shares = 100 * line["efficiency"]
            ax.plot(line["ranks"], shares, color=color, marker=marker, linestyle=style, markersize=5, label=name)
        ax.set(xscale="log", xlabel="machines", title=net, ylim=(0, 100))
        ax.set_xticks(RANKS, [str(ranks) for ranks in RANKS])
        ax.minorticks_off()
    axes[0, 0].set_ylabel("computation, % of the time")
    drawing.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(LINKS))
    return drawing
