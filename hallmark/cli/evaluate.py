"""`hallmark evaluate`, `baseline`: one model judged on a golden dataset; nothing is trained."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from core.child_process import raise_on_termination
from core.errors import InputError
from experiments.config import MODEL_HELP, EvaluateConfig, TrainRunConfig, evaluation
from hallmark import api
from hallmark.cli.completing import completes, models
from hallmark.cli.options import ConfigFile, Settings, option, settings, with_settings
from hallmark.cli.terminal import Json


@with_settings(EvaluateConfig)
def evaluate(
    model: Annotated[
        str | None,
        typer.Argument(
            help=f"{MODEL_HELP} Default: the one that --config names.", autocompletion=completes(models)
        ),
    ] = None,
    config: ConfigFile = None,
    others: Settings = None,
    json: Json = False,
    **options: Any,
) -> None:
    """Judge any model on a golden dataset: a directory, a registered version, or one from the hub."""
    given = {"model": model, **settings(EvaluateConfig, options, others)}
    if model is None and config is None:
        raise InputError("model: name the model to judge, or a --config file that does")
    wanted = evaluation(config, given)
    raise_on_termination()
    result = api.evaluate(config=wanted)
    from hallmark.cli.show.run import report_run  # not before the process that predicts has begun

    report_run(result, json)


@with_settings(EvaluateConfig)
def baseline(
    base_model: Annotated[str | None, option(TrainRunConfig, "base_model", "--base-model", "-m")] = None,
    config: ConfigFile = None,
    others: Settings = None,
    json: Json = False,
    **options: Any,
) -> None:
    """Judge the base model on a golden dataset; nothing is trained."""
    given = {"model": base_model, **settings(EvaluateConfig, options, others)}
    wanted = evaluation(config, given)
    raise_on_termination()
    result = api.baseline(config=wanted)
    from hallmark.cli.show.run import report_run

    report_run(result, json)
