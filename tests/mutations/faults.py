"""What a fault is, and where in the sources it applies."""

import importlib
import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
LISTS = ("kernels", "linalg", "nn", "bindings", "package", "fresh", "fifth", "tabular", "bfloat16")


class Fault(NamedTuple):
    """Text of the sources and what a slip would make of it. The text is sought in all files, so that code may move."""

    name: str
    find: str  # must occur once, however it is broken into lines
    replace: str
    isa: str | None = None  # the instruction set that runs this code, if only one does
    lives: str | None = None  # why no test need notice


def all_faults():
    faults = [fault for part in LISTS for fault in importlib.import_module(f"faults_{part}").FAULTS]
    names = [fault.name for fault in faults]
    assert len(set(names)) == len(names), "two faults of one name"
    return faults


def sources(root=ROOT):
    """{path: text}"""
    return {
        path: path.read_text()
        for folder, kinds in (("cpp", (".h", ".cpp")), ("python/fastmlp", (".py",)))
        for path in sorted((root / folder).rglob("*"))
        if path.suffix in kinds
    }


def places(fault, texts):
    """(path, begin, end) of each occurrence of the fault's text in those of `sources`."""
    tokens = re.findall(r"\w+|[^\w\s]", fault.find)
    pattern = re.escape(tokens[0])
    for before, token in zip(tokens, tokens[1:]):
        both_words = re.match(r"\w", before) and re.match(r"\w", token)
        pattern += (r"\s+" if both_words else r"\s*") + re.escape(token)
    return [(path, *match.span()) for path, text in texts.items() for match in re.finditer(pattern, text)]
