"""Fine-tune a model and judge it."""

from __future__ import annotations

from typing import Annotated

from experiments.config import TrainRunConfig
from experiments.runs import RunRef
from flows.common import loop_flow, working_on
from flows.form import Form, asked
from tasks import run as tasks
from tasks.run import begin, export, judge, plan_training, predict, record

FIRST = ("base_model", "dataset", "train.dataset", "train.steps", "train.learning_rate")
"""What people change first."""


@loop_flow("train", "train {config.title}")
def train(
    config: Annotated[TrainRunConfig, Form(TrainRunConfig, *FIRST)] = asked(TrainRunConfig()),
) -> RunRef:
    """Guard, export, train, predict, judge, record; one that is recorded or under way may be taken instead.

    Args:
        config: base model, datasets, judge, generation and training settings.
    """
    plan = plan_training(config)
    run = begin(plan)
    if run.reused:
        return run
    with working_on(run):
        export(run, plan)
        tasks.train(run, plan)
        predict(run, plan)
        return record(run, plan, judge(run, plan))
