"""Writes the measured numbers and tables of README.md, CHANGELOG.md, docs/ and experiments/README.md from the committed results.

A text marks what is written as `<!--name-->3.5<!--/-->`: a comment of HTML before it and one after it, which no page
shows. `VALUES` holds a function for each name. Nothing is measured here.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from learning.regularization import LARGE, accuracy_curve
from speed import drop_in, multicore
from speed import python_threads as methods
from tabular.comparison import Comparison
from tabular.methods import REFERENCE

from harness import text_tables
from harness.number_text import constant_since, in_bytes, percent, rounded_up, significant, span
from harness.tables import ROOT, committed

MARKED = re.compile(r"<!--(\w+)-->(.*?)<!--/-->", re.DOTALL)
BEGINS_LINE = re.compile(r"(?:\A|\n)[ >*+-]*(?:\d+\. *)?\Z")  # also the line of a quotation or of a list
SMALLER, LARGER = "784-128-10", "784-512-384-10"
DROP_IN, PENALTIES = "drop_in/drop_in.csv", "regularization/report_rule.csv"
RECIPE, CORES, RANKS = "speed_vs_rivals/time_to_accuracy.csv", "multicore/multicore.csv", "machines/machines.csv"
TABLES = "tabular_estimators/fits.csv"


def drop_in_small() -> list[float]:
    """How many times as long scikit-learn takes, for all but images."""
    return [row["ratio"] for row in drop_in.models(committed(DROP_IN)) if "float" not in row["data"]]


def drop_in_images(hidden: str, dtype: str) -> str:
    return significant(committed(DROP_IN).row(data=f"MNIST, {hidden}, {dtype}")["ratio"], 2)


def penalized(counted: str) -> tuple[np.ndarray, np.ndarray]:
    """Epochs and accuracies of the report's net that collapses."""
    return accuracy_curve(committed(PENALTIES), counted, "l2", LARGE)


def collapse_highest() -> str:
    epochs, accuracy = penalized("per_batch")
    return f"{percent(accuracy.max(), 0)} in epoch {epochs[accuracy.argmax()]}"


def collapse_end() -> str:
    epochs, accuracy = penalized("per_batch")
    return f"{percent(accuracy[-1])} from epoch {epochs[constant_since(accuracy, percent)]} on"


def collapse_once() -> str:
    epochs, accuracy = penalized("once")
    return f"{percent(accuracy[-1], 0)} after {epochs[-1]} epochs"


def seeds(table: str, **wanted: object) -> str:
    return str(len(committed(table).where(**wanted).distinct("seed")))


def share_of_peak(library: str = "fastmlp", **case: object) -> str:
    speed = committed("speed_vs_rivals/speed.csv")
    return percent(speed.row(library=library, optimizer="sgd", **case)["share_of_peak"], 0)


def seconds_to_accuracy(library: str) -> str:
    runs = committed(RECIPE).where(library=library)
    return f"{significant(float(np.median(runs['seconds'])), 2)} s"


def batch_from_which_both_cores_work(nets: Iterable[str]) -> str:
    """The smallest batch from which on two threads gain enough in batches of any size, for each of these nets."""
    first_batches = []
    for net in nets:
        table = committed(CORES).where(net=net, threads=2)
        order = np.argsort(table["batch"])
        idle = np.flatnonzero(table["gain"][order] < multicore.GAINED)
        first_batches.append(int(table["batch"][order][max(idle, default=-1) + 1]))
    return str(max(first_batches))


def gain_of_cores(net: str) -> str:
    """How many times as fast two threads are as one, in batches of 128 rows."""
    return f"{committed(CORES).row(net=net, batch=128, threads=2)['gain']:.2f}"


def larger_networks() -> set[str]:
    """Those of images, but for the smallest one."""
    return {net for net in committed(CORES).distinct("net") if net.startswith("784-")} - {SMALLER}


def speed_from_file(source: str, **case: object) -> str:
    speeds = committed("larger_than_memory/larger_than_memory.csv").where(**case)[f"{source}_speed"]
    return span(speeds, lambda value: f"{100 * value:.0f}") + " %"


def gain_of_threads(method: str) -> str:
    return f"{multicore.gains_of_methods(committed('multicore/ways.csv').where(threads=2))[method]:.2f}"


def error_over_reference(method: str) -> str:
    """The geometric mean over the tables."""
    found = Comparison.of(committed(TABLES).where(threads=1))
    return significant(float(found.geometric_means(REFERENCE)[found.methods.index(method)]), 2)


