"""The statements of versions: what each is made from, and those that are recorded later."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam
from sqlalchemy.exc import NoResultFound
from sqlmodel import Session, col, select

from core.errors import IntegrityError
from core.files import sha256_json
from registry.alpha_entries import LEDGER
from registry.audit import Head
from registry.columns import frozen_json
from registry.database import Database
from registry.tables import Attestation, AuditLog, ModelVersion, PromotionLog, Run

AT_ONCE = 50
"""Entries that are fetched at a time."""

_BY_THE_GATE = col(PromotionLog.action).in_(("promoted", "forced"))
_DECIDED = select(PromotionLog.id).where(_BY_THE_GATE)
_ENTRIES = select(AuditLog.id, AuditLog.table_name, AuditLog.row_key, AuditLog.previous_hash)
_OF_VERSION = select(AuditLog.id).where(
    AuditLog.table_name == "model_version", AuditLog.row_key == bindparam("key")
)
_BACKWARDS = _ENTRIES.where(col(AuditLog.id) <= bindparam("id")).order_by(col(AuditLog.id).desc())


class _Entry(NamedTuple):
    id: int
    table: str
    key: str
    previous: str


def head_before(connection: Connection, version: ModelVersion) -> Head | None:
    """The end of the audit log when the transaction began that made a version; None where the version has no
    entry.
    """
    found = connection.execute(_OF_VERSION.order_by(col(AuditLog.id)), {"key": _key(version)}).scalar()
    if found is None:
        return None
    backwards = connection.execute(_BACKWARDS, {"id": found}, execution_options={"yield_per": AT_ONCE})
    return _began(_Entry(*row) for row in backwards)


def heads_before(connection: Connection) -> dict[tuple[str, int], Head]:
    """The same for all versions, by model and number."""
    found: dict[tuple[str, int], Head] = {}
    recent: list[_Entry] = []
    entries = _ENTRIES.order_by(col(AuditLog.id)).execution_options(yield_per=1000)
    for entry in (_Entry(*row) for row in connection.execute(entries)):
        if entry.table == "model_version":
            model, _, number = entry.key.rpartition(" v")
            found.setdefault((model, int(number)), _began([entry, *reversed(recent)]))
        if entry.table in BEFORE:
            recent.append(entry)
        else:
            recent = []
    return found


# The entries of a transaction are ordered by their tables' names. These are the ones that a promotion writes
# before that of its version, and no other transaction ends with any of its model's.
BEFORE = ("alias", "alpha_spending", "attestation")


def _began(backwards: Iterable[_Entry]) -> Head:
    """The head before the first entry of a transaction, from the version's entry backwards."""
    entries: Iterator[_Entry] = iter(backwards)
    first = version = next(entries)
    model = version.key.rpartition(" v")[0]
    for entry in entries:
        of_model = {"alias": f"{model}@", "alpha_spending": f"{model}, "}.get(entry.table)
        its_own = entry.table == "attestation" and entry.key == version.key
        if not its_own and (of_model is None or not entry.key.startswith(of_model)):
            break
        first = entry
    return Head(first.id - 1, first.previous)


@dataclass(frozen=True, slots=True)
class Basis:
    """What the statement of a version is made from, and the one that is recorded.

    Attributes:
        version: its row.
        run: the run that made and judged it.
        decision: by which it came to be, from the promotion log; empty where the log does not say.
        head: the end of the audit log when that promotion began; None where that was not recorded.
        document: the recorded statement, or a signed envelope of it; None where there is none.
    """

    version: ModelVersion
    run: Run
    decision: dict[str, Any]
    head: Head | None
    document: dict[str, Any] | None


def basis(session: Session, version: ModelVersion) -> Basis:
    """What the statement of a version is made from."""
    found = _DECIDED.where(PromotionLog.model == version.model, PromotionLog.to_version == version.number)
    log_id = session.connection().execute(found.order_by(col(PromotionLog.id)).limit(1)).scalar()
    return _basis(session, version, log_id, head_before(session.connection(), version))


def every_basis(database: Database) -> Iterator[tuple[str, Basis | str]]:
    """Each version as NAME vN, oldest first, and what its statement is made from; or, where one of its rows
    cannot be read, why.
    """
    with database.reading() as session:
        connection = session.connection()
        rows = select(ModelVersion.id, ModelVersion.model, ModelVersion.number)
        versions = connection.execute(rows.order_by(col(ModelVersion.id))).all()
        heads = heads_before(connection)
        logs: dict[tuple[str, int], int] = {}
        decided = select(PromotionLog.id, PromotionLog.model, PromotionLog.to_version).where(_BY_THE_GATE)
        for log_id, model, number in connection.execute(decided.order_by(col(PromotionLog.id))):
            logs.setdefault((model, number), log_id)
    for version_id, *name in versions:
        key = (name[0], name[1])
        try:
            with database.reading() as session:
                version = session.get_one(ModelVersion, version_id)
                yield f"{key[0]} v{key[1]}", _basis(session, version, logs.get(key), heads.get(key))
        except (ValueError, TypeError, NoResultFound, IntegrityError) as error:
            yield f"{key[0]} v{key[1]}", f"its rows cannot be read: {' '.join(str(error).split())}"


def _basis(session: Session, version: ModelVersion, log_id: int | None, head: Head | None) -> Basis:
    decision = None if log_id is None else session.get_one(PromotionLog, log_id).decision
    run = session.exec(select(Run).where(Run.run_id == version.run_id)).one()
    stored = select(Attestation.document).where(
        Attestation.model == version.model, Attestation.number == version.number
    )
    document = session.exec(stored).first()
    # Decisions hold their entries of the ledger of alpha for as long as statements name the audit log.
    named = head if decision and LEDGER in decision else None
    return Basis(version, run, decision or {}, named, dict(document) if document else None)


def record_statement(database: Database, version: ModelVersion, document: dict[str, Any]) -> None:
    """Keep the statement of a version that has none."""
    document = frozen_json(document, f"statement of {_key(version)}")
    row = Attestation(
        model=version.model, number=version.number, document=document, sha256=sha256_json(document)
    )
    with database.writing() as session:
        session.add(row)


def _key(version: ModelVersion) -> str:
    return f"{version.model} v{version.number}"
