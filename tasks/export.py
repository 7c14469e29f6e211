"""Export the frozen golden items into a run."""

from __future__ import annotations

from pathlib import Path

from experiments import phases as steps
from experiments.plan import RunPlan
from experiments.runs import RunRef
from tasks.retry import step


@step("export")
def export(run: RunRef, plan: RunPlan) -> Path:
    """Copy the dataset byte for byte and check its sha256."""
    return steps.export_dataset(run, plan)
