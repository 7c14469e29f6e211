"""The page of decisions over time: scores, champion, the alpha that is left, and what can still be shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, HTTPException
from fastapi import Query as FromQuery
from markupsafe import Markup
from starlette.responses import Response

from core.errors import InputError
from evaluation.alpha import alpha_left, spent_level
from evaluation.power import gain_found
from experiments.alpha import AlphaReport, alpha_reports
from hallmark.ui.looking import Query, Reference, RowId
from hallmark.ui.pages import Pages, ThePages
from registry.alpha_entries import Left
from registry.pages import (
    DecidedComparison,
    RunLine,
    comparisons_page,
    newest_compared,
    newest_log_id,
    run_lines,
)
from registry.tables import Metric
from reports.plots import Night, draw_nights

router = APIRouter()
NIGHTS = 60
"""Decisions in a chart."""


class NightsQuery(Query):
    """Which ledger is shown.

    Attributes:
        model: registered name; the one that was compared last where it is left out.
        dataset: KEY-vN; the one that was used last where it is left out.
        below: only comparisons with a smaller number.
    """

    model: Reference = ""
    dataset: Reference = ""
    below: RowId | None = None


@dataclass(frozen=True)
class Shown:
    """A page of nights.

    Attributes:
        rows: the comparisons, newest first.
        nights: the same as the chart has them, oldest first.
        chart: the picture.
        more: whether there are older ones.
    """

    rows: list[DecidedComparison]
    nights: list[Night]
    chart: Markup
    more: bool


@router.get("/nights")
def nights(pages: ThePages, query: Annotated[NightsQuery, FromQuery()]) -> Response:
    """The decisions about a model on one golden dataset."""
    models = [model.name for model in pages.registry.models.list()]
    name = query.model or newest_compared(pages.registry.database) or next(iter(models), "")
    reports = _reports(pages, name) if name else []
    report = _chosen(reports, query.dataset)
    return pages.show(
        "nights.html",
        here="/nights",
        query=query,
        models=models,
        name=name,
        reports=reports,
        report=report,
        shown=_shown(pages, name, report, query.below) if report else None,
    )


def _reports(pages: Pages, name: str) -> list[AlphaReport]:
    try:
        pages.registry.models.versions(name, limit=1)
    except InputError as error:
        raise HTTPException(404, str(error)) from None
    key = ("alpha", name, newest_log_id(pages.registry.database))
    what = f"the comparisons of {name}"
    return pages.prepared.get(key, what, lambda: alpha_reports(name, pages.registry))


def _chosen(reports: Sequence[AlphaReport], dataset: str) -> AlphaReport | None:
    if not dataset:
        return reports[-1] if reports else None
    found = next((report for report in reports if report.dataset == dataset), None)
    if found is None:
        raise HTTPException(404, f"Nothing was compared on {dataset[:80]}.")
    return found


def _shown(pages: Pages, name: str, report: AlphaReport, below: int | None) -> Shown:
    database = pages.registry.database

    def make() -> Shown:
        rows = comparisons_page(database, name, report.dataset_sha256, NIGHTS + 1, below)
        more, rows = len(rows) > NIGHTS, rows[:NIGHTS]
        ids = {run for row in rows for run in (row.spent.candidate_run_id, row.spent.opponent_run_id)}
        made = list(_nights(rows[::-1], report, run_lines(database, sorted(ids))))
        chart = Markup(draw_nights(made).decode())  # noqa: S704 - `core.plots` escapes names
        return Shown(rows, made, chart, more)

    key = ("nights", name, report.dataset_sha256, newest_log_id(database), below)
    return pages.prepared.get(key, f"the chart of {name} on {report.dataset}", make)


def _nights(
    rows: Sequence[DecidedComparison], report: AlphaReport, runs: dict[str, RunLine]
) -> Iterator[Night]:
    """Comparisons as the chart has them, oldest first."""
    left, after = Left(), dict[int, Left]()
    for spent in report.spent:
        left = left.after(spent.level, spent.significant)
        after[spent.number] = left
    for row in rows:
        candidate, opponent = (
            runs[run].metric for run in (row.spent.candidate_run_id, row.spent.opponent_run_id)
        )
        number, then = row.spent.number, after[row.spent.number]
        level = spent_level(report.alpha, number + 1, then.carried, then.spent)
        promoted = row.log is not None and row.log.to_version is not None
        had_champion = row.log is not None and row.log.from_version is not None
        yield Night(
            number=number,
            run_id=row.spent.candidate_run_id,
            score=candidate.value if candidate else 0.0,
            interval=_interval(candidate),
            promoted=promoted,
            champion=_value(candidate if promoted else opponent if had_champion else None),
            alpha_left=alpha_left(report.alpha, number + 1, then.carried, then.spent),
            gain_found=gain_found(report.groups, report.changed, level, report.power),
        )


def _value(metric: Metric | None) -> float | None:
    return None if metric is None else metric.value


def _interval(metric: Metric | None) -> tuple[float, float] | None:
    if metric is None or metric.ci_low is None or metric.ci_high is None:
        return None
    return metric.ci_low, metric.ci_high
