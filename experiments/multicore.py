"""What do several cores gain, and does the batch size decide it? And is Python locked to a single process?"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import fastmlp
import numpy as np
import parallel_ways as ways
from campaign import Campaign
from figures import BLUE, DARK_ORANGE, GREY, in_thousands, panels, plain_ticks, save, ticks_between
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import PercentFormatter
from report import run_alone
from results import Job, Results
from section import CONTRADICTED, EXPLAINED, IN_PART, REPRODUCED, UNTESTED, Claim, Figure, Part, Section, Table
from turns import Case, Timing, Turns
from wording import counted, duration

NAME = "multicore"

NETS = ((784, 128, 10), (784, 512, 384, 10), (784, 512, 384, 288, 10))
LINES = (  # of the nets
    {"color": BLUE, "marker": "s", "linestyle": "--"},
    {"color": DARK_ORANGE, "marker": "^", "linestyle": "-."},
    {"color": "black", "marker": "o", "linestyle": "-"},
)
GAINED = 1.25  # times as fast: less would not be called parallel


@dataclass(frozen=True)
class Plan:
    """How much of everything a preset does."""

    nets: Sequence[tuple[int, ...]]
    batch_sizes: Sequence[int]
    least_rows: int  # of an epoch, but at most BATCHES
    rounds: int
    units: int  # of work in each way


BATCHES = 512  # of an epoch of tiny batches
BATCH_SIZES = (1, 4, 16, 32, 64, 128, 256, 1024, 4096, 16384, 60000)
PLANS = {
    "smoke": Plan(NETS[:1], (1, 32, 1024), 1000, 1, 1),
    "quick": Plan(NETS[:2], BATCH_SIZES[::2], 8192, 3, 10),
    "full": Plan(NETS, BATCH_SIZES, 8192, 9, 30),
}

Grid = Mapping[tuple[str, int], Timing]  # by net and batch size; the contestants are numbers of threads


def run(campaign: Campaign) -> Section:
    plan, results = PLANS[campaign.preset], campaign.results(NAME)
    cores = fastmlp.show_config("dicts")["threads"]
    grid = _measure_grid(plan, thread_counts(cores), results, campaign)
    gains = _measure_ways(plan, max(2, cores), results, campaign)
    table = _write_grid(grid, results)
    gains_table = results.write_csv(
        "ways.csv",
        ("way", "threads", "round", "gain"),
        [(way, max(2, cores), i, gain) for way, rounds in gains.items() for i, gain in enumerate(rounds)],
    )
    image, picture = save(draw(grid), results.folder, "multicore")
    figure = Figure(image, picture, _caption(plan, cores), _alt(grid), [table])
    return Section(
        name=NAME,
        title="Several cores",
        question="What do several cores gain, and does the batch size decide it? Is Python locked to a single process?",
        summary=[_summary(grid, gains, cores)],
        claims=[_batch_claim(grid, cores), _lock_claim(gains, cores)],
        parts=[_grid_part(grid, plan, figure), _ways_part(gains, max(2, cores), plan)],
        setup={
            "Data": "random, without zeros, float32",
            "Rows of an epoch": f"{plan.least_rows}, at least one batch, at most {BATCHES} batches",
            "Optimizer": "plain SGD",
            "Threads": ", ".join(map(str, thread_counts(cores))),
            "Rounds": str(plan.rounds),
        },
        data=[results.path, table, gains_table],
        environments=results.environments(),
    )


def thread_counts(cores: int) -> list[int]:
    """1, 2, 4, ... and all."""
    return sorted({1, cores, *(2**i for i in range(cores.bit_length()) if 2**i <= cores)})


def _measure_grid(
    plan: Plan, threads: Sequence[int], results: Results, campaign: Campaign
) -> dict[tuple[str, int], Timing]:
    names = list(map(str, threads))
    cases = [
        Case(net, size, rows=max(size, min(plan.least_rows, BATCHES * size)))
        for net in plan.nets
        for size in plan.batch_sizes
    ]
    with closing(Turns({name: ("fastmlp", name) for name in names})) as turns:

        def job(case: Case) -> Job:
            configuration = {**asdict(case), "threads": list(threads), "rounds": plan.rounds}
            return Job(
                f"{case.net}, batch {case.batch_size}",
                configuration,
                lambda: ({}, turns.time(case, names, plan.rounds, *case.random_data())),
            )

        records = results.complete([job(case) for case in cases], lambda text: campaign.say(f"several cores {text}"))
    return {(case.net, case.batch_size): Timing.of(case, record["measured"]) for case, record in zip(cases, records)}


def _measure_ways(plan: Plan, threads: int, results: Results, campaign: Campaign) -> dict[str, list[float]]:
    configuration = {"measurement": "ways", "threads": threads, "rounds": plan.rounds, "units": plan.units}
    job = Job("ways from Python", configuration, lambda: ({}, ways.gains(threads, plan.rounds, plan.units)))
    return results.complete([job], lambda text: campaign.say(f"several cores {text}"))[0]["measured"]


def _all_threads(timing: Timing) -> str:
    return list(timing.seconds)[-1]


def _gain(timing: Timing) -> float:
    """Of all threads over one."""
    return timing.ratio("1", _all_threads(timing))


def _lines(grid: Grid) -> dict[str, list[Timing]]:
    """By net, in the order of batch sizes."""
    found: dict[str, list[Timing]] = {}
    for (net, _), timing in grid.items():
        found.setdefault(net, []).append(timing)
    return found


def draw(grid: Grid) -> Drawing:
    """Gain and share of the peak of all threads, by batch size."""
    drawing, axes = panels(1, 2, (8.4, 3.9))
    for (net, timings), style in zip(_lines(grid).items(), LINES):
        sizes = [timing.case.batch_size for timing in timings]
        axes[0, 0].plot(sizes, list(map(_gain, timings)), label=net, markersize=5, **style)
        shares = [timing.share_of_peak(_all_threads(timing)) for timing in timings]
        axes[0, 1].plot(sizes, shares, markersize=5, **style)
    threads = _all_threads(next(iter(grid.values())))
    for ax, title in zip(axes[0], (f"Speed with {threads} threads over 1", f"Share of the peak of {threads} threads")):
        ax.set(xscale="log", xlabel="batch size", title=title, ylim=(0, None))
        plain_ticks(ax.xaxis, ticks_between(*ax.get_xlim(), (1,)), in_thousands)
    axes[0, 0].axhline(1, color=GREY, linewidth=0.9, linestyle=":")
    axes[0, 0].set_ylabel("times as fast")
    axes[0, 1].set_ylabel("share of the peak")
    axes[0, 1].yaxis.set_major_formatter(PercentFormatter(1))
    drawing.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return drawing


def _summary(grid: Grid, gains: Mapping[str, Sequence[float]], cores: int) -> str:
    if cores == 1:
        return "This process may use one core only: nothing can be gained here."
    small, large = _ends(grid)
    return (
        f"With {cores} threads, fastmlp is {_gain(small):.2f} times as fast as with one in batches of {small.case.batch_size} and "
        f"{_gain(large):.2f} times in batches of {large.case.batch_size} ({large.case.net}). Python threads that run Python alone are "
        f"{np.median(gains[ways.LOOP]):.2f} times as fast as one, those that train a net each {np.median(gains[ways.RELEASED]):.2f} times."
    )


def _ends(grid: Grid) -> tuple[Timing, Timing]:
    """Of the first net, which is the report's: its smallest and its largest batch."""
    line = next(iter(_lines(grid).values()))
    return line[0], line[-1]


