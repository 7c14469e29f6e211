"""Fine-tune a model."""

from __future__ import annotations

from core.progress import current_listener
from experiments import phases as steps
from experiments.plan import RunPlan
from experiments.runs import RunRef
from tasks.artifacts import show_training
from tasks.retry import step
from trainer.contract import TrainResult


@step("train")
def train(run: RunRef, plan: RunPlan) -> TrainResult:
    """Train in a process of its own (JAX, Flax NNX, Optax)."""
    result = steps.train_model(run, plan, current_listener())
    show_training(run, result)
    return result
