"""Directories of files, kept by the sha256 of their content: written once, whole, and verified when they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from hallmark.errors import InputError, IntegrityError
from hallmark.files import HASHING_THREADS, raise_for_os_error, sha256_bytes
from registry import adoption, collection
from registry.artifact_urls import ArtifactUrl
from registry.blobs import FOLDER, Blobs, LocalBlobs, copy_hashed
from registry.checkouts import appear, copied, each, is_intact
from registry.collection import Collected
from registry.staging import PREFIX, remove_leftovers, staging
from registry.trees import TreeEntry, manifest, parse_manifest, safe_tree_files

REMEDY = "Restore it from a backup, or promote its run again."
REMOTE_THREADS = 8

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")


class Store:
    """Artifacts: every file's content is kept once, as a blob under its sha256. A tree object, a blob too, names the files of a directory.

    Args:
        url: a folder, or any URL of fsspec such as `s3://bucket/prefix`. Credentials are those of fsspec and its clients.
        checkouts: local folder of the directories that are read, at `checkouts/<sha256>/`.

    Raises:
        InputError: the URL is not usable. Nothing is opened before it is needed.
    """

    def __init__(self, url: str | Path, checkouts: Path) -> None:
        self.url = ArtifactUrl(url)
        self.checkouts = checkouts

    @property
    def place(self) -> str:
        """Where the artifacts are, without any user, password or query."""
        return self.url.place

    @property
    def root(self) -> Path:
        """The folder that `path` is below."""
        return self.checkouts

    @cached_property
    def blobs(self) -> Blobs:
        """The place of the contents, opened on first use."""
        if self.url.folder is not None:
            return LocalBlobs(self.url.folder)
        from registry.remote_blobs import RemoteBlobs

        return RemoteBlobs(self.url)

    def path(self, sha256: str) -> Path:
        """Where `get_tree` puts an artifact, for people to look at."""
        return self.checkouts / sha256

    def key(self, sha256: str) -> str:
        """Where an artifact's tree object is, relative to the store."""
        return f"{FOLDER}/{sha256[:2]}/{sha256}"

    def put_tree(self, source: Path) -> str:
        """Keep a copy of a directory, whole or not at all. What is kept already is not sent again; a damaged copy is replaced.

        Each file is read once: it is hashed while it is copied. Compare the result with the hash that you expect.

        Args:
            source: a directory of regular files.

        Returns:
            Its sha256, the same as `hallmark.files.sha256_tree`.

        Raises:
            InputError: it holds a link, a special file or a name that is refused.
            ResourceError: the disk is full or cannot be written, or the remote place is not usable.
        """
        files = safe_tree_files(source)
        parent = self.checkouts if self.url.folder is None else self.url.folder
        needed = 0
        try:
            needed = sum(path.stat().st_size for path in files.values())
            with staging(parent) as partial:
                tree = partial / "tree"
                tree.mkdir()
                entries = self._each(lambda item: copied(item[1], tree, item[0]), files.items())
                self._each(
                    lambda entry: self.blobs.add(tree / entry.name, entry.sha256), {entry.sha256: entry for entry in entries}.values()
                )
                sha256 = self._add_tree_object(entries, partial)
                if not self.path(sha256).exists() and _same_disk(tree, self.checkouts):
                    appear(tree, self.path(sha256))
        except OSError as error:
            raise_for_os_error(error, Path(error.filename or parent), needed)
        return sha256

    def get_tree(self, sha256: str) -> Path:
        """A local directory of an artifact, every file hashed. Nothing may write to it.

        Raises:
            IntegrityError: a file of it is missing or changed in the store.
            ResourceError: the disk is full, or the remote place is not usable.
        """
        checkout = self.path(sha256)
        if not is_intact(checkout, sha256):
            self._check_out(sha256, checkout, self.tree(sha256), linked=True)
        return checkout

    def export_tree(self, sha256: str, target: Path, link: bool = False) -> None:
        """Copy an artifact's verified files to a directory, which appears whole or not at all.

        Args:
            sha256: which.
            target: a new or empty directory.
            link: the files may be second names of the stored ones, which nobody may write to.

        Raises:
            InputError: `target` holds something.
            IntegrityError: a file is missing or changed in the store.
            ResourceError: the disk is full, or the remote place is not usable.
        """
        if target.is_symlink() or (target.exists() and not (target.is_dir() and not any(target.iterdir()))):
            raise InputError(f"{target}: exists and is not an empty directory. Name a new one.")
        try:
            remove_leftovers(target.parent, f".{target.name}{PREFIX}")
        except OSError as error:
            raise_for_os_error(error, target)
        self._check_out(sha256, target, self.tree(sha256), linked=link)

    def tree(self, sha256: str) -> list[TreeEntry]:
        """The files of an artifact, in name order; their contents are not looked at.

        Raises:
            IntegrityError: the tree object is missing or changed, or names a file outside the artifact.
        """
        data = self.blobs.read(sha256)
        if data is None and self._adopt(sha256):
            data = self.blobs.read(sha256)
        if data is None:
            self._require_place()
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

    def check_tree(self, sha256: str) -> Iterator[str]:
        """Hash what is stored of an artifact.

        Yields:
            A sentence for each file that is missing or changed.
        """
        try:
            entries = self.tree(sha256)
        except IntegrityError as error:
            yield str(error).removeprefix(f"artifact {sha256}: ")
            return
        found = self._each(lambda entry: self.blobs.digest(entry.sha256), entries)
        for entry, digest in zip(entries, found, strict=True):
            if digest != entry.sha256:
                yield f"{entry.name}: {self._changed(entry.sha256, digest)}"

    def adopt_old_layout(self) -> adoption.Adopted:
        """Move the directories of a local store made before there were blobs. May be killed and repeated at any time.

        Raises:
            ResourceError: the disk is full or cannot be written.
        """
        return adoption.adopt_all(self.blobs) if isinstance(self.blobs, LocalBlobs) else adoption.Adopted()

    def collect(self, keep: set[str], dry_run: bool, grace_s: float) -> Collected:
        """Remove what no kept artifact needs: blobs, checkouts, and what killed processes left half made.

        Args:
            keep: hashes of the artifacts that stay.
            dry_run: only tell.
            grace_s: blobs stored less than so many seconds ago stay, as somebody may be about to name them.

        Raises:
            IntegrityError: a kept artifact's tree object is damaged, so that nobody knows what it needs; nothing is removed.
            ResourceError: the place is not usable.
        """
        roots = [self.checkouts] if self.url.folder is None else [self.checkouts, self.url.folder]
        return collection.collect(self.blobs, self._kept_trees(keep), self.checkouts, roots, dry_run=dry_run, grace_s=grace_s)

    def _kept_trees(self, keep: set[str]) -> dict[str, list[TreeEntry]]:
        stored = self._each(lambda sha256: self.blobs.size(sha256) is not None or self._adopt(sha256), sorted(keep))
        return {sha256: self.tree(sha256) if there else [] for sha256, there in zip(sorted(keep), stored, strict=True)}

    def _check_out(self, sha256: str, target: Path, entries: list[TreeEntry], *, linked: bool) -> None:
        def fetch(entry: TreeEntry, tree: Path) -> None:
            path = tree / entry.name
            path.parent.mkdir(parents=True, exist_ok=True)
            if (found := self.blobs.fetch(entry.sha256, path, linked=linked)) != entry.sha256:
                raise IntegrityError(f"artifact {sha256}: {entry.name}: {self._changed(entry.sha256, found)}")

        try:
            with staging(target.parent, PREFIX if linked else f".{target.name}{PREFIX}") as partial:
                tree = partial / "tree"
                tree.mkdir()
                self._each(lambda entry: fetch(entry, tree), entries)
                appear(tree, target)
        except OSError as error:
            raise_for_os_error(error, target, sum(entry.size for entry in entries))

    def _changed(self, sha256: str, found: str | None) -> str:
        where = self.blobs.where(sha256)
        return f"missing at {where}. {REMEDY}" if found is None else f"changed at {where}: found sha256 {found}. {REMEDY}"

    def _add_tree_object(self, entries: Iterable[TreeEntry], partial: Path) -> str:
        """Last, so that a tree is there whole or not at all."""
        path = partial / "manifest"
        path.write_bytes(manifest(entries))
        sha256 = copy_hashed(path, partial / "object")
        self.blobs.add(partial / "object", sha256)
        return sha256

    def _adopt(self, sha256: str) -> bool:
        return isinstance(self.blobs, LocalBlobs) and adoption.adopt(self.blobs, sha256)

    def _require_place(self) -> None:
        """A missing bucket is not a missing artifact. Raises ResourceError."""
        from registry.remote_blobs import RemoteBlobs

        if isinstance(self.blobs, RemoteBlobs):
            self.blobs.require_place()

    def _each(self, work: Callable[[_Given], _Made], values: Iterable[_Given]) -> list[_Made]:
        return each(work, values, REMOTE_THREADS if self.url.folder is None else HASHING_THREADS)


def _same_disk(path: Path, folder: Path) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    return path.stat().st_dev == folder.stat().st_dev
