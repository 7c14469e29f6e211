"""Stores made before there were blobs: directories at `<root>/<first two>/<sha256>/`, which become blobs."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from core.errors import InputError, IntegrityError
from core.files import HASHING_THREADS, raise_for_os_error, sha256_file, tree_files
from registry.artifacts.blobs import REMEDY, LocalBlobs
from registry.artifacts.checkouts import each
from registry.artifacts.staging import remove_tree, staging
from registry.artifacts.trees import SHA256, TreeEntry, manifest, tree_sha256


class Converted(NamedTuple):
    """What became of the old directories.

    Attributes:
        moved: how many are blobs now.
        damaged: a sentence for each that is not what its name says; it stays where it is.
    """

    moved: int = 0
    damaged: tuple[str, ...] = ()


def convert_all(blobs: LocalBlobs) -> Converted:
    """Move every old directory into blobs; raise ResourceError when the disk is full or cannot be written."""
    moved, damaged = 0, []
    for directory in sorted(blobs.root.glob("[0-9a-f][0-9a-f]/*")):
        try:
            moved += bool(SHA256.fullmatch(directory.name)) and convert(blobs, directory.name)
        except IntegrityError as error:
            damaged.append(str(error))
    for folder in blobs.root.glob("[0-9a-f][0-9a-f]"):
        _remove_empty(folder)
    return Converted(moved, tuple(damaged))


def convert(blobs: LocalBlobs, sha256: str) -> bool:
    """Move one old directory into blobs. It stays whole until its tree object is written.

    Returns:
        Whether there was one.

    Raises:
        IntegrityError: it is not what its name says.
        ResourceError: the disk is full or cannot be written.
    """
    directory = blobs.root / sha256[:2] / sha256
    if not directory.is_dir():
        return False
    try:
        with _alone(blobs.root):
            if directory.is_dir():
                _move(blobs, directory)
    except OSError as error:
        raise_for_os_error(error, directory)
    return True


def _move(blobs: LocalBlobs, directory: Path) -> None:
    sha256 = directory.name
    try:
        files = tree_files(directory)
        hashes = each(sha256_file, files.values(), HASHING_THREADS)
        entries = [
            TreeEntry(name, path.stat().st_size, found)
            for (name, path), found in zip(files.items(), hashes, strict=True)
        ]
        found = f"found sha256 {tree_sha256(entries)}"
    except InputError as error:
        entries, found = None, str(error)
    if entries is not None and tree_sha256(entries) == sha256:
        with staging(blobs.root) as partial:
            for entry in entries:
                blobs.add(files[entry.name], entry.sha256)
            (partial / "object").write_bytes(manifest(entries))
            blobs.add(partial / "object", sha256)
    elif blobs.size(sha256) is None:
        raise IntegrityError(f"artifact {sha256}: changed at {directory}: {found}. {REMEDY}")
    remove_tree(directory, blobs.root)
    _remove_empty(directory.parent)


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):  # something is still in it
        folder.rmdir()


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    with (root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
