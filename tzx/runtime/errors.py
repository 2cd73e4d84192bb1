"""Errors that a user can act on, each with the exit code its process ends with.

2 user or config error, 65 bad data, 74 I/O after retries, 75 transient, 143 preempted with the checkpoint saved.
"""


class TzxError(Exception):
    """Base of every error that tzx raises on purpose; the message is shown without a traceback."""

    exit_code = 1


class UserError(TzxError):
    """Something the user asked for cannot be done as asked: a flag, a path, a state of the model directory."""

    exit_code = 2


class ConfigError(UserError):
    """A config that does not parse or does not fit together; the message lists every problem found."""


class DataError(TzxError):
    """Input data that does not fit the config; the message names file, row group, column and row where known."""

    exit_code = 65


class StorageError(TzxError):
    """Reading or writing failed for a reason that retrying did not cure."""

    exit_code = 74


class TransientError(TzxError):
    """A fault that another attempt may cure; schedulers retry on it."""

    exit_code = 75


class Preempted(TzxError):
    """The process was asked to stop and has saved a checkpoint."""

    exit_code = 143
