"""The exceptions of fastmlp that Python itself has no fitting type for."""


class DataFileError(ValueError):
    """A data file is missing, damaged, or not the file that its name promises."""


class DivergenceError(ArithmeticError):
    """The training loss is no longer a finite number."""
