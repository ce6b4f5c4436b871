"""The tables of README.md, from the committed result tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from architecture_measurements import REPORT_NETS, name_of
from committed_results import numbers, penalty_curve, read
from single_runs import REPORTED, chance_of_order
from wording import constant_since, percent, significant

RIVALS = ("JAX", "PyTorch", "scikit-learn", "NumPy")
BATCH_SIZES = ("128", "1024", "60000")  # of the report
OPTIMIZERS = {"sgd": "", "adam": ", Adam"}
DATA = {"random": "", "MNIST": ", real MNIST", "make_digits": ", drawn digits"}


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows))


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
            for size in BATCH_SIZES
        }
        numbers_of = "; ".join(
            f"{size}: {significant(loss, 2)}, {percent(accuracy)}" for size, (loss, accuracy) in ends.items()
        )
        update = "per batch" if rule == "mini-batch" else "per epoch"
        found.append(
            (
                f"Batches of {', '.join(BATCH_SIZES)}; one update {update}, {last} epochs",
                said,
                f"training loss, test accuracy {numbers_of}",
            )
        )
    return found


def _riddle() -> Sequence[str]:
    epochs, per_batch = penalty_curve("per_batch", "l2", "0.005")
    _, once = penalty_curve("once", "l2", "0.005")
    highest, since = per_batch.argmax(), constant_since(per_batch, percent)
    return (
        "L2 at λ = 0.005",
        "rises to about 60 %, falls to about 10 %",
        f"counted once per mini-batch: {percent(per_batch[highest], 0)} in epoch {epochs[highest]}, "
        f"{percent(per_batch[-1])} from epoch {epochs[since]} on; counted once: {percent(once[-1], 0)}",
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
    for libraries in cases.values():
        own = libraries["fastmlp"]
        fewer = "" if own["rows"] == "60000" else f" ({own['rows']} rows)"
        rows.append(
            (
                own["net"] + OPTIMIZERS[own["optimizer"]] + DATA[own["data"]],
                own["batch"],
                f"{float(own['ms_per_epoch']):.3g}{fewer}",
                percent(float(own["share_of_peak"]), 0),
                f"{float(libraries['fastmlp, 1 thread']['times_fastmlp']):.2f}",
                *(f"{float(libraries[name]['times_fastmlp']):.1f}" if name in libraries else "" for name in RIVALS),
            )
        )
    return table(("net", "batch", "ms per epoch", "share of the peak", "gain of 2 threads", *RIVALS), rows)
