"""How far an unfinished run is, as far as the process that works on it, or its files on this machine, say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.config import Record
from core.errors import HallmarkError
from core.files import count_lines
from experiments.run_files import LOCK, files_of, is_here
from registry import Registry, Run


class UnderWay(Record):
    """How far a run is.

    Attributes:
        stage: what it is at, in words.
        done: how much of that is done; None where nobody can say.
        total: of so much.
        unit: what is counted.
        seconds_left: of this stage; None where nobody can say.
        process: of this machine that works on it; None where there is none.
        here: whether its folder is on this machine.
    """

    stage: str
    done: int | None = None
    total: int | None = None
    unit: str = ""
    seconds_left: float | None = None
    process: int | None = None
    here: bool = True

    @property
    def text(self) -> str:
        """It in a line.

        Example:
            >>> UnderWay(stage="training", done=120, total=200, unit="steps").text
            'training: 120 of 200 steps'
        """
        if self.done is None:
            return self.stage
        of = f"{self.done:,}" if self.total is None else f"{self.done:,} of {self.total:,}"
        left = f", {self.seconds_left:.0f} s left" if self.seconds_left else ""
        return f"{self.stage}: {of} {self.unit}{left}"


def under_way(run: Run, registry: Registry) -> UnderWay:
    """How far an unfinished run is.

    Args:
        run: with its manifest.
        registry: knows its folder.
    """
    from core.locks import holder

    files = files_of(run, registry)
    if not is_here(files.directory):
        return UnderWay(stage="on another machine", here=False)
    owner = holder(files.directory / LOCK)
    process = owner.pid if owner else None
    if owner is not None and (now := owner.progress) is not None:
        counted = now.model_dump(include={"stage", "done", "total", "unit", "seconds_left"})
        return UnderWay(**counted, process=process)
    training: dict[str, Any] = (run.manifest.get("training") or {}).get("config") or {}
    if training and not is_here(files.training_sums):
        steps, total = _lines(files.training), training.get("steps")
        return UnderWay(stage="training", done=steps, total=total, unit="steps", process=process)
    if is_here(files.predictions_sums):
        return UnderWay(stage="judging", process=process)
    if not is_here(files.predictions_partial):
        return UnderWay(stage="loading the model", process=process)
    samples = max(1, int((run.manifest.get("generation") or {}).get("samples") or 1))
    answers = (
        max(0, (_lines(files.predictions_partial) or 0) - 1) // samples
    )  # the first line says whose they are
    items = (run.manifest.get("dataset") or {}).get("items")
    return UnderWay(stage="answering", done=answers, total=items, unit="items", process=process)


def _lines(path: Path) -> int | None:
    try:
        return count_lines(path)
    except (OSError, HallmarkError):  # not yet there, or gone by now
        return None
