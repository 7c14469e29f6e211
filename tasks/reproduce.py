"""Repeat a recorded run."""

from __future__ import annotations

from experiments import reproducing
from experiments.plan import RunPlan
from experiments.reproducing import Reproduction
from experiments.runs import RunRef
from experiments.workspace import open_workspace
from tasks.artifacts import show_reproduction
from tasks.listening import step_logger
from tasks.retry import step


@step("plan the reproduction")
def plan_reproduction(target: str) -> RunPlan:
    """Read the run's manifest; find its model, datasets and judge, and check that they are the recorded ones."""
    return reproducing.plan_reproduction(target, open_workspace())


@step("compare with the recorded run")
def compare_with_recorded(plan: RunPlan, again: RunRef) -> Reproduction:
    """Compare weights, predictions and scores byte for byte."""
    reproduction = reproducing.compare_with_recorded(plan, again, open_workspace())
    show_reproduction(reproduction)
    step_logger().info("%s", reproduction.headline)
    return reproduction
