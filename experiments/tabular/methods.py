"""The methods of the benchmark: one row each."""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

FASTMLP, TREES, TORCH, SCIKIT_LEARN = "fastmlp", "boosted trees", "nets in torch", "scikit-learn's net"
FAMILIES = (FASTMLP, TREES, TORCH, SCIKIT_LEARN)


@dataclass(frozen=True)
class Method:
    family: str
    function: str  # module of this folder and function of a `data.Problem` and the settings
    packages: tuple[str, ...]  # whose versions its results depend on; the first is to be imported
    settings: Mapping[str, Any] = field(default_factory=dict)
    short: Mapping[str, Any] = field(default_factory=dict)  # settings of a quick fit, which loads what a fit needs
    slow: bool = False  # fitted on fewer tables

    @property
    def versions(self) -> str:
        """Of the packages, and which of fastmlp's orders of sums in bfloat16 this processor has."""
        versions = ", ".join(f"{name} {_version(name)}" for name in self.packages)
        return f"{versions} with {native_bfloat16()}" if self.settings.get("bfloat16") else versions

    @property
    def installed(self) -> bool:
        if self.family == FASTMLP:
            multiplies = not self.settings.get("bfloat16") or native_bfloat16() is not None
            return _has_estimator(self.settings["estimator"]) and multiplies
        module = {"scikit-learn": "sklearn"}.get(self.packages[0], self.packages[0])
        return importlib.util.find_spec(module) is not None


def _has_estimator(name: str) -> bool:
    """Of fastmlp, which may be older than its tabular estimators."""
    try:
        from fastmlp import tabular
    except ImportError:
        return False
    return hasattr(tabular, f"{name}Classifier")


def native_bfloat16() -> str | None:
    """The precision in bfloat16 that uses this processor's own products, AMX first; others are slower than float32."""
    import fastmlp

    config = fastmlp.show_config("dicts")
    return next((name for name in ("bfloat16_amx", "bfloat16") if config.get(name) == "native"), None)


def _version(package: str) -> str:
    if package == "fastmlp":  # may be imported from a checkout, where it is not installed
        import fastmlp

        return fastmlp.__version__
    return metadata.version(package)


def _ours(estimator: str, slow: bool = False, **settings: Any) -> Method:
    return Method(FASTMLP, "nets:fastmlp", ("fastmlp",), {"estimator": estimator, **settings}, {"n_epochs": 1}, slow)


def _realmlp(variant: str) -> Method:
    return Method(TORCH, "nets:pytabkit", ("pytabkit", "torch"), {"variant": variant}, {"n_epochs": 1})


METHODS = {
    "fastmlp RealMLP-TD-S": _ours("RealMLP", variant="TD-S"),
    "fastmlp RealMLP-TD": _ours("RealMLP", variant="TD"),
    "fastmlp RealMLP-TD, 8 nets": _ours("RealMLP", variant="TD", n_ensemble=8),
    "fastmlp RealMLP-TD-S in bfloat16": _ours("RealMLP", variant="TD-S", bfloat16=True),
    "fastmlp RealMLP-TD in bfloat16": _ours("RealMLP", variant="TD", bfloat16=True),
    "fastmlp TabM": _ours("TabM", slow=True),
    "fastmlp TabM in bfloat16": _ours("TabM", bfloat16=True),  # as its authors train it on GPUs
    "pytabkit RealMLP-TD-S": _realmlp("TD-S"),
    "pytabkit RealMLP-TD": _realmlp("TD"),
    "tabm TabM": Method(
        TORCH, "tabm_package:tabm", ("tabm", "rtdl_num_embeddings", "torch"), {}, {"n_epochs": 1}, slow=True
    ),
    "LightGBM": Method(TREES, "trees:lightgbm", ("lightgbm",), {}, {"n_estimators": 1}),
    "LightGBM TD": Method(TREES, "trees:lightgbm_tuned", ("lightgbm",), {}, {"num_iterations": 1}),
    "XGBoost": Method(TREES, "trees:xgboost", ("xgboost",), {}, {"n_estimators": 1}),
    "XGBoost TD": Method(TREES, "trees:xgboost_tuned", ("xgboost",), {}, {"num_boost_round": 1}),
    "CatBoost": Method(TREES, "trees:catboost", ("catboost",), {}, {"n_estimators": 1}),
    "CatBoost TD": Method(TREES, "trees:catboost_tuned", ("catboost",), {}, {"iterations": 1}),
    "HistGradientBoosting": Method(TREES, "trees:hist_gradient_boosting", ("scikit-learn",), {}, {"max_iter": 1}),
    "scikit-learn MLP": Method(SCIKIT_LEARN, "nets:scikit_learn", ("scikit-learn",), {}, {"max_iter": 1}),
}
REFERENCE = "LightGBM"  # with its defaults; errors are divided by its own
ORIGINALS = {  # ours, and the package that it reproduces
    "fastmlp RealMLP-TD-S": "pytabkit RealMLP-TD-S",
    "fastmlp RealMLP-TD-S in bfloat16": "pytabkit RealMLP-TD-S",
    "fastmlp RealMLP-TD": "pytabkit RealMLP-TD",
    "fastmlp RealMLP-TD in bfloat16": "pytabkit RealMLP-TD",
    "fastmlp TabM": "tabm TabM",
    "fastmlp TabM in bfloat16": "tabm TabM",
}
