"""Which groups of items a person is shown where there are thousands. The results themselves have all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from evaluation.comparison import Group

SHOWN = 20
"""How many categories are shown at most, unless all are asked for."""

Each = TypeVar("Each")


def most_changed(groups: Sequence[Group], most: int = SHOWN) -> list[Group]:
    """All of some groups where there are at most so many, else those with the smallest p values; of equal
    ones the larger.
    """
    return _first(groups, most, lambda group: (group.p_value, -group.n))


def largest(rows: Sequence[Each], size: Callable[[Each], tuple[int, float]], most: int = SHOWN) -> list[Each]:
    """All of some rows where there are at most so many, else those of the most items; of equal ones those
    with the lowest values.

    Args:
        rows: with a metric each.
        size: how many items a row has, and its value.
        most: how many.
    """

    def rank(row: Each) -> tuple[int, float]:
        items, value = size(row)
        return -items, value

    return _first(rows, most, rank)


def _first(rows: Sequence[Each], most: int, rank: Callable[[Each], tuple[float, float]]) -> list[Each]:
    return list(rows) if len(rows) <= most else sorted(rows, key=rank)[:most]


def more_changed(groups: Sequence[Group], where: str) -> str | None:
    """What to say below `most_changed`; None where nothing was left out.

    Args:
        groups: all of them.
        where: the rest is, as in `--json has all`.
    """
    return _more(len(groups), "with the smallest p values", where)


def more_largest(count: int, where: str) -> str | None:
    """What to say below `largest` of so many; None where nothing was left out."""
    return _more(count, "with the most items", where)


def _more(count: int, which: str, where: str) -> str | None:
    if count <= SHOWN:
        return None
    return f"and {count - SHOWN:,} more; shown are the {SHOWN} {which}. {where}"
