"""`hallmark predictions`: what other programs made a model answer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from experiments.config import DATASET_HELP, JUDGE_HELP, MODEL_HELP, EvaluateConfig
from hallmark.cli.completing import completes, datasets, judges, models
from hallmark.cli.help import Commands
from hallmark.cli.importing import column_map
from hallmark.cli.options import JudgeArguments, Settings, judge_with, option, parse_settings
from hallmark.cli.terminal import Json, emit, out
from hallmark.progress import progress_shown

app = Commands(no_args_is_help=True, help="Predictions that another program made: import.")


@app.callback()
def predictions() -> None:
    """A group, though it has one command."""


@app.command("import")
def import_file(
    file: Annotated[
        Path,
        typer.Argument(
            help="Samples of lm-evaluation-harness, a log of inspect_ai, the output of an OpenAI batch, or "
            "JSONL, CSV or Parquet with a row per item, or per sample of it."
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            help=f"Whose predictions they are. {MODEL_HELP}",
            autocompletion=completes(models),
        ),
    ],
    dataset: Annotated[
        str, typer.Option("--dataset", "-d", help=DATASET_HELP, autocompletion=completes(datasets))
    ] = "golden-v1",
    judge: Annotated[str | None, typer.Option(help=JUDGE_HELP, autocompletion=completes(judges))] = None,
    judge_arg: JudgeArguments = None,
    format: Annotated[  # noqa: A002 - the option's name
        str | None, typer.Option(help="lm-eval, inspect, openai-batch or jsonl. Default: found.")
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="PART=COLUMN,...",
            help="Of a plain file: which column is which part, as in trace_id=id,prediction=output. Parts: "
            "trace_id, sample, prediction, prompt, cut_off, finish_reason.",
        ),
    ] = None,
    system: Annotated[str | None, option(EvaluateConfig, "prompt.system", "--system")] = None,
    instruction: Annotated[str | None, option(EvaluateConfig, "prompt.instruction", "--instruction")] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longest completion, in tokens, where the file does not say it.")
    ] = None,
    others: Settings = None,
    known: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A setting that had the value given here, or else its default, though the file does not say "
            "so, as in prompt.system; reached_max_new_tokens: no answer was cut off. Repeatable; all: every "
            "one.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be recorded.")] = False,
    json: Json = False,
) -> None:
    """Judge predictions that another program made, and record them as a run.

    Every item has to have exactly one prediction, or as many samples as every other: repeats of
    lm-evaluation-harness, epochs of inspect_ai, n choices of a batch, a list `predictions`, or rows with a
    number `sample`. Else nothing is recorded and the exit code is 2. What neither the file nor an option says
    of how they were made is recorded as unknown, and the gate promotes nothing on it.
    """
    from experiments.exchange.importing import prepare_predictions, record_predictions
    from experiments.workspace import open_workspace
    from hallmark.cli.show.predictions import show_predictions
    from hallmark.cli.show.run import report_run
    from hallmark.results import recorded_run

    settings = {
        "model": model,
        "dataset": dataset,
        "judge": judge_with(judge, judge_arg),
        "prompt.system": system,
        "prompt.instruction": instruction,
        "generation.max_new_tokens": max_new_tokens,
        **parse_settings(others),
    }
    with progress_shown():
        workspace = open_workspace()
        prepared = prepare_predictions(
            file, settings, workspace, format=format, columns=column_map(columns or ()), known=known or ()
        )
        report = prepared.report
        if not json:
            show_predictions(report)
        run = None
        if not (report.blocked or dry_run):
            run = recorded_run(workspace.registry, record_predictions(prepared, workspace))
    if json:
        emit({"report": report.model_dump(mode="json"), "run": run.document() if run else None})
    elif run is not None:
        out.print()
        report_run(run, json=False)
    else:
        out.print("Nothing was recorded.")
    if report.blocked:
        raise typer.Exit(2)
