"""What do several cores gain, and does the batch size decide it? And is Python locked to a single process?"""

import sys
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import fastmlp
import numpy as np
from harness.figures import BLUE, DARK_ORANGE, GREY, in_thousands, panels, plain_ticks, ticks_between
from harness.jobs import Job
from harness.run import Run, Sizes
from harness.section import EXPLAINED, all_or_some
from harness.tables import Row, Table, Tables
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import PercentFormatter

from speed import python_threads as methods
from speed.timing import Case, Processes, Timing

NETS = ((784, 128, 10), (784, 512, 384, 10), (784, 512, 384, 288, 10))
BATCH_SIZES = (1, 4, 16, 32, 64, 128, 256, 1024, 4096, 16384, 60000)
MAX_BATCHES = 512  # of an epoch of tiny batches
LINES = (  # of the nets
    {"color": BLUE, "marker": "s", "linestyle": "--"},
    {"color": DARK_ORANGE, "marker": "^", "linestyle": "-."},
    {"color": "black", "marker": "o", "linestyle": "-"},
)
GAINED = 1.25  # times as fast: less would not be called parallel

SIZES = Sizes(
    seconds=(8, 35, 900),
    nets=(NETS[:1], NETS[:2], NETS),
    batch_sizes=((1, 32, 1024), BATCH_SIZES[::2], BATCH_SIZES),
    rows=(1000, 4096, 8192),  # of an epoch: at least one batch, at most MAX_BATCHES
    rounds=(1, 2, 9),
    units=(1, 10, 30),  # of work of each method
)


def thread_counts(cores: int) -> list[int]:
    """1, 2, 4, ... and all."""
    return sorted({1, cores, *(2**i for i in range(cores.bit_length()) if 2**i <= cores)})


def jobs(run: Run, sizes: SimpleNamespace) -> list[Job]:
    cores = fastmlp.show_config("dicts")["threads"]
    threads = thread_counts(cores)
    names = list(map(str, threads))
    timers = Processes({name: ("fastmlp", name) for name in names}, run.processes)

    def job(case: Case) -> Job:
        configuration = {**asdict(case), "threads": threads, "rounds": sizes.rounds}
        return Job(
            configuration,
            lambda: timers.time(case, names, sizes.rounds, *case.random_data()),
            lambda result: {"multicore": rows(Timing.of(case, result))},
        )

    cases = [
        Case(net, size, rows=max(size, min(sizes.rows, MAX_BATCHES * size)))
        for net in sizes.nets
        for size in sizes.batch_sizes
    ]
    return [*map(job, cases), _job_of_methods(max(2, cores), sizes)]


def rows(timing: Timing) -> list[Row]:
    case = timing.case
    return [
        {
            **{"net": case.net, "batch": case.batch_size, "threads": int(count)},
            "us_per_batch": float(f"{1e6 * timing.median_seconds(count) * case.batch_size / case.rows:.4g}"),
            "gain": round(timing.ratio("1", count), 3),
            "share_of_peak": round(timing.share_of_peak(count), 3),
        }
        for count in timing.seconds
    ]


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
    """Gain and share of the peak of all threads, by batch size."""
    table = all_threads(t)
    drawing, (axes,) = panels(1, 2, (8.4, 3.9))
    for (net, part), style in zip(table.groups("net").items(), LINES):
        for ax, name in zip(axes, ("gain", "share_of_peak")):
            ax.plot(part["batch"], part[name], label=net, markersize=5, **style)
    threads = table["threads"][0]
    for ax, title in zip(axes, (f"Speed with {threads} threads over 1", f"Share of the peak of {threads} threads")):
        ax.set(xscale="log", xlabel="batch size", title=title, ylim=(0, None))
        plain_ticks(ax.xaxis, ticks_between(*ax.get_xlim(), (1,)), in_thousands)
    axes[0].axhline(1, color=GREY, linewidth=0.9, linestyle=":")
    axes[0].set_ylabel("times as fast")
    axes[1].set_ylabel("share of the peak")
    axes[1].yaxis.set_major_formatter(PercentFormatter(1))
    drawing.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return {"multicore": drawing}
