"""The statements of versions: what each is made from, and those that are recorded later."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy import Row as StoredRow
from sqlmodel import Session, col, select

from core.files import sha256_json
from registry.alpha_entries import LEDGER
from registry.audit import Head, check_recorded
from registry.columns import frozen_json
from registry.content import check_content
from registry.database import Database
from registry.stored import any_text, read
from registry.tables import Attestation, AuditLog, ModelVersion, PromotionLog, Run

_BY_THE_GATE = col(PromotionLog.action).in_(("promoted", "forced"))
OF_RUN = (
    "run_id",
    "kind",
    "base_model",
    "judge_fingerprint",
    "model_sha256",
    "parent_model_sha256",
    "predictions_sha256",
    "started_at",
    "finished_at",
)
"""What a statement says of a run; its documents are not read."""

_ENTRIES = select(AuditLog.id, AuditLog.row_key, AuditLog.previous_hash).where(
    AuditLog.table_name == "model_version"
)


def heads_before(connection: Connection, key: str | None = None) -> dict[str, Head]:
    """The end of the audit log before the transaction that made a version: its entry is the first of those.

    Args:
        connection: in a transaction.
        key: of a version, as NAME vN; None for all.

    Returns:
        By such keys; a version without an entry has none.
    """
    found: dict[str, Head] = {}
    asked = _ENTRIES if key is None else _ENTRIES.where(AuditLog.row_key == key)
    with any_text(connection):
        for number, of_version, previous in connection.execute(asked.order_by(col(AuditLog.id))):
            found.setdefault(of_version, Head(number - 1, previous))
    return found


@dataclass(frozen=True, slots=True)
class Basis:
    """What the statement of a version is made from, and the one that is recorded.

    Attributes:
        version: its row.
        run: the run that made and judged it, with the columns `OF_RUN`.
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
    """What the statement of a version is made from.

    Raises:
        IntegrityError: one of these rows was changed since it was recorded.
    """
    connection = session.connection()
    found = select(PromotionLog.id).where(
        _BY_THE_GATE, PromotionLog.model == version.model, PromotionLog.to_version == version.number
    )
    log_id = connection.execute(found.order_by(col(PromotionLog.id)).limit(1)).scalar()
    check_recorded(connection, "model_version", _key(version), version.id)
    check_content(session, session.exec(select(Run).where(Run.run_id == version.run_id)).one())
    if log_id is not None:
        check_recorded(connection, "promotion_log", str(log_id), log_id)
    of_version = (Attestation.model == version.model, Attestation.number == version.number)
    recorded = connection.execute(select(Attestation.id).where(*of_version)).scalar()
    if recorded is None:  # one that is there is compared with what is made from the rows
        check_recorded(connection, "attestation", _key(version), None)
    return _basis(connection, version, log_id, heads_before(connection, _key(version)).get(_key(version)))


def every_basis(database: Database) -> Iterator[tuple[str, Basis | str]]:
    """Each version as NAME vN, oldest first, and what its statement is made from; or, where one of its rows
    cannot be read, why.
    """
    with database.reading() as session:
        connection = session.connection()
        heads = heads_before(connection)
        logs: dict[tuple[str, int], int] = {}
        decided = select(PromotionLog.id, PromotionLog.model, PromotionLog.to_version).where(_BY_THE_GATE)
        for log_id, model, number in connection.execute(decided.order_by(col(PromotionLog.id))):
            logs.setdefault((model, number), log_id)
        with any_text(connection):
            for row in read(connection, "model_version"):
                name = f"{row.model} v{row.number}"
                log_id = logs.get((row.model, row.number))
                yield name, _read_basis(connection, row, log_id, heads.get(name))


def _read_basis(
    connection: Connection, row: StoredRow[Any], log_id: int | None, head: Head | None
) -> Basis | str:
    try:
        return _basis(connection, _made(ModelVersion, row, "metrics", "manifest"), log_id, head)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        return f"its rows cannot be read: {' '.join(str(error).split())}"


def _basis(connection: Connection, version: ModelVersion, log_id: int | None, head: Head | None) -> Basis:
    decision = {} if log_id is None else _document(connection, "promotion_log", "decision", id=log_id)
    run = next(read(connection, "run", *OF_RUN, rest="WHERE run_id = :run_id", run_id=version.run_id), None)
    if run is None:
        raise ValueError(f"run {version.run_id} is missing")
    of_version = {"model": version.model, "number": version.number}
    # Decisions hold their entries of the ledger of alpha for as long as statements name the audit log.
    named = head if decision and LEDGER in decision else None
    document = _document(connection, "attestation", "document", **of_version)
    return Basis(version, _made(Run, run), decision or {}, named, document)


def _document(connection: Connection, table: str, column: str, **where: Any) -> dict[str, Any] | None:
    """The JSON object in a row; None where there is no such row."""
    rest = "WHERE " + " AND ".join(f"{name} = :{name}" for name in where)
    row = next(read(connection, table, column, rest=rest, **where), None)
    if row is None:
        return None
    document = json.loads(row[0])
    if not isinstance(document, dict):
        raise ValueError(f"{table} holds {column} that is no object")
    return document


Made = TypeVar("Made", ModelVersion, Run)


def _made(table: type[Made], row: StoredRow[Any], *documents: str) -> Made:
    """A row of ours from a stored one."""
    return table(
        **{name: json.loads(value) if name in documents else value for name, value in row._mapping.items()}
    )


def record_statement(database: Database, version: ModelVersion, document: dict[str, Any]) -> None:
    """Keep the statement of a version, unless another process was faster: then that one stays."""
    document = frozen_json(document, f"statement of {_key(version)}")
    row = Attestation(
        model=version.model, number=version.number, document=document, sha256=sha256_json(document)
    )
    known = select(Attestation.id).where(
        Attestation.model == version.model, Attestation.number == version.number
    )
    with database.writing() as session:
        if session.exec(known).first() is None:
            session.add(row)


def _key(version: ModelVersion) -> str:
    return f"{version.model} v{version.number}"
