"""The files of a model, by name, size and sha256."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from core.errors import InputError
from core.files import sha256_file

CARD = "README.md"
STATEMENT = "hallmark.intoto.jsonl"
METRICS = "metrics.json"
WRITTEN = frozenset({CARD, STATEMENT, METRICS})
"""What an export writes. It replaces a file of the model by such a name, so no statement covers it."""


class TreeFile(Protocol):
    """One file of a model directory.

    Attributes:
        name: relative, with `/` between its parts.
        size: in bytes.
        sha256: of its content, in hexadecimal.
    """

    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def sha256(self) -> str: ...


class FileEntry(NamedTuple):
    """A `TreeFile` that was read from a directory."""

    name: str
    size: int
    sha256: str


def entries(directory: Path) -> list[FileEntry]:
    """Hash every file of a directory, in name order.

    Raises:
        InputError: it holds a link or a special file.
    """
    return [FileEntry(name, path.stat().st_size, sha256_file(path)) for name, path in walk(directory)]


def walk(directory: Path) -> Iterator[tuple[str, Path]]:
    """The files of a directory, in name order, without following any link.

    Raises:
        InputError: it is no directory, cannot be read, or holds a link or a special file, which could lead
            outside.
    """
    if directory.is_symlink() or not directory.is_dir():
        raise InputError(f"{directory}: not a directory")
    found: list[tuple[str, Path]] = []

    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror})") from error

    for folder, folders, names in os.walk(directory, onerror=refuse):
        for name in (*folders, *names):
            path = Path(folder, name)
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise InputError(
                    f"{path}: a link or special file is refused, since it may lead outside. "
                    "Put the file itself in its place."
                )
        found.extend(
            (Path(folder, name).relative_to(directory).as_posix(), Path(folder, name)) for name in names
        )
    yield from sorted(found)
