"""Directories of files, kept by the sha256 of their content: written once, whole, and verified when they are read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from core.errors import InputError, IntegrityError
from core.files import raise_for_os_error
from core.progress import Count, byte_meter
from registry.artifacts import garbage, old_layout
from registry.artifacts.blobs import LocalBlobs, copy_hashed
from registry.artifacts.checkouts import appear, copied, is_intact
from registry.artifacts.garbage import Collected, Survey
from registry.artifacts.staging import PREFIX, beside, remove_leftovers, staging
from registry.artifacts.stored_trees import StoredTrees
from registry.artifacts.trees import TreeEntry, manifest, safe_tree_files


class Store(StoredTrees):
    """Artifacts: every file's content is kept once, as a blob under its sha256. A tree object, a blob too, names the files of a directory.

    Args:
        url: a folder, or any URL of fsspec such as `s3://bucket/prefix`. Credentials are those of fsspec and its clients.
        checkouts: local folder of the directories that are read, at `checkouts/<sha256>/`.

    Raises:
        InputError: the URL is not usable. Nothing is opened before it is needed.
    """

    def __init__(self, url: str | Path, checkouts: Path) -> None:
        super().__init__(url)
        self.checkouts = checkouts

    def path(self, sha256: str) -> Path:
        """Where `get_tree` puts an artifact, for people to look at."""
        return self.checkouts / sha256

    def put_tree(self, source: Path) -> str:
        """Keep a copy of a directory, whole or not at all. What is kept already is not sent again; a damaged copy is replaced.

        Each file is read once: it is hashed while it is copied. Compare the result with the hash that you expect.

        Args:
            source: a directory of regular files.

        Returns:
            Its sha256, the same as `core.files.sha256_tree`.

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
                with byte_meter("copy", needed) as count:
                    entries = self._each(lambda item: copied(item[1], tree, item[0], count), files.items())
                contents = {entry.sha256: entry for entry in entries}
                with byte_meter("store", sum(entry.size for entry in contents.values())) as count:
                    self._each(lambda entry: self.blobs.add(tree / entry.name, entry.sha256, count), contents.values())
                sha256 = self._add_tree_object(entries, partial)
                self._show(sha256, tree, entries)
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
            remove_leftovers(target.parent, beside(target))
        except OSError as error:
            raise_for_os_error(error, target)
        self._check_out(sha256, target, self.tree(sha256), linked=link)

    def adopt_old_layout(self) -> old_layout.Adopted:
        """Move the directories of a local store made before there were blobs. May be killed and repeated at any time.

        Raises:
            ResourceError: the disk is full or cannot be written.
        """
        return old_layout.adopt_all(self.blobs) if isinstance(self.blobs, LocalBlobs) else old_layout.Adopted()

    def survey(self, keep: set[str], grace_s: float) -> Survey:
        """Look for what no kept artifact needs. Lists the whole store, so it may take long; `sweep` is quick.

        Args:
            keep: hashes of the artifacts that stay.
            grace_s: blobs stored less than so many seconds ago stay, as somebody may be about to name them.

        Raises:
            IntegrityError: a kept artifact's tree object is damaged, so that nobody knows what it needs.
            ResourceError: the place is not usable.
        """
        return garbage.survey(self.blobs, self._kept_trees(keep), grace_s)

    def sweep(self, survey: Survey, keep: set[str], dry_run: bool) -> Collected:
        """Remove what was found by a survey and is still needed by none of the artifacts that stay now.

        Also removed are checkouts, and what killed processes left half made.

        Args:
            survey: of this store.
            keep: hashes of the artifacts that stay.
            dry_run: only tell.

        Raises:
            IntegrityError: a kept artifact's tree object is damaged; nothing is removed.
            ResourceError: the place is not usable.
        """
        kept = {**survey.kept, **self._kept_trees(keep - survey.kept.keys())}
        roots = [self.checkouts] if self.url.folder is None else [self.checkouts, self.url.folder]
        return garbage.sweep(self.blobs, survey, kept, self.checkouts, roots, dry_run=dry_run)

    def _kept_trees(self, keep: set[str]) -> dict[str, list[TreeEntry]]:
        stored = self._each(lambda sha256: self.blobs.size(sha256) is not None or self._adopt(sha256), sorted(keep))
        return {sha256: self.tree(sha256) if there else [] for sha256, there in zip(sorted(keep), stored, strict=True)}

    def _show(self, sha256: str, tree: Path, entries: list[TreeEntry]) -> None:
        """Make the copy that was just stored the checkout, so that `path` is there from now on."""
        checkout = self.path(sha256)
        if checkout.exists():  # it is looked at when it is got
            return
        if _same_disk(tree, self.checkouts):
            appear(tree, checkout)
        else:
            self._check_out(sha256, checkout, entries, linked=True)

    def _check_out(self, sha256: str, target: Path, entries: list[TreeEntry], *, linked: bool) -> None:
        size = sum(entry.size for entry in entries)

        def fetch(entry: TreeEntry, tree: Path, count: Count) -> None:
            path = tree / entry.name
            path.parent.mkdir(parents=True, exist_ok=True)
            if (found := self.blobs.fetch(entry.sha256, path, linked=linked, count=count)) != entry.sha256:
                raise IntegrityError(f"artifact {sha256}: {entry.name}: {self._changed(entry.sha256, found)}")

        try:
            with staging(target.parent, PREFIX if linked else beside(target)) as partial:
                tree = partial / "tree"
                tree.mkdir()
                with byte_meter("check out", size) as count:
                    self._each(lambda entry: fetch(entry, tree, count), entries)
                appear(tree, target)
        except OSError as error:
            raise_for_os_error(error, target, size)

    def _add_tree_object(self, entries: Iterable[TreeEntry], partial: Path) -> str:
        """Last, so that a tree is there whole or not at all."""
        path = partial / "manifest"
        path.write_bytes(manifest(entries))
        sha256 = copy_hashed(path, partial / "object")
        self.blobs.add(partial / "object", sha256)
        return sha256


def _same_disk(path: Path, folder: Path) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    return path.stat().st_dev == folder.stat().st_dev
