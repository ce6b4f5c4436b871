"""One import changed: does fastmlp give scikit-learn's models, and how much sooner?

Each library fits in a process of its own, and the two alternate. The models are compared parameter by parameter.
"""

import importlib.util
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from harness.figures import BLUE, GREY, panels, plain_ticks, ticks_between
from harness.jobs import Job
from harness.number_text import rounded_down, rounded_up
from harness.run import Run, Sizes
from harness.tables import Row, Table, Tables
from matplotlib.figure import Figure as Drawing

from speed import libraries
from speed.drop_in_cases import SHOWN, SMALL, Case, images
from speed.process import Process
from speed.timing import PAUSE

OURS, THEIRS = "fastmlp", "scikit-learn"
PREFIX = "small: "  # in the table, of small problems
NETS = ((128,), (512, 384))

SIZES = Sizes(
    seconds=(8, 30, 2000),
    rounds=(1, 2, 7),
    cases=(("iris",), tuple(SHOWN), tuple(SHOWN)),
    small=(("iris", "lbfgs"), tuple(SMALL)[5::2], tuple(SMALL)),
    train_rows=(500, 10000, 60000),
    nets=(NETS[:1], NETS[:1], NETS),
    epochs=(1, 2, 3),  # of images
)


def notices() -> list[str]:
    if importlib.util.find_spec("sklearn"):
        return []
    return ['scikit-learn is not installed: nothing is compared (pip install ".[sklearn]").']


def jobs(run: Run, sizes: SimpleNamespace) -> list[Job]:
    if notices():
        return []
    digits = run.digits(sizes.train_rows, 1000)
    cases = {name: SHOWN[name] for name in sizes.cases}
    for hidden in sizes.nets:
        for dtype in ("float32", "float64"):
            cases[f"{digits.name}, {'-'.join(map(str, hidden))}, {dtype}"] = images(hidden, dtype, sizes.epochs)
    cases |= {PREFIX + name: SMALL[name] for name in sizes.small}
    folder = Path(run.processes.enter_context(tempfile.TemporaryDirectory()))
    np.savez(folder / "digits.npz", X=digits.x_train, y=digits.y_train)
    started: dict[str, Process] = {}

    def fit(library: str, case: Case) -> dict[str, Any]:
        if library not in started:
            arguments = ("speed.drop_in_cases", "Estimators", library, str(folder / "digits.npz"))
            process = Process(*arguments, environment=libraries.best_environment())
            started[library] = run.processes.enter_context(closing(process))
            fit(library, SHOWN["iris"])  # loads what the library needs
        time.sleep(PAUSE)
        return started[library].call("fit", case=asdict(case), parameters=str(folder / f"{library}.npz"))

    def job(name: str, case: Case) -> Job:
        configuration = {**asdict(case), "rounds": sizes.rounds}
        if case.source == "images":
            configuration |= {"digits": digits.name, "rows": len(digits.x_train)}
        measure = lambda: compare(lambda library: fit(library, case), folder, sizes.rounds)  # noqa: E731
        return Job(configuration, measure, lambda result: {"drop_in": [_row(name, result)]})

    return [job(*item) for item in cases.items()]


def compare(fit: Callable[[str], dict[str, Any]], folder: Path, rounds: int) -> dict[str, Any]:
    """Both libraries' seconds of each round, and the last fits' other values."""
    seconds: dict[str, list[float]] = {OURS: [], THEIRS: []}
    for _ in range(rounds):
        fits = {library: fit(library) for library in seconds}
        for library, outcome in fits.items():
            seconds[library].append(outcome["seconds"])
    return {
        "rows": fits[OURS]["rows"],
        "scores": {library: outcome["score"] for library, outcome in fits.items()},
        "epochs": {library: outcome["epochs"] for library, outcome in fits.items()},
        "difference": _difference(folder / f"{OURS}.npz", folder / f"{THEIRS}.npz"),
        "seconds": seconds,
    }


def _difference(ours: Path, theirs: Path) -> float:
    """The largest of a parameter, relative to the parameter or to a thousandth of the largest of its array."""
    with np.load(ours) as a, np.load(theirs) as b:
        return max(
            float((np.abs(a[name] - b[name]) / np.maximum(np.abs(b[name]), 1e-3 * np.abs(b[name]).max())).max())
            for name in b
        )


def _row(name: str, result: dict[str, Any]) -> Row:
    ours, theirs = (np.array(result["seconds"][library]) for library in (OURS, THEIRS))
    return {
        "data": name,
        "rows": result["rows"],
        "score_scikit_learn": float(f"{result['scores'][THEIRS]:.6g}"),
        "score_fastmlp": float(f"{result['scores'][OURS]:.6g}"),
        "epochs_scikit_learn": result["epochs"][THEIRS],
        "epochs_fastmlp": result["epochs"][OURS],
        "difference": float(rounded_up(result["difference"], 2)),
        "seconds_scikit_learn": float(f"{np.median(theirs):.4g}"),
        "seconds_fastmlp": float(f"{np.median(ours):.4g}"),
        "ratio": round(float(np.median(theirs / ours)), 3),
    }


def models(table: Table) -> list[Row]:
    """A model that is in the table twice, as "iris" and "small: iris", counts once."""
    return list({row["data"].removeprefix(PREFIX): row for row in table.rows()}.values())


def doubles(table: Table) -> list[Row]:
    return [row for row in models(table) if not row["data"].endswith("float32")]


def numbers(t: Tables) -> dict[str, Any]:
    table = t["drop_in"]
    small = np.array([name.startswith(PREFIX) for name in table["data"]])
    return {
        "doubles": len(doubles(table)),
        "bound": max(row["difference"] for row in doubles(table)),
        "models": len(models(table)),
        "same_epochs": sum(row["epochs_scikit_learn"] == row["epochs_fastmlp"] for row in models(table)),
        "ratios": table["ratio"][~small],
        "small": sum(small),
        "min_ratio": rounded_down(table["ratio"][small].min()),
    }


def figures(t: Tables) -> dict[str, Any]:
    rounds = {
        row["data"]: np.array(result["seconds"][THEIRS]) / np.array(result["seconds"][OURS])
        for row, result in zip(t["drop_in"].rows(), t.results)
        if not row["data"].startswith(PREFIX)
    }
    return {"drop_in": draw(rounds)}


def draw(rounds: dict[str, np.ndarray]) -> Drawing:
    """How many times as long scikit-learn takes in each round, data set by data set."""
    drawing, axes = panels(1, 1, (8.4, 1.2 + 0.34 * len(rounds)))
    ax = axes[0, 0]
    for row, ratios in enumerate(rounds.values()):
        ax.plot([ratios.min(), ratios.max()], [row, row], color=BLUE, linewidth=1.2)
        ax.plot([np.median(ratios)], [row], color=BLUE, marker="o", markersize=7, linestyle="none")
    ax.axvline(1, color=GREY, linewidth=0.9, linestyle=":")
    ax.set(xscale="log", xlabel="seconds of scikit-learn's fit / seconds of fastmlp's: median, smallest to largest")
    ax.set_yticks(range(len(rounds)), list(rounds))
    ax.set_ylim(len(rounds) - 0.5, -0.5)
    low, high = ax.get_xlim()
    ax.set_xlim(min(low, 0.9), high)
    plain_ticks(ax.xaxis, ticks_between(*ax.get_xlim(), (1, 1.5, 2, 3, 5, 7)))
    return drawing
