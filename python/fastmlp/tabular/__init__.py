"""Networks for tables with scikit-learn's interface: RealMLP."""

try:
    from .realmlp import RealMLPClassifier, RealMLPRegressor
except ModuleNotFoundError as missing:
    if missing.name is None or missing.name.partition(".")[0] not in ("scipy", "sklearn"):
        raise
    raise ImportError("fastmlp.tabular needs scikit-learn: pip install 'fastmlp[sklearn]'") from None

__all__ = ["RealMLPClassifier", "RealMLPRegressor"]
