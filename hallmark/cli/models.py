"""`hallmark models`: registered models, their versions and their history."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from hallmark import api
from hallmark.cli import aliases, exports
from hallmark.cli.terminal import Json, Model, emit
from hallmark.cli.workspace import open_registry

app = typer.Typer(
    no_args_is_help=True,
    help="Registered models: list, show, history, export, verify-export, statement.",
)
app.add_typer(aliases.app, name="alias")


@app.command("list")
def list_models(json: Json = False) -> None:
    """List the registered models and their champions."""
    from hallmark.cli.show.models import show_models

    found = api.models()
    if json:
        emit([asdict(model) for model in found])
    else:
        show_models(found)


@app.command("show")
def show_model(
    reference: Annotated[
        str, typer.Argument(help="NAME for all versions, or NAME@champion or NAME@v3 for one.")
    ],
    limit: Annotated[int, typer.Option(min=1, help="Newest versions to show.")] = 20,
    json: Json = False,
) -> None:
    """Show a model's versions, or one version with its provenance."""
    from hallmark.cli.show.models import show_version, show_versions

    if "@" in reference:
        document = _version_document(reference, statement=json)
        if json:
            emit(document)
        else:
            show_version(document)
        return
    versions = open_registry().models.versions(reference, limit=limit)
    if json:
        emit([version.model_dump(mode="json", exclude={"id", "manifest"}) for version in versions])
    else:
        show_versions(versions)


def _version_document(reference: str, *, statement: bool) -> dict[str, Any]:
    from provenance import stored_document
    from provenance.signing import opened

    registry = open_registry()
    version = registry.models.get(reference)
    path = str(registry.artifacts.get(version.weights_sha256))
    document = {**version.model_dump(mode="json", exclude={"id"}), "path": path}
    return {**document, "statement": opened(stored_document(registry, version))} if statement else document


@app.command()
def history(
    model: Model,
    limit: Annotated[int, typer.Option(min=1, help="Newest decisions to show.")] = 50,
    json: Json = False,
) -> None:
    """Decisions about a model: promoted, refused, forced, rolled back, by whom and why; oldest first."""
    from hallmark.cli.show.models import show_history

    rows = open_registry().models.history(model, limit)
    if json:
        emit([row.model_dump(mode="json") for row in rows])
    else:
        show_history(rows)


app.command("export")(exports.export)
app.command("verify-export")(exports.verify_export)
app.command("statement")(exports.statement)
app.command("keygen")(exports.keygen)
