"""Where the nets of a study are trained: side by side in this process, or by workers of the joblib backend in force."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from . import validation
from .errors import DivergenceError
from .many import fit_all, share_data
from .network import Network
from .progress import Line
from .threads import default_thread_count
from .trainer import EpochInfo, Trainer

Row = dict[str, Any]
Net = tuple[dict[str, Any], int]  # a configuration and a seed: all that a worker needs to make it
Outcome = tuple[list[Row], Network]

_OF_NETWORK = tuple(inspect.signature(Network).parameters)
_OF_TRAINER = tuple(name for name in inspect.signature(Trainer).parameters if name != "network")


def train(
    nets: Sequence[Net],
    X: Any,
    y: Any,
    epochs: int,
    evaluation_sets: Mapping[str, tuple[Any, Any]],
    verbose: bool | str,
    n_threads: int | None,
) -> list[Outcome]:
    """The rows and the network of each net, in order; the same wherever they are trained."""
    for name, pair in evaluation_sets.items():
        validation.check_pair(f"evaluation_sets[{name!r}]", pair)
    joblib: Any = sys.modules.get("joblib")  # who has not imported it has chosen no backend
    workers = joblib.effective_n_jobs(None) if joblib else 1
    if workers > 1 and nets:
        backend, _ = joblib.parallel.get_active_backend()
        if not getattr(backend, "supports_sharedmem", False):
            return _train_elsewhere(nets, X, y, epochs, evaluation_sets, verbose, n_threads, backend, workers)
        n_threads = workers if n_threads is None else n_threads
    return _train_here(nets, X, y, epochs, evaluation_sets, verbose, n_threads)


def new_trainer(configuration: Mapping[str, Any], seed: int) -> Trainer:
    """With its network; the settings of both by name, all but the seed."""
    unknown = [name for name in configuration if name not in _OF_NETWORK + _OF_TRAINER or name == "seed"]
    if unknown:
        raise ValueError(
            "a configuration takes the settings of Network and Trainer, all but the seed, got "
            + ", ".join(map(repr, unknown))
        )
    if "layer_sizes" not in configuration:
        raise ValueError(f"a configuration needs layer_sizes, got {dict(configuration)!r}")
    network = Network(seed=seed, **{name: value for name, value in configuration.items() if name in _OF_NETWORK})
    return Trainer(network, seed=seed, **{name: value for name, value in configuration.items() if name in _OF_TRAINER})


def _columns(configuration: Mapping[str, Any]) -> Row:
    """Of a row: "loss" is that of the epoch."""
    return {"loss_function" if name == "loss" else name: value for name, value in configuration.items()}


def _train_here(
    nets: Sequence[Net],
    X: Any,
    y: Any,
    epochs: int,
    evaluation_sets: Mapping[str, tuple[Any, Any]],
    verbose: bool | str,
    n_threads: int | None,
) -> list[Outcome]:
    trainers = [new_trainer(*net) for net in nets]
    places = {id(trainer.network): place for place, trainer in enumerate(trainers)}
    tables: list[list[Row]] = [[] for _ in trainers]

    def record(info: EpochInfo) -> None:
        place = places[id(info.network)]
        configuration, seed = nets[place]
        tables[place].append({**_columns(configuration), "seed": seed, "epoch": info.epoch, **info.metrics})

    outcomes = fit_all(trainers, X, y, epochs, evaluation_sets, [record], verbose, n_threads, return_diverged=True)
    for outcome, table, (configuration, seed), trainer in zip(outcomes, tables, nets, trainers):
        if isinstance(outcome, DivergenceError):
            names = ["", *(f"{name}_" for name in evaluation_sets)]
            measured = ["penalty", "seconds", *(f"{name}loss" for name in names)]
            if trainer.network.loss == "cross_entropy":
                measured += [f"{name}accuracy" for name in names]
            measured_nan = dict.fromkeys(measured, math.nan)
            last = {**_columns(configuration), "seed": seed, "epoch": outcome.epoch, **measured_nan}
            table[outcome.epoch - 1 :] = [last]
    return [(table, trainer.network) for table, trainer in zip(tables, trainers)]


def _train_elsewhere(
    nets: Sequence[Net],
    X: Any,
    y: Any,
    epochs: int,
    evaluation_sets: Mapping[str, tuple[Any, Any]],
    verbose: bool | str,
    n_threads: int | None,
    backend: Any,
    workers: int,
) -> list[Outcome]:
    """One task of joblib per net. What does not fit is told here, before anything is sent."""
    from joblib import Parallel, delayed

    epochs = validation.check_integer("epochs", epochs, 1)
    n_threads = validation.check_threads(n_threads)
    networks = [new_trainer(*net).network for net in nets]
    for pair in [(X, y), *evaluation_sets.values()]:
        share_data(networks, *pair, n_threads or default_thread_count())
    of_each = None if n_threads is None else max(1, n_threads // workers)  # None: what the backend grants its workers
    arrays = [array for pair in evaluation_sets.values() for array in pair]  # not in a dict: Dask then sends each once
    tasks = (delayed(_train_one)(net, epochs, of_each, tuple(evaluation_sets), X, y, *arrays) for net in nets)
    as_they_come = getattr(backend, "supports_return_generator", False)
    outcomes: list[Outcome] = []
    with Line(verbose) as line:
        for outcome in Parallel(return_as="generator" if as_they_come else "list")(tasks):
            outcomes.append(outcome)
            line.redraw(f"{len(outcomes)}/{len(nets)} nets")
            line.add(f"{len(outcomes)}/{len(nets)} nets")
    return outcomes


def _train_one(
    net: Net, epochs: int, n_threads: int | None, names: Sequence[str], X: Any, y: Any, *arrays: Any
) -> Outcome:
    evaluation_sets = dict(zip(names, zip(arrays[::2], arrays[1::2])))
    try:
        (outcome,) = _train_here([net], X, y, epochs, evaluation_sets, False, n_threads)
    except Exception as error:
        validation.add_note(error, f"configuration {net[0]!r}, seed {net[1]}")
        raise
    return outcome
