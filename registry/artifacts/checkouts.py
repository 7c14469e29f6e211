"""Checkouts: local directories made from blobs; and the copies that blobs are made from."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from core.errors import InputError, IntegrityError, UnreadableError
from core.files import fsync_directory, open_for_reading, raise_for_os_error, sha256_tree
from core.progress import Count, byte_meter, uncounted
from registry.artifacts.blobs import Blobs, changed, copy_hashed
from registry.artifacts.staging import PREFIX, beside, clean_staging, remove_tree
from registry.artifacts.trees import TreeEntry

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")


def each(work: Callable[[_Given], _Made], values: Iterable[_Given], threads: int) -> list[_Made]:
    """The results for all values, in their order, computed by several threads. The first error is raised."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, values))


def copied(source: Path, tree: Path, name: str, count: Count = uncounted) -> TreeEntry:
    """Copy one file into a new directory, making folders as needed.

    Args:
        source: the file.
        tree: the directory.
        name: the file's, in the directory.
        count: is called for every piece that was copied.

    Returns:
        The copy as an entry of the directory's tree.

    Raises:
        InputError: it cannot be read.
        OSError: it cannot be written.
    """
    open_for_reading(source).close()
    target = tree / name
    target.parent.mkdir(parents=True, exist_ok=True)
    sha256 = copy_hashed(source, target, count)
    return TreeEntry(name, target.stat().st_size, sha256)


def check_out(
    blobs: Blobs, sha256: str, entries: Sequence[TreeEntry], target: Path, *, linked: bool, threads: int
) -> None:
    """Make a directory of an artifact's verified files, which appears atomically.

    Args:
        blobs: the contents.
        sha256: of the artifact.
        entries: its files.
        target: the directory; what has the name already is replaced.
        linked: the files may be second names of the stored ones, which nobody may write to.
        threads: how many files are fetched at the same time.

    Raises:
        IntegrityError: a file is missing or changed in the store.
        ResourceError: the disk is full, or the remote place is not usable.
    """

    def fetch(entry: TreeEntry, tree: Path, count: Count) -> None:
        path = tree / entry.name
        path.parent.mkdir(parents=True, exist_ok=True)
        if (found := blobs.fetch(entry.sha256, path, linked=linked, count=count)) != entry.sha256:
            raise IntegrityError(f"artifact {sha256}: {entry.name}: {changed(blobs, entry.sha256, found)}")

    size = sum(entry.size for entry in entries)
    try:
        with clean_staging(target.parent, PREFIX if linked else beside(target)) as partial:
            tree = partial / "tree"
            tree.mkdir()
            with byte_meter("check out", size) as count:
                each(lambda entry: fetch(entry, tree, count), entries, threads)
            appear(tree, target)
    except OSError as error:
        raise_for_os_error(error, target, size)


def is_intact(directory: Path, sha256: str) -> bool:
    """Whether a directory is there and hashes to what it should."""
    try:
        return directory.is_dir() and sha256_tree(directory) == sha256
    except (InputError, UnreadableError, OSError, UnicodeError):  # a link in it, or a file closed to us
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
        if error.errno not in (
            errno.EEXIST,
            errno.ENOTEMPTY,
        ):  # another process was faster with the same files
            raise
    fsync_directory(target.parent)
