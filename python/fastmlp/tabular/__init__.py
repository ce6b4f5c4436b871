"""Networks for tables with scikit-learn's interface: RealMLP and TabM."""

try:
    from .loading import load
    from .realmlp import RealMLPClassifier, RealMLPRegressor
    from .tabm import TabMClassifier, TabMRegressor
except ModuleNotFoundError as missing:
    if missing.name is None or missing.name.partition(".")[0] not in ("scipy", "sklearn"):
        raise
    raise ImportError("fastmlp.tabular needs scikit-learn: pip install 'fastmlp[sklearn]'") from None

__all__ = ["RealMLPClassifier", "RealMLPRegressor", "TabMClassifier", "TabMRegressor", "load"]
