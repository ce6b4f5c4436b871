"""The tables of README.md, docs/ and experiments/README.md, from the committed results."""

import re
from collections.abc import Iterable, Sequence

import numpy as np
from learning import architecture, batch_size, best_net, regression, regularization, single_runs
from report import experiments
from speed import bfloat16 as products
from speed.speed_vs_rivals import OURS, OURS_ALONE

from harness.number_text import constant_since, duration, in_bytes, percent, significant, span
from harness.section import answer, text_of
from harness.tables import ROOT, Row, Table, committed

SMALLER, LARGER = "784-128-10", "784-512-384-10"
OTHERS = ("JAX", "PyTorch", "scikit-learn", "NumPy")
OPTIMIZERS = {"sgd": "", "adam": ", Adam"}
DATA = {"random": "", "MNIST": ", real MNIST", "make_digits": ", drawn digits"}


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows))


def answers() -> str:
    """A row for each experiment."""
    rows = []
    for name, module in experiments().items():
        script = f"{module.__name__.replace('.', '/')}.py"
        rows.append((text_of(module).question, f"[`{name}`]({script})", answer(module)))
    return table(("question", "script", "answer"), rows)


def findings() -> str:
    """What the report says, and what was measured."""
    rows = [_collapse(), _best_architecture(), _widths(), _best_net(), *_regression()]
    return table(("question", "the report", "measured here"), rows)


def batch_sizes() -> str:
    """The ends of the curves: a row for each batch size under each rule, beside what the report says."""
    curves = committed("batch_size/curves.csv")
    said = {
        batch_size.ONE_UPDATE: ("per epoch", "about 0.325", "about 0.9"),
        batch_size.MINI_BATCH: ("per batch", "", ""),
    }
    rows = []
    for rule, (update, loss, accuracy) in said.items():
        last = curves.where(rule=rule, epoch=curves["epoch"].max())
        for size in batch_size.REPORT_SIZES:
            measured_loss = significant(last.mean("loss", batch_size=size), 2)
            measured_accuracy = percent(last.mean("val_accuracy", batch_size=size))
            rows.append((update, str(size), loss, measured_loss, accuracy, measured_accuracy))
    epochs = curves["epoch"].max()
    measured = (f"training loss, {epochs} epochs", "accuracy, report", f"test accuracy, {epochs} epochs")
    return table(("one update", "batch size", "loss, report", *measured), rows)


def _collapse() -> Sequence[str]:
    curves = committed("regularization/report_rule.csv")
    epochs, per_batch = regularization.accuracy_curve(curves, "per_batch", "l2", regularization.LARGE)
    _, once = regularization.accuracy_curve(curves, "once", "l2", regularization.LARGE)
    highest, since = per_batch.argmax(), constant_since(per_batch, percent)
    return (
        "L2 at λ = 0.005",
        "rises to about 60 %, falls to about 10 %",
        f"penalty added per mini-batch: accuracy rises to {percent(per_batch[highest], 0)} in epoch {epochs[highest]} "
        f"and is {percent(per_batch[-1])} from epoch {epochs[since]} on; added once per update: {percent(once[-1], 0)}",
    )


def _best_architecture() -> Sequence[str]:
    nets = committed("architecture/nets.csv").where(rule=architecture.MINI_BATCH)
    chosen = max(architecture.REPORT_NETS, key=lambda hidden: nets.mean("val_accuracy", hidden=hidden))
    accuracy = percent(nets.mean("test_accuracy", hidden=chosen), 2)
    return (
        "The best architecture",
        "512-384",
        f"mini-batch SGD, chosen by validation: {chosen}, {accuracy} on the test images",
    )


def _widths() -> Sequence[str]:
    runs = single_runs.runs_of(committed("single_runs/runs.csv"), architecture.ONE_UPDATE)
    means = ", ".join(f"{percent(runs[width].mean(), 2)} ({width})" for width in sorted(runs))
    chance = percent(single_runs.chance_of_order(runs, single_runs.REPORTED), 0)
    measured = f"{means}, means of {len(runs[128])} seeds; with one run per width, chance alone gives the order 512 > 128 > 254 in {chance} of cases"
    return "Widths of one hidden layer", "ranking from single runs: 512 best, then 128, then 254", measured


