"""`hallmark experiment`: base against trained, and the better one becomes champion."""

from __future__ import annotations

from typing import Any

import typer

from core.child_process import raise_on_termination
from experiments.config import ExperimentConfig, configured, with_suite
from hallmark import api
from hallmark.cli.options import ConfigFile, Settings, SuiteFile, settings, with_settings
from hallmark.cli.terminal import Json, emit


@with_settings(ExperimentConfig)
def experiment(
    config: ConfigFile = None,
    suite: SuiteFile = None,
    others: Settings = None,
    json: Json = False,
    **options: Any,
) -> None:
    """Base against trained on a golden dataset: predict, judge, train, compare, and promote the better one.

    Without options: the built-in tiny base, golden-v1 and train-v1; about two minutes on two CPU cores.
    """
    from hallmark.cli.show.result import show_result

    given = with_suite(settings(ExperimentConfig, options, others), suite)
    wanted = configured(ExperimentConfig, config, given)
    raise_on_termination()
    result = api.experiment(wanted.model_copy(update={"fail_unless_promoted": False}))
    if json:
        emit(result.model_dump(mode="json"))
    else:
        show_result(result)
    if wanted.fail_unless_promoted and result.refused:
        raise typer.Exit(5)
