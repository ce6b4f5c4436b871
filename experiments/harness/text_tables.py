"""The tables of README.md, docs/ and experiments/README.md, from the committed results."""

from collections.abc import Iterable, Sequence

import numpy as np
from learning import architecture, batch_size, best_net, regression, regularization, single_runs
from report import experiments
from speed import bfloat16 as products
from speed.speed_vs_rivals import OURS, OURS_ALONE

from harness.number_text import constant_since, duration, percent, significant
from harness.section import answer, text_of
from harness.tables import Table, committed

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
    measured = f"{means}, means of {len(runs[128])} seeds; if you train each width once, you see the order 512 > 128 > 254 in {chance} of cases, by chance"
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
        [
            row["library"],
            row["version"],
            f"{row['disk_mb']} MB",
            duration(row["import_seconds"]),
            f"{row['memory_mb']} MB",
        ]
        for row in committed("footprint/footprint.csv").rows()
    ]
    return table(["library", "version", "on disk", "import", "memory after the import"], rows)
