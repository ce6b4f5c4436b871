"""The exceptions of fastmlp."""


class DataFileError(ValueError):
    """A data file is missing, damaged, or another file than its name says."""


class ModelFileError(ValueError):
    """A file is not a complete model file of fastmlp."""


class DivergenceError(ArithmeticError, ValueError):
    """The loss or a weight became NaN or infinite; the network keeps its last finite weights.

    It is a ValueError, too, because scikit-learn's estimators raise that.

    Attributes
    ----------
    epoch : int >= 1
        The epoch of the fit; 1 in `Trainer.apply`.
    step : int >= 1
        The update in that epoch; in `Trainer.apply` the update of the trainer.
    learning_rate : float
        The learning rate in that epoch.
    """

    epoch: int
    step: int
    learning_rate: float
