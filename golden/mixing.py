"""Several training sets as one file, in which each trace stands as often as the weight of its set says."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from core.files import atomic_writer, canonical_json, read_jsonl, sha256_bytes, sha256_file
from golden.datasets import Dataset
from golden.schema import MAX_TRACE_ID, NAMESPACE

KEY = "mix"


@dataclass(frozen=True)
class Part:
    """One training set of a mixture.

    Attributes:
        dataset: hashed and checked.
        weight: how often each of its traces is seen per epoch: 2 twice, 0.5 a half of them.
    """

    dataset: Dataset
    weight: float


def write_mixture(parts: Sequence[Part], seed: int, folder: Path) -> Dataset:
    """Write a mixture, where it is not there yet. The same parts, weights and seed give the same bytes.

    A trace keeps its id; one that was used already gets the name of its set before it, and from the second
    copy on a number behind it.

    Args:
        parts: the training sets.
        seed: decides which traces of a set with a fraction in its weight are taken.
        folder: the file is kept below it, in a folder of its sha256.

    Returns:
        The mixture, named after its sha256.

    Raises:
        InputError: a line of a part is bad.
    """
    digest = hashlib.sha256()
    for line in _lines(parts, seed):
        digest.update(line)
    sha256 = digest.hexdigest()
    key = f"{KEY}_{sha256[:12]}"
    path = folder / sha256 / f"{key}-v1.jsonl"
    if not path.is_file() or sha256_file(path) != sha256:
        with atomic_writer(path) as file:
            file.writelines(_lines(parts, seed))
    return Dataset(key, "v1", path, sha256, None)


def _lines(parts: Sequence[Part], seed: int) -> Iterator[bytes]:
    used: set[str] = set()
    for part in parts:
        whole, fraction = divmod(part.weight, 1)
        # The traces are checked as they are read, and written as they are.
        traces = [trace.trace_id for trace in part.dataset.traces()]
        some = _some(traces, round(fraction * len(traces)) or (whole == 0), f"{seed} {part.dataset.name}")
        for copy in range(int(whole) + bool(some)):
            for trace_id, (_, value) in zip(traces, read_jsonl(part.dataset.path), strict=True):
                if copy < whole or trace_id in some:
                    name = _unused(trace_id, part.dataset.name, used)
                    used.add(name)
                    yield canonical_json({**value, "trace_id": name}).encode() + b"\n"


def _some(traces: Sequence[str], number: int, salt: str) -> set[str]:
    """So many of some traces: those whose salted hashes are the smallest, whatever order they are in."""
    return set(sorted(traces, key=lambda trace: sha256_bytes(f"{salt} {trace}".encode()))[:number])


def _unused(trace_id: str, name: str, used: set[str]) -> str:
    """The first of an id's names that is not used."""
    names = chain((trace_id, f"{name}:{trace_id}"), (f"{name}:{trace_id}:{copy}" for copy in count(2)))
    short = (each if len(each) <= MAX_TRACE_ID else str(uuid.uuid5(NAMESPACE, each)) for each in names)
    return next(each for each in short if each not in used)
