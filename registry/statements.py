"""The statements of versions: what each is made from, and those that are recorded later."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, bindparam
from sqlalchemy import Row as StoredRow
from sqlmodel import Session, col, select

from core.files import sha256_json
from registry.alpha_entries import LEDGER
from registry.audit import Head
from registry.columns import frozen_json
from registry.database import Database
from registry.stored import any_text, read
from registry.tables import Attestation, AuditLog, ModelVersion, PromotionLog, Run

AT_ONCE = 50
"""Entries that are fetched at a time."""

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
    """What the statement of a version is made from."""
    connection = session.connection()
    found = select(PromotionLog.id).where(
        _BY_THE_GATE, PromotionLog.model == version.model, PromotionLog.to_version == version.number
    )
    log_id = connection.execute(found.order_by(col(PromotionLog.id)).limit(1)).scalar()
    return _basis(connection, version, log_id, head_before(connection, version))


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
                key = (row.model, row.number)
                yield f"{key[0]} v{key[1]}", _read_basis(connection, row, logs.get(key), heads.get(key))


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
