"""Finding, reading and checking datasets."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import InputError
from core.files import no_such_file, open_for_reading, read_jsonl, sha256_file
from core.suggestions import did_you_mean
from golden.lines import Line, parse_line
from golden.manifest import DEFAULT_JUDGE, Manifest, check_against_manifest, manifest_path, read_manifest
from golden.schema import DATASET_NAME, MAX_DATASET_NAME, Item, Trace

BUILT_IN = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Dataset:
    """A dataset whose file was read and hashed.

    Attributes:
        key: as in golden.
        version: as in v1.
        path: the .jsonl file.
        sha256: of the file.
        manifest: what pins it, where there is one.
        limit_items: how many items of a larger dataset these are, for a quick look; None for a whole one.
    """

    key: str
    version: str
    path: Path
    sha256: str
    manifest: Manifest | None
    limit_items: int | None = None

    @property
    def name(self) -> str:
        """Key and version: golden-v1."""
        return f"{self.key}-{self.version}"

    @property
    def bands(self) -> dict[str, str]:
        """trace_id -> difficulty band, as the manifest says; empty without one."""
        bands = self.manifest.bands if self.manifest else {}
        return {trace_id: band for band, trace_ids in bands.items() for trace_id in trace_ids}

    @property
    def judge(self) -> str:
        """NAME@vN of the judge that it is meant for: the one that its manifest names, else the default."""
        return (self.manifest and self.manifest.judge) or DEFAULT_JUDGE

    def items(self) -> Iterator[Item]:
        """The items in file order, checked one by one. See `read_items`."""
        return read_items(self.path)

    def traces(self) -> Iterator[Trace]:
        """The lines as training examples, in file order, checked one by one. See `read_traces`."""
        return read_traces(self.path)


def dataset_path(reference: str) -> Path:
    """The file that a reference names: a path that ends in .jsonl, or the name of a built-in dataset.

    Raises:
        InputError: the name is not of the allowed form, or there is no such dataset; says where it was looked
            for, and what is there.
    """
    if reference.endswith(".jsonl"):
        return Path(reference)
    if Path(reference).suffix and Path(reference).exists():
        raise InputError(f"{reference}: is not a dataset yet. {_import(reference)}")
    parse_name(reference, reference)
    path = BUILT_IN / f"{reference}.jsonl"
    if not path.is_file():
        own = Path(f"{reference}.jsonl")
        here = f"Did you mean the file {own}?" if own.is_file() else no_such_file(own)
        built_in = built_in_names()
        raise InputError(
            f"dataset {reference}: not built in ({', '.join(built_in)}).{did_you_mean(reference, built_in)} "
            f"For one of your own give the path of its .jsonl file. {here}"
        )
    return path


def _import(file: str) -> str:
    return f"To make one of it: hallmark golden import {shlex.quote(file)} --name NAME"


def built_in_names() -> list[str]:
    """Names of the datasets that come with Hallmark."""
    return sorted(path.stem for path in BUILT_IN.glob("*.jsonl"))


def parse_name(name: str, where: object) -> tuple[str, str]:
    """Split a dataset name into key and version.

    Raises:
        InputError: it is not of the form `key-vN`.
    """
    match = DATASET_NAME.fullmatch(name) if len(name) <= MAX_DATASET_NAME else None
    if match is None:
        raise InputError(
            f"{str(where)[:200]!r}: not a dataset name. Allowed: a key of a-z, 0-9, - and _, then -v and a "
            f"version number, at most {MAX_DATASET_NAME} characters, as in golden-v1; or the path of a file "
            "named so, as in data/my_eval-v2.jsonl."
            + (f" {_import(str(where))}" if Path(str(where)[:200]).is_file() else "")
        )
    return match["key"], match["version"]


def load_dataset(reference: str | Path) -> Dataset:
    """Find a dataset, hash it, and check it against its manifest where it has one. Reads no items yet.

    Args:
        reference: a built-in name (`golden-v1`) or the path of a file named `key-vN.jsonl`.

    Raises:
        InputError: no such dataset, or it cannot be read.
        IntegrityError: the file is not the one its manifest pins.

    Example:
        >>> dataset = load_dataset("golden-v1")
        >>> next(dataset.items()).prompt
        'Largest of 72, 59, 56?'
    """
    path = dataset_path(str(reference))
    open_for_reading(path).close()
    key, version = parse_name(path.stem, path)
    sha256 = sha256_file(path)
    manifest = read_manifest(path)
    if manifest is not None:
        check_against_manifest(path, sha256, manifest)
        if manifest.name != path.stem:
            raise InputError(
                f"{manifest_path(path)}: name: says {manifest.name}, but the file is {path.name}"
            )
    return Dataset(key, version, path, sha256, manifest)


def read_items(path: Path) -> Iterator[Item]:
    """Read the items of a .jsonl file one by one, in flat memory.

    Raises:
        InputError: `file:line: field: problem` at the first bad line; a trace_id that occurs twice (both
            lines named); no item at all. A bad line is never skipped.
    """
    return _read(path, Item)


def read_traces(path: Path) -> Iterator[Trace]:
    """The same for a training set, whose lines may be conversations, completions or items.

    Raises:
        InputError: see `read_items`.
    """
    return _read(path, Trace)


def _read(path: Path, kind: type[Line]) -> Iterator[Line]:
    seen: set[int] = set()  # hashes take half the memory of ids; should two collide, the file decides
    for number, value in read_jsonl(path):
        line = parse_line(value, f"{path}:{number}", kind)
        mark = hash(line.trace_id)
        if mark in seen and (first := _first_line(path, line.trace_id)) < number:
            raise InputError(
                f"{path}:{number}: trace_id: {line.trace_id} was already used on line {first}. "
                "Ids are unique."
            )
        seen.add(mark)
        yield line
    if not seen:
        raise InputError(f"{path}: no items. A dataset has at least one.")


def _first_line(path: Path, trace_id: str) -> int:
    return next(number for number, value in read_jsonl(path) if value["trace_id"] == trace_id)
