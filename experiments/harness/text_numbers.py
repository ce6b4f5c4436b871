"""Writes the measured numbers and tables of README.md, CHANGELOG.md, docs/ and experiments/README.md from the committed results.

A text marks what is written as `<!--name-->3.5<!--/-->`: a comment of HTML before it and one after it, which no page
shows. `VALUES` holds a function for each name. Nothing is measured here.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from learning import precision
from learning.regularization import LARGE, accuracy_curve
from speed import bfloat16 as products
from speed import drop_in, multicore, nautilus
from speed import python_threads as methods
from tabular import page_tables
from tabular.comparison import Comparison
from tabular.methods import REFERENCE

from harness import text_tables
from harness.number_text import constant_since, counted, in_bytes, percent, rounded_up, significant, span
from harness.tables import ROOT, Table, committed, committed_tables
from harness.text_tables import LARGER, SMALLER

MARKED = re.compile(r"<!--(\w+)-->(.*?)<!--/-->", re.DOTALL)
BEGINS_LINE = re.compile(r"(?:\A|\n)[ >*+-]*(?:\d+\. *)?\Z")  # also the line of a quotation or of a list
DROP_IN, PENALTIES = "drop_in/drop_in.csv", "regularization/report_rule.csv"
RECIPE, CORES, RANKS = "speed_vs_rivals/time_to_accuracy.csv", "multicore/multicore.csv", "machines/machines.csv"
TABLES, SAMPLER = "tabular_estimators/fits.csv", "nautilus/nautilus.csv"
TINY, OF_TABLES = "30-100-2", ("54-100-50-2", "64-128-128-10")
LARGE_BATCH = 256  # rows: from here on, batches are called large where 16 cores are described


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


def two_digits(value: float) -> str:
    return significant(value, 2)


def on_16_cores(name: str) -> Table:
    return committed(f"multicore_16_cores/{name}.csv")


def many_threads(column: str, nets: Iterable[str], large: bool = True, threads: int = 16) -> list[float]:
    """The values of these nets in large or in small batches."""
    rows = on_16_cores("multicore").where(threads=threads).rows()
    return [row[column] for row in rows if row["net"] in nets and (row["batch"] >= LARGE_BATCH) == large]


def gains_of_16(nets: Iterable[str], large: bool) -> str:
    return span(many_threads("gain", nets, large), two_digits)


def shares_of_16_cores(threads: int) -> str:
    shares = many_threads("share_of_peak", (SMALLER, LARGER), threads=threads)
    return span(shares, lambda share: f"{100 * share:.0f}") + " %"


def cases_in_which_16_threads_are_slower_than(threads: int) -> str:
    """One row of the table for each case and number of threads, in the same order of cases."""
    few, all_of_them = (on_16_cores("multicore").where(threads=count)["gain"] for count in (threads, 16))
    return f"{np.sum(all_of_them < few)} of the {len(few)} cases"


def batches_that_are_faster_with(library: str) -> list[int]:
    """Of 16 cores, case by case, as in the function above."""
    ours, rival = on_16_cores("multicore").where(threads=16), on_16_cores("rivals").where(library=library)
    return rival["batch"][rival["gain"] > ours["gain"]].tolist()


def many_cores() -> str:
    """Every other batch size; other libraries as in the table of training steps."""
    table, rivals = on_16_cores("multicore"), on_16_cores("rivals")
    threads, names = table.distinct("threads"), rivals.distinct("library")
    rows = []
    for net, batches in ((net, part.distinct("batch")) for net, part in table.groups("net").items()):
        for case in ({"net": net, "batch": batch} for batch in batches[::2]):
            gains = {count: table.row(threads=count, **case)["gain"] for count in threads}
            share = table.row(threads=threads[-1], **case)["share_of_peak"]
            over_ours = [gains[threads[-1]] / rivals.row(library=name, **case)["gain"] for name in names]
            texts = [two_digits(gain) for count, gain in gains.items() if count > 1]
            rows.append([net, str(case["batch"]), *texts, percent(share, 0), *map(two_digits, over_ours)])
    gained = [f"gain of {count} threads" for count in threads[1:]]
    return text_tables.table(["net", "batch", *gained, "share of the peak", *names], rows)


def beside_a_gpu() -> str:
    epochs, gpu = on_16_cores("epochs"), on_16_cores("gpu")
    libraries, rows = gpu.distinct("library"), []
    for net, batch in gpu.distinct("net", "batch"):
        ours = [epochs.row(net=net, batch=batch, threads=count)["ms"] for count in (1, 16)]
        others = [gpu.row(net=net, batch=batch, library=name)["ms"] for name in libraries]
        rows.append([net, str(batch), *map(two_digits, (*ours, *others))])
    header = ["net", "batch", "fastmlp, 1 thread", "fastmlp, 16 threads", *(f"{name}, GPU" for name in libraries)]
    return text_tables.table(header, rows)


def peaks_of_one_thread() -> str:
    """What four of five measurements lie between."""
    peaks = on_16_cores("peaks").row(threads=1)
    return span([peaks["gflops_10_percent"], peaks["gflops_90_percent"]], "{:.0f}".format) + " GFLOP/s"


def gain_of_16_python_threads(method: str) -> str:
    return two_digits(multicore.gains_of_methods(on_16_cores("ways"))[method])


def gain_of_whole_epochs(**case: object) -> str:
    epochs = on_16_cores("epochs").where(**case)
    return span(epochs.where(threads=1)["ms"] / epochs.where(threads=16)["ms"], two_digits)


def error_over_reference(method: str) -> str:
    """The geometric mean over the tables."""
    found = Comparison.of(committed(TABLES).where(threads=1))
    return significant(float(found.geometric_means(REFERENCE)[found.methods.index(method)]), 2)


def of_method(method: str) -> Table:
    return committed(TABLES).where(method=method, threads=1)


def times_of_originals(*methods: str) -> str:
    """How many times as long the packages take that these methods reproduce, from set to set."""
    fits = committed(TABLES).where(threads=1)
    of_sets = [page_tables.pairs(fits, method, name) for method in methods for name in fits.distinct("set")]
    times = [page_tables.times_as_long(of_set) for of_set in of_sets]
    return span([ratio for ratio in times if not np.isnan(ratio)], two_digits)


def mean_error(method: str, name: str) -> float:
    return float(of_method(method).where(set=name)["error"].mean())


def over_bfloat16(library: str) -> str:
    """How many times as long the library's training in bfloat16 takes as fastmlp's, from case to case."""
    ratios = products.best(committed("bfloat16/speed.csv")).values()
    return span([of_case[library] / of_case["fastmlp"] for of_case in ratios], two_digits)


def accuracy_in_bfloat16(name: str) -> str:
    """Of the nets and tables: all, or those whose errors in both precisions differ by less than a standard error."""
    return str(precision.numbers(committed_tables(precision))[name])


def gain_of_bfloat16() -> str:
    return span(
        [1 / of_case["fastmlp"] for of_case in products.best(committed("bfloat16/speed.csv")).values()], two_digits
    )


def of_sampler(part: str) -> str:
    """How many times as long a part of the sampler's runs takes with scikit-learn's nets."""
    return span(nautilus.ratios(committed(SAMPLER), part), two_digits)


def share_of_nets() -> str:
    """Of the sampler's time with scikit-learn's nets."""
    shares = nautilus.shares(committed(SAMPLER), nautilus.THEIRS)
    return span(shares, lambda share: f"{100 * share:.0f}") + " %"


VALUES: dict[str, Callable[[], str]] = {
    "answers": lambda: f"\n{text_tables.answers()}\n",
    "findings": lambda: f"\n{text_tables.findings()}\n",
    "batch_sizes": lambda: f"\n{text_tables.batch_sizes()}\n",
    "speed": lambda: f"\n{text_tables.speed()}\n",
    "bfloat16": lambda: f"\n{text_tables.bfloat16()}\n",
    "bfloat16_cases": lambda: accuracy_in_bfloat16("pairs"),
    "bfloat16_equal": lambda: accuracy_in_bfloat16("within"),
    "bfloat16_gain": gain_of_bfloat16,
    "bfloat16_pytorch": lambda: over_bfloat16("PyTorch"),
    "bfloat16_jax": lambda: over_bfloat16("JAX"),
    "rivals": lambda: f"\n{text_tables.rivals()}\n",
    "footprint": lambda: f"\n{text_tables.footprint()}\n",
    "training_memory": lambda: f"\n{text_tables.training_memory()}\n",
    "predictions": lambda: f"\n{text_tables.predictions()}\n",
    "costs_sklearn": lambda: f"\n{text_tables.costs_sklearn()}\n",
    "costs_pytorch": lambda: f"\n{text_tables.costs_pytorch()}\n",
    "costs_keras": lambda: f"\n{text_tables.costs_keras()}\n",
    "sampler_total": lambda: of_sampler("total"),
    "sampler_training": lambda: of_sampler("training"),
    "sampler_predictions": lambda: of_sampler("predictions"),
    "sampler_share": share_of_nets,
    "sampler_equal": lambda: f"{nautilus.equal(committed(SAMPLER))} of {seeds(SAMPLER)} runs",
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
    "accuracy_reached": text_tables.accuracy_reached,
    "accuracy_seeds": lambda: seeds(RECIPE),
    "accuracy_seconds": lambda: text_tables.seconds_to_accuracy("fastmlp"),
    "accuracy_seconds_pytorch": lambda: text_tables.seconds_to_accuracy("PyTorch"),
    "cores_batch": lambda: batch_from_which_both_cores_work([SMALLER]),
    "cores_batch_larger": lambda: batch_from_which_both_cores_work(larger_networks()),
    "cores_gain": lambda: gain_of_cores(SMALLER),
    "cores_gain_larger": lambda: gain_of_cores(LARGER),
    "threads_gain": lambda: gain_of_threads(methods.RELEASED),
    "threads_gain_lock": lambda: gain_of_threads(methods.HELD),
    "many_table": lambda: f"\n{many_cores()}\n",
    "many_gpu": lambda: f"\n{beside_a_gpu()}\n",
    "many_large": lambda: str(LARGE_BATCH),
    "many_small_batches": lambda: gains_of_16([SMALLER], large=False),
    "many_large_batches": lambda: gains_of_16([SMALLER], large=True),
    "many_larger_small_batches": lambda: gains_of_16([LARGER], large=False),
    "many_larger_large_batches": lambda: gains_of_16([LARGER], large=True),
    "many_tiny_small_batches": lambda: gains_of_16([TINY], large=False),
    "many_tiny_large_batches": lambda: gains_of_16([TINY], large=True),
    "many_tables_small_batches": lambda: gains_of_16(OF_TABLES, large=False),
    "many_tables_large_batches": lambda: gains_of_16(OF_TABLES, large=True),
    "many_gain_1024": lambda: two_digits(on_16_cores("multicore").row(net=SMALLER, batch=1024, threads=16)["gain"]),
    "many_epochs_1024": lambda: gain_of_whole_epochs(net=SMALLER, batch=1024),
    "many_epochs": gain_of_whole_epochs,
    "many_share": lambda: shares_of_16_cores(16),
    "many_share_alone": lambda: shares_of_16_cores(1),
    "many_peak_alone": peaks_of_one_thread,
    "many_slower": lambda: cases_in_which_16_threads_are_slower_than(8),
    "many_slower_than_one": lambda: cases_in_which_16_threads_are_slower_than(1),
    "many_pytorch": lambda: counted(len(batches_that_are_faster_with("PyTorch")), "case"),
    "many_pytorch_from": lambda: str(min(batches_that_are_faster_with("PyTorch"))),
    "many_jax": lambda: counted(len(batches_that_are_faster_with("JAX")), "case"),
    "many_numpy": lambda: counted(len(batches_that_are_faster_with("NumPy")), "case"),
    "many_threads_gain": lambda: gain_of_16_python_threads(methods.RELEASED),
    "many_threads_gain_lock": lambda: gain_of_16_python_threads(methods.HELD),
    "stream_larger": lambda: speed_from_file("stream", net=LARGER),
    "stream_bytes": lambda: speed_from_file("stream", net=SMALLER, dtype="uint8"),
    "stream_float32": lambda: speed_from_file("stream", net=SMALLER, dtype="float32"),
    "stream_of_one_block": lambda: speed_from_file("stream_of_one_block"),
    "tables_splits": lambda: seeds(TABLES),
    "tables_realmlp": lambda: error_over_reference("fastmlp RealMLP-TD-S"),
    "tables_realmlp_td": lambda: error_over_reference("fastmlp RealMLP-TD"),
    "tables_realmlp_ensemble": lambda: error_over_reference("fastmlp RealMLP-TD, 8 nets"),
    "tables_tabm": lambda: error_over_reference("fastmlp TabM in bfloat16"),
    "tables_bike_bfloat16": lambda: two_digits(
        mean_error("fastmlp RealMLP-TD-S in bfloat16", "bike") / mean_error("fastmlp RealMLP-TD-S", "bike")
    ),
    "tables_pytabkit": lambda: times_of_originals("fastmlp RealMLP-TD-S", "fastmlp RealMLP-TD"),
    "tables_pytabkit_bfloat16": lambda: times_of_originals(
        "fastmlp RealMLP-TD-S in bfloat16", "fastmlp RealMLP-TD in bfloat16"
    ),
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
