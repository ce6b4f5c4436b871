"""Does training with products in bfloat16 cost accuracy?"""

import importlib.util
from types import SimpleNamespace
from typing import Any

import fastmlp
import numpy as np
from fastmlp import DataFileError, datasets
from harness.digits import Digits
from harness.jobs import Job
from harness.nets import train
from harness.number_text import listing
from harness.run import Run, Sizes
from harness.tables import Row, Tables
from tabular import data as tables
from tabular import fits, nets

from learning.architecture import MINI_BATCH, RULES, layer_sizes
from learning.architecture_figures import REPORT_NETS

FLOAT32 = "float32"
FASHION = "Fashion-MNIST"
FASHION_NETS = ("128", "512-384")

SIZES = Sizes(
    seconds=(5, 60, 6000),
    train_rows=(600, 5000, 60000),
    test_rows=(200, 2000, 10000),
    mnist_nets=(("128",), ("128", "512-384"), REPORT_NETS),
    fashion_nets=((), (), FASHION_NETS),
    epochs=(2, 5, 5),
    sets=((), (), ("satimage", "letter", "magic", "california", "elevators", "pol")),
    table_epochs=(1, 1, 64),
    seeds=(2, 2, 10),
)


def precision() -> str:
    """The one whose products this processor has; otherwise one that it emulates, with the same results."""
    return "bfloat16_amx" if fastmlp.show_config("dicts")["bfloat16_amx"] == "native" else "bfloat16"


def _fashion() -> Digits | None:
    try:
        return Digits(FASHION, *datasets.load_fashion_mnist())
    except DataFileError:
        return None


def _has_tables() -> bool:
    return importlib.util.find_spec("pandas") is not None and tables.folder() is not None


def notices() -> list[str]:
    return [] if _has_tables() else [f"{tables.VARIABLE} names no folder with the tables: only images are learnt."]


def jobs(run: Run, sizes: SimpleNamespace) -> list[Job]:
    """Both precisions of a net side by side."""
    images = [(run.digits(sizes.train_rows, sizes.test_rows), sizes.mnist_nets)]
    fashion = _fashion() if sizes.fashion_nets else None
    images += [(fashion, sizes.fashion_nets)] if fashion else []
    found = []
    for seed in range(sizes.seeds):
        for digits, names in images:
            for hidden in names:
                pair = [
                    (
                        {"data": digits.name, "net": hidden, "precision": kind},
                        {"layer_sizes": layer_sizes(hidden), **RULES[MINI_BATCH], **_settings(kind)},
                    )
                    for kind in (FLOAT32, precision())
                ]
                split = digits.first(len(digits.x_train))  # nothing is chosen
                found.append(train(digits, split, pair, sizes.epochs, seed, final=("images", "test_accuracy")))
        if _has_tables():
            found += [_job_of_table(name, kind, seed, sizes) for name in sizes.sets for kind in (FLOAT32, precision())]
    return found


def _settings(kind: str) -> dict[str, str]:
    return {} if kind == FLOAT32 else {"precision": kind}


def _job_of_table(name: str, kind: str, seed: int, sizes: SimpleNamespace) -> Job:
    named = {"set": name, "precision": kind, "seed": seed}
    return Job(
        {**named, "epochs": sizes.table_epochs},
        lambda: table_error(name, kind, seed, sizes.table_epochs),
        lambda result: {"tables": [{**named, "error": float(f"{result:.6g}")}]},
    )


def table_error(name: str, kind: str, seed: int, epochs: int) -> float:
    """On the test rows, of RealMLP-TD-S: the error rate or the root mean squared error."""
    X, y, classes = tables.read(name)
    rows = tables.split(y, seed, stratified=bool(classes))
    parts, validation, (X_test, y_test) = ((X.iloc[part].reset_index(drop=True), y[part]) for part in rows)
    problem = tables.Problem(*parts, *validation, classes, seed, fastmlp.show_config("dicts")["threads"])
    predict = nets.fastmlp(problem, "RealMLP", variant="TD-S", n_epochs=epochs, **_settings(kind))
    return fits.errors(predict(X_test), y_test, classes)["error"]


def pairs(t: Tables) -> list[Row]:
    """Of each net and table: the mean errors, and their difference over its standard error, that of the seeds."""
    lines = []
    for (data, net), part in t["images"].groups("data", "net").items():
        accuracy = {name: 1 - each["test_accuracy"] for name, each in part.groups("precision").items()}
        lines.append({"data": data, "net": f"784-{net}-10", **_compared(accuracy)})
    of_tables = t["tables"].groups("set") if "tables" in t.tables else {}
    for name, part in of_tables.items():
        error = {kind: each["error"] for kind, each in part.groups("precision").items()}
        lines.append({"data": name, "net": "RealMLP-TD-S", **_compared(error)})
    return lines


def _compared(errors: dict[str, np.ndarray]) -> Row:
    exact, rounded = errors[FLOAT32], next(values for name, values in errors.items() if name != FLOAT32)
    deviation = np.sqrt((exact.var(ddof=1) + rounded.var(ddof=1)) / len(exact))
    return {
        "float32": float(exact.mean()),
        "bfloat16": float(rounded.mean()),
        "relative": float(rounded.mean() / exact.mean() - 1),
        "deviations": float((rounded.mean() - exact.mean()) / deviation) if deviation > 0 else 0.0,
    }


def numbers(t: Tables) -> dict[str, Any]:
    found = pairs(t)
    distances = np.abs([row["deviations"] for row in found])
    beyond = [f"{row['net']} on {row['data']} ({row['relative']:+.1%})" for row in found if abs(row["deviations"]) >= 1]
    return {
        "pairs": len(found),
        "within": int((distances < 1).sum()),
        "within_two": int((distances < 2).sum()),
        "others": f"The others are {listing(beyond)}." if beyond else "There are no others.",
        "mean": float(np.mean([row["relative"] for row in found])),
        "worst": float(max(row["relative"] for row in found)),
        "precision": next(name for name in t["images"].distinct("precision") if name != FLOAT32),
    }


def views(t: Tables) -> dict[str, list[Row]]:
    return {"pairs": [{**row, "digits": _digits_of(row)} for row in pairs(t)]}


def _digits_of(row: Row) -> str:
    """Both errors: rates in per cent, or in units of the target."""
    is_rate = row["net"] != "RealMLP-TD-S" or row["data"] in tables.CLASSIFICATION
    return " / ".join(f"{row[name]:.2%}" if is_rate else f"{row[name]:.4g}" for name in ("float32", "bfloat16"))
