"""scikit-learn's MLPClassifier and MLPRegressor on fastmlp's core."""

from .mlp import MLPClassifier, MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
