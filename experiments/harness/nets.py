"""Trains nets side by side, one job per seed, and puts their curves and final values into tables."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from fastmlp import Network, studies

from harness.digits import INPUT_SCALE, Digits, Split
from harness.jobs import Job
from harness.tables import Row

THIN = 5  # of the later epochs of a thinned curve, each fifth is kept

Net = tuple[Mapping[str, Any], Mapping[str, Any]]
"""Columns that name a net in tables, and its settings of `Network` and `Trainer` but for seed and input scale."""


def train(
    digits: Digits,
    split: Split,
    nets: Sequence[Net],
    epochs: int,
    seed: int,
    *,
    final: Sequence[str] = (),
    curves: Sequence[str] = (),
    thin_after: int = 10**9,
    observe: Callable[[Network], dict[str, Any]] | None = None,
) -> Job:
    """A job that trains all nets with one seed.

    Parameters
    ----------
    final : sequence of str
        A table, and its columns: "parameters", "seconds" (the median epoch), "zeros" (the share of first-layer weights),
        and loss and accuracy of a set as "<set>_loss" and "<set>_accuracy", where "train" is the rows that the nets learn
        from. Empty for a net that diverged.
    curves : sequence of str
        A table, and its columns: those of `History` and of the split's sets for each epoch, "updates", and "seconds"
        since the start.
    thin_after : int
        The epoch after which only each fifth epoch and the last one stay in `curves`.
    observe : callable
        What else to keep of a trained net: the result's "observed" holds it, net by net.
    """
    settings = [{"input_scale": INPUT_SCALE, **of_net} for _, of_net in nets]
    configuration = {
        "data": digits.name,
        "rows": [len(digits.x_train), len(digits.x_test)],
        "split": split.name,
        "nets": [{**of_net, "layer_sizes": list(of_net["layer_sizes"])} for of_net in settings],
        "epochs": epochs,
        "seed": seed,
        "columns": [list(final[1:]), list(curves[1:])],
    }
    sets = {name: pair for name, pair in split.evaluation_sets.items() if _uses(curves[1:], name)}

    def measure() -> dict[str, Any]:
        table, networks = studies.compare(
            settings, split.X, split.y, epochs, seeds=(seed,), validation_data=sets, verbose=False, return_networks=True
        )
        begins = [i for i, row in enumerate(table) if row["epoch"] == 1]
        of_each = [table[begin:end] for begin, end in pairwise([*begins, len(table)])]
        result: dict[str, Any] = {
            "final": [_final(final[1:], rows, net, split) for rows, net in zip(of_each, networks)],
            "curves": [_curve(curves[1:], rows, split, thin_after) if curves else [] for rows in of_each],
        }
        if observe:
            result["observed"] = [observe(net) for net in networks]
        return result

    def rows(result: dict[str, Any]) -> dict[str, list[Row]]:
        named = [{**columns, "seed": seed} for columns, _ in nets]
        tables = {}
        if final:
            tables[final[0]] = [{**name, **values} for name, values in zip(named, result["final"])]
        if curves:
            tables[curves[0]] = [{**name, **row} for name, part in zip(named, result["curves"]) for row in part]
        return tables

    return Job(configuration, measure, rows)


def _uses(columns: Sequence[str], name: str) -> bool:
    return any(column.startswith(f"{name}_") for column in columns)


def _final(columns: Sequence[str], rows: Sequence[Row], net: Network, split: Split) -> Row:
    if math.isnan(rows[-1]["loss"]):
        return dict.fromkeys(columns, math.nan)
    sets = {"train": (split.X, split.y), **split.evaluation_sets}
    evaluations = {name: net.evaluate(*pair) for name, pair in sets.items() if _uses(columns, name)}
    values: Row = {
        "parameters": net.parameter_count,
        "seconds": float(np.median([row["seconds"] for row in rows])),
        "zeros": float(np.mean(net.weights[0] == 0)),
    }
    for name, evaluation in evaluations.items():
        values |= {f"{name}_loss": evaluation.loss, f"{name}_accuracy": evaluation.accuracy}
    return {name: values[name] for name in columns}


def _curve(columns: Sequence[str], rows: Sequence[Row], split: Split, thin_after: int) -> list[Row]:
    updates = 1 if rows[0].get("accumulate") == "epoch" else math.ceil(len(split.X) / rows[0]["batch_size"])
    seconds = np.cumsum([row["seconds"] for row in rows]).tolist()
    return [
        {name: {**row, "updates": row["epoch"] * updates, "seconds": now}[name] for name in ("epoch", *columns)}
        for row, now in zip(rows, seconds)
        if row["epoch"] <= thin_after or row["epoch"] % THIN == 0 or row is rows[-1]
    ]
