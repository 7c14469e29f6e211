"""The page of training curves, of several runs laid over each other."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, HTTPException
from fastapi import Query as FromQuery
from markupsafe import Markup
from pydantic import Field, ValidationError
from starlette.responses import Response

from experiments.run_files import files_of
from hallmark.ui.looking import Query, Reference, found_run
from hallmark.ui.pages import Pages, ThePages
from registry import Run
from registry.pages import run_page
from registry.runs import RunFilter
from trainer.curve import StepRecord
from trainer.plots import draw_curves

router = APIRouter()
MOST = 8
"""Curves in one picture."""
OFFERED = 50
"""Runs that are offered: the newest ones that were trained."""
POINTS = 1_000
"""Points of a curve; of more steps the means of neighbours are drawn."""


class TrainingQuery(Query):
    """Which runs' curves are shown."""

    run: list[Reference] = Field(default_factory=list, max_length=50)


@dataclass(frozen=True)
class Curve:
    """A run's training.

    Attributes:
        records: its steps; empty where the file is not on this machine.
        averaged: steps that a point stands for.
    """

    run: Run
    records: list[StepRecord]
    averaged: int

    @property
    def lowest_held_out(self) -> float | None:
        """The lowest loss on held-out traces."""
        found = [row.held_out_loss for row in self.records if row.held_out_loss is not None]
        return min(found, default=None)


@router.get("/training")
def training(pages: ThePages, query: Annotated[TrainingQuery, FromQuery()]) -> Response:
    """Training curves."""
    chosen = list(dict.fromkeys(query.run))
    if len(chosen) > MOST:
        raise HTTPException(400, f"At most {MOST} curves fit into a picture; {len(chosen)} are marked.")
    curves = [_curve(pages, found_run(pages, run_id)) for run_id in chosen]
    offered = run_page(pages.registry.database, RunFilter(kind="trained"), limit=OFFERED)
    return pages.show(
        "training.html",
        here="/training",
        chosen=chosen,
        curves=[curve for curve in curves if curve.records],
        missing=[curve.run for curve in curves if not curve.records],
        plot=_plot(pages, [curve for curve in curves if curve.records]),
        offered=offered.lines,
    )


def _curve(pages: Pages, run: Run) -> Curve:
    path = files_of(run, pages.registry).training
    try:
        found = path.stat()
        key = ("curve", run.run_id, found.st_size, found.st_mtime_ns)
    except OSError:
        return Curve(run, [], 1)

    def read() -> Curve:
        records = []
        with path.open("rb") as file:
            for line in file:
                try:
                    records.append(StepRecord.model_validate(json.loads(line)))
                except (ValueError, ValidationError):
                    break  # the last line of a training that goes on
        size = -(-len(records) // POINTS)
        return Curve(run, list(_averaged(records, size)) if size > 1 else records, max(1, size))

    return pages.prepared.get(key, f"the training curve of run {run.run_id}", read)


def _averaged(records: list[StepRecord], size: int) -> list[StepRecord]:
    """The means of neighbouring steps."""
    found = []
    for start in range(0, len(records), size):
        some = records[start : start + size]
        held_out = [row.held_out_loss for row in some if row.held_out_loss is not None]
        loss = sum(row.loss for row in some) / len(some)
        last = {"loss": loss, "held_out_loss": held_out[-1] if held_out else None}
        found.append(some[-1].model_copy(update=last))
    return found


def _plot(pages: Pages, curves: list[Curve]) -> Markup | None:
    if not curves:
        return None

    def draw() -> Markup:
        drawn = draw_curves({curve.run.run_id: curve.records for curve in curves})
        return Markup(drawn.decode())  # noqa: S704 - `core.plots` escapes names

    key = ("curves", *((curve.run.run_id, len(curve.records), curve.records[-1].step) for curve in curves))
    return pages.prepared.get(key, "the picture of the curves", draw)
