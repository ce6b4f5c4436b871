"""fastmlp: multilayer perceptrons trained at the speed of the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _core
from .config import show_config
from .ensemble import Ensemble, load
from .errors import DataFileError, DivergenceError, ModelFileError
from .history import History
from .network import Network
from .trainer import Trainer
from .version import __version__ as __version__

if TYPE_CHECKING:  # what __getattr__ imports
    from . import callbacks, datasets, distributed, metrics, ops, plotting, schedules, streaming, studies, tabular
    from .ensemble_fits import fit_ensemble
    from .estimators import MLPClassifier, MLPRegressor
    from .lbfgs import fit_lbfgs
    from .many import fit_many

__all__ = [
    "DataFileError",
    "DivergenceError",
    "Ensemble",
    "History",
    "MLPClassifier",
    "MLPRegressor",
    "ModelFileError",
    "Network",
    "Trainer",
    "callbacks",
    "datasets",
    "distributed",
    "fit_ensemble",
    "fit_lbfgs",
    "fit_many",
    "load",
    "metrics",
    "ops",
    "plotting",
    "schedules",
    "show_config",
    "streaming",
    "studies",
    "tabular",
]

_MODULES = (
    "callbacks",
    "datasets",
    "distributed",
    "metrics",
    "ops",
    "plotting",
    "schedules",
    "streaming",
    "studies",
    "tabular",
)
_MODULE_OF = {
    "fit_ensemble": ".ensemble_fits",
    "fit_many": ".many",
    "MLPClassifier": ".estimators",
    "MLPRegressor": ".estimators",
    "fit_lbfgs": ".lbfgs",
}
_NEEDS = {"MLPClassifier": "scikit-learn", "MLPRegressor": "scikit-learn", "fit_lbfgs": "SciPy"}

_core.current_isa()  # fails at import if FASTMLP_ISA is not available


def __getattr__(name: str) -> Any:
    import importlib  # what follows is imported when it is first used, which keeps the import quick

    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name not in _MODULE_OF:
        from .validation import suggestion

        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{suggestion(name, __all__)}")
    try:
        return getattr(importlib.import_module(_MODULE_OF[name], __name__), name)
    except ModuleNotFoundError as missing:
        if name not in _NEEDS or missing.name is None or missing.name.partition(".")[0] not in ("scipy", "sklearn"):
            raise
        raise ImportError(f"fastmlp.{name} needs {_NEEDS[name]}: pip install 'fastmlp[sklearn]'") from None


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