def _batch_claim(grid: Grid, cores: int) -> Claim:
    statement = "Smaller batches make greater use of parallelism."
    if cores == 1:
        return Claim(statement, UNTESTED, "This process may use one core only.")
    ends = {net: (_gain(line[0]), _gain(line[-1])) for net, line in _lines(grid).items()}
    greater = {small > large for small, large in ends.values()}
    small, large = _ends(grid)
    parts = [f"{net}: {first:.2f} and {last:.2f} times" for net, (first, last) in ends.items()]
    return Claim(
        statement,
        IN_PART if len(greater) == 2 else REPRODUCED if greater == {True} else CONTRADICTED,
        f"As fast with {cores} threads as with one, in batches of {small.case.batch_size} and of {large.case.batch_size}: {'; '.join(parts)}.",
    )


def _lock_claim(gains: Mapping[str, Sequence[float]], cores: int) -> Claim:
    statement = "Python is locked to only run on a single process."
    if cores == 1:
        return Claim(statement, UNTESTED, "This process may use one core only.")
    medians = {way: float(np.median(rounds)) for way, rounds in gains.items()}
    python, libraries = medians[ways.LOOP], [medians[way] for way in (ways.NUMPY, ways.RELEASED, ways.WHOLE)]
    parts = [f"{way}: {gain:.2f} times" for way, gain in medians.items()]
    finding = f"As fast with {cores} threads as with one: {'; '.join(parts)}."
    if python >= GAINED:
        return Claim(statement, CONTRADICTED, finding)
    if max(libraries) < GAINED:
        return Claim(statement, REPRODUCED, finding)
    return Claim(
        statement, EXPLAINED, f"True of code in Python, which holds a lock; not of libraries that release it. {finding}"
    )


