"""Judge recorded predictions again."""

from __future__ import annotations

from experiments import rejudging
from experiments.runs import RunRef
from experiments.workspace import open_workspace
from tasks.artifacts import remember_flow_run, show_metrics
from tasks.retry import step


@step("judge again")
def rejudge(run: str, judge: str) -> RunRef:
    """Take a run's predictions, judge them, record the new run; one that is recorded already is taken instead."""
    again = rejudging.rejudge(run, judge, open_workspace())
    if not again.reused:
        remember_flow_run(again)
        show_metrics(again)
    return again
