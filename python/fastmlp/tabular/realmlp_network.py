"""RealMLP's networks: their architecture, their initial parameters, and the factors of each group of parameters.

Of Holzmüller, Grinsztajn and Steinwart: Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on Tabular Data,
NeurIPS 2024. Its weights are in the neural tangent parametrization, z = x W / sqrt(inputs) + b; here W / sqrt(inputs)
is the weight, with Adam's learning rate divided by the root and epsilon multiplied by it, which is the same.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .estimator import Goal
from .network import Architecture, TabularNetwork
from .preparation import PreparedTable
from .training import Factors

MAX_INIT_ROWS = 100_000
"""Rows that initial parameters are computed from, at most."""


def architecture(
    settings: dict[str, Any],
    table: PreparedTable,
    cardinalities: tuple[int, ...],
    goal: Goal,
) -> Architecture:
    """Of a network for tables like this one."""
    is_embedded = settings["num_emb_type"] == "pbld" and table.numbers.shape[1] > 0
    return Architecture(
        numbers=table.numbers.shape[1],
        columns=table.one_hot.shape[1],
        categories=tuple((each, settings["embedding_size"]) for each in cardinalities),
        hidden=tuple(settings["hidden_sizes"]),
        outputs=goal.outputs,
        activation=settings["act"],
        loss=goal.loss,
        loss_settings=goal.loss_settings,
        scales_inputs=settings["add_front_scale"],
        mixes_activation=settings["use_parametric_act"],
        frequencies=settings["plr_hidden_1"] if is_embedded else 0,
        embedding_outputs=settings["plr_hidden_2"] - 1 if is_embedded else 0,
    )


def factors(network: TabularNetwork, settings: dict[str, Any]) -> dict[str, Factors]:
    """Of each group of parameters. As in pytabkit, the factor of the learning rate enters the weight decay squared."""
    result = {}
    for name, array in network.parameters.items():
        kind = name.split(".")[-1]
        if name.endswith("weights") and not name.startswith("numbers"):
            root = math.sqrt(array.shape[0])
            result[name] = Factors(1 / root, 1.0, root)
        elif name.startswith("numbers"):
            result[name] = Factors(settings["plr_lr_factor"], settings["plr_lr_factor"] ** 2)
        elif name.startswith("categories"):
            result[name] = Factors(1.0, 1.0)
        elif kind == "biases":
            result[name] = Factors(settings["bias_lr_factor"], 0.0)
        else:
            factor = settings["scale_lr_factor" if kind == "input_factors" else "act_lr_factor"]
            result[name] = Factors(factor, factor**2)
    return result


def initialize(
    network: TabularNetwork, settings: dict[str, Any], table: PreparedTable, rng: np.random.Generator, threads: int
) -> None:
    """Set initial parameters, which in the modes "std" and "he+5" depend on the rows of the training."""
    values = network.parameters
    for name, array in values.items():
        if name == "numbers.frequencies":
            array[:] = settings["plr_sigma"] * rng.normal(size=array.shape)
        elif name == "numbers.phases":
            array[:] = rng.uniform(-np.pi, np.pi, array.shape)
        elif name.startswith("numbers"):
            array[:] = rng.uniform(-1, 1, array.shape) / math.sqrt(network.architecture.frequencies)
        elif name.startswith("categories"):
            array[:] = rng.normal(size=array.shape)
        elif name.endswith("input_factors") or name.endswith("activation_shares"):
            array[:] = 1
    network.parameters = values
    if len(table) > MAX_INIT_ROWS:
        chosen = np.sort(rng.choice(len(table), MAX_INIT_ROWS, replace=False))
        table = PreparedTable(table.numbers[chosen], table.one_hot[chosen], table.codes[chosen])
    view = network.table(table)
    layers = len(network.architecture.hidden)
    needs_rows = settings["weight_init_mode"] == "std" or settings["bias_init_mode"] == "he+5"
    for i in range(layers + 1):
        name = f"hidden.{i}" if i < layers else "heads.0"
        shape = values[f"{name}.weights"].shape
        is_zero = i == layers and settings["last_layer_init_mode"] == "zeros"
        if not is_zero:
            inputs = network.core.hidden_outputs(view, i, threads) if needs_rows else np.empty((0, shape[0]))
            weights, biases = _initial_layer(settings, inputs, shape, rng)
            values[f"{name}.weights"], values[f"{name}.biases"] = weights, biases
            network.parameters = values


def _initial_layer(
    settings: dict[str, Any], inputs: np.ndarray, shape: tuple[int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Weights, shape (inputs, outputs), and biases, shape (outputs,)."""
    weights = rng.normal(size=shape) / math.sqrt(shape[0])
    z = (inputs @ weights.astype(inputs.dtype)).astype(np.float64)
    if settings["weight_init_mode"] == "std":
        deviation = z.std(axis=0)
        deviation[deviation == 0] = 1  # of inputs that are all alike
        weights, z = weights / deviation, z / deviation
    if settings["bias_init_mode"] == "normal":
        return weights, rng.normal(size=shape[1])
    if settings["bias_init_mode"] == "zeros":
        return weights, np.zeros(shape[1])
    # he+5: minus a random convex combination of the unit's values at five random rows
    chosen = rng.integers(0, len(z), (5, shape[1]))
    shares = rng.exponential(size=(5, shape[1]))
    shares /= shares.sum(axis=0)
    return weights, -(shares * z[chosen, np.arange(shape[1])]).sum(axis=0)
