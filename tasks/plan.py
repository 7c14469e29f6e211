"""Settle what a run will do, and record that it starts."""

from __future__ import annotations

from experiments import plan as planning
from experiments import runs
from experiments.config import EvaluateConfig, TrainRunConfig
from experiments.plan import RunPlan
from experiments.runs import RunRef
from experiments.workspace import open_workspace
from tasks.artifacts import remember_flow_run
from tasks.retry import step


@step("plan the evaluation")
def plan_evaluation(config: EvaluateConfig) -> RunPlan:
    """Resolve model, dataset and judge; refuse what is unusable."""
    workspace = open_workspace()
    return planning.plan_evaluation(config, workspace.registry, workspace.home)


@step("plan the training")
def plan_training(config: TrainRunConfig) -> RunPlan:
    """Resolve everything and run the contamination guard."""
    workspace = open_workspace()
    return planning.plan_training(config, workspace.registry, workspace.home)


@step("reuse or begin")
def begin(plan: RunPlan) -> RunRef:
    """Take the recorded run of the same inputs, continue an interrupted one, or begin a new one."""
    workspace = open_workspace()
    if (reusable := runs.find_reusable(plan, workspace.registry)) is not None:
        return reusable
    run = runs.begin_run(plan, workspace.registry, workspace.runs)
    remember_flow_run(run)
    return run
