"""The commands, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from core import __version__
from core.progress import listening
from hallmark.cli import golden, judges, models, predictions, registry, review, runs
from hallmark.cli.compare import WithFlips, compare
from hallmark.cli.deploy import deploy
from hallmark.cli.doctor import doctor
from hallmark.cli.down import down
from hallmark.cli.env import env
from hallmark.cli.evaluate import baseline, evaluate
from hallmark.cli.experiment import experiment
from hallmark.cli.help import Command, Commands
from hallmark.cli.init import init
from hallmark.cli.promote import promote
from hallmark.cli.rejudge import rejudge
from hallmark.cli.report import report
from hallmark.cli.reproduce import reproduce
from hallmark.cli.rollback import rollback
from hallmark.cli.server import server
from hallmark.cli.status import status
from hallmark.cli.train import train
from hallmark.cli.ui import ui
from hallmark.cli.up import up
from hallmark.cli.verify import verify
from hallmark.cli.worker import worker
from hallmark.progress import progress_display

app = Commands(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Is the fine-tuned model really better than the base, and may it replace what we serve?",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hallmark {__version__}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options before the command."""
    context.with_resource(listening(context.with_resource(progress_display())))


for command in (
    init,
    experiment,
    baseline,
    train,
    evaluate,
    reproduce,
    rejudge,
    compare,
    report,
    promote,
    rollback,
    verify,
    ui,
):
    app.command(cls=WithFlips if command is compare else Command)(command)
for group, name in (
    (runs.app, "runs"),
    (predictions.app, "predictions"),
    (models.app, "models"),
    (registry.app, "registry"),
    (golden.app, "golden"),
    (review.app, "review"),
    (judges.app, "judges"),
):
    app.add_typer(group, name=name)
app.command()(doctor)
for service in (up, down, status, env, deploy, server, worker):
    app.command(rich_help_panel="Prefect on this machine")(service)