def _grid_part(grid: Grid, plan: Plan, figure: Figure) -> Part:
    threads = list(next(iter(grid.values())).seconds)
    return Part(
        "Threads, by batch size",
        [
            (
                "A batch is shared out among the threads at each layer, and they wait for each other before the next. The smaller it is, "
                "the less there is to share between two waits; work too small for that stays on one thread."
            )
        ],
        [figure],
        [
            Table(
                f"Medians of {counted(plan.rounds, 'round')}; the peak is that of as many threads",
                [
                    "net",
                    "batch",
                    *(f"time per batch, {counted(int(count), 'thread')}" for count in threads),
                    *(f"gain of {count}" for count in threads[1:]),
                    *(f"share of the peak, {count}" for count in threads),
                ],
                [
                    [
                        net,
                        str(size),
                        *(duration(_batch_seconds(timing, count)) for count in threads),
                        *(f"{timing.ratio('1', count):.2f}" for count in threads[1:]),
                        *(f"{timing.share_of_peak(count):.0%}" for count in threads),
                    ]
                    for (net, size), timing in grid.items()
                ],
            )
        ],
    )


def _batch_seconds(timing: Timing, threads: str) -> float:
    return timing.median_seconds(threads) * timing.case.batch_size / timing.case.rows


def _ways_part(gains: Mapping[str, Sequence[float]], threads: int, plan: Plan) -> Part:
    lock = getattr(sys, "_is_gil_enabled", lambda: True)()
    return Part(
        "Is Python locked to a single process?",
        [
            "The report says so, to explain why the batch size did not change its run time. Python's interpreter does hold a lock while it runs "
            "Python; a library may release it while it computes, and may start threads of its own. The last but one row shows fastmlp as it would "
            "be if it did not release the lock."
            + ("" if lock else " This Python is a free-threaded build: it has no such lock.")
        ],
        tables=[
            Table(
                f"How many times as fast with {threads} threads as with one; {counted(plan.rounds, 'round')}",
                ["what", "median", "least", "greatest"],
                [
                    [way, *(f"{value:.2f}" for value in (np.median(rounds), min(rounds), max(rounds)))]
                    for way, rounds in gains.items()
                ],
            )
        ],
    )


def _caption(plan: Plan, cores: int) -> str:
    return f"fastmlp with {counted(cores, 'thread')}, by batch size. Medians of {counted(plan.rounds, 'round')}, measured in turns."


def _alt(grid: Grid) -> str:
    def ends(net: str, timings: Sequence[Timing]) -> str:
        first, last = timings[0], timings[-1]
        return (
            f"{net}: from {_gain(first):.2f} times as fast and {first.share_of_peak(_all_threads(first)):.0%} of the peak with batches of "
            f"{first.case.batch_size} to {_gain(last):.2f} and {last.share_of_peak(_all_threads(last)):.0%} with {last.case.batch_size}"
        )

    return "Two panels: gain of threads and share of the peak, by batch size. " + "; ".join(
        ends(net, timings) for net, timings in _lines(grid).items()
    )


def _write_grid(grid: Grid, results: Results) -> Path:
    return results.write_csv(
        "multicore.csv",
        ("net", "batch", "threads", "us_per_batch", "gain", "share_of_peak"),
        [
            (
                net,
                size,
                count,
                f"{1e6 * _batch_seconds(timing, count):.4g}",
                f"{timing.ratio('1', count):.3f}",
                f"{timing.share_of_peak(count):.3f}",
            )
            for (net, size), timing in grid.items()
            for count in timing.seconds
        ],
    )


if __name__ == "__main__":
    run_alone(run, __doc__)
