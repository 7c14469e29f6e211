"""Removing what no kept artifact needs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hallmark.files import raise_for_os_error
from registry.blobs import FOLDER, Blob, Blobs
from registry.checkouts import each
from registry.staging import leftovers, remove_leftovers, remove_tree
from registry.trees import SHA256, TreeEntry, looks_like_tree

LARGEST_TREE_BYTES = 16 << 20
THREADS = 8


@dataclass(frozen=True, slots=True)
class Collected:
    """What was, or would be, removed.

    Attributes:
        files: how many.
        bytes: their size together; bytes with several names count once.
        names: blobs relative to the store, folders as paths.
    """

    files: int = 0
    bytes: int = 0
    names: tuple[str, ...] = ()


def collect(
    blobs: Blobs, kept: Mapping[str, Sequence[TreeEntry]], checkouts: Path, scratch: Sequence[Path], *, dry_run: bool, grace_s: float
) -> Collected:
    """See `registry.store.Store.collect`.

    Args:
        blobs: the contents.
        kept: the artifacts that stay, and their files.
        checkouts: folder of the checkouts.
        scratch: folders in which killed processes may have left something.
        dry_run: only tell.
        grace_s: age below which nothing is removed, in seconds.
    """
    before = time.time() - grace_s
    needed = {*kept, *(entry.sha256 for entries in kept.values() for entry in entries)}
    dead = [blob for blob in blobs.list() if blob.sha256 not in needed and blob.modified <= before]
    try:
        stale = [path for path in _checkouts(checkouts) if path.name not in kept and path.stat().st_mtime <= before]
        folders = [*stale, *(path for folder in scratch for path in leftovers(folder))]
        sizes = [size for folder in folders for size in _sizes(folder)]
        if not dry_run:
            _delete(blobs, dead)
            for path in stale:
                remove_tree(path, checkouts)
            for folder in scratch:
                remove_leftovers(folder)
    except OSError as error:
        raise_for_os_error(error, checkouts)
    names = (*(f"{FOLDER}/{blob.sha256[:2]}/{blob.sha256}" for blob in dead), *map(str, folders))
    return Collected(len(dead) + len(sizes), sum(blob.size for blob in dead) + sum(sizes), names)


def _delete(blobs: Blobs, dead: Sequence[Blob]) -> None:
    """Tree objects first: killed in between, no tree object is left that names a blob that is gone."""
    small = [blob.sha256 for blob in dead if blob.size <= LARGEST_TREE_BYTES]
    trees = [
        sha256
        for sha256, is_tree in zip(small, each(lambda s: looks_like_tree(blobs.read(s) or b""), small, THREADS), strict=True)
        if is_tree
    ]
    blobs.delete(trees)
    blobs.delete(sorted({blob.sha256 for blob in dead} - set(trees)))


def _checkouts(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*")) if SHA256.fullmatch(path.name) and path.is_dir()]


def _sizes(folder: Path) -> list[int]:
    """The sizes of a folder's files that have no other name, in bytes."""
    stats = [path.lstat() for path in folder.rglob("*") if not path.is_dir()]
    return [stat.st_size for stat in stats if stat.st_nlink == 1]
