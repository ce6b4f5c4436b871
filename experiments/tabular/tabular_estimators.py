"""On twelve tables: how do fastmlp's tabular estimators compare with boosted trees and with other nets, and in what time?

Each fit runs in a process of its own and is kept, so a run can be interrupted and continued.
"""

import importlib.util
from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from harness.jobs import Job
from harness.number_text import counted, duration, listing, significant
from harness.run import Run, Sizes
from harness.tables import Row, Tables
from matplotlib.figure import Figure as Drawing

from tabular import data
from tabular.comparison import Comparison, means_of_known, medians_of_known
from tabular.fits import fit
from tabular.methods import FASTMLP, METHODS, ORIGINALS, REFERENCE, SCIKIT_LEARN, TREES
from tabular.page_tables import one_thread, summary, views, winners
from tabular.pareto import Point, draw

__all__ = ["SIZES", "figures", "jobs", "notices", "numbers", "views"]  # what `harness.section` uses

OTHERS = tuple(name for name, row in METHODS.items() if row.family in (TREES, SCIKIT_LEARN))
QUICK = ("fastmlp RealMLP-TD-S", "fastmlp RealMLP-TD", *OTHERS)
SLOW_SETS = ("magic", "satimage", "california", "elevators")  # of methods that are fitted to fewer sets, and less often
TWO_THREADS = ("adult", "satimage", "california")

SIZES = Sizes(
    seconds=(10, 250, 120000),
    sets=(("satimage",), ("adult", "satimage", "california"), data.SETS),
    slow_sets=((), (), SLOW_SETS),
    slow_seeds=((), (), (0, 1, 2)),
    two_threads=((), (), TWO_THREADS),  # sets, with the first seed
    methods=(("fastmlp RealMLP-TD-S", "LightGBM", "HistGradientBoosting"), QUICK, tuple(METHODS)),
    seeds=((0,), (0, 1), (0, 1, 2, 3, 4)),
    max_rows=(400, 2000, None),
)


def notices() -> list[str]:
    if not importlib.util.find_spec("pandas"):
        return ["pandas is not installed: nothing is compared (pip install pandas)."]
    if data.folder() is None:
        return [
            f"{data.VARIABLE} names no folder with {data.SETS[0]}.csv.gz and the other tables: nothing is compared."
        ]
    missing = [name for name, method in METHODS.items() if not method.installed]
    return [f"Not installed, or not for this processor, and without a row: {listing(missing)}."] if missing else []


def jobs(run: Run, sizes: SimpleNamespace) -> list[Job]:
    """All methods on a split before the next one, so that what is there after an interruption can be compared."""
    if not importlib.util.find_spec("pandas") or data.folder() is None:
        return []
    methods = [name for name in sizes.methods if METHODS[name].installed]

    def of(threads: int, seeds: Iterable[int], sets: Sequence[str]) -> list[Job]:
        return [
            job(method, name, seed, threads)
            for seed in seeds
            for name in sets
            for method in methods
            if not METHODS[method].slow or (name in sizes.slow_sets and seed in sizes.slow_seeds)
        ]

    def job(method: str, name: str, seed: int, threads: int) -> Job:
        named = {"method": method, "set": name, "seed": seed, "threads": threads}
        version = {"version": METHODS[method].versions}
        return Job(
            {**named, **version, "max_rows": sizes.max_rows},
            lambda: fit(method, name, seed, threads, sizes.max_rows),
            lambda result: {"fits": [{**named, **version, **_row(result)}]},
        )

    return [*of(1, sizes.seeds, sizes.sets), *of(2, sizes.seeds[:1], sizes.two_threads)]


def _row(result: dict[str, Any]) -> Row:
    """A regression has no log loss."""
    digits = {"error": 6, "log_loss": 6, "fit_seconds": 4, "predict_seconds": 4}
    values = {
        name: float(f"{result[name]:.{n}g}") if result.get(name) is not None else None for name, n in digits.items()
    }
    return {"rows": result["rows"], **values}


