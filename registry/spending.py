"""The ledger of alpha: which comparison this is on a golden dataset, and what the one before it left over."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func
from sqlmodel import Session, col, select

from hallmark.files import sha256_json
from registry.columns import now
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


def comparison_sha256(dataset_sha256: str, opponent: Run, candidate: Run) -> str:
    """What makes two comparisons one: the same dataset, the same judge, and the same predictions on both sides.

    The evaluator is deterministic, so the same candidate that is offered again gives the same predictions, and asking
    again is no new chance for luck.
    """
    return sha256_json(
        [dataset_sha256, candidate.judge, candidate.judge_fingerprint, opponent.predictions_sha256, candidate.predictions_sha256]
    )


def take_turn(session: Session, model: str, opponent: Run, candidate: Run) -> Turn:
    """Find a comparison's turn. Nothing is written: `spend` does that, in the same transaction."""
    dataset_sha256 = session.exec(select(Dataset.sha256).where(Dataset.id == candidate.dataset_id)).one()
    comparison = comparison_sha256(dataset_sha256, opponent, candidate)
    family = (col(AlphaSpending.model) == model, col(AlphaSpending.dataset_sha256) == dataset_sha256)
    known = session.exec(select(AlphaSpending.number).where(*family, AlphaSpending.comparison_sha256 == comparison)).first()
    number = known or (session.exec(select(func.max(AlphaSpending.number)).where(*family)).one() or 0) + 1
    before = session.exec(select(AlphaSpending.level, AlphaSpending.significant).where(*family, AlphaSpending.number == number - 1)).first()
    carried = before[0] if before is not None and before[1] else 0.0
    return Turn(model, dataset_sha256, comparison, number, carried, known is not None)


def spend(session: Session, turn: Turn, opponent: Run, candidate: Run, *, p_value: float, level: float, significant: bool) -> None:
    """Record a comparison that was decided for the first time."""
    if turn.known:
        return
    session.add(
        AlphaSpending(
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
    )
    session.flush()
