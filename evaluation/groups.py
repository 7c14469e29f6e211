"""Items that hang together: statistics resample and flip their groups, never one item of a group alone."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence

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
    root: dict[str, str] = {}
    first_with: dict[Hashable, str] = {}
    named: dict[str, str] = {}

    def top(trace_id: str) -> str:
        while root[trace_id] != trace_id:
            root[trace_id] = trace_id = root[root[trace_id]]
        return trace_id

    for item in items:
        root[item.trace_id] = item.trace_id
        group = item.group
        if group is not None:
            named[item.trace_id] = f"group {group}"
        asked = _mark(normalise(item.question))
        for key in [asked, *([("group", group)] if group is not None else [])]:
            other = first_with.setdefault(key, item.trace_id)
            root[top(item.trace_id)] = top(other)
    tops = {trace_id: top(trace_id) for trace_id in root}
    sizes = Counter(tops.values())
    names: dict[str, str] = {}
    for trace_id, name in [*named.items(), *((trace_id, trace_id) for trace_id in root)]:
        names.setdefault(tops[trace_id], name)
    return {trace_id: names[of] for trace_id, of in tops.items() if sizes[of] > 1}


def _mark(text: str) -> bytes:
    """What stands for a prompt: a set of prompts would be as large as the dataset."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


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
