"""Was anything changed since it was recorded?"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, OperationalError

from core.errors import InputError, IntegrityError, UnreadableError
from registry import consistent, recorded
from registry.alpha_check import ledger_of_alpha
from registry.artifacts.store import Store
from registry.audit import KEYS, Head
from registry.database import Database
from registry.definitions import differences
from registry.recorded import Entries, Found
from registry.stored import any_text
from registry.tables import Row

SHOWN = 20
"""Faults of a damaged SQLite file that are named."""

LONGEST = 200
"""Characters of what a check raised that a problem quotes."""

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
        return printable(f"{self.where}: {self.what}")


def printable(text: str) -> str:
    """A text without the lone surrogates that stand for bytes that are not UTF-8."""
    return text.encode(errors="backslashreplace").decode()


BROKEN = (
    InputError,
    IntegrityError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)
"""What a value that no registry writes can make a check raise."""


@contextmanager
def guarded(where: str, problems: list[Problem]) -> Iterator[None]:
    """What a damaged row makes a part of the checks raise is one problem more; the other parts can go on.

    Args:
        where: the part, and its row where that is known.
        problems: the problem is appended to them.

    Raises:
        DBAPIError: the server is away.
    """
    try:
        yield
    except UnicodeDecodeError as error:  # SQLite quotes damaged bytes in what it says
        problems.append(Problem(where, f"cannot be read: {error.object.decode(errors='backslashreplace')}"))
    except DBAPIError as error:
        lost = isinstance(error, OperationalError) and not isinstance(error.orig, sqlite3.Error)
        if lost or error.connection_invalidated:
            raise
        problems.append(Problem(where, f"cannot be read: {' '.join(str(error.orig).split())}"))
    except (InputError, IntegrityError, UnreadableError) as error:
        problems.append(Problem(where, f"cannot be checked: {error}"))
    except BROKEN as error:
        what = " ".join(str(error).split())[:LONGEST]
        problems.append(Problem(where, f"cannot be checked: {type(error).__name__}: {what}"))


def counts(database: Database) -> dict[str, int]:
    """See `registry.registry.Registry.counts`."""
    found = {}
    with database.reading() as session:
        connection = session.connection()
        for table in Row.metadata.tables:
            with guarded(f"table {table}", []), connection.begin_nested():  # else `verify` says what is wrong
                found[table] = connection.execute(
                    text(f'SELECT count(*) FROM "{table}"')  # noqa: S608  our own name
                ).scalar_one()
    return found


def verify(database: Database, store: Store, quick: bool = False, head: Head | None = None) -> list[Problem]:
    """See `registry.registry.Registry.verify`."""
    found: list[Problem] = []
    weights, stored, named = set[str](), set[str](), set[str]()
    with database.reading() as session:
        connection = session.connection()

        def checked(where: str, check: Callable[[], Iterable[Found]]) -> None:
            with guarded(where, found), connection.begin_nested():
                for each in check():
                    found.append(Problem(*map(printable, each)))

        with any_text(connection):
            checked("database", lambda: _file(connection))
            checked("schema", lambda: differences(database))
            _rows(connection, head, checked)
            if not quick:
                with guarded("artifacts of versions", found), connection.begin_nested():
                    weights = consistent.weights(connection)
                with guarded("datasets of runs", found), connection.begin_nested():
                    stored, named = consistent.dataset_files(connection)
    if not quick:
        found += [Problem(*each) for each in _artifacts(store, weights, stored, named)]
    return list(dict.fromkeys(found))


Checked = Callable[[str, Callable[[], Iterable[Found]]], None]


def _file(connection: Connection) -> Iterator[Found]:
    """The pages of an SQLite file, and whether its indexes agree with the rows: what is read from an index is
    not read from the row. A PostgreSQL server has checksums of its own.
    """
    if connection.dialect.name == "sqlite":
        for (fault,) in connection.execute(text(f"PRAGMA integrity_check({SHOWN})")):
            if fault != "ok":
                yield "database", " ".join(str(fault).split())


def _rows(connection: Connection, head: Head | None, checked: Checked) -> None:
    entries: Entries = {}
    checked("log", lambda: recorded.audit_log(connection, head, entries))
    for table in KEYS if entries else ():
        checked(f"table {table}", partial(recorded.rows, connection, table, entries))
    checked("contents of runs", lambda: recorded.contents(connection, entries))
    for check in (
        consistent.runs,
        consistent.parts,
        consistent.versions,
        consistent.attestations,
        consistent.promotion_log,
        consistent.aliases,
        ledger_of_alpha,
    ):
        checked(check.__name__.replace("_", " "), partial(check, connection))


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
