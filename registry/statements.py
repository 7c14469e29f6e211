"""The statements of versions: recorded later for those that have none, and the place in the audit log that
each of them names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam
from sqlmodel import col, select

from core.files import sha256_json
from registry.audit import Head
from registry.columns import frozen_json
from registry.database import Database
from registry.tables import Attestation, AuditLog, ModelVersion

AT_ONCE = 50
"""Entries that are fetched at a time."""

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
