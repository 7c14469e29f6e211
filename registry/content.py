"""The content of finished runs and of versions, hashed again from what the database holds."""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import Connection
from sqlalchemy import Row as StoredRow
from sqlmodel import Session

from core.errors import IntegrityError
from core.files import canonical_json, sha256_bytes
from registry.audit import CONTENT, is_recorded, newest_sha256
from registry.runs import NOT_CONTENT, NOT_OLDER_CONTENT, NOT_WHERE_NULL
from registry.stored import any_text, read, stored_table
from registry.tables import Run

NOT_VERSION_CONTENT = {"id", "content_sha256"}


def check_content(session: Session, run: Run) -> None:
    """Hash a finished run again: its row, its metrics and its predictions.

    Raises:
        IntegrityError: something of it was changed since it finished; names the run.
    """
    connection = session.connection()
    with any_text(connection):
        row = next(read(connection, "run", rest="WHERE run_id = :run_id", run_id=run.run_id), None)
        if (
            row is None
            or not is_recorded(connection, "run", run.run_id, row)
            or row.content_sha256 != newest_sha256(connection, CONTENT, run.run_id)
            or run_sha256(connection, row) != row.content_sha256
        ):
            raise IntegrityError(
                f"run {run.run_id}: its row, its metrics or its predictions were changed after it finished. "
                "Nothing is decided on it. Restore the registry from a backup; hallmark verify names "
                "everything that was changed."
            )


def run_sha256(connection: Connection, row: StoredRow[Any]) -> str:
    """The hash over a finished run as it is stored; `registry.runs.ContentHash` is the same from Python.
    Runs from before their files were recorded have fewer columns in it.

    Args:
        connection: reads the run's metrics and predictions.
        row: the whole row of the run, as `registry.stored` reads it.
    """
    dialect = connection.dialect.name
    older = row.files is None
    excluded, unnamed = (NOT_OLDER_CONTENT, {"id"}) if older else (NOT_CONTENT, set[str]())
    digest = hashlib.sha256(b"[" + stored_table("run", dialect).canonical_bytes(row, excluded))
    for table, order in (("metric", "id"), ("prediction", "position")):
        how = stored_table(table, dialect)
        of_run = f'WHERE run_id = (SELECT run_id FROM run WHERE run.id = :id) ORDER BY "{order}"'  # noqa: S608
        digest.update(b",[")
        for number, part in enumerate(read(connection, table, rest=of_run, id=row.id)):
            digest.update((b"," if number else b"") + how.canonical_bytes(part, unnamed, NOT_WHERE_NULL))
        digest.update(b"]")
    digest.update(b"]")
    return digest.hexdigest()


def version_sha256(row: StoredRow[Any], run_content: str | None, dialect: str) -> str:
    """The hash over a version as it is stored and its run's content; `registry.models.version_sha256` is the
    same from Python.
    """
    version = stored_table("model_version", dialect).canonical_bytes(row, NOT_VERSION_CONTENT)
    return sha256_bytes(b"[%b,%b]" % (version, canonical_json(run_content).encode()))
