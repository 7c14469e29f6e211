"""Logging in Prefect, whose pages make links of addresses, and what may fail without harm."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from core.errors import HallmarkError


def task_logger() -> logging.Logger | logging.LoggerAdapter[logging.Logger]:
    """The log of the current task in Prefect; outside of one, ours."""
    from prefect.exceptions import MissingContextError
    from prefect.logging import get_run_logger

    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger("hallmark")


def without_links(record: logging.LogRecord) -> bool:
    """Write addresses in a log as http[:]//..., because Prefect's pages make a link of each, whoever wrote
    it.
    """
    if getattr(record, "send_to_api", True):
        record.msg, record.args = _without_links(record.getMessage()), None
        if record.exc_info and record.exc_info[0]:
            record.exc_text = _without_links(logging.Formatter().formatException(record.exc_info))
    return True


def reason_alone(record: logging.LogRecord) -> bool:
    """Keep the traceback of an error of ours out of a log: its sentence says it all. A line that had nothing
    but the traceback is left out.
    """
    error = record.exc_info[1] if record.exc_info else None
    if not isinstance(error, HallmarkError) or os.environ.get("HALLMARK_DEBUG"):
        return True
    record.exc_info = record.exc_text = None
    return str(error) in record.getMessage()


def _without_links(text: str) -> str:
    return re.sub("(https?)://", r"\1[:]//", text, flags=re.IGNORECASE)


for _shown_in_pages in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(_shown_in_pages).addFilter(reason_alone)
    logging.getLogger(_shown_in_pages).addFilter(without_links)


@contextmanager
def harmless(what: str) -> Iterator[None]:
    """Log that something could not be shown, and go on: showing is never a reason for a task to fail."""
    try:
        yield
    except Exception as error:
        logger: Any = task_logger()
        logger.log(
            logging.WARNING, "%s could not be shown in Prefect: %s: %s", what, type(error).__name__, error
        )
