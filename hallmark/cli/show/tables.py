"""Numbers and tables as a person reads them, in 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from rich.table import Table
from rich.text import Text

from evaluation.numbers import p_text, percent, points

if TYPE_CHECKING:  # they import numpy, and a list of models has no need of it
    from evaluation.comparison import Comparison, Group
    from evaluation.form import FormAndSkill
    from evaluation.gate import GateDecision


def plain_table(columns: Sequence[str], right: Sequence[int] = (), whole: Sequence[int] = ()) -> Table:
    """A table without lines. Where it is too wide for the terminal, texts go on in the next line; nothing is
    cut.

    Args:
        columns: their titles.
        right: numbers of those that are aligned to the right, as numbers are; they keep their width.
        whole: numbers of others that keep their width, such as ids that are copied.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, column in enumerate(columns):
        justify: Literal["left", "right"] = "right" if place in right else "left"
        table.add_column(column, justify=justify, no_wrap=place in (*right, *whole), overflow="fold")
    return table


def comparison_table(comparison: Comparison, left: str, right: str, every: bool = False) -> Table:
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
            table.add_row(
                Text(title, "bold"), "", "", "", "", Text("better / worse", "bold"), Text("p (Holm)", "bold")
            )
            for group in groups if every else most_changed(groups):
                table.add_row(*_group_cells(group))
    return table


def more_categories(comparison: Comparison, remedy: str) -> str | None:
    """The line below the table that says how many categories it left out, and how to see them."""
    from evaluation.shown import more_changed

    return more_changed(comparison.categories, remedy)


def rungs_table(form: FormAndSkill, left: str, right: str) -> Table:
    """Where the answers of both sides were found, and how many of them were right."""
    columns = ["answer found by", f"{left}: right", "wrong", f"{right}: right", "wrong"]
    table = plain_table(columns, right=(1, 2, 3, 4))
    for row in form.rungs:
        counts = (row.baseline_right, row.baseline_wrong, row.candidate_right, row.candidate_wrong)
        table.add_row(Text(row.rung), *map(str, counts))
    return table


def decision_table(decision: GateDecision) -> Table:
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
