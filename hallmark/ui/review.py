"""Reviewing golden items: which ones deserve a look, one of them with a form, and what was said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import numpy as np
from fastapi import APIRouter, FastAPI, HTTPException
from fastapi import Query as FromQuery
from pydantic import Field
from starlette.responses import RedirectResponse, Response

from experiments.promoting import actor
from experiments.reviewing import Reviewed, add_review, opinions_on, reviews
from hallmark.ui.forms import Posted
from hallmark.ui.looking import Query, Reference, RowId, items_of, referred_run, shown_items
from hallmark.ui.pages import Pages, ThePages
from hallmark.ui.reviewer import keep_reviewer
from hallmark.ui.runs import reported
from registry import Run
from registry.reviews import DISAGREEMENTS, VERDICTS, QueuedItem

router = APIRouter()
LISTED = 50
"""Items of the queue in a page."""
OFFERED = 10
"""Comparisons that are offered to be gone through: the newest ones."""
MOST_RUNS = 10


class RunsQuery(Query):
    """Whose answers are looked at.

    Attributes:
        run: ids of finished runs on one dataset, or beginnings or ends of them.
        baseline, candidate: the same of two, from a form.
        past: place in the queue that the page goes on behind.
    """

    run: list[Reference] = Field(default_factory=list, max_length=MOST_RUNS)
    baseline: Reference = ""
    candidate: Reference = ""
    past: RowId = 0

    def runs(self, pages: Pages) -> list[Run]:
        """The runs, each once.

        Raises:
            HTTPException: one is unknown or not finished, there is none, or they are on different datasets.
        """
        named = [*self.run, *filter(None, (self.baseline, self.candidate))]
        found = {run.run_id: run for run in (referred_run(pages, reference) for reference in named)}
        if len({run.dataset_id for run in found.values()}) != 1:
            raise HTTPException(400, "Name one finished run, or several on the same dataset.")
        return list(found.values())


@dataclass(frozen=True)
class WholeQueue:
    """The items with which some runs disagree.

    Attributes:
        items: in the order in which they are looked at.
        places: trace_id -> place among them.
    """

    items: list[QueuedItem]
    places: dict[str, int]

    def at(self, place: int) -> str | None:
        """The trace_id at a place; None behind the last and before the first."""
        return self.items[place].trace_id if 0 <= place < len(self.items) else None


@dataclass(frozen=True)
class Form:
    """What a form shows of an item.

    Attributes:
        trace_id: of the item.
        runs: ids of the runs that the page shows.
        opinions: what reviewers say of it.
        reviewer: who would say something now.
        own: what they said last; None for nothing.
        verdicts: what can be said: its name, and it in words.
    """

    trace_id: str
    runs: Sequence[str]
    opinions: list[Reviewed]
    reviewer: str
    own: Reviewed | None
    verdicts: dict[str, str]


def add_to(app: FastAPI, pages: Pages) -> None:
    """Add the pages, and the form to pages that show an item."""
    app.include_router(router)
    pages.templates.globals.update(reviewing=partial(form_of, pages))


def form_of(pages: Pages, run_ids: Sequence[str], trace_id: str, reviewer: str) -> Form:
    """The form for an item of some runs, for somebody."""
    dataset = pages.registry.datasets.get(referred_run(pages, run_ids[0]).dataset_id)
    said = opinions_on(dataset, pages.registry, [trace_id]).get(trace_id, [])
    own = next((opinion for opinion in said if opinion.reviewer == reviewer), None)
    return Form(trace_id, run_ids, said, reviewer, own, VERDICTS)


@router.get("/review")
def overview(pages: ThePages, then: Annotated[str, FromQuery(max_length=4_000)] = "") -> Response:
    """Who reviews, what can be gone through, and what was said; `then`: where a person came from."""
    said = reviews(pages.registry)
    datasets = list(dict.fromkeys(each.dataset for each in said))
    return pages.show(
        "review.html",
        here="/review",
        user=actor(),
        then=own_address(then),
        pairs=pages.registry.reviews.compared(OFFERED),
        datasets=[
            (
                name,
                len({each.trace_id for each in said if each.dataset == name}),
                {each.trace_id: each for each in said if each.dataset == name and each.conflict},
            )
            for name in datasets
        ],
    )


@router.get("/review/queue")
def queue(pages: ThePages, query: Annotated[RunsQuery, FromQuery()]) -> Response:
    """The items that runs and the reference disagree on."""
    runs = query.runs(pages)
    whole, said = _queue(pages, runs), _said(pages, runs)
    shown = whole.items[query.past : query.past + LISTED]
    golden = items_of(pages, runs).dataset.items([each.position for each in shown])
    open_items = (each.trace_id for each in whole.items if each.trace_id not in said)
    return pages.show(
        "review_queue.html",
        here="/review",
        query={"run": [run.run_id for run in runs]},
        items=[
            (item, DISAGREEMENTS[each.disagreement], said.get(each.trace_id, []))
            for each, item in zip(shown, golden, strict=True)
        ],
        total=len(whole.items),
        reviewed=sum(trace_id in whole.places for trace_id in said),
        first_open=next(open_items, None),
        past=query.past,
        listed=LISTED,
        revised=_revised(pages, runs),
        words=VERDICTS,
    )


@router.get("/review/items/{trace_id}")
def item(pages: ThePages, trace_id: str, query: Annotated[RunsQuery, FromQuery()]) -> Response:
    """One item, whole, with the form."""
    runs = query.runs(pages)
    items, whole = items_of(pages, runs), _queue(pages, runs)
    try:
        place = items.dataset.trace_ids.index(trace_id)
    except ValueError:
        raise HTTPException(404, f"There is no item {trace_id[:140]} here.") from None
    at = whole.places.get(trace_id)
    roles = ("Baseline", "Candidate") if len(runs) == 2 else ("Run",) * len(runs)
    return pages.show(
        "review_item.html",
        here="/review",
        title=f"Review of item {trace_id}",
        one=shown_items(pages, items, np.array([place]))[0],
        roles=list(zip(roles, (run.run_id for run in runs), strict=True)),
        query={"run": [run.run_id for run in runs]},
        why=None if at is None else DISAGREEMENTS[whole.items[at].disagreement],
        number=None if at is None else at + 1,
        total=len(whole.items),
        previous=None if at is None else whole.at(at - 1),
        next=whole.at(0) if at is None else whole.at(at + 1),
        revised=_revised(pages, runs),
    )


@router.post("/review/items/{trace_id}")
def say(pages: ThePages, trace_id: str, form: Posted) -> Response:
    """Record what somebody says of an item, and go on."""
    add_review(
        form.get("runs", "").split(),
        trace_id,
        form.get("verdict", ""),
        pages.workspace,
        answers=[line.strip() for line in form.get("answers", "").splitlines() if line.strip()],
        note=form.get("note", "").replace("\r\n", "\n").strip(),
        reviewer=pages.reviewer,
    )
    return RedirectResponse(own_address(form.get("then", "")), 303)


@router.post("/review/reviewer")
def say_who(pages: ThePages, form: Posted) -> Response:
    """Keep who reviews in this browser, and go back."""
    answer = RedirectResponse(own_address(form.get("then", "")), 303)
    keep_reviewer(answer, form.get("reviewer", ""))
    return answer


def own_address(address: str) -> str:
    """An address of this server that a form named, and the review's first page for any other.

    Example:
        >>> own_address("/review/queue?run=a"), own_address("//evil.example/")
        ('/review/queue?run=a', '/review')
    """
    plain = address.isprintable() and "\\" not in address
    return address if plain and address.startswith("/") and not address.startswith("//") else "/review"


def _queue(pages: Pages, runs: Sequence[Run]) -> WholeQueue:
    def make() -> WholeQueue:
        items = pages.registry.reviews.queue([run.run_id for run in runs])
        return WholeQueue(items, {each.trace_id: place for place, each in enumerate(items)})

    key = ("queue", *(run.content_sha256 for run in runs))
    return pages.prepared.get(key, "the items that the runs and the reference disagree on", make)


def _said(pages: Pages, runs: Sequence[Run]) -> dict[str, list[Reviewed]]:
    return opinions_on(pages.registry.datasets.get(runs[0].dataset_id), pages.registry)


def _revised(pages: Pages, runs: Sequence[Run]) -> str | None:
    return reported(pages, runs[-1]).revised
