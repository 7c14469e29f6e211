"""A long series a few at a time, so that it is never in memory whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

Each = TypeVar("Each")


def windows(values: Iterable[Each], size: int) -> Iterator[list[Each]]:
    """Values in their order, so many at a time; the last ones may be fewer.

    Example:
        >>> list(windows("abcde", 2))
        [['a', 'b'], ['c', 'd'], ['e']]
    """
    left = iter(values)
    while window := list(islice(left, size)):
        yield window
