"""The exceptions of fastmlp that Python itself has no fitting type for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .trainer import History


class DataFileError(ValueError):
    """A data file is missing, damaged, or not the file that its name promises."""


class DivergenceError(ArithmeticError):
    """The training loss is no longer a finite number.

    Attributes
    ----------
    epoch : int >= 1
        Of the fit: the one that left the finite numbers.
    learning_rate : float
        In that epoch.
    history : History
        The finished epochs of the fit, that one included.
    """

    epoch: int
    learning_rate: float
    history: History
