"""What would several machines gain? Ranks that train one net together over MPI, and a model of larger clusters."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from campaign import Campaign
from figures import BLUE, DARK_ORANGE, panels, save
from matplotlib.figure import Figure as Drawing
from report import run_alone
from results import Job, Results
from section import Figure, Part, Section, Table
from wording import in_bytes

NAME = "machines"

RANKS_HERE = 2
NETS = ((784, 128, 10), (784, 512, 384, 10), (784, 512, 384, 288, 10))
SUM_BYTES = tuple(4**i for i in range(6, 13))  # 4 kB to 16 MB
BATCH_SIZES = (256, 1024)  # of all ranks: two, to tell what an update costs from what a row costs
RANKS = (2, 8, 16, 32, 64)
ROWS_PER_RANK = 512
EFFICIENT = 0.8


@dataclass(frozen=True)
class Link:
    """Between two machines."""

    name: str
    bytes_per_second: float
    latency: float  # seconds of a message; usual values, not measured here


LINKS = (
    Link("1 Gbit", 125e6, 50e-6),
    Link("10 Gbit", 1.25e9, 20e-6),
    Link("100 Gbit", 12.5e9, 5e-6),
)


@dataclass(frozen=True)
class Plan:
    """How much of everything a preset does."""

    nets: Sequence[tuple[int, ...]]
    rows: int
    rounds: int


PLANS = {"smoke": Plan(NETS[:1], 2048, 1), "quick": Plan(NETS[:2], 16384, 7), "full": Plan(NETS, 32768, 21)}


@dataclass(frozen=True)
class Compute:
    """Seconds of an update's computation, linear in its rows."""

    per_update: float
    per_row: float

    def seconds(self, rows: float) -> float:
        return self.per_update + self.per_row * rows


@dataclass(frozen=True)
class Measurements:
    plan: Plan
    cases: dict[tuple[tuple[int, ...], int], dict[str, np.ndarray]]  # by net and batch size; seconds of each round
    sums: np.ndarray  # seconds, by SUM_BYTES

    def median(self, net: tuple[int, ...], batch_size: int, way: str) -> float:
        return float(np.median(self.cases[net, batch_size][way]))

    def compute(self, net: tuple[int, ...]) -> Compute:
        """Of one process with both cores."""
        small, large = (self.median(net, size, "alone") for size in BATCH_SIZES)
        per_row = (large - small) / (BATCH_SIZES[1] - BATCH_SIZES[0])
        return Compute(max(0.0, small - per_row * BATCH_SIZES[0]), per_row)

    def sum_here(self, size: float) -> float:
        """Seconds of a sum of so many bytes over the ranks here, between the sizes that were measured."""
        return float(np.exp(np.interp(np.log(size), np.log(SUM_BYTES), np.log(self.sums))))

    def predicted(self, net: tuple[int, ...], batch_size: int) -> float:
        """Seconds of an update of the ranks here: computation without talk, and the sum of the gradients."""
        return self.median(net, batch_size, "silent") + self.sum_here(gradient_bytes(net))


def gradient_bytes(net: tuple[int, ...]) -> int:
    """Of float32."""
    return 4 * sum((inputs + 1) * outputs for inputs, outputs in zip(net, net[1:]))


def sum_seconds(net: tuple[int, ...], ranks: int, link: Link) -> float:
    """Of the sum of all gradients: each rank sends its part to each other, then the parts' sums to each other."""
    return 2 * (ranks - 1) * link.latency + 2 * (ranks - 1) / ranks * gradient_bytes(net) / link.bytes_per_second


def efficiency(compute: Compute, net: tuple[int, ...], ranks: int, link: Link, rows: float = ROWS_PER_RANK) -> float:
    """The share of an update that is computation."""
    return compute.seconds(rows) / (compute.seconds(rows) + sum_seconds(net, ranks, link))


def rows_needed(compute: Compute, net: tuple[int, ...], ranks: int, link: Link) -> float:
    """Of each rank and update, for an efficiency of EFFICIENT."""
    needed = sum_seconds(net, ranks, link) * EFFICIENT / (1 - EFFICIENT)
    return max(1.0, (needed - compute.per_update) / compute.per_row)


def measure(campaign: Campaign, results: Results) -> Measurements:
    plan = PLANS[campaign.preset]
    cases = [(net, size) for net in plan.nets for size in BATCH_SIZES]
    wanted = {"cases": cases, "rows": plan.rows, "rounds": plan.rounds, "bytes": list(SUM_BYTES)}
    configuration = {"ranks": RANKS_HERE, **wanted}
    job = Job("ranks", configuration, lambda: ({}, run_ranks(wanted)))
    (record,) = results.complete([job], lambda text: campaign.say(f"several machines, {text}"))
    found = record["measured"]
    by_case = {
        case: {way: np.array(values) for way, values in ways.items()} for case, ways in zip(cases, found["cases"])
    }
    return Measurements(plan, by_case, np.array(found["sums"]))


