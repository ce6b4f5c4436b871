"""Runs experiments and writes them into one page, report/index.html, with the results beside it.

python experiments/report.py --preset full batch_size    runs one of them; its page is report/batch_size.html
"""

import importlib
from collections.abc import Sequence
from pathlib import Path

from harness import figures
from harness.page import write_page
from harness.progress import Progress
from harness.run import PRESETS, name_of, parse_command_line
from harness.section import answer, make_section
from harness.tables import committed_tables

EXPERIMENTS = (
    *("learning.batch_size", "learning.regularization", "learning.architecture", "learning.regression"),
    *("learning.learning_rate", "learning.single_runs", "learning.best_net", "learning.precision"),
    *("speed.speed_vs_rivals", "speed.multicore", "speed.drop_in", "speed.predict"),
    *("speed.nautilus", "speed.bfloat16", "speed.footprint", "speed.larger_than_memory", "speed.machines"),
    "tabular.tabular_estimators",
)
"""Modules that `harness.section` describes, in the order of the page."""

FINDINGS = ("batch_size", "regularization", "architecture", "regression", "speed_vs_rivals")
HEADLINES = {
    "batch_size": "Accuracy by epoch: one curve for all batch sizes with one update per epoch, two higher ones with one per batch.",
    "regularization": "Accuracy by epoch with L2: it falls to chance if the penalty counts once per mini-batch, and stays high if once.",
}
TITLE = "Multilayer perceptrons on handwritten digits"
INTRODUCTION = (
    "A course report asked how batch size, penalties and architecture decide what a multilayer perceptron learns. fastmlp "
    "runs its experiments again, with several seeds. The findings of the full run:"
)


def experiments() -> dict:
    return {name_of(module): module for module in map(importlib.import_module, EXPERIMENTS)}


def main(arguments: Sequence[str] | None = None) -> Path:
    modules = experiments()
    run, names = parse_command_line(__doc__ or "", list(modules), arguments)
    progress = Progress({name: modules[name].SIZES[run.preset].seconds for name in names})
    sections = []
    for name in names:
        progress.begin(name)
        sections.append(make_section(modules[name], run, progress))
        progress.end()
    headlines = []
    for name in (name for name in HEADLINES if name in names):
        image = figures.save(
            modules[name].headline(committed_tables(modules[name])), run.folder(modules[name]), "headline"
        )
        headlines.append((image, HEADLINES[name]))
    findings = [(name, answer(modules[name])) for name in FINDINGS if name in names]
    path = run.output / ("index.html" if len(names) > 1 else f"{names[0]}.html")
    preset = f"This page: preset {run.preset} ({PRESETS[run.preset]}). {INTRODUCTION}"
    write_page(path, TITLE, preset, findings, headlines, sections, run)
    print(path)
    return path


if __name__ == "__main__":
    main()
