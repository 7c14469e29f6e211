"""`hallmark rejudge`: recorded predictions judged again."""

from __future__ import annotations

from typing import Annotated

import typer

from experiments.config import JUDGE_HELP
from hallmark import api
from hallmark.cli.completing import completes, judges
from hallmark.cli.options import JudgeArguments, judge_with
from hallmark.cli.terminal import Json, RunId


def rejudge(
    run: RunId,
    judge: Annotated[str, typer.Option("--judge", help=JUDGE_HELP, autocompletion=completes(judges))],
    judge_arg: JudgeArguments = None,
    json: Json = False,
) -> None:
    """Judge a finished run's predictions by another judge, as a new run; nothing is predicted again."""
    from hallmark.cli.show.run import report_run

    report_run(api.rejudge(run, judge_with(judge, judge_arg) or judge), json)
