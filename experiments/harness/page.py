"""The page: findings, the report's claims and the sections of experiments as one HTML file, with links to the data files."""

import base64
import os
import re
from collections.abc import Iterable, Sequence
from datetime import date
from html import escape
from pathlib import Path

from harness.figures import PNG_DOTS_PER_INCH
from harness.run import Run
from harness.section import Claim, Comparison, Section
from harness.text import Block, ShownFigure, ShownTable, with_spaces

STYLE_SHEET = Path(__file__).with_name("page.css")
MIN_SCALE, MAX_SCALE = 0.6, 1.1  # of a figure's own width: its letters stay legible, and alike from figure to figure
ENVIRONMENT_NAMES = {
    **{"fastmlp": "fastmlp", "numpy": "NumPy", "python": "Python", "system": "System", "processor": "Processor"},
    **{"cores": "Cores", "threads": "Threads", "instruction_set": "Instruction set"},
}


def write_page(
    path: Path,
    title: str,
    introduction: str,
    findings: Sequence[tuple[str, str]],  # names of sections, and a sentence on each
    headlines: Sequence[tuple[Path, str]],  # figures, and what they show
    sections: Sequence[Section],
    run: Run,
) -> None:
    """Writes the page to `path`; links to data files are relative to its folder."""
    folder = path.parent
    sentences = "".join(f'<li>{_prose(text)} <a href="#{name}">More</a></li>' for name, text in findings)
    images = "".join(f"<figure>{_image(*each)}</figure>" for each in headlines)
    numbers = iter(range(1, 1000))
    body = [
        _contents(sections),
        "<main>",
        f"<header><h1>{escape(title)}</h1><p>{escape(introduction)}</p>",
        *(f'<p class="notice" role="note">{escape(notice)}</p>' for notice in run.notices),
        f'<ul class="findings">{sentences}</ul><div class="headlines">{images}</div></header>',
        _claims(sections),
        *(_section(section, numbers, folder) for section in sections),
        _setup(sections, run),
        f"<footer><p>Written on {date.today().isoformat()}. Every number and verdict is computed from result files.</p></footer>",
        "</main>",
    ]
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>\n{STYLE_SHEET.read_text(encoding='utf-8')}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n",
        encoding="utf-8",
    )


def _prose(text: str) -> str:
    return escape(with_spaces(text)).replace(" %", "&nbsp;%")


def _contents(sections: Sequence[Section]) -> str:
    entries = ['<li><a href="#claims">The report\'s claims</a></li>']
    for section in sections:
        parts = "".join(
            f'<li><a href="#{section.name}-{number}">{escape(part.title)}</a></li>'
            for number, part in enumerate(section.parts, 1)
        )
        entries.append(f'<li><a href="#{section.name}">{escape(section.title)}</a><ol>{parts}</ol></li>')
    entries.append('<li><a href="#setup">Configuration and environment</a></li>')
    return f'<nav aria-label="Contents"><ol>{"".join(entries)}</ol></nav>'


