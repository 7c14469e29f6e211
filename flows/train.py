"""Fine-tune a model and judge it."""

from __future__ import annotations

from experiments.config import TrainRunConfig
from experiments.runs import RunRef, owned
from experiments.workspace import open_workspace
from flows.options import loop_flow
from tasks import train as training
from tasks.export import export
from tasks.judge import judge, record
from tasks.plan import begin, plan_training
from tasks.predict import predict


@loop_flow("train", "train {config.title}")
def train(config: TrainRunConfig = TrainRunConfig()) -> RunRef:
    """Guard, train, export, predict, judge, record.

    Args:
        config: base model, datasets, judge, generation and training settings.
    """
    plan = plan_training(config)
    run = begin(plan)
    with owned(run, open_workspace().registry):
        export(run, plan)
        training.train(run, plan)
        predict(run, plan)
        judge(run, plan)
        return record(run, plan)
