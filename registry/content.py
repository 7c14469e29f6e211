"""The content of finished runs and of versions, hashed again from what the database holds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, TextClause, text
from sqlmodel import Session

from core.errors import IntegrityError
from core.files import sha256_bytes
from registry.audit import newest_sha256
from registry.runs import NOT_CONTENT, NOT_OLDER_CONTENT
from registry.stored import any_text, stored_sha256, stored_table
from registry.tables import Run

AT_ONCE = 1000
"""Predictions that are in memory at a time."""

NOT_VERSION_CONTENT = {"id", "content_sha256"}


def check_content(session: Session, run: Run) -> None:
    """Hash a finished run again: its row, its metrics and its predictions.

    Raises:
        IntegrityError: something of it was changed since it finished; names the run.
    """
    connection = session.connection()
    with any_text(connection):
        row = connection.execute(_by_run_id(connection.dialect.name), {"run_id": run.run_id}).first()
        if row is None:
            raise IntegrityError(f"run {run.run_id}: was removed. See: hallmark verify")
        changed = run_sha256(connection, row) != row[_column(connection, "content_sha256")]
        if changed or stored_sha256(row) != newest_sha256(connection, "run", run.run_id):
            raise IntegrityError(
                f"run {run.run_id}: its row, its metrics or its predictions were changed after it finished. "
                "Nothing is decided on it; restore the registry from a backup. See: hallmark verify"
            )


def run_sha256(connection: Connection, row: Sequence[Any]) -> str:
    """The hash over a finished run as it is stored: see `registry.runs.content_sha256`.

    Args:
        connection: reads the run's metrics and predictions.
        row: of table run, as `registry.stored` reads it.
    """
    dialect = connection.dialect.name
    run = stored_table("run", dialect)
    older = row[run.names.index("files")] is None
    digest = hashlib.sha256(b"[")
    digest.update(_bytes(run.canonical(row, NOT_OLDER_CONTENT if older else NOT_CONTENT)))
    of_run = {"run_id": row[run.names.index("run_id")]}
    for table, order in (("metric", "id"), ("prediction", "position")):
        how, statement = stored_table(table, dialect), _of_run(table, order, dialect)
        found = connection.execute(statement, of_run, execution_options={"yield_per": AT_ONCE})
        digest.update(b",[")
        for number, part in enumerate(found):
            digest.update((b"," if number else b"") + _bytes(how.canonical(part, {"id"})))
        digest.update(b"]")
    digest.update(b"]")
    return digest.hexdigest()


def version_sha256(row: Sequence[Any], run_content: str, dialect: str) -> str:
    """The hash over a version as it is stored and its run's content: see `registry.models.version_sha256`."""
    version = stored_table("model_version", dialect).canonical(row, NOT_VERSION_CONTENT)
    return sha256_bytes(_bytes(f'[{version},"{run_content}"]'))


def _bytes(canonical: str) -> bytes:
    return canonical.encode(errors="surrogateescape")


def _column(connection: Connection, name: str) -> int:
    return stored_table("run", connection.dialect.name).names.index(name)


@cache
def _by_run_id(dialect: str) -> TextClause:
    return text(f"{stored_table('run', dialect).select} WHERE run_id = :run_id")


@cache
def _of_run(table: str, order: str, dialect: str) -> TextClause:
    return text(f'{stored_table(table, dialect).select} WHERE run_id = :run_id ORDER BY "{order}"')
