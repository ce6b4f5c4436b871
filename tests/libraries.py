"""PyTorch and JAX in tests: the installed libraries, and stand-ins in NumPy, so that each check runs everywhere."""

import importlib.util
import sys
from pathlib import Path

import pytest

STAND_INS = Path(__file__).parent / "stand_ins"
KINDS = ["stand-in", "installed"]


def library(name, kind, monkeypatch):
    """The installed module, or its stand-in, which `import` finds until the test ends."""
    if kind == "installed":
        return pytest.importorskip(name, reason=f"{name} is not installed")
    for loaded in [other for other in sys.modules if other.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, loaded)
    spec = importlib.util.spec_from_file_location(name, STAND_INS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    if name == "jax":
        monkeypatch.setitem(sys.modules, "jax.numpy", module.numpy)
    return module
