"""The ledger of alpha: which comparison this is on a golden dataset, and what the one before it left over.

A family is one model on one golden dataset. A decision that rests on several datasets, as one by a suite
does, is a comparison in the family of each. Comparisons are numbered, and the level of each follows from its
number and from what those before it left of alpha (`evaluation.alpha`), so that together they spend no more
than alpha however many nights there are, also where an earlier version gave them other shares.
A comparison that was significant hands its level on to the next one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from core.files import sha256_json
from registry.columns import now
from registry.database import Database
from registry.models import require_model
from registry.tables import AlphaSpending, Dataset, Run


@dataclass(frozen=True, slots=True)
class Turn:
    """A comparison's place among all comparisons for one model on one golden dataset.

    Attributes:
        number: from 1; a comparison that was decided before keeps its number.
        carried: level of the comparison before it where that one was significant, else 0.
        spent: sum of the levels of all comparisons before it, less what each had carried over.
        level: the level at which it was decided before; None where it was not.
    """

    model: str
    dataset_sha256: str
    comparison_sha256: str
    number: int
    carried: float
    spent: float
    level: float | None

    @property
    def known(self) -> bool:
        """Whether it was decided before."""
        return self.level is not None


def comparison_sha256(pairs: Sequence[tuple[str, Run, Run]], terms: Sequence[Mapping[str, Any]]) -> str:
    """What makes two comparisons one: the same datasets, judges, and predictions on both sides, and, for a
    suite, the same requirements.

    The evaluator is deterministic, so the same candidate that is offered again gives the same predictions,
    and asking again is no new chance for luck. Asking something else about it is one.

    Args:
        pairs: sha256 of the dataset, opponent and candidate, for each requirement.
        terms: what is required of each; empty for "better than what is served".
    """
    hashes = [
        sha256_json(
            [
                dataset_sha256,
                candidate.judge,
                candidate.judge_fingerprint,
                opponent.predictions_sha256,
                candidate.predictions_sha256,
            ]
        )
        for dataset_sha256, opponent, candidate in pairs
    ]
    if len(hashes) == 1 and not terms[0]:
        return hashes[0]
    return sha256_json([[hash_, dict(asked)] for hash_, asked in zip(hashes, terms, strict=True)])


MANY = 2**31 - 1
"""More than any number of comparisons."""

# Built once; see registry/runs.py.
_FAMILY = (
    col(AlphaSpending.model) == bindparam("model"),
    col(AlphaSpending.dataset_sha256) == bindparam("dataset_sha256"),
)
_KNOWN = select(AlphaSpending.number, AlphaSpending.level).where(
    *_FAMILY, AlphaSpending.comparison_sha256 == bindparam("comparison_sha256")
)
_BEFORE = (
    select(AlphaSpending.number, AlphaSpending.level, AlphaSpending.significant)
    .where(*_FAMILY, AlphaSpending.number < bindparam("number"))
    .order_by(col(AlphaSpending.number))
)


def take_turn(session: Session, model: str, dataset_sha256: str, comparison: str) -> Turn:
    """Find a comparison's turn on one dataset. `spend` writes it down, in the same transaction.

    Args:
        session: of the transaction.
        model: the registered model.
        dataset_sha256: of the golden dataset.
        comparison: from `comparison_sha256`.
    """
    family = {"model": model, "dataset_sha256": dataset_sha256}
    connection = session.connection()
    known = connection.execute(_KNOWN, {**family, "comparison_sha256": comparison}).first()
    # For one that is known those before it then; for a new one all of the family. Numbers are dense.
    before = connection.execute(_BEFORE, {**family, "number": known[0] if known else MANY}).all()
    spent, carried = used(before)
    number, level = known or (len(before) + 1, None)
    return Turn(model, dataset_sha256, comparison, number, carried, spent, level)


class Spent(Protocol):
    """A row of the ledger, as far as later levels depend on it."""

    @property
    def level(self) -> float:
        """Of its test."""

    @property
    def significant(self) -> bool:
        """Whether its level goes on."""


def used(rows: Iterable[Spent]) -> tuple[float, float]:
    """What the first comparisons of a family took of alpha, and what the last of them carries over.

    Args:
        rows: of the ledger, in their order.

    Returns:
        The sum of their levels less what each had carried over; and the level of the last one where it was
        significant, else 0.
    """
    carried, own = 0.0, []
    for row in rows:
        # lower than what was carried over where another dataset of the same decision had less left
        own.append(max(0.0, row.level - carried))
        carried = row.level if row.significant else 0.0
    return math.fsum(own), carried


def spend(
    session: Session,
    turn: Turn,
    opponent: Run,
    candidate: Run,
    p_value: float,
    level: float,
    significant: bool,
) -> None:
    """Record a comparison that was decided for the first time. A known one has spent its level already."""
    if turn.known:
        return
    row = AlphaSpending(
        model=turn.model,
        dataset_sha256=turn.dataset_sha256,
        number=turn.number,
        comparison_sha256=turn.comparison_sha256,
        opponent_run_id=opponent.run_id,
        candidate_run_id=candidate.run_id,
        p_value=p_value,
        level=level,
        significant=significant,
        created_at=now(),
    )
    session.add(row)
    session.flush()


@dataclass(frozen=True, slots=True)
class Ledger:
    """All comparisons for one model on one golden dataset.

    Attributes:
        dataset: the golden dataset.
        spent: its comparisons in their order, never none.
    """

    dataset: Dataset
    spent: list[AlphaSpending]


def ledgers(database: Database, model: str) -> list[Ledger]:
    """The ledger of a model on each golden dataset; the one with the newest comparison comes last.

    Raises:
        InputError: there is no such model; lists those there are.
    """
    spending = select(AlphaSpending).where(AlphaSpending.model == model).order_by(col(AlphaSpending.id))
    with database.reading() as session:
        require_model(session, model)
        families: dict[str, list[AlphaSpending]] = {}
        for row in session.exec(spending):
            rows = families.pop(row.dataset_sha256, [])  # put back at the end
            families[row.dataset_sha256] = rows
            rows.append(row)
        named = select(Dataset).where(col(Dataset.sha256).in_(families)).order_by(col(Dataset.id).desc())
        datasets = {dataset.sha256: dataset for dataset in session.exec(named)}
        return [Ledger(datasets[sha256], rows) for sha256, rows in families.items()]
