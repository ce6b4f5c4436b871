"""Trains the networks of a study: in this process at the same time, or by the workers of the active joblib backend."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from . import activations, validation
from .callbacks import check_of_several
from .core_calls import has_accuracy
from .errors import DivergenceError
from .history import Callback, EpochInfo
from .many import fit_many, share_data
from .metrics import check_metrics, on_sets
from .network import Network
from .progress import Line
from .threads import default_thread_count
from .trainer import Trainer
from .training_data import evaluation_sets, validation_sets

Row = dict[str, Any]
Net = tuple[dict[str, Any], int]  # a configuration and a seed: all that a worker needs to build it
Outcome = tuple[list[Row], Network]

_OF_NETWORK = tuple(inspect.signature(Network).parameters)
_OF_TRAINER = tuple(name for name in inspect.signature(Trainer).parameters if name != "network")


@dataclass(frozen=True)
class Study:
    """What all networks of a study have in common."""

    X: Any
    y: Any
    epochs: int
    evaluation_sets: Mapping[str, tuple[Any, Any]]
    sample_weight: Any
    callbacks: Sequence[Callback]
    verbose: bool | str
    n_threads: int | None
    metrics: Mapping[str, Callable[..., Any]] | None = None


def train(nets: Sequence[Net], study: Study) -> list[Outcome]:
    """The rows and the network of each net, in order; the same with every backend."""
    validation_sets(study.evaluation_sets)  # checks them
    joblib: Any = sys.modules.get("joblib")  # without an import of joblib no backend has been chosen
    workers = joblib.effective_n_jobs(None) if joblib else 1
    if workers > 1 and nets:
        backend, _ = joblib.parallel.get_active_backend()
        if not getattr(backend, "supports_sharedmem", False):
            return _train_on_workers(nets, study, backend, workers)
        study = replace(study, n_threads=workers if study.n_threads is None else study.n_threads)
    return _train_here(nets, study)


def new_trainer(configuration: Mapping[str, Any], seed: int) -> Trainer:
    """The trainer of a configuration: settings of `Network` and `Trainer` by name, all but the seed."""
    unknown = [name for name in configuration if name not in _OF_NETWORK + _OF_TRAINER or name == "seed"]
    if unknown:
        raise ValueError(
            "a configuration takes the settings of Network and Trainer, all but the seed, got "
            + ", ".join(map(repr, unknown))
            + (": pass seeds=" if unknown[0] == "seed" else "")
            + validation.suggestion(unknown[0], [name for name in _OF_NETWORK + _OF_TRAINER if name != "seed"])
        )
    if "layer_sizes" not in configuration:
        raise ValueError(f"a configuration needs layer_sizes, got {dict(configuration)!r}")
    network = Network(seed=seed, **{name: value for name, value in configuration.items() if name in _OF_NETWORK})
    return Trainer(network, seed=seed, **{name: value for name, value in configuration.items() if name in _OF_TRAINER})


def _columns(configuration: Mapping[str, Any]) -> Row:
    """The columns of a row: its "loss" is that of the epoch, not the name of the loss function.

    Several activations are one text, so that rows can be grouped and sorted by it.
    """
    columns = {"loss_function" if name == "loss" else name: value for name, value in configuration.items()}
    if "activation" in columns:
        columns["activation"] = activations.text_of(columns["activation"])
    return columns


def default_columns(configuration: Mapping[str, Any], names: Sequence[str]) -> Row:
    """The columns of those of the named settings that a configuration leaves to `Network` or `Trainer`."""
    left = [name for name in names if name not in configuration]
    if not left:
        return {}
    trainer = new_trainer(configuration, 0)
    used = {name: getattr(trainer.network if name in _OF_NETWORK else trainer, name) for name in left}
    return _columns({name: value.name if isinstance(value, np.dtype) else value for name, value in used.items()})


def _measured(metrics: Mapping[str, float]) -> Row:
    """The columns of an epoch: its learning rate, which a schedule changes, is not the setting."""
    return {"epoch_learning_rate" if name == "learning_rate" else name: value for name, value in metrics.items()}


def _train_here(nets: Sequence[Net], study: Study) -> list[Outcome]:
    trainers = [new_trainer(*net) for net in nets]
    index_of = {id(trainer.network): index for index, trainer in enumerate(trainers)}
    tables: list[list[Row]] = [[] for _ in trainers]

    def record(info: EpochInfo) -> None:
        index = index_of[id(info.network)]
        configuration, seed = nets[index]
        tables[index].append({**_columns(configuration), "seed": seed, "epoch": info.epoch, **_measured(info.metrics)})

    outcomes = fit_many(
        trainers,
        study.X,
        study.y,
        study.epochs,
        validation_data=study.evaluation_sets,
        callbacks=[record, *study.callbacks],
        verbose=study.verbose,
        n_threads=study.n_threads,
        return_diverged=True,
        sample_weight=study.sample_weight,
        metrics=study.metrics,
    )
    for outcome, table, (configuration, seed), trainer in zip(outcomes, tables, nets, trainers):
        if isinstance(outcome, DivergenceError):
            names = ["", *(f"{name}_" for name in study.evaluation_sets)]
            measured = ["penalty", "seconds", *(f"{name}loss" for name in names)]
            if trainer.schedule is not None:
                measured.append("epoch_learning_rate")
            if has_accuracy(trainer.network):
                measured += [f"{name}accuracy" for name in names]
            measured += [f"{name}{own}" for name in names[1:] for own in study.metrics or ()]
            measured_nan = dict.fromkeys(measured, math.nan)
            last = {**_columns(configuration), "seed": seed, "epoch": outcome.epoch, **measured_nan}
            table[outcome.epoch - 1 :] = [last]
    return [(table, trainer.evaluated) for table, trainer in zip(tables, trainers)]


def _train_on_workers(nets: Sequence[Net], study: Study, backend: Any, workers: int) -> list[Outcome]:
    """One task of joblib per net. Invalid arguments raise here, before anything is sent."""
    from joblib import Parallel, delayed

    validation.check_integer("epochs", study.epochs, 1)
    check_of_several(study.callbacks, len(nets))
    n_threads = validation.check_threads(study.n_threads)
    networks = [new_trainer(*net).network for net in nets]
    on_sets(check_metrics(study.metrics), study.evaluation_sets, networks[0].layer_sizes[0])
    threads = n_threads or default_thread_count()
    share_data(networks, study.X, study.y, study.sample_weight, threads)
    evaluation_sets(study.evaluation_sets, study.X, lambda *rows: share_data(networks, *rows, threads))
    of_each = None if n_threads is None else max(1, n_threads // workers)  # None: the threads that the backend grants
    sets = validation_sets(study.evaluation_sets)
    arrays = [array for triple in sets.values() for array in triple]  # not in a dict: Dask then sends each array once
    of_study = (study.epochs, of_each, study.metrics, tuple(sets), study.callbacks)
    common = (*of_study, study.X, study.y, study.sample_weight, *arrays)
    tasks = (delayed(_train_one)(net, *common) for net in nets)
    one_by_one = getattr(backend, "supports_return_generator", False)
    outcomes: list[Outcome] = []
    with Line(study.verbose, len(nets), "net") as line:
        for outcome in Parallel(return_as="generator" if one_by_one else "list")(tasks):
            outcomes.append(outcome)
            line.redraw(f"{len(outcomes)}/{len(nets)} nets", len(outcomes))
            line.add(f"{len(outcomes)}/{len(nets)} nets")
    return outcomes


def _train_one(
    net: Net,
    epochs: int,
    n_threads: int | None,
    metrics: Mapping[str, Callable[..., Any]] | None,
    names: Sequence[str],
    callbacks: Sequence[Callback],
    X: Any,
    y: Any,
    sample_weight: Any,
    *arrays: Any,
) -> Outcome:
    sets = dict(zip(names, zip(arrays[::3], arrays[1::3], arrays[2::3])))
    try:
        study = Study(X, y, epochs, sets, sample_weight, callbacks, False, n_threads, metrics)
        (outcome,) = _train_here([net], study)
    except Exception as error:
        error.add_note(f"configuration {net[0]!r}, seed {net[1]}")
        raise
    return outcome