def mpiexec() -> str | None:
    """Beside this Python, or on the path."""
    return shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))


def run_ranks(wanted: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder, "settings.json")
        settings.write_text(json.dumps(wanted), encoding="utf-8")
        program = Path(__file__).with_name("machines_rank.py")
        command = [mpiexec(), "-n", str(RANKS_HERE), sys.executable, "-m", "mpi4py", str(program), str(settings)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the ranks ended with status {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def run(campaign: Campaign) -> Section:
    question = "What would several machines gain that train one net together, and what does their talk cost?"
    results = campaign.results(NAME)
    if mpiexec() is None:
        return Section(
            NAME,
            "Several machines",
            question,
            ["Not measured."],
            [],
            [],
            {},
            [],
            [],
            notices=["mpiexec is not installed: pip install mpich mpi4py"],
        )
    measured = measure(campaign, results)
    files = [_write_measured(measured, results), _write_model(measured, results)]
    figure = Figure(
        *save(draw(measured), results.folder, NAME),
        f"By the model: the share of an update that is computation, {ROWS_PER_RANK} rows per machine and update, each"
        " machine with the cores of this one.",
        "Curves that fall with the number of machines; the slower the network, the lower. " + _alt(measured),
        [files[1]],
    )
    return Section(
        name=NAME,
        title="Several machines",
        question=question,
        summary=[_summary(measured)],
        claims=[],
        parts=[
            Part("Two ranks on this machine", _paragraphs_here(measured), tables=[_table_here(measured)]),
            Part("A model of larger clusters", _paragraphs_model(measured), [figure], [_table_model(measured)]),
        ],
        setup={
            "Data": "random, without zeros, float32",
            "Rows of an epoch": str(measured.plan.rows),
            "Optimizer": "plain SGD",
            "Rounds": str(measured.plan.rounds),
            "Ranks": f"{RANKS_HERE}, a thread each, beside one process with {RANKS_HERE} threads, in turns",
        },
        data=[results.path, *files],
        environments=results.environments(),
    )


def _names(net: tuple[int, ...]) -> str:
    return "-".join(map(str, net))


def _ratio(measured: Measurements, net: tuple[int, ...], batch_size: int) -> float:
    """How fast the ranks are beside one process: the median over rounds."""
    ways = measured.cases[net, batch_size]
    return float(np.median(ways["alone"] / ways["ranks"]))


def _summary(measured: Measurements) -> str:
    large = measured.plan.nets[-1]
    ratios = [_ratio(measured, net, BATCH_SIZES[-1]) for net in measured.plan.nets]
    fast = efficiency(measured.compute(large), large, 64, LINKS[-1])
    slow = efficiency(measured.compute(large), large, 8, LINKS[0])
    return (
        f"Two ranks with a thread each reach {min(ratios):.0%} to {max(ratios):.0%} of the speed of one process with two threads"
        f" at batches of {BATCH_SIZES[-1]}. By the model, 64 machines on 100 Gbit spend {fast:.0%} of their time on computing"
        f" {_names(large)} with {ROWS_PER_RANK} rows each per update; eight machines on 1 Gbit {slow:.0%}."
    )


def _paragraphs_here(measured: Measurements) -> list[str]:
    errors = [measured.predicted(*case) / measured.median(*case, "ranks") - 1 for case in measured.cases]
    return [
        "Each rank computes the gradients of its half of each batch, the ranks sum them, and each makes the same update: the "
        "result is that of one process, to rounding. What they send is the gradient, once per update, whatever the batch size.",
        f"A sum over the two ranks takes {1e6 * measured.sums[0]:.0f} µs for {in_bytes(SUM_BYTES[0])} and "
        f"{1e3 * measured.sums[-1]:.1f} ms for {in_bytes(SUM_BYTES[-1])}; between ranks of one machine memory is the network. Computation "
        "is measured with ranks that do not talk. The two together predict the update's time with errors of "
        f"{min(errors):+.0%} to {max(errors):+.0%}.",
    ]


def _table_here(measured: Measurements) -> Table:
    rows = []
    for net, size in measured.cases:
        alone, ranks, silent = (1e3 * measured.median(net, size, way) for way in ("alone", "ranks", "silent"))
        rows.append(
            [
                _names(net),
                str(size),
                in_bytes(gradient_bytes(net)),
                f"{alone:.2f}",
                f"{silent:.2f}",
                f"{ranks:.2f}",
                f"{1e3 * measured.predicted(net, size):.2f}",
                f"{_ratio(measured, net, size):.0%}",
            ]
        )
    header = [
        "net",
        "batch",
        "gradient",
        "one process, ms per update",
        "ranks without talk",
        "ranks",
        "predicted",
        "speed of the ranks",
    ]
    return Table("Medians of the rounds", header, rows)


def _paragraphs_model(measured: Measurements) -> list[str]:
    links = "; ".join(
        f"{link.name} with {link.bytes_per_second / 1e6:g} MB/s and {link.latency * 1e6:g} µs per message"
        for link in LINKS
    )
    return [
        "An update of R ranks takes the time to compute b rows, a + s b, as measured here for one process with all cores, and the "
        "time of the sum: each rank sends R - 1 messages of an R-th of the gradient, and as many again with the sums, which is "
        "2 (R - 1) latencies and 2 (R - 1) / R of the gradient's bytes. Computation and communication follow one another. Links: "
        f"{links}: usual values, not measured.",
        f"The last column says how many rows each machine needs per update to compute {EFFICIENT:.0%} of the time. A batch as large "
        "as all machines need together may learn less per epoch; sync_every, another algorithm, divides the talk instead.",
    ]


def _table_model(measured: Measurements) -> Table:
    rows = []
    for net in measured.plan.nets:
        compute = measured.compute(net)
        for link in LINKS:
            shares = [f"{efficiency(compute, net, ranks, link):.0%}" for ranks in RANKS]
            rows.append([_names(net), link.name, *shares, f"{rows_needed(compute, net, 64, link):.0f}"])
    header = ["net", "network", *(f"{ranks} machines" for ranks in RANKS), f"rows for {EFFICIENT:.0%} of 64"]
    return Table(f"Share of computation, {ROWS_PER_RANK} rows per machine and update", header, rows)


def _alt(measured: Measurements) -> str:
    net = measured.plan.nets[-1]
    return "; ".join(
        f"{link.name}: "
        + ", ".join(f"{efficiency(measured.compute(net), net, ranks, link):.0%} at {ranks}" for ranks in RANKS)
        for link in LINKS
    )


def draw(measured: Measurements) -> Drawing:
    """A panel per net, a line per link."""
    drawing, axes = panels(1, len(measured.plan.nets), (3.0 * len(measured.plan.nets) + 0.6, 3.2), sharey=True)
    styles = ((DARK_ORANGE, "^", ":"), (BLUE, "s", "--"), ("black", "o", "-"))
    for ax, net in zip(axes[0], measured.plan.nets):
        for link, (color, marker, line) in zip(LINKS, styles):
            shares = [100 * efficiency(measured.compute(net), net, ranks, link) for ranks in RANKS]
            ax.plot(RANKS, shares, color=color, marker=marker, linestyle=line, markersize=5, label=link.name)
        ax.set(xscale="log", xlabel="machines", title=_names(net), ylim=(0, 100))
        ax.set_xticks(RANKS, [str(ranks) for ranks in RANKS])
        ax.minorticks_off()
    axes[0, 0].set_ylabel("computation, % of the time")
    drawing.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(LINKS))
    return drawing


def _write_measured(measured: Measurements, results: Results) -> Path:
    return results.write_csv(
        "machines.csv",
        ("net", "batch_size", "gradient_bytes", "alone_ms", "silent_ms", "ranks_ms", "predicted_ms", "ratio"),
        [
            (
                _names(net),
                size,
                gradient_bytes(net),
                *(f"{1e3 * measured.median(net, size, way):.4g}" for way in ("alone", "silent", "ranks")),
                f"{1e3 * measured.predicted(net, size):.4g}",
                f"{_ratio(measured, net, size):.3f}",
            )
            for net, size in measured.cases
        ],
    )


def _write_model(measured: Measurements, results: Results) -> Path:
    return results.write_csv(
        "model.csv",
        ("net", "network", "ranks", "sum_ms", "efficiency", "rows_for_80_percent"),
        [
            (
                _names(net),
                link.name,
                ranks,
                f"{1e3 * sum_seconds(net, ranks, link):.4g}",
                f"{efficiency(measured.compute(net), net, ranks, link):.3f}",
                f"{rows_needed(measured.compute(net), net, ranks, link):.0f}",
            )
            for net in measured.plan.nets
            for link in LINKS
            for ranks in RANKS
        ],
    )


if __name__ == "__main__":
    run_alone(run, __doc__)
