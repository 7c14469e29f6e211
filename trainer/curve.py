"""The loss curve: a line per step during training, a picture at the end."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from core.files import atomic_writer, canonical_json, write_jsonl


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

    def begin(self, after: int) -> None:
        """Keep the records up to a step, after which training resumes, and drop later ones."""
        found = _whole_lines(self.path) if after and self.path.is_file() else []
        self.records = [record for record in found if record.step <= after]
        write_jsonl(self.path, (record.model_dump() for record in self.records))

    def append(self, record: StepRecord) -> None:
        """Add the record of the next step."""
        self.records.append(record)
        with self.path.open("ab") as file:
            file.write(canonical_json(record.model_dump()).encode() + b"\n")


def _whole_lines(path: Path) -> list[StepRecord]:
    """The records of a file whose last line may be torn by a kill."""
    *whole, _torn = path.read_bytes().split(b"\n")
    return [StepRecord.model_validate_json(line) for line in whole]


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
