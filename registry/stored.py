"""Rows as the database stores them: JSON as its text, booleans as 0 and 1, whatever was put there.

Nothing is parsed and nothing is refused, so that a damaged row can be read, hashed and named. Both databases
give the same values for the same rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import JSON, Boolean, Column, Connection, Float, Integer, Table, TextClause, text
from sqlalchemy import Row as StoredRow

from core.files import canonical_json, sha256_bytes
from registry.columns import ExactText
from registry.tables import Row

AT_ONCE = 100
"""Rows in memory at a time: some hold whole manifests."""


@dataclass(frozen=True, slots=True)
class Stored:
    """How the rows of a table are read.

    Attributes:
        table: its name.
        forms: column -> the expression that gives its stored value, by the columns' names.
        documents: the columns that hold JSON text.
        types: of the stored values, by column.
    """

    table: str
    forms: dict[str, str]
    documents: frozenset[str]
    types: dict[str, type]

    def select(self, columns: Sequence[str] = (), rest: str = 'ORDER BY "id"') -> TextClause:
        """A statement that yields rows with some columns, by default all of them, sorted."""
        forms = ", ".join(self.forms[name] for name in columns or self.forms)
        return text(f'SELECT {forms} FROM "{self.table}" {rest}')  # noqa: S608  names of our own

    def canonical_bytes(
        self, row: Sequence[Any], without: Collection[str], without_null: Collection[str] = ()
    ) -> bytes:
        """The canonical JSON of a row without some columns, as `core.files.canonical_json` gives it for the
        same row in Python.

        Its documents were written as canonical JSON, so they stand in it as they are.

        Args:
            row: as `read` gives it.
            without: columns that are left out.
            without_null: columns that are left out where they are null.
        """
        fields = ",".join(
            f'"{name}":{_json(value, name in self.documents)}'
            for name, value in zip(self.forms, row, strict=True)
            if name not in without and not (value is None and name in without_null)
        )
        return f"{{{fields}}}".encode(errors="surrogateescape")

    def canonical_sha256(self, row: Sequence[Any], without: Collection[str]) -> str:
        """The sha256 of that."""
        return sha256_bytes(self.canonical_bytes(row, without))

    def damaged(self, row: Sequence[Any]) -> list[str]:
        """What no registry writes, as in `manifest is not JSON`."""
        found = []
        for name, value in zip(self.forms, row, strict=True):
            if value is None:
                continue
            if not isinstance(value, self.types[name]):
                found.append(f"{name} is of another type")
            elif isinstance(value, str) and any("\udc80" <= letter <= "\udcff" for letter in value):
                found.append(f"{name} is not UTF-8")
            elif name in self.documents and not _is_json(str(value)):
                found.append(f"{name} is not JSON")
        return found


def stored(table: Table, dialect: str) -> Stored:
    """How the rows of a table are read on a database."""
    columns = sorted(table.columns, key=lambda column: column.name)
    return Stored(
        table.name,
        {column.name: _form(column, dialect) for column in columns},
        frozenset(column.name for column in columns if isinstance(column.type, JSON | ExactText)),
        {column.name: _python_type(column.type) for column in columns},
    )


def _form(column: Column[Any], dialect: str) -> str:
    place = f'"{column.table.name}"."{column.name}"'
    if dialect != "sqlite" and isinstance(column.type, JSON):
        place = f"CAST({place} AS TEXT)"
    if dialect != "sqlite" and isinstance(column.type, Boolean):
        place = f"CAST({place} AS INTEGER)"
    return f'{place} AS "{column.name}"'


@cache
def stored_table(name: str, dialect: str) -> Stored:
    """The same for a table of ours."""
    return stored(Row.metadata.tables[name], dialect)


def read(
    connection: Connection, table: str, *columns: str, rest: str = 'ORDER BY "id"', **parameters: Any
) -> Iterator[StoredRow[Any]]:
    """The rows of a table of ours with some columns, by default all of them, sorted; few in memory at a time.

    Args:
        connection: in a transaction.
        table: its name.
        columns: which, in this order.
        rest: of the statement: conditions with `parameters`, and the order.
    """
    statement = _statement(table, columns, rest, connection.dialect.name)
    yield from connection.execute(statement, parameters, execution_options={"yield_per": AT_ONCE})


@cache
def _statement(table: str, columns: Sequence[str], rest: str, dialect: str) -> TextClause:
    return stored_table(table, dialect).select(columns, rest)


def stored_sha256(row: Iterable[Any]) -> str:
    """The hash over a stored row: the kind, length and bytes of each value, one after another, so that no two
    rows give the same bytes.
    """
    digest = hashlib.sha256()
    for value in row:
        if isinstance(value, str):
            kind, data = "text", value.encode(errors="surrogateescape")
        elif value is None:
            kind, data = "null", b""
        elif isinstance(value, bytes):
            kind, data = "blob", value
        else:
            kind, data = type(value).__name__, repr(value).encode()
        digest.update(f"{kind} {len(data)} ".encode())
        digest.update(data)
    return digest.hexdigest()


@contextmanager
def any_text(connection: Connection) -> Iterator[None]:
    """Inside the block SQLite gives text that is not UTF-8 too, its wrong bytes as lone surrogates."""
    if connection.dialect.name != "sqlite":
        yield
        return
    driver: Any = connection.connection.dbapi_connection
    before, driver.text_factory = driver.text_factory, _decoded
    try:
        yield
    finally:
        driver.text_factory = before


def _decoded(data: bytes) -> str:
    return data.decode(errors="surrogateescape")


def _json(value: Any, document: bool) -> str:
    if isinstance(value, str):
        return value if document else canonical_json(value)
    if value is None:
        return "null"
    return repr(value)  # as JSON writes a number; of what is none the hash differs anyway


def _is_json(value: str) -> bool:
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        return False
    return True


def _python_type(type_: object) -> type:
    if isinstance(type_, Integer | Boolean):
        return int
    return float if isinstance(type_, Float) else str