def _best_net() -> Sequence[str]:
    name, nets = best_net.chosen(committed("best_net/candidates.csv"))
    accuracy = percent(nets["test_accuracy"].mean(), 2)
    measured = f"{name.replace('L2 ', 'L2 of ')}: {accuracy} on the test images, mean of {len(nets)} seeds"
    return "The best net, chosen by validation", "", measured


def _regression() -> list[Sequence[str]]:
    groups = committed("regression/regression.csv").groups("points")
    rows = []
    for points, reported in reversed(regression.REPORT_ERRORS.items()):
        errors = groups[points]["test_error"]
        measured = f"median {np.median(errors):.1e} over {len(errors)} seeds"
        rows.append((f"Regression from {points} points, test MSE", f"{reported:g}", measured))
    return rows


def speed() -> str:
    """Milliseconds and shares of the peak, and how many times as long others take."""
    cases = committed("speed_vs_rivals/speed.csv").groups("case").values()
    header = ("net", "batch", "ms per epoch", "share of the peak", "gain of 2 threads", *OTHERS)
    return table(header, map(_speed_row, cases))


def _speed_row(case: Table) -> Sequence[str]:
    ours = case.row(library=OURS)
    times = dict(zip(case["library"].tolist(), case["times_fastmlp"].tolist()))
    fewer = "" if ours["rows"] == 60000 else f" ({ours['rows']} rows)"
    return (
        ours["net"] + OPTIMIZERS[ours["optimizer"]] + DATA[ours["data"]],
        str(ours["batch"]),
        f"{ours['ms_per_epoch']:.3g}{fewer}",
        percent(ours["share_of_peak"], 0),
        f"{times[OURS_ALONE]:.2f}",
        *(f"{times[name]:.1f}" if name in times else "" for name in OTHERS),
    )


def bfloat16() -> str:
    """Milliseconds in float32, and of each library and precision the times of fastmlp's in float32."""
    cases = committed("bfloat16/speed.csv").groups("case").values()
    kinds = products.ALL_KINDS
    rows = []
    for case in cases:
        times = {(row["library"], row["precision"]): row["times_float32"] for row in case.rows()}
        ms = case.row(library=OURS, precision="float32")["ms_per_epoch"]
        cells = [significant(times[kind], 2) if kind in times else "" for kind in kinds if kind != (OURS, "float32")]
        rows.append([case["net"][0], str(case["batch"][0]), f"{ms:.0f}", *cells])
    names = [f"{library}, {precision}" for library, precision in kinds]
    return table(["net", "batch", "ms, fastmlp, float32", *names[1:]], rows)


def footprint() -> str:
    rows = [
        [row["library"], row["version"], *_sizes_and_import(row)] for row in committed("footprint/footprint.csv").rows()
    ]
    return table(["library", "version", *SIZES_AND_IMPORT], rows)


SIZES_AND_IMPORT = "on disk", "import", "memory after the import"


def _sizes_and_import(row: Row) -> Sequence[str]:
    return f"{row['disk_mb']} MB", duration(row["import_seconds"]), f"{row['memory_mb']} MB"


def _before_training(libraries: Iterable[str]) -> list[Sequence[str]]:
    """Rows of the footprint, with a column for each of these libraries; one that was not measured has empty cells."""
    measured = {row["library"]: row for row in committed("footprint/footprint.csv").rows()}
    columns = [_sizes_and_import(measured[name]) if name in measured else ("",) * 3 for name in libraries]
    return list(zip(SIZES_AND_IMPORT, *columns))


def _epochs(libraries: Iterable[str]) -> list[Sequence[str]]:
    speed, rows = committed("speed_vs_rivals/speed.csv"), []
    for net in (SMALLER, LARGER):
        of_net = speed.where(net=net, batch=128, data="random", optimizer="sgd")
        seconds = [of_net.row(library=name)["ms_per_epoch"] / 1e3 for name in libraries]
        rows.append([f"an epoch of {of_net['rows'][0]} images, {net}, batches of 128", *map(duration, seconds)])
    return rows


def accuracy_reached() -> str:
    """By every run of both libraries: a bound from below, in whole per cent."""
    return f"{np.floor(100 * committed('speed_vs_rivals/time_to_accuracy.csv')['test_accuracy'].min()):.0f} %"


def seconds_to_accuracy(library: str) -> str:
    runs = committed("speed_vs_rivals/time_to_accuracy.csv").where(library=library)
    return f"{significant(float(np.median(runs['seconds'])), 2)} s"


