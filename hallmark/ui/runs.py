"""The pages of runs: all of them, and one with what it answered."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, HTTPException
from fastapi import Query as FromQuery
from markupsafe import Markup
from pydantic import Field
from starlette.responses import Response

from core.errors import InputError
from evaluation.plots import draw_scores
from experiments.runs import current_status
from experiments.under_way import under_way
from hallmark.results import RunSummary
from hallmark.since import since
from hallmark.ui.looking import (
    ItemQuery,
    Query,
    Reference,
    RowId,
    Text,
    found_run,
    item_page,
    items_of,
    one_item,
    opened,
)
from hallmark.ui.pages import Pages, ThePages, linked
from registry import Run
from registry.pages import Order, RunLine, RunPage, run_choices, run_page
from registry.runs import RunFilter
from reports import tables
from reports.collecting import newest_decision, reported_run
from reports.document import ReportedRun
from reports.html import shown_manifest

router = APIRouter()
RUNS = 50
"""Runs in a page."""
UNENDED = 500
"""Runs that are recorded as running, of which at most so many are looked at."""


class RunsQuery(Query):
    """Which runs are shown, and how; see `registry.runs.RunFilter`."""

    model: Reference = ""
    dataset: Reference = ""
    judge: Reference = ""
    kind: Literal["", "baseline", "trained"] = ""
    status: Literal["", "running", "finished", "failed", "interrupted"] = ""
    since: Annotated[str, Field(max_length=40)] = ""
    text: Text = ""
    sort: Order = "started"
    order: Literal["desc", "asc"] = "desc"
    after: RowId | None = None
    before: RowId | None = None

    @property
    def said(self) -> dict[str, str]:
        """All but the place, as a query."""
        found = {name: str(value) for name in FILTERS if (value := getattr(self, name))}
        if (self.sort, self.order) != ("started", "desc"):
            found |= {"sort": self.sort, "order": self.order}
        return found

    @property
    def filters(self) -> RunFilter:
        """As the registry takes it. An interrupted run is recorded as running."""
        fields = {name: getattr(self, name) or None for name in ("model", "dataset", "judge", "kind")}
        status = "running" if self.status == "interrupted" else self.status or None
        return RunFilter(**fields, status=status, since=since(self.since) if self.since else None)


FILTERS = ("model", "dataset", "judge", "kind", "status", "since", "text")


@router.get("/runs")
def runs(pages: ThePages, query: Annotated[RunsQuery, FromQuery()]) -> Response:
    """All runs."""
    problem, found = "", RunPage([], 0, False, False)
    try:
        found = _found(pages, query)
    except InputError as error:  # what was looked for does not exist: the form stays
        problem = str(error)
    lines = [_summary(pages, line) for line in found.lines]
    if query.status in ("running", "interrupted"):
        lines = [line for line in lines if line.status == query.status]
    return pages.show(
        "runs.html",
        400 if problem else 200,
        here="/runs",
        query=query,
        lines=lines,
        found=found,
        problem=problem,
        choices=run_choices(pages.registry.database),
    )


def _found(pages: Pages, query: RunsQuery) -> RunPage:
    return run_page(
        pages.registry.database,
        query.filters,
        text=query.text or None,
        order=query.sort,
        descending=query.order == "desc",
        after=query.after,
        before=query.before if query.after is None else None,
        limit=UNENDED if query.status in ("running", "interrupted") else RUNS,
    )


def _summary(pages: Pages, line: RunLine) -> RunSummary:
    registry = pages.registry
    return RunSummary(
        run=line.run,
        status=current_status(line.run, registry),
        metric=line.metric,
        directory=registry.runs.directory(line.run.run_id),
        dataset=line.dataset,
        training=_training(pages, line.run),
    )


def _training(pages: Pages, run: Run) -> dict[str, Any]:
    """What a run's manifest says of its training, kept: a manifest does not change, and may be large."""
    if run.kind != "trained":
        return {}
    known = pages.trainings.get(run.run_id)
    if known is None:
        said = pages.registry.runs.trainings([run]).get(run.run_id, {})
        config = {name: (said.get("config") or {}).get(name) for name in SHOWN_SETTINGS}
        known = {"config": config, "dataset": {"name": (said.get("dataset") or {}).get("name")}}
        pages.trainings[run.run_id] = known
    return known


SHOWN_SETTINGS = ("method", "steps", "epochs", "learning_rate", "seed")


@router.get("/runs/{run_id}")
def run(pages: ThePages, run_id: str, query: Annotated[ItemQuery, FromQuery()]) -> Response:
    """One run."""
    row = found_run(pages, run_id)
    status = current_status(row, pages.registry)
    if row.status != "finished":
        values: dict[str, Any] = {"progress": under_way(pages.registry.runs.get(run_id), pages.registry)}
        return pages.show("unfinished.html", here="/runs", run=row, status=status, **values)
    values = _finished(pages, row, query)
    return pages.show("run.html", here="/runs", run=row, status=status, **values)


def _finished(pages: Pages, row: Run, query: ItemQuery) -> dict[str, Any]:
    found = reported(pages, row)
    of_run = [tables.metrics(found), tables.judged(found), *([tables.rungs_of(found)] if found.rungs else [])]
    return {
        "report": found,
        "tables": [linked(table, {}) for table in of_run],
        "decisions": pages.registry.models.decisions_about(row.run_id)[-RUNS:],
        "decided": newest_decision(row, pages.registry),
        "manifest": shown_manifest(found),
        "plot": _plot(pages, row, found),
        **shown_items(pages, [row], query),
    }


def _plot(pages: Pages, row: Run, found: ReportedRun) -> Markup | None:
    def make() -> Markup | None:
        drawn = draw_scores(found.metrics, found.judge)
        return None if drawn is None else Markup(drawn.decode())  # noqa: S704 - `core.plots` escapes names

    return pages.prepared.get(("scores", row.run_id, row.content_sha256), "the plot of the scores", make)


def shown_items(pages: Pages, rows: list[Run], query: ItemQuery) -> dict[str, Any]:
    """The part of a page that shows items, and its filter; where they are not to be had it says why."""
    try:
        items = items_of(pages, rows)
    except InputError as error:
        return {"page": None, "choices": {}, "no_items": str(error), "query": query, "said": query.said}
    query = opened(query, items)
    shown = {"page": item_page(pages, items, query), "choices": items.choices(), "no_items": ""}
    return {**shown, "query": query, "said": query.said}


def reported(pages: Pages, row: Run) -> ReportedRun:
    """A finished run as reports show it, kept."""

    def make() -> ReportedRun:
        return reported_run(pages.registry.runs.get(row.run_id), pages.registry, "run")

    key = ("reported", row.run_id, row.content_sha256)
    return pages.prepared.get(key, f"the scores of run {row.run_id}", make)


@router.get("/runs/{run_id}/items/{trace_id}")
def item(pages: ThePages, run_id: str, trace_id: str, query: Annotated[ItemQuery, FromQuery()]) -> Response:
    """One item of a run, whole."""
    row = found_run(pages, run_id)
    if row.status != "finished":
        raise HTTPException(404, f"Run {run_id} is not finished.")
    found = one_item(pages, items_of(pages, [row]), query, trace_id)
    place = f"/runs/{quote(run_id)}"
    return pages.show(
        "item.html",
        here="/runs",
        title=f"Item {trace_id}",
        one=found,
        roles=[("Answer", row.run_id)],
        said=query.said,
        back=place,
        address=lambda name: f"{place}/items/{quote(name, safe='')}",
    )
