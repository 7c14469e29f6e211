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
from typing import Any, Protocol, TypeVar

from sqlalchemy import bindparam, func
from sqlmodel import Session, col, select

from core.errors import IntegrityError
from core.files import sha256_json
from registry.alpha_check import Decision, decisions
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
from registry.audit import KEYS, is_recorded, key_of, newest_sha256, row_by_id
from registry.columns import now
from registry.database import Database
from registry.log import log_hash
from registry.models import require_model
from registry.stored import any_text
from registry.tables import AlphaSpending, Dataset, PromotionLog, Run

Recorded = TypeVar("Recorded", AlphaSpending, PromotionLog)

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
_KNOWN = select(AlphaSpending.id).where(
    *_FAMILY, AlphaSpending.comparison_sha256 == bindparam("comparison_sha256")
)
_UNTIL = select(AlphaSpending.id).where(*_FAMILY, AlphaSpending.number <= bindparam("number"))
_NEWEST_FIRST = select(AlphaSpending.id).where(*_FAMILY).order_by(col(AlphaSpending.number).desc())
_COUNT = select(func.count()).select_from(AlphaSpending).where(*_FAMILY)
_NUMBERS = select(AlphaSpending.number).where(
    AlphaSpending.model == bindparam("model"),
    AlphaSpending.comparison_sha256 == bindparam("comparison_sha256"),
)
_COMPARED = select(AlphaSpending.comparison_sha256).where(AlphaSpending.model == bindparam("model"))


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
    connection = session.connection()
    newest = connection.execute(_NEWEST_FIRST.limit(1), family).scalar()
    last = _recorded(session, AlphaSpending, newest) if newest is not None else None
    _require_whole(session, family, last)
    known = connection.execute(_KNOWN, {**family, "comparison_sha256": comparison}).scalar()
    if known is not None:
        entry = decided(session, _recorded(session, AlphaSpending, known))
        return Turn(model, dataset_sha256, comparison, entry.number, entry.carried, entry.spent, entry)
    left = left_by(decided(session, last)) if last is not None else Left()
    return Turn(model, dataset_sha256, comparison, left.number + 1, left.carried, left.spent)


def _require_whole(session: Session, family: Mapping[str, str], last: AlphaSpending | None) -> None:
    """Raise IntegrityError where rows of a family are missing: one of its numbers, or what comes after the
    last one by the audit log or the promotion log.
    """
    number, connection = last.number if last else 0, session.connection()
    if (count := connection.execute(_COUNT, dict(family)).scalar()) != number:
        raise IntegrityError(f"{family_name(**family)}: has {count} rows up to comparison {number}. {REMEDY}")
    following = KEYS["alpha_spending"].format_map({**family, "number": number + 1})
    if newest_sha256(connection, "alpha_spending", following) is not None:
        raise IntegrityError(f"{row_name(**family, number=number + 1)}: is missing. {REMEDY}")
    older: dict[str, int] = {}
    for decision in decisions(connection, family["model"], after=(last.log_id or 0) if last else 0):
        if not isinstance(decision, Decision):
            raise IntegrityError(f"{decision[0]}: {decision[1]}. {REMEDY}")
        if LEDGER not in decision.document:
            older.setdefault(decision.document["comparison_sha256"], decision.log_id)
        for entry in decision.entries:
            if entry.dataset_sha256 == family["dataset_sha256"] and entry.number > number:
                place = row_name(**family, number=entry.number)
                raise IntegrityError(f"{place}: is missing, and {decision.where} decided it. {REMEDY}")
    if older:
        compared = set(connection.execute(_COMPARED, dict(family)).scalars())
        for comparison, log_id in older.items():
            if comparison not in compared:
                raise IntegrityError(
                    f"promotion log row {log_id}: decided what the ledger of alpha does not have. {REMEDY}"
                )


def _recorded(session: Session, table: type[Recorded], row_id: int) -> Recorded:
    """A row of the ledger or of the promotion log, as it is by the audit log.

    Raises:
        IntegrityError: it is not there, or was changed.
    """
    name, connection = str(table.__tablename__), session.connection()
    with any_text(connection):
        row = row_by_id(connection, name, row_id)
        key = "" if row is None else key_of(name, row)
        if row is None or not is_recorded(connection, name, key, row):
            what = f"{name.replace('_', ' ')} row {row_id}"
            if row is not None and name == "alpha_spending":
                what = f"alpha spending of {key}"
            raise IntegrityError(
                f"{what}: {'is missing' if row is None else 'was changed after it was written'}. {REMEDY}"
            )
    return session.get_one(table, row_id)


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
    left, connection = Left(), session.connection()
    family = {"model": row.model, "dataset_sha256": row.dataset_sha256, "number": row.number}
    for row_id in connection.execute(_UNTIL.order_by(col(AlphaSpending.number)), family).scalars().all():
        each = _recorded(session, AlphaSpending, row_id)
        log = _log_of(session, each)
        same = {"model": each.model, "comparison_sha256": each.comparison_sha256}
        numbers = connection.execute(_NUMBERS, same).scalars().all()
        if found := older_difference(each, log.decision, log.run_id, numbers):
            raise IntegrityError(f"{_name(each)}: {found} (promotion log row {log.id}). {REMEDY}")
        entry = entry_of(each, left)
        left = left_by(entry)
    return entry


def _log_of(session: Session, row: AlphaSpending) -> PromotionLog:
    """The row of the promotion log that decided a row of the ledger, its hash computed again."""
    if row.log_id is None:
        raise IntegrityError(f"{_name(row)}: no row of the promotion log decided it. {REMEDY}")
    log = _recorded(session, PromotionLog, row.log_id)
    if log.model != row.model:
        raise IntegrityError(f"{_name(row)}: promotion log row {log.id} did not decide it. {REMEDY}")
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
