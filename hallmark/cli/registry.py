"""`hallmark registry`: the registry's database and artifacts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from core.text import counted
from hallmark.cli.help import Commands
from hallmark.cli.terminal import Json, emit, out

app = Commands(no_args_is_help=True, help="The registry's database and artifacts: upgrade, gc.")


@app.command()
def upgrade(json: Json = False) -> None:
    """Bring the database to the schema of this version of Hallmark, in one transaction, and a local artifact
    store to its layout. Versions without a statement get one, made from their rows.
    """
    from core.files import make_home
    from core.settings import get_settings
    from experiments.workspace import open_workspace
    from provenance import configured_key
    from provenance.attestation import add_missing_statements
    from registry import upgrade as upgrade_registry

    settings = get_settings()
    make_home(settings.home.absolute())
    converted = upgrade_registry(
        settings.home.absolute(), settings.registry_url, artifacts=settings.artifacts
    )
    added, lacking = add_missing_statements(open_workspace().registry, configured_key())
    problems = [*converted.damaged, *lacking]
    if json:
        emit(
            {
                "upgraded": True,
                "artifacts_moved": converted.moved,
                "statements_added": added,
                "problems": problems,
            }
        )
    else:
        out.print("the registry has the newest schema")
        if converted.moved:
            moved = counted(converted.moved, "artifact was", "artifacts were")
            out.print(f"{moved} moved to the newest layout of the store")
        if added:
            out.print(f"{counted(len(added), 'version')} got a statement, made from their rows")
        for problem in problems:
            out.print(problem, markup=False, style="red", soft_wrap=True)
    if problems:
        raise typer.Exit(3)


@app.command()
def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
    models_older_than: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="DAYS",
            help="Also remove the models of trained runs that finished more than this many days ago: their "
            "model/ folders, and what a shared store keeps of them for other machines.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Remove artifacts that no model version and no run needs, and what killed processes left behind. The
    last hour's artifacts stay.
    """
    from experiments.garbage import remove_models
    from experiments.workspace import open_workspace

    workspace = open_workspace()
    if not dry_run:
        workspace.check_writable()
    collected = workspace.registry.collect_garbage(dry_run, models_older_than=models_older_than)
    models = [] if models_older_than is None else remove_models(workspace, models_older_than, dry_run)
    if json:
        emit({"dry_run": dry_run, **asdict(collected), "models": [asdict(model) for model in models]})
        return
    for name in collected.names:
        out.print(name, markup=False, style="dim", soft_wrap=True)
    for model in models:
        note = "kept in the artifact store" if model.stored else "train again; it gives the same bytes"
        out.print(f"{model.path}  ({note})", markup=False, style="dim", soft_wrap=True)
    verb = "would be freed" if dry_run else "freed"
    freed = f"{counted(collected.files, 'file')}, {collected.bytes / 1e6:,.1f} MB {verb}"
    out.print(f"{workspace.registry.artifacts.place}: {freed}", soft_wrap=True)
    if models_older_than is not None:
        freed = (
            f"{counted(len(models), 'model')}, {sum(model.bytes for model in models) / 1e6:,.1f} MB {verb}"
        )
        out.print(f"{workspace.runs}: {freed}", soft_wrap=True)
