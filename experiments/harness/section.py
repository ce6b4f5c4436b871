"""What an experiment hands to the page: the claims of the report, and its text with numbers, figures and tables.

An experiment is a module with `SIZES` and functions of `Tables`: `jobs(run, sizes)` says what to measure,
`numbers(t)` what its text <module>.md names, and, as far as it has such, `views(t)` derived rows for tables of the
text, `figures(t)`, `holds(t)`, which of the report's claims hold, and `notices()`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from harness import figures
from harness.progress import Progress
from harness.run import Run, name_of
from harness.tables import Tables, committed_tables
from harness.text import Part, Text, block, fill

REPRODUCED, IN_PART, EXPLAINED, CONTRADICTED = "reproduced", "in part", "explained", "contradicted"
"""Verdicts on a claim. Explained: what the report saw has another reason, or holds under a condition that it does not name."""

TOO_SHORT = "too short to say"


@dataclass(frozen=True)
class Claim:
    """A statement of the report beside what a run has measured."""

    statement: str
    holds: bool | str | None  # True and False: REPRODUCED and CONTRADICTED; None: the run is too short to say
    finding: str
    kind: str = ""  # "figure": of the report; "hypothesis": said before the experiment instead of concluded from it

    @property
    def verdict(self) -> str:
        return {True: REPRODUCED, False: CONTRADICTED, None: TOO_SHORT}.get(self.holds, self.holds)  # type: ignore[arg-type]


def all_or_some(parts: Sequence[bool]) -> bool | str:
    """Whether a claim holds that has several parts."""
    return all(parts) or (IN_PART if any(parts) else False)


@dataclass(frozen=True)
class Comparison:
    """A claim by the committed full run and by this run."""

    full: Claim
    here: Claim
    conclusive: bool  # whether a disagreement means anything: a smaller run cannot contradict the full one

    @property
    def here_verdict(self) -> str:
        return self.here.verdict if self.conclusive or self.here.verdict == self.full.verdict else TOO_SHORT


@dataclass(frozen=True)
class Section:
    name: str
    title: str
    question: str
    answer: str  # of the committed full run
    comparisons: Sequence[Comparison]
    parts: Sequence[Part]
    configuration: Sequence[Sequence[str]]  # names and values
    images: dict[str, Path]  # of the figures
    files: Sequence[Path]
    notices: Sequence[str]


def text_of(experiment: ModuleType) -> Text:
    return Text.read(Path(experiment.__file__ or "").with_suffix(".md"))


def answer(experiment: ModuleType) -> str:
    return fill(text_of(experiment).answer, _numbers(experiment, committed_tables(experiment)))


def _numbers(experiment: ModuleType, t: Tables) -> dict[str, Any]:
    return {"sizes": t.sizes, "data": t.data, **experiment.numbers(t)}


def claims(experiment: ModuleType, t: Tables) -> list[Claim]:
    """The claims of the report in the order of the text."""
    text, numbers = text_of(experiment), _numbers(experiment, t)
    holds = experiment.holds(t) if text.claims else {}
    return [Claim(statement, holds[key], fill(finding, numbers), kind) for key, kind, statement, finding in text.claims]


def make_section(experiment: ModuleType, run: Run, progress: Progress | None = None) -> Section:
    text, full, here = text_of(experiment), committed_tables(experiment), run.tables(experiment, progress)
    folder = run.folder(experiment)
    comparisons: list[Comparison] = []
    parts, configuration, images = [], [], {}
    if here.tables:
        conclusive = run.preset == "full" and here.data == "MNIST"
        comparisons = [
            Comparison(*pair, conclusive) for pair in zip(claims(experiment, full), claims(experiment, here))
        ]
        numbers = {**_numbers(experiment, here), "full": _numbers(experiment, full)}
        tables = {**here.tables, **(experiment.views(here) if hasattr(experiment, "views") else {})}
        parts = [Part(title, [block(each, numbers, tables) for each in blocks]) for title, blocks in text.parts.items()]
        configuration = [fill(line, numbers).removeprefix("- ").split(": ", 1) for line in text.configuration]
        drawings = experiment.figures(here) if hasattr(experiment, "figures") else {}
        images = {name: figures.save(drawing, folder, name) for name, drawing in drawings.items()}
    return Section(
        name_of(experiment),
        text.title,
        text.question,
        answer(experiment),
        comparisons,
        parts,
        configuration,
        images,
        sorted(path for path in folder.iterdir() if path.suffix in (".csv", ".jsonl")),
        experiment.notices() if hasattr(experiment, "notices") else [],
    )
