"""The memory that training a model needs, before it is trained."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from core.child_process import run_child
from core.progress import current_listener
from experiments.config import TrainRunConfig
from experiments.defaults import filled
from experiments.references import resolve_model
from experiments.workspace import open_workspace
from trainer.contract import PlanResult, PlanSpec, SettledTrainConfig


def training_memory(config: TrainRunConfig, batches: Sequence[int], lengths: Sequence[int]) -> PlanResult:
    """Compile the training steps in a process of their own and read off what they need.

    Args:
        config: names the model; its training settings are what the combinations vary.
        batches: rows per step to try.
        lengths: tokens per row to try.

    Raises:
        InputError: the model cannot be trained.
    """
    found = resolve_model(config.base_model, open_workspace())
    settings = SettledTrainConfig.model_validate(filled(config.train).model_dump())
    spec = PlanSpec(model=found.directory, config=settings, batches=list(batches), lengths=list(lengths))
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.txt"
        return run_child(
            "trainer.memory",
            spec,
            PlanResult,
            threads=config.train.threads,
            log=log,
            listener=current_listener(),
        )
