"""`hallmark train`: fine-tune a model and judge it."""

from __future__ import annotations

from typing import Any

from core.child_process import raise_on_termination
from experiments.config import TrainRunConfig, training
from hallmark import api
from hallmark.cli.options import ConfigFile, Settings, settings, with_settings
from hallmark.cli.terminal import Json


@with_settings(TrainRunConfig)
def train(config: ConfigFile = None, others: Settings = None, json: Json = False, **options: Any) -> None:
    """Fine-tune a model and judge it on a golden dataset; nothing is compared or promoted."""
    from hallmark.cli.show.run import report_run

    wanted = training(config, settings(TrainRunConfig, options, others))
    raise_on_termination()
    report_run(api.train(config=wanted), json)
