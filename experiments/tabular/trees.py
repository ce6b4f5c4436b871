"""Fits of boosted trees: scikit-learn, LightGBM, XGBoost and CatBoost. Each handles categories and missing values itself.

A function returns what predicts: probabilities of shape (rows, classes), or values of shape (rows,). The libraries' own
defaults train on the training rows alone. The tuned defaults evaluate the validation rows after each tree, stop early and
keep the trees up to the last one with the smallest error, as pytabkit does.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tabular.data import Problem
from tabular.tuned_defaults import tuned_defaults

Predict = Callable[[Any], np.ndarray]
MISSING = "missing"  # a category of CatBoost, which accepts no missing ones


def hist_gradient_boosting(problem: Problem, **settings: Any) -> Predict:
    """The number of threads is OpenMP's."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if problem.classes else HistGradientBoostingRegressor
    return _fit(kind(categorical_features="from_dtype", random_state=problem.seed, **settings), problem)


def lightgbm(problem: Problem, **settings: Any) -> Predict:
    from lightgbm import LGBMClassifier, LGBMRegressor

    kind = LGBMClassifier if problem.classes else LGBMRegressor
    return _fit(kind(random_state=problem.seed, n_jobs=problem.threads, verbosity=-1, **settings), problem)


def xgboost(problem: Problem, **settings: Any) -> Predict:
    from xgboost import XGBClassifier, XGBRegressor

    kind = XGBClassifier if problem.classes else XGBRegressor
    model = kind(random_state=problem.seed, n_jobs=problem.threads, enable_categorical=True, **settings)
    return _fit(model, problem)


def catboost(problem: Problem, **settings: Any) -> Predict:
    from catboost import CatBoostClassifier, CatBoostRegressor

    kind = CatBoostClassifier if problem.classes else CatBoostRegressor
    silent = {"verbose": False, "allow_writing_files": False}
    model = kind(random_seed=problem.seed, thread_count=problem.threads, **silent, **settings)
    model.fit(_named(problem.X, problem), problem.y, cat_features=problem.categorical)
    predict = model.predict_proba if problem.classes else model.predict
    return lambda X: predict(_named(X, problem))


def _fit(model: Any, problem: Problem) -> Predict:
    model.fit(problem.X, problem.y)
    return model.predict_proba if problem.classes else model.predict


def lightgbm_tuned(problem: Problem, **settings: Any) -> Predict:
    import lightgbm as library

    objective, metric = {
        0: ("regression", "rmse"),
        2: ("binary", "binary_error"),
    }.get(problem.classes, ("multiclass", "multi_error"))
    parameters = {**tuned_defaults("LightGBM", not problem.classes), **settings}
    parameters |= {"objective": objective, "metric": metric, "verbosity": -1}
    parameters |= {"seed": problem.seed, "num_threads": problem.threads}
    if problem.classes > 2:
        parameters["num_class"] = problem.classes
    train = library.Dataset(problem.X, problem.y)
    validation = library.Dataset(problem.X_validation, problem.y_validation, reference=train)
    errors: dict[str, dict[str, list[float]]] = {}
    booster = library.train(
        parameters,
        train,
        num_boost_round=parameters.pop("num_iterations"),
        valid_sets=[validation],
        valid_names=["validation"],
        callbacks=[library.record_evaluation(errors)],
    )
    trees = last_minimum(errors["validation"][metric]) + 1
    return lambda X: _both_classes(booster.predict(X, num_iteration=trees), problem)


def xgboost_tuned(problem: Problem, **settings: Any) -> Predict:
    import xgboost as library

    objective, metric = {
        0: ("reg:squarederror", "rmse"),
        2: ("binary:logistic", "error"),
    }.get(problem.classes, ("multi:softprob", "merror"))
    parameters = {**tuned_defaults("XGBoost", not problem.classes), **settings}
    parameters |= {"objective": objective, "eval_metric": metric, "seed": problem.seed, "nthread": problem.threads}
    if problem.classes > 2:
        parameters["num_class"] = problem.classes

    def matrix(X: Any, y: np.ndarray | None = None) -> Any:
        return library.DMatrix(X, y, enable_categorical=True, nthread=problem.threads)

    limits = {name: parameters.pop(name) for name in ("num_boost_round", "early_stopping_rounds")}
    errors: dict[str, dict[str, list[float]]] = {}
    booster = library.train(
        parameters,
        matrix(problem.X, problem.y),
        evals=[(matrix(problem.X_validation, problem.y_validation), "validation")],
        evals_result=errors,
        verbose_eval=False,
        **limits,
    )
    trees = last_minimum(errors["validation"][metric]) + 1
    return lambda X: _both_classes(booster.predict(matrix(X), iteration_range=(0, trees)), problem)


def catboost_tuned(problem: Problem, **settings: Any) -> Predict:
    from catboost import CatBoost, Pool

    loss, metric = {0: ("RMSE", "RMSE"), 2: ("Logloss", "ZeroOneLoss")}.get(
        problem.classes, ("MultiClass", "ZeroOneLoss")
    )
    parameters = {**tuned_defaults("CatBoost", not problem.classes), **settings}
    parameters |= {"loss_function": loss, "eval_metric": metric, "use_best_model": False, "verbose": False}
    parameters |= {"random_seed": problem.seed, "thread_count": problem.threads, "allow_writing_files": False}

    def pool(X: Any, y: np.ndarray | None = None) -> Any:
        return Pool(_named(X, problem), y, cat_features=problem.categorical)

    model = CatBoost(parameters)
    model.fit(pool(problem.X, problem.y), eval_set=pool(problem.X_validation, problem.y_validation))
    trees = last_minimum(model.get_evals_result()["validation"][metric]) + 1
    kind = "Probability" if problem.classes else "RawFormulaVal"
    return lambda X: model.predict(pool(X), prediction_type=kind, ntree_end=trees, thread_count=problem.threads)


def last_minimum(values: Sequence[float]) -> int:
    """The position of the last of the smallest values."""
    return len(values) - 1 - int(np.argmin(values[::-1]))


def _both_classes(predicted: np.ndarray, problem: Problem) -> np.ndarray:
    """With a column for each of two classes, where a library predicts the probability of the second one."""
    return np.column_stack([1 - predicted, predicted]) if problem.classes == 2 else predicted


def _named(X: Any, problem: Problem) -> Any:
    """With a category in place of missing ones."""
    columns = [name for name in problem.categorical if X[name].isna().any()]
    return X.assign(**{name: X[name].cat.add_categories(MISSING).fillna(MISSING) for name in columns})
