"""Reviews of golden items: said of an item after looking at answers, and what they come to together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from core.errors import InputError
from experiments.promoting import actor
from experiments.workspace import Workspace
from golden.manifest import Change
from registry import Registry, Review, Run
from registry.reviews import VERDICTS, Verdict

SHOWN = 20
"""Conflicts that an error names."""


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


def conflicts_of(settled: Iterable[Settled]) -> list[Settled]:
    """The items whose reviewers disagree."""
    return [each for each in settled if each.is_conflict]


def add_review(
    runs: Sequence[str],
    trace_id: str,
    verdict: Verdict,
    workspace: Workspace,
    *,
    answers: Sequence[str] = (),
    note: str = "",
    reviewer: str | None = None,
) -> Review:
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
        reviewer: who says it; None for the person at this terminal.

    Raises:
        InputError: a run or the item is unknown, the runs are on different datasets, or nothing says which
            other answer is right.
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
    return registry.reviews.add(
        [run.run_id for run in found],
        trace_id,
        verdict,
        reviewer=reviewer or actor(),
        answers=answers,
        note=note,
    )


def answers_given(runs: Iterable[Run], trace_id: str, registry: Registry) -> list[str]:
    """What runs answered to an item that is not as the reference, as their judge found it."""
    rows = [registry.runs.predictions_of(run.run_id, [trace_id]).get(trace_id) for run in runs]
    given = [row.extracted for row in rows if row is not None and row.score < 1 and row.extracted]
    return list(dict.fromkeys(given))
