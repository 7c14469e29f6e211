"""Judge one model on one golden dataset, without training."""

from __future__ import annotations

from experiments.config import EvaluateConfig
from experiments.runs import RunRef
from flows.carry_out import carry_out
from flows.options import loop_flow
from tasks.plan import begin, plan_evaluation


@loop_flow("evaluate", "evaluate {config.title}")
def evaluate(config: EvaluateConfig = EvaluateConfig()) -> RunRef:
    """Export, predict, judge, record; a recorded run of the same inputs is taken instead.

    Args:
        config: model, dataset, judge and generation settings.
    """
    plan = plan_evaluation(config)
    run = begin(plan)
    return run if run.reused else carry_out(run, plan)
