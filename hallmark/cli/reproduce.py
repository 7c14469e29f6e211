"""`hallmark reproduce`: a recorded run repeated, and compared byte for byte."""

from __future__ import annotations

from typing import Annotated

import typer

from core.child_process import raise_on_termination
from hallmark import api
from hallmark.cli.completing import completes, run_ids, versions
from hallmark.cli.terminal import Json, emit


def reproduce(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN|NAME@vN",
            help="Run id, a unique beginning or end of one, or a model version.",
            autocompletion=completes(run_ids, versions),
        ),
    ],
    json: Json = False,
) -> None:
    """Repeat a recorded run from its manifest and compare the bytes. Exits with 3 when weights, predictions
    or scores differ.
    """
    from hallmark.cli.show.reproduction import show_reproduction

    raise_on_termination()
    reproduction = api.reproduce(target)
    if json:
        emit(reproduction.model_dump(mode="json"))
    else:
        show_reproduction(reproduction)
    if not reproduction.identical:
        raise typer.Exit(3)
