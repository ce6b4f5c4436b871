"""The exceptions of fastmlp that Python itself has no fitting type for."""


class DataFileError(ValueError):
    """A data file is missing, damaged, or not the file that its name promises."""


class ModelFileError(ValueError):
    """A file is not a whole model file of fastmlp."""


class DivergenceError(ArithmeticError):
    """Training has left the finite numbers; the network holds its last weights that were in order.

    Attributes
    ----------
    epoch : int >= 1
        Of the fit.
    step : int >= 1
        The update of that epoch.
    learning_rate : float
        In that epoch.
    """

    epoch: int
    step: int
    learning_rate: float
