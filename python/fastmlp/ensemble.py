"""Ensemble: networks for the same problem, the mean of their predictions, and its spread."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import training_data
from .errors import ModelFileError
from .formats import c_ensemble, model_file, onnx_ensemble
from .history import History
from .model_state import ModelState
from .network import Network


def mean_and_spread(outputs: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over the arrays, one of each member, computed in float64.

    Sums run in the order of the members, which NumPy's own do not: the bits of a row do not depend on the other rows.
    """
    total = sum((each.astype(np.float64) for each in outputs[1:]), start=outputs[0].astype(np.float64))
    mean = total / len(outputs)
    squares = sum(((each - mean) ** 2 for each in outputs[1:]), start=(outputs[0] - mean) ** 2)
    dtype = outputs[0].dtype
    return mean.astype(dtype), np.sqrt(squares / len(outputs)).astype(dtype)


class Ensemble:
    """Networks for the same problem: it predicts the mean of their outputs, and their spread shows where they disagree.

    `fit_ensemble` trains one. This constructor makes one of networks that exist, whose hidden layers may differ.

    Parameters
    ----------
    members : sequence of Network, at least one
        With the same numbers of features and outputs, the same loss, the same levels of quantiles and the same dtype. They
        are not copied.

    Attributes
    ----------
    members : tuple of Network
    histories : list of History
        Of the fits, in the order of the members; empty if `fit_ensemble` has not trained it in this process.
    out_of_fold : array, shape (samples, outputs), or None
        After ``fit_ensemble(rows="folds")``: the outputs for each row of X by the member that was not trained on it.

    Raises
    ------
    ValueError, TypeError
        If the members do not fit together.

    Examples
    --------
    >>> import numpy as np, fastmlp
    >>> ensemble = fastmlp.Ensemble([fastmlp.Network((2, 8, 2), seed=seed) for seed in range(3)])
    >>> mean, spread = ensemble.forward(np.zeros((1, 2)), return_std=True)
    >>> mean
    array([[0.5, 0.5]], dtype=float32)
    """

    def __init__(self, members: Sequence[Network]) -> None:
        if isinstance(members, Network) or not isinstance(members, Sequence):
            raise TypeError(f"members must be a sequence of Network, got {members!r}")
        if not members:
            raise ValueError("members must have at least one entry, got none")
        for index, member in enumerate(members):
            if not isinstance(member, Network):
                raise TypeError(f"members[{index}] must be a fastmlp.Network, got {member!r}")
            if _problem(member) != _problem(members[0]):
                raise ValueError(
                    "members must have the same features, outputs, loss and dtype, got "
                    f"{_problem(members[0])} and, in members[{index}], {_problem(member)}"
                )
        self.members = tuple(members)
        self.histories: list[History] = []
        self.out_of_fold: np.ndarray | None = None

    def forward(self, X: Any, n_threads: int | None = None, *, return_std: bool = False) -> Any:
        """The mean of the members' outputs for each row.

        Parameters
        ----------
        X, n_threads
            As in `Network.forward`.
        return_std : bool
            Also return the standard deviation over the members (divided by their number, not by one less).

        Returns
        -------
        array, shape (samples, outputs), or a pair of them
            The means are probabilities for the cross-entropies. They have the same bits for every number of threads.

        Raises
        ------
        ValueError, TypeError
            As `Network.forward`.
        """
        X = training_data.check_input_array(X, self.members[0].layer_sizes[0])  # converted once
        mean, spread = mean_and_spread([member.forward(X, n_threads) for member in self.members])
        return (mean, spread) if return_std else mean

    def predict(self, X: Any, n_threads: int | None = None) -> np.ndarray:
        """What `Network.predict` makes of the mean outputs: classes for the cross-entropies, otherwise the mean."""
        return self.members[0].spec.decide(self.forward(X, n_threads))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all members to one model file, which `fastmlp.load` reads; path and errors are those of `Network.save`.

        The file holds neither the histories nor the out-of-fold outputs.
        """
        model_file.write_ensemble(self._states(), path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Ensemble:
        """Read the file of an ensemble, with the same bits; also `fastmlp.load`.

        Raises
        ------
        ModelFileError
            If the file is not a complete file of an ensemble, or has a later format version.
        OSError, MemoryError, ImportError
            As `Network.load`.
        """
        return cls._of_file(path, model_file.read_ensemble(path))

    @classmethod
    def _of_file(cls, path: str | os.PathLike[str], states: Sequence[ModelState]) -> Ensemble:
        try:
            return cls([Network.from_state(state) for state in states])
        except ValueError as reason:
            raise ModelFileError(f"{os.fsdecode(path)} is damaged: {reason}") from None

    def to_onnx(self, input_type: str | None = None) -> Any:
        """The whole ensemble as one ONNX model; arguments, inputs, outputs and errors are those of `Network.to_onnx`.

        Its ``outputs`` are the means over the members.
        """
        return onnx_ensemble.to_onnx(self._states(), input_type)

    def to_c(self, name: str = "network") -> str:
        """The whole ensemble as the text of one C file; argument, functions and errors are those of `Network.to_c`.

        The functions of the members are in the file, too, under names that begin with ``NAME_0``, ``NAME_1`` ...
        """
        return c_ensemble.to_c(self._states(), name)

    def _states(self) -> list[ModelState]:
        return [member.state() for member in self.members]

    def __len__(self) -> int:
        return len(self.members)

    def __repr__(self) -> str:
        if all(member.spec == self.members[0].spec for member in self.members):
            return f"Ensemble({len(self)} x {self.members[0]!r})"
        return f"Ensemble([{', '.join(map(repr, self.members))}])"


def _problem(network: Network) -> str:
    sizes, levels = network.layer_sizes, network.spec.levels
    loss = f"{network.loss} at {levels}" if levels else network.loss
    return f"{sizes[0]} features, {sizes[-1]} outputs, {loss}, {network.dtype}"


def load(path: str | os.PathLike[str]) -> Network:
    """Read a model file or the network of a checkpoint, with the same bits and dtype.

    Returns
    -------
    Network
        Or an `Ensemble`, if the file holds one. `Network.load` and `Ensemble.load` accept one of both only.

    Raises
    ------
    ModelFileError
        If the file is not a complete model file of fastmlp, or has a later format version.
    OSError, MemoryError, ImportError
        If it cannot be read, does not fit into this machine's memory, or safetensors is missing.
    """
    found = model_file.read_any(path)
    if isinstance(found, ModelState):
        return Network.from_state(found)
    ensemble: Any = Ensemble._of_file(path, found)  # declared as a Network, for programs that load networks
    return ensemble
