"""The ledger of alpha: which comparison this is on a golden dataset, and what the one before it left over.

A family is one model on one golden dataset. A decision that rests on several datasets, as one by a suite
does, is a comparison in the family of each. Comparisons are numbered, and the level of each follows from its
number and from what those before it left of alpha (`evaluation.alpha`), so that together they spend no more
than alpha however many nights there are, also where an earlier version gave them other shares.
A comparison that was significant hands its level on to the next one.

The ledger's rows serve to find a comparison. What is taken from it is the entry in the promotion log by which
it was decided: the log's rows are hashed. A row that is not as its entry says stops every decision that would
rest on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import bindparam, func
from sqlmodel import Session, col, select

from core.errors import IntegrityError
from core.files import sha256_json
from registry.alpha_entries import (
    LEDGER,
    REPEATED,
    Entry,
    Left,
    difference,
    entries_of,
    entry_of,
    family_name,
    left_by,
    older_difference,
    row_name,
)
from registry.columns import now
from registry.database import Database
from registry.log import log_hash
from registry.models import require_model
from registry.tables import AlphaSpending, Dataset, PromotionLog, Run

REMEDY = "See: hallmark verify. Restore a backup of the registry in which it finds nothing, and decide again."


@dataclass(frozen=True, slots=True)
class Turn:
    """A comparison's place among all comparisons for one model on one golden dataset.

    Attributes:
        number: from 1; a comparison that was decided before keeps its number.
        carried: level of the comparison before it where that one was significant, else 0.
        spent: sum of the levels of all comparisons before it, less what each had carried over.
        entry: how it was decided before; None where it was not.
    """

    model: str
    dataset_sha256: str
    comparison_sha256: str
    number: int
    carried: float
    spent: float
    entry: Entry | None = None

    @property
    def level(self) -> float | None:
        """The level at which it was decided before; None where it was not."""
        return self.entry.level if self.entry else None


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


# Built once; see registry/runs.py.
_FAMILY = (
    col(AlphaSpending.model) == bindparam("model"),
    col(AlphaSpending.dataset_sha256) == bindparam("dataset_sha256"),
)
_KNOWN = select(AlphaSpending).where(
    *_FAMILY, AlphaSpending.comparison_sha256 == bindparam("comparison_sha256")
)
_LAST = select(AlphaSpending).where(*_FAMILY).order_by(col(AlphaSpending.number).desc()).limit(1)
_COUNT = select(func.count()).select_from(AlphaSpending).where(*_FAMILY)
_SINCE = (
    select(PromotionLog.id, PromotionLog.decision)
    .where(PromotionLog.model == bindparam("model"), PromotionLog.id > bindparam("log_id"))
    .order_by(col(PromotionLog.id))
)
_UNTIL = (
    select(AlphaSpending)
    .where(*_FAMILY, AlphaSpending.number <= bindparam("number"))
    .order_by(col(AlphaSpending.number))
)
_NUMBERS = select(AlphaSpending.number).where(
    AlphaSpending.model == bindparam("model"),
    AlphaSpending.comparison_sha256 == bindparam("comparison_sha256"),
)


def take_turn(session: Session, model: str, dataset_sha256: str, comparison: str) -> Turn:
    """Find a comparison's turn on one dataset. `spend` writes it down, in the same transaction.

    Args:
        session: of the transaction.
        model: the registered model.
        dataset_sha256: of the golden dataset.
        comparison: from `comparison_sha256`.

    Raises:
        IntegrityError: the ledger is not as the promotion log says; names the row.
    """
    family = {"model": model, "dataset_sha256": dataset_sha256}
    last = session.exec(_LAST, params=family).first()
    _require_whole(session, family, last)
    known = session.exec(_KNOWN, params={**family, "comparison_sha256": comparison}).first()
    if known is not None:
        entry = decided(session, known)
        return Turn(model, dataset_sha256, comparison, entry.number, entry.carried, entry.spent, entry)
    left = left_by(decided(session, last)) if last is not None else Left()
    return Turn(model, dataset_sha256, comparison, left.number + 1, left.carried, left.spent)


def _require_whole(session: Session, family: Mapping[str, str], last: AlphaSpending | None) -> None:
    """Raise IntegrityError where rows of a family are missing: one of its numbers, or what the log decided
    since the last one.
    """
    number = last.number if last else 0
    count = session.connection().execute(_COUNT, dict(family)).scalar()
    if count != number:
        raise IntegrityError(f"{family_name(**family)}: has {count} rows up to comparison {number}. {REMEDY}")
    older: dict[str, int] = {}
    since = {"model": family["model"], "log_id": (last.log_id or 0) if last else 0}
    for log_id, decision in session.connection().execute(_SINCE, since):
        if LEDGER not in decision and decision.get("comparison_sha256"):
            older.setdefault(decision["comparison_sha256"], log_id)
        for entry in decision.get(LEDGER, ()):
            if entry["dataset_sha256"] == family["dataset_sha256"] and entry["number"] > number:
                missing = f"comparison {entry['number']} is missing, which promotion log row {log_id} decided"
                raise IntegrityError(f"{family_name(**family)}: {missing}. {REMEDY}")
    if older:
        rows = select(AlphaSpending.comparison_sha256).where(AlphaSpending.model == family["model"])
        if lost := older.keys() - set(session.exec(rows)):
            rows_of_log = ", ".join(str(older[each]) for each in sorted(lost, key=older.__getitem__))
            raise IntegrityError(
                f"alpha spending of {family['model']}: has no row for promotion log row {rows_of_log}. {REMEDY}"
            )


def _name(row: AlphaSpending) -> str:
    return row_name(row.model, row.dataset_sha256, row.number)


def decided(session: Session, row: AlphaSpending) -> Entry:
    """The entry of a row of the ledger, from the hashed row of the log that decided it.

    Raises:
        IntegrityError: they differ, or that row of the log is missing or was changed.
    """
    log = _log_of(session, row)
    if LEDGER not in log.decision:
        return _decided_by_an_older_version(session, row)
    entry = next((each for each in entries_of(log) if each.dataset_sha256 == row.dataset_sha256), None)
    if entry is None:
        raise IntegrityError(f"{_name(row)}: promotion log row {log.id} did not decide it. {REMEDY}")
    if found := difference(row, entry):
        raise IntegrityError(f"{_name(row)}: {found} (promotion log row {log.id}). {REMEDY}")
    return entry


def _decided_by_an_older_version(session: Session, row: AlphaSpending) -> Entry:
    """The same where decisions did not hold their entries yet: what was carried and spent is summed up from
    the rows before, each as its decision says.
    """
    family = {"model": row.model, "dataset_sha256": row.dataset_sha256}
    left = Left()
    for each in session.exec(_UNTIL, params={**family, "number": row.number}).all():
        log = _log_of(session, each)
        same = {"model": each.model, "comparison_sha256": each.comparison_sha256}
        numbers = session.exec(_NUMBERS, params=same).all()
        if found := older_difference(each, log.decision, log.run_id, numbers):
            raise IntegrityError(f"{_name(each)}: {found} (promotion log row {log.id}). {REMEDY}")
        entry = entry_of(each, left)
        left = left_by(entry)
    return entry


def _log_of(session: Session, row: AlphaSpending) -> PromotionLog:
    """The row of the promotion log that decided a row of the ledger, its hash computed again."""
    log = session.get(PromotionLog, row.log_id) if row.log_id is not None else None
    if log is None or log.model != row.model:
        raise IntegrityError(f"{_name(row)}: no row of the promotion log decided it. {REMEDY}")
    if log_hash(log) != log.hash:
        raise IntegrityError(f"promotion log row {log.id}: was changed after it was written. {REMEDY}")
    return log


def spend(session: Session, model: str, entry: Entry, log_id: int) -> None:
    """Write down a comparison that was decided for the first time.

    Args:
        session: of the transaction.
        model: the registered model.
        entry: how it was decided.
        log_id: the row of the promotion log that holds the entry.
    """
    repeated = {name: getattr(entry, name) for name in REPEATED}
    row = {"model": model, "dataset_sha256": entry.dataset_sha256, **repeated}
    session.add(AlphaSpending(**row, log_id=log_id, created_at=now()))
    session.flush()


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
    left = Left()
    for row in rows:
        left = left.after(row.level, row.significant)
    return left.spent, left.carried


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
