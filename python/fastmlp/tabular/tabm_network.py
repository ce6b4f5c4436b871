"""TabM's networks: settings, architecture, initial parameters, and weight decay.

Of Gorishniy, Kotelnikov and Babenko: TabM: Advancing Tabular Deep Learning with Parameter-Efficient Ensembling, ICLR
2025. The embeddings of numbers are the piecewise linear ones of Gorishniy, Rubachev and Babenko (NeurIPS 2022), in
version B.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import validation
from .estimator import Goal
from .network import HIDDEN_ACTIVATIONS, Architecture, TabularNetwork
from .preparation import PreparedTable
from .training import Factors

ARCHITECTURES = ("tabm", "tabm-mini")

EMBEDDINGS = ("piecewise_linear", "none")

INITIAL_FACTORS = ("auto", "normal", "random_signs")


def checked(given: dict[str, Any]) -> dict[str, Any]:
    """The settings of an estimator with these parameters."""
    settings, check = dict(given), validation
    check.check_choice("arch_type", settings["arch_type"], ARCHITECTURES)
    check.check_choice("num_embeddings", settings["num_embeddings"], EMBEDDINGS)
    check.check_choice("activation", settings["activation"], HIDDEN_ACTIVATIONS)
    check.check_choice("start_scaling_init", settings["start_scaling_init"], INITIAL_FACTORS)
    embeds = settings["num_embeddings"] == "piecewise_linear"
    if settings["n_blocks"] is None:
        settings["n_blocks"] = 2 if embeds else 3
    if settings["start_scaling_init"] == "auto":
        settings["start_scaling_init"] = "normal" if embeds else "random_signs"
    for name in ("k", "n_blocks", "d_block"):
        settings[name] = check.check_integer(name, settings[name], 1)
    settings["d_embedding"] = check.check_integer("d_embedding", settings["d_embedding"], 1, 64)
    settings["n_bins"] = check.check_integer("n_bins", settings["n_bins"], 2)
    if settings["patience"] is not None:
        settings["patience"] = check.check_integer("patience", settings["patience"], 0)
    settings["dropout"] = check.check_number("dropout", settings["dropout"], minimum=0, below=1)
    settings["weight_decay"] = check.check_number("weight_decay", settings["weight_decay"], minimum=0)
    if settings["gradient_clipping_norm"] is not None:
        norm = check.check_number("gradient_clipping_norm", settings["gradient_clipping_norm"], above=0)
        settings["gradient_clipping_norm"] = norm
    return settings


MIN_WIDTH = 1e-3
"""Of a bin, where numbers have standard deviation 1: an embedding is steep in narrow bins, and the first and the last bin
go on without end. The original has no such bound."""


def bin_edges(numbers: np.ndarray, n_bins: int) -> tuple[tuple[float, ...], ...]:
    """The quantiles of each column, one of those that are close together. A constant column has one bin of width 1."""
    quantiles = np.quantile(numbers, np.linspace(0, 1, min(n_bins, max(1, len(numbers) - 1)) + 1), axis=0)
    return tuple(_apart(np.unique(column.astype(np.float32)).tolist()) for column in quantiles.T)


def _apart(edges: list[float]) -> tuple[float, ...]:
    kept = edges[:1]
    for edge in edges[1:]:
        if edge - kept[-1] >= MIN_WIDTH:
            kept.append(edge)
    return tuple(kept) if len(kept) > 1 else (kept[0], kept[0] + 1)


def architecture(settings: dict[str, Any], table: PreparedTable, goal: Goal) -> Architecture:
    """Of a network for tables like this one."""
    numbers, is_mini = table.numbers.shape[1], settings["arch_type"] == "tabm-mini"
    embeds = settings["num_embeddings"] == "piecewise_linear" and numbers > 0
    return Architecture(
        numbers=numbers,
        columns=table.one_hot.shape[1],
        hidden=(settings["d_block"],) * settings["n_blocks"],
        outputs=goal.outputs,
        activation=settings["activation"],
        loss=goal.loss,
        loss_settings=goal.loss_settings,
        members=settings["k"],
        scales_inputs=is_mini,
        scales_layers=not is_mini,
        embedding_outputs=settings["d_embedding"] if embeds else 0,
        bin_edges=bin_edges(table.numbers, settings["n_bins"]) if embeds else (),
    )


def factors(network: TabularNetwork) -> dict[str, Factors]:
    """Weights and the members' factors decay; biases and the linear part of embeddings do not."""
    without_decay = ("biases", "member_biases", "slopes")
    return {
        name: Factors(weight_decay=0.0 if name.split(".")[-1] in without_decay else 1.0) for name in network.parameters
    }


def initialize(
    network: TabularNetwork, settings: dict[str, Any], one_hot_sizes: tuple[int, ...], rng: np.random.Generator
) -> None:
    """Members differ only in the factors of the first layer's inputs, of which the columns of a feature have the same,
    and in their output layers.
    """
    values, a = network.parameters, network.architecture
    per_number = a.embedding_outputs if a.bin_edges else 1
    columns_of_feature = [per_number] * a.numbers + list(one_hot_sizes)
    for name, array in values.items():
        kind = name.split(".")[-1]
        if name.startswith("numbers"):
            if kind != "weights":
                array[:] = _uniform(rng, array.shape, a.embedding_outputs)
        elif name == "hidden.0.input_factors":
            shape = (a.members, len(columns_of_feature))
            random = rng.normal(size=shape) if settings["start_scaling_init"] == "normal" else _signs(rng, shape)
            array[:] = np.repeat(random, columns_of_feature, axis=1)
        elif kind in ("input_factors", "output_factors"):
            array[:] = 1
        elif kind == "member_biases":
            array[:] = _uniform(rng, array.shape[1:], _inputs(values, name))
        elif kind == "weights":
            array[:] = _uniform(rng, array.shape, len(array))
        else:
            array[:] = _uniform(rng, array.shape, _inputs(values, name))
    network.parameters = values


def _inputs(values: dict[str, np.ndarray], name: str) -> int:
    """The number of inputs of the layer that this array belongs to."""
    return len(values[name.rpartition(".")[0] + ".weights"])


def _uniform(rng: np.random.Generator, shape: tuple[int, ...], inputs: int) -> np.ndarray:
    return rng.uniform(-1, 1, shape) / math.sqrt(inputs)


def _signs(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.choice((-1.0, 1.0), shape)
