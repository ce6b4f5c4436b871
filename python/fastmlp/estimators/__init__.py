"""scikit-learn's MLPClassifier and MLPRegressor on fastmlp's core."""

from .classifier import MLPClassifier
from .regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
