"""Directories that are made from stored contents, and stored contents that are made from directories."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from core.errors import InputError
from core.files import fsync_directory, open_for_reading, sha256_tree
from core.progress import Count, uncounted
from registry.artifacts.blobs import copy_hashed
from registry.artifacts.staging import remove_tree
from registry.artifacts.trees import TreeEntry

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")


def each(work: Callable[[_Given], _Made], values: Iterable[_Given], threads: int) -> list[_Made]:
    """The results for all values, in their order, worked on side by side. The first error is raised."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, values))


def copied(source: Path, tree: Path, name: str, count: Count = uncounted) -> TreeEntry:
    """Copy one file into a new directory, below folders that are made for it, and tell what arrived.

    Args:
        source: the file.
        tree: the directory.
        name: in it.
        count: is told of every piece that arrived.

    Raises:
        InputError: it cannot be read.
        OSError: it cannot be written.
    """
    open_for_reading(source).close()
    target = tree / name
    target.parent.mkdir(parents=True, exist_ok=True)
    sha256 = copy_hashed(source, target, count)
    return TreeEntry(name, target.stat().st_size, sha256)


def is_intact(directory: Path, sha256: str) -> bool:
    """Whether a directory is there and hashes to what it should."""
    try:
        return directory.is_dir() and sha256_tree(directory) == sha256
    except (InputError, OSError, UnicodeError):  # somebody put a link into it, or made a file unreadable
        return False


def appear(tree: Path, target: Path) -> None:
    """Give a finished directory its name; what has the name already goes away.

    Raises:
        OSError: it cannot be renamed.
    """
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        with suppress(FileNotFoundError):
            remove_tree(target, target.parent)
    try:
        tree.replace(target)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):  # another process was faster with the same files
            raise
    fsync_directory(target.parent)
