"""Each setting of a tabular estimator has a part in its predictions."""

import functools
import inspect
import itertools

import numpy as np
import pytest

pandas = pytest.importorskip("pandas", reason="needs pandas")
pytest.importorskip("sklearn", minversion="1.6", reason="needs scikit-learn")

from fastmlp.tabular import RealMLPClassifier, RealMLPRegressor, TabMClassifier, TabMRegressor  # noqa: E402

RNG = np.random.default_rng(0)
TABLE = pandas.DataFrame(
    {"x": RNG.normal(size=120), "code": RNG.integers(0, 3, 120), "city": RNG.choice(list("abcdefghijkl"), 120)}
)
TARGETS = TABLE["x"] + (TABLE["city"] < "e") + RNG.normal(size=120)
HELD_OUT = {"val_fraction": 0.2}
CALLS = itertools.count()
LAST_IS_BEST = HELD_OUT | {"validation_metric": lambda y, found: -next(CALLS)}

# A value that is not the default, after the settings that it needs.
OF_ALL = {
    "n_epochs": ({}, 2),
    "batch_size": ({}, 16),
    "val_fraction": ({}, 0.5),
    "validation_metric": (LAST_IS_BEST, lambda y, found: next(CALLS)),
    "n_ensemble": ({}, 2),
    "refit": (HELD_OUT, True),
    "precision": ({}, "bfloat16"),
    "categorical_features": ({}, ["code"]),
    "random_state": ({}, 1),
}
OF_REALMLP = {
    "variant": ({}, "TD-S"),
    "hidden_sizes": ({}, (8,)),
    "act": ({}, "relu"),
    "use_parametric_act": ({}, False),
    "act_lr_factor": ({}, 0.5),
    "p_drop": ({}, 0.5),
    "p_drop_sched": ({}, None),
    "wd": ({}, 1.0),
    "wd_sched": ({}, None),
    "lr": ({}, 0.01),
    "lr_sched": ({}, None),
    "bias_lr_factor": ({}, 1.0),
    "add_front_scale": ({}, False),
    "scale_lr_factor": ({}, 1.0),
    "weight_init_mode": ({}, "normal"),
    "bias_init_mode": ({}, "zeros"),
    "last_layer_init_mode": ({}, "zeros"),
    "num_emb_type": ({}, "none"),
    "plr_sigma": ({}, 1.0),
    "plr_hidden_1": ({}, 8),
    "plr_hidden_2": ({}, 3),
    "plr_lr_factor": ({}, 1.0),
    "max_one_hot_cat_size": ({}, None),
    "embedding_size": ({}, 3),
    "mom": ({}, 0.5),
    "sq_mom": ({}, 0.5),
    "opt_eps": ({}, 1e-3),
}
OF_TABM = {
    "arch_type": ({}, "tabm-mini"),
    "k": ({}, 3),
    "n_blocks": ({}, 1),
    "d_block": ({}, 8),
    "dropout": ({}, 0.5),
    "activation": ({}, "tanh"),
    "num_embeddings": ({}, "none"),
    "n_bins": ({}, 5),
    "d_embedding": ({}, 4),
    "start_scaling_init": ({}, "random_signs"),
    "lr": ({}, 0.01),
    "weight_decay": ({}, 1.0),
    "gradient_clipping_norm": ({}, 0.01),
}
OF_CLASSIFIERS = {"class_weight": ({}, "balanced"), "calibrate": (HELD_OUT, True)}
OF_REGRESSORS = {
    "objective": ({}, "absolute_error"),
    "quantiles": ({"objective": "quantile"}, 0.9),
    "normalize_output": ({}, False),
}
CHANGES = {
    RealMLPClassifier: {**OF_ALL, **OF_REALMLP, **OF_CLASSIFIERS, "ls_eps": ({}, 0.3)},
    RealMLPRegressor: {**OF_ALL, **OF_REALMLP, **OF_REGRESSORS},
    TabMClassifier: {**OF_ALL, **OF_TABM, **OF_CLASSIFIERS},
    TabMRegressor: {**OF_ALL, **OF_TABM, **OF_REGRESSORS},
}
OTHERS = {
    "time_limit",
    "n_threads",
    "verbose",
    "clamp_output",
    "patience",
}  # change these predictions by chance, or not


def predictions(kind, **settings):
    small = {"hidden_sizes": (16, 16)} if "hidden_sizes" in CHANGES[kind] else {"d_block": 16, "k": 4}
    model = kind(**{"n_epochs": 3, "batch_size": 32, "val_fraction": 0.0, "random_state": 0, **small, **settings})
    if hasattr(model, "predict_proba"):
        return model.fit(TABLE, TARGETS > 1).predict_proba(TABLE)
    return model.fit(TABLE, TARGETS).predict(TABLE)


@functools.cache
def before(kind, *needed):
    return predictions(kind, **dict(needed))


@pytest.mark.parametrize("kind, name", [(kind, name) for kind, changes in CHANGES.items() for name in changes])
def test_each_setting_changes_the_predictions(kind, name):
    needed, value = CHANGES[kind][name]
    assert not np.array_equal(predictions(kind, **{**needed, name: value}), before(kind, *needed.items()))


@pytest.mark.parametrize("kind", CHANGES)
def test_no_setting_is_forgotten(kind):
    assert CHANGES[kind].keys() == inspect.signature(kind).parameters.keys() - OTHERS
