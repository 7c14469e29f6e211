"""Judge one model on one golden dataset, without training."""

from __future__ import annotations

from experiments.config import EvaluateConfig
from experiments.runs import RunRef, owned
from experiments.workspace import open_workspace
from flows.options import loop_flow
from tasks.export import export
from tasks.judge import judge, record
from tasks.plan import begin, plan_evaluation
from tasks.predict import predict


@loop_flow("evaluate", "evaluate {config.title}")
def evaluate(config: EvaluateConfig = EvaluateConfig()) -> RunRef:
    """Export, predict, judge, record; a recorded run of the same inputs is taken instead.

    Args:
        config: model, dataset, judge and generation settings.
    """
    plan = plan_evaluation(config)
    run = begin(plan)
    if run.reused:
        return run
    with owned(run, open_workspace().registry):
        export(run, plan)
        predict(run, plan)
        judge(run, plan)
        return record(run, plan)
