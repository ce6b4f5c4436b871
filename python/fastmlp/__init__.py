"""fastmlp: multilayer perceptrons trained at the speed of the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _core
from .config import show_config
from .errors import DataFileError, DivergenceError, ModelFileError
from .network import Network
from .trainer import History, Trainer

if TYPE_CHECKING:  # what __getattr__ imports
    from . import callbacks, datasets, distributed, ops, plotting, streaming, studies
    from .estimators import MLPClassifier, MLPRegressor
    from .lbfgs import fit_lbfgs
    from .many import fit_many
    from .model_files import load

__version__ = "0.1.0"

__all__ = [
    "DataFileError",
    "DivergenceError",
    "History",
    "MLPClassifier",
    "MLPRegressor",
    "ModelFileError",
    "Network",
    "Trainer",
    "callbacks",
    "datasets",
    "distributed",
    "fit_lbfgs",
    "fit_many",
    "load",
    "ops",
    "plotting",
    "show_config",
    "streaming",
    "studies",
]

_FROM = {"fit_many": ".many", "load": ".model_files"}
_NEEDS = {  # module and package of what not everybody has installed
    "MLPClassifier": (".estimators", "scikit-learn"),
    "MLPRegressor": (".estimators", "scikit-learn"),
    "fit_lbfgs": (".lbfgs", "SciPy"),
}

_core.current_isa()  # a FASTMLP_ISA that this machine lacks is told at once


def __getattr__(name: str) -> Any:
    import importlib  # what follows is imported when first used, to keep the import quick

    if name in ("callbacks", "datasets", "distributed", "ops", "plotting", "streaming", "studies"):
        return importlib.import_module(f".{name}", __name__)
    if name in _FROM:
        return getattr(importlib.import_module(_FROM[name], __name__), name)
    if name in _NEEDS:
        module, package = _NEEDS[name]
        try:
            return getattr(importlib.import_module(module, __name__), name)
        except ModuleNotFoundError as missing:
            if missing.name is None or missing.name.partition(".")[0] not in ("scipy", "sklearn"):
                raise
            raise ImportError(f"fastmlp.{name} needs {package}: pip install 'fastmlp[sklearn]'") from None
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
