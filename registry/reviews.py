"""Reviews: what people said of golden items after looking at answers, and which items deserve a look.

A review is about an item of a dataset's file, by the file's sha256. Nothing is ever changed: whoever thinks
otherwise later reviews the item again, and the newest row of an item and a reviewer counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import case, func
from sqlalchemy import select as sqlalchemy_select
from sqlmodel import Session, col, select

from core.errors import InputError
from core.suggestions import did_you_mean
from core.text import counted, cut, visible
from registry.columns import frozen_json, now
from registry.database import Database
from registry.runs import finished_run
from registry.tables import Comparison, Dataset, Prediction, Review, Run

Verdict = Literal["reference_wrong", "both_right", "unclear", "fine"]

VERDICTS: dict[str, str] = {
    "reference_wrong": "the reference is wrong",
    "both_right": "both are right",
    "unclear": "the item is unclear",
    "fine": "the item is fine",
}
"""What a reviewer may say, in words. `fine` also takes back what the same reviewer said before."""

WITH_ANSWERS: tuple[Verdict, ...] = ("reference_wrong", "both_right")
"""Verdicts that answers may be given with."""

Disagreement = Literal["same_wrong_answer", "all_wrong", "some_wrong"]

DISAGREEMENTS: dict[Disagreement, str] = {
    "same_wrong_answer": "every run is wrong, with the same answer",
    "all_wrong": "every run is wrong",
    "some_wrong": "some runs are wrong",
}
"""How runs can disagree with a reference, in words; first what is likeliest to be the reference's fault."""


LONGEST_NAME = 80
"""Characters of a reviewer's name."""


def checked_reviewer(name: str) -> str:
    """A reviewer's name as it is recorded: as it was given.

    Args:
        name: what somebody calls themselves.

    Raises:
        InputError: it is empty or too long, begins or ends with a space, or has characters that nobody sees.

    Example:
        >>> checked_reviewer("Ana Müller")
        'Ana Müller'
    """
    if not 1 <= len(name) <= LONGEST_NAME:
        problem = f"has {counted(len(name), 'character')}; 1 to {LONGEST_NAME} are expected"
    elif name != visible(name):
        problem = "has spaces at an end or several in a row, or characters that nobody sees"
    else:
        return name
    raise InputError(f"reviewer {visible(cut(name, LONGEST_NAME))!r}: {problem}")


@dataclass(frozen=True, slots=True)
class QueuedItem:
    """An item with which runs disagree.

    Attributes:
        position: of the item in its dataset, from 0.
        wrong: how many of the runs did not get the full score.
    """

    position: int
    trace_id: str
    disagreement: Disagreement
    wrong: int


