"""Do a recorded run again and compare the bytes."""

from __future__ import annotations

from experiments.reproducing import NotReproduced, Reproduction
from flows.carry_out import carry_out
from flows.options import loop_flow
from tasks.plan import begin
from tasks.reproduce import compare_with_recorded, plan_reproduction


@loop_flow("reproduce", "reproduce {target}")
def reproduce(target: str, fail_unless_identical: bool = True) -> Reproduction:
    """Repeat a run from its manifest: weights, predictions and scores must be the same bytes.

    Args:
        target: run id, a unique beginning of one, or a model version as NAME@vN.
        fail_unless_identical: end as failed when a byte differs.
    """
    plan = plan_reproduction(target)
    reproduction = compare_with_recorded(plan, carry_out(begin(plan), plan))
    if fail_unless_identical and not reproduction.identical:
        raise NotReproduced(reproduction)
    return reproduction