def numbers(t: Tables) -> dict[str, Any]:
    if "fits" not in t.tables:
        return {"answer": "No full run has been made yet."}
    fits = one_thread(t)
    compared = Comparison.of(fits)
    rows = summary(t, compared)
    decided = [row for row in winners(compared) if row["verdict"]]
    lost = [row for row in decided if row["ratio"] > 1]
    partial = [row["method"] for row in rows if not row["complete"]]
    return {
        "answer": _answer(compared, rows, counted(len(fits.distinct("seed")), "split")),
        "sets": counted(len(compared.sets), "table"),
        "train": 1 - data.VALIDATION_SHARE - data.TEST_SHARE,
        "validation": data.VALIDATION_SHARE,
        "test": data.TEST_SHARE,
        "splits": counted(len(fits.distinct("seed")), "split"),
        "reference": REFERENCE,
        "trees_win": _trees_win(len(decided), lost),
        "partial": f"On fewer tables or splits, and therefore without a rank: {listing(partial)}. Their ratios and normalised errors compare with what the others reach on the same splits."
        if partial
        else "",
        "slow_seeds": counted(len(t.sizes.slow_seeds), "seed"),
        "versions": listing(sorted({part for text in fits.distinct("version") for part in text.split(", ")})),
        "max_rows": "all" if t.sizes.max_rows is None else f"{t.sizes.max_rows} of each table, by chance",
        "two_threads": listing(t.sizes.two_threads) if t.sizes.two_threads else "no table",
    }


def _trees_win(tables: int, lost: Sequence[Row]) -> str:
    """Of the tables that both were fitted to, those of the trees."""
    if not tables:
        return "None of fastmlp's estimators was fitted."
    text = f"The best of the trees has a smaller error than the best of fastmlp's on {len(lost)} of {counted(tables, 'table')}"
    parts = [f"{row['set']} ({row['ours']} has {row['verdict']} than {row['trees']})" for row in lost]
    return f"{text}: {listing(parts)}." if parts else f"{text}."


def _answer(compared: Comparison, rows: Sequence[Row], splits: str) -> str:
    """Of fastmlp's methods, of the originals and of the best trees: error over the reference's, and seconds."""
    shown = [row for row in rows if METHODS[row["method"]].family == FASTMLP or row["method"] in ORIGINALS.values()]
    trees = [row for row in rows if METHODS[row["method"]].family == TREES and row["method"] != REFERENCE]
    parts = []
    for row in [*shown, *trees[:1]]:
        remarks = [] if np.isnan(row["fit_seconds"]) else [f"{duration(row['fit_seconds'])} a fit"]
        remarks += (
            []
            if row["complete"]
            else [f"{row['sets']} of the tables", f"{row['splits']} split{'s' * (row['splits'] != '1')}"]
        )
        remark = f" ({', '.join(remarks)})" if remarks else ""
        parts.append(f"{row['method']} {significant(row['ratio'], 2)}{remark}")
    if not parts or REFERENCE not in compared.methods:
        return f"{REFERENCE} or what is to be compared with it was not fitted."
    reference = next(row for row in rows if row["method"] == REFERENCE)
    return (
        f"Errors over those of {REFERENCE}'s defaults ({duration(reference['fit_seconds'])} a fit), geometric means over "
        f"{counted(len(compared.sets), 'table')} and means over {splits}, on one thread: {'; '.join(parts)}."
    )


def figures(t: Tables) -> dict[str, Drawing]:
    compared = Comparison.of(one_thread(t))
    errors, seconds = means_of_known(compared.normalised()), medians_of_known(compared.fit_seconds)
    points = [
        Point(method, METHODS[method].family, float(seconds[i]), float(errors[i]), bool(compared.complete[i]))
        for i, method in enumerate(compared.methods)
        if not np.isnan(seconds[i])
    ]
    return {"pareto": draw(points)}
