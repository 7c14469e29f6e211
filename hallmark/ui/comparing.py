"""The pages of a comparison: two runs chosen, what it says, its items, and one of them whole."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, HTTPException
from fastapi import Query as FromQuery
from markupsafe import Markup
from pydantic import Field
from starlette.responses import RedirectResponse, Response

from core import __version__
from evaluation.comparison import Comparison
from evaluation.plots import draw_comparison
from experiments.comparing import compared
from hallmark.ui.looking import ItemQuery, Reference, items_of, one_item, referred_run
from hallmark.ui.pages import Pages, ThePages, linked, with_query
from hallmark.ui.runs import reported, shown_items
from registry import Run
from registry.pages import run_page
from registry.runs import RunFilter
from reports import tables
from reports.changes import Changes
from reports.collecting import changes_of, newest_decision
from reports.document import Report
from reports.html import page_tables

router = APIRouter()
OFFERED = 50
"""Runs that are offered to be compared: the newest ones."""
PAIRS = 10
"""Comparisons that were made, and are offered to be looked at: the newest ones."""


class ComparisonQuery(ItemQuery):
    """Two runs, and which of their items are shown.

    Attributes:
        run: ids of runs that were marked in a list; the older one is the baseline.
        baseline: id of a run, or its beginning or end.
        candidate: likewise.
    """

    run: list[Reference] = Field(default_factory=list, max_length=50)
    baseline: Reference = ""
    candidate: Reference = ""


@router.get("/compare")
def compare(pages: ThePages, query: Annotated[ComparisonQuery, FromQuery()]) -> Response:
    """Two runs."""
    if query.run:
        return _marked(pages, query.run)
    if not (query.baseline and query.candidate):
        newest = run_page(pages.registry.database, RunFilter(status="finished"), limit=OFFERED)
        pairs = pages.registry.reviews.compared(PAIRS)
        return pages.show("choose.html", here="/compare", offered=newest.lines, pairs=pairs, query=query)
    before, after = referred_run(pages, query.baseline), referred_run(pages, query.candidate)
    report = _report(pages, before, after)
    return pages.show(
        "comparison.html",
        here="/compare",
        report=report,
        pair=_pair(before, after),
        plot=_plot(pages, report, before, after),
        **_tables(report, _pair(before, after)),
        **shown_items(pages, [before, after], query),
    )


def _marked(pages: Pages, run_ids: list[str]) -> Response:
    chosen = list(dict.fromkeys(run_ids))
    if len(chosen) != 2:
        raise HTTPException(400, f"Mark two runs to compare them; {len(chosen)} are marked.")
    before, after = sorted((referred_run(pages, run_id) for run_id in chosen), key=lambda run: run.id)
    return RedirectResponse(with_query("/compare", _pair(before, after)), 303)


def _pair(before: Run, after: Run) -> dict[str, str]:
    return {"baseline": before.run_id, "candidate": after.run_id}


def _report(pages: Pages, before: Run, after: Run) -> Report:
    """The report of two runs. What does not change is kept; what was decided is looked up."""
    roles = (("baseline", before), ("candidate", after))
    runs = [reported(pages, run).model_copy(update={"role": role}) for role, run in roles]
    comparison, changes = pages.prepared.get(
        _key("comparison", before, after),
        f"the comparison of run {after.run_id} with run {before.run_id}",
        lambda: _compared(pages, before, after),
    )
    decided = newest_decision(after, pages.registry, before)
    return Report(runs=runs, comparison=comparison, changes=changes, decided=decided, made_with=__version__)


def _key(what: str, before: Run, after: Run) -> tuple[object, ...]:
    return (what, before.run_id, before.content_sha256, after.run_id, after.content_sha256)


def _compared(pages: Pages, before: Run, after: Run) -> tuple[Comparison, Changes]:
    """Made anew, as every report and `hallmark compare` do, since one that an earlier Hallmark recorded may
    say less. It is not recorded: looking changes nothing.
    """
    registry = pages.registry
    runs = registry.runs.get(before.run_id), registry.runs.get(after.run_id)
    found = compared(*runs, registry)
    return found, changes_of(found, runs, registry)


def _plot(pages: Pages, report: Report, before: Run, after: Run) -> Markup:
    def make() -> Markup:
        assert report.comparison is not None  # noqa: S101 - two runs have one
        return Markup(draw_comparison(report.comparison).decode())  # noqa: S704 - `core.plots` escapes names

    return pages.prepared.get(_key("plot", before, after), "the plot of the scores", make)


def _tables(report: Report, pair: dict[str, str]) -> dict[str, Any]:
    found = page_tables(report)
    return {
        "requirements": found["requirements"],
        "changed": [linked(table, pair) for table in found["changed"]],
        "scores": [linked(table, pair) for table in found["scores"]],
        "provenance": tables.provenance(report.runs),
    }


@router.get("/compare/items/{trace_id}")
def item(pages: ThePages, trace_id: str, query: Annotated[ComparisonQuery, FromQuery()]) -> Response:
    """One item of two runs, whole."""
    before, after = referred_run(pages, query.baseline), referred_run(pages, query.candidate)
    if before.dataset_id != after.dataset_id:
        raise HTTPException(400, "The two runs were not judged on the same dataset.")
    pair = _pair(before, after)
    return pages.show(
        "item.html",
        here="/compare",
        title=f"Item {trace_id}",
        one=one_item(pages, items_of(pages, [before, after]), query, trace_id),
        roles=[("Baseline", before.run_id), ("Candidate", after.run_id)],
        said={**pair, **query.said},
        back="/compare",
        address=_item_address,
    )


def _item_address(trace_id: str) -> str:
    return f"/compare/items/{quote(trace_id, safe='')}"
