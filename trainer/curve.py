"""The loss curve: a line per step during training, a picture at the end."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from core.files import atomic_writer, canonical_json
from core.progress import announce


class StepRecord(BaseModel):
    """One point of the loss curve.

    Attributes:
        step: from 1.
        loss: mean cross entropy of the step's completion tokens, in nats per token.
        learning_rate: as applied.
        gradient_norm: global norm before clipping.
        loss_tokens: completion tokens of the step.
        held_out_loss: mean cross entropy of the held-out traces after this step, in nats per completion
            token; None where they were not evaluated.
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


def draw_curve(records: Iterable[StepRecord], path: Path, smoothing: int = 20) -> None:
    """Draw loss and held-out loss over the steps as an SVG. The same records give the same bytes.

    Args:
        records: the curve.
        path: the .svg file.
        smoothing: steps of the running mean that is drawn beside the single values.
    """
    import matplotlib as mpl
    import numpy as np
    from matplotlib.figure import Figure

    rows = list(records)
    steps, losses = [row.step for row in rows], np.array([row.loss for row in rows])
    with mpl.rc_context(
        {"svg.hashsalt": "hallmark", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    ):
        figure = Figure(figsize=(7, 3.2), layout="constrained")
        axes: Any = figure.subplots()
        axes.plot(steps, losses, color="#9ecae1", linewidth=0.8, label="loss of the step")
        width = min(smoothing, len(rows))
        means = np.convolve(losses, np.ones(width) / width, mode="valid")
        axes.plot(steps[width - 1 :], means, color="#2171b5", linewidth=1.6, label=f"mean of {width} steps")
        held_out = [(row.step, row.held_out_loss) for row in rows if row.held_out_loss is not None]
        if held_out:
            axes.plot(
                *zip(*held_out, strict=True),
                color="#e6550d",
                marker="o",
                markersize=3,
                label="held-out traces",
            )
        axes.set(xlabel="step", ylabel="loss (nats per completion token)", ylim=(0, None))
        axes.legend(frameon=False)
        with atomic_writer(path) as file:
            figure.savefig(file, format="svg", metadata={"Date": None})
