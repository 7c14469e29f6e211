"""A dataset with some of its items changed or removed; every other line keeps its bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import InputError, IntegrityError
from core.files import canonical_json, open_for_reading, read_jsonl
from golden.datasets import Dataset, built_in_names, parse_name
from golden.manifest import Change
from golden.schema import Item


def revised_lines(
    source: Path, changes: Mapping[str, tuple[Change, Sequence[str]]]
) -> Iterator[tuple[bytes, str, Change | None]]:
    """The lines of a dataset in their order, one at a time, after some changes.

    Where a reference is replaced its worked steps go too, since they lead to the answer that was wrong.

    Args:
        source: the dataset's file.
        changes: trace_id -> what is done to the item, with the right answers that take the place of the
            reference, or are accepted beside it.

    Yields:
        The line, empty where it is removed; the trace_id; and what was done, None where nothing was.

    Raises:
        IntegrityError: an item that is to be changed is not there.
    """
    left = dict(changes)
    with open_for_reading(source) as lines:
        for line, (_, value) in zip(lines, read_jsonl(source), strict=True):
            trace_id = value["trace_id"]
            change, answers = left.pop(trace_id, (None, ()))
            after = _after(value, change, answers)
            if change != "removed" and after == value:
                change = None
            ended = line if line.endswith(b"\n") else line + b"\n"
            yield _written(ended, after, change), trace_id, change
    if left:
        raise IntegrityError(f"{source}: has no item {next(iter(left))}, though somebody reviewed it.")


def _written(line: bytes, after: dict[str, Any], change: Change | None) -> bytes:
    if change is None:
        return line
    return b"" if change == "removed" else canonical_json(after).encode() + b"\n"


def _after(value: dict[str, Any], change: Change | None, answers: Sequence[str]) -> dict[str, Any]:
    if change == "reference_replaced":
        accepted = list(answers)
        final_answer = accepted[0] if len(accepted) == 1 else accepted
        return {**value, **({"steps": []} if "steps" in value else {}), "final_answer": final_answer}
    if change == "answers_added":
        accepted = list(dict.fromkeys([*Item.model_validate(value).accepted, *answers]))
        return {**value, "final_answer": accepted} if len(accepted) > 1 else value
    return value


def next_name(dataset: Dataset) -> str:
    """The name of the next version of a dataset; never one that is built in.

    Example:
        >>> from golden.datasets import load_dataset
        >>> next_name(load_dataset("golden-v1"))
        'golden-v2'
    """
    number = int(dataset.version.removeprefix("v")) + 1
    while (name := f"{dataset.key}-v{number}") in built_in_names():
        number += 1
    parse_name(name, name)
    return name


def check_new_name(name: str, dataset: Dataset) -> str:
    """A name that somebody chose for a revision.

    Raises:
        InputError: it is no name of a dataset, or built in, or the name of what is revised.
    """
    parse_name(name, name)
    if name == dataset.name or name in built_in_names():
        what = "is the set that is revised" if name == dataset.name else "is built in"
        raise InputError(f"{name}: {what}. Give the revision another name, as in {next_name(dataset)}.")
    return name
