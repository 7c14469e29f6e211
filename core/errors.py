"""The errors a person reads. Each one carries the exit code that the command line ends with."""

from __future__ import annotations

import signal


class HallmarkError(Exception):
    """Something went wrong; the message says what, where, and what to do.

    Attributes:
        exit_code: what the command line exits with when this error ends it.
        transient: whether trying again unchanged can help. Only transient errors are retried.
    """

    exit_code = 1
    transient = False


class InputError(HallmarkError):
    """The caller gave something unusable: a bad file, an unknown name, a value out of bounds."""

    exit_code = 2


class IntegrityError(HallmarkError):
    """Stored bytes are not the bytes that were recorded."""

    exit_code = 3


class ResourceError(HallmarkError):
    """Something the work needs is not there: disk space, a GPU, a server, a package."""

    exit_code = 4


class UnreadableError(ResourceError):
    """A file, or what is in its place, is there and cannot be read."""


class TransientError(ResourceError):
    """A resource that may come back by itself: a locked database, a server that is away."""

    transient = True


class InterruptedWork(BaseException):
    """A signal ended the work; what was finished is kept and the next run continues. It comes wherever the
    work is just then, so it is no `Exception`: whoever takes those for the fault of a judge, a template or a
    server must not take this one.

    Args:
        message: what was interrupted.
        signum: the signal's number.

    Attributes:
        exit_code: 128 + signum, as shells expect.
    """

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signum


def interruption(signum: int) -> str:
    """What a run says that a signal ended."""
    return f"stopped by {signal.Signals(signum).name}. What was finished is kept; the same command continues."


_BY_EXIT_CODE: dict[int, type[HallmarkError]] = {2: InputError, 3: IntegrityError, 4: ResourceError}


def error_for_exit_code(code: int, message: str) -> HallmarkError:
    """The error class that belongs to a child process's exit code, carrying its message."""
    return _BY_EXIT_CODE.get(code, HallmarkError)(message)
