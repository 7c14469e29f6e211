"""`hallmark verify`: everything that is recorded, hashed again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hallmark import api
from hallmark.cli.terminal import Json, PublicKeys, emit, out


def verify(
    quick: Annotated[
        bool, typer.Option("--quick", help="Rows and logs only: no artifact, no statement, no file of a run.")
    ] = False,
    head: Annotated[
        str | None,
        typer.Option(
            "--head",
            metavar="N:HASH|FILE",
            help="The end of the log as it was once, which must still be in it: as it was printed, a file of "
            "--write-head, or the statement or directory of an export.",
        ),
    ] = None,
    write_head: Annotated[
        Path | None,
        typer.Option(
            "--write-head",
            metavar="FILE",
            help="Write the end of the log to a file, signed if there is a key, to be kept elsewhere; only "
            "where there is no problem.",
        ),
    ] = None,
    public_key: PublicKeys = None,
    json: Json = False,
) -> None:
    """Check that nothing was changed since it was recorded: rows, logs, artifacts, statements, levels of
    alpha, files of runs. Exits with 3 when something was.
    """
    from hallmark.cli.show.verification import show_verification

    found = api.verify(head, quick=quick, write_head=write_head, public_keys=public_key or ())
    if json:
        emit(found.model_dump(mode="json"))
    else:
        show_verification(found)
        intact = not any(problem.startswith("log") for problem in found.problems)
        if head is not None and intact:
            out.print(f"head {head}: still in the log", markup=False, soft_wrap=True)
        if write_head is not None:
            done = "not written, since there are problems" if found.problems else "written"
            out.print(f"{write_head}: {done}", markup=False, soft_wrap=True)
    if found.problems:
        raise typer.Exit(3)
