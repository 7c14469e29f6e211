"""Items with what each run wrote, as GitHub's Markdown: a table, and the whole texts below it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from core.text import cut, visible_lines
from evaluation.numbers import percent
from experiments.answers import Written
from experiments.side_by_side import ItemAnswers
from reports.markdown import code, prose, table

CELL = 160
"""Characters of a text in a table."""


def cell(text: str) -> str:
    """Text that is not ours as a table's cell: one line, cut, and without any power over the page."""
    return code(cut(" ".join(text.split()), CELL))


def items_table(items: Sequence[ItemAnswers], roles: Sequence[str]) -> str:
    """A row per item: what was asked, the right answer, and what each run answered.

    Args:
        items: some of a report.
        roles: what each run is, as a column's title.
    """
    rows = [
        (
            cell(item.asked[-1]["content"]),
            cell(" or ".join(item.accepted)),
            *(
                f"{cell(written.extracted or written.prediction)} ({_judged(written)})"
                for written in item.answers
            ),
            cell(item.category),
            cell(item.trace_id),
        )
        for item in items
    ]
    return table(["asked", "right answer", *roles, "category", "item"], rows)


def full_texts(items: Sequence[ItemAnswers], roles: Sequence[str], characters: int) -> list[str]:
    """What was asked and what each run wrote, line by line.

    Args:
        items: some of a report.
        roles: what each run is.
        characters: of each text, at most.
    """
    parts = []
    for item in items:
        parts += [f"#### {code(item.trace_id)}", fenced(item.asked[-1]["content"], characters)]
        parts.append(f"Right answer: {cell(' or '.join(item.accepted))}")
        for role, written in zip(roles, item.answers, strict=True):
            parts += [f"{role.capitalize()} ({_judged(written)}):", fenced(written.prediction, characters)]
    return parts


def fenced(text: str, characters: int) -> str:
    """Text that is not ours as a block of lines, which no line of it can end."""
    shown = visible_lines(cut(text, characters))
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", shown)), default=0))
    return f"{fence}text\n{shown}\n{fence}"


def _judged(written: Written) -> str:
    if written.samples is not None:
        found = [written.samples_right]
    else:
        found = [prose(cut(written.reason, CELL)) or "not named"]
        if 0 < written.score < 1:
            found.append(percent(written.score))
    if written.cut_off:
        found.append("cut off")
    return ", ".join(found)
