"""README.md and docs/: their examples run and print what they show, commands and extras exist, the pages build whole.

A block of Python runs as a script of its own in an empty folder; a block ```output after it is what it prints, to
a tenth of each number, because other instruction sets round otherwise. Where FASTMLP_DATA names no folder with MNIST,
`load_mnist()` returns drawn digits, and numbers are not compared. Where PyTorch is not installed, its stand-in runs.
"""

import ast
import doctest
import importlib
import importlib.util
import inspect
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path

import fastmlp
import pytest
from images import real_mnist
from libraries import STAND_INS
from problems import without_sanitizer
from subprocesses import run_python

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PACKAGE = ROOT / "python" / "fastmlp"
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?"
DRAWN_DIGITS = """
from fastmlp import datasets
datasets.load_mnist = lambda: datasets.make_digits(6000, 1000)
"""


def examples():
    for page in PAGES:
        found = re.findall(r"^```python\n(.*?)^```$(?:\n+```output\n(.*?)^```$)?", page.read_text(), re.S | re.M)
        for number, (code, output) in enumerate(found, 1):
            name = page.relative_to(ROOT).as_posix()
            yield pytest.param(code, output, id=f"{name}-{number}")


def missing_packages(code):
    imports = [node for node in ast.walk(ast.parse(code)) if isinstance(node, (ast.Import, ast.ImportFrom))]
    modules = [node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in imports]
    packages = {module.partition(".")[0] for module in modules}
    return {package for package in packages if importlib.util.find_spec(package) is None}


def says_the_same(shown, printed):
    numbers = [[float(number) for number in re.findall(NUMBER, text)] for text in (shown, printed)]
    words = [re.sub(NUMBER, "#", text).split() for text in (shown, printed)]
    return words[0] == words[1] and numbers[1] == pytest.approx(numbers[0], rel=0.1)


@pytest.mark.parametrize("code, output", list(examples()))
def test_examples_run(code, output, tmp_path, monkeypatch):
    missing, environment = missing_packages(code), {"MPLBACKEND": "Agg"}
    if missing == {"torch"}:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(STAND_INS), os.environ.get("PYTHONPATH")]))
    elif missing:
        pytest.skip(f"not installed: {', '.join(sorted(missing))}")
    on_drawn_digits = "load_mnist(" in code and not os.environ.get("FASTMLP_DATA")
    if on_drawn_digits:
        code = DRAWN_DIGITS + code
    elif "load_mnist(" in code:
        real_mnist()
    monkeypatch.chdir(tmp_path)  # they save files
    result = run_python(code, **environment)
    assert result.returncode == 0, result.stderr
    assert result.stdout
    if output and not on_drawn_digits:
        assert says_the_same(output, result.stdout), result.stdout


@pytest.mark.parametrize("name", ["batch_sizes", "penalty_path", "width_by_depth", "regression_surface"])
def test_programs_to_start_from_write_their_figure(name, tmp_path, monkeypatch):
    code = (ROOT / "examples" / f"{name}.py").read_text()
    assert len(code.splitlines()) <= 30, "short enough to be read at once"
    if missing_packages(code):
        pytest.skip(f"not installed: {', '.join(sorted(missing_packages(code)))}")
    monkeypatch.chdir(tmp_path)
    result = run_python(code, MPLBACKEND="Agg")
    assert result.returncode == 0, result.stderr
    assert result.stdout and not result.stderr
    assert (tmp_path / f"{name}.png").stat().st_size > 10_000


def test_the_comparison_of_outputs_sees_differences():
    assert says_the_same("accuracy 0.94\n", "accuracy 0.93\n")
    assert not says_the_same("accuracy 0.94\n", "accuracy 0.80\n")
    assert not says_the_same("accuracy 0.94\n", "loss 0.94\n")
    assert not says_the_same("[1 0 1]\n", "[1 1 1]\n")
    assert not says_the_same("[1 0]\n", "[1 0 0]\n")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_and_extras_exist(page):
    text = page.read_text()
    rules = re.findall(r"^([a-z0-9 ]+):", (ROOT / "Makefile").read_text(), re.M)
    targets = {name for names in rules for name in names.split()}
    assert set(re.findall(r"(?:^\$ |`)make ([a-z0-9]+)", text, re.M)) <= targets
    assert extras_named_in(text) <= extras()


