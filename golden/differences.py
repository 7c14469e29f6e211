"""What is not the same in two datasets: items that were added or removed, and the fields that changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from core.files import open_for_reading, read_jsonl
from golden.datasets import Dataset

Kind = Literal["added", "removed", "changed", "unchanged"]


@dataclass(frozen=True)
class FieldChange:
    """A field of an item that is not the same. None stands for a field that is not there.

    Attributes:
        before: in the first dataset.
        after: in the second.
    """

    field: str
    before: Any
    after: Any


@dataclass(frozen=True)
class ItemDifference:
    """An item of two datasets.

    Attributes:
        kind: whether it is only in the second, only in the first, in both with other fields, or the same.
        fields: what changed, by name.
        moved: whether it stands before an item that it stood behind.
    """

    trace_id: str
    kind: Kind
    fields: tuple[FieldChange, ...] = ()
    moved: bool = False


def each_difference(first: Dataset, second: Dataset) -> Iterator[ItemDifference]:
    """The items of two datasets, by trace_id: those of the second in its order, then those that only the
    first has. The texts of two items are in memory at a time, and for each item of the first two numbers.

    Args:
        first: golden or training set.
        second: likewise.

    Raises:
        InputError: a line of either is bad; see `golden.datasets.read_items`.

    Example:
        >>> from golden.datasets import load_dataset
        >>> golden = load_dataset("golden-v1")
        >>> {each.kind for each in each_difference(golden, golden)}
        {'unchanged'}
    """
    offsets = _offsets(first)
    last = -1
    with open_for_reading(first.path) as lines:
        for value in _lines(second):
            offset = offsets.pop(hash(value["trace_id"]), None)
            if offset is None:
                yield ItemDifference(value["trace_id"], "added")
                continue
            lines.seek(offset)
            fields = tuple(_changed(json.loads(lines.readline()), value))
            yield ItemDifference(
                value["trace_id"], "changed" if fields else "unchanged", fields, moved=offset < last
            )
            last = max(last, offset)
        for offset in sorted(offsets.values()):
            lines.seek(offset)
            yield ItemDifference(json.loads(lines.readline())["trace_id"], "removed")


def _lines(dataset: Dataset) -> Iterator[dict[str, Any]]:
    """The lines of a dataset as they are written, each checked."""
    for _, (_, value) in zip(dataset.traces(), read_jsonl(dataset.path), strict=True):
        yield value


def _offsets(dataset: Dataset) -> dict[int, int]:
    """Where in a file the line of each trace_id begins, by the id's hash, which is smaller than the id."""
    found, offset = dict[int, int](), 0
    with open_for_reading(dataset.path) as lines:
        for line, value in zip(lines, _lines(dataset), strict=True):
            found[hash(value["trace_id"])] = offset
            offset += len(line)
    return found


def _changed(before: dict[str, Any], after: dict[str, Any]) -> Iterator[FieldChange]:
    for field in sorted(before.keys() | after.keys()):
        if before.get(field) != after.get(field):
            yield FieldChange(field, before.get(field), after.get(field))
