"""The Markdown text of an experiment, with `{name:format}` for each number.

    # Title                            then a paragraph with the question, and one with the answer of the full run
    ## Heading                         paragraphs, figures and tables
    ![What it shows](figure)           the caption follows
    [table by column; other=value]     the caption follows, then a Markdown table; its last line is that of each row
    ## Claims                          the report's: `- key (kind): statement`, and in the next line what was measured
    ## Configuration                   a list of `- Name: value`

A format is a chain of words, each a function of `FORMATS` or a format of Python: `{seconds:median duration}`.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness import number_text
from harness.tables import Row, Table

FORMATS: dict[str, Callable[[Any], Any]] = {
    **{"mean": np.mean, "median": np.median, "min": np.min, "max": np.max, "first": lambda values: values[0]},
    **{"last": lambda values: values[-1], "list": number_text.listing, "bytes": number_text.in_bytes},
    **{"duration": number_text.duration, "times": number_text.times},
    **{f"{noun}s": lambda n, noun=noun: number_text.counted(n, noun) for noun in ("epoch", "round", "seed", "thread")},
    **{f"range{n}": lambda values, n=n: number_text.mean_and_range(values, n) for n in (2, 3)},
    **{f"percents{n}": lambda values, n=n: number_text.mean_and_range(100 * values, n) for n in (1, 2)},
    **{f"span{n}": lambda values, n=n: number_text.span(values, lambda v: number_text.percent(v, n)) for n in (0, 1)},
    **{f"digits{n}": lambda value, n=n: number_text.significant(value, n) for n in (2, 3)},
    **{f"up{n}": lambda value, n=n: number_text.rounded_up(value, n) for n in (1, 2)},
}
FIGURE = re.compile(r"!\[(?P<alt>.*?)\]\((?P<name>\w+)\)\n(?P<caption>.*)", re.DOTALL)
TABLE = re.compile(
    r"\[(?P<name>\w+)(?: by (?P<by>[\w, ]+))?(?:; (?P<column>\w+)=(?P<value>.*))?\] (?P<caption>.*?)\n(?P<lines>\|.*)",
    re.DOTALL,
)


CLAIM = re.compile(r"- ([\w.-]+)(?: \((\w+)\))?: (.*)\n  (.*)")


class Formatter(string.Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        for word in format_spec.split():
            value = FORMATS[word](value) if word in FORMATS else format(value, word)
        return str(value)


def with_spaces(text: str) -> str:
    """With a space between a number and its sign of per cent."""
    return re.sub(r"(?<=\d)%", " %", text)


def fill(template: str, numbers: Mapping[str, Any]) -> str:
    return with_spaces(Formatter().vformat(template, (), numbers))


@dataclass(frozen=True)
class ShownTable:
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class ShownFigure:
    name: str
    alt: str
    caption: str


Block = str | ShownTable | ShownFigure  # a str is a paragraph


@dataclass(frozen=True)
class Part:
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Text:
    title: str
    question: str
    answer: str
    parts: Mapping[str, Sequence[str]]  # by heading, the templates of its blocks
    claims: Sequence[tuple[str, str, str, str]]  # key, kind, statement, template of the finding
    configuration: Sequence[str]  # lines of the list

    @classmethod
    def read(cls, path: Path) -> Text:
        head, *parts = re.split(r"^## ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        title, question, answer = head.strip().split("\n\n")
        split = {lines[0]: lines[1:] for lines in (part.strip().split("\n\n") for part in parts)}
        claims, (configuration,) = split.pop("Claims", [""]), split.pop("Configuration")
        parsed = CLAIM.findall("\n".join(claims))
        return cls(title.removeprefix("# "), question, answer, split, parsed, configuration.split("\n"))


def block(template: str, numbers: Mapping[str, Any], tables: Mapping[str, Table | Sequence[Row]]) -> Block:
    if match := FIGURE.fullmatch(template):
        return ShownFigure(match["name"], fill(match["alt"], numbers), fill(match["caption"], numbers))
    if match := TABLE.fullmatch(template):
        header, _, row = ([cell.strip() for cell in line.strip("| ").split("|")] for line in match["lines"].split("\n"))
        rows = _rows(tables[match["name"]], match["by"], match["column"], match["value"])
        cells = [[fill(cell, each) for cell in row] for each in rows]
        return ShownTable(fill(match["caption"], numbers), header, cells)
    return fill(template, numbers)


def _rows(table: Table | Sequence[Row], by: str | None, column: str | None, value: str | None) -> Sequence[Row]:
    """Of a table; or, grouped by columns, their values and arrays of all others."""
    if not isinstance(table, Table):
        return table
    if column:
        table = table.where(**{column: value})
    if not by:
        return table.rows()
    names = by.split(", ")
    return [{**part.columns, **{name: part[name][0] for name in names}} for part in table.groups(*names).values()]
