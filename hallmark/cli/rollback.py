"""`hallmark rollback`: an earlier version served again."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from experiments.names import TINY_MODEL_NAME
from hallmark import api
from hallmark.cli.completing import completes, model_names
from hallmark.cli.terminal import Alias, Json, Reason, emit, out


def rollback(
    version: Annotated[int, typer.Argument(help="Version number to serve again.", min=1)],
    reason: Reason,
    model_name: Annotated[
        str,
        typer.Option(
            "--model-name", "-n", help="Name in the registry.", autocompletion=completes(model_names)
        ),
    ] = TINY_MODEL_NAME,
    alias: Alias = "champion",
    json: Json = False,
) -> None:
    """Make an earlier version champion again."""
    from experiments.result import log_line

    moved = api.rollback(version, reason, model_name, alias=alias)
    if json:
        emit({**moved.version.model_dump(mode="json"), "head": moved.head})
    else:
        out.print(Text(f"{model_name} v{moved.version.number} is {alias} again", "bold green"))
        out.print(f"log: {log_line(moved.head)}", markup=False, soft_wrap=True)
