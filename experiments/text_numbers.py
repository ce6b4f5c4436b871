"""Writes the measured numbers and tables of README.md and docs/ from the committed results: python experiments/text_numbers.py

A text marks what is written as `<!--name-->3.5<!--/-->`: a comment of HTML before it and one after it, which no page
shows. `VALUES` holds a function for each name. Nothing is measured here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import parallel_ways as ways
import text_tables
from committed_results import ROOT, Rows, numbers, penalty_curve, read, row
from multicore import GAINED
from wording import constant_since, in_bytes, percent, rounded_up, significant, span

MARKED = re.compile(r"<!--(\w+)-->(.*?)<!--/-->", re.DOTALL)
BEGINS_LINE = re.compile(r"(?:\A|\n)[ >*+-]*(?:\d+\. *)?\Z")  # also the line of a quotation or of a list
SMALLER, LARGER = "784-128-10", "784-512-384-10"


def drop_in_models() -> Rows:
    """A model that is in the table twice, as "iris" and "small: iris", counts once."""
    return list({row["data"].removeprefix("small: "): row for row in read("drop_in/drop_in.csv")}.values())


def drop_in_doubles() -> Rows:
    return [row for row in drop_in_models() if not row["data"].endswith("float32")]


def drop_in_small() -> np.ndarray:
    """How many times as long scikit-learn takes, for all but images."""
    return np.array([float(row["ratio"]) for row in drop_in_models() if "float" not in row["data"]])


def drop_in(hidden: str, dtype: str) -> str:
    return significant(float(row("drop_in/drop_in.csv", data=f"MNIST, {hidden}, {dtype}")["ratio"]), 2)


def riddle_highest() -> str:
    epochs, accuracy = penalty_curve("per_batch", "l2", "0.005")
    return f"{percent(accuracy.max(), 0)} in epoch {epochs[accuracy.argmax()]}"


def riddle_end() -> str:
    epochs, accuracy = penalty_curve("per_batch", "l2", "0.005")
    return f"{percent(accuracy[-1])} from epoch {epochs[constant_since(accuracy, percent)]} on"


def riddle_once() -> str:
    epochs, accuracy = penalty_curve("once", "l2", "0.005")
    return f"{percent(accuracy[-1], 0)} after {epochs[-1]} epochs"


def riddle_seeds() -> str:
    return str(len({row["seed"] for row in read("regularization/report_rule.csv", norm="l2", strength="0.005")}))


def share_of_peak(library: str = "fastmlp", **case: str) -> str:
    found = row("speed_vs_rivals/speed.csv", library=library, optimizer="sgd", **case)
    return percent(float(found["share_of_peak"]), 0)


def seconds_to_accuracy(library: str) -> str:
    seconds = numbers(read("speed_vs_rivals/time_to_accuracy.csv", library=library), "seconds")
    return f"{significant(float(np.median(seconds)), 2)} s"


def accuracy_reached() -> str:
    """By every run of both libraries: a bound from below, in whole per cent."""
    return f"{np.floor(100 * numbers(read('speed_vs_rivals/time_to_accuracy.csv'), 'test_accuracy').min()):.0f} %"


def accuracy_seeds() -> str:
    return str(len({row["seed"] for row in read("speed_vs_rivals/time_to_accuracy.csv")}))


def gain_of_threads(way: str) -> str:
    return f"{np.median(numbers(read('multicore/ways.csv', way=way, threads='2'), 'gain')):.2f}"


def batch_from_which_both_cores_work(nets: Sequence[str]) -> str:
    """The smallest batch from which on two threads gain enough in batches of any size, for each of these nets."""
    found = []
    for net in nets:
        rows = sorted(read("multicore/multicore.csv", net=net, threads="2"), key=lambda row: int(row["batch"]))
        idle = [i for i, row in enumerate(rows) if float(row["gain"]) < GAINED]
        found.append(int(rows[max(idle, default=-1) + 1]["batch"]))
    return str(max(found))


def larger_nets() -> list[str]:
    return sorted({row["net"] for row in read("multicore/multicore.csv")} - {SMALLER})


def speed_from_file(way: str, **case: str) -> str:
    rows = read("larger_than_memory/larger_than_memory.csv", **case)
    return span(numbers(rows, f"{way}_speed"), lambda value: f"{100 * value:.0f}") + " %"


def speed_of_ranks(batch_size: str) -> str:
    return span(numbers(read("machines/machines.csv", batch_size=batch_size), "ratio"), "{:.2f}".format)


def bytes_of_gradient(net: str) -> str:
    return in_bytes(numbers(read("machines/machines.csv", net=net), "gradient_bytes").max())


VALUES: dict[str, Callable[[], str]] = {
    "findings": lambda: f"\n{text_tables.findings()}\n",
    "speed": lambda: f"\n{text_tables.speed()}\n",
    "drop_in_models": lambda: str(len(drop_in_doubles())),
    "drop_in_bound": lambda: rounded_up(numbers(drop_in_doubles(), "difference").max()),
    "drop_in_small": lambda: str(len(drop_in_small())),
    "drop_in_small_range": lambda: span(drop_in_small(), lambda ratio: significant(ratio, 2)),
    "drop_in_small_median": lambda: significant(float(np.median(drop_in_small())), 2),
    "drop_in_float32": lambda: drop_in("128", "float32"),
    "drop_in_float64": lambda: drop_in("128", "float64"),
    "drop_in_larger_float32": lambda: drop_in("512-384", "float32"),
    "drop_in_larger_float64": lambda: drop_in("512-384", "float64"),
    "riddle_highest": riddle_highest,
    "riddle_end": riddle_end,
    "riddle_once": riddle_once,
    "riddle_seeds": riddle_seeds,
    "peak": lambda: share_of_peak(net=SMALLER, batch="128", data="random"),
    "peak_larger": lambda: share_of_peak(net=LARGER, batch="128", data="random"),
    "peak_single_rows": lambda: share_of_peak(net=SMALLER, batch="1", data="random"),
    "peak_mnist": lambda: share_of_peak(net=SMALLER, batch="128", data="MNIST"),
    "peak_mnist_alone": lambda: share_of_peak("fastmlp, 1 thread", net=SMALLER, batch="128", data="MNIST"),
    "accuracy_reached": accuracy_reached,
    "accuracy_seeds": accuracy_seeds,
    "accuracy_seconds": lambda: seconds_to_accuracy("fastmlp"),
    "accuracy_seconds_pytorch": lambda: seconds_to_accuracy("PyTorch"),
    "cores_batch": lambda: batch_from_which_both_cores_work([SMALLER]),
    "cores_batch_larger": lambda: batch_from_which_both_cores_work(larger_nets()),
    "threads_gain": lambda: gain_of_threads(ways.RELEASED),
    "threads_gain_lock": lambda: gain_of_threads(ways.HELD),
    "stream_larger": lambda: speed_from_file("stream", net=LARGER),
    "stream_bytes": lambda: speed_from_file("stream", net=SMALLER, dtype="uint8"),
    "stream_float32": lambda: speed_from_file("stream", net=SMALLER, dtype="float32"),
    "stream_of_one_block": lambda: speed_from_file("stream_of_one_block"),
    "gradient": lambda: bytes_of_gradient(SMALLER),
    "gradient_larger": lambda: bytes_of_gradient(LARGER),
    "ranks_256": lambda: speed_of_ranks("256"),
    "ranks_1024": lambda: speed_of_ranks("1024"),
}


def texts() -> list[Path]:
    return [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def rewritten(text: str) -> str:
    """The text with what it marks made anew.

    Raises
    ------
    ValueError
        If a comment is no part of a mark, if a mark has a name without a value, or if a number's mark begins a line: Markdown
        takes such a line for HTML and shows its links and code as they are written.
    """
    for found in MARKED.finditer(text):
        name, old = found.groups()
        if name not in VALUES:
            raise ValueError(f"a mark must have one of the names {', '.join(VALUES)}, got {name!r}")
        if not old.startswith("\n") and BEGINS_LINE.search(text[: found.start()]):
            raise ValueError(f"the mark {name!r} must not begin a line")
    if "<!--" in MARKED.sub(lambda found: found[2], text):
        raise ValueError("each mark must begin with <!--name--> and end with <!--/--> before the next begins")
    return MARKED.sub(lambda found: f"<!--{found[1]}-->{VALUES[found[1]]()}<!--/-->", text)


def main() -> None:
    for path in texts():
        path.write_text(rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
