"""Runs every experiment and gathers them into one page: report/index.html, with the results beside it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path

from campaign import PRESETS, Campaign, parse_command_line
from page import write_page
from section import Section

EXPERIMENTS = (
    "batch_size",
    "regularization",
    "architecture",
    "regression",
    "learning_rate",
    "single_runs",
    "best_net",
    "speed_vs_rivals",
    "multicore",
    "drop_in",
    "larger_than_memory",
    "machines",
)
"""Modules of this folder with a function ``run(campaign) -> Section``, in the order of the page."""

TITLE = "Multilayer perceptrons on handwritten digits"
INTRODUCTION = (
    "A course report asked how batch size, penalties and architecture decide what a multilayer perceptron learns. Here its "
    "experiments are run again with fastmlp, with several seeds, and each of its statements stands beside what was measured."
)


def main(arguments: Sequence[str] | None = None) -> Path:
    campaign = parse_command_line(__doc__, arguments)
    sections = [importlib.import_module(name).run(campaign) for name in EXPERIMENTS]
    return _write(campaign, "index.html", sections)


def run_alone(run: Callable[[Campaign], Section], description: str, arguments: Sequence[str] | None = None) -> Path:
    """The command line of one experiment; its page is <output>/<experiment>.html."""
    campaign = parse_command_line(description, arguments)
    section = run(campaign)
    return _write(campaign, f"{section.name}.html", [section])


def _write(campaign: Campaign, name: str, sections: Sequence[Section]) -> Path:
    path = campaign.output / name
    write_page(path, TITLE, [INTRODUCTION, f"Preset: {campaign.preset} ({PRESETS[campaign.preset]})."], sections)
    campaign.say("done")
    print(path)
    return path


if __name__ == "__main__":
    main()
