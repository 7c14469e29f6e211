"""Judge predictions and record the run."""

from __future__ import annotations

from evaluation.metrics import MetricsSnapshot
from experiments import phases as steps
from experiments.plan import RunPlan
from experiments.runs import RunRef
from experiments.workspace import open_workspace
from tasks.artifacts import show_metrics
from tasks.retry import step


@step("judge")
def judge(run: RunRef, plan: RunPlan) -> MetricsSnapshot:
    """Score every prediction once; write scores.jsonl and metrics.json."""
    return steps.judge_run(run, plan)


@step("record")
def record(run: RunRef, plan: RunPlan) -> RunRef:
    """Put metrics, predictions and scores into the registry in one transaction."""
    steps.record_run(run, plan, open_workspace().registry)
    show_metrics(run)
    return run
