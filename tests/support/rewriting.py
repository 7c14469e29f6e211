"""A registry that was edited by somebody who knows Hallmark: every hash is computed again, nothing shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection
from sqlmodel import col, select

from core.files import canonical_json, sha256_json
from provenance.attestation import derived, tree_files
from registry import Registry
from registry.audit import CONTENT, KEYS, entry_hash, key_of
from registry.columns import FIRST_HASH
from registry.content import run_sha256, version_sha256
from registry.log import log_hash
from registry.stored import read, stored_sha256
from registry.tables import PromotionLog
from tests.support.registry_entries import edit


def rewrite(registry: Registry) -> None:
    """Make all hashes of an SQLite registry fit its rows, statements and the audit log included."""
    with reading(registry) as connection:
        runs = {
            row.run_id: run_sha256(connection, row)
            for row in read(connection, "run", rest="WHERE status = 'finished' ORDER BY id")
        }
    edit(registry, *(f"UPDATE run SET content_sha256 = '{runs[run]}' WHERE run_id = '{run}'" for run in runs))
    with reading(registry) as connection:
        versions = {
            row.id: (row.model, row.number, version_sha256(row, runs[row.run_id], "sqlite"))
            for row in read(connection, "model_version")
        }
    for id_, (model, number, sha256) in versions.items():
        edit(
            registry,
            f"UPDATE model_version SET content_sha256 = '{sha256}' WHERE id = {id_}",
            f"UPDATE promotion_log SET version_sha256 = '{sha256}' "
            f"WHERE model = '{model}' AND to_version = {number}",
        )
    _rewrite_promotion_log(registry)
    for model, number, _ in versions.values():
        _rewrite_audit_log(registry)
        version = registry.models.get(f"{model}@v{number}")
        document = derived(registry.statement_basis(version), tree_files(registry, version))
        text = canonical_json(document).replace("'", "''")
        edit(
            registry,
            f"UPDATE attestation SET document = '{text}', sha256 = '{sha256_json(document)}' "
            f"WHERE model = '{model}' AND number = {number}",
        )
    _rewrite_audit_log(registry)


@contextmanager
def reading(registry: Registry) -> Iterator[Connection]:
    with registry.database.reading() as session:
        yield session.connection()


def _rewrite_promotion_log(registry: Registry) -> None:
    previous, changes = FIRST_HASH, []
    with registry.database.reading() as session:
        for row in session.exec(select(PromotionLog).order_by(col(PromotionLog.id))).all():
            row.previous_hash = previous
            previous = log_hash(row)
            changes.append(_hashes("promotion_log", row.id, row.previous_hash, previous))
        session.expunge_all()
    edit(registry, *changes)


def _rewrite_audit_log(registry: Registry) -> None:
    previous, changes, newest = FIRST_HASH, [], {}
    with reading(registry) as connection:
        now = {
            (table, key_of(table, row)): stored_sha256(row)
            for table in KEYS
            for row in read(connection, table)
        }
        finished = read(connection, "run", "run_id", "content_sha256", rest="WHERE status = 'finished'")
        now |= {(CONTENT, run_id): sha256 for run_id, sha256 in finished}
        entries = list(read(connection, "audit_log"))
        newest = {(entry.table_name, entry.row_key): entry.id for entry in entries}
        for entry in entries:
            key = (entry.table_name, entry.row_key)
            row = {**entry._mapping, "previous_hash": previous}
            if newest[key] == entry.id:
                row["row_sha256"] = now.get(key)
            previous = entry_hash(row)
            shown = "NULL" if row["row_sha256"] is None else f"'{row['row_sha256']}'"
            changes.append(_hashes("audit_log", entry.id, row["previous_hash"], previous))
            changes.append(f"UPDATE audit_log SET row_sha256 = {shown} WHERE id = {entry.id}")
    edit(registry, *changes)


def _hashes(table: str, id_: int, previous: str, own: str) -> str:
    return f"UPDATE {table} SET previous_hash = '{previous}', hash = '{own}' WHERE id = {id_}"
