"""What is not the same in two datasets: items that were added or removed, and the fields that changed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from core.files import open_for_reading, read_jsonl
from golden.datasets import Dataset
from golden.manifest import ChangedItem

Kind = Literal["added", "removed", "changed", "unchanged"]
KINDS: tuple[Kind, ...] = ("added", "removed", "changed", "unchanged")


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


class DatasetDiff:
    """The differences of two datasets, counted while somebody goes through them.

    Attributes:
        first, second: the datasets.
        counts: how many items are added, removed, changed, unchanged.
        fields: field -> in how many items it changed.
        moved: how many items stand in another order.
        reasons: why, by trace_id, where the second was revised from the first.
    """

    def __init__(self, first: Dataset, second: Dataset) -> None:
        self.first, self.second = first, second
        self.counts: Counter[Kind] = Counter()
        self.fields: Counter[str] = Counter()
        self.moved = 0
        revision = second.manifest.revision if second.manifest else None
        known = revision.items if revision and revision.parent_sha256 == first.sha256 else []
        self.reasons: dict[str, ChangedItem] = {item.trace_id: item for item in known}

    def __iter__(self) -> Iterator[ItemDifference]:
        """The items that are not the same, one at a time."""
        self.counts, self.fields, self.moved = Counter(), Counter(), 0
        for each in each_difference(self.first, self.second):
            self.counts[each.kind] += 1
            self.fields.update(change.field for change in each.fields)
            self.moved += each.moved
            if each.kind != "unchanged":
                yield each

    @property
    def sentence(self) -> str:
        """The counts in a line."""
        changed = ", ".join(f"{field} {count}" for field, count in sorted(self.fields.items()))
        said = ", ".join(
            f"{self.counts[kind]:,} {kind}" + (f" ({changed})" if kind == "changed" and changed else "")
            for kind in KINDS
        )
        return said + (f"; {self.moved:,} in another order" if self.moved else "")

    def document(self) -> dict[str, Any]:
        """All of it as JSON."""
        items = [
            {
                "trace_id": each.trace_id,
                "kind": each.kind,
                "fields": {field.field: [field.before, field.after] for field in each.fields},
                "why": why.model_dump() if (why := self.reasons.get(each.trace_id)) else None,
            }
            for each in self
        ]
        return {
            "first": {"name": self.first.name, "sha256": self.first.sha256},
            "second": {"name": self.second.name, "sha256": self.second.sha256},
            "counts": {kind: self.counts[kind] for kind in KINDS},
            "fields": dict(sorted(self.fields.items())),
            "moved": self.moved,
            "items": items,
        }


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
