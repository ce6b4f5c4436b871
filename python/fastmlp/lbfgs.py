"""fit_lbfgs: SciPy's L-BFGS-B on a network's loss over all rows, with exact zeros under l1."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import scipy.optimize

from . import core_calls, epoch_loop, training_data, validation
from .core_calls import Threads
from .epoch_loop import EpochLoop
from .errors import DivergenceError
from .history import Callback, History
from .input_scales import warn_of_scale
from .metrics import check_metrics, on_sets
from .network import Network
from .progress import FitProgress
from .standardization import learned
from .threads import default_thread_count, share_of_cores
from .training_data import TrainingData


@validation.checks_arguments()
def fit_lbfgs(
    network: Network,
    X: Any,
    y: Any,
    max_iter: int = 1000,
    *,
    l1: float = 0.0,
    l2: float = 0.0,
    tol: float = 1e-6,
    validation_data: Any = None,
    callbacks: Iterable[Callback] = (),
    n_threads: int | None = None,
    sample_weight: Any = None,
    verbose: bool | str = "auto",
    max_seconds: float | None = None,
    metrics: Mapping[str, Callable[..., Any]] | None = None,
) -> History:
    """Train with L-BFGS (Byrd, Lu, Nocedal, Zhu 1995), a full-batch method for small, smooth problems.

    Needs SciPy.

    Parameters
    ----------
    network : Network
        The network to train, in place. Its dtype must be float64, because a line search needs double precision.
    X, y
        As in `Trainer.fit`. X and y must not change while the fit runs.
    max_iter : int >= 1
        Maximum number of iterations; each evaluates the loss about once. If the history has fewer, the search has ended.
    l1, l2 : float >= 0
        Strength of the penalty ``l1 * sum|w| + l2/2 * sum(w**2)`` on the mean loss. l1 leaves exact zeros.
    tol : float >= 0
        The search ends when no component of the (projected) gradient is larger, or when the loss no longer changes in
        double precision.
    validation_data, callbacks, verbose, max_seconds, metrics
        As in `Trainer.fit`; an iteration counts as an epoch.
    n_threads : int >= 1, optional
        As in `Trainer`.
    sample_weight : array of reals >= 0, shape (samples,), optional
        The loss is the mean weighted by them.

    Returns
    -------
    History
        One entry per iteration, except accuracy.

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid; the network is unchanged.
    DivergenceError
        If the search ends with a loss that is NaN or infinite, possibly at its start; the network is as after the last
        iteration with a finite loss. ``epoch`` is the iteration, ``step`` is 1, and ``learning_rate`` is NaN.
    RuntimeError
        If another fit of this network is running.
    KeyboardInterrupt
        On Ctrl-C; the network is as after its last iteration.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = fastmlp.datasets.make_hill_and_valley(200)
    >>> net = fastmlp.Network((2, 20, 20, 1), activation="tanh", loss="squared_error", dtype="float64")
    >>> history = fastmlp.fit_lbfgs(net, X, y)
    >>> history.loss[-1] < 1e-5
    True
    """
    if not isinstance(network, Network):
        raise TypeError(f"network must be a fastmlp.Network, got {network!r}")
    if network.dtype != np.float64:
        raise ValueError(f"fit_lbfgs needs a network of dtype='float64', got {network.dtype.name!r}")
    max_iter = validation.check_integer("max_iter", max_iter, 1)
    l1 = validation.check_number("l1", l1, minimum=0)
    l2 = validation.check_number("l2", l2, minimum=0)
    tol = validation.check_number("tol", tol, minimum=0)
    callbacks = validation.check_callbacks(callbacks)
    threads = validation.check_threads(n_threads) or default_thread_count()
    progress = FitProgress(verbose, max_iter)
    max_seconds = validation.check_max_seconds(max_seconds)
    functions = check_metrics(metrics)
    with learned([network], X, y, sample_weight, threads) as keep:
        data = training_data.training_data(network, X, y, sample_weight, threads, skips_columns=True)
        data = training_data.check_total_weight("X", data)
        warn_of_scale(X, network)
        sets = training_data.evaluation_sets(
            validation_data, X, lambda *rows: training_data.evaluation_data(network, *rows, threads)
        )
        own = on_sets(functions, validation_data, network.layer_sizes[0])
        options = {"maxiter": max_iter, "maxfun": 100 * max_iter, "gtol": tol, "ftol": float(np.finfo(float).eps)}
        with network.core.lock_parameters(), share_of_cores(n_threads) as share, progress:
            network.note_targets(data.column_targets)
            loop = EpochLoop(
                network,
                max_iter,
                callbacks,
                evaluate=lambda: epoch_loop.evaluation_metrics(network, sets, share),
                measure=None if own is None else lambda: own.of(network, share()),
                divergence=lambda what: divergence_error(what, loop.epoch),
                record=History(),
                progress=progress,
                max_seconds=max_seconds,
            )
            try:
                result = loop.with_hooks(lambda: minimize(network, data, l1, l2, 1.0, options, share, loop))
            finally:
                if loop.has_begun:
                    keep(network)
    if result is not None and not math.isfinite(result.fun):
        raise divergence_error(f"the loss with its penalty is {float(result.fun)}", loop.epoch + 1)
    return loop.history


def divergence_error(what: str, iteration: int, note: str = "") -> DivergenceError:
    error = DivergenceError(
        f"{note}{what} in iteration {iteration} of L-BFGS; the network is as before it, with finite weights that may be too"
        " large, as X and y may be: start again with smaller ones"
    )
    error.epoch, error.step, error.learning_rate = iteration, 1, math.nan
    return error


class Stop(Exception):
    """Ends the search where it is."""


def minimize(
    network: Network,
    data: TrainingData,
    l1: float,
    l2: float,
    loss_factor: float,
    options: dict[str, Any],
    threads: Threads,
    loop: EpochLoop,
) -> scipy.optimize.OptimizeResult | None:
    """Minimize ``loss_factor`` times the mean loss, plus the penalty, in the network's parameters.

    With l1, each weight is a difference p - q of numbers >= 0 whose sum is penalized: a smooth problem with bounds, in
    which a weight is exactly zero where the penalty outweighs its gradient.

    Parameters
    ----------
    network : Network
        Of float64. The search starts from its parameters and leaves the best ones in it.
    data : TrainingData
    loss_factor : float
        Factor of the reported loss, not of its gradient.
    options : dict
        SciPy's.
    threads : callable
        Called before each call of the core.
    loop : EpochLoop
        Its `end_epoch` is called after each iteration with a finite loss, while the network holds the parameters of
        that iteration.

    Returns
    -------
    OptimizeResult, or None
        None if a callback ended the search. Then, after Ctrl-C (KeyboardInterrupt is raised), and if the result's loss
        is not finite, the network is as after the last iteration with a finite loss.
    """
    core, parameters_of_network = core_calls.new_core_trainer(network, "sgd"), network.core
    start = parameters_of_network.parameter_vector
    n_weights = sum(inputs * outputs for inputs, outputs in network.spec.shapes)
    bounds = None
    if l1:
        w = start[:n_weights]
        start = np.concatenate([np.maximum(w, 0), np.maximum(-w, 0), start[n_weights:]])
        bounds = [(0, None)] * (2 * n_weights) + [(None, None)] * (len(start) - 2 * n_weights)
    latest, clock = (math.nan, math.nan), time.perf_counter()

    def parameters_at(point: np.ndarray) -> np.ndarray:
        if not l1:
            return point
        return np.concatenate([point[:n_weights] - point[n_weights : 2 * n_weights], point[2 * n_weights :]])

    def surplus(point: np.ndarray) -> float:
        """Of the penalty, which is that of p + q, over that of ``|p - q|``; zero at the end of a search."""
        return 2 * l1 * float(np.minimum(point[:n_weights], point[n_weights : 2 * n_weights]).sum()) if l1 else 0.0

    def objective(point: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal latest
        parameters = parameters_at(point)
        parameters_of_network.parameter_vector = parameters
        loss = core_calls.sum_gradients(core, data, threads)
        gradient = core.gradient_vector()
        w, of_weights = parameters[:n_weights], gradient[:n_weights]
        of_weights += l2 * w
        penalty = l2 / 2 * float(w @ w)
        if l1:
            penalty += l1 * float(point[: 2 * n_weights].sum())
            gradient = np.concatenate([of_weights + l1, l1 - of_weights, gradient[n_weights:]])
        latest = loss * loss_factor, penalty
        return sum(latest), gradient

    accepted = start

    def after_iteration(point: np.ndarray) -> None:  # called with the point evaluated last
        nonlocal accepted, clock
        if not math.isfinite(sum(latest)):  # a line search has failed there
            return
        accepted = point.copy()
        loss, penalty = latest[0], latest[1] - surplus(point)
        if loop.end_epoch({"loss": loss, "penalty": penalty, "seconds": time.perf_counter() - clock}):
            raise Stop
        clock = time.perf_counter()

    try:
        result = scipy.optimize.minimize(
            objective, start, method="L-BFGS-B", jac=True, bounds=bounds, callback=after_iteration, options=options
        )
        if math.isfinite(result.fun):
            accepted = result.x
            result.fun -= surplus(accepted)
        return result
    except Stop:
        return None
    finally:
        parameters_of_network.parameter_vector = parameters_at(accepted)
