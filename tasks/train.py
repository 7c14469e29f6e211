"""Fine-tune a model."""

from __future__ import annotations

from experiments import steps
from experiments.plan import RunPlan
from experiments.runs import RunRef
from tasks.artifacts import show_training
from tasks.listening import current_listener
from tasks.retry import step
from trainer.contract import TrainResult


@step("train")
def train(run: RunRef, plan: RunPlan) -> TrainResult:
    """Train in a process of its own (JAX, Flax NNX, Optax)."""
    with current_listener() as listener:
        result = steps.train_model(run, plan, listener)
    show_training(run, result)
    return result
