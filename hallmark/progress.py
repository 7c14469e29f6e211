"""How progress is shown: bars on a terminal, one block that changes in a notebook, a line now and then
elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from core.progress import Listener, Progress, is_listened_to, listening
from hallmark.console import plain_console

err = plain_console(stderr=True)

LINE_EVERY_SECONDS = 5.0
NOTEBOOK_EVERY_SECONDS = 0.5


def say(message: str) -> None:
    """A line about what is going on, on standard error."""
    err.print(message, markup=False, soft_wrap=True, style="dim")


@contextmanager
def progress_display() -> Iterator[Listener]:
    """A listener that shows progress where this process is seen; nothing at all before the first report."""
    if err.is_jupyter:
        yield _Notebook()
    elif not err.is_terminal:
        yield _Lines()
    else:
        shown = _Bars()
        try:
            yield shown
        finally:
            shown.close()


@contextmanager
def progress_shown() -> Iterator[None]:
    """Show the progress of whatever is done inside the block, unless somebody shows it already."""
    if is_listened_to():
        yield
        return
    with progress_display() as listener, listening(listener):
        yield


class _Bars:
    """Bars that are alive only while something is unfinished, so that results can be printed after it."""

    def __init__(self) -> None:
        self.bars: Bars | None = None
        self.known: dict[str, TaskID] = {}

    def __call__(self, progress: Progress) -> None:
        if progress.total == 0:
            say(progress.sentence())
            return
        if self.bars is None:
            columns = (
                TextColumn("{task.description:<17}"),
                BarColumn(bar_width=20),
                MofNCompleteColumn(),
                TextColumn("{task.fields[detail]}"),
            )
            self.bars, self.known = Bars(*columns, console=err), {}
            self.bars.start()
        if progress.stage not in self.known:
            self.known[progress.stage] = self.bars.add_task(progress.stage, total=progress.total, detail="")
        left = "" if not progress.seconds_left else f", {progress.seconds_left:.0f} s left"
        note = f", {progress.note}" if progress.note else ""
        detail = f"{progress.speed}{left}{note}"
        self.bars.update(
            self.known[progress.stage], completed=progress.done, total=progress.total, detail=detail
        )
        if self.bars.finished:
            self.close()

    def close(self) -> None:
        """Leave the bars as they are."""
        if self.bars is not None:
            self.bars.stop()
            self.bars = None


class _Lines:
    def __init__(self) -> None:
        self.last: dict[str, float] = {}

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if (
            now - self.last.get(progress.stage, float("-inf")) >= LINE_EVERY_SECONDS
            or progress.done >= progress.total
        ):
            self.last[progress.stage] = now
            say(progress.sentence())


class _Notebook:
    """The latest line of each stage, below the cell, in one place that changes."""

    def __init__(self) -> None:
        self.lines: dict[str, str] = {}
        self.place: Any = None
        self.last = float("-inf")

    def __call__(self, progress: Progress) -> None:
        from IPython.display import HTML, display

        self.lines[progress.stage] = progress.sentence()
        now = time.monotonic()
        if now - self.last < NOTEBOOK_EVERY_SECONDS and progress.done < progress.total:
            return
        self.last = now
        shown = HTML(f"<pre>{escape(chr(10).join(self.lines.values()))}</pre>")
        if self.place is None:
            self.place = display(shown, display_id=True)
        else:
            self.place.update(shown)
