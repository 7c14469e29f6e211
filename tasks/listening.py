"""Where the progress of a step goes: to whoever listens in this process, else to Prefect's log and a progress artifact."""

from __future__ import annotations

import contextvars
import logging
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from core.progress import Progress, is_listened_to, listening

LOG_EVERY_SECONDS = 10.0
SHOW_EVERY_SECONDS = 2.0


@contextmanager
def listened_to() -> Iterator[None]:
    """See to it that somebody listens: by default one that logs a line every ten seconds and keeps a progress artifact up to date."""
    if is_listened_to():
        yield
        return
    shown = _ProgressArtifact()
    try:
        with listening(_PrefectListener(shown)):
            yield
    finally:
        shown.close()


class _PrefectListener:
    def __init__(self, shown: _ProgressArtifact) -> None:
        self.logger = step_logger()
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
    """Sends the latest progress now and then, from a thread of its own: a server that is slow or away never holds up the work."""

    def __init__(self) -> None:
        self.latest: Progress | None = None
        self.sent: Progress | None = None
        self.artifacts: dict[str, UUID] = {}
        self.ended = threading.Event()
        self.thread = threading.Thread(target=contextvars.copy_context().run, args=(self._send_all,), daemon=True)
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

        from tasks.artifacts import harmless

        progress = self.latest
        if progress is None or progress is self.sent:
            return
        self.sent = progress
        share = 100 * progress.done / progress.total
        with harmless("progress"):
            if progress.stage in self.artifacts:
                update_progress_artifact(self.artifacts[progress.stage], share, progress.sentence())
            else:
                key = re.sub(r"[^a-z0-9]+", "-", progress.stage.lower()).strip("-")
                made = create_progress_artifact(share, f"progress-{key}", progress.sentence())
                assert isinstance(made, UUID)  # noqa: S101 - outside an event loop it is no coroutine
                self.artifacts[progress.stage] = made


def step_logger() -> logging.Logger | logging.LoggerAdapter[logging.Logger]:
    """The log of the current step in Prefect; outside of one, ours."""
    from prefect.exceptions import MissingContextError
    from prefect.logging import get_run_logger

    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger("hallmark")
