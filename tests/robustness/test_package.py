"""The package as it is installed: what an import costs, what show_config says, what needs more packages."""

import json
import re
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import fastmlp
import numpy as np
import pytest
from fastmlp import _core
from images import real_mnist
from problems import without_sanitizer
from subprocesses import run_python

ROOT = Path(__file__).resolve().parents[2]


def test_import_loads_numpy_and_the_core_only():
    script = """
import json, sys
import numpy
before = set(sys.modules)
import fastmlp
print(json.dumps(sorted(set(sys.modules) - before)))
"""
    result = run_python(script)
    assert result.returncode == 0, result.stderr
    loaded = {name.partition(".")[0] for name in json.loads(result.stdout)}
    strangers = loaded - set(sys.stdlib_module_names) - {"fastmlp", "numpy"}
    assert not strangers
    assert "fastmlp.datasets" not in json.loads(result.stdout)


@without_sanitizer
def test_the_installed_package_is_small():
    folder = Path(fastmlp.__file__).parent
    files = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in files) < 5e6  # without the bytecode that Python makes
    assert (folder / "py.typed").is_file()
    assert (folder / "_core.pyi").is_file()


def test_public_names_exist():
    for name in fastmlp.__all__:
        assert getattr(fastmlp, name) is not None
        assert name in dir(fastmlp)
    with pytest.raises(AttributeError, match="no_such_name"):
        fastmlp.no_such_name  # noqa: B018


def test_stub_names_what_the_core_has():
    stub = (ROOT / "python" / "fastmlp" / "_core.pyi").read_text()
    named = set(re.findall(r"^(?:class|def) ([A-Za-z]\w*)", stub, re.M)) | {"testing"}
    assert named == {name for name in dir(_core) if not name.startswith("_")}


def test_show_config_prints_what_it_returns(capsys):
    config = fastmlp.show_config("dicts")
    assert config["version"] == fastmlp.__version__
    assert config["instruction_set"] in config["instruction_sets"]
    assert config["instruction_sets"][0] == "generic"
    assert config["bfloat16"] in ("native", "emulated")
    assert config["openmp"] in (True, False)
    assert config["threads"] >= 1
    assert fastmlp.show_config() is None
    printed = capsys.readouterr().out
    for name, value in config.items():
        assert name in printed
        assert (value[0] if isinstance(value, list) else str(value)) in printed
    with pytest.raises(ValueError, match="yaml"):
        fastmlp.show_config("yaml")


@pytest.mark.parametrize("name", _core.available_isas())
def test_fastmlp_isa_chooses_the_instruction_set(name):
    result = run_python("import fastmlp; print(fastmlp.show_config('dicts')['instruction_set'])", FASTMLP_ISA=name)
    assert result.stdout.split() == [name], result.stderr


def test_an_empty_fastmlp_isa_is_none():
    show = "import fastmlp; print(fastmlp.show_config('dicts')['instruction_set'])"
    assert run_python(show, FASTMLP_ISA="").stdout.split() == [_core.available_isas()[-1]]


def test_an_unknown_instruction_set_raises_at_import():
    result = run_python("import fastmlp", FASTMLP_ISA="mmx")
    assert result.returncode != 0
    assert "mmx" in result.stderr and "generic" in result.stderr


def test_the_source_distribution_has_the_tables_that_experiments_and_tests_read():
    excluded = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["scikit-build"]["sdist"]["exclude"]
    tables = sorted((ROOT / "experiments" / "results").rglob("*.csv"))
    assert tables
    for table in tables:
        path = table.relative_to(ROOT)
        kept = [str(each) for each in (path, *path.parents)]
        assert not [(name, pattern) for name in kept for pattern in excluded if fnmatch(name, pattern)]


def test_networks_travel_by_pickle_and_copy():
    import copy
    import pickle

    net = fastmlp.Network((4, 5, 3), activation="tanh", dtype="float64", seed=3, input_scale=0.5)
    X = np.random.default_rng(0).normal(size=(7, 4))
    for twin in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        assert repr(twin) == repr(net)
        np.testing.assert_array_equal(twin.forward(X), net.forward(X))
        twin.set_parameters([w + 1 for w in twin.weights], twin.biases)  # a network of its own
    assert (twin.weights[0] != net.weights[0]).all()


@pytest.mark.mnist
def test_five_epochs_of_mnist():
    x_train, y_train, x_test, y_test = real_mnist()
    # Pixels in [0, 2]. In [0, 1] five epochs at this rate are too few, for PyTorch as for us: 0.958 to 0.961.
    net = fastmlp.Network((784, 128, 10), input_scale=1 / 128)
    fastmlp.Trainer(net, learning_rate=0.1, batch_size=128).fit(x_train, y_train, epochs=5)
    assert net.evaluate(x_test, y_test).accuracy > 0.965


@pytest.mark.parametrize(
    "name, package", [("MLPClassifier", "sklearn"), ("MLPRegressor", "sklearn"), ("fit_lbfgs", "scipy")]
)
def test_what_needs_more_packages_says_so(name, package):
    result = run_python(f"import sys; sys.modules[{package!r}] = None\nimport fastmlp\nfastmlp.{name}")
    assert result.returncode != 0
    assert f"ImportError: fastmlp.{name} needs" in result.stderr and "fastmlp[sklearn]" in result.stderr
