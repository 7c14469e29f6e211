"""What the training stage is asked and what it answers. Imports no jax."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from hallmark.config import TrainConfig


class TrainSpec(BaseModel):
    """One training job.

    Attributes:
        base: a checked local model directory to start from.
        base_label: what to call it in the model card.
        dataset: the training .jsonl file.
        output: the run's directory; `model/` and `training.jsonl` are written there.
    """

    base: Path
    base_label: str
    dataset: Path
    output: Path
    config: TrainConfig


class TrainResult(BaseModel):
    """What training produced.

    Attributes:
        model_sha256: over the files of `model/`.
        first_loss: mean loss of the first step, in nats a token.
        last_loss: mean loss of the last ten steps.
        loss_tokens: completion tokens seen in all.
        seconds: training time, compilation included.
    """

    model_sha256: str
    steps: int
    first_loss: float
    last_loss: float
    loss_tokens: int
    seconds: float
