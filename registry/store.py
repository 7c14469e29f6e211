"""Model directories, kept by the sha256 of their content: written once, whole, and verified when they are read."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from hallmark.errors import IntegrityError
from hallmark.files import fsync_directory, raise_for_os_error, sha256_file, sha256_tree


class TreeEntry(NamedTuple):
    name: str
    size: int
    sha256: str


class Store:
    """A folder of artifacts, at `root/<first two>/<sha256>/`.

    Args:
        root: the folder; made when it is first written to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, sha256: str) -> Path:
        """Where an artifact is, or would be."""
        return self.root / sha256[:2] / sha256

    def key(self, sha256: str) -> str:
        return self.path(sha256).relative_to(self.root).as_posix()

    def has_tree(self, sha256: str) -> bool:
        return self.path(sha256).is_dir()

    def tree(self, sha256: str) -> list[TreeEntry]:
        root = self.get_tree(sha256)
        return [TreeEntry(p.relative_to(root).as_posix(), p.stat().st_size, sha256_file(p)) for p in sorted(root.rglob("*")) if p.is_file()]

    def put_tree(self, source: Path) -> str:
        """Keep a copy of a directory. What is kept already is not copied again; a damaged copy is replaced.

        Args:
            source: a directory of regular files.

        Returns:
            Its sha256.

        Raises:
            InputError: it holds a link or special file.
            IntegrityError: it changed while it was copied.
            ResourceError: the disk is full or cannot be written.
        """
        sha256 = sha256_tree(source)
        target = self.path(sha256)
        try:
            with self._locked():
                self._remove_leftovers()
                if not target.is_dir() or sha256_tree(target) != sha256:
                    self._copy(source, target, sha256)
        except OSError as error:
            raise_for_os_error(error, target)
        return sha256

    def get_tree(self, sha256: str) -> Path:
        """The directory of an artifact, hashed again.

        Raises:
            IntegrityError: it is missing or changed.
        """
        path = self.path(sha256)
        if not path.is_dir():
            raise IntegrityError(f"artifact {sha256}: missing at {path}. Restore it from a backup, or promote its run again.")
        if (found := sha256_tree(path)) != sha256:
            raise IntegrityError(
                f"artifact {sha256}: changed at {path}: found sha256 {found}. Restore it from a backup, or promote its run again."
            )
        return path

    def _copy(self, source: Path, target: Path, sha256: str) -> None:
        partial = self.root / f".partial-{sha256}"
        shutil.copytree(source, partial, symlinks=True)
        for path in partial.rglob("*"):
            if path.is_file():
                path.chmod(0o644)
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        if (found := sha256_tree(partial)) != sha256:
            shutil.rmtree(partial)
            raise IntegrityError(
                f"{source}: changed while it was copied: expected sha256 {sha256}, found {found}. Try again when nothing writes to it."
            )
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(exist_ok=True)
        partial.replace(target)
        fsync_directory(target.parent)

    def _remove_leftovers(self) -> None:
        """What a killed process left half copied; under the lock nobody else is copying."""
        for leftover in self.root.glob(".partial-*"):
            shutil.rmtree(leftover)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
