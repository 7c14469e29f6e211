"""`hallmark status`: what runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from hallmark.cli.terminal import Json, emit, home, out
from hallmark.progress import LINE_EVERY_SECONDS, say

if TYPE_CHECKING:
    from hallmark.workstation.overview import Looking

LOOK_EVERY_SECONDS = 1.0


def status(
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Look again every second, until Ctrl-C; then exits with 0.")
    ] = False,
    json: Json = False,
) -> None:
    """Show what runs: server, worker, who uses the GPU, each run and how far it is, and what is queued.

    Exits with 4 when this home's server or worker is not running.
    """
    from hallmark.cli.show.overview import overview_lines
    from hallmark.workstation.background import other_server
    from hallmark.workstation.overview import Looking

    looking = Looking(home())
    if watch and not json:
        _watch(looking)
        return
    found = looking.look()
    if json:
        emit(found.model_dump(mode="json"))
    else:
        for line in overview_lines(found):
            out.print(line, markup=False, soft_wrap=True, hanging=8)
    if other := other_server(home()):
        say(other)
    if found.server is None or found.worker is None:
        raise typer.Exit(4)


def _watch(looking: Looking) -> None:
    """A page that changes on a terminal, else the lines that are new."""
    from rich.live import Live

    from hallmark.cli.show.overview import overview_lines, overview_page

    try:
        if not out.is_terminal:
            seen: list[str] = []
            while True:
                lines = overview_lines(looking.look())
                for line in lines:
                    if line not in seen:
                        out.print(line, markup=False, soft_wrap=True)
                out.file.flush()
                seen = lines
                time.sleep(LINE_EVERY_SECONDS)
        with Live(overview_page(looking.look()), console=out, auto_refresh=False) as live:
            while True:
                time.sleep(LOOK_EVERY_SECONDS)
                live.update(overview_page(looking.look()), refresh=True)
    except KeyboardInterrupt:
        return
