"""Judge one model on one golden dataset, without training."""

from __future__ import annotations

from typing import Annotated

from experiments.config import EvaluateConfig
from experiments.runs import RunRef
from flows.common import loop_flow, working_on
from flows.form import Form, asked
from tasks.run import begin, export, judge, plan_evaluation, predict, record


@loop_flow("evaluate", "evaluate {config.title}")
def evaluate(
    config: Annotated[
        EvaluateConfig, Form(EvaluateConfig, "model", "dataset", "judge", "limit_items")
    ] = asked(EvaluateConfig()),
) -> RunRef:
    """Export, predict, judge, record; a recorded run of the same inputs is taken instead.

    Args:
        config: model, dataset, judge and generation settings; the defaults judge the tiny base on golden-v1.
    """
    plan = plan_evaluation(config)
    run = begin(plan)
    if run.reused:
        return run
    with working_on(run):
        export(run, plan)
        predict(run, plan)
        return record(run, plan, judge(run, plan))


baseline = loop_flow("baseline", "baseline {config.title}")(evaluate.fn)
"""The same flow under the name that the loop has for it: the run that every trained run is compared with."""
