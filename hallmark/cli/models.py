"""`hallmark models`: registered models, their versions and their history."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Annotated, Any

import typer

from core.errors import ResourceError
from hallmark import api
from hallmark.cli import aliases, exports
from hallmark.cli.completing import completes, model_names, versions
from hallmark.cli.help import Commands
from hallmark.cli.power import share
from hallmark.cli.terminal import Json, Model, emit, home
from hallmark.cli.workspace import open_registry

app = Commands(
    no_args_is_help=True,
    help="Registered models: list, show, history, alpha, export, verify-export, statement.",
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
        str,
        typer.Argument(
            help="NAME for all versions, or NAME@champion or NAME@v3 for one.",
            autocompletion=completes(model_names, versions),
        ),
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
    try:
        path = str(registry.artifacts.get(version.weights_sha256))
    except ResourceError:
        if os.access(home(), os.W_OK):
            raise
        path = f"not checked out, since {home()} is read-only; hallmark models export {reference} DIR"
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


@app.command()
def alpha(
    model: Model,
    gain: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=100,
            help="True gain that the golden set should find, in points; without it, 1.5 times what its first "
            "comparison found.",
        ),
    ] = None,
    power: Annotated[
        float, typer.Option(parser=share, metavar="SHARE", help="How probable it is that a gain is found.")
    ] = 0.8,
    json: Json = False,
) -> None:
    """Show what comparisons spent of alpha, what is left, what that can show, and when a fresh set is due."""
    from experiments.alpha import alpha_reports
    from hallmark.cli.show.alpha import show_alpha

    reports = alpha_reports(model, open_registry(), None if gain is None else gain / 100, power)
    if json:
        rows = [{**report.model_dump(mode="json"), "due": report.due} for report in reports]
        emit([{**row, "sentences": report.sentences()} for row, report in zip(rows, reports, strict=True)])
    else:
        show_alpha(model, reports)


app.command("export")(exports.export)
app.command("verify-export")(exports.verify_export)
app.command("statement")(exports.statement)
app.command("keygen")(exports.keygen)
