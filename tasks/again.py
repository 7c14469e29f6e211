"""The tasks that do something again: judge recorded predictions by another judge, repeat a recorded run."""

from __future__ import annotations

from experiments import rejudging, reproducing
from experiments.plan import RunPlan
from experiments.reproducing import Reproduction
from experiments.runs import RunRef
from experiments.workspace import open_workspace
from tasks.artifacts import remember_flow_run, show_metrics, show_reproduction
from tasks.logs import task_logger
from tasks.retryable import retryable


@retryable("judge again")
def rejudge(run: str, judge: str | None = None, dataset: str | None = None) -> RunRef:
    """Take a run's predictions, judge them, record the new run; one that is recorded already is taken
    instead.
    """
    again = rejudging.rejudge(run, judge, open_workspace(), dataset)
    if not again.reused:
        remember_flow_run(again)
        show_metrics(again, open_workspace().registry)
    return again


@retryable("plan the reproduction")
def plan_reproduction(target: str) -> RunPlan:
    """Read the run's manifest; find its model, datasets and judge, and check that they have not changed."""
    return reproducing.plan_reproduction(target, open_workspace())


@retryable("compare with the recorded run")
def compare_with_recorded(plan: RunPlan, again: RunRef) -> Reproduction:
    """Compare weights, predictions and scores byte for byte."""
    reproduction = reproducing.compare_with_recorded(plan, again, open_workspace())
    show_reproduction(reproduction)
    task_logger().info("%s", reproduction.headline)
    return reproduction
