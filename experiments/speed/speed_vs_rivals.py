"""How fast is a training step, as a share of the processor's peak and beside other libraries?

    pip install ".[rivals]"

installs those libraries; one that is missing is left out. The peak is that of multiply-adds in registers. A step
counts 2 * batch * (3 * sum(inputs * outputs) - inputs_0 * outputs_0) operations: forward, weight gradients, and
input gradients of all layers but the first.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import Any

import fastmlp
from harness.digits import Digits
from harness.figures import BLUE, DARK_ORANGE, GREEN, PURPLE, panels
from harness.jobs import Job
from harness.number_text import duration, listing, significant
from harness.run import Run, Sizes
from harness.section import IN_PART
from harness.tables import Row, Tables
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import PercentFormatter

from speed import libraries
from speed import time_to_accuracy as recipe
from speed.timing import PAUSE, Case, Processes, Timing

OURS, OURS_ALONE = "fastmlp", "fastmlp, 1 thread"
NOTICED = 1.25  # times as long: less would not be noticed without a clock

CASES = {
    "A": Case((784, 128, 10), 128),
    "B": Case((784, 128, 10), 1024),
    "C": Case((784, 128, 10), 60000),
    "D": Case((784, 512, 384, 10), 128),
    "E": Case((784, 512, 384, 288, 10), 128),
    "F": Case((784, 128, 10), 32),
    "G": Case((784, 128, 10), 1, rows=2000),
    "H": Case((784, 254, 190, 142, 10), 128),
    "I": Case((784, 128, 96, 72, 10), 128),
    "T": Case((2, 64, 64, 2), 32, rows=1000),
    "U": Case((4, 120, 84, 2), 32, rows=1000),
    "A, Adam": Case((784, 128, 10), 128, optimizer="adam"),
    "A, digits": Case((784, 128, 10), 128, digits=True),
}
ARCHITECTURES = ("A", "I", "H", "D", "E")  # nets of the report's experiment on architecture
FEW_CASES = (*ARCHITECTURES, "T", "A, Adam", "A, digits")
MARKERS = {  # different shapes as well as colours
    OURS: {"color": "black", "marker": "o", "markersize": 8},
    OURS_ALONE: {"color": "black", "marker": "o", "markersize": 8, "markerfacecolor": "white"},
    "JAX": {"color": BLUE, "marker": "s", "markersize": 6.5},
    "NumPy": {"color": DARK_ORANGE, "marker": "^", "markersize": 7.5},
    "PyTorch": {"color": GREEN, "marker": "D", "markersize": 6},
    "scikit-learn": {"color": PURPLE, "marker": "v", "markersize": 7.5},
}

SIZES = Sizes(
    seconds=(15, 65, 1500),
    cases=(FEW_CASES, ("B", "F", *FEW_CASES), tuple(CASES)),
    rounds=(1, 2, 9),
    max_rows=(1000, 10000, 60000),  # of a case, unless its batch is larger
    train_rows=(2000, 60000, 60000),
    test_rows=(500, 10000, 10000),
    seeds=(1, 1, 5),
)


def notices() -> list[str]:
    return libraries.notices_of_missing(libraries.LIBRARIES)


def jobs(run: Run, sizes: SimpleNamespace) -> list[Job]:
    digits = run.digits(sizes.train_rows, sizes.test_rows)
    alone = {OURS_ALONE: (OURS, "1")} if fastmlp.show_config("dicts")["threads"] > 1 else {}
    others = [name for name in libraries.installed() if name != OURS]
    participants = {OURS: (OURS,), **alone, **{name: (name,) for name in others}}
    timers = Processes(participants, run.processes)
    of_cases = [_job_of_libraries(timers, [OURS, *others])]
    for name in sizes.cases:
        case = replace(CASES[name], rows=min(CASES[name].rows, max(sizes.max_rows, CASES[name].batch_size)))
        names = list(participants) if case.optimizer == "sgd" else [OURS, *alone]
        of_cases.append(_job_of_case(timers, name, case, names, sizes.rounds, digits))
    return [
        *of_cases,
        _job_of_recipe(timers, [name for name in recipe.RUNS if name in participants], sizes.seeds, digits),
    ]


def _configuration(measurement: str, **settings: Any) -> dict[str, Any]:
    return {"measurement": measurement, "threads": fastmlp.show_config("dicts")["threads"], **settings}


def _job_of_libraries(timers: Processes, names: Sequence[str]) -> Job:
    return Job(
        _configuration("libraries", libraries=list(names)),
        lambda: {name: timers.call(name, "describe") for name in names},
        lambda result: {"libraries": [{"library": name, **about} for name, about in result.items()]},
    )


def _job_of_case(timers: Processes, name: str, case: Case, names: Sequence[str], rounds: int, digits: Digits) -> Job:
    data = digits.name if case.digits else "random"

    def measure() -> dict[str, Any]:
        X, y = (digits.x_train[: case.rows], digits.y_train[: case.rows]) if case.digits else case.random_data()
        return timers.time(case, names, rounds, X, y)

    def rows(result: dict[str, Any]) -> dict[str, list[Row]]:
        timing = Timing.of(case, result)
        columns = {"case": name, "net": case.net, "batch": case.batch_size, "rows": case.rows}
        columns |= {"optimizer": case.optimizer, "data": data}
        return {"speed": [{**columns, "library": library, **_measures(timing, library)} for library in names]}

    settings = {"case": asdict(case), "data": data, "libraries": list(names), "rounds": rounds}
    return Job(_configuration("seconds per epoch", **settings), measure, rows)


def _measures(timing: Timing, library: str) -> Row:
    seconds = timing.median_seconds(library)
    return {
        "ms_per_epoch": float(f"{1e3 * seconds:.4g}"),
        "gflops": float(f"{timing.case.operations / seconds / 1e9:.4g}"),
        "share_of_peak": round(timing.share_of_peak(library), 3),
        "times_fastmlp": float(f"{timing.ratio(library, OURS):.4g}"),
    }


def _job_of_recipe(timers: Processes, names: Sequence[str], seeds: int, digits: Digits) -> Job:
    def measure() -> dict[str, Any]:
        data = timers.save(x_train=digits.x_train, y_train=digits.y_train, x_test=digits.x_test, y_test=digits.y_test)
        runs: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
        for name in names:
            timers.call(name, "run_recipe", data=data, seed=0, epochs=1)  # loads and allocates
        for seed in range(seeds):
            for name in names:
                time.sleep(PAUSE)
                runs[name].append(timers.call(name, "run_recipe", data=data, seed=seed, epochs=recipe.EPOCHS))
        return runs

    def rows(result: dict[str, Any]) -> dict[str, list[Row]]:
        of_runs = [
            {"library": name, "seed": seed, "seconds": seconds, "test_accuracy": accuracy}
            for name, runs in result.items()
            for seed, (seconds, accuracy) in enumerate(runs)
        ]
        return {"time_to_accuracy": of_runs}

    settings = {"data": digits.name, "rows": [len(digits.x_train), len(digits.x_test)], "libraries": list(names)}
    return Job(_configuration("time to accuracy", recipe=recipe.SETTINGS, seeds=seeds, **settings), measure, rows)


def epoch_ms(t: Tables) -> dict[str, float]:
    """Of the nets of the report's experiment on architecture."""
    return {name: t["speed"].row(case=name, library=OURS)["ms_per_epoch"] for name in ARCHITECTURES}


