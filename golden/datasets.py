"""Finding, reading and checking datasets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from core.errors import InputError
from core.files import open_for_reading, read_jsonl, sha256_file
from golden.manifest import DEFAULT_JUDGE, Manifest, check_against_manifest, manifest_path, read_manifest
from golden.schema import DATASET_NAME, MAX_DATASET_NAME, Item

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


def dataset_path(reference: str) -> Path:
    """The file that a reference names: a path that ends in .jsonl, or the name of a built-in dataset.

    Raises:
        InputError: the name is not of the allowed form, or there is no such dataset.
    """
    if reference.endswith(".jsonl"):
        return Path(reference)
    parse_name(reference, reference)
    path = BUILT_IN / f"{reference}.jsonl"
    if not path.is_file():
        raise InputError(
            f"dataset {reference}: not built in ({', '.join(built_in_names())}). "
            "For one of your own give the path of its .jsonl file."
        )
    return path


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
    seen: set[int] = set()  # hashes take half the memory of ids; should two collide, the file decides
    for number, value in read_jsonl(path):
        item = parse_item(value, f"{path}:{number}")
        mark = hash(item.trace_id)
        if mark in seen and (first := _first_line(path, item.trace_id)) < number:
            raise InputError(
                f"{path}:{number}: trace_id: {item.trace_id} was already used on line {first}. "
                "Ids are unique."
            )
        seen.add(mark)
        yield item
    if not seen:
        raise InputError(f"{path}: no items. A dataset has at least one.")


def _first_line(path: Path, trace_id: str) -> int:
    return next(number for number, value in read_jsonl(path) if value["trace_id"] == trace_id)


def parse_item(value: Any, where: str) -> Item:
    """Turn one parsed line into an item.

    Raises:
        InputError: names the place, the field and the problem.
    """
    item = item_or_problems(value)
    if isinstance(item, Item):
        return item
    raise InputError(f"{where}: {item[0]}")


def item_or_problems(value: Any) -> Item | list[str]:
    """One parsed line as an item, or everything that keeps it from being one, as `field: problem`."""
    if not isinstance(value, dict):
        return [f"expected a JSON object, got {_kind(value)}"]
    try:
        return Item.model_validate(value)
    except ValidationError as error:
        return [
            f"{'.'.join(str(part) for part in problem['loc'])}: {_explain(problem)}"
            for problem in error.errors()
        ]


def _explain(problem: Any) -> str:
    kind, given = problem["type"], problem["input"]
    if kind == "missing":
        return "missing field"
    if kind == "extra_forbidden":
        return "unknown field"
    if kind == "string_type":
        return f"expected a string, got {_kind(given)}"
    if kind == "dict_type":
        return f"expected an object, got {_kind(given)}"
    if kind == "list_type":
        return f"expected an array of strings, got {_kind(given)}"
    if kind == "string_too_short" or (
        kind == "string_pattern_mismatch" and problem["ctx"]["pattern"] == r"\S"
    ):
        return "is empty"
    if kind == "string_pattern_mismatch":
        return f"{given[:80]!r} is not allowed; it must match {problem['ctx']['pattern']}"
    return str(problem["msg"])


def _kind(value: Any) -> str:
    names = {
        type(None): "null",
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "an array",
        dict: "an object",
    }
    return names[type(value)]
