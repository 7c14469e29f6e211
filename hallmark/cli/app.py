"""The commands, put together."""

from __future__ import annotations

from typing import Annotated

import typer

import hallmark
from core.progress import listening
from hallmark.cli import (
    golden_commands,
    judge_commands,
    model_commands,
    provenance_commands,
    registry_commands,
    run_commands,
    service_commands,
    storage_commands,
)
from hallmark.cli.doctor import doctor
from hallmark.cli.terminal import progress_bars

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Is the fine-tuned model really better than the base, and may it replace what we serve?",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hallmark {hallmark.__version__}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options before the command."""
    context.with_resource(listening(context.with_resource(progress_bars())))


for run_command in (
    run_commands.experiment,
    run_commands.baseline,
    run_commands.train,
    run_commands.evaluate,
    run_commands.reproduce,
):
    app.command()(run_command)
app.command()(judge_commands.rejudge)
app.command()(registry_commands.compare)
app.command()(registry_commands.promote)
app.command()(registry_commands.rollback)
app.command()(registry_commands.verify)
app.add_typer(registry_commands.runs, name="runs")
for name, model_command in (
    ("export", provenance_commands.export_model),
    ("verify-export", provenance_commands.verify_export),
    ("statement", provenance_commands.statement),
    ("keygen", provenance_commands.keygen),
):
    model_commands.models.command(name)(model_command)
app.add_typer(
    model_commands.models,
    name="models",
    help="Registered models: list, show, history, export, verify-export, statement.",
)
app.add_typer(storage_commands.registry, name="registry")
app.add_typer(golden_commands.app, name="golden")
app.add_typer(judge_commands.judges, name="judges")
app.command()(doctor)
for service_command in (
    service_commands.up,
    service_commands.down,
    service_commands.status,
    service_commands.env,
    service_commands.deploy,
    service_commands.server,
    service_commands.worker,
):
    app.command(rich_help_panel="Prefect on this machine")(service_command)
