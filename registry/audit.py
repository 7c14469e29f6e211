"""The audit log: every write of a row, in order, each entry hashing the one before.

The newest entry of a row says what the row must be now, so an edit of any column shows, and so does a row
that was added or removed behind our back. The log is written by the transaction that writes the rows. Its
end, the `Head`, can be kept outside: then cutting the log, or writing it again with new hashes, shows too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, MetaData, Table, bindparam, event, insert, inspect, text
from sqlalchemy import Row as StoredRow
from sqlmodel import Session, col, select

from core.errors import InputError, IntegrityError
from core.files import sha256_json
from registry.columns import FIRST_HASH, now
from registry.stored import any_text, read, stored, stored_sha256
from registry.tables import AuditLog

KEYS = {
    "dataset": "{key}-{version}",
    "run": "{run_id}",
    "comparison": "{id}",
    "registered_model": "{name}",
    "model_version": "{model} v{number}",
    "promotion_log": "{id}",
    "alias": "{model}@{name}",
    "alpha_spending": "{model}, dataset {dataset_sha256}, comparison {number}",
    "attestation": "{model} v{number}",
    "review": "{id}",
}
"""Tables whose rows have entries, and what a row's key is made of."""

CONTENT = "content"
"""What the entry of a finished run's content has as its table. It is written once, when the run finishes, so
that no later entry of the run can stand for an edit.
"""

REWRITTEN = ("run", "alias")
"""Tables whose rows change: a row of any other has one entry."""

