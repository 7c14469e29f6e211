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

from sqlalchemy import JSON, Boolean, Connection, Float, Integer, Table

from core.files import canonical_json
from registry.columns import ExactText
from registry.tables import Row


@dataclass(frozen=True, slots=True)
class Stored:
    """How the rows of a table are read.

    Attributes:
        names: the columns, sorted.
        select: a statement that yields rows with these columns.
        documents: the columns that hold JSON text.
        types: of the stored values, by column.
    """

    names: tuple[str, ...]
    select: str
    documents: frozenset[str]
    types: dict[str, type]

    def canonical(self, row: Sequence[Any], without: Collection[str]) -> str:
        """The canonical JSON of a row without some columns, as `core.files.canonical_json` gives it for the
        same row in Python.

        Its documents were written as canonical JSON, so they stand in it as they are.
        """
        fields = ",".join(
            f'"{name}":{_json(value, name in self.documents)}'
            for name, value in zip(self.names, row, strict=True)
            if name not in without
        )
        return f"{{{fields}}}"

    def damaged(self, row: Sequence[Any]) -> list[str]:
        """What no registry writes, as in `manifest is not JSON`."""
        found = []
        for name, value in zip(self.names, row, strict=True):
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
    documents = frozenset(c.name for c in columns if isinstance(c.type, JSON | ExactText))

    def form(name: str, type_: object) -> str:
        place = f'"{table.name}"."{name}"'
        if dialect == "sqlite":
            return place
        if isinstance(type_, JSON):
            return f"CAST({place} AS TEXT)"
        return f"CAST({place} AS INTEGER)" if isinstance(type_, Boolean) else place

    forms = ", ".join(form(column.name, column.type) for column in columns)
    return Stored(
        tuple(column.name for column in columns),
        f'SELECT {forms} FROM "{table.name}"',  # noqa: S608
        documents,
        {column.name: _python_type(column.type) for column in columns},
    )


@cache
def stored_table(name: str, dialect: str) -> Stored:
    """The same for a table of ours."""
    return stored(Row.metadata.tables[name], dialect)


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
