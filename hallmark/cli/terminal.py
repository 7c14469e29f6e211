"""Talking to the person, or to the program, that typed the command."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from core.progress import Listener, Progress

out = Console(highlight=False, soft_wrap=False)
err = Console(stderr=True, highlight=False)

Json = Annotated[
    bool,
    typer.Option(
        "--json", help="Print one JSON document instead of text; nothing else goes to standard output."
    ),
]

LINE_EVERY_SECONDS = 5.0


def emit(value: Any) -> None:
    """Print a JSON document."""
    sys.stdout.write(
        json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False, default=str) + "\n"
    )


def report_error(message: str, exit_code: int) -> None:
    """Say what went wrong, on standard error; as JSON when the command was asked for JSON."""
    if "--json" in sys.argv:
        sys.stderr.write(json.dumps({"error": message, "exit_code": exit_code}, ensure_ascii=False) + "\n")
    else:
        err.print("[bold red]error:[/] ", end="")
        err.print(message, markup=False, soft_wrap=True)


def say(message: str) -> None:
    """A line about what is going on, on standard error."""
    err.print(message, markup=False, soft_wrap=True, style="dim")


@contextmanager
def progress_bars() -> Iterator[Listener]:
    """Show progress: bars on a terminal, a line every few seconds elsewhere; nothing at all before the first report."""
    if not err.is_terminal:
        yield _Lines()
        return
    shown = _Bars()
    try:
        yield shown
    finally:
        shown.close()


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
        detail = f"{progress.rate:.1f} {progress.unit}/s{left}{note}"
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
