"""`hallmark runs`: what was run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from core.text import counted
from hallmark import api
from hallmark.cli.completing import completes, judged_datasets, judged_models, judges, words
from hallmark.cli.help import Commands
from hallmark.cli.terminal import Json, RunId, emit, out, relative

app = Commands(no_args_is_help=True, help="Recorded runs: list, show, diff, export, discard.")


@app.command("list")
def list_runs(
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Model that was judged or trained from, as it was named, or its short name.",
            autocompletion=completes(judged_models),
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            "-d",
            help="Golden dataset: KEY-vN, KEY, or its file.",
            autocompletion=completes(judged_datasets),
        ),
    ] = None,
    judge: Annotated[
        str | None, typer.Option(help="NAME@vN, or NAME.", autocompletion=completes(judges))
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="baseline or trained.", autocompletion=words("baseline", "trained"))
    ] = None,
    status: Annotated[
        str | None,
        typer.Option(
            help="running, finished, failed or interrupted.",
            autocompletion=words("running", "finished", "failed", "interrupted"),
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Started since then: 12h, 2d, 1w, or a date such as 2026-11-01 (UTC).")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Newest runs to show.")] = 20,
    json: Json = False,
) -> None:
    """List the newest runs."""
    from rich.text import Text

    from hallmark.cli.show.tables import plain_table

    chosen = {"model": model, "dataset": dataset, "judge": judge, "kind": kind, "status": status}
    found = api.runs(limit, since=since, **chosen)
    if json:
        emit([summary.document() for summary in found])
        return
    table = plain_table(["run", "status", "score", "what"], right=(2,), whole=(0, 1))
    for summary in found:
        score = "" if summary.score is None else f"{100 * summary.score:.1f} %"
        what = Text(summary.run.name)
        if summary.details:
            what.append(f"\n{summary.details}", "dim")
        table.add_row(summary.run_id, summary.status, score, what)
    filtered = since is not None or any(chosen.values())
    out.print(table if found else "no such runs" if filtered else "no runs yet: hallmark experiment")


@app.command("show")
def show(
    run: RunId,
    wrong: Annotated[
        int, typer.Option(min=0, help="Show this many answers without the full score, whole in --json.")
    ] = 0,
    right: Annotated[int, typer.Option(min=0, help="Show this many answers with the full score.")] = 0,
    item: Annotated[
        list[str] | None,
        typer.Option("--item", metavar="TRACE_ID", help="Show the answer to this item. Repeatable."),
    ] = None,
    json: Json = False,
) -> None:
    """Show one run: inputs, metrics, files; and what the model answered."""
    from hallmark.cli.show.answers import show_answers
    from hallmark.cli.show.run import report_run, show_run
    from hallmark.results import recorded_answers

    found = api.run(run)
    if not (wrong or right or item):
        report_run(found, json)
        return
    answers = recorded_answers(found.run_id, wrong=wrong, right=right, items=item or ())
    if json:
        emit({**found.document(), "answers": [answer.model_dump(mode="json") for answer in answers]})
        return
    show_run(found)
    show_answers(answers)


@app.command("diff")
def diff(one: RunId, other: RunId, json: Json = False) -> None:
    """Count the answers that differ between two runs of one model that were asked alike, as on two engines.

    Of each that differs, the first token that does, and by how much the largest logit there exceeds the
    second: a margin as small as rounding explains a difference, a larger one does not.
    """
    from hallmark.cli.show.difference import show_difference

    found = api.diff(one, other)
    if json:
        emit(found.model_dump(mode="json"))
        return
    show_difference(found)


@app.command("discard")
def discard(
    run: RunId,
    reason: Annotated[str, typer.Option(help="Why; recorded.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
    json: Json = False,
) -> None:
    """Give up a run that failed or was interrupted, and remove its folder.

    Its row stays, as failed, with who gave it up and why. The same experiment then begins again. Finished
    runs are never removed.
    """
    from dataclasses import asdict

    from experiments import discarding
    from experiments.workspace import open_workspace

    workspace = open_workspace()
    if not dry_run:
        workspace.check_writable()
    found = discarding.discard(run, workspace, reason, dry_run)
    if json:
        emit({**asdict(found), "directory": str(found.directory), "dry_run": dry_run})
        return
    verb = "would be removed" if dry_run else "removed"
    size = f"{counted(found.files, 'file')}, {found.bytes / 1e6:,.1f} MB {verb}"
    out.print(f"run {found.run_id}: {size}", markup=False, soft_wrap=True)


@app.command("export")
def export(
    run: RunId,
    path: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="FILE.jsonl, .parquet, .eval or .json; lm-eval: a directory.",
        ),
    ],
    format: Annotated[  # noqa: A002 - the option's name
        str | None,
        typer.Option(
            help="jsonl, parquet, inspect or lm-eval. Default: by the ending of the file.",
            autocompletion=words("jsonl", "parquet", "inspect", "lm-eval"),
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    json: Json = False,
) -> None:
    """Write a run's items, predictions and scores for inspect_ai, lm-evaluation-harness, or as a table.

    What is written can be imported again (`hallmark predictions import`), and the predictions are equal.
    """
    written = api.export_run(run, path, format=format, force=force)
    if json:
        emit({"files": [str(each.absolute()) for each in written]})
        return
    for each in written:
        out.print(relative(each), markup=False, soft_wrap=True)
