"""The regression problem f(x) = x1 * exp(-x1^2 - x2^2) on the square [-2, 2]^2."""

from __future__ import annotations

import numpy as np

from .. import validation


def hill_and_valley(X: np.ndarray) -> np.ndarray:
    """Compute f(x) = x1 * exp(-x1^2 - x2^2): one hill, one valley, flat far away.

    Its extremes are +-exp(-1/2) / sqrt(2), about +-0.429, at (+-1/sqrt(2), 0).

    Parameters
    ----------
    X : array of float, shape (samples, 2)

    Returns
    -------
    y : array of float64, shape (samples,)
    """
    X = np.asarray(X, np.float64)
    if X.ndim != 2 or X.shape[1] != 2:
        raise ValueError(f"X must have shape (samples, 2), got {X.shape}")
    return X[:, 0] * np.exp(-(X[:, 0] ** 2) - X[:, 1] ** 2)


def make_hill_and_valley(samples: int, *, noise: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sample f(x) = x1 * exp(-x1^2 - x2^2) uniformly on the square [-2, 2]^2.

    Parameters
    ----------
    samples : int >= 1
    noise : finite float >= 0, default 0.0
        Standard deviation of the normal noise added to `y`, in units of `y`. The points do not depend on it.
    seed : int >= 0, default 0

    Returns
    -------
    X : array of float64 in [-2, 2), shape (samples, 2)
    y : array of float64, shape (samples,)
    """
    samples = validation.check_integer("samples", samples, 1)
    seed = validation.check_integer("seed", seed, 0)
    noise = validation.check_number("noise", noise, minimum=0)
    random = np.random.default_rng(seed)
    X = random.uniform(-2.0, 2.0, (samples, 2))
    y = hill_and_valley(X)
    if noise:
        y += random.normal(0.0, noise, samples)
    return X, y


def hill_and_valley_grid(points: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    """Evaluate f(x) = x1 * exp(-x1^2 - x2^2) on a regular grid over [-2, 2]^2, borders included.

    Parameters
    ----------
    points : int >= 2, default 1000
        Points per axis, ``np.linspace(-2, 2, points)``.

    Returns
    -------
    X : array of float64 in [-2, 2], shape (points * points, 2)
        x1 varies slowest: ``y.reshape(points, points)[i, j]`` belongs to the i-th value of x1 and the j-th of x2.
    y : array of float64, shape (points * points,)
    """
    points = validation.check_integer("points", points, 2)
    axis = np.linspace(-2.0, 2.0, points)
    X = np.empty((points, points, 2))
    X[..., 0] = axis[:, None]
    X[..., 1] = axis
    X = X.reshape(-1, 2)
    return X, hill_and_valley(X)
