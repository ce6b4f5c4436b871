"""The page: sections of experiments as one HTML file that needs nothing beside it but offers the data files."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Sequence
from datetime import date
from html import escape
from pathlib import Path

from figures import PNG_DOTS_PER_INCH
from section import Claim, Figure, Part, Section, Table

STYLE_SHEET = Path(__file__).with_name("page.css")

SMALLEST, LARGEST = 0.6, 1.1  # of a figure's own width: its letters stay legible, and alike from figure to figure

ENVIRONMENT_NAMES = {
    "fastmlp": "fastmlp",
    "numpy": "NumPy",
    "python": "Python",
    "system": "System",
    "processor": "Processor",
    "cores": "Cores",
    "threads": "Threads",
    "threading": "Threading",
    "instruction_set": "Instruction set",
}


def write_page(path: Path, title: str, introduction: Sequence[str], sections: Sequence[Section]) -> None:
    """Write the page to `path`; links to data files are relative to its folder."""
    folder = path.parent
    body = [
        f"<header><h1>{escape(title)}</h1>",
        *(f"<p>{escape(text)}</p>" for text in introduction),
        "</header>",
        _contents(sections),
        "<main>",
        _report_figures(sections),
        *(_section(section, folder) for section in sections),
        "</main>",
        f"<footer><p>Written on {date.today().isoformat()}. Every number and verdict is computed from the result files.</p></footer>",
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>\n{STYLE_SHEET.read_text(encoding='utf-8')}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n",
        encoding="utf-8",
    )


def _contents(sections: Sequence[Section]) -> str:
    entries = ['<li><a href="#report-figures">The report\'s figures</a></li>'] if _with_figures(sections) else []
    for section in sections:
        parts = "".join(
            f'<li><a href="#{_anchor(section, number)}">{escape(part.title)}</a></li>'
            for number, part in enumerate(section.parts, 1)
        )
        entries.append(
            f'<li><a href="#{section.name}">{escape(section.title)}</a>'
            f'<ol>{parts}<li><a href="#{section.name}-setup">Configuration and environment</a></li></ol></li>'
        )
    return f'<nav aria-label="Contents"><h2>Contents</h2><ol>{"".join(entries)}</ol></nav>'


def _with_figures(sections: Sequence[Section]) -> list[Section]:
    return [section for section in sections if section.report_figures]


def _report_figures(sections: Sequence[Section]) -> str:
    found = _with_figures(sections)
    if not found:
        return ""
    tables = [
        _claims(
            section.report_figures,
            f'<a href="#{section.name}">{escape(section.title)}</a>',
        )
        for section in found
    ]
    return "\n".join(
        [
            '<section id="report-figures"><h2>The report\'s figures, one by one</h2>',
            "<p>What each of them shows, as far as its text says so, and what the same experiment gives here.</p>",
            *tables,
            "</section>",
        ]
    )


def _anchor(section: Section, number: int) -> str:
    return f"{section.name}-{number}"


def _section(section: Section, folder: Path) -> str:
    numbers = iter(range(1, 1000))
    parts = [_part(part, _anchor(section, i), numbers, folder) for i, part in enumerate(section.parts, 1)]
    return "\n".join(
        [
            f'<section id="{section.name}"><h2>{escape(section.title)}</h2>',
            f'<p class="question">{escape(section.question)}</p>',
            *(f'<p class="notice" role="note">{escape(notice)}</p>' for notice in section.notices),
            *_paragraphs(section.summary),
            _claims(section.claims, "The report's statements, and what was measured") if section.claims else "",
            *parts,
            _setup(section, folder),
            "</section>",
        ]
    )


def _claims(claims: Sequence[Claim], caption: str) -> str:
    """The caption is HTML."""
    rows = "".join(
        f"<tr><td>{'<i>Hypothesis:</i> ' if claim.hypothesis else ''}{escape(claim.statement)}</td>"
        f'<td><span class="verdict {claim.verdict.replace(" ", "-")}">{escape(claim.verdict)}</span></td>'
        f"<td>{escape(claim.finding)}</td></tr>"
        for claim in claims
    )
    return (
        f'<div class="wide"><table class="claims"><caption>{caption}</caption>'
        '<thead><tr><th scope="col">The report</th><th scope="col">Verdict</th><th scope="col">Measured</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _part(part: Part, anchor: str, numbers: object, folder: Path) -> str:
    return "\n".join(
        [
            f'<h3 id="{anchor}">{escape(part.title)}</h3>',
            *_paragraphs(part.paragraphs),
            *(_figure(figure, next(numbers), folder) for figure in part.figures),  # type: ignore[call-overload]
            *(_table(table) for table in part.tables),
        ]
    )


def _paragraphs(texts: Sequence[str]) -> list[str]:
    return [f"<p>{escape(text)}</p>" for text in texts]


def _figure(figure: Figure, number: int, folder: Path) -> str:
    content = figure.image.read_bytes()
    image = base64.b64encode(content).decode("ascii")  # in an <img>, ids of two figures cannot clash
    kind = "svg+xml" if figure.image.suffix == ".svg" else "png"
    width = _points(content)
    limits = f"min-width:{SMALLEST * width:.0f}pt;max-width:{LARGEST * width:.0f}pt"
    links = ", ".join(_link(path, folder) for path in dict.fromkeys((*figure.data, figure.image, figure.picture)))
    return (
        f'<figure><div class="wide"><img src="data:image/{kind};base64,{image}" alt="{escape(figure.alt)}" style="{limits}"></div>'
        f"<figcaption><b>Figure {number}.</b> {escape(figure.caption)} "
        f'<span class="files">Files: {links}</span></figcaption></figure>'
    )


def _points(image: bytes) -> float:
    """The width of an SVG or PNG as it was drawn."""
    if image.startswith(b"\x89PNG"):
        return int.from_bytes(image[16:20], "big") * 72 / PNG_DOTS_PER_INCH
    return float(re.search(rb'<svg[^>]* width="([0-9.]+)pt"', image)[1])  # type: ignore[index]


def _link(path: Path, folder: Path) -> str:
    address = Path(os.path.relpath(path, folder)).as_posix()
    return f'<a href="{escape(address)}">{escape(path.name)}</a>'


def _table(table: Table) -> str:
    header = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table.header)
    rows = "".join(
        f'<tr><th scope="row">{escape(first)}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in rest) + "</tr>"
        for first, *rest in table.rows
    )
    return (
        f'<div class="wide"><table><caption>{escape(table.caption)}</caption>'
        f"<thead><tr>{header}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _setup(section: Section, folder: Path) -> str:
    environments = section.environments
    columns = (
        ["This machine"] if len(environments) == 1 else [f"Environment {i}" for i in range(1, len(environments) + 1)]
    )
    rows = [[label, *(str(found[name]) for found in environments)] for name, label in ENVIRONMENT_NAMES.items()]
    return "\n".join(
        [
            f'<h3 id="{section.name}-setup">Configuration and environment</h3>',
            _table(Table("Configuration", ["Setting", "Value"], [list(pair) for pair in section.setup.items()])),
            _table(Table("Environment of the results", ["", *columns], rows)),
            f'<p class="files">All results: {", ".join(_link(path, folder) for path in section.data)}</p>',
        ]
    )
