"""Numbers and tables as a person reads them, in 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from evaluation.numbers import p_text, percent, points
from hallmark.console import between_words

if TYPE_CHECKING:  # they import numpy, and a list of models has no need of it
    from evaluation.comparison import Comparison, Group
    from evaluation.form import FormAndSkill
    from evaluation.gate import GateDecision


WORD = 12
"""Columns that a text gets at least: a longer word goes on in the next line."""
GAP = 2
"""Columns between two of them."""
INDENT = 2
"""Columns that stay empty before what belongs to the line above."""


class PlainTable(Table):
    """See `plain_table`."""

    def __init__(self, columns: Sequence[str], right: Sequence[int], whole: Sequence[int]) -> None:
        super().__init__(box=None, pad_edge=False, header_style="bold")
        for place, column in enumerate(columns):
            justify: Literal["left", "right"] = "right" if place in right else "left"
            self.add_column(column, justify=justify, no_wrap=place in (*right, *whole), overflow="fold")
        self._lines: list[tuple[bool, list[Text]]] = [(True, [Text(column) for column in columns])]

    def add_row(self, *cells: Any, **options: Any) -> None:
        """A row: texts, or strings with markup."""
        super().add_row(*cells, **options)
        self._lines.append((False, [_text(cell) for cell in cells]))

    def add_titles(self, *cells: str) -> None:
        """Other titles for the rows that follow; one that is empty stays as it was."""
        super().add_row(*(Text(cell, "bold") for cell in cells))
        self._lines.append((True, [Text(cell) for cell in cells]))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._least() <= options.max_width:
            yield from super().__rich_console__(console, options)
            return
        titles = [""] * len(self.columns)
        for is_titles, cells in self._lines:
            if not is_titles:
                yield from _block(titles, cells, options.max_width)
                continue
            if any(titles) and cells[0].plain:
                yield Text(f"\n{cells[0].plain}", "bold")
            titles = [new.plain or old for new, old in zip(cells, titles, strict=True)]

    def _least(self) -> int:
        """The columns that it needs so that no number and no word is torn."""
        widths = [0] * len(self.columns)
        for _, cells in self._lines:
            for place, cell in enumerate(cells):
                longest = max(map(cell_len, cell.plain.split()), default=0)
                fits = cell.cell_len if self.columns[place].no_wrap else min(longest, WORD)
                widths[place] = max(widths[place], fits)
        return sum(widths) + GAP * (len(widths) - 1)


def plain_table(columns: Sequence[str], right: Sequence[int] = (), whole: Sequence[int] = ()) -> PlainTable:
    """A table without lines. Where it is too wide for the terminal, texts go on in the next line, and where
    that does not help, each row is a block of names and values; nothing is cut.

    Args:
        columns: their titles.
        right: numbers of those that are aligned to the right, as numbers are; they keep their width.
        whole: numbers of others that keep their width, such as ids that are copied.
    """
    return PlainTable(columns, right, whole)


def _text(cell: str | Text) -> Text:
    return cell if isinstance(cell, Text) else Text.from_markup(cell, emoji=False)


def _block(titles: Sequence[str], cells: Sequence[Text], width: int) -> Iterator[Text]:
    """A row where there is no room for columns: its first cell, and below it what the others are."""
    if not any(cell.plain for cell in cells):
        return
    yield between_words(cells[0][len(cells[0].plain) - len(cells[0].plain.lstrip()) :], width)
    line = Text()
    for title, cell in zip(titles[1:], cells[1:], strict=False):
        if not cell.plain:
            continue
        named = Text.assemble((f"{title} ", "dim") if title else "", Text(", ").join(cell.split("\n")))
        if line.plain and INDENT + line.cell_len + len(", ") + named.cell_len > width:
            yield between_words(Text(" " * INDENT) + line, width)
            line = Text()
        line = Text(", ").join([line, named]) if line.plain else named
    yield between_words(Text(" " * INDENT) + line, width)


def comparison_table(comparison: Comparison, left: str, right: str, every: bool = False) -> PlainTable:
    """Overall, by category and by band: both values, the delta, its interval or flips, and the p value. Of
    many categories those that changed most, unless `every` one is asked for.
    """
    from evaluation.shown import most_changed

    table = plain_table(["", "items", left, right, "delta", "95 % interval", "p"], right=(1, 2, 3, 4, 5, 6))
    table.add_row(
        Text("overall", "bold"),
        str(comparison.n),
        percent(comparison.baseline.value),
        Text(percent(comparison.candidate.value), "bold"),
        _delta(comparison.delta, comparison.p_value),
        f"{points(comparison.ci_low)} to {points(comparison.ci_high)}",
        p_text(comparison.p_value),
    )
    for title, groups in (("by category", comparison.categories), ("by difficulty", comparison.bands)):
        if groups:
            table.add_row("")
            table.add_titles(title, "", "", "", "", "better / worse", "p (Holm)")
            for group in groups if every else most_changed(groups):
                table.add_row(*_group_cells(group))
    return table


def more_categories(comparison: Comparison, remedy: str) -> str | None:
    """The line below the table that says how many categories it left out, and how to see them."""
    from evaluation.shown import more_changed

    return more_changed(comparison.categories, remedy)


def rungs_table(form: FormAndSkill, left: str, right: str) -> PlainTable:
    """Where the answers of both sides were found, and how many of them were right."""
    columns = ["answer found by", f"{left}: right", "wrong", f"{right}: right", "wrong"]
    table = plain_table(columns, right=(1, 2, 3, 4))
    for row in form.rungs:
        counts = (row.baseline_right, row.baseline_wrong, row.candidate_right, row.candidate_wrong)
        table.add_row(Text(row.rung), *map(str, counts))
    return table


def decision_table(decision: GateDecision) -> PlainTable:
    """A row for each requirement and each limit."""
    from evaluation.gate import COLUMNS, decision_rows

    table = plain_table(COLUMNS, right=(1, 2, 3, 4))
    for *cells, holds in decision_rows(decision.requirements, decision.limits):
        table.add_row(*map(Text, cells), Text(holds, "bold green" if holds == "yes" else "bold red"))
    return table


def _group_cells(group: Group) -> tuple[str | Text, ...]:
    return (
        f"  {group.name}",
        str(group.n),
        percent(group.baseline),
        percent(group.candidate),
        _delta(group.delta, group.p_holm),
        f"{group.gained} / {group.lost}",
        p_text(group.p_holm),
    )


def _delta(value: float, p_value: float) -> Text:
    if p_value >= 0.05:
        return Text(points(value))
    return Text(points(value), "bold green" if value > 0 else "bold red")
