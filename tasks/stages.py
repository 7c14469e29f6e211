"""The page of the run that somebody started: a line for each stage, and how far the whole of it is, while the
work is done in runs of their own below it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from core.progress import Progress, is_listened_to
from tasks.logs import task_logger
from tasks.progress_artifacts import ProgressArtifacts, Shown

SHOW_EVERY_SECONDS = 5.0
"""Each update is a line of `prefect deployment run --watch`."""

_page: ContextVar[_Page | None] = ContextVar("hallmark_page", default=None)


@contextmanager
def shown_here() -> Iterator[None]:
    """Inside the block what the stages say is also said by the flow run that is running now."""
    page = _Page()
    token = _page.set(page)
    try:
        yield
        page.show("done", 100.0)
    finally:
        _page.reset(token)
        page.close()


def expect(jobs: int) -> None:
    """Say how much there is to do.

    Args:
        jobs: trainings, and models to ask on a dataset.
    """
    if (page := _page.get()) is not None:
        page.jobs = jobs


def tell(stage: str, sentence: str) -> None:
    """Log that a stage is done: here, and on the page of the run that somebody started.

    Args:
        stage: as in trained.
        sentence: what came of it, with counts and times.
    """
    logger = task_logger()
    logger.info("%s: %s", stage, sentence)
    if (page := _page.get()) is not None:
        page.tell(logger, f"{stage}: {sentence}")


@contextmanager
def job() -> Iterator[None]:
    """A job of those that were expected: its progress moves the whole's."""
    page = _page.get()
    if page is not None:
        page.in_job = True
    try:
        yield
    finally:
        if page is not None:
            page.in_job = False
    done(1)


def done(jobs: int) -> None:
    """Say that expected jobs are done, also where nothing had to be."""
    if (page := _page.get()) is not None:
        page.done += jobs


def note(progress: Progress) -> None:
    """Show how far the current stage is."""
    if (page := _page.get()) is not None and progress.total:
        page.note(progress)


def remember_comparison(address: str) -> None:
    """Keep where the comparison is shown, for the decision's page."""
    if (page := _page.get()) is not None:
        page.comparison = address


def comparison_page() -> str:
    """Where the comparison of this experiment is shown; empty where nobody knows."""
    page = _page.get()
    return page.comparison if page is not None else ""


class _Page:
    """A flow run's page. Nobody looks at it where a terminal shows the progress, so nothing is sent there."""

    def __init__(self) -> None:
        self.logger = task_logger()
        self.artifacts = None if is_listened_to() else ProgressArtifacts(every=SHOW_EVERY_SECONDS)
        self.jobs, self.done, self.in_job = 0, 0, False
        self.comparison = ""
        self.show("planning", 0.0)

    def tell(self, teller: logging.Logger | logging.LoggerAdapter[logging.Logger], line: str) -> None:
        if _flow_run_of(teller) != _flow_run_of(self.logger):
            self.logger.info("%s", line)
        self.show(line, self.percent(0.0))

    def note(self, progress: Progress) -> None:
        share = progress.done / progress.total if self.in_job else 0.0
        self.show(progress.sentence(), self.percent(share))

    def percent(self, share: float) -> float:
        return min(99.0, 100 * (self.done + share) / self.jobs) if self.jobs else 0.0

    def show(self, sentence: str, percent: float) -> None:
        if self.artifacts is not None:
            self.artifacts.latest = Shown("progress", percent, sentence)

    def close(self) -> None:
        if self.artifacts is not None:
            self.artifacts.close()


def _flow_run_of(logger: logging.Logger | logging.LoggerAdapter[logging.Logger]) -> object:
    extra = getattr(logger, "extra", None) or {}
    return extra.get("flow_run_id")


class Clock:
    """Seconds since it was made, as a person reads them.

    Example:
        >>> str(Clock())
        '0.0 s'
    """

    def __init__(self) -> None:
        self.since = time.monotonic()

    def __str__(self) -> str:
        seconds = time.monotonic() - self.since
        return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.1f} min"