_HEAD = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})", re.ASCII)
_APPEND = insert(AuditLog.__table__)  # type: ignore[attr-defined]
_LAST = select(AuditLog.id, AuditLog.hash).order_by(col(AuditLog.id).desc()).limit(1)
_OF_ROW = select(AuditLog.row_sha256).where(
    AuditLog.table_name == bindparam("table"), AuditLog.row_key == bindparam("key")
)
_FIRST = _OF_ROW.order_by(col(AuditLog.id)).limit(1)
_NEWEST = _OF_ROW.order_by(col(AuditLog.id).desc()).limit(1)


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the audit log.

    Attributes:
        rows: how many entries it has.
        sha256: hash of the last one, which covers all before it.
    """

    rows: int
    sha256: str

    def __str__(self) -> str:
        return f"{self.rows}:{self.sha256}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """The head that was printed as this text.

        Raises:
            InputError: not of that form.

        Example:
            >>> Head.parse("0:" + 64 * "0").rows
            0
        """
        match = _HEAD.fullmatch(text.strip())
        if match is None:
            raise InputError(
                f"head {text[:100]!r}: expected N:HASH, as hallmark verify prints it after 'head': "
                "the number of entries and 64 hexadecimal digits"
            )
        return cls(int(match[1]), match[2])


class Entry(NamedTuple):
    """What an entry says: a row of a table has this hash from now on; None: it is gone."""

    table: str
    key: str
    sha256: str | None


def head(connection: Connection) -> Head:
    """See `registry.registry.Registry.head`."""
    last = connection.execute(_LAST).first()
    return Head(*last) if last else Head(0, FIRST_HASH)


@contextmanager
def audited(session: Session) -> Iterator[None]:
    """Append an entry for each row that the block adds to, changes in or deletes from the session.

    Only inside a writing transaction, where nobody else appends. Rows that are written past the session, by
    statements of SQLAlchemy's core, get none: `verify` says so.

    Raises:
        IntegrityError: a row that is changed, deleted or added is not what its newest entry says. Else our
            own entry would make somebody else's edit look like one of ours.
    """
    written: dict[tuple[str, int], str] = {}

    @event.listens_for(session, "before_flush")
    def check(flushed: Session, _context: object, _instances: object) -> None:
        connection = flushed.connection()
        changed = (row for row in flushed.dirty if flushed.is_modified(row))
        for row in (*flushed.new, *changed, *flushed.deleted):
            table = row.__table__.name
            if (row.id is None and "{id}" in KEYS[table]) or (table, row.id) in written:
                continue
            key = KEYS[table].format_map(row.__dict__)
            check_recorded(connection, table, key, None if row in flushed.new else row.id)

    @event.listens_for(session, "after_flush")
    def note(flushed: Session, _context: object) -> None:
        changed = (row for row in flushed.dirty if flushed.is_modified(row))
        for row in (*flushed.new, *changed, *flushed.deleted):
            table = row.__table__.name
            written[table, row.id] = KEYS[table].format_map(row.__dict__)

    yield
    session.flush()
    if written:
        connection = session.connection()
        # A version comes first: its entry then says where the log ended before its promotion.
        order = sorted(written.items(), key=lambda item: (item[0][0] != "model_version", item))
        append(connection, [entry for row, key in order for entry in _entries(connection, *row, key)])


def check_recorded(connection: Connection, table: str, key: str, row_id: int | None) -> None:
    """Compare a row with its newest entry.

    Args:
        connection: in a transaction.
        table: of the row.
        key: of the row, see `KEYS`.
        row_id: its id; None for one that must not be there.

    Raises:
        IntegrityError: they differ.
    """
    with any_text(connection):
        found = (
            None if row_id is None else next(read(connection, table, rest="WHERE id = :id", id=row_id), None)
        )
    if (None if found is None else stored_sha256(found)) != newest_sha256(connection, table, key):
        raise IntegrityError(
            f"{table.replace('_', ' ')} {key}: was changed since it was recorded. Restore the registry from "
            "a backup; hallmark verify names everything that was changed."
        )


def append(connection: Connection, entries: Iterable[Entry]) -> None:
    """Write entries at the end of the log. Only inside a writing transaction, where nobody else appends."""
    rows, previous = [], head(connection)
    for number, (table, key, sha256) in enumerate(entries, previous.rows + 1):
        row = {
            "id": number,
            "table_name": table,
            "row_key": key,
            "row_sha256": sha256,
            "created_at": now(),
            "previous_hash": previous.sha256,
        }
        previous = Head(number, entry_hash(row))
        rows.append({**row, "hash": previous.sha256})
    if rows:
        connection.execute(_APPEND, rows)


def entry_hash(row: Mapping[str, Any]) -> str:
    """The hash over all other columns of an entry, the hash of the entry before it included."""
    return sha256_json({name: value for name, value in row.items() if name != "hash"})


def adopt(connection: Connection) -> None:
    """Append an entry for each row that has none with its hash: what is there now is what is recorded.

    For rows that were written before there was an audit log, or past it in bulk.
    """
    newest = {
        (table, key): sha256
        for table, key, sha256 in connection.execute(
            text("SELECT table_name, row_key, row_sha256 FROM audit_log ORDER BY id")
        )
    }
    there = set(inspect(connection).get_table_names())
    for name in KEYS:
        if name not in there:  # a later revision makes it
            continue
        # as the database has it at this revision, which a later one may change
        table = Table(name, MetaData(), autoload_with=connection, resolve_fks=False)
        how = stored(table, connection.dialect.name)
        entries = []
        with any_text(connection):
            for row in connection.execute(how.select()):
                key, sha256 = key_of(name, row), stored_sha256(row)
                if newest.get((name, key)) != sha256:
                    entries.append(Entry(name, key, sha256))
                if name == "run" and row.status == "finished" and (CONTENT, key) not in newest:
                    entries.append(Entry(CONTENT, key, row.content_sha256))
        append(connection, entries)


def newest_sha256(connection: Connection, table: str, key: str) -> str | None:
    """The hash that a row must have by its newest entry; None where it has none, or was removed. What is
    written once has one entry: if somebody appended another one, the first is meant.
    """
    asked = _NEWEST if table in REWRITTEN else _FIRST
    return connection.execute(asked, {"table": table, "key": key}).scalar()


def is_recorded(connection: Connection, table: str, key: str, row: StoredRow[Any] | None) -> bool:
    """Whether a stored row is what `newest_sha256` says; None is a row that is not there."""
    return (None if row is None else stored_sha256(row)) == newest_sha256(connection, table, key)


def row_by_id(connection: Connection, table: str, row_id: int) -> StoredRow[Any] | None:
    """A row as it is stored; None where there is none."""
    return next(read(connection, table, rest="WHERE id = :id", id=row_id), None)


def key_of(table: str, row: StoredRow[Any]) -> str:
    """The key of a stored row, as text that can be printed and written whatever the row holds."""
    return KEYS[table].format_map(row._mapping).encode(errors="backslashreplace").decode()


def _entries(connection: Connection, table: str, row_id: int, key: str) -> Iterator[Entry]:
    row = row_by_id(connection, table, row_id)
    yield Entry(table, key, None if row is None else stored_sha256(row))
    if row is not None and table == "run" and row.status == "finished":
        yield Entry(CONTENT, key, row.content_sha256)
