"""Tabular estimators from their files."""

from __future__ import annotations

import os
from typing import Any

from . import files
from .realmlp import RealMLPClassifier, RealMLPRegressor
from .tabm import TabMClassifier, TabMRegressor

ESTIMATORS = {each.__name__: each for each in (RealMLPClassifier, RealMLPRegressor, TabMClassifier, TabMRegressor)}


def load(path: str | os.PathLike[str]) -> Any:
    """Read an estimator from a file that its method ``save`` has written; its predictions have the same bits.

    Returns
    -------
    RealMLPClassifier, RealMLPRegressor, TabMClassifier or TabMRegressor
        Without what it knows of its fit: histories, best epochs and best scores. Settings that a file cannot hold,
        functions and generators of random numbers, have their defaults.

    Raises
    ------
    ModelFileError
        If the file is not a complete file of a tabular estimator, or has a later format version.
    OSError, ImportError
        If it cannot be read, or safetensors is missing.
    """
    return files.read(path, lambda state: ESTIMATORS[state.estimator].from_state(state))
