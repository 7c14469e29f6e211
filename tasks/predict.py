"""Generate predictions."""

from __future__ import annotations

from core.progress import current_listener
from experiments import phases as steps
from experiments.plan import RunPlan
from experiments.runs import RunRef
from inference.contract import PredictResult
from tasks.retry import step


@step("predict")
def predict(run: RunRef, plan: RunPlan) -> PredictResult:
    """Generate greedily in a process of its own (transformers)."""
    return steps.predict_items(run, plan, current_listener())