@pytest.mark.parametrize("path", sorted((ROOT / "python" / "fastmlp").rglob("*.py")), ids=lambda path: path.name)
def test_errors_name_extras_that_exist(path):
    assert extras_named_in(path.read_text()) <= extras()


def extras_named_in(text):
    found = re.findall(r"pip install [\"']?(?:\.|fastmlp)\[([\w, ]+)\]", text)
    return {name.strip() for names in found for name in names.split(",")}


def extras():
    section = (ROOT / "pyproject.toml").read_text().partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    return set(re.findall(r"^([\w-]+) = ", section, re.M))


def modules_with_examples():
    """By the checkout's files: an editable install has its modules in other folders than `fastmlp.__path__[0]`."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if ">>> " in path.read_text():
            parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("name", list(modules_with_examples()))
def test_examples_of_docstrings_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried and not failed


def test_the_search_for_examples_finds_some():
    assert {"fastmlp.callbacks", "fastmlp.estimators.classifier"} <= set(modules_with_examples())
    assert any(output for _, output in (example.values for example in examples()))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The pages, built without a warning."""
    for package in ("sphinx", "myst_parser", "furo"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install '.[docs]'")
    folder = tmp_path_factory.mktemp("docs")
    strict = ["-W", "--keep-going", "-n", "-q"]
    result = subprocess.run(
        [sys.executable, "-m", "sphinx", *strict, "-d", folder / "doctrees", ROOT / "docs", folder / "html"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPYCACHEPREFIX": str(folder)},
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return folder / "html"


@without_sanitizer
def test_pages_are_built(built):
    for page in (ROOT / "docs").rglob("*.md"):
        text = (built / page.relative_to(ROOT / "docs").with_suffix(".html")).read_text()
        assert "<h1>" in text
        assert not re.search(r"<p>[^<]*(`|\*\*)", text), f"{page.name} shows markup"


@without_sanitizer
def test_everything_public_is_in_the_reference(built):
    header_lines = 4
    packed = (built / "objects.inv").read_bytes().split(b"\n", header_lines)[header_lines]
    described = {line.partition(" ")[0] for line in zlib.decompress(packed).decode().splitlines()}
    missing = set(public_names()) - described
    assert not missing
    assert (
        not {"fastmlp.Network.set_trusted", "fastmlp.Trainer.state", "fastmlp.callbacks.check_of_several"} & described
    )


def public_names():
    for name in fastmlp.__all__:
        value = getattr(fastmlp, name)
        yield f"fastmlp.{name}"
        if inspect.ismodule(value):
            own = [key for key, found in vars(value).items() if getattr(found, "__module__", None) == value.__name__]
            for key in getattr(value, "__all__", [key for key in own if not key.startswith("_")]):
                yield f"fastmlp.{name}.{key}"
                yield from public_members(f"fastmlp.{name}.{key}", getattr(value, key))
        yield from public_members(f"fastmlp.{name}", value)


def public_members(path, value):
    """Methods and properties that are its own, or come from a class that is not public."""
    if not inspect.isclass(value):
        return
    for owner in value.__mro__:
        if owner.__module__.startswith("fastmlp") and (owner is value or owner.__name__.startswith("_")):
            for name, member in vars(owner).items():
                is_internal = name.startswith("_") or "for the package itself" in (inspect.getdoc(member) or "")
                if not is_internal and isinstance(inspect.unwrap(member), METHODS):
                    yield f"{path}.{name}"


METHODS = (type(public_names), property, classmethod, staticmethod)
