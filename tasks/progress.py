"""How far a task is, in Prefect: a log line now and then, and a progress artifact."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from core.progress import Progress, is_listened_to, listening
from tasks import stages
from tasks.logs import task_logger
from tasks.progress_artifacts import ProgressArtifacts, Shown

LOG_EVERY_SECONDS = 10.0


@contextmanager
def progress_shown() -> Iterator[None]:
    """Send progress to whoever listens in this process, else to Prefect: a log line every ten seconds, and a
    progress artifact, here and on the page of the run that somebody started.
    """
    if is_listened_to():
        yield
        return
    shown = ProgressArtifacts()
    try:
        with listening(_PrefectListener(shown)):
            yield
    finally:
        shown.close()


class _PrefectListener:
    def __init__(self, shown: ProgressArtifacts) -> None:
        self.logger = task_logger()
        self.shown = shown
        self.last = float("-inf")

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self.last >= LOG_EVERY_SECONDS or progress.done >= progress.total:
            self.last = now
            self.logger.info(progress.sentence())
        if progress.total:
            percent = 100 * progress.done / progress.total
            self.shown.latest = Shown(f"progress-{progress.stage}", percent, progress.sentence())
        stages.note(progress)
