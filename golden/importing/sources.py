"""Where rows are: a file, a directory of Hugging Face datasets, or a dataset on the hub."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from core.errors import InputError, ResourceError
from core.files import no_such_file, open_for_reading, sha256_entries, sha256_file
from golden.importing.arrow import arrow_table, parquet_table
from golden.importing.rows import Table
from golden.importing.text import text_table
from golden.manifest import MANIFEST_SUFFIX

HUB_PREFIX = "hf:"
HUB = re.compile(r"hf:(?P<id>[\w.-]+(/[\w.-]+)?)(@(?P<revision>[\w./-]+))?(:(?P<split>[\w./-]+))?", re.ASCII)
TEXTS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt")
PARQUET = (".parquet", ".pq")
SUFFIXES = (*TEXTS, *PARQUET, ".arrow")
SHAPES = "JSONL, JSON, CSV, TSV, Parquet, Arrow, a dataset directory, hf:ORG/NAME@REVISION:SPLIT"
NO_DATA = frozenset({"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"})
"""What stands beside the data in a directory."""
LFS_POINTER = b"version https://git-lfs"
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Source:
    """What is imported.

    Attributes:
        name: as a person gave it; of a hub dataset with the commit.
        tables: its files, in order.
        sha256: of the file; of several, over their names, sizes and contents.
    """

    name: str
    tables: list[Table]
    sha256: str

    @property
    def shape(self) -> str:
        """What it is, in words."""
        shape = self.tables[0].shape
        return shape if len(self.tables) == 1 else f"{len(self.tables)} files of {shape}"


def open_source(reference: str, encoding: str | None = None, split: str | None = None) -> Source:
    """Find what is to be imported and look at how it begins.

    Args:
        reference: a file, a directory, or `hf:ORG/NAME@REVISION:SPLIT`.
        encoding: of a text file; None to find it.
        split: which part of a directory or of a JSON object; of a hub dataset it may stand in the reference.

    Raises:
        InputError: there is nothing there, it is of no known shape, or it has several splits; lists them.
        ResourceError: the hub does not give it, or a package is missing.

    Example:
        >>> open_source("golden/data/golden-v1.jsonl").shape
        'JSONL'
    """
    if reference.startswith(HUB_PREFIX):
        return _from_hub(reference, split)
    path = Path(reference).expanduser()
    if path.is_dir():
        names = sorted(each.relative_to(path).as_posix() for each in path.rglob("*") if each.is_file())
        chosen = split_files(names, split, reference)
        return _source(reference, path, chosen, encoding, split)
    if not path.exists():
        raise InputError(f"{path}: no such file. {no_such_file(path)}")
    table = _table(path, encoding, split)
    return Source(reference, [table], sha256_file(path))


def _source(name: str, folder: Path, files: list[str], encoding: str | None, split: str | None) -> Source:
    tables = [_table(folder / file, encoding, split) for file in files]
    entries = [(file, (folder / file).stat().st_size, sha256_file(folder / file)) for file in files]
    return Source(name, tables, entries[0][2] if len(entries) == 1 else sha256_entries(entries))


def _table(path: Path, encoding: str | None, split: str | None) -> Table:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        packed = " Unpack it first." if suffix in (".gz", ".zip", ".zst", ".bz2", ".xz") else ""
        hint = " Save it as CSV first." if suffix in (".xlsx", ".xls", ".ods") else packed
        raise InputError(f"{path}: {suffix or 'without an ending'} is not imported, but {SHAPES}.{hint}")
    with open_for_reading(path) as file:
        head = file.read(len(LFS_POINTER))
    if not head:
        raise InputError(f"{path}: is empty; a file to import has at least one row.")
    if head == LFS_POINTER:
        raise InputError(f"{path}: is only a pointer of Git LFS. Get the file: git lfs pull")
    if suffix in PARQUET:
        return parquet_table(path)
    return arrow_table(path) if suffix == ".arrow" else text_table(path, encoding, split)


def split_files(names: Iterable[str], split: str | None, where: str) -> list[str]:
    """The data files of one split, in order.

    Args:
        names: all files of a directory, with `/`.
        split: as in `test`, or with the folder before it, as in `main/test`; None where there is one only.
        where: the directory, for messages.

    Raises:
        InputError: there is no data, no such split, or more than one.

    Example:
        >>> split_files(["README.md", "main/test-00000.parquet", "main/train-00000.parquet"], "test", "d")
        ['main/test-00000.parquet']
    """
    splits: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        path = PurePosixPath(name)
        hidden = any(part.startswith(".") for part in path.parts) or path.name.startswith("cache-")
        if (
            path.suffix.lower() in SUFFIXES
            and path.suffix != ".txt"
            and path.name not in NO_DATA
            and not path.name.endswith(MANIFEST_SUFFIX)
            and not hidden
        ):
            splits[split_name(path)].append(name)
    if not splits:
        raise InputError(f"{where}: holds no file that can be imported: {', '.join(SUFFIXES)}")
    ends = [
        name for name in splits if split is None or name == split or name.endswith(f"/{split.strip('/')}")
    ]
    chosen = [split] if split in splits else ends
    shown = ", ".join(name or "(the directory itself)" for name in splits)
    if len(chosen) > 1:
        raise InputError(f"{where}: has several splits: {shown}. Name one, as in --split {chosen[0]}")
    if not chosen:
        raise InputError(f"{where}: has no split {split}, but {shown}")
    found = splits[chosen[0]]
    if len({PurePosixPath(name).suffix for name in found}) > 1:
        raise InputError(f"{where}: {', '.join(found)}: the same split in several formats. Name one file.")
    return found


def split_name(path: PurePosixPath) -> str:
    """What a data file belongs to, by its path: `data/test-00000-of-00002.parquet` to `test`.

    Example:
        >>> split_name(PurePosixPath("main/train/data-00000-of-00001.arrow"))
        'main/train'
    """
    last = re.sub(r"(?:^|[-_])\d+(?:-of-\d+)?(?:-[0-9a-f]+)?$", "", path.stem)
    parts = [part for part in path.parts[:-1] if part != "data"]
    return "/".join([*parts, last] if last not in ("", "data") else parts)


def _from_hub(reference: str, split: str | None) -> Source:
    match = HUB.fullmatch(reference)
    if match is None:
        raise InputError(f"{reference}: expected hf:ORG/NAME@REVISION:SPLIT, as in hf:openai/gsm8k@main:test")
    repository, revision, split = match["id"], match["revision"], match["split"] or split
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        commit = HfApi().dataset_info(repository, revision=revision).sha or ""
        names = HfApi().list_repo_files(repository, revision=commit, repo_type="dataset")
        chosen = split_files(names, split, f"{HUB_PREFIX}{repository}@{commit}")
        folder = Path(
            snapshot_download(repository, repo_type="dataset", revision=commit, allow_patterns=chosen)
        )
    except HFValidationError as error:
        raise InputError(f"{reference}: not a hub dataset: {error}") from error
    except InputError:
        raise
    except Exception as error:  # whatever the HTTP library of the hub's client raises
        reason = " ".join(str(error).split())[:200]
        raise ResourceError(
            f"{reference}: the hub did not give it ({type(error).__name__}: {reason}). Check the name and "
            "the revision; offline, copy the dataset to a directory and import that."
        ) from error
    return _source(
        f"{HUB_PREFIX}{repository}@{commit}:{split_name(PurePosixPath(chosen[0]))}",
        folder,
        chosen,
        None,
        split,
    )
