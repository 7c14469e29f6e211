"""The loss curve: a line per step during training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import BaseModel

from core.errors import HallmarkError
from core.files import atomic_writer, canonical_json
from core.progress import announce
from trainer.contract import SettledTrainConfig

SHOWN_LOSSES = 3


class StepRecord(BaseModel):
    """One point of the loss curve.

    Attributes:
        step: from 1.
        loss: mean cross entropy of the step's loss-bearing tokens, in nats per token.
        learning_rate: as applied.
        gradient_norm: global norm before clipping.
        loss_tokens: loss-bearing tokens of the step.
        held_out_loss: mean cross entropy of the held-out traces after this step, in nats per
            loss-bearing token; None where they were not evaluated.
    """

    step: int
    loss: float
    learning_rate: float
    gradient_norm: float
    loss_tokens: int
    held_out_loss: float | None = None


class Curve:
    """The records of a training run, written to a file as they come.

    Args:
        path: training.jsonl.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: list[StepRecord] = []

    def begin(self, records: Iterable[StepRecord]) -> None:
        """Resume after these records, which a checkpoint holds; what the file has beyond them is dropped."""
        self.records = list(records)
        data = self.content()
        if self.records and not (self.path.is_file() and self.path.read_bytes().startswith(data)):
            announce("damaged:", f"{self.path}: is written again from the checkpoint")
        with atomic_writer(self.path) as file:
            file.write(data)

    def content(self) -> bytes:
        """What the file holds."""
        return b"".join(map(_line, self.records))

    def append(self, record: StepRecord) -> None:
        """Add the record of the next step."""
        self.records.append(record)
        with self.path.open("ab") as file:
            file.write(_line(record))


def _line(record: StepRecord) -> bytes:
    return canonical_json(record.model_dump()).encode() + b"\n"


def not_finite(
    number: int,
    loss: float,
    norm: float,
    config: SettledTrainConfig,
    records: Sequence[StepRecord],
    moved: bool,
) -> HallmarkError:
    """Why training stops when a number is NaN or infinite: what the likely cause is, and what to do.

    The weights were finite and all token ids known, since both are checked before; so it is either the
    learning rate, or the base model itself.

    Args:
        number: of the step.
        loss: of the step, in nats per loss-bearing token.
        norm: of its gradients.
        config: the settings.
        records: of the steps before.
        moved: whether any step before changed a weight; with a warm-up the first one does not.
    """
    what = (
        f"training stopped: the loss became {loss} and the gradient norm {norm} at step {number} of "
        f"{config.steps}. Nothing was kept."
    )
    if moved:
        last = ", ".join(f"{record.loss:.3f} (step {record.step})" for record in records[-SHOWN_LOSSES:])
        return HallmarkError(
            f"{what} Before that the loss was {last}: the training diverged. Lower train.learning_rate (now "
            f"{config.learning_rate:g}) or raise train.warmup_steps (now {config.warmup_steps})."
        )
    lower = " Compute in float32: train.dtype is bfloat16." if config.dtype == "bfloat16" else ""
    return HallmarkError(
        f"{what} No weight had been changed until then, so the learning rate is not the cause: the base "
        f"model itself gives no finite loss on these traces.{lower} Does `hallmark evaluate` get sensible "
        "answers from it? If not, fetch or export it again."
    )
