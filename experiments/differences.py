"""Where two results differ first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from core.files import canonical_json
from core.text import cut, visible

CHUNK = 1 << 20
LONGEST = 200


class Difference(BaseModel):
    """The first difference of two results.

    Attributes:
        where: the item, or the file with the tensor.
        count: how many items differ; None where that was not counted.
    """

    where: str
    recorded: Any
    now: Any
    count: int | None = None

    @property
    def sentence(self) -> str:
        """The difference, for a person."""
        more = f" ({self.count} differ)" if self.count and self.count > 1 else ""
        return (
            f"first difference at {self.where}: recorded {shown(self.recorded)}, now {shown(self.now)}{more}."
        )


def shown(value: Any) -> str:
    """A value as JSON in visible characters, cut where it is long."""
    return cut(visible(canonical_json(value)), LONGEST)


def first_differing_value(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> Difference | None:
    """The first id with another value, in the recorded order, and how many there are; None when all are
    equal.
    """
    ids = [*recorded, *(trace_id for trace_id in now if trace_id not in recorded)]
    differing = [trace_id for trace_id in ids if recorded.get(trace_id) != now.get(trace_id)]
    if not differing:
        return None
    first = differing[0]
    return Difference(
        where=f"item {first}", recorded=recorded.get(first), now=now.get(first), count=len(differing)
    )


def first_differing_tree(recorded: Path, now: Path) -> Difference | None:
    """The first file that differs in two directories: one that only one of them has, or the first byte that
    differs in it.
    """
    trees = [
        {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
        for root in (recorded, now)
    ]
    for name in sorted(trees[0].keys() | trees[1].keys()):
        left, right = trees[0].get(name), trees[1].get(name)
        if left is None or right is None:
            return Difference(
                where=name, recorded="there" if left else "absent", now="there" if right else "absent"
            )
        if (offset := first_differing_byte(left, right)) is not None:
            tensor = tensor_at(left, offset)
            where = f"{name}, byte {offset}" + (f", in tensor {tensor}" if tensor else "")
            return Difference(
                where=where, recorded=f"{left.stat().st_size} bytes", now=f"{right.stat().st_size} bytes"
            )
    return None


def first_differing_byte(left: Path, right: Path) -> int | None:
    """The offset of the first byte that differs in two files, or where the shorter one ends; None when they
    are equal.
    """
    offset = 0
    with left.open("rb") as first, right.open("rb") as second:
        while True:
            one, two = first.read(CHUNK), second.read(CHUNK)
            if one != two:
                shorter = min(len(one), len(two))
                return offset + next((place for place in range(shorter) if one[place] != two[place]), shorter)
            if not one:
                return None
            offset += len(one)


def tensor_at(path: Path, offset: int) -> str | None:
    """The tensor of a safetensors file that holds a byte; None in the header and in other files.

    The format: https://github.com/huggingface/safetensors#format.
    """
    if path.suffix != ".safetensors":
        return None
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    for name, entry in header.items():
        if (
            name != "__metadata__"
            and entry["data_offsets"][0] <= offset - 8 - length < entry["data_offsets"][1]
        ):
            return str(name)
    return None


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} becomes {"a.b": 1}; anything else than an object stays whole.

    Example:
        >>> flat({"packages": {"torch": "2.8"}, "python": "3.11"})
        {'packages.torch': '2.8', 'python': '3.11'}
    """
    if not isinstance(value, dict):
        return {prefix: value}
    return {
        name: leaf
        for key, part in value.items()
        for name, leaf in flat(part, f"{prefix}.{key}" if prefix else key).items()
    }
