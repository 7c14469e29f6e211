"""Reviews of golden items: said of an item after looking at answers, and what they come to together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.config import Record
from core.errors import InputError
from core.tabular import Row, TabularList
from core.text import counted, visible
from experiments.datasets import named_dataset
from experiments.promoting import actor
from experiments.side_by_side import ItemAnswers, side_by_side
from experiments.workspace import Workspace
from golden.manifest import Change
from registry import Dataset, Registry, Review, Run
from registry.reviews import VERDICTS, Disagreement, Verdict


@dataclass(frozen=True)
class Settled:
    """What the reviews of one item come to.

    Attributes:
        verdict: what its reviewers agree on; None where they do not.
        change: what a revision does with it; None for nothing.
        answers: what takes the place of the reference, or is accepted beside it.
        reviews: those that count, oldest first: one from each reviewer.
    """

    trace_id: str
    verdict: Verdict | None
    change: Change | None
    answers: list[str]
    reviews: list[Review]

    @property
    def is_conflict(self) -> bool:
        """Whether reviewers disagree."""
        return self.verdict is None

    @property
    def sentence(self) -> str:
        """Who says what, as in `t3: ana: the reference is wrong (7); ben: the item is fine`."""
        return f"{self.trace_id}: {'; '.join(map(opinion, self.reviews))}"


def opinion(review: Review) -> str:
    """Who says what of an item, as in `ana: the reference is wrong (7)`."""
    answers = f" ({' or '.join(review.answers)})" if review.answers else ""
    return f"{review.reviewer}: {VERDICTS[review.verdict]}{answers}"


def settle(reviews: Iterable[Review]) -> list[Settled]:
    """What reviews come to, item by item, in the order in which the items were first reviewed.

    Reviewers agree where their verdicts are the same and would make the same of the item: of several who say
    that the reference is wrong, those who name the right answer name the same. What several accept beside
    the reference is accepted together.

    Args:
        reviews: those that count, as `registry.reviews.Reviews.newest` gives them.
    """
    by_item: dict[str, list[Review]] = defaultdict(list)
    for review in reviews:
        by_item[review.trace_id].append(review)
    return [_settled(trace_id, said) for trace_id, said in by_item.items()]


def _settled(trace_id: str, reviews: list[Review]) -> Settled:
    named = list(dict.fromkeys(tuple(review.answers) for review in reviews if review.answers))
    verdicts = {review.verdict for review in reviews}
    if len(verdicts) > 1 or (verdicts == {"reference_wrong"} and len(named) > 1):
        return Settled(trace_id, None, None, [], reviews)
    verdict: Verdict = verdicts.pop()  # type: ignore[assignment]
    answers = list(dict.fromkeys(answer for each in named for answer in each))
    changes: dict[Verdict, Change] = {
        "reference_wrong": "reference_replaced" if answers else "removed",
        "unclear": "removed",
        "both_right": "answers_added",
    }
    return Settled(trace_id, verdict, changes.get(verdict), answers, reviews)


class Reviewed(Record):
    """A review that counts: what a reviewer said last of an item.

    Attributes:
        dataset: key and version.
        dataset_sha256: of its file.
        trace_id: of the item.
        verdict: reference_wrong, both_right, unclear, or fine.
        answers: the right answers, or those that are to be accepted too.
        note: why.
        runs: ids of the runs whose answers were looked at.
        reviewer: who.
        at: when, ISO 8601 in UTC.
        conflict: whether another reviewer says otherwise.
    """

    dataset: str
    dataset_sha256: str
    trace_id: str
    verdict: str
    answers: list[str]
    note: str
    runs: list[str]
    reviewer: str
    at: str
    conflict: bool


class Reviews(TabularList[Reviewed]):
    """The reviews that count."""

    def table_caption(self) -> str:
        """How many, and on how many items reviewers disagree."""
        items = {(each.dataset_sha256, each.trace_id) for each in self if each.conflict}
        return f"{counted(len(self), 'review')}; reviewers disagree on {counted(len(items), 'item')}"

    def table_rows(self) -> list[Row]:
        """A row per review."""
        return [
            {
                "dataset": each.dataset,
                "item": each.trace_id,
                "verdict": each.verdict,
                "answers": visible(" or ".join(each.answers)),
                "reviewer": visible(each.reviewer),
                "at": each.at,
                "conflict": each.conflict,
                "note": visible(each.note),
            }
            for each in self
        ]


def reviews(registry: Registry, dataset: str | Path | None = None) -> Reviews:
    """The reviews that count, dataset by dataset, item by item.

    Args:
        registry: holds them.
        dataset: only of this one: a path, a built-in name, or one that is here or recorded.

    Raises:
        InputError: there is no such dataset.

    Example:
        >>> [review.verdict for review in reviews(registry, "golden-v1")]
        []
    """
    if dataset is None:
        known = [(row.name, row.sha256) for row, _ in registry.reviews.datasets()]
    else:
        named = named_dataset(dataset, registry)
        known = [(named.name, named.sha256)]
    return Reviews(
        [
            reviewed(review, name, settled.is_conflict)
            for name, sha256 in known
            for settled in settle(registry.reviews.newest(sha256))
            for review in settled.reviews
        ]
    )


def opinions_on(
    dataset: Dataset, registry: Registry, trace_ids: Sequence[str] | None = None
) -> dict[str, list[Reviewed]]:
    """What counts of the reviews of a dataset's items, by trace_id; without items that nobody reviewed.

    Args:
        dataset: as it is recorded.
        registry: holds the reviews.
        trace_ids: only of these items; None for all.
    """
    return {
        each.trace_id: [reviewed(review, dataset.name, each.is_conflict) for review in each.reviews]
        for each in settle(registry.reviews.newest(dataset.sha256, trace_ids))
    }


def reviewed(review: Review, dataset: str, conflict: bool = False) -> Reviewed:
    """A review as it is shown."""
    return Reviewed(
        dataset=dataset,
        dataset_sha256=review.dataset_sha256,
        trace_id=review.trace_id,
        verdict=review.verdict,
        answers=list(review.answers),
        note=review.note,
        runs=list(review.runs),
        reviewer=review.reviewer,
        at=review.created_at,
        conflict=conflict,
    )


def add_review(
    runs: Sequence[str],
    trace_id: str,
    verdict: str,
    workspace: Workspace,
    *,
    answers: Sequence[str] = (),
    note: str = "",
    reviewer: str | None = None,
) -> Reviewed:
    """Record what somebody says of an item after looking at what runs answered.

    Args:
        runs: run ids, or unique beginnings or ends of them: whose answers were looked at.
        trace_id: of the item.
        verdict: reference_wrong, both_right, unclear, or fine.
        workspace: its registry holds the runs.
        answers: with `reference_wrong` the right answers, the new reference first; without any, a revision
            removes the item. With `both_right` those that are right too; without any, those that the runs
            gave and did not get the full score for.
        note: why.
        reviewer: who says it; None for the user of this process.

    Raises:
        InputError: a run or the item is unknown, the runs are on different datasets, nothing says which
            other answer is right, or the reviewer's name is none.
        ResourceError: home or registry are read-only.

    Example:
        >>> add_review(["20261125-205329"], "t3", "unclear", open_workspace()).verdict
        'unclear'
    """
    workspace.check_writable()
    registry = workspace.registry
    found = [registry.runs.finished(run) for run in runs]
    if verdict == "both_right" and not answers:
        answers = answers_given(found, trace_id, registry)
        if not answers:
            raise InputError(
                f"item {trace_id[:128]}: no run has an answer to it that its judge found and did not give "
                "the full score. Say which other answer is right (--answer)."
            )
    made = registry.reviews.add(
        [run.run_id for run in found],
        trace_id,
        verdict,
        reviewer=actor() if reviewer is None else reviewer,
        answers=answers,
        note=note,
    )
    [settled] = settle(registry.reviews.newest(made.dataset_sha256, [trace_id]))
    return reviewed(made, registry.datasets.get(found[0].dataset_id).name, settled.is_conflict)


def answers_given(runs: Iterable[Run], trace_id: str, registry: Registry) -> list[str]:
    """What runs answered to an item that is not as the reference, as their judge found it."""
    rows = [registry.runs.predictions_of(run.run_id, [trace_id]).get(trace_id) for run in runs]
    given = [row.extracted for row in rows if row is not None and row.score < 1 and row.extracted]
    return list(dict.fromkeys(given))


class QueuedAnswers(Record):
    """An item of a queue, with what the runs answered.

    Attributes:
        disagreement: same_wrong_answer, all_wrong, or some_wrong.
        item: the item and the answers, in the order of the runs.
        opinions: what reviewers said of it.
    """

    disagreement: Disagreement
    item: ItemAnswers
    opinions: list[Reviewed]


class Queue(Record):
    """The first items with which runs disagree.

    Attributes:
        runs: their ids.
        dataset: key and version.
        total: how many such items there are.
    """

    runs: list[str]
    dataset: str
    total: int
    items: list[QueuedAnswers]


def review_queue(references: Sequence[str], registry: Registry, limit: int, offset: int = 0) -> Queue:
    """The items that runs and the reference disagree on; first those that every run answers alike and not as
    the reference.

    Args:
        references: finished runs on one dataset: ids, or unique beginnings or ends of them.
        registry: holds them.
        limit: how many items, at most.
        offset: how many to leave out first.

    Raises:
        InputError: a run is unknown or not finished, or they are on different datasets.

    Example:
        >>> review_queue(["20261125-205329"], registry, limit=1).items[0].disagreement
        'all_wrong'
    """
    runs = [registry.runs.finished(reference) for reference in references]
    dataset = registry.datasets.get(runs[0].dataset_id)
    if any(run.dataset_id != dataset.id for run in runs):
        raise InputError(f"runs {', '.join(run.run_id for run in runs)}: are on different datasets")
    ids = [run.run_id for run in runs]
    queued = registry.reviews.queue(ids, limit, offset)
    found = {each.trace_id: each for each in side_by_side(runs, registry, [each.trace_id for each in queued])}
    opinions = opinions_on(dataset, registry, list(found))
    return Queue(
        runs=ids,
        dataset=dataset.name,
        total=registry.reviews.queued(ids),
        items=[
            QueuedAnswers(
                disagreement=each.disagreement,
                item=found[each.trace_id],
                opinions=opinions.get(each.trace_id, []),
            )
            for each in queued
        ],
    )
