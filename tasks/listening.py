"""Where the progress of long work goes: to whoever listens in this process, else to the task's log."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from hallmark.progress import Listener, Progress

LOG_EVERY_SECONDS = 10.0

_listener: ContextVar[Listener | None] = ContextVar("hallmark_listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Send progress to `listener` inside the block."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def current_listener() -> Listener:
    """The listener of this context, or one that logs a line every ten seconds."""
    return _listener.get() or _LogListener()


class _LogListener:
    def __init__(self) -> None:
        self.logger = _logger()
        self.last = float("-inf")

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self.last >= LOG_EVERY_SECONDS or progress.done >= progress.total:
            self.last = now
            self.logger.info(progress.sentence())


def _logger() -> logging.Logger | logging.LoggerAdapter[logging.Logger]:
    from prefect.exceptions import MissingContextError
    from prefect.logging import get_run_logger

    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger("hallmark")
