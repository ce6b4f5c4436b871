"""fit_ensemble: the members of an ensemble at once, one per core, on one copy of the data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from . import row_subsets, sweeps, training_data, validation
from .callbacks import check_of_several
from .ensemble import Ensemble
from .history import Callback, History
from .many import Fits, one_at_a_time_each, share_data
from .metrics import check_metrics, on_sets
from .network import Network
from .progress import ManyProgress
from .standardization import learned
from .threads import default_thread_count


@validation.checks_arguments()
def fit_ensemble(
    settings: Mapping[str, Any],
    X: Any,
    y: Any,
    epochs: int,
    *,
    seeds: Iterable[int] = range(5),
    rows: str = "all",
    validation_data: Any = None,
    callbacks: Iterable[Callback] = (),
    verbose: bool | str = "auto",
    n_threads: int | None = None,
    sample_weight: Any = None,
    max_seconds: float | None = None,
    metrics: Mapping[str, Callable[..., Any]] | None = None,
) -> Ensemble:
    """Train several networks for the same problem at the same time, one per core, on one copy of the data.

    Parameters
    ----------
    settings : mapping
        Settings of `Network` and `Trainer` by name, such as ``{"layer_sizes": (784, 128, 10), "batch_size": 32}``;
        all but the seed.
    X, y, epochs
        As in `Trainer.fit`, but no Stream. X and y must not change while the fits run.
    seeds : iterable of int >= 0, at least one
        Each is the seed of one member: of its initial weights, of its row orders, and with "bootstrap" of its rows. Five
        members by default, with the seeds 0 to 4.
    rows : {"all", "bootstrap", "folds"}
        The rows that a member is trained on: all; as many as X has, drawn with replacement; or all but those of one fold.
        There is one fold for each member. The folds are random parts of equal sizes that depend only on the numbers of rows
        and folds.
    validation_data, callbacks, verbose, n_threads, sample_weight, max_seconds, metrics
        As in `fit_many`. A member's loss is also weighted if its rows are drawn.

    Returns
    -------
    Ensemble
        Its members are the trained networks, or with `average_decay` their running means. It has their histories, and with
        "folds" the outputs of each row by the member that was not trained on it. It has the same bits for every number of
        threads.

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid; nothing is trained then.
    Exception
        As `fit_many`, divergence of a member included.

    Examples
    --------
    >>> import numpy as np, fastmlp
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> y = (X[:, 0] * X[:, 1] > 0).astype(int)
    >>> settings = {"layer_sizes": (2, 16, 2), "learning_rate": 0.5, "batch_size": 32}
    >>> ensemble = fastmlp.fit_ensemble(settings, X, y, epochs=30, rows="folds")
    >>> float(np.mean(ensemble.out_of_fold.argmax(axis=1) == y)) > 0.8
    True
    """
    if not isinstance(settings, Mapping):
        raise TypeError(f"settings must be a mapping such as {{'layer_sizes': (4, 8, 2)}}, got {settings!r}")
    rows = validation.check_choice("rows", rows, row_subsets.OF_MEMBERS)
    given = _check_seeds(seeds, 2 if rows == "folds" else 1)
    epochs = validation.check_integer("epochs", epochs, 1)
    checked = check_of_several(callbacks, len(given))
    threads = validation.check_threads(n_threads) or default_thread_count()
    max_seconds = validation.check_max_seconds(max_seconds)
    progress, functions = ManyProgress(verbose, len(given), epochs), check_metrics(metrics)
    trainers = [sweeps.new_trainer(settings, seed) for seed in given]
    networks = [trainer.network for trainer in trainers]
    trained = lambda count: row_subsets.of_members(rows, count, given)[1]  # noqa: E731
    with learned(networks, X, y, sample_weight, threads, trained) as keep:
        data = share_data(networks, X, y, sample_weight, threads)
        folds, chosen = row_subsets.of_members(rows, data[0].rows, given)
        data = [each if own is None else row_subsets.only(each, own, sample_weight) for each, own in zip(data, chosen)]
        sets = training_data.evaluation_sets(validation_data, X, lambda *rows: share_data(networks, *rows, threads))
        own = on_sets(one_at_a_time_each(functions), validation_data, networks[0].layer_sizes[0])
        more = {"max_seconds": max_seconds, "own_metrics": own, "keep": keep}
        outcomes = Fits(trainers, data, sets, epochs, checked, threads, progress, **more).run()
    networks = [trainer.evaluated for trainer in trainers]
    ensemble = Ensemble(networks)
    ensemble.histories = [outcome for outcome in outcomes if isinstance(outcome, History)]
    if folds:
        ensemble.out_of_fold = _out_of_fold(networks, X, folds, threads)
    return ensemble


def _check_seeds(seeds: Any, minimum: int) -> list[int]:
    if not isinstance(seeds, Iterable):
        raise TypeError(f"seeds must be an iterable of integers such as range(5), one for each member, got {seeds!r}")
    checked = [validation.check_seed(seed) for seed in seeds]
    if len(checked) < minimum:
        raise ValueError(f"seeds must have at least {minimum} entries, one for each member, got {len(checked)}")
    return checked


def _out_of_fold(networks: list[Network], X: Any, parts: list[np.ndarray], threads: int) -> np.ndarray:
    """Each row's outputs by the network of its fold, shape (samples, outputs)."""
    network = networks[0]
    outputs = np.empty((sum(map(len, parts)), network.layer_sizes[-1]), network.dtype)
    for each, part in zip(networks, parts):
        outputs[part] = each.forward(row_subsets.take("X", X, part), threads)
    return outputs
