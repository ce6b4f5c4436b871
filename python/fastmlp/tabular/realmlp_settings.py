"""RealMLP's settings: the values of each variant, and their ranges.

Of table A.1 of the paper and of pytabkit's default_params.
"""

from __future__ import annotations

from typing import Any

from .. import validation
from ..schedules import check_schedule
from .network import HIDDEN_ACTIVATIONS

OF_BOTH = {
    "hidden_sizes": (256, 256, 256),
    "bias_lr_factor": 0.1,
    "scale_lr_factor": 6.0,
    "act_lr_factor": 0.1,
    "plr_sigma": 0.1,
    "plr_hidden_1": 16,
    "plr_hidden_2": 4,
    "plr_lr_factor": 0.1,
    "embedding_size": 8,
}

OF_VARIANT = {
    "TD": {
        "use_parametric_act": True,
        "weight_init_mode": "std",
        "bias_init_mode": "he+5",
        "last_layer_init_mode": "as_others",
        "p_drop": 0.15,
        "wd": 0.02,
        "num_emb_type": "pbld",
        "max_one_hot_cat_size": 9,
        "clamp_output": True,
    },
    "TD-S": {
        "use_parametric_act": False,
        "weight_init_mode": "normal",
        "bias_init_mode": "normal",
        "last_layer_init_mode": "zeros",
        "p_drop": 0.0,
        "wd": 0.0,
        "num_emb_type": "none",
        "max_one_hot_cat_size": None,
        "clamp_output": False,
    },
}

LEARNING_RATES = {
    ("TD", "classification"): 0.04,
    ("TD-S", "classification"): 0.04,
    ("TD", "regression"): 0.2,
    ("TD-S", "regression"): 0.07,
}

ACTIVATIONS = {"classification": "selu", "regression": "mish"}

CHOICES = {
    "weight_init_mode": ("std", "normal"),
    "bias_init_mode": ("he+5", "normal", "zeros"),
    "last_layer_init_mode": ("as_others", "zeros"),
    "num_emb_type": ("pbld", "none"),
}

FACTORS = ("act_lr_factor", "bias_lr_factor", "scale_lr_factor", "plr_lr_factor", "plr_sigma", "wd")
"""Settings that are numbers from 0 on."""

RANGES = {
    "embedding_size": (1,),
    "plr_hidden_1": (1, 128),
    "plr_hidden_2": (2, 65),
}
"""Settings that are integers, and their least and, if it has one, greatest value."""


def checked(given: dict[str, Any], task: str) -> dict[str, Any]:
    """The settings of an estimator with these parameters: those that are None by their values in the variant."""
    variant = validation.check_choice("variant", given["variant"], tuple(OF_VARIANT))
    defaults = OF_BOTH | OF_VARIANT[variant] | {"lr": LEARNING_RATES[variant, task], "act": ACTIVATIONS[task]}
    settings = given | {name: value for name, value in defaults.items() if given.get(name) is None}
    size = given["max_one_hot_cat_size"]  # None has a meaning of its own
    settings["max_one_hot_cat_size"] = defaults["max_one_hot_cat_size"] if size == "default" else size
    check = validation
    if isinstance(settings["hidden_sizes"], str) or not hasattr(settings["hidden_sizes"], "__getitem__"):
        raise TypeError(f"hidden_sizes must be a sequence of integers, got {settings['hidden_sizes']!r}")
    settings["hidden_sizes"] = tuple(
        check.check_integer(f"hidden_sizes[{i}]", size, 1) for i, size in enumerate(settings["hidden_sizes"])
    )
    if not settings["hidden_sizes"]:
        raise ValueError("hidden_sizes must have at least one entry, got ()")
    check.check_choice("act", settings["act"], HIDDEN_ACTIVATIONS)
    for name, choices in CHOICES.items():
        check.check_choice(name, settings[name], choices)
    for name in ("use_parametric_act", "add_front_scale"):
        settings[name] = check.check_flag(name, settings[name])
    for name in FACTORS:
        settings[name] = check.check_number(name, settings[name], minimum=0)
    for name in ("p_drop", "mom", "sq_mom"):
        settings[name] = check.check_number(name, settings[name], minimum=0, below=1)
    settings["opt_eps"] = check.check_number("opt_eps", settings["opt_eps"], above=0)
    for name, bounds in RANGES.items():
        settings[name] = check.check_integer(name, settings[name], *bounds)
    if settings["max_one_hot_cat_size"] is not None:
        check.check_integer("max_one_hot_cat_size", settings["max_one_hot_cat_size"], 0)
    for name in ("lr_sched", "p_drop_sched", "wd_sched"):
        settings[name] = check_schedule(name, settings[name])
    return settings
