"""The pages of the present state: what is under way, and whether what is recorded was changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from fastapi import APIRouter
from starlette.responses import RedirectResponse, Response

from experiments.runs import current_status
from experiments.under_way import under_way
from experiments.verifying import Verification, verify
from hallmark.ui.forms import Posted
from hallmark.ui.pages import Pages, ThePages
from registry.pages import newest_entries, run_page
from registry.runs import RunFilter

router = APIRouter()
SHOWN = 100
"""Runs that are under way, at most."""
AGAIN_S = 10
"""After how many seconds the page of what is under way loads itself again."""
ENTRIES = 20
"""Entries of the audit log that are shown."""
VERIFY = "verify"


@router.get("/under-way")
def all_under_way(pages: ThePages) -> Response:
    """The runs that are not finished."""
    registry = pages.registry
    found = run_page(registry.database, RunFilter(status="running"), limit=SHOWN)
    lines = []
    for line in found.lines:
        run = registry.runs.get(line.run.run_id)
        lines.append((line, current_status(run, registry), under_way(run, registry)))
    answer = pages.show("under_way.html", here="/under-way", lines=lines, again=AGAIN_S, total=found.total)
    answer.headers["Refresh"] = str(AGAIN_S)
    return answer


@dataclass(frozen=True)
class Verified:
    """What a verification found, and when it ended."""

    found: Verification
    at: str


@router.get("/integrity")
def integrity(pages: ThePages) -> Response:
    """The end of the audit log, how much is recorded, and what the last verification found."""
    registry = pages.registry
    head = registry.head()
    going_on = pages.verifying.peek(VERIFY)
    done = going_on is not None and going_on.done()
    problem = going_on.exception() if going_on is not None and done else None
    answer = pages.show(
        "integrity.html",
        here="/integrity",
        head=str(head),
        place=registry.description,
        artifacts=registry.artifacts.place,
        is_read_only=registry.is_read_only,
        counts=pages.prepared.get(("counts", str(head)), "how much is recorded", registry.counts),
        entries=newest_entries(registry.database, ENTRIES),
        going_on=going_on is not None and not done,
        problem="" if problem is None else str(problem),
        verified=going_on.result() if going_on is not None and done and problem is None else None,
    )
    if going_on is not None and not done:
        answer.headers["Refresh"] = "2"
    return answer


@router.post("/integrity/verify")
def begin_verification(pages: ThePages, form: Posted) -> Response:
    """Begin to verify rows and logs, unless that is going on."""
    pages.verifying.begin(VERIFY, lambda: _verified(pages))
    return RedirectResponse("/integrity", 303)


def _verified(pages: Pages) -> Verified:
    found = verify(pages.workspace, quick=True)
    return Verified(found, datetime.now(UTC).isoformat(timespec="seconds"))
