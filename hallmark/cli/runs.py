"""`hallmark runs`: what was run."""

from __future__ import annotations

from typing import Annotated

import typer

from hallmark import api
from hallmark.cli.terminal import Json, RunId, emit, out

app = typer.Typer(no_args_is_help=True, help="Recorded runs: list, show.")


@app.command("list")
def list_runs(
    limit: Annotated[int, typer.Option(min=1, help="Newest runs to show.")] = 20,
    json: Json = False,
) -> None:
    """List the newest runs."""
    from hallmark.cli.show.tables import plain_table

    found = api.runs(limit)
    if json:
        emit([summary.document() for summary in found])
        return
    table = plain_table(["run", "status", "score", "what"], right=(2,))
    for summary in found:
        score = "" if summary.score is None else f"{100 * summary.score:.1f} %"
        table.add_row(summary.run_id, summary.status, score, summary.run.name)
    out.print(table if found else "no runs yet: hallmark experiment")


@app.command("show")
def show(run: RunId, json: Json = False) -> None:
    """Show one run: inputs, metrics, files."""
    from hallmark.cli.show.run import report_run

    report_run(api.run(run), json)
