"""What the training stage is asked and what it answers. Imports no jax."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from hallmark.config import TrainConfig

GB = 1e9
"""Bytes in a gigabyte, as cards are sold."""


class TrainSpec(BaseModel):
    """One training job.

    Attributes:
        base: a checked local model directory to start from.
        base_label: what to call it in the model card.
        dataset: the training .jsonl file.
        output: the run's directory; `model/`, `training.jsonl` and the checkpoints are written there.
        inputs: what must be equal for an interrupted training to go on, beside the configuration: hashes, versions.
        cache: folder of compiled programs, which may be shared; None for none.
    """

    base: Path
    base_label: str
    dataset: Path
    output: Path
    config: TrainConfig
    inputs: dict[str, Any] = {}
    cache: Path | None = None


class TrainResult(BaseModel):
    """What training produced.

    Attributes:
        model_sha256: over the files of `model/`.
        steps: steps taken in all.
        best_step: whose weights were kept: the lowest held-out loss, or the last step where nothing is held out.
        first_loss: mean loss of the first step, in nats a token.
        last_loss: mean loss of the last ten steps.
        held_out_loss: at the best step; None where nothing is held out.
        loss_tokens: completion tokens seen in all.
        seconds: training time of this attempt, compilation included.
        resumed: the step that an interrupted attempt had kept; 0 for none.
        stopped_early: patience ended it before its last step.
        memory_bytes: what the compiled step needs on a device.
    """

    model_sha256: str
    steps: int
    best_step: int
    first_loss: float
    last_loss: float
    held_out_loss: float | None
    loss_tokens: int
    seconds: float
    resumed: int
    stopped_early: bool
    memory_bytes: int


class PlanSpec(BaseModel):
    """Which configurations to weigh.

    Attributes:
        model: a directory with a config.json; its weights are not read.
        config: what the combinations below vary.
        batches: rows of a step.
        lengths: tokens of a row.
    """

    model: Path
    config: TrainConfig
    batches: list[int]
    lengths: list[int]


class Memory(BaseModel):
    """What a training step needs on each device, in bytes.

    Attributes:
        weights: all weights, the trained ones in float32.
        optimizer: its states.
        working: activations, gradients and whatever else the compiled step holds at its peak.
    """

    weights: int
    optimizer: int
    working: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.optimizer + self.working

    def __str__(self) -> str:
        parts = f"weights {self.weights / GB:.2f}, optimizer {self.optimizer / GB:.2f}, activations and gradients {self.working / GB:.2f}"
        return f"{self.total / GB:.2f} GB ({parts})"


class PlanRow(BaseModel):
    """The memory of one combination."""

    method: str
    batch_size: int
    sequence_length: int
    memory: Memory


class PlanResult(BaseModel):
    """All combinations.

    Attributes:
        parameters: of the model.
        limit_bytes: memory of the card; None where neither setting nor device says.
        platform: what the steps were compiled for: cpu, gpu.
    """

    parameters: int
    limit_bytes: int | None
    platform: str
    rows: list[PlanRow]