def _claims(sections: Sequence[Section]) -> str:
    rows = []
    for section in (section for section in sections if section.comparisons):
        link = f'<a href="#{section.name}">{escape(section.title)}</a>'
        rows.append(f'<tr class="group"><th colspan="3" scope="rowgroup">{link}</th></tr>')
        rows += map(_claim, section.comparisons)
    return (
        '<section id="claims"><h2>The course report\'s claims</h2><p>The verdict is that of the full run, whose results are '
        "committed. A smaller run that disagrees is too short to say.</p>"
        '<div class="wide"><table class="claims"><thead><tr><th scope="col">The report</th>'
        '<th scope="col">The full run</th><th scope="col">This run</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def _claim(each: Comparison) -> str:
    def cell(verdict: str, claim: Claim) -> str:
        return f'<td><span class="verdict {verdict.replace(" ", "-")}">{verdict}</span> {_prose(claim.finding)}</td>'

    kind = f"<i>{each.full.kind.capitalize()}:</i> " if each.full.kind else ""
    cells = cell(each.full.verdict, each.full) + cell(each.here_verdict, each.here)
    return f"<tr><td>{kind}{_prose(each.full.statement)}</td>{cells}</tr>"


def _section(section: Section, numbers: Iterable[int], folder: Path) -> str:
    parts = []
    for i, part in enumerate(section.parts, 1):
        parts.append(f'<h3 id="{section.name}-{i}">{escape(part.title)}</h3>')
        parts += [_block(block, section, numbers, folder) for block in part.blocks]
    links = ", ".join(_link(path, folder) for path in section.files)
    return "\n".join(
        [
            f'<section id="{section.name}"><h2>{escape(section.title)}</h2>',
            f'<p class="question">{_prose(section.question)}</p>',
            f"<p><b>Answer of the full run.</b> {_prose(section.answer)}</p>",
            *(f'<p class="notice" role="note">{escape(notice)}</p>' for notice in section.notices),
            *parts,
            f'<p class="files">All results: {links}</p></section>' if links else "</section>",
        ]
    )


def _block(block: Block, section: Section, numbers: Iterable[int], folder: Path) -> str:
    if isinstance(block, ShownTable):
        return _table(block)
    if isinstance(block, ShownFigure):
        image = section.images[block.name]
        files = ", ".join(_link(path, folder) for path in dict.fromkeys((image, image.with_suffix(".png"))))
        caption = f"<b>Figure {next(iter(numbers))}.</b> {_prose(block.caption)}"
        return (
            f'<figure><div class="wide">{_image(image, block.alt)}</div><figcaption>{caption} '
            f'<span class="files">Files: {files}</span></figcaption></figure>'
        )
    return f"<p>{_prose(block)}</p>"


def _image(path: Path, alt: str) -> str:
    """In an <img>, so that ids of two figures cannot clash."""
    content = path.read_bytes()
    kind = "svg+xml" if path.suffix == ".svg" else "png"
    width = _points(content)
    limits = f"min-width:{MIN_SCALE * width:.0f}pt;max-width:{MAX_SCALE * width:.0f}pt"
    data = base64.b64encode(content).decode("ascii")
    return f'<img src="data:image/{kind};base64,{data}" alt="{escape(alt)}" style="{limits}">'


def _points(image: bytes) -> float:
    """The width of an SVG or PNG as it was drawn."""
    if image.startswith(b"\x89PNG"):
        return int.from_bytes(image[16:20], "big") * 72 / PNG_DOTS_PER_INCH
    return float(re.search(rb'<svg[^>]* width="([0-9.]+)pt"', image)[1])  # type: ignore[index]


def _link(path: Path, folder: Path) -> str:
    address = Path(os.path.relpath(path, folder)).as_posix()
    return f'<a href="{escape(address)}">{escape(path.name)}</a>'


def _table(table: ShownTable) -> str:
    header = "".join(f'<th scope="col">{_prose(cell)}</th>' for cell in table.header)
    rows = "".join(
        f'<tr><th scope="row">{_prose(first)}</th>' + "".join(f"<td>{_prose(cell)}</td>" for cell in rest) + "</tr>"
        for first, *rest in table.rows
    )
    caption = f"<caption>{_prose(table.caption)}</caption>"
    return f'<div class="wide"><table>{caption}<thead><tr>{header}</tr></thead><tbody>{rows}</tbody></table></div>'


def _setup(sections: Sequence[Section], run: Run) -> str:
    settings = [[section.title, *pair] for section in sections for pair in section.configuration]
    environments: list[dict[str, object]] = []
    for each in (each for of_experiment in run.environments.values() for each in of_experiment):
        environments += [] if each in environments else [each]
    columns = ["This machine"] if len(environments) == 1 else [f"Environment {i + 1}" for i in range(len(environments))]
    rows = [[label, *(str(each[name]) for each in environments)] for name, label in ENVIRONMENT_NAMES.items()]
    return (
        '<section id="setup"><h2>Configuration and environment</h2>'
        + _table(ShownTable(f"Configuration, preset {run.preset}", ["Experiment", "Setting", "Value"], settings))
        + _table(ShownTable("Environment of the results", ["", *columns], rows))
        + "</section>"
    )
