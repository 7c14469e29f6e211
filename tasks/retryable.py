"""One decorator for every task: its progress is shown, and it is retried with back-off and jitter, but only
where that can help.
"""

from __future__ import annotations

import contextvars
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from core.errors import HallmarkError
from core.progress import Progress, is_listened_to, listening
from reports.markdown import prose

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")

RETRIES = 3
LOG_EVERY_SECONDS = 10.0
SHOW_EVERY_SECONDS = 2.0


def retryable(name: str) -> Callable[[Callable[Parameters, Returned]], Task[Parameters, Returned]]:
    """A Prefect task with Hallmark's retry policy, whose progress is shown.

    Args:
        name: as the Prefect UI shows it.

    Example:
        >>> @retryable("predict")
        ... def predict(run: RunRef, plan: RunPlan) -> PredictResult: ...
    """
    retried = task(
        name=name,
        retries=RETRIES,
        retry_delay_seconds=exponential_backoff(2),
        retry_jitter_factor=0.5,
        retry_condition_fn=is_transient,
        cache_policy=NO_CACHE,
        persist_result=False,
    )
    return lambda function: retried(progress_shown()(function))


def is_transient(_task: Any, _run: Any, state: Any) -> bool:
    """Whether a failed task may be tried again: a locked database may, a bad file never."""
    try:
        state.result()
    except HallmarkError as error:
        return error.transient
    except Exception:
        return False
    return False


@contextmanager
def progress_shown() -> Iterator[None]:
    """Send progress to whoever listens in this process, else to Prefect: a log line every ten seconds, and a
    progress artifact.
    """
    if is_listened_to():
        yield
        return
    shown = _ProgressArtifact()
    try:
        with listening(_PrefectListener(shown)):
            yield
    finally:
        shown.close()


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


def _without_links(text: str) -> str:
    return re.sub("(https?)://", r"\1[:]//", text, flags=re.IGNORECASE)


for _shown_in_pages in ("prefect.flow_runs", "prefect.task_runs"):
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


class _PrefectListener:
    def __init__(self, shown: _ProgressArtifact) -> None:
        self.logger = task_logger()
        self.shown = shown
        self.last = float("-inf")

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self.last >= LOG_EVERY_SECONDS or progress.done >= progress.total:
            self.last = now
            self.logger.info(progress.sentence())
        if progress.total:
            self.shown.latest = progress


class _ProgressArtifact:
    """Sends the latest progress now and then, from a thread of its own: a server that is slow or away never
    holds up the work.
    """

    def __init__(self) -> None:
        self.latest: Progress | None = None
        self.sent: Progress | None = None
        self.artifacts: dict[str, UUID] = {}
        self.ended = threading.Event()
        self.thread = threading.Thread(
            target=contextvars.copy_context().run, args=(self._send_all,), daemon=True
        )
        self.thread.start()

    def close(self) -> None:
        """Send what is left, unless the server keeps us waiting."""
        self.ended.set()
        self.thread.join(timeout=5)

    def _send_all(self) -> None:
        while not self.ended.wait(SHOW_EVERY_SECONDS):
            self._send()
        self._send()

    def _send(self) -> None:
        from prefect.artifacts import create_progress_artifact, update_progress_artifact

        progress = self.latest
        if progress is None or progress is self.sent:
            return
        self.sent = progress
        share, description = 100 * progress.done / progress.total, prose(progress.sentence())
        with harmless("progress"):
            if progress.stage in self.artifacts:
                update_progress_artifact(self.artifacts[progress.stage], share, description)
            else:
                key = re.sub(r"[^a-z0-9]+", "-", progress.stage.lower()).strip("-")
                made = create_progress_artifact(share, f"progress-{key}", description)
                assert isinstance(made, UUID)  # noqa: S101 - outside an event loop it is no coroutine
                self.artifacts[progress.stage] = made
