"""Results as tables: in a notebook, and as pandas DataFrames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from core.errors import ResourceError
from core.text import visible_lines

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]
Entry = TypeVar("Entry")


class Tabular(ABC):
    """Something that a notebook shows as a table, that turns into a DataFrame, and whose `repr` is one line.

    Example:
        >>> class Words(Tabular):
        ...     def table_caption(self):
        ...         return "two words"
        ...
        ...     def table_rows(self):
        ...         return [{"word": "base", "letters": 4}, {"word": "trained", "letters": 7}]
        >>> Words()
        <Words: two words>
    """

    @abstractmethod
    def table_caption(self) -> str:
        """What the table shows, in a line."""

    @abstractmethod
    def table_rows(self) -> list[Row]:
        """Column -> value, a dictionary per row, all with the same columns."""

    def to_frame(self) -> pd.DataFrame:
        """The rows as a DataFrame.

        Raises:
            ResourceError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise ResourceError("to_frame() needs pandas: pip install 'hallmark[notebook]'") from None
        return pd.DataFrame(self.table_rows())

    def _repr_html_(self) -> str:
        """The table for a notebook. Everything is escaped: names and texts may be hostile."""
        rows = self.table_rows()
        columns = "".join(f"<th>{escape(name)}</th>" for name in (rows[0] if rows else ()))
        lines = "".join(f"<tr>{''.join(map(_cell, row.values()))}</tr>" for row in rows)
        caption = f'<caption style="text-align: left">{escape(self.table_caption())}</caption>'
        return f"<table>{caption}<thead><tr>{columns}</tr></thead><tbody>{lines}</tbody></table>"

    def __repr__(self) -> str:
        caption = "".join(letter if letter.isprintable() else " " for letter in self.table_caption())
        return f"<{type(self).__name__}: {caption}>"

    def __str__(self) -> str:
        return repr(self)


class TabularList(Tabular, Sequence[Entry], Generic[Entry]):
    """A list that shows as a table, an entry per row.

    Args:
        entries: what is listed.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = tuple(entries)

    @overload
    def __getitem__(self, place: int) -> Entry: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[Entry, ...]: ...

    def __getitem__(self, place: int | slice) -> Entry | tuple[Entry, ...]:
        return self._entries[place]

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)


def _cell(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return (
            f'<td style="text-align: left">{escape("" if value is None else visible_lines(str(value)))}</td>'
        )
    return f"<td>{value:.4g}</td>" if isinstance(value, float) else f"<td>{value}</td>"
