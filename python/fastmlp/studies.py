"""One-call studies: they train many networks at the same time and return a plain table of results.

Every study returns a list of dicts, one per network and epoch: the setting that was varied, the seed, the epoch, and the
columns of `History`. ``pandas.DataFrame(rows)`` makes it a data frame. With ``return_networks=True`` it returns a pair,
the list and the trained networks.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from . import sweeps, training_data, validation
from .callbacks import check_of_several
from .history import Callback
from .network import Network
from .sweeps import Row, Study

Result = list[Row] | tuple[list[Row], list[Network]]


@validation.checks_arguments()
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
    metrics: Mapping[str, Callable[..., Any]] | None = None,
    return_networks: bool = False,
) -> Any:
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
    X, y, epochs, validation_data, sample_weight, metrics, verbose, n_threads
        As in `fit_many`. The workers of joblib share n_threads. With validation_data the columns are ``val_loss`` and
        ``val_accuracy``, or, with a dict, ``<name>_loss`` and ``<name>_accuracy``.
    seeds : iterable of int >= 0
        Each seeds the initial weights and the row orders of one network. By default 0 alone.
    callbacks : iterable of callable
        As in `fit_many`; its rows end where a callback ends the fit of a network. joblib's processes call copies.
    return_networks : bool
        Also return the networks.
    evaluation_sets : mapping of str to (X, y), optional
        The old name of validation_data with a dict.

    Returns
    -------
    list of dict
        In the order of configurations, then seeds, then epochs: the configuration (its "loss" as "loss_function"), "seed",
        "epoch", and the epoch's entries of `History` ("learning_rate", which a schedule changes, as
        "epoch_learning_rate"). If any configuration names a setting, all rows have it; where it is not named, with the
        value that `Network` or `Trainer` uses. The last row of a network that diverges is that of the epoch in which
        it does; all measured values in it are nan.
    networks : list of Network
        With ``return_networks=True``: the trained networks, in the same order; with `average_decay` the running means.

    Raises
    ------
    ValueError, TypeError
        If a configuration or an argument is invalid; nothing is trained then.
    Exception
        As `fit_many`, except for divergence. An exception of a joblib worker has a note with the configuration.
    """
    return_networks = validation.check_flag("return_networks", return_networks)
    if isinstance(configurations, Mapping):
        raise TypeError(
            f"configurations must be a sequence of mappings, got a mapping: pass [{dict(configurations)!r}]"
        )
    if evaluation_sets is not None:
        if validation_data is not None:
            raise TypeError("pass validation_data or evaluation_sets, got both")
        validation.warn("evaluation_sets is now validation_data, and ends with version 0.3", DeprecationWarning)
        validation_data = evaluation_sets
    if not isinstance(seeds, Iterable):
        raise TypeError(f"seeds must be an iterable of int >= 0, got {seeds!r}: for one network pass [{seeds!r}]")
    seeds = [validation.check_seed(seed) for seed in _check_several("seeds", seeds)]
    settings = []
    for i, each in enumerate(_check_several("configurations", configurations)):
        if not isinstance(each, Mapping):
            raise TypeError(f"configurations[{i}] must be a mapping of settings, got {validation.shown(each)}")
        settings.append(dict(each))
    nets = [(configuration, seed) for configuration in settings for seed in seeds]
    sets = training_data.validation_sets(validation_data)
    callbacks = validation.check_callbacks(callbacks)
    outcomes = sweeps.train(nets, Study(X, y, epochs, sets, sample_weight, callbacks, verbose, n_threads, metrics))
    varied = list(dict.fromkeys(name for configuration in settings for name in configuration))
    defaults = [default for each in settings for default in [sweeps.default_columns(each, varied)] * len(seeds)]
    rows = [{**default, **row} for default, (table, _) in zip(defaults, outcomes) for row in table]
    return (rows, [network for _, network in outcomes]) if return_networks else rows


