"""Errors that a user can act on.

Each message says what was found, what was expected and what to do. The command line prints it as a
sentence and exits with 2; anything that is not a `FinestrecError` is a fault of ours (exit 70).
"""


class FinestrecError(Exception):
    """Base of all errors that the caller can mend."""


class DataError(FinestrecError):
    """A log, a list file or a value in them is not usable."""


class OptionError(FinestrecError):
    """An option is unknown, out of range or does not fit the others."""


class TrainingError(FinestrecError):
    """Training cannot go on: the loss is NaN or infinite."""


class RunFolderError(FinestrecError):
    """A run folder is missing, unfinished, damaged or of another version."""


class UnsupportedError(FinestrecError):
    """What was asked for is not defined for this model or this data."""


class JobsFailedError(FinestrecError):
    """Some jobs of an audit failed; all others are done."""
