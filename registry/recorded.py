"""Whether each row is as its newest entry of the audit log says, and whether that log is whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy import Row as StoredRow

from core.progress import quiet_meter
from registry.audit import CONTENT, KEYS, Head, key_of
from registry.columns import FIRST_HASH
from registry.stored import read, stored_sha256, stored_table

Found = tuple[str, str]
"""Where, as in `run 20261124-101500-ab12cd`, and what is wrong there."""
Entries = dict[str, dict[str, str | None]]
"""The newest hash of each row by table and key; None for one that was removed."""

REWRITTEN = ("run", "alias")
"""Tables whose rows change: a row of any other has one entry."""
REMOVED = ("alias",)
"""Tables whose rows are ever removed."""

LABELS = {
    CONTENT: "content of run",
    "registered_model": "model",
    "model_version": "version",
    "promotion_log": "promotion log row",
    "alpha_spending": "alpha spending of",
    "attestation": "attestation of",
}
"""What a row is called, where that is not the name of its table."""


class Chain:
    """Goes through the rows of a log whose rows hash the one before.

    Args:
        table: of the log.
        label: what a row is called.
    """

    def __init__(self, table: str, label: str) -> None:
        self.table, self.label = table, label
        self.previous, self.expected = FIRST_HASH, 1

    def problems(self, connection: Connection, row: StoredRow[Any]) -> Iterator[Found]:
        """What is wrong with the next row; all of its columns were read."""
        where = f"{self.label} {row.id}"
        if row.id != self.expected:
            yield where, f"row {self.expected} before it is missing"
        elif row.previous_hash != self.previous:
            yield where, "does not continue the row before it"
        how = stored_table(self.table, connection.dialect.name)
        if how.canonical_sha256(row, {"hash"}) != row.hash:
            yield where, "was changed after it was written"
        self.previous, self.expected = row.hash, row.id + 1


def audit_log(connection: Connection, head: Head | None, entries: Entries) -> Iterator[Found]:
    """Check the log itself.

    Args:
        connection: in a transaction.
        head: what its end was once.
        entries: the newest of each row are put there at the end; a log that cannot be read leaves it empty.
    """
    newest: Entries = {table: {} for table in (*KEYS, CONTENT)}
    chain, last, there = Chain("audit_log", "log row"), Head(0, FIRST_HASH), head is None
    for row in read(connection, "audit_log"):
        there = there or last == head
        yield from chain.problems(connection, row)
        of_table = newest.setdefault(row.table_name, {})
        if row.table_name not in REWRITTEN and row.row_key in of_table:
            yield f"log row {row.id}", f"is a second entry of {_where(row.table_name, row.row_key)}"
        if row.table_name not in REMOVED and row.row_sha256 is None:
            yield f"log row {row.id}", f"says that {_where(row.table_name, row.row_key)} was removed"
        of_table[row.row_key] = row.row_sha256
        last = Head(row.id, row.hash)
    entries.update(newest)
    if head is None or there or last == head:
        return
    if head.rows > last.rows:
        yield (
            "log",
            f"was cut, or the head is of another one: it has {last.rows} rows, the head names {head.rows}",
        )
    else:
        yield (
            f"log row {head.rows}",
            "was rewritten, or the head is of another log: the head has another hash of it",
        )


def rows(connection: Connection, table: str, entries: Entries) -> Iterator[Found]:
    """Check the rows of a table against their newest entries."""
    how, newest = stored_table(table, connection.dialect.name), entries[table]
    count = connection.execute(text(f'SELECT count(*) FROM "{table}"')).scalar_one()  # noqa: S608  our own name
    meter = quiet_meter(f"verify {table.replace('_', ' ')}", count, "rows")
    for number, row in enumerate(read(connection, table), 1):
        meter.update(number)
        key = key_of(table, row)
        recorded = newest.pop(key, None)
        if recorded is None:
            yield _where(table, key), "was added past the registry: the log does not have it"
        elif recorded != stored_sha256(row):
            yield _where(table, key), "; ".join(["was changed after it was written", *how.damaged(row)])
    for key, sha256 in newest.items():
        if sha256 is not None:
            yield _where(table, key), "was removed"


def contents(connection: Connection, entries: Entries) -> Iterator[Found]:
    """Check that finished runs have the content with which they finished."""
    finished = entries[CONTENT]
    for row in read(connection, "run", "run_id", "content_sha256", rest="WHERE status = 'finished'"):
        if finished.pop(key_of("run", row), None) != row.content_sha256:
            yield f"run {row.run_id}", "has another content than when it finished"
    for run_id in finished:
        yield f"run {run_id}", "was finished, and is not finished any more"


def _where(table: str, key: str) -> str:
    return f"{LABELS.get(table, table)} {key}"
