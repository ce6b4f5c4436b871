"""The experiments' folder on the path, and one smoke report without MNIST for all tests."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("scipy")

sys.path.append(str(Path(__file__).parents[2] / "experiments"))

import report
from fastmlp import DataFileError, datasets
from harness import section
from speed import libraries


def no_mnist(*args, **settings):
    raise DataFileError("no MNIST in this test")


def patch_away(patch):
    """MNIST, and the libraries that are not always installed."""
    patch.setattr(datasets, "load_mnist", no_mnist)
    patch.setattr(libraries, "installed", lambda: ["fastmlp", "NumPy"])


@pytest.fixture
def without_mnist(monkeypatch):
    patch_away(monkeypatch)


@pytest.fixture(scope="session")
def smoke(tmp_path_factory):
    """The folder of a smoke report, and its sections by name."""
    folder = tmp_path_factory.mktemp("report")
    sections = {}

    def keep(experiment, run, progress):
        sections[experiment.__name__.rpartition(".")[2]] = made = section.make_section(experiment, run, progress)
        return made

    with pytest.MonkeyPatch.context() as patch, np.errstate(all="warn"):
        patch_away(patch)
        patch.setattr(report, "make_section", keep)
        assert report.main(["--preset", "smoke", "--output", str(folder)]) == folder / "index.html"
    return folder, sections


@pytest.fixture
def csv_rows(smoke):
    """Reads a table of the smoke report."""

    def read(name):
        return list(csv.DictReader((smoke[0] / "results" / name).read_text("utf-8").splitlines()))

    return read
