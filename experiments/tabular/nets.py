"""Fits of nets: scikit-learn's MLP, pytabkit's RealMLP and fastmlp's estimators.

A function returns what predicts: probabilities of shape (rows, classes), or values of shape (rows,).
"""

import logging
import warnings
from typing import Any

from tabular.data import Problem
from tabular.methods import native_bfloat16
from tabular.trees import Predict


def scikit_learn(problem: Problem, **settings: Any) -> Predict:
    """Standardised inputs and targets, one-hot categories; the number of threads is that of the BLAS."""
    from sklearn.compose import TransformedTargetRegressor, make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    preparation = make_column_transformer(
        (
            make_pipeline(SimpleImputer(strategy="median"), StandardScaler()),
            make_column_selector(dtype_include="number"),
        ),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), make_column_selector(dtype_include="category")),
    )
    if problem.classes:
        net = MLPClassifier(random_state=problem.seed, **settings)
    else:
        net = TransformedTargetRegressor(
            MLPRegressor(random_state=problem.seed, **settings), transformer=StandardScaler()
        )
    model = make_pipeline(preparation, net)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some do not converge within their default of 200 epochs
        model.fit(problem.X, problem.y)
    return model.predict_proba if problem.classes else model.predict


def pytabkit(problem: Problem, variant: str, **settings: Any) -> Predict:
    """RealMLP of its authors; it keeps the epoch that is best on the validation rows."""
    import torch
    from pytabkit.models.sklearn import sklearn_interfaces

    torch.set_flush_denormal(True)  # as fastmlp does: otherwise long fits spend most of their time on denormals
    task = "Classifier" if problem.classes else "Regressor"
    kind = getattr(sklearn_interfaces, f"RealMLP_{variant.replace('-', '_')}_{task}")
    model = kind(device="cpu", random_state=problem.seed, n_threads=problem.threads, **settings)
    medians = problem.X.median(numeric_only=True)  # it accepts missing categories, but no missing numbers
    X, X_validation = problem.X.fillna(medians), problem.X_validation.fillna(medians)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)  # it reports each fit and each prediction
    warnings.filterwarnings("ignore", module="pytorch_lightning|pytabkit")
    model.fit(X, problem.y, X_validation, problem.y_validation)
    predict = model.predict_proba if problem.classes else model.predict
    return lambda X: predict(X.fillna(medians))


def fastmlp(problem: Problem, estimator: str, bfloat16: bool = False, **settings: Any) -> Predict:
    """An estimator of `fastmlp.tabular`; it keeps the epoch that is best on the validation rows."""
    from fastmlp import tabular

    if bfloat16:
        settings["precision"] = native_bfloat16()
    kind = getattr(tabular, f"{estimator}{'Classifier' if problem.classes else 'Regressor'}")
    model = kind(random_state=problem.seed, n_threads=problem.threads, **settings)
    model.fit(problem.X, problem.y, eval_set=(problem.X_validation, problem.y_validation))
    return model.predict_proba if problem.classes else model.predict
