"""Was anything changed since it was recorded?"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, OperationalError

from core.errors import UnreadableError
from registry import consistent, recorded
from registry.alpha_check import ledger_of_alpha
from registry.artifacts.store import Store
from registry.audit import KEYS, Head
from registry.database import Database
from registry.definitions import differences
from registry.recorded import Entries, Found
from registry.stored import any_text

SHOWN = 20
"""Faults of a damaged SQLite file that are named."""

_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that was changed since it was recorded.

    Attributes:
        where: the row or artifact, as in `run 20261124-101500-ab12cd` or `artifact 3f..`.
        what: what is wrong with it.
    """

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def verify(database: Database, store: Store, quick: bool = False, head: Head | None = None) -> list[Problem]:
    """See `registry.registry.Registry.verify`."""
    weights, stored, named = set[str](), set[str](), set[str]()
    with database.reading() as session:
        connection = session.connection()

        def checked(where: str, check: Callable[[], Iterable[Found]]) -> list[Found]:
            return list(_readable(connection, where, check))

        with any_text(connection):
            found = checked("database", lambda: _file(connection))
            found += checked("schema", lambda: differences(database))
            found += _rows(connection, head, checked)
            if not quick:
                weights = consistent.weights(connection)
                stored, named = consistent.dataset_files(connection)
    if not quick:
        found += _artifacts(store, weights, stored, named)
    return [Problem(_printable(where), _printable(what)) for where, what in dict.fromkeys(found)]


Checked = Callable[[str, Callable[[], Iterable[Found]]], list[Found]]


def _readable(connection: Connection, where: str, check: Callable[[], Iterable[Found]]) -> Iterator[Found]:
    """What a check finds; or that it cannot read what it needs, and then the other checks still can."""
    try:
        with connection.begin_nested():
            yield from check()
    except UnicodeDecodeError as error:  # SQLite quotes damaged bytes in what it says
        yield where, f"cannot be read: {error.object.decode(errors='backslashreplace')}"
    except DBAPIError as error:
        lost = isinstance(error, OperationalError) and connection.dialect.name != "sqlite"
        if lost or error.connection_invalidated:
            raise
        yield where, f"cannot be read: {' '.join(str(error.orig).split())}"


def _file(connection: Connection) -> Iterator[Found]:
    """The pages of an SQLite file, and whether its indexes agree with the rows: what is read from an index is
    not read from the row. A PostgreSQL server has checksums of its own.
    """
    if connection.dialect.name == "sqlite":
        for (fault,) in connection.execute(text(f"PRAGMA integrity_check({SHOWN})")):
            if fault != "ok":
                yield "database", " ".join(str(fault).split())


def _rows(connection: Connection, head: Head | None, checked: Checked) -> list[Found]:
    entries: Entries = {}
    found = checked("log", lambda: recorded.audit_log(connection, head, entries))
    for table in KEYS if entries else ():
        found += checked(f"table {table}", partial(recorded.rows, connection, table, entries))
    found += checked("contents of runs", lambda: recorded.contents(connection, entries))
    for check in (
        consistent.runs,
        consistent.parts,
        consistent.versions,
        consistent.attestations,
        consistent.promotion_log,
        consistent.aliases,
        ledger_of_alpha,
    ):
        found += checked(check.__name__.replace("_", " "), partial(check, connection))
    return found


def _artifacts(store: Store, weights: set[str], stored: set[str], named: set[str]) -> Iterator[Found]:
    """The artifacts of versions, and the datasets of runs. What is no hash was edited, as its row says."""
    # What runs stored must be there. Of older runs a file may be there, and then it must be whole.
    files = _hashes(stored) | {sha256 for sha256 in _hashes(named - stored) if _may_be_there(store, sha256)}
    for sha256, sentence in store.check(sorted(_hashes(weights))):
        yield f"artifact {sha256}", sentence
    for sha256, sentence in store.check_files(sorted(files)):
        yield f"dataset {sha256}", sentence


def _may_be_there(store: Store, sha256: str) -> bool:
    try:
        return store.has_file(sha256)
    except UnreadableError:
        return True


def _hashes(names: set[str]) -> set[str]:
    return {name for name in names if _SHA256.fullmatch(name)}


def _printable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()