def _study(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator: the function takes the keywords of `compare` as well, in place of its ``**study``."""
    own = inspect.signature(function)
    keywords = [p for p in inspect.signature(compare).parameters.values() if p.kind is p.KEYWORD_ONLY]
    parameters = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
    function.__signature__ = own.replace(parameters=[*parameters, *keywords])  # type: ignore[attr-defined]
    return validation.checks_arguments()(function)


def _check_several(name: str, values: Any) -> list[Any]:
    """The values that a study varies: at least one."""
    if isinstance(values, (str, Mapping)) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a sequence, got {validation.shown(values)}: for one pass [{values!r}]")
    checked = list(values)
    if not checked:
        raise ValueError(f"{name} must have at least one entry, got none")
    return checked


def _check_varied(settings: Mapping[str, Any], *names: str) -> None:
    if not isinstance(settings, Mapping):
        raise TypeError(
            f"settings must be a mapping such as {{'layer_sizes': (4, 8, 2)}}, got {validation.shown(settings)}"
        )
    for name in names:
        if name in settings:
            raise ValueError(f"settings must not hold {name!r}, which this study sets itself, got {settings[name]!r}")


def _check_shape(X: Any) -> tuple[int, int]:
    shape = X.shape if hasattr(X, "shape") else np.shape(X)
    if len(shape) != 2:
        raise ValueError(f"X must have shape (samples, features), got {shape}")
    return shape


@_study
def batch_sizes(sizes: Sequence[int], X: Any, y: Any, epochs: int, settings: Mapping[str, Any], **study: Any) -> Result:
    """Networks that differ in "batch_size".

    Parameters
    ----------
    sizes : sequence of int >= 1
    X, y, epochs
        As in `compare`.
    settings : mapping
        The common settings of all networks, as in `compare`, but for those that the study sets itself.
    seeds, validation_data, sample_weight, callbacks, metrics, verbose, n_threads, return_networks, evaluation_sets
        As in `compare`. So are the results and the errors.
    """
    _check_varied(settings, "batch_size")
    several = _check_several("sizes", sizes)
    return compare([{**settings, "batch_size": size} for size in several], X, y, epochs, **study)


@_study
def penalty_path(
    norm: str, strengths: Sequence[float], X: Any, y: Any, epochs: int, settings: Mapping[str, Any], **study: Any
) -> Result:
    """Networks that differ in the strength of one penalty.

    Parameters
    ----------
    norm : {"l1", "l2"}
        "l1" uses proximal steps, so that weights become exactly zero.
    strengths : sequence of float >= 0
    X, y, epochs, settings, and the other keywords
        As in `batch_sizes`.
    """
    validation.check_choice("norm", norm, ("l1", "l2"))
    own = {"proximal": True} if norm == "l1" else {}
    _check_varied(settings, norm, *own)
    several = _check_several("strengths", strengths)
    return compare([{**settings, **own, norm: strength} for strength in several], X, y, epochs, **study)


@_study
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
) -> Result:
    """Networks of several widths and depths; each hidden layer is `ratio` times as wide as the one before.

    Parameters
    ----------
    first_widths, depths : sequence of int >= 1
        Widths of the first hidden layer, and numbers of hidden layers: columns "width" and "depth".
    X, y, epochs, settings, and the other keywords
        As in `batch_sizes`.
    outputs : int >= 1
    ratio : float > 0

    Returns
    -------
    list of dict
        As the rows of `compare`, with "width", "depth" and "parameters", the number of weights and biases.
    """
    ratio = validation.check_number("ratio", ratio, above=0)
    _check_varied(settings, "layer_sizes")
    first_widths, depths = _check_several("first_widths", first_widths), _check_several("depths", depths)
    _, features = _check_shape(X)
    shapes = {
        (features, *widths(width, depth, ratio), outputs): {"width": width, "depth": depth}
        for width in first_widths
        for depth in depths
    }

    def with_shape(row: Row) -> Row:
        sizes = row["layer_sizes"]
        return {**shapes[sizes], "parameters": sum((a + 1) * b for a, b in zip(sizes, sizes[1:])), **row}

    result = compare([{**settings, "layer_sizes": sizes} for sizes in shapes], X, y, epochs, **study)
    if isinstance(result, tuple):
        return list(map(with_shape, result[0])), result[1]
    return list(map(with_shape, result))


def widths(first: int, depth: int, ratio: float = 0.75) -> tuple[int, ...]:
    """The widths of `depth` hidden layers, each `ratio` times as wide as the one before, rounded, at least 1."""
    first = validation.check_integer("first", first, 1)
    depth = validation.check_integer("depth", depth, 1)
    return tuple(max(1, round(first * ratio**layer)) for layer in range(depth))


@_study
def learning_curve(
    train_sizes: Sequence[int], X: Any, y: Any, epochs: int, settings: Mapping[str, Any], **study: Any
) -> Result:
    """Networks that are trained on the first rows of X and y only: column "train_size".

    Parameters
    ----------
    train_sizes : sequence of int >= 1
        At most the number of rows of X.
    X, y, epochs, settings, and the other keywords
        As in `batch_sizes`. sample_weight has a weight for each row of X, of which the first are used, too.
    """
    _check_varied(settings)
    X, y = X.tocsr() if hasattr(X, "tocsr") else X, training_data.as_array("y", y)  # of which parts can be taken
    samples, _ = _check_shape(X)
    if samples != len(y):
        raise ValueError(f"X and y must have the same number of rows, got {samples} and {len(y)}")
    sizes = [
        validation.check_integer("train_sizes", size, 1, len(y)) for size in _check_several("train_sizes", train_sizes)
    ]
    with_networks = validation.check_flag("return_networks", study.pop("return_networks", False))
    weights = study.pop("sample_weight", None)
    if weights is not None:
        weights = training_data.as_array("sample_weight", weights)
        if weights.shape != (len(y),):
            raise ValueError(f"sample_weight must have shape ({len(y)},), got {weights.shape}")
    study["callbacks"] = check_of_several(study.get("callbacks", ()), len(sizes))
    if isinstance(study.get("seeds"), Iterator):
        study["seeds"] = list(study["seeds"])  # for each size
    rows: list[Row] = []
    networks: list[Network] = []
    for size in sizes:
        study["sample_weight"] = None if weights is None else weights[:size]
        table, nets = compare([settings], X[:size], y[:size], epochs, **study, return_networks=True)
        rows += [{"train_size": size, **row} for row in table]
        networks += nets
    return (rows, networks) if with_networks else rows
