"""`hallmark models`: registered models, their versions, aliases and history."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.padding import Padding
from rich.text import Text

from hallmark.cli.registry_commands import Reason, open_registry
from hallmark.cli.terminal import Json, emit, out

models = typer.Typer(no_args_is_help=True)
aliases = typer.Typer(no_args_is_help=True, help="Aliases of a model: list, set, remove, protect, unprotect.")
models.add_typer(aliases, name="alias")

Model = Annotated[str, typer.Argument(help="Registered model.")]
AliasName = Annotated[str, typer.Argument(metavar="ALIAS", help="Name of the alias, such as staging.")]


@models.command("list")
def list_models(json: Json = False) -> None:
    """List the registered models and their champions."""
    from hallmark.cli.tables import plain_table

    rows = open_registry().models.list()
    if json:
        emit([asdict(row) for row in rows])
        return
    table = plain_table(["model", "champion", "versions"], right=(2,))
    for row in rows:
        table.add_row(row.name, _number(row.champion), str(row.versions))
    out.print(table if rows else "no models yet: hallmark experiment")


@models.command("show")
def show_model(
    reference: Annotated[
        str, typer.Argument(help="NAME for all versions, or NAME@champion or NAME@v3 for one.")
    ],
    limit: Annotated[int, typer.Option(min=1, help="Newest versions to show.")] = 20,
    json: Json = False,
) -> None:
    """Show a model's versions, or one version with its provenance."""
    from hallmark.cli.tables import plain_table

    opened = open_registry()
    if "@" in reference:
        version = opened.models.get(reference)
        document = {
            **version.model_dump(mode="json", exclude={"id"}),
            "path": str(opened.artifacts.get(version.weights_sha256)),
        }
        if json:
            from provenance import stored_document
            from provenance.signing import opened as statement_of

            emit({**document, "statement": statement_of(stored_document(opened, version))})
            return
        for name in (
            "model",
            "number",
            "run_id",
            "weights_sha256",
            "dataset_key",
            "dataset_version",
            "judge",
            "parent_model",
            "created_at",
            "path",
        ):
            out.print(f"{name:<16} {document[name]}", markup=False, soft_wrap=True)
        return
    versions = opened.models.versions(reference, limit=limit)
    if json:
        emit([version.model_dump(mode="json", exclude={"id", "manifest"}) for version in versions])
        return
    table = plain_table(["version", "run", "dataset", "weights sha256"])
    for version in versions:
        table.add_row(
            f"v{version.number}",
            version.run_id,
            f"{version.dataset_key}-{version.dataset_version}",
            version.weights_sha256[:32] + "...",
        )
    out.print(table)


@models.command()
def history(
    model: Model,
    limit: Annotated[int, typer.Option(min=1, help="Newest decisions to show.")] = 50,
    json: Json = False,
) -> None:
    """Decisions about a model: promoted, refused, forced, rolled back, by whom and why; oldest first."""
    rows = open_registry().models.history(model, limit)
    if json:
        emit([row.model_dump(mode="json") for row in rows])
        return
    for row in rows:
        moves = row.to_version is not None or row.action == "removed"
        moved = (
            f"{row.alias}: {_number(row.from_version)} -> {_number(row.to_version)}"
            if moves
            else f"{row.alias}: no change"
        )
        out.print(
            f"{row.id:>4}  {row.created_at[:19]}  {row.action:<11} {moved:<24} {row.actor}", markup=False
        )
        out.print(Padding(Text(row.reason, "dim"), (0, 0, 0, 6)))


def _number(version: int | None) -> str:
    return "none" if version is None else f"v{version}"


@aliases.command("list")
def list_aliases(model: Model, json: Json = False) -> None:
    """List a model's aliases, where they point, and whether they are protected."""
    from hallmark.cli.tables import plain_table

    rows = open_registry().aliases.list(model)
    if json:
        emit([row.model_dump(exclude={"id"}) for row in rows])
        return
    table = plain_table(["alias", "version", ""])
    for row in rows:
        table.add_row(row.name, _number(row.version), "protected" if row.protected else "")
    out.print(table if rows else f"{model} has no alias")


@aliases.command("set")
def set_alias(
    model: Model,
    alias: AliasName,
    version: Annotated[int, typer.Argument(min=1, help="Version number.")],
    reason: Reason,
    json: Json = False,
) -> None:
    """Point an alias that is not protected at a version; the gate is not asked."""
    from experiments.promoting import actor

    chosen = open_registry().aliases.set(model, alias, version, reason, actor())
    _say_alias(model, alias, chosen.number, f"{model}@{alias} is v{chosen.number}", json)


@aliases.command("remove")
def remove_alias(model: Model, alias: AliasName, reason: Reason, json: Json = False) -> None:
    """Take an alias that is not protected away; its history stays."""
    from experiments.promoting import actor

    open_registry().aliases.remove(model, alias, reason, actor())
    _say_alias(model, alias, None, f"{model}@{alias} is removed", json)


@aliases.command()
def protect(model: Model, alias: AliasName, reason: Reason, json: Json = False) -> None:
    """From now on only the gate, a rollback or a forced promotion moves this alias. The champion is protected always."""
    from experiments.promoting import actor

    row = open_registry().aliases.protect(model, alias, reason, actor())
    _say_alias(model, alias, row.version, f"{model}@{alias} is protected", json)


@aliases.command()
def unprotect(model: Model, alias: AliasName, reason: Reason, json: Json = False) -> None:
    """Let an alias be set by hand again."""
    from experiments.promoting import actor

    row = open_registry().aliases.unprotect(model, alias, reason, actor())
    _say_alias(model, alias, row.version, f"{model}@{alias} is no longer protected", json)


def _say_alias(model: str, alias: str, version: int | None, sentence: str, json: bool) -> None:
    if json:
        emit({"model": model, "alias": alias, "version": version})
    else:
        out.print(Text(sentence, "bold green"))
