"""One-call studies: they train many networks at the same time and return a plain table of results.

Every study returns a list of dicts, one per network and epoch: the setting that was varied, the seed, the epoch, and the
columns of `History`. ``pandas.DataFrame(rows)`` makes it a data frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from . import sweeps, training_data, validation
from .history import Callback
from .network import Network
from .sweeps import Row, Study


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
    validation_data: Any = None,
    sample_weight: Any = None,
    callbacks: Iterable[Callback] = (),
) -> tuple[list[Row], list[Network]]:
    """Train a network for each configuration and seed, at the same time on one copy of the data.

    By default they are trained in this process. Inside ``joblib.parallel_config(backend=..., n_jobs=...)`` with more than
    one worker, joblib runs them, with the same results: "threading" trains n_jobs of them at a time in this process; other
    backends, such as "loky" and "dask", get one task per network, send the data in their own way, and limit the threads
    of each worker.

    Parameters
    ----------
    configurations : sequence of mapping
        Settings of `Network` and `Trainer` by name, such as ``{"layer_sizes": (784, 128, 10), "batch_size": 32}``;
        all but the seed.
    X, y, epochs, validation_data, sample_weight, verbose, n_threads
        As in `fit_many`. The workers of joblib share n_threads. With validation_data the columns are ``val_loss`` and
        ``val_accuracy``, or, with a dict, ``<name>_loss`` and ``<name>_accuracy``.
    seeds : iterable of int >= 0
        Each seeds the initial weights and the row orders of one network.
    evaluation_sets : mapping of str to (X, y), optional
        The same as validation_data with a dict.
    callbacks : iterable of callable
        As in `fit_many`; its rows end where a callback ends the fit of a network. joblib's processes call copies.

    Returns
    -------
    rows : list of dict
        In the order of configurations, then seeds, then epochs: the configuration (its "loss" as "loss_function"), "seed",
        "epoch", and the epoch's entries of `History` and of the evaluation sets. The last row of a network that diverges
        is that of the epoch in which it does; all measured values in it are nan.
    networks : list of Network
        The trained networks, in the same order.

    Raises
    ------
    ValueError, TypeError
        If a configuration or an argument is invalid; nothing is trained then.
    Exception
        As `fit_many`, except for divergence. An exception of a joblib worker has a note with the configuration.
    """
    if evaluation_sets is not None and validation_data is not None:
        raise TypeError("pass validation_data or evaluation_sets, got both")
    seeds = [validation.check_seed(seed) for seed in seeds]
    nets = [(dict(configuration), seed) for configuration in configurations for seed in seeds]
    sets = training_data.validation_sets(validation_data if evaluation_sets is None else evaluation_sets)
    callbacks = validation.check_callbacks(callbacks)
    outcomes = sweeps.train(nets, Study(X, y, epochs, sets, sample_weight, callbacks, verbose, n_threads))
    return [row for table, _ in outcomes for row in table], [network for _, network in outcomes]


def batch_sizes(
    sizes: Sequence[int], X: Any, y: Any, epochs: int, settings: Mapping[str, Any], **study: Any
) -> list[Row]:
    """Networks that differ in "batch_size".

    Parameters
    ----------
    sizes : sequence of int >= 1
    X, y, epochs
        As in `compare`.
    settings : mapping
        The common settings of all networks, as in `compare`.
    **study
        The keywords of `compare` after epochs, such as seeds and validation_data.
    """
    return compare([{**settings, "batch_size": size} for size in sizes], X, y, epochs, **study)[0]


def penalty_path(
    norm: str, strengths: Sequence[float], X: Any, y: Any, epochs: int, settings: Mapping[str, Any], **study: Any
) -> list[Row]:
    """Networks that differ in the strength of one penalty.

    Parameters
    ----------
    norm : {"l1", "l2"}
        "l1" uses proximal steps, so that weights become exactly zero.
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
    """Networks of several widths and depths; each hidden layer is `ratio` times as wide as the one before.

    Parameters
    ----------
    first_widths, depths : sequence of int >= 1
        Widths of the first hidden layer, and numbers of hidden layers: columns "width" and "depth".
    X, y, epochs, settings, **study
        As in `batch_sizes`.
    outputs : int >= 1
    ratio : float > 0

    Returns
    -------
    list of dict
        As the rows of `compare`, with "width", "depth" and "parameters", the number of weights and biases.
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
    """The widths of `depth` hidden layers, each `ratio` times as wide as the one before, rounded, at least 1."""
    first = validation.check_integer("first", first, 1)
    depth = validation.check_integer("depth", depth, 1)
    return tuple(max(1, round(first * ratio**layer)) for layer in range(depth))


def learning_curve(
    train_sizes: Sequence[int], X: Any, y: Any, epochs: int, settings: Mapping[str, Any], **study: Any
) -> list[Row]:
    """Networks that are trained on the first rows of X and y only: column "train_size".

    Parameters
    ----------
    train_sizes : sequence of int >= 1
        At most the number of rows of X.
    X, y, epochs, settings, **study
        As in `batch_sizes`.
    """
    X, y = X.tocsr() if hasattr(X, "tocsr") else X, training_data.as_array("y", y)  # of which parts can be taken
    rows = []
    for size in train_sizes:
        size = validation.check_integer("train_sizes", size, 1, len(y))
        rows_of_size, _ = compare([settings], X[:size], y[:size], epochs, **study)
        rows += [{"train_size": size, **row} for row in rows_of_size]
    return rows
