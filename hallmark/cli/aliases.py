"""`hallmark models alias`: aliases beside the champion."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from hallmark.cli.completing import aliases, completes
from hallmark.cli.help import Commands
from hallmark.cli.terminal import Json, Model, Reason, emit, out
from hallmark.cli.workspace import open_registry, writable_registry

app = Commands(no_args_is_help=True, help="Aliases of a model: list, set, remove, protect, unprotect.")

AliasName = Annotated[
    str,
    typer.Argument(
        metavar="ALIAS", help="Name of the alias, such as staging.", autocompletion=completes(aliases)
    ),
]


@app.command("list")
def list_aliases(model: Model, json: Json = False) -> None:
    """List a model's aliases, where they point, and whether they are protected."""
    from hallmark.cli.show.models import show_aliases

    rows = open_registry().aliases.list(model)
    if json:
        emit([row.model_dump(exclude={"id"}) for row in rows])
    else:
        show_aliases(model, rows)


@app.command("set")
def set_alias(
    model: Model,
    alias: AliasName,
    version: Annotated[int, typer.Argument(min=1, help="Version number.")],
    reason: Reason,
    json: Json = False,
) -> None:
    """Point an alias that is not protected at a version; the gate is not asked."""
    from experiments.promoting import actor

    chosen = writable_registry().aliases.set(model, alias, version, reason, actor())
    _report(model, alias, chosen.number, f"{model}@{alias} is v{chosen.number}", json)


@app.command("remove")
def remove_alias(model: Model, alias: AliasName, reason: Reason, json: Json = False) -> None:
    """Remove an alias that is not protected; its history stays."""
    from experiments.promoting import actor

    writable_registry().aliases.remove(model, alias, reason, actor())
    _report(model, alias, None, f"{model}@{alias} is removed", json)


@app.command()
def protect(model: Model, alias: AliasName, reason: Reason, json: Json = False) -> None:
    """Protect an alias: only the gate, a rollback or a forced promotion moves it. The champion always is."""
    from experiments.promoting import actor

    row = writable_registry().aliases.protect(model, alias, reason, actor())
    _report(model, alias, row.version, f"{model}@{alias} is protected", json)


@app.command()
def unprotect(model: Model, alias: AliasName, reason: Reason, json: Json = False) -> None:
    """Let an alias be set by hand again."""
    from experiments.promoting import actor

    row = writable_registry().aliases.unprotect(model, alias, reason, actor())
    _report(model, alias, row.version, f"{model}@{alias} is no longer protected", json)


def _report(model: str, alias: str, version: int | None, sentence: str, json: bool) -> None:
    if json:
        emit({"model": model, "alias": alias, "version": version})
    else:
        out.print(Text(sentence, "bold green"))