def holds(t: Tables) -> dict[str, bool | str | None]:
    ms = epoch_ms(t)
    grows = ms["I"] < ms["H"] < ms["E"] and ms["A"] < ms["I"] and ms["D"] < ms["E"]
    by_much = max(ms["I"] / ms["A"], ms["E"] / ms["D"]) >= NOTICED
    return {"run_time": (IN_PART if by_much else True) if grows else False}


def numbers(t: Tables) -> dict[str, Any]:
    case = t["speed"].where(case="A")
    others = [row for row in case.rows() if row["library"] not in (OURS, OURS_ALONE)]
    ms = epoch_ms(t)
    return {
        "epochs": ", ".join(f"{CASES[name].net} {duration(each / 1e3)}" for name, each in ms.items()),
        "one_to_three": ms["I"] / ms["A"],
        "two_to_three": ms["E"] / ms["D"],
        "share": case.row(library=OURS)["share_of_peak"],
        "ratios": listing(f"{row['times_fastmlp']:.1f} ({row['library']})" for row in others),
    }


def views(t: Tables) -> dict[str, list[Row]]:
    """A row per case: fastmlp's, and the ratio and milliseconds of each other library."""
    lines = []
    for case, part in t["speed"].groups("case").items():
        cells = {
            row["library"]: f"{significant(row['times_fastmlp'], 2)} ({significant(row['ms_per_epoch'])} ms)"
            for row in part.rows()
        }
        alone = {"alone": cells.get(OURS_ALONE, "")}
        lines.append({**dict.fromkeys(libraries.LIBRARIES, ""), **part.row(library=OURS), **cells, **alone})
    return {"cases": lines}


def figures(t: Tables) -> dict[str, Drawing]:
    """One row per case, one mark per library."""
    cases = t["speed"].groups("case")
    drawing, axes = panels(1, 1, (8.4, 1.3 + 0.36 * len(cases)))
    ax = axes[0, 0]
    for name, style in MARKERS.items():
        parts = [(i, part.where(library=name)) for i, part in enumerate(cases.values())]
        marks = [(i, part["share_of_peak"][0]) for i, part in parts if len(part)]
        if marks:
            places, shares = zip(*marks)
            ax.plot(
                shares, places, linestyle="none", label=name, clip_on=False, zorder=3 if name == OURS else 2, **style
            )
    names = [f"{name}:  {part['net'][0]}, batch {part['batch'][0]}" for name, part in cases.items()]
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="share of the peak of the same threads", xlim=(0, None), ylim=(len(names) - 0.5, -0.5))
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    drawing.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=6, handletextpad=0.2)
    return {"shares_of_peak": drawing}
