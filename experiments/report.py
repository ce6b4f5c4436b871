"""Runs every experiment and gathers them into one page: report/index.html, with the results beside it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path

from page import write_page
from section import Section
from session import PRESETS, Session, parse_command_line

EXPERIMENTS = ("batch_size", "speed")
"""Modules of this folder with a function ``run(session) -> Section``, in the order of the page."""

TITLE = "Multilayer perceptrons on handwritten digits"
INTRODUCTION = (
    "A course report asked how batch size, penalties and architecture decide what a multilayer perceptron learns. Here its "
    "experiments are run again with fastmlp, with several seeds, and each of its statements stands beside what was measured."
)


def main(arguments: Sequence[str] | None = None) -> Path:
    session = parse_command_line(__doc__, arguments)
    sections = [importlib.import_module(name).run(session) for name in EXPERIMENTS]
    return _write(session, "index.html", sections)


def run_alone(run: Callable[[Session], Section], description: str, arguments: Sequence[str] | None = None) -> Path:
    """The command line of one experiment; its page is <output>/<experiment>.html."""
    session = parse_command_line(description, arguments)
    section = run(session)
    return _write(session, f"{section.name}.html", [section])


def _write(session: Session, name: str, sections: Sequence[Section]) -> Path:
    path = session.output / name
    write_page(path, TITLE, [INTRODUCTION, f"Preset: {session.preset} ({PRESETS[session.preset]})."], sections)
    session.say("done")
    print(path)
    return path


if __name__ == "__main__":
    main()
