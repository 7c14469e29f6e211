"""What runs, as text."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from core.locks import Holder
from core.progress import Progress
from core.text import counted
from hallmark.workstation.overview import Overview, Queued, RunNow

LABEL = 9
BAR = 20


def overview_page(found: Overview) -> RenderableType:
    """A page that is printed again and again on a terminal."""
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=LABEL)
    table.add_column(overflow="fold")
    for label, text in _services(found):
        table.add_row(Text(label, "bold"), text)
    if not found.runs:
        table.add_row(Text("run", "bold"), Text("none is being worked on", "dim"))
    for run in found.runs:
        table.add_row(Text("run", "bold"), Text(f"{run.run_id}  {run.name}"))
        table.add_row("", _progress(run))
    for label, text in _rest(found):
        table.add_row(Text(label, "bold"), text)
    return Group(table, Text(f"{found.at.astimezone():%H:%M:%S}. Ctrl-C ends this view.", "dim"))


def overview_lines(found: Overview) -> list[str]:
    """The same as lines, where there is no terminal."""
    runs = (
        ("run", Text(f"{run.run_id}  {run.name}: {run.progress.sentence() if run.progress else _where(run)}"))
        for run in found.runs
    )
    return [f"{label:<7} {text.plain}".rstrip() for label, text in (*_services(found), *runs, *_rest(found))]


def _services(found: Overview) -> Iterator[tuple[str, Text]]:
    for name, owner in (("server", found.server), ("worker", found.worker)):
        yield name, Text(_service(owner), "" if owner else "yellow")
    for device, owner in found.devices.items():
        yield device, Text(owner.sentence())


def _rest(found: Overview) -> Iterator[tuple[str, Text]]:
    if found.interrupted:
        number = counted(found.interrupted, "run was", "runs were")
        yield "", Text(f"{number} interrupted: hallmark runs list --status interrupted", "yellow")
    if found.problem:
        yield "registry", Text(found.problem, "red")
    for place, each in enumerate(found.queue or ()):
        yield "" if place else "next", Text(_queued(each))


def _service(owner: Holder | None) -> str:
    if owner is None:
        return "not running"
    return f"process {owner.pid}, since {owner.since.astimezone():%Y-%m-%d %H:%M:%S} {owner.address}".rstrip()


def _where(run: RunNow) -> str:
    return f"begins, process {run.pid}" if run.pid else "on another machine"


def _progress(run: RunNow) -> RenderableType:
    if run.progress is None:
        return Text(_where(run), "dim")
    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_row(
        Text(run.progress.stage, "cyan"),
        ProgressBar(run.progress.total, run.progress.done, width=BAR),
        Text(_numbers(run.progress)),
    )
    return Group(line, Text(run.progress.note, "dim")) if run.progress.note else line


def _numbers(progress: Progress) -> str:
    left = "" if not progress.seconds_left else f", {progress.seconds_left:.0f} s left"
    speed = f", {progress.speed}" if progress.rate else ""
    return f"{progress.done:,}/{progress.total:,}{speed}{left}"


def _queued(each: Queued) -> str:
    return f"{_when(each.expected)}  {each.name}, {each.state.lower()}"


def _when(expected: datetime | None) -> str:
    return "some time" if expected is None else f"{expected.astimezone():%Y-%m-%d %H:%M}"
