"""`hallmark report`: one run, or two side by side, as a file to read and to pass on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hallmark import api
from hallmark.cli.completing import completes, run_ids
from hallmark.cli.terminal import Json, RunId, emit, out, relative


def report(
    run: RunId,
    candidate: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]",
            help="Candidate that is compared with the first run, the baseline.",
            show_default=False,
            autocompletion=completes(run_ids),
        ),
    ] = None,
    path: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="Default: a file in the working directory, named after the runs.",
        ),
    ] = None,
    format: Annotated[str, typer.Option(help="html: a page that needs nothing else.")] = "html",  # noqa: A002
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is no report.")] = False,
    json: Json = False,
) -> None:
    """Write a report: the decision, what got worse and why, and every item with its texts.

    One RUN alone, or BASELINE CANDIDATE, as `hallmark compare` takes them.
    """
    runs = [run] if candidate is None else [run, candidate]
    written = api.report(*runs, path=path, format=format, force=force)
    if json:
        emit({"path": str(written.absolute())})
        return
    out.print(relative(written), markup=False, soft_wrap=True)
