"""What an experiment hands to the page: a section of claims, parts, figures and tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPRODUCED, IN_PART, EXPLAINED, CONTRADICTED, UNTESTED = (
    "reproduced",
    "in part",
    "explained",
    "contradicted",
    "not tested",
)
"""Verdicts on a claim of the report. Explained: what it saw has another reason, or holds under a condition that it does not name."""


@dataclass(frozen=True)
class Claim:
    """One statement of the report beside what was measured."""

    statement: str
    verdict: str  # one of those above
    finding: str
    hypothesis: bool = False  # said before its experiment, not concluded from it


@dataclass(frozen=True)
class Figure:
    image: Path  # SVG or PNG, stands in the page
    picture: Path  # PNG of the same, for other uses
    caption: str
    alt: str  # what a person sees who looks at the figure
    data: Sequence[Path]  # the files it was drawn from


@dataclass(frozen=True)
class Table:
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Part:
    """A step of the argument: what was found, and what shows it."""

    title: str
    paragraphs: Sequence[str]
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()


@dataclass(frozen=True)
class Section:
    name: str  # of the experiment: its folder, its anchor in the page
    title: str
    question: str
    summary: Sequence[str]
    claims: Sequence[Claim]
    parts: Sequence[Part]
    setup: dict[str, str]  # the configuration, for people
    data: Sequence[Path]  # all result files
    environments: Sequence[dict[str, Any]]
    notices: Sequence[str] = field(default=())  # what a reader must know before any number
    report_figures: Sequence[Claim] = field(default=())  # the report's figures on this question: what each shows
