"""Repeat a recorded run and compare the bytes."""

from __future__ import annotations

from experiments.reproducing import NotReproduced, Reproduction
from flows.common import loop_flow, working_on
from tasks.again import compare_with_recorded, plan_reproduction
from tasks.run import begin, export, judge, predict, record, train


@loop_flow("reproduce", "reproduce {target}")
def reproduce(target: str, fail_unless_identical: bool = True) -> Reproduction:
    """Repeat a run from its manifest: weights, predictions and scores must be the same bytes.

    Args:
        target: run id, a unique beginning or end of one, or a model version as NAME@vN.
        fail_unless_identical: end as failed when a byte differs.
    """
    plan = plan_reproduction(target)
    run = begin(plan)
    with working_on(run):
        export(run, plan)
        if plan.training is not None:
            train(run, plan)
        predict(run, plan)
        record(run, plan, judge(run, plan))
    reproduction = compare_with_recorded(plan, run)
    if fail_unless_identical and not reproduction.identical:
        raise NotReproduced(reproduction)
    return reproduction
