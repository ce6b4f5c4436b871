"""What do several cores gain, here and in other libraries, and does the batch size decide it? Is Python locked?"""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import fastmlp
import numpy as np
from harness.figures import BLUE, DARK_ORANGE, GREEN, GREY, in_thousands, panels, plain_ticks, ticks_between
from harness.jobs import Job
from harness.run import Run, Sizes
from harness.section import EXPLAINED, all_or_some
from harness.tables import Row, Table, Tables
from matplotlib.figure import Figure as Drawing

from speed import libraries
from speed import python_threads as methods
from speed.timing import Case, Processes, Timing

NETS = ((784, 128, 10), (784, 512, 384, 10), (784, 512, 384, 288, 10))
SMALL_NETS = ((30, 100, 2), (54, 100, 50, 2), (64, 128, 128, 10))  # of small tables
BATCH_SIZES = (1, 4, 16, 32, 64, 128, 256, 1024, 4096, 16384, 60000)
MAX_BATCHES = 512  # of an epoch of tiny batches
RIVALS = {  # with all cores
    "PyTorch": {"color": GREEN, "marker": "D", "linestyle": ":"},
    "JAX": {"color": BLUE, "marker": "s", "linestyle": "--"},
    "NumPy": {"color": DARK_ORANGE, "marker": "^", "linestyle": "-."},
}
GAINED = 1.25  # times as fast: less would not be called parallel

SIZES = Sizes(
    seconds=(8, 45, 1200),
    nets=(NETS[:1], (*NETS[:2], *SMALL_NETS[:1]), (*NETS, *SMALL_NETS)),
    batch_sizes=((1, 32, 1024), BATCH_SIZES[::3], BATCH_SIZES),
    rows=(1000, 4096, 8192),  # of an epoch: at least one batch, at most MAX_BATCHES
    rounds=(1, 2, 5),
    units=(1, 10, 30),  # of work of each method
)


def thread_counts(cores: int) -> list[int]:
    """1, 2, 4, ... and all."""
    return sorted({1, cores, *(2**i for i in range(cores.bit_length()) if 2**i <= cores)})


def jobs(run: Run, sizes: SimpleNamespace) -> list[Job]:
    cores = fastmlp.show_config("dicts")["threads"]
    threads = thread_counts(cores)
    rivals = [name for name in RIVALS if name in libraries.installed()]
    # all threads come first: `Timing` takes their peak for the other libraries
    participants = {str(n): ("fastmlp", str(n)) for n in reversed(threads)} | {name: (name,) for name in rivals}
    timers = Processes(participants, run.processes)

    def job(case: Case) -> Job:
        configuration = {**asdict(case), "threads": threads, "rivals": rivals, "rounds": sizes.rounds}
        return Job(
            configuration,
            lambda: timers.time(case, list(participants), sizes.rounds, *case.random_data()),
            lambda result: rows(Timing.of(case, result), threads, rivals),
        )

    cases = [
        Case(net, size, rows=max(size, min(sizes.rows, MAX_BATCHES * size)))
        for net in sizes.nets
        for size in sizes.batch_sizes
    ]
    return [*map(job, cases), _job_of_methods(max(2, cores), sizes)]


def rows(timing: Timing, threads: Sequence[int], rivals: Sequence[str]) -> dict[str, list[Row]]:
    """Speeds are those over one thread of fastmlp: medians of the rounds, and their quartiles."""

    def row(name: str, **columns: Any) -> Row:
        case, speeds = timing.case, timing.seconds["1"] / timing.seconds[name]
        low, speed, high = np.quantile(speeds, (0.25, 0.5, 0.75)).round(3).tolist()
        microseconds = 1e6 * timing.median_seconds(name) * case.batch_size / case.rows
        return {
            **{"net": case.net, "batch": case.batch_size, **columns},
            **{"us_per_batch": float(f"{microseconds:.4g}"), "gain": speed, "gain_low": low, "gain_high": high},
            "share_of_peak": round(timing.share_of_peak(name), 3),
        }

    return {
        "multicore": [row(str(count), threads=count) for count in threads],
        "rivals": [row(name, library=name, threads=threads[-1]) for name in rivals],
    }


