"""Removing what no kept artifact needs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core.files import raise_for_os_error
from registry.artifacts.blobs import FOLDER, Blob, Blobs
from registry.artifacts.checkouts import each
from registry.artifacts.staging import leftovers, remove_leftovers, remove_tree
from registry.artifacts.trees import SHA256, TreeEntry, looks_like_tree

LARGEST_TREE_BYTES = 16 << 20
THREADS = 8


@dataclass(frozen=True, slots=True)
class Collected:
    """What was, or would be, removed.

    Attributes:
        files: how many.
        bytes: their total size; a file with several names counts once.
        names: blobs relative to the store, folders as paths.
    """

    files: int = 0
    bytes: int = 0
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Survey:
    """What a look at the whole store found.

    Attributes:
        before: what was stored after this time stays, in seconds since 1970.
        kept: the artifacts that stayed when it was made, and their files.
        dead: what none of them needs.
        trees: those of it that are tree objects.
    """

    before: float
    kept: Mapping[str, Sequence[TreeEntry]]
    dead: Sequence[Blob]
    trees: frozenset[str]


def survey(blobs: Blobs, kept: Mapping[str, Sequence[TreeEntry]], grace_s: float) -> Survey:
    """See `registry.artifacts.store.Store.survey`.

    Args:
        blobs: of the store.
        kept: the artifacts that stay, and their files.
        grace_s: age below which nothing is removed, in seconds.
    """
    before, needed = time.time() - grace_s, _needed(kept)
    dead = [blob for blob in blobs.list() if blob.sha256 not in needed and blob.modified <= before]
    small = [blob.sha256 for blob in dead if blob.size <= LARGEST_TREE_BYTES]
    found = each(lambda sha256: looks_like_tree(blobs.read(sha256) or b""), small, THREADS)
    return Survey(
        before, kept, dead, frozenset(sha256 for sha256, is_tree in zip(small, found, strict=True) if is_tree)
    )


def sweep(
    blobs: Blobs,
    survey: Survey,
    kept: Mapping[str, Sequence[TreeEntry]],
    checkouts: Path,
    scratch: Sequence[Path],
    *,
    dry_run: bool,
) -> Collected:
    """See `registry.artifacts.store.Store.sweep`.

    Args:
        blobs: of the store.
        survey: what to remove unless it is needed.
        kept: the artifacts that stay, and their files.
        checkouts: folder of the checkouts.
        scratch: folders in which killed processes may have left something.
        dry_run: remove nothing.
    """
    # Asked once more: an artifact that was put since the survey may share blobs with what was dead then, and
    # a blob that is stored already is not stored again.
    needed = _needed(kept)
    dead = [blob for blob in survey.dead if blob.sha256 not in needed]
    try:
        stale = [
            path
            for path in _checkouts(checkouts)
            if path.name not in kept and path.stat().st_mtime <= survey.before
        ]
        folders = [*stale, *(path for folder in scratch for path in leftovers(folder))]
        sizes = [size for folder in folders for size in _sizes(folder)]
        if not dry_run:
            # Tree objects first: killed in between, no tree object is left that names a blob that is gone.
            blobs.delete(blob.sha256 for blob in dead if blob.sha256 in survey.trees)
            blobs.delete(blob.sha256 for blob in dead if blob.sha256 not in survey.trees)
            for path in stale:
                remove_tree(path, checkouts)
            for folder in scratch:
                remove_leftovers(folder)
    except OSError as error:
        raise_for_os_error(error, checkouts)
    names = (*(f"{FOLDER}/{blob.sha256[:2]}/{blob.sha256}" for blob in dead), *map(str, folders))
    return Collected(len(dead) + len(sizes), sum(blob.size for blob in dead) + sum(sizes), names)


def _needed(kept: Mapping[str, Sequence[TreeEntry]]) -> set[str]:
    return {*kept, *(entry.sha256 for entries in kept.values() for entry in entries)}


def _checkouts(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*")) if SHA256.fullmatch(path.name)]


def _sizes(folder: Path) -> list[int]:
    """The sizes of a folder's files, or of a file, that have no other name, in bytes. What somebody else has
    removed or renamed by now, as whoever checks something out does, is left out.
    """
    sizes = []
    for path in [*folder.rglob("*"), folder] if folder.is_dir() else [folder]:
        with suppress(FileNotFoundError):
            if not path.is_dir() and (found := path.lstat()).st_nlink == 1:
                sizes.append(found.st_size)
    return sizes
