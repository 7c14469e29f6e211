"""The trees that are stored: what is in them, whether they are whole, whether they are what they were."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from core.errors import IntegrityError
from core.files import HASHING_THREADS, sha256_bytes
from core.progress import byte_meter
from registry.artifacts import old_layout
from registry.artifacts.blobs import FOLDER, Blobs, LocalBlobs
from registry.artifacts.checkouts import each
from registry.artifacts.trees import TreeEntry, parse_manifest
from registry.artifacts.urls import ArtifactUrl

REMEDY = "Restore it from a backup, or promote its run again."
REMOTE_THREADS = 8

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")


class StoredTrees:
    """Reading and checking what `registry.artifacts.store.Store` keeps.

    Args:
        url: a folder, or any URL of fsspec.

    Raises:
        InputError: the URL is not usable. Nothing is opened before it is needed.
    """

    def __init__(self, url: str | Path) -> None:
        self.url = ArtifactUrl(url)

    @property
    def place(self) -> str:
        """Where the artifacts are, without any user, password or query."""
        return self.url.place

    @cached_property
    def blobs(self) -> Blobs:
        """The place of the contents, opened on first use."""
        if self.url.folder is not None:
            return LocalBlobs(self.url.folder)
        from registry.artifacts.remote_blobs import RemoteBlobs

        return RemoteBlobs(self.url)

    def key(self, sha256: str) -> str:
        """Where an artifact's tree object is, relative to the store."""
        return f"{FOLDER}/{sha256[:2]}/{sha256}"

    def tree(self, sha256: str) -> list[TreeEntry]:
        """The files of an artifact, in name order; their contents are not looked at.

        Raises:
            IntegrityError: the tree object is missing or changed, or names a file outside the artifact.
        """
        data = self.blobs.read(sha256)
        if data is None and self._adopt(sha256):
            data = self.blobs.read(sha256)
        if data is None:
            self.blobs.require_place()
            raise IntegrityError(f"artifact {sha256}: missing at {self.blobs.where(sha256)}. {REMEDY}")
        if (found := sha256_bytes(data)) != sha256:
            raise IntegrityError(f"artifact {sha256}: its tree object: {self._changed(sha256, found)}")
        try:
            return parse_manifest(data)
        except IntegrityError as error:
            raise IntegrityError(f"artifact {sha256}: refused at {self.blobs.where(sha256)}: {error}") from None

    def has_tree(self, sha256: str) -> bool:
        """Whether the tree object and all of its files are stored with the right size. No content is hashed.

        Raises:
            ResourceError: the place is not usable.
        """
        data = self.blobs.read(sha256)
        if data is None or sha256_bytes(data) != sha256:
            return False
        try:
            entries = parse_manifest(data)
        except IntegrityError:
            return False
        return all(self._each(lambda entry: self.blobs.size(entry.sha256) == entry.size, entries))

    def check_trees(self, hashes: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Hash what is stored of some artifacts; what several of them share, once.

        Yields:
            For each file that is missing or changed the artifact's hash and a sentence.
        """
        trees: dict[str, list[TreeEntry]] = {}
        for sha256 in hashes:
            try:
                trees[sha256] = self.tree(sha256)
            except IntegrityError as error:
                yield sha256, str(error).removeprefix(f"artifact {sha256}: ")
        sizes = {entry.sha256: entry.size for entries in trees.values() for entry in entries}
        with byte_meter("verify artifacts", sum(sizes.values())) as count:
            found = dict(zip(sizes, self._each(lambda content: self.blobs.digest(content, count), sizes), strict=True))
        for sha256, entries in trees.items():
            for entry in entries:
                if found[entry.sha256] != entry.sha256:
                    yield sha256, f"{entry.name}: {self._changed(entry.sha256, found[entry.sha256])}"

    def _changed(self, sha256: str, found: str | None) -> str:
        where = self.blobs.where(sha256)
        return f"missing at {where}. {REMEDY}" if found is None else f"changed at {where}: found sha256 {found}. {REMEDY}"

    def _adopt(self, sha256: str) -> bool:
        return isinstance(self.blobs, LocalBlobs) and old_layout.adopt(self.blobs, sha256)

    def _each(self, work: Callable[[_Given], _Made], values: Iterable[_Given]) -> list[_Made]:
        return each(work, values, REMOTE_THREADS if self.url.folder is None else HASHING_THREADS)
