"""Writes the tables of README.md from the committed result tables: python experiments/readme_tables.py"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from architecture_measurements import REPORT_NETS, name_of
from single_runs import REPORTED, chance_of_order
from wording import significant

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "experiments" / "results"
RIVALS = ("JAX", "PyTorch", "scikit-learn", "NumPy")

Rows = list[dict[str, str]]


def read(name: str) -> Rows:
    with (RESULTS / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def numbers(rows: Rows, column: str, **wanted: str) -> np.ndarray:
    return np.array([float(row[column]) for row in rows if all(row[name] == value for name, value in wanted.items())])


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows))


def percent(value: float, decimals: int = 1) -> str:
    return f"{100 * value:.{decimals}f} %"


def findings() -> str:
    """What the report says, and what was measured."""
    return table(
        ("question", "the report", "measured here"),
        [*_batch_size(), _riddle(), _best_architecture(), _widths(), _best_net(), *_regression()],
    )


def _batch_size() -> list[Sequence[str]]:
    rows = read("batch_size/curves.csv")
    last = str(max(int(row["epoch"]) for row in rows))
    found = []
    for rule, said in (
        ("one update per epoch", "loss about 0.325, accuracy about 0.9, alike for all"),
        ("mini-batch", ""),
    ):
        ends = {
            size: (
                numbers(rows, "loss", rule=rule, batch_size=size, epoch=last).mean(),
                numbers(rows, "val_accuracy", rule=rule, batch_size=size, epoch=last).mean(),
            )
            for size in ("128", "1024", "60000")
        }
        numbers_of = "; ".join(
            f"{size}: {significant(loss, 2)}, {percent(accuracy)}" for size, (loss, accuracy) in ends.items()
        )
        update = "per batch" if rule == "mini-batch" else "per epoch"
        found.append(
            (
                f"Batches of 128, 1024, 60000; one update {update}, {last} epochs",
                said,
                f"training loss, test accuracy {numbers_of}",
            )
        )
    return found


def _riddle() -> Sequence[str]:
    rows = read("regularization/report_rule.csv")

    def curve(counted: str) -> np.ndarray:
        own = [row for row in rows if (row["counted"], row["norm"], row["strength"]) == (counted, "l2", "0.005")]
        epochs = sorted({int(row["epoch"]) for row in own})
        return np.array([numbers(own, "val_accuracy", epoch=str(epoch)).mean() for epoch in epochs])

    once, per_batch = curve("once"), curve("per_batch")
    return (
        "L2 at λ = 0.005",
        "rises to about 60 %, falls to about 10 %",
        f"counted once per mini-batch: {percent(per_batch.max(), 0)}, then {percent(per_batch[-1])}; counted once: {percent(once[-1], 0)}",
    )


def _best_architecture() -> Sequence[str]:
    rows = [row for row in read("architecture/nets.csv") if row["rule"] == "mini-batch"]
    nets = map(name_of, REPORT_NETS)
    chosen = max(nets, key=lambda hidden: numbers(rows, "val_accuracy", hidden=hidden).mean())
    accuracy = numbers(rows, "test_accuracy", hidden=chosen).mean()
    return (
        "The best architecture",
        "512-384",
        f"mini-batch SGD, chosen by validation: {chosen}, {percent(accuracy, 2)} on the test images",
    )


def _widths() -> Sequence[str]:
    rows = read("single_runs/runs.csv")
    runs = {width: numbers(rows, "test_accuracy", rule="one update per epoch", width=str(width)) for width in REPORTED}
    means = ", ".join(f"{percent(runs[width].mean(), 2)} ({width})" for width in sorted(runs))
    return (
        "Widths of one hidden layer",
        "512 before 128 before 254, from one run each",
        f"{means}, means of {len(runs[REPORTED[0]])} seeds; single runs give the report's order {percent(chance_of_order(runs, REPORTED), 0)} of the time",
    )


def _best_net() -> Sequence[str]:
    rows = [row for row in read("best_net/candidates.csv") if row["test_accuracy"]]
    return (
        "The best net, chosen by validation",
        "",
        f"{rows[0]['hidden']}, L2 of {rows[0]['l2']}: {percent(numbers(rows, 'test_accuracy').mean(), 2)} on the test images, mean of {len(rows)} seeds",
    )


def _regression() -> list[Sequence[str]]:
    rows = read("regression/regression.csv")
    said = {"1000": "0.00573", "100": "0.0135"}
    return [
        (
            f"Regression from {points} points, test MSE",
            error,
            f"median {np.median(numbers(rows, 'test_error', points=points)):.1e} over {len(numbers(rows, 'test_error', points=points))} seeds",
        )
        for points, error in said.items()
    ]


def speed() -> str:
    """Milliseconds and shares of the peak, and how many times as long others take."""
    cases: dict[str, dict[str, dict[str, str]]] = defaultdict(dict)
    for row in read("speed_vs_rivals/speed.csv"):
        cases[row["case"]][row["library"]] = row
    rows = []
    for case, libraries in cases.items():
        own = libraries["fastmlp"]
        what = {"A, Adam": ", Adam", "A, digits": ", real MNIST"}.get(case, "")
        fewer = "" if own["rows"] == "60000" else f" ({own['rows']} rows)"
        rows.append(
            (
                own["net"] + what,
                own["batch"],
                f"{float(own['ms_per_epoch']):.3g}{fewer}",
                percent(float(own["share_of_peak"]), 0),
                f"{float(libraries['fastmlp, 1 thread']['times_fastmlp']):.2f}",
                *(f"{float(libraries[name]['times_fastmlp']):.1f}" if name in libraries else "" for name in RIVALS),
            )
        )
    return table(("net", "batch", "ms per epoch", "share of the peak", "gain of 2 threads", *RIVALS), rows)


TABLES: dict[str, Callable[[], str]] = {"findings": findings, "speed": speed}


def with_tables(readme: str) -> str:
    """The text with each table between its two marks made anew."""
    for name, make in TABLES.items():
        marks = f"<!-- {name} -->\n", "\n<!-- end -->"
        pattern = re.escape(marks[0]) + r".*?" + re.escape(marks[1])
        if not re.search(pattern, readme, re.DOTALL):
            raise ValueError(
                f"README.md must have a place for the table {name!r}, between {marks[0]!r} and {marks[1]!r}"
            )
        readme = re.sub(pattern, lambda _, text=make(): marks[0] + text + marks[1], readme, flags=re.DOTALL)
    return readme


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(with_tables(path.read_text(encoding="utf-8")), encoding="utf-8")