def rivals() -> str:
    """A column for each library, and a row for each measurement in which several of them take part."""
    names = (OURS, "scikit-learn", "PyTorch", "JAX", "NumPy")
    cases = committed("speed_vs_rivals/speed.csv")
    over_ours = [
        span(cases.where(library=name)["times_fastmlp"], lambda ratio: significant(ratio, 2)) for name in names[1:]
    ]
    fits = span(committed("drop_in/drop_in.csv")["ratio"], lambda ratio: significant(ratio, 2))
    reached = f"784-128-10 to {accuracy_reached()} accuracy on the MNIST test images"
    rows = [
        *_epochs(names),
        ["time of an epoch over that of fastmlp, all cases", "1", *over_ours],
        [reached, seconds_to_accuracy(OURS), "", seconds_to_accuracy("PyTorch"), "", ""],
        ["time of `fit` over that of fastmlp's estimators", "1", fits, "", "", ""],
        [*_one_row(), "", "", ""],
        *_before_training(names),
    ]
    return table(["", *names], rows)


def _one_row() -> Sequence[str]:
    """A prediction by the estimators of fastmlp and of scikit-learn."""
    row = committed("predict/predict.csv").row(net="20-100-1", dtype="float64", rows=1)
    seconds = [duration(row[f"{name}_ms"] / 1e3) for name in ("fastmlp", "scikit_learn")]
    return [f"`predict` of one row, {row['net']}, {row['dtype']}", *seconds]


def costs_pytorch() -> str:
    theirs, ours = lines_of_programs("from_pytorch.md")
    names = ("PyTorch", OURS)
    reached = f"784-128-10 to {accuracy_reached()} accuracy on the MNIST test images"
    rows = [
        ["lines of the program", theirs, ours],
        *_epochs(names),
        [reached, *map(seconds_to_accuracy, names)],
        *_before_training(names),
    ]
    return table(["", *names], rows)


def costs_keras() -> str:
    """Keras loads one of its backends, so that it costs more than that one alone."""
    theirs, ours = lines_of_programs("from_keras.md")
    rows = [
        [what, f"more than {pytorch}", f"more than {jax}", own]
        for what, pytorch, jax, own in _before_training(("PyTorch", "JAX", OURS))
    ]
    header = ["", "Keras with PyTorch", "Keras with JAX", OURS]
    return table(header, [["lines of the program", theirs, theirs, ours], *rows])


def costs_sklearn() -> str:
    fits, rows = committed("drop_in/drop_in.csv"), []
    for net, hidden in ((SMALLER, "128"), (LARGER, "512-384")):
        for dtype in ("float32", "float64"):
            fit = fits.row(data=f"MNIST, {hidden}, {dtype}")
            seconds = [duration(fit[f"seconds_{name}"]) for name in ("scikit_learn", "fastmlp")]
            rows.append([f"{fit['epochs_fastmlp']} epochs of MNIST, {net}, {dtype}", *seconds])
    what, ours, theirs = _one_row()
    return table(["", "scikit-learn", OURS], [*rows, [what, theirs, ours], *_before_training(("scikit-learn", OURS))])


def lines_of_programs(page: str) -> list[str]:
    """Of the first two programs of a guide, the other library's and that of fastmlp, without empty lines."""
    text = (ROOT / "docs" / "guides" / page).read_text(encoding="utf-8")
    programs = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)[:2]
    return [str(sum(bool(line.strip()) for line in program.splitlines())) for program in programs]


def predictions() -> str:
    """How many times as long scikit-learn takes, in rows of one net and type."""
    rows = []
    for (net, dtype), part in committed("predict/predict.csv").groups("net", "dtype").items():
        one, hundred, many = part.rows()
        ratios = [significant(row["ratio"], 2) for row in (one, hundred, many)]
        rows.append([net, dtype, duration(one["fastmlp_ms"] / 1e3), *ratios[:2], f"{ratios[2]} ({many['rows']} rows)"])
    return table(["net", "type", "fastmlp, 1 row", "ratio, 1 row", "ratio, 100 rows", "ratio, many rows"], rows)


def training_memory() -> str:
    """Beyond the images."""
    peaks, rows = committed("batch_size/memory.csv"), []
    for batch in peaks.distinct("batch_size"):
        cells = [peaks.row(trainer=name, batch_size=batch)["peak_bytes_beyond_data"] for name in ("fastmlp", "numpy")]
        rows.append([str(batch), *map(in_bytes, cells)])
    return table(["batch", OURS, "NumPy"], rows)
