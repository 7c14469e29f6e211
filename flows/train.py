"""Fine-tune a model and judge it."""

from __future__ import annotations

from experiments.config import TrainRunConfig
from experiments.runs import RunRef
from flows.carry_out import carry_out
from flows.options import loop_flow
from tasks.plan import begin, plan_training


@loop_flow("train", "train {config.title}")
def train(config: TrainRunConfig = TrainRunConfig()) -> RunRef:
    """Guard, train, export, predict, judge, record.

    Args:
        config: base model, datasets, judge, generation and training settings.
    """
    plan = plan_training(config)
    return carry_out(begin(plan), plan)
