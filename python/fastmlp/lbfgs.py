"""L-BFGS-B of SciPy on a network's loss over all rows, with exact zeros under l1."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.optimize

from . import _core
from .network import SECONDS_PER_CALL, Network


class Stop(Exception):
    """Raised by `after_iteration` to end the search where it is."""


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
        Gets the data loss and the penalty after each iteration, while the network holds its parameters.

    Returns
    -------
    OptimizeResult, or None
        None after `Stop` or Ctrl-C (then KeyboardInterrupt is raised); the network is as after the last iteration.
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

    def objective(point: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal latest
        parameters = point
        if l1:
            parameters = np.concatenate([point[:n_weights] - point[n_weights : 2 * n_weights], point[2 * n_weights :]])
        loss, gradient = core.loss_and_gradient_at(data, parameters, threads(), SECONDS_PER_CALL)
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
        accepted = point.copy()
        after_iteration(*latest)

    try:
        result = scipy.optimize.minimize(
            objective, start, method="L-BFGS-B", jac=True, bounds=bounds, callback=after, options=options
        )
        accepted = result.x
        return result
    except Stop:
        return None
    finally:
        objective(accepted)  # which loads it
