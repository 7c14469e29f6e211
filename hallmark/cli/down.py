"""`hallmark down`: the worker and the server stopped."""

from __future__ import annotations

from typing import Annotated

import typer

from hallmark.cli.terminal import home
from hallmark.progress import say


def down(
    seconds: Annotated[
        float, typer.Option(min=1, help="How long each may take to end before it is killed.")
    ] = 60.0,
) -> None:
    """Stop the worker and the server. A running job shuts down cleanly, and resumes when started again."""
    from hallmark.workstation.background import stop

    stop(home(), seconds, say)
