"""`hallmark evaluate`, `baseline`: one model judged on a golden dataset; nothing is trained."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from core.child_process import raise_on_termination
from experiments.config import MODEL_HELP, EvaluateConfig, TrainRunConfig, configured
from hallmark import api
from hallmark.cli.options import Settings, option, settings, with_settings
from hallmark.cli.terminal import Json


@with_settings(EvaluateConfig)
def evaluate(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    others: Settings = None,
    json: Json = False,
    **options: Any,
) -> None:
    """Judge any model on a golden dataset: a directory, a registered version, or one from the hub."""
    from hallmark.cli.show.run import report_run

    given = {"model": model, **settings(EvaluateConfig, options, others)}
    wanted = configured(EvaluateConfig, None, given)
    raise_on_termination()
    report_run(api.evaluate(config=wanted), json)


@with_settings(EvaluateConfig)
def baseline(
    base_model: Annotated[str | None, option(TrainRunConfig, "base_model", "--base-model", "-m")] = None,
    others: Settings = None,
    json: Json = False,
    **options: Any,
) -> None:
    """Judge the base model on a golden dataset; nothing is trained."""
    from hallmark.cli.show.run import report_run

    given = {"model": base_model, **settings(EvaluateConfig, options, others)}
    wanted = configured(EvaluateConfig, None, given)
    raise_on_termination()
    report_run(api.baseline(config=wanted), json)
