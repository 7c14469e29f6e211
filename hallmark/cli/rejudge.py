"""`hallmark rejudge`: recorded predictions judged again."""

from __future__ import annotations

from typing import Annotated

import typer

from hallmark import api
from hallmark.cli.completing import completes, datasets, judged_datasets, judges
from hallmark.cli.options import JudgeArguments, judge_with
from hallmark.cli.terminal import Json, RunId


def rejudge(
    run: RunId,
    judge: Annotated[
        str | None,
        typer.Option(
            "--judge", help="NAME@vN of the judge. Default: the run's own.", autocompletion=completes(judges)
        ),
    ] = None,
    judge_arg: JudgeArguments = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            "-d",
            help="A revised golden dataset: its path, or its name where it is built in, here, or recorded.",
            autocompletion=completes(judged_datasets, datasets),
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Judge a finished run's predictions by another judge, or on a revised dataset, as a new run.

    Nothing is predicted again. Every item of the dataset must have been predicted as it is asked now.
    """
    from hallmark.cli.show.run import report_run

    report_run(api.rejudge(run, judge_with(judge, judge_arg), dataset=dataset), json)