class Reviews:
    """What people said of golden items.

    Args:
        database: holds the rows.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def add(
        self,
        run_ids: Sequence[str],
        trace_id: str,
        verdict: str,
        *,
        reviewer: str,
        answers: Sequence[str] = (),
        note: str = "",
    ) -> Review:
        """Record what somebody says of an item.

        Args:
            run_ids: the finished runs whose answers were looked at, all on the same dataset.
            trace_id: of the item.
            verdict: see `VERDICTS`.
            reviewer: who says it, as `checked_reviewer` takes it.
            answers: with `reference_wrong` the right answers, the new reference first; with `both_right`
                those that are to be accepted too.
            note: why.

        Raises:
            InputError: a run is unknown or not finished, or of another dataset; the item is not one of
                theirs; the verdict is none, or takes no answers; the reviewer's name is none.

        Example:
            >>> registry.reviews.add([run.run_id], "item-2", "unclear", reviewer="ana").id
            1
        """
        if verdict not in VERDICTS:
            raise InputError(
                f"verdict {str(verdict)[:40]!r}: expected one of {', '.join(VERDICTS)}."
                f"{did_you_mean(str(verdict), VERDICTS)}"
            )
        if answers and verdict not in WITH_ANSWERS:
            raise InputError(
                f"item {trace_id[:128]}: an answer belongs to {' or '.join(WITH_ANSWERS)}, not to {verdict}"
            )
        if any(not answer.strip() for answer in answers):
            raise InputError(f"item {trace_id[:128]}: an answer is empty")
        with self.database.writing() as session:
            runs = [finished_run(session, run_id) for run_id in dict.fromkeys(run_ids)]
            row = Review(
                dataset_sha256=_reviewed_dataset(session, runs, trace_id),
                trace_id=trace_id,
                verdict=verdict,
                answers=frozen_json(list(dict.fromkeys(answers)), "answers"),
                note=frozen_json(note, "note"),
                runs=[run.run_id for run in runs],
                reviewer=checked_reviewer(reviewer),
                created_at=now(),
            )
            session.add(row)
            session.flush()
            return row

    def newest(self, dataset_sha256: str, trace_ids: Sequence[str] | None = None) -> list[Review]:
        """What counts of a dataset: the newest review of each item and reviewer, in the order in which they
        were made.

        Args:
            dataset_sha256: of its file.
            trace_ids: only of these items; None for all.

        Example:
            >>> registry.reviews.newest(64 * "0")
            []
        """
        last = select(func.max(Review.id)).where(Review.dataset_sha256 == dataset_sha256)
        if trace_ids is not None:
            last = last.where(col(Review.trace_id).in_(trace_ids))
        last = last.group_by(col(Review.trace_id), col(Review.reviewer))
        with self.database.reading() as session:
            return list(session.exec(select(Review).where(col(Review.id).in_(last)).order_by(col(Review.id))))

    def datasets(self) -> list[tuple[Dataset, int]]:
        """The datasets that were reviewed, the one with the newest review first, and how many reviews each
        has. Of several names for one file the first counts.

        Example:
            >>> registry.reviews.datasets()
            []
        """
        counted = (
            select(Review.dataset_sha256, func.count(), func.max(Review.id))
            .group_by(col(Review.dataset_sha256))
            .order_by(func.max(Review.id).desc())
        )
        with self.database.reading() as session:
            return [
                (named, number)
                for sha256, number, _ in session.exec(counted)
                for named in session.exec(
                    select(Dataset).where(Dataset.sha256 == sha256).order_by(col(Dataset.id)).limit(1)
                )
            ]

    def compared(self, limit: int) -> list[tuple[str, str, str]]:
        """The newest pairs of runs that were compared: baseline, candidate, and the name of their dataset.

        Example:
            >>> [candidate for _, candidate, _ in registry.reviews.compared(1)]
            ['20261126-020007-91be04']
        """
        pair = (col(Comparison.baseline_run_id), col(Comparison.candidate_run_id))
        newest = sqlalchemy_select(*pair).group_by(*pair).order_by(func.max(Comparison.id).desc())
        with self.database.reading() as session:
            found = session.connection().execute(newest.limit(limit)).all()
            named = {
                run_id: f"{key}-{version}"
                for run_id, key, version in session.exec(
                    select(Run.run_id, Dataset.key, Dataset.version)
                    .join(Dataset, col(Dataset.id) == Run.dataset_id)
                    .where(col(Run.run_id).in_([candidate for _, candidate in found]))
                )
            }
        return [(baseline, candidate, named[candidate]) for baseline, candidate in found]

    def queue(self, run_ids: Iterable[str], limit: int | None = None, offset: int = 0) -> list[QueuedItem]:
        """The items with which runs on one dataset disagree: first those that all of them answer alike and
        not as the reference, since these are the likeliest to be wrong; then those on which all are wrong;
        then the others. Each in dataset order.

        Args:
            run_ids: of finished runs.
            limit: how many, at most.
            offset: how many to leave out first.

        Example:
            >>> [item.disagreement for item in registry.reviews.queue([run.run_id])]
            ['all_wrong', 'all_wrong', 'all_wrong']
        """
        runs = list(dict.fromkeys(run_ids))
        wrong, found = func.count(), func.count(col(Prediction.extracted))
        alike = (found == len(runs)) & (func.count(func.distinct(col(Prediction.extracted))) == 1)
        rank = case((wrong < len(runs), 2), (alike & (wrong > 1), 0), else_=1)
        asked = (
            sqlalchemy_select(func.min(Prediction.position), col(Prediction.trace_id), rank, wrong)
            .where(col(Prediction.run_id).in_(runs), col(Prediction.score) < 1)
            .group_by(col(Prediction.trace_id))
            .order_by(rank, func.min(Prediction.position))
        )
        kinds = list(DISAGREEMENTS)
        with self.database.reading() as session:
            rows = session.connection().execute(asked.limit(limit).offset(offset)).all()
        return [
            QueuedItem(position, trace_id, kinds[place], number) for position, trace_id, place, number in rows
        ]

    def queued(self, run_ids: Iterable[str]) -> int:
        """How many items `queue` has.

        Example:
            >>> registry.reviews.queued([run.run_id])
            3
        """
        asked = select(func.count(func.distinct(col(Prediction.trace_id)))).where(
            col(Prediction.run_id).in_(list(run_ids)), col(Prediction.score) < 1
        )
        with self.database.reading() as session:
            return session.exec(asked).one()


def _reviewed_dataset(session: Session, runs: Sequence[Run], trace_id: str) -> str:
    """The sha256 of the dataset whose item is reviewed.

    Raises:
        InputError: no run; runs on different datasets; or there is no such item.
    """
    if not runs:
        raise InputError(f"item {trace_id[:128]}: name at least one run whose answer was looked at")
    datasets = {session.get_one(Dataset, run.dataset_id).sha256 for run in runs}
    if len(datasets) > 1:
        raise InputError(
            f"runs {', '.join(run.run_id for run in runs)}: are on different datasets, and a review is about "
            "an item of one"
        )
    known = select(Prediction.id).where(Prediction.run_id == runs[0].run_id, Prediction.trace_id == trace_id)
    if session.exec(known).first() is None:
        some = session.exec(
            select(Prediction.trace_id)
            .where(Prediction.run_id == runs[0].run_id)
            .order_by(col(Prediction.position))
            .limit(3)
        ).all()
        raise InputError(
            f"run {runs[0].run_id}: has no item {trace_id[:128]}. Its items begin with {', '.join(some)}."
        )
    return datasets.pop()
