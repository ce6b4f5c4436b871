"""The tuned defaults of boosted trees from "Better by Default" (Holzmüller, Grinsztajn, Steinwart; NeurIPS 2024).

Their authors chose them on tables that are not those of this benchmark. The values are those that pytabkit 1.7.3 gives
to the libraries (`default_params.py` and `alg_interfaces/`). Two differ from what it lists: `random_strength` of CatBoost
is cut to a whole number, so its 0.8 for classification acts as 0; `max_depth` and `max_bin` are other names of `depth` and
`border_count`.
"""

from typing import Any

LIBRARIES = ("LightGBM", "XGBoost", "CatBoost")

PARAMETERS: dict[str, dict[str, tuple[str, Any, Any]]] = {
    # meaning: by library, its own name of the parameter, and the values for classification and regression
    "trees at most": {
        "LightGBM": ("num_iterations", 1000, 1000),
        "XGBoost": ("num_boost_round", 1000, 1000),
        "CatBoost": ("iterations", 1000, 1000),
    },
    "trees without a better validation error": {
        "LightGBM": ("early_stopping_round", 300, 300),
        "XGBoost": ("early_stopping_rounds", 300, 300),
        "CatBoost": ("od_wait", 300, 300),
    },
    "learning rate": {
        "LightGBM": ("learning_rate", 0.04, 0.05),
        "XGBoost": ("eta", 0.08, 0.05),
        "CatBoost": ("learning_rate", 0.08, 0.09),
    },
    "share of rows of each tree": {
        "LightGBM": ("bagging_fraction", 0.75, 0.7),
        "XGBoost": ("subsample", 0.65, 0.7),
        "CatBoost": ("subsample", 0.9, 0.9),
    },
    "trees between two draws of rows": {"LightGBM": ("bagging_freq", 1, 1)},
    "how rows are drawn": {"CatBoost": ("bootstrap_type", "Bernoulli", "Bernoulli")},
    "share of features of each tree": {"LightGBM": ("feature_fraction", 1.0, 1.0)},
    "share of features of each level": {"XGBoost": ("colsample_bylevel", 0.9, 1.0)},
    "depth": {"XGBoost": ("max_depth", 6, 9), "CatBoost": ("depth", 7, 9)},
    "leaves": {"LightGBM": ("num_leaves", 50, 100)},
    "rows in a leaf": {"LightGBM": ("min_data_in_leaf", 40, 3)},
    "sum of second derivatives in a leaf": {
        "LightGBM": ("min_sum_hessian_in_leaf", 1e-7, 1e-7),
        "XGBoost": ("min_child_weight", 5e-6, 2.0),
    },
    "L2 penalty of leaf values": {
        "LightGBM": ("lambda_l2", 0.0, 0.0),
        "XGBoost": ("lambda", 0.0, 0.0),
        "CatBoost": ("l2_leaf_reg", 1e-5, 1e-5),
    },
    "Newton steps for leaf values": {"CatBoost": ("leaf_estimation_iterations", 1, 20)},
    "noise of scores of splits": {"CatBoost": ("random_strength", 0, 0)},
    "how gradients are estimated": {"CatBoost": ("boosting_type", "Plain", "Plain")},
    "bins of a feature": {
        "LightGBM": ("max_bin", 255, 255),
        "XGBoost": ("max_bin", 256, 256),
        "CatBoost": ("border_count", 254, 254),
    },
    "how splits are found": {"XGBoost": ("tree_method", "hist", "hist")},
    "categories of a one-hot feature": {"CatBoost": ("one_hot_max_size", 15, 20)},
}


def tuned_defaults(library: str, regression: bool) -> dict[str, Any]:
    """The arguments of a library, under its own names."""
    of_library = (row[library] for row in PARAMETERS.values() if library in row)
    return {name: values[regression] for name, *values in of_library}
