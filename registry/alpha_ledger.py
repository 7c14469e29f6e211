"""The ledger of alpha: which comparison this is on a golden dataset, and what the one before it left over.

A family is one model on one golden dataset. Its comparisons are numbered, and the level of each follows from
its number (`evaluation.alpha`), so that together they spend no more than alpha however many nights there are.
A comparison that was significant hands its level on to the next one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, insert
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
        known: whether it was decided before.
    """

    model: str
    dataset_sha256: str
    comparison_sha256: str
    number: int
    carried: float
    known: bool


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
_KNOWN = select(AlphaSpending.number).where(
    *_FAMILY, AlphaSpending.comparison_sha256 == bindparam("comparison_sha256")
)
_BEFORE = (
    select(AlphaSpending.number, AlphaSpending.level, AlphaSpending.significant)
    .where(*_FAMILY, AlphaSpending.number < bindparam("number"))
    .order_by(col(AlphaSpending.number).desc())
    .limit(1)
)
_SPEND = insert(AlphaSpending.__table__)  # type: ignore[attr-defined]


def take_turn(session: Session, model: str, dataset_sha256: str, comparison: str) -> Turn:
    """Find a comparison's turn. Nothing is written: `spend` does that, in the same transaction.

    Args:
        session: of the transaction.
        model: the registered model.
        dataset_sha256: of the main golden dataset.
        comparison: from `comparison_sha256`.
    """
    family = {"model": model, "dataset_sha256": dataset_sha256}
    connection = session.connection()
    known = connection.execute(_KNOWN, {**family, "comparison_sha256": comparison}).scalar()
    # Numbers are dense, so the newest smaller one is the comparison before it: for one that is known the one
    # it followed then, so that asking again gives the same level; for a new one the last of the family.
    before = connection.execute(_BEFORE, {**family, "number": known or MANY}).first()
    number = known or (before[0] if before else 0) + 1
    carried = before[1] if before is not None and before[2] else 0.0
    return Turn(model, dataset_sha256, comparison, number, carried, known is not None)


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
    row = {
        "model": turn.model,
        "dataset_sha256": turn.dataset_sha256,
        "number": turn.number,
        "comparison_sha256": turn.comparison_sha256,
        "opponent_run_id": opponent.run_id,
        "candidate_run_id": candidate.run_id,
        "p_value": p_value,
        "level": level,
        "significant": significant,
        "created_at": now(),
    }
    session.connection().execute(_SPEND, row)


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
