"""`hallmark verify`: everything that is recorded, hashed again."""

from __future__ import annotations

import typer

from hallmark.cli.terminal import Json, emit, out
from hallmark.cli.workspace import open_registry


def verify(json: Json = False) -> None:
    """Hash every artifact, row and log entry again. Exits with 3 when something differs from what was
    recorded.
    """
    problems = [str(problem) for problem in open_registry().verify()]
    if json:
        emit({"problems": problems})
    else:
        for problem in problems:
            out.print(problem, markup=False, style="red", soft_wrap=True)
        out.print(f"{len(problems)} problems" if problems else "everything matches what was recorded")
    if problems:
        raise typer.Exit(3)
