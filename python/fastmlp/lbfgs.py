"""fit_lbfgs: SciPy's L-BFGS-B on a network's loss over all rows, with exact zeros under l1."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import scipy.optimize

from . import _core, validation
from .errors import DivergenceError
from .network import SECONDS_PER_CALL, Network
from .threads import share_of_cores
from .trainer import Callback, EpochInfo, History, check_callbacks, wants_to_stop


def fit_lbfgs(
    network: Network,
    X: Any,
    y: Any,
    max_iter: int = 1000,
    *,
    l1: float = 0.0,
    l2: float = 0.0,
    tol: float = 1e-6,
    validation_data: tuple[Any, Any] | None = None,
    callbacks: Iterable[Callback] = (),
    n_threads: int | None = None,
) -> History:
    """Train with L-BFGS (Byrd, Lu, Nocedal, Zhu 1995), which sees all rows in each step: for small, smooth problems.

    Needs SciPy.

    Parameters
    ----------
    network : Network
        Of float64, as a line search needs the digits. Trained in place.
    X, y
        As in `Trainer.fit`.
    max_iter : int >= 1
        Iterations; each evaluates the loss about once.
    l1, l2 : float >= 0
        Strength of the penalty ``l1 * sum|w| + l2/2 * sum(w**2)`` on the mean loss. l1 leaves exact zeros.
    tol : float >= 0
        It ends when no component of the (projected) gradient is larger, or when the loss no longer changes in double
        precision.
    validation_data : (X, y), optional
        Evaluated after each iteration.
    callbacks : iterable of callable
        Each is called as ``callback(info)`` after each iteration, with an `EpochInfo`; one that returns True ends it.
    n_threads : int >= 1, optional
        As in `Trainer`.

    Returns
    -------
    History
        One entry per iteration, except accuracy.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit; the network is unchanged.
    DivergenceError
        If the search ends with a loss that is not finite, perhaps at its start; the network is as after the last
        iteration whose loss was. `epoch` is the iteration, `step` 1 and `learning_rate` NaN.
    RuntimeError
        If a fit of this network is under way.
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
    l1 = validation.check_number("l1", l1, least=0)
    l2 = validation.check_number("l2", l2, least=0)
    tol = validation.check_number("tol", tol, least=0)
    callbacks = check_callbacks(callbacks)
    threads = network._threads(n_threads)
    data = network._training_set(X, y, threads)
    validation_set = network._validation_set(validation_data, threads)
    history, clock = History(), time.perf_counter()

    def after_iteration(loss: float, penalty: float) -> None:
        nonlocal clock
        metrics = {"loss": loss, "penalty": penalty, "seconds": time.perf_counter() - clock}
        if validation_set is not None:
            metrics["val_loss"], accuracy = network._evaluate(validation_set, share())
            if network.loss == "cross_entropy":
                metrics["val_accuracy"] = accuracy
        history._append(metrics)
        info = EpochInfo(len(history.loss), max_iter, metrics, network)
        if any([wants_to_stop(callback, info) for callback in callbacks]):
            raise Stop
        clock = time.perf_counter()

    options = {"maxiter": max_iter, "maxfun": 100 * max_iter, "gtol": tol, "ftol": float(np.finfo(float).eps)}
    with network._core.lock_parameters(), share_of_cores(n_threads) as share:
        result = minimize(network, data, l1, l2, 1.0, options, share, after_iteration)
    if result is not None and not math.isfinite(result.fun):
        raise _divergence(float(result.fun), len(history.loss) + 1)
    return history


def _divergence(loss: float, iteration: int) -> DivergenceError:
    error = DivergenceError(
        f"the loss with its penalty is {loss} in iteration {iteration} of L-BFGS; the network is as before it, its"
        " weights finite but perhaps too large, as X and y may be: start again with smaller ones"
    )
    error.epoch, error.step, error.learning_rate = iteration, 1, math.nan
    return error


class Stop(Exception):
    """Raised by `after_iteration` to end the search where it is."""


def _loss_and_gradient(core: Any, data: Any, threads: Callable[[], int]) -> tuple[float, np.ndarray]:
    """The mean loss over the rows, and its gradient in the order of the core's parameter_vector."""
    plan, sums, position = _core.EpochPlan(data.rows, data.rows), _core.LossSum(), 0
    while position < plan.rows:
        position = core.sum_gradients(data, plan, position, sums, threads(), SECONDS_PER_CALL)
    return sums.loss / data.rows, core.gradient_vector()


def minimize(
    network: Network,
    data: Any,
    l1: float,
    l2: float,
    loss_factor: float,
    options: dict[str, Any],
    threads: Callable[[], int],
    after_iteration: Callable[[float, float], None],
) -> scipy.optimize.OptimizeResult | None:
    """Minimize ``loss_factor`` times the mean loss, plus the penalty, in the network's parameters.

    l1 makes each weight a difference p - q of numbers >= 0 whose sum it penalizes: a smooth problem with bounds, in
    which a weight that the penalty wins over is exactly zero.

    Parameters
    ----------
    network : Network
        Of float64: a line search needs the digits. It starts from its parameters and ends with the best.
    data : the core's data set
    loss_factor : float
        Of the loss, not of its gradient.
    options : dict
        SciPy's.
    threads : callable
        Asked before each call of the core.
    after_iteration : callable
        Gets the data loss and the penalty after each iteration with a finite loss, while the network holds its
        parameters.

    Returns
    -------
    OptimizeResult, or None
        None after `Stop`. Then, after Ctrl-C (KeyboardInterrupt is raised) and if the result's loss is not finite, the
        network is as after the last such iteration.
    """
    core = network._new_core_trainer("sgd")
    start = np.concatenate([array.ravel() for array in (*network.weights, *network.biases)])
    n_weights = sum(w.size for w in network.weights)
    bounds = None
    if l1:
        w = start[:n_weights]
        start = np.concatenate([np.maximum(w, 0), np.maximum(-w, 0), start[n_weights:]])
        bounds = [(0, None)] * (2 * n_weights) + [(None, None)] * (len(start) - 2 * n_weights)
    latest = (math.nan, math.nan)

    def parameters_at(point: np.ndarray) -> np.ndarray:
        if not l1:
            return point
        return np.concatenate([point[:n_weights] - point[n_weights : 2 * n_weights], point[2 * n_weights :]])

    def objective(point: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal latest
        parameters = parameters_at(point)
        network._core.parameter_vector = parameters
        loss, gradient = _loss_and_gradient(core, data, threads)
        w, of_weights = parameters[:n_weights], gradient[:n_weights]
        of_weights += l2 * w
        penalty = l2 / 2 * float(w @ w)
        if l1:
            penalty += l1 * float(point[: 2 * n_weights].sum())
            gradient = np.concatenate([of_weights + l1, l1 - of_weights, gradient[n_weights:]])
        latest = loss * loss_factor, penalty
        return sum(latest), gradient

    accepted = start

    def after(point: np.ndarray) -> None:  # called with the point evaluated last
        nonlocal accepted
        if math.isfinite(sum(latest)):  # else a line search has given up there
            accepted = point.copy()
            after_iteration(*latest)

    try:
        result = scipy.optimize.minimize(
            objective, start, method="L-BFGS-B", jac=True, bounds=bounds, callback=after, options=options
        )
        if math.isfinite(result.fun):
            accepted = result.x
        return result
    except Stop:
        return None
    finally:
        network._core.parameter_vector = parameters_at(accepted)
