"""Items that hang together: statistics resample and flip their groups, never one item of a group alone."""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from evaluation.statistics import FloatArray
from golden.schema import Item
from golden.words import normalise

IntArray = np.ndarray


def group_of(items: Iterable[Item]) -> dict[str, str]:
    """The group of each item that shares one with another item: the same `group`, or the same question
    (`golden.words.normalise`), whatever the system text. An item that shares both joins its two groups into
    one.

    Args:
        items: a dataset.

    Returns:
        trace_id -> name of the group: `group NAME`, for the `group` of its first item that has one, else the
        trace_id of its first item, which has no space: so no two groups get one name. Without the items that
        stand alone.

    Example:
        >>> def item(trace_id: str, prompt: str) -> Item:
        ...     return Item(trace_id=trace_id, prompt=prompt, steps=[], final_answer="2", category="addition")
        >>> items = [item("q-0", "1 + 1?"), item("q-1", "2 + 0?"), item("q-2", "1 + 1?")]
        >>> group_of(items)
        {'q-0': 'q-0', 'q-2': 'q-0'}
    """
    grouping = Grouping()
    for item in items:
        grouping.add(item)
    return grouping.groups()


class Grouping:
    """`group_of` for items that come one by one; what is kept of an item does not grow with its text.

    Attributes:
        ids: trace ids, in the order in which the items came.
    """

    def __init__(self) -> None:
        self.ids: list[str] = []
        self._roots = array("q")
        self._first_with: dict[bytes, int] = {}
        self._named: dict[int, str] = {}

    def add(self, item: Item) -> None:
        """The next item."""
        place = len(self.ids)
        self.ids.append(item.trace_id)
        self._roots.append(place)
        keys = [_mark("question", normalise(item.question))]
        if item.group is not None:
            self._named[place] = item.group
            keys.append(_mark("group", item.group))
        for key in keys:
            other = self._first_with.setdefault(key, place)
            self._roots[self._top(place)] = self._top(other)

    def _top(self, place: int) -> int:
        roots = self._roots
        while roots[place] != place:
            roots[place] = place = roots[roots[place]]
        return place

    def groups(self) -> dict[str, str]:
        """See `group_of`."""
        tops = array("q", map(self._top, range(len(self.ids))))
        shared = np.bincount(tops) > 1 if len(tops) else np.zeros(0, dtype=bool)
        names: dict[int, str] = {}
        for place, group in self._named.items():
            names.setdefault(tops[place], f"group {group}")
        for place, trace_id in enumerate(self.ids):
            if shared[tops[place]]:
                names.setdefault(tops[place], trace_id)
        return {trace_id: names[top] for trace_id, top in zip(self.ids, tops, strict=True) if shared[top]}


def _mark(kind: str, text: str) -> bytes:
    """What stands for a prompt or a group: a set of prompts would be as large as the dataset."""
    return hashlib.sha256(f"{kind} {text}".encode("utf-8", "surrogatepass")).digest()


def group_places(ids: Sequence[str], groups: Mapping[str, str]) -> IntArray | None:
    """The place of each item's group, int64 [items], numbered in the order of their first items; None where
    every item stands alone. An id that `groups` lacks is a group of its own.

    Args:
        ids: trace ids.
        groups: trace_id -> group.
    """
    if not groups:
        return None
    places: dict[tuple[bool, str], int] = {}
    found = [
        places.setdefault((trace_id in groups, groups.get(trace_id, trace_id)), len(places))
        for trace_id in ids
    ]
    return np.array(found, dtype=np.int64) if len(places) < len(found) else None


def regrouped(groups: IntArray | None, places: Sequence[int] | IntArray) -> IntArray | None:
    """The groups among some of the items, numbered again; None where each of these items stands alone.

    Args:
        groups: as `group_places` gives them.
        places: which items, int64 [some].
    """
    if groups is None:
        return None
    _, first, found = np.unique(groups[places], return_index=True, return_inverse=True)
    if len(first) == len(found):
        return None
    return np.asarray(np.argsort(np.argsort(first))[found], dtype=np.int64)


def grouped(values: FloatArray, groups: IntArray) -> tuple[FloatArray, IntArray]:
    """Sum and size of each group, float64 [groups] and int64 [groups].

    Args:
        values: float64 [items].
        groups: the place of each item's group, int64 [items].
    """
    order = np.argsort(groups, kind="stable")
    sizes = np.bincount(groups)
    parts = np.split(values[order], np.cumsum(sizes)[:-1])
    # fsum rounds once, so that copies of a group have a sum of exactly as many times its value
    return np.array([math.fsum(part) for part in parts]), sizes


def independent(ids: Sequence[str], groups: Mapping[str, str]) -> int:
    """How many groups some items form.

    Args:
        ids: trace ids.
        groups: trace_id -> group; an id that is absent is a group of its own.

    Example:
        >>> independent(["q-0", "q-1", "q-2"], {"q-0": "q-0", "q-2": "q-0"})
        2
    """
    places = group_places(ids, groups)
    return len(ids) if places is None else int(places.max()) + 1