VALUES: dict[str, Callable[[], str]] = {
    "answers": lambda: f"\n{text_tables.answers()}\n",
    "findings": lambda: f"\n{text_tables.findings()}\n",
    "speed": lambda: f"\n{text_tables.speed()}\n",
    "drop_in_models": lambda: str(len(drop_in.doubles(committed(DROP_IN)))),
    "drop_in_bound": lambda: rounded_up(max(row["difference"] for row in drop_in.doubles(committed(DROP_IN)))),
    "drop_in_small": lambda: str(len(drop_in_small())),
    "drop_in_small_range": lambda: span(drop_in_small(), lambda ratio: significant(ratio, 2)),
    "drop_in_small_median": lambda: significant(float(np.median(drop_in_small())), 2),
    "drop_in_float32": lambda: drop_in_images("128", "float32"),
    "drop_in_float64": lambda: drop_in_images("128", "float64"),
    "drop_in_larger_float32": lambda: drop_in_images("512-384", "float32"),
    "drop_in_larger_float64": lambda: drop_in_images("512-384", "float64"),
    "riddle_highest": collapse_highest,
    "riddle_end": collapse_end,
    "riddle_once": collapse_once,
    "riddle_seeds": lambda: seeds(PENALTIES, norm="l2", strength=LARGE),
    "peak": lambda: share_of_peak(net=SMALLER, batch=128, data="random"),
    "peak_larger": lambda: share_of_peak(net=LARGER, batch=128, data="random"),
    "peak_single_rows": lambda: share_of_peak(net=SMALLER, batch=1, data="random"),
    "peak_mnist": lambda: share_of_peak(net=SMALLER, batch=128, data="MNIST"),
    "peak_mnist_alone": lambda: share_of_peak("fastmlp, 1 thread", net=SMALLER, batch=128, data="MNIST"),
    # By every run of both libraries: a bound from below, in whole per cent.
    "accuracy_reached": lambda: f"{np.floor(100 * committed(RECIPE)['test_accuracy'].min()):.0f} %",
    "accuracy_seeds": lambda: seeds(RECIPE),
    "accuracy_seconds": lambda: seconds_to_accuracy("fastmlp"),
    "accuracy_seconds_pytorch": lambda: seconds_to_accuracy("PyTorch"),
    "cores_batch": lambda: batch_from_which_both_cores_work([SMALLER]),
    "cores_batch_larger": lambda: batch_from_which_both_cores_work(larger_networks()),
    "cores_gain": lambda: gain_of_cores(SMALLER),
    "cores_gain_larger": lambda: gain_of_cores(LARGER),
    "threads_gain": lambda: gain_of_threads(methods.RELEASED),
    "threads_gain_lock": lambda: gain_of_threads(methods.HELD),
    "stream_larger": lambda: speed_from_file("stream", net=LARGER),
    "stream_bytes": lambda: speed_from_file("stream", net=SMALLER, dtype="uint8"),
    "stream_float32": lambda: speed_from_file("stream", net=SMALLER, dtype="float32"),
    "stream_of_one_block": lambda: speed_from_file("stream_of_one_block"),
    "tables_splits": lambda: seeds(TABLES),
    "tables_realmlp": lambda: error_over_reference("fastmlp RealMLP-TD-S"),
    "tables_catboost": lambda: error_over_reference("CatBoost TD"),
    "tables_xgboost": lambda: error_over_reference("XGBoost TD"),
    "tables_lightgbm": lambda: error_over_reference("LightGBM TD"),
    "tables_sklearn": lambda: error_over_reference("scikit-learn MLP"),
    "gradient": lambda: in_bytes(committed(RANKS).where(net=SMALLER)["gradient_bytes"][0]),
    "gradient_larger": lambda: in_bytes(committed(RANKS).where(net=LARGER)["gradient_bytes"][0]),
    "ranks_256": lambda: span(committed(RANKS).where(batch_size=256)["ratio"], "{:.2f}".format),
    "ranks_1024": lambda: span(committed(RANKS).where(batch_size=1024)["ratio"], "{:.2f}".format),
}


def texts() -> list[Path]:
    names = ("README.md", "CHANGELOG.md", "experiments/README.md")
    return [*(ROOT / name for name in names), *sorted((ROOT / "docs").rglob("*.md"))]


def rewritten(text: str) -> str:
    """The text with the current values of its marks.

    Raises
    ------
    ValueError
        If a comment is no part of a mark, if a mark has a name without a value, or if a number's mark begins a line: Markdown
        takes such a line for HTML and shows its links and code as they are written.
    """
    for match in MARKED.finditer(text):
        name, old = match.groups()
        if name not in VALUES:
            raise ValueError(f"a mark must have one of the names {', '.join(VALUES)}, got {name!r}")
        if not old.startswith("\n") and BEGINS_LINE.search(text[: match.start()]):
            raise ValueError(f"the mark {name!r} must not begin a line")
    if "<!--" in MARKED.sub(lambda match: match[2], text):
        raise ValueError("each mark must begin with <!--name--> and end with <!--/--> before the next begins")
    return MARKED.sub(lambda match: f"<!--{match[1]}-->{VALUES[match[1]]()}<!--/-->", text)


def main() -> None:
    for path in texts():
        path.write_text(rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")
