"""The steps of a run, the same for every flow that makes one."""

from __future__ import annotations

from experiments.plan import RunPlan
from experiments.runs import RunRef, owned
from experiments.workspace import open_workspace
from tasks import train as training
from tasks.export import export
from tasks.judge import judge, record
from tasks.predict import predict


def carry_out(run: RunRef, plan: RunPlan) -> RunRef:
    """Export, train where the plan says so, predict, judge, record.

    Args:
        run: a run that has begun.
        plan: of that run.
    """
    with owned(run, open_workspace().registry):
        export(run, plan)
        if plan.training is not None:
            training.train(run, plan)
        predict(run, plan)
        judge(run, plan)
        return record(run, plan)