def _job_of_methods(threads: int, sizes: SimpleNamespace) -> Job:
    configuration = {"measurement": "methods", "threads": threads, "rounds": sizes.rounds, "units": sizes.units}

    def rows(result: dict[str, list[float]]) -> dict[str, list[Row]]:
        ways = [
            {"way": method, "threads": threads, "round": i, "gain": gain}
            for method, rounds in result.items()
            for i, gain in enumerate(rounds)
        ]
        return {"ways": ways}

    return Job(configuration, lambda: methods.gains(threads, sizes.rounds, sizes.units), rows)


def all_threads(t: Tables) -> Table:
    return t["multicore"].where(threads=t["multicore"]["threads"].max())


def gains_of_methods(ways: Table) -> dict[str, float]:
    return {method: float(np.median(part["gain"])) for method, part in ways.groups("way").items()}


def notices() -> list[str]:
    return libraries.notices_of_missing(RIVALS)


def holds(t: Tables) -> dict[str, bool | str | None]:
    if t["multicore"]["threads"].max() == 1:
        return {"batches": None, "lock": None}
    gains, nets = gains_of_methods(t["ways"]), all_threads(t).groups("net").values()
    released = max(gains[method] for method in (methods.NUMPY, methods.RELEASED, methods.WHOLE)) >= GAINED
    return {
        "batches": all_or_some([bool(part["gain"][0] > part["gain"][-1]) for part in nets]),
        "lock": False if gains[methods.LOOP] >= GAINED else EXPLAINED if released else True,
    }


def numbers(t: Tables) -> dict[str, Any]:
    gains, table = gains_of_methods(t["ways"]), all_threads(t)
    first, nets = table.where(net=table["net"][0]), table.groups("net")
    lock = getattr(sys, "_is_gil_enabled", lambda: True)()
    return {
        "threads": table["threads"][0],
        "net": table["net"][0],
        "batches": first["batch"],
        "gains": first["gain"],
        "ends": "; ".join(
            f"{net}: {part['gain'][0]:.2f} and {part['gain'][-1]:.2f} times" for net, part in nets.items()
        ),
        "methods": "; ".join(f"{method}: {gain:.2f} times" for method, gain in gains.items()),
        "released": gains[methods.RELEASED],
        "loop": gains[methods.LOOP],
        "lock": "This Python has the lock." if lock else "This Python is a free-threaded build: it has no such lock.",
    }


def figures(t: Tables) -> dict[str, Drawing]:
    """Speed over one thread of fastmlp by batch size: a panel per net, a line per number of threads and library."""
    nets = t["multicore"].groups("net")
    columns = min(3, len(nets))
    drawing, axes = panels(-(-len(nets) // columns), columns, (2.9 * columns, 2.7 * -(-len(nets) // columns) + 0.4))
    for ax, (net, part) in zip(axes.flat, nets.items()):
        lines = [
            (f"fastmlp, {threads} threads", table, _line_of(threads, part["threads"].max()))
            for threads, table in part.groups("threads").items()
            if threads > 1
        ]
        lines += [(name, table, RIVALS[name]) for name, table in t["rivals"].where(net=net).groups("library").items()]
        for name, table, style in lines:
            spread = [table["gain"] - table["gain_low"], table["gain_high"] - table["gain"]]
            ax.errorbar(table["batch"], table["gain"], spread, label=name, markersize=4, elinewidth=1, **style)
        ax.axhline(1, color=GREY, linewidth=0.9, linestyle=":")
        ax.set(xscale="log", yscale="log", title=net)
        plain_ticks(ax.xaxis, ticks_between(*ax.get_xlim(), (1,)), in_thousands)
        plain_ticks(ax.yaxis, ticks_between(*ax.get_ylim(), (1, 2, 5)))
    for ax in axes.flat[len(nets) :]:
        ax.remove()
    for ax in axes.flat[max(0, len(nets) - columns) : len(nets)]:  # the lowest of each column
        ax.set_xlabel("batch size")
    for ax in axes[:, 0]:
        ax.set_ylabel("times as fast as 1 thread")
    drawing.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return {"multicore": drawing}


def _line_of(threads: int, all_threads: int) -> dict[str, Any]:
    """The more threads, the darker."""
    halvings = np.log2(all_threads / threads) / max(1, np.log2(all_threads / 2))  # from all to two, as a share
    width = 1.7 if threads == all_threads else 1.2
    return {"color": str(round(0.72 * halvings, 2)), "marker": "o", "linestyle": "-", "linewidth": width}
