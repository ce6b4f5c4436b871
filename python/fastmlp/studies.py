"""One-call studies: many nets side by side, and a plain table of what became of each.

Every study returns a list of dicts, one per net and epoch: what was varied, the seed, the epoch, and the columns of
`History`. ``pandas.DataFrame(rows)`` makes it a data frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from . import sweeps, validation
from .network import Network
from .sweeps import Row


def compare(
    configurations: Sequence[Mapping[str, Any]],
    X: Any,
    y: Any,
    epochs: int,
    *,
    seeds: Iterable[int] = (0,),
    evaluation_sets: Mapping[str, tuple[Any, Any]] | None = None,
    verbose: bool | str = "auto",
    n_threads: int | None = None,
) -> tuple[list[Row], list[Network]]:
    """Train a net for each configuration and seed, side by side on one copy of the data.

    In this process. Under ``joblib.parallel_config(backend=..., n_jobs=...)`` with more than one worker, the nets
    go where it says, and the results are the same: "threading" trains n_jobs of them at a time in this process; other
    backends, such as "loky" and "dask", get one task per net, send them the data by their own means, and limit each
    worker's threads.

    Parameters
    ----------
    configurations : sequence of mapping
        Settings of `Network` and `Trainer` by name, such as ``{"layer_sizes": (784, 128, 10), "batch_size": 32}``;
        all but the seed.
    X, y, epochs, verbose, n_threads
        As in `fit_many`. Workers of joblib share n_threads.
    seeds : iterable of int >= 0
        Each is that of the initial weights and of the row orders.
    evaluation_sets : mapping of str to (X, y), optional
        Evaluated after each epoch, into columns ``<name>_loss`` and ``<name>_accuracy``.

    Returns
    -------
    rows : list of dict
        Net after net, in the order of configurations and then seeds, and epoch after epoch: the configuration (its
        "loss" as "loss_function"), "seed", "epoch", and the epoch's entries of `History` and of the evaluation sets. A
        net that diverges has its last row in that epoch, where everything measured is nan.
    networks : list of Network
        The trained nets, in the same order.

    Raises
    ------
    ValueError, TypeError
        If a configuration or an argument does not fit; nothing is trained then.
    Exception
        As `fit_many`, but for divergence. One from a worker of joblib also has a note of the configuration.
    """
    seeds = [validation.check_seed(seed) for seed in seeds]
    nets = [(dict(configuration), seed) for configuration in configurations for seed in seeds]
    outcomes = sweeps.train(nets, X, y, epochs, evaluation_sets or {}, verbose, n_threads)
    return [row for table, _ in outcomes for row in table], [network for _, network in outcomes]


def batch_sizes(
    sizes: Sequence[int], X: Any, y: Any, epochs: int, settings: Mapping[str, Any], **study: Any
) -> list[Row]:
    """Nets that differ in "batch_size".

    Parameters
    ----------
    sizes : sequence of int >= 1
    X, y, epochs
        As in `compare`.
    settings : mapping
        What all nets have in common, as in `compare`.
    **study
        seeds, evaluation_sets, verbose, n_threads of `compare`.
    """
    return compare([{**settings, "batch_size": size} for size in sizes], X, y, epochs, **study)[0]


def penalty_path(
    norm: str, strengths: Sequence[float], X: Any, y: Any, epochs: int, settings: Mapping[str, Any], **study: Any
) -> list[Row]:
    """Nets that differ in the strength of one penalty.

    Parameters
    ----------
    norm : {"l1", "l2"}
        l1 by proximal steps, so that weights become exactly zero.
    strengths : sequence of float >= 0
    X, y, epochs, settings, **study
        As in `batch_sizes`.
    """
    validation.check_choice("norm", norm, ("l1", "l2"))
    common = {**settings, "proximal": True} if norm == "l1" else dict(settings)
    return compare([{**common, norm: strength} for strength in strengths], X, y, epochs, **study)[0]


def architectures(
    first_widths: Sequence[int],
    depths: Sequence[int],
    X: Any,
    y: Any,
    epochs: int,
    settings: Mapping[str, Any],
    *,
    outputs: int,
    ratio: float = 0.75,
    **study: Any,
) -> list[Row]:
    """Nets of several widths and depths, each hidden layer `ratio` times as wide as the one before.

    Parameters
    ----------
    first_widths, depths : sequence of int >= 1
        Of the first hidden layer, and numbers of hidden layers: columns "width" and "depth".
    X, y, epochs, settings, **study
        As in `batch_sizes`.
    outputs : int >= 1
    ratio : float > 0

    Returns
    -------
    list of dict
        As of `compare`, with "width", "depth" and "parameters", the number of weights and biases.
    """
    ratio = validation.check_number("ratio", ratio, above=0)
    features = X.shape[1] if hasattr(X, "shape") else np.asarray(X).shape[1]
    shapes = {
        (features, *widths(width, depth, ratio), outputs): {"width": width, "depth": depth}
        for width in first_widths
        for depth in depths
    }
    rows, _ = compare([{**settings, "layer_sizes": sizes} for sizes in shapes], X, y, epochs, **study)
    return [
        {
            **shapes[row["layer_sizes"]],
            "parameters": sum((a + 1) * b for a, b in zip(row["layer_sizes"], row["layer_sizes"][1:])),
            **row,
        }
        for row in rows
    ]


def widths(first: int, depth: int, ratio: float = 0.75) -> tuple[int, ...]:
    """Of `depth` hidden layers, each `ratio` times as wide as the one before, rounded, at least 1."""
    first = validation.check_integer("first", first, 1)
    depth = validation.check_integer("depth", depth, 1)
    return tuple(max(1, round(first * ratio**layer)) for layer in range(depth))


def learning_curve(
    train_sizes: Sequence[int], X: Any, y: Any, epochs: int, settings: Mapping[str, Any], **study: Any
) -> list[Row]:
    """Nets that learn from the first rows of X and y only: column "train_size".

    Parameters
    ----------
    train_sizes : sequence of int >= 1
        At most as many as X has rows.
    X, y, epochs, settings, **study
        As in `batch_sizes`.
    """
    rows = []
    for size in train_sizes:
        size = validation.check_integer("train_sizes", size, 1, len(y))
        found, _ = compare([settings], X[:size], y[:size], epochs, **study)
        rows += [{"train_size": size, **row} for row in found]
    return rows
