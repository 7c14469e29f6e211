"""What is read of any file: rows, each with its place, and what is said of the file as a whole."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from core.errors import InputError

Values = dict[str, Any]
"""A row: column -> value, as JSON has values, or as Parquet and Arrow have: dates, decimals, bytes."""


class Row(NamedTuple):
    """One row of a file.

    Attributes:
        number: its line in a text, else its place; from 1.
        values: column -> value; or what is wrong with the row.
    """

    number: int
    values: Values | InputError


class WrittenFloat(float):
    """A number of a text, which knows how it is written there: `7.50`."""

    text: str


@dataclass(frozen=True)
class Table:
    """One file with rows.

    Attributes:
        path: the file.
        shape: what it is, in words: `CSV, separated by ";", cp1252`.
        unit: what a row's number counts: line or row.
        columns: the names of its columns, where the file says them before its rows.
        read: gives the rows from the first on; again at each call.
    """

    path: Path
    shape: str
    unit: str
    columns: list[str]
    read: Callable[[], Iterator[Row]]


class Places:
    """Where rows came from, in 8 bytes for each.

    Args:
        tables: the files.
    """

    def __init__(self, tables: list[Table]) -> None:
        self._tables = tables
        self._numbers = array("q")
        self._starts: list[int] = []

    def next_table(self) -> None:
        """The rows that follow are those of the next file."""
        self._starts.append(len(self._numbers))

    def append(self, number: int) -> None:
        """One more row."""
        self._numbers.append(number)

    def where(self, place: int) -> str:
        """Where the row at this place is: `line 12`, or with the file where there are several."""
        table = self._tables[bisect_right(self._starts, place) - 1]
        return self.of(table, self._numbers[place])

    def of(self, table: Table, number: int) -> str:
        """Where a row of a file is, in words."""
        name = f"{table.path.name} " if len(self._tables) > 1 else ""
        return f"{name}{table.unit} {number}"


def refuse_repeated(columns: list[str], path: Path) -> None:
    """Refuse a file in which two columns have one name.

    Raises:
        InputError: names them.
    """
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    if repeated:
        raise InputError(
            f"{path}: {', '.join(map(repr, repeated))}: several columns have this name. Rename all but one."
        )
