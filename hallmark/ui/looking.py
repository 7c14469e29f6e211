"""What routes look up: runs by their ids, and their items by a filter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from fastapi import HTTPException
from pydantic import BaseModel, ConfigDict, Field

from core.errors import InputError, IntegrityError
from core.text import counted
from experiments.datasets import dataset_file
from experiments.item_index import ALL, AnswerIndex, DatasetIndex, ItemFilter, outcomes
from experiments.side_by_side import ItemAnswers, answers_to
from hallmark.ui.pages import Pages
from registry import Registry, Run
from registry.models import LARGEST
from registry.pages import run_line

ITEMS = 20
"""Items in a page."""

RowId = Annotated[int, Field(ge=0, le=LARGEST)]
Text = Annotated[str, Field(max_length=300)]
Reference = Annotated[str, Field(max_length=200)]


class Query(BaseModel):
    """What the address of a page may say. An empty field of a form is as if it were not there."""

    model_config = ConfigDict(extra="ignore")


class ItemQuery(ItemFilter):
    """A filter of items, and where its page begins or ends.

    Attributes:
        past: position of the item that the page goes on behind.
        until: position of the item that it ends before.
    """

    model_config = ConfigDict(extra="ignore")

    text: Text = ""
    category: Reference = ""
    band: Reference = ""
    past: RowId | None = None
    until: RowId | None = None

    @property
    def said(self) -> dict[str, str]:
        """The filter as a query."""
        return {name: value for name in ItemFilter.model_fields if (value := getattr(self, name))}


def opened(query: ItemQuery, items: Items) -> ItemQuery:
    """A filter; where the address chooses nothing, that of the items that got worse, or, of one run, that are
    wrong.
    """
    if query.said or query.past is not None or query.until is not None:
        return query
    counts = outcomes(items.answers[0], items.answers[-1])
    first = next((name for name in ("worse", "wrong") if counts.get(name)), ALL)
    return query.model_copy(update={"show": first})


def found_run(pages: Pages, run_id: str) -> Run:
    """A run by its whole id, without documents.

    Raises:
        HTTPException: 404, there is none.
    """
    if (run := run_line(pages.registry.database, run_id)) is None:
        raise HTTPException(404, f"There is no run {run_id[:80]}.")
    return run


def referred_run(pages: Pages, reference: str) -> Run:
    """A finished run by its id, or by a beginning or an end of it.

    Raises:
        HTTPException: 404, there is none, or there are several, or it is not finished.
    """
    if (run := run_line(pages.registry.database, reference)) is not None and run.status == "finished":
        return run
    try:
        return pages.registry.runs.finished(reference)
    except InputError as error:
        raise HTTPException(404, str(error)) from None


def whole_run(pages: Pages, run: Run) -> Run:
    """The same run with its documents. That of a finished run is kept: it does not change."""
    if run.status != "finished":
        return pages.registry.runs.get(run.run_id)
    key = ("run", run.run_id, run.content_sha256)
    return pages.prepared.get(key, f"run {run.run_id}", lambda: pages.registry.runs.get(run.run_id))


@dataclass(frozen=True)
class Items:
    """The items of one finished run, or of two on the same dataset.

    Attributes:
        dataset: where they are.
        answers: of each run.
    """

    dataset: DatasetIndex
    answers: Sequence[AnswerIndex]

    def choices(self) -> dict[str, dict[str, int]]:
        """What can be chosen in each field of a filter, and how many items that finds."""
        first, last = self.answers[0], self.answers[-1]
        either = first.cut | last.cut
        cut = {"yes": either, "no": ~either}
        if first is not last:
            cut |= {"baseline": first.cut, "candidate": last.cut}
        return {
            "show": outcomes(first, last),
            "category": self.dataset.categories.counts(),
            "band": last.bands.counts() if last.bands else {},
            "before": first.rungs.counts() if first is not last else {},
            "after": last.rungs.counts(),
            "cut": {name: int(which.sum()) for name, which in cut.items()} if either.any() else {},
        }


def items_of(pages: Pages, runs: Sequence[Run]) -> Items:
    """The items of finished runs on one dataset.

    Raises:
        StillPreparing: they are being read.
        InputError: they are not to be had.
        IntegrityError: they were changed.
    """
    registry, prepared = pages.registry, pages.prepared
    dataset = registry.datasets.get(runs[0].dataset_id)
    about = f"the {counted(dataset.items, 'item')} of {dataset.name}"

    def read() -> DatasetIndex:
        return DatasetIndex.read(dataset_file(runs[0], dataset, registry))

    index = prepared.get(("dataset", dataset.sha256), about, read)
    return Items(index, [_answers(pages, run, index, about) for run in runs])


def _answers(pages: Pages, run: Run, index: DatasetIndex, about: str) -> AnswerIndex:
    def read() -> AnswerIndex:
        found = AnswerIndex.read(pages.registry.runs.get(run.run_id), index, pages.registry)
        if len(found.scores) != len(index.trace_ids):
            raise IntegrityError(
                f"run {run.run_id}: has {counted(len(found.scores), 'answer')} to "
                f"{counted(len(index.trace_ids), 'item')}. "
                "See: hallmark verify"
            )
        return found

    key = ("answers", run.run_id, run.content_sha256)
    return pages.prepared.get(key, f"the answers of run {run.run_id} to {about}", read)


@dataclass(frozen=True)
class ItemPage:
    """Some items that a filter finds.

    Attributes:
        items: in dataset order.
        total: how many it finds.
        first: which of them the first one here is, from 1.
        until: position that the page before this one ends before; None where there is none.
        past: position that the next one goes on behind; None where there is none.
    """

    items: list[ItemAnswers]
    total: int
    first: int
    until: int | None
    past: int | None


def found_items(pages: Pages, items: Items, query: ItemQuery) -> np.ndarray:
    """The positions of the items that a filter finds.

    Raises:
        StillPreparing: its text is being looked for.
    """
    fits = query.fits(items.dataset, items.answers)
    if not query.text:
        return np.flatnonzero(fits)
    with_text = np.zeros(len(fits), np.bool_)
    with_text[_with_text(pages, items, query.text)] = True
    return np.flatnonzero(fits & with_text)


def _with_text(pages: Pages, items: Items, text: str) -> np.ndarray:
    registry: Registry = pages.registry
    runs = tuple(answers.run.content_sha256 for answers in items.answers)

    def look() -> np.ndarray:
        each = [answers.with_text(text, registry) for answers in items.answers]
        return np.unique(np.concatenate([items.dataset.with_text(text, items.answers[0].prompt), *each]))

    return pages.prepared.get(("text", runs, text), f"what contains {text!r}", look)


def item_page(pages: Pages, items: Items, query: ItemQuery) -> ItemPage:
    """A page of what a filter finds."""
    found = found_items(pages, items, query)
    if query.until is not None:
        end = int(np.searchsorted(found, query.until, "left"))
        begin = max(0, end - ITEMS)
    else:
        begin = 0 if query.past is None else int(np.searchsorted(found, query.past, "right"))
        end = min(len(found), begin + ITEMS)
    shown = found[begin:end]
    return ItemPage(
        items=shown_items(pages, items, shown),
        total=len(found),
        first=begin + 1,
        until=int(shown[0]) if begin > 0 and len(shown) else None,
        past=int(shown[-1]) if end < len(found) and len(shown) else None,
    )


def shown_items(pages: Pages, items: Items, places: np.ndarray) -> list[ItemAnswers]:
    """The items at some positions, with what each run wrote."""
    chosen = items.dataset.items(places)
    return list(answers_to(chosen, [answers.run for answers in items.answers], pages.registry))


@dataclass(frozen=True)
class OneItem:
    """One item, and its neighbours among those that a filter finds.

    Attributes:
        number: which of them it is, from 1; None where the filter does not find it.
        total: how many it finds.
        previous, next: ids of its neighbours.
    """

    item: ItemAnswers
    number: int | None
    total: int
    previous: str | None
    next: str | None


def one_item(pages: Pages, items: Items, query: ItemQuery, trace_id: str) -> OneItem:
    """An item by its id.

    Raises:
        HTTPException: 404, the dataset has no such item.
    """
    try:
        place = items.dataset.trace_ids.index(trace_id)
    except ValueError:
        raise HTTPException(404, f"There is no item {trace_id[:140]} here.") from None
    found = found_items(pages, items, query)
    at = int(np.searchsorted(found, place, "left"))
    is_found = at < len(found) and found[at] == place
    ids, behind = items.dataset.trace_ids, at + is_found
    return OneItem(
        item=shown_items(pages, items, np.array([place]))[0],
        number=at + 1 if is_found else None,
        total=len(found),
        previous=ids[found[at - 1]] if at > 0 else None,
        next=ids[found[behind]] if behind < len(found) else None,
    )
