"""The exceptions of fastmlp that Python itself has no fitting type for."""


class DataFileError(ValueError):
    """A data file is missing, damaged, or not the file that its name promises."""


class ModelFileError(ValueError):
    """A file is not a whole model file of fastmlp."""


class DivergenceError(ArithmeticError):
    """The training loss is no longer a finite number.

    Attributes
    ----------
    epoch : int >= 1
        Of the fit: the one that left the finite numbers.
    learning_rate : float
        In that epoch.
    """

    epoch: int
    learning_rate: float
