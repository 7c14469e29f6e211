"""The artifact store: what is kept by its sha256, written once, atomically, and verified when read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from core.errors import InputError, IntegrityError, UnreadableError
from core.files import HASHING_THREADS, open_for_reading, raise_for_os_error, sha256_bytes, sha256_file
from core.progress import byte_meter
from registry.artifacts import garbage, old_layout
from registry.artifacts.blobs import (
    FILE_REMEDY,
    FOLDER,
    REMEDY,
    Blobs,
    LocalBlobs,
    changed,
    copy_hashed,
    fault,
)
from registry.artifacts.checkouts import appear, check_out, copied, each, is_intact
from registry.artifacts.garbage import Collected, Survey
from registry.artifacts.staging import clean_staging
from registry.artifacts.trees import TreeEntry, manifest, parse_manifest, safe_tree_files
from registry.artifacts.urls import ArtifactUrl

REMOTE_THREADS = 8

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")


class Store:
    """Artifacts: directories and single files that are kept by their sha256.

    The content of every file is kept once, as a blob under its sha256; that is all of a single file. A tree
    object, which is a blob too, lists the files of a directory; its sha256 is the directory's.

    Args:
        url: a folder, or any URL of fsspec such as `s3://bucket/prefix`. Credentials are those of fsspec and
            its clients.
        checkouts: local folder of what is read: directories at `checkouts/<sha256>/`, files at
            `checkouts/<sha256>`.
        shared: other homes may read it too, so that it keeps what they would need of ours.

    Raises:
        InputError: the URL is not usable. Nothing is opened before it is needed.
    """

    def __init__(self, url: str | Path, checkouts: Path, *, shared: bool = False) -> None:
        self.url = ArtifactUrl(url)
        self.checkouts = checkouts
        self.shared = shared
        self._threads = REMOTE_THREADS if self.url.folder is None else HASHING_THREADS

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

    def path(self, sha256: str) -> Path:
        """Where `get` puts an artifact, for people to look at."""
        return self.checkouts / sha256

    def put(self, source: Path, *, checkout: bool = True, files: Mapping[str, Path] | None = None) -> str:
        """Keep a copy of a directory, atomically. What is kept is not sent again; a damaged copy is replaced.

        Each file is read once, hashed while it is copied. Compare the result with the hash that you expect.

        Args:
            source: a directory of regular files.
            checkout: it will be read soon, so a copy stays where `get` would put it.
            files: those of its files that are kept, by name; None for all.

        Returns:
            Its sha256, the same as `core.files.sha256_tree` of a directory that holds these files alone.

        Raises:
            InputError: it holds a link, a special file or a name that is refused.
            ResourceError: the disk is full or cannot be written, or the remote place is not usable.

        Example:
            >>> sha256 = registry.artifacts.put(Path("model"))
            >>> registry.artifacts.has(sha256)
            True
        """
        files = safe_tree_files(source, files)
        parent = self.checkouts if self.url.folder is None else self.url.folder
        needed = 0
        try:
            needed = sum(path.stat().st_size for path in files.values())
            with clean_staging(parent) as partial:
                tree = partial / "tree"
                tree.mkdir()
                with byte_meter("copy", needed) as count:
                    entries = self._each(lambda item: copied(item[1], tree, item[0], count), files.items())
                contents = {entry.sha256: entry for entry in entries}
                with byte_meter("store", sum(entry.size for entry in contents.values())) as count:
                    self._each(lambda e: self.blobs.add(tree / e.name, e.sha256, count), contents.values())
                sha256 = self._add_tree_object(entries, partial)
                if checkout:
                    self._show(sha256, tree, entries)
        except OSError as error:
            raise_for_os_error(error, Path(error.filename or parent), needed)
        return sha256

    def get(self, sha256: str) -> Path:
        """A local directory of an artifact, every file hashed. Nothing may write to it.

        Raises:
            IntegrityError: a file of it is missing or changed in the store.
            ResourceError: the disk is full, or the remote place is not usable.

        Example:
            >>> sorted(path.name for path in registry.artifacts.get(version.weights_sha256).iterdir())
            ['config.json', 'model.safetensors']
        """
        checkout = self.path(sha256)
        if not is_intact(checkout, sha256):
            check_out(self.blobs, sha256, self.files(sha256), checkout, linked=True, threads=self._threads)
        return checkout

    def put_file(self, source: Path) -> str:
        """Keep a copy of a single file, atomically. Compare the result with the hash that you expect.

        Args:
            source: a regular file.

        Returns:
            Its sha256.

        Raises:
            InputError: it cannot be read.
            ResourceError: the disk is full or cannot be written, or the remote place is not usable.

        Example:
            >>> sha256 = registry.artifacts.put_file(Path("golden-v1.jsonl"))
            >>> registry.artifacts.has_file(sha256)
            True
        """
        open_for_reading(source).close()
        parent = self.checkouts if self.url.folder is None else self.url.folder
        needed = source.stat().st_size
        try:
            with clean_staging(parent) as partial:
                sha256 = copy_hashed(source, partial / "file")
                self.blobs.add(partial / "file", sha256)
        except OSError as error:
            raise_for_os_error(error, Path(error.filename or parent), needed)
        return sha256

    def get_file(self, sha256: str) -> Path:
        """A local copy of a single file, hashed. Nothing may write to it.

        Raises:
            IntegrityError: it is missing or changed in the store.
            ResourceError: the disk is full, or the remote place is not usable.

        Example:
            >>> sha256 = registry.artifacts.put_file(Path("golden-v1.jsonl"))
            >>> registry.artifacts.get_file(sha256).read_bytes() == Path("golden-v1.jsonl").read_bytes()
            True
        """
        target = self.path(sha256)
        if target.is_file() and sha256_file(target) == sha256:
            return target
        try:
            with clean_staging(self.checkouts) as partial:
                found = self.blobs.fetch(sha256, partial / "file", linked=True)
                if found != sha256:
                    raise IntegrityError(
                        f"artifact {sha256}: {changed(self.blobs, sha256, found, FILE_REMEDY)}"
                    )
                (partial / "file").replace(target)
        except OSError as error:
            raise_for_os_error(error, target)
        return target

    def has_file(self, sha256: str) -> bool:
        """Whether a single file of this sha256 is stored. Its content is not hashed.

        Raises:
            ResourceError: the place is not usable.

        Example:
            >>> registry.artifacts.has_file("0" * 64)
            False
        """
        return self.blobs.size(sha256) is not None

    def check_files(self, hashes: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Hash single files.

        Yields:
            For each that is missing, changed or cannot be read its sha256 and a sentence.

        Example:
            >>> sha256 = registry.artifacts.put_file(Path("golden-v1.jsonl"))
            >>> list(registry.artifacts.check_files([sha256]))
            []
        """
        wanted = list(hashes)
        faults = self._each(lambda sha256: fault(self.blobs, sha256, remedy=FILE_REMEDY), wanted)
        yield from ((sha256, found) for sha256, found in zip(wanted, faults, strict=True) if found)

    def export(self, sha256: str, target: Path, link: bool = False) -> None:
        """Copy an artifact's verified files to a directory, which appears atomically.

        Args:
            sha256: of the artifact.
            target: a new or empty directory.
            link: the files may be second names of the stored ones, which nobody may write to.

        Raises:
            InputError: `target` holds something.
            IntegrityError: a file is missing or changed in the store.
            ResourceError: the disk is full, or the remote place is not usable.

        Example:
            >>> registry.artifacts.export(version.weights_sha256, Path("copy-of-the-model"))
        """
        if target.is_symlink() or (target.exists() and not (target.is_dir() and not any(target.iterdir()))):
            raise InputError(f"{target}: exists and is not an empty directory. Name a new one.")
        check_out(self.blobs, sha256, self.files(sha256), target, linked=link, threads=self._threads)

    def files(self, sha256: str) -> list[TreeEntry]:
        """The files of an artifact, in name order; their contents are not looked at.

        Raises:
            IntegrityError: the tree object is missing or changed, or names a file outside the artifact.

        Example:
            >>> [(file.name, file.size) for file in registry.artifacts.files(version.weights_sha256)]
            [('config.json', 2), ('model.safetensors', 6)]
        """
        data = self.blobs.read(sha256)
        if data is None and self._convert(sha256):
            data = self.blobs.read(sha256)
        if data is None:
            self.blobs.require_place()
            raise IntegrityError(f"artifact {sha256}: missing at {self.blobs.where(sha256)}. {REMEDY}")
        if (found := sha256_bytes(data)) != sha256:
            raise IntegrityError(f"artifact {sha256}: its tree object: {changed(self.blobs, sha256, found)}")
        try:
            return parse_manifest(data)
        except IntegrityError as error:
            raise IntegrityError(
                f"artifact {sha256}: refused at {self.blobs.where(sha256)}: {error}"
            ) from None

    def has(self, sha256: str) -> bool:
        """Whether the tree object and all of its files are stored with the right size. No content is hashed.

        Raises:
            ResourceError: the place is not usable.

        Example:
            >>> registry.artifacts.has("0" * 64)
            False
        """
        data = self.blobs.read(sha256)
        if data is None or sha256_bytes(data) != sha256:
            return False
        try:
            entries = parse_manifest(data)
        except IntegrityError:
            return False
        return all(self._each(lambda entry: self.blobs.size(entry.sha256) == entry.size, entries))

    def check(self, hashes: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Hash the stored files of some artifacts; a content that several of them share is hashed once.

        Yields:
            For each file that is missing, changed or cannot be read the artifact's sha256 and a sentence.

        Example:
            >>> list(registry.artifacts.check([version.weights_sha256]))
            []
        """
        trees: dict[str, list[TreeEntry]] = {}
        for sha256 in hashes:
            try:
                trees[sha256] = self.files(sha256)
            except (IntegrityError, UnreadableError) as error:
                yield sha256, str(error).removeprefix(f"artifact {sha256}: ")
        sizes = {entry.sha256: entry.size for entries in trees.values() for entry in entries}
        with byte_meter("verify artifacts", sum(sizes.values())) as count:
            faults = self._each(lambda content: fault(self.blobs, content, count), sizes)
        found = dict(zip(sizes, faults, strict=True))
        for sha256, entries in trees.items():
            for entry in entries:
                if sentence := found[entry.sha256]:
                    yield sha256, f"{entry.name}: {sentence}"

    def count(self) -> int:
        """How many blobs are stored: contents of files, and tree objects.

        Raises:
            ResourceError: the place is not usable.

        Example:
            >>> registry.artifacts.count()
            5
        """
        self.blobs.require_place()
        return sum(1 for _ in self.blobs.list())

    def is_empty(self) -> bool:
        """Whether nothing is stored."""
        return not any(True for _ in self.blobs.list())

    def convert_old_layout(self) -> old_layout.Converted:
        """Move the directories of a local store made before there were blobs. May be killed and repeated.

        Raises:
            ResourceError: the disk is full or cannot be written.
        """
        return (
            old_layout.convert_all(self.blobs)
            if isinstance(self.blobs, LocalBlobs)
            else old_layout.Converted()
        )

    def survey(self, keep: set[str], grace_s: float, files: AbstractSet[str] = frozenset()) -> Survey:
        """Look for what no kept artifact needs. Lists the whole store, so it may take long; `sweep` is quick.

        Args:
            keep: hashes of the directories that stay.
            files: hashes of the single files that stay.
            grace_s: blobs stored less than this many seconds ago stay, as somebody may be about to name them.

        Raises:
            IntegrityError: a kept artifact's tree object is damaged, so that nobody knows what it needs.
            ResourceError: the place is not usable.
        """
        return garbage.survey(self.blobs, {**_whole(files), **self._kept(keep)}, grace_s)

    def sweep(
        self, survey: Survey, keep: set[str], dry_run: bool, files: AbstractSet[str] = frozenset()
    ) -> Collected:
        """Remove what a survey found, except what an artifact that stays needs by now.

        Checkouts are removed too, and what killed processes left half made.

        Args:
            survey: of this store.
            keep: hashes of the directories that stay.
            files: hashes of the single files that stay.
            dry_run: remove nothing.

        Raises:
            IntegrityError: a kept artifact's tree object is damaged; nothing is removed.
            ResourceError: the place is not usable.
        """
        kept = {**_whole(files), **survey.kept, **self._kept(keep - survey.kept.keys())}
        roots = [self.checkouts] if self.url.folder is None else [self.checkouts, self.url.folder]
        return garbage.sweep(self.blobs, survey, kept, self.checkouts, roots, dry_run=dry_run)

    def _kept(self, keep: set[str]) -> dict[str, list[TreeEntry]]:
        """The artifacts that stay, and their files; none for one that is not stored."""
        hashes = sorted(keep)
        stored = self._each(
            lambda sha256: self.blobs.size(sha256) is not None or self._convert(sha256), hashes
        )
        return {
            sha256: self.files(sha256) if there else [] for sha256, there in zip(hashes, stored, strict=True)
        }

    def _show(self, sha256: str, tree: Path, entries: list[TreeEntry]) -> None:
        """Make the copy that was just stored the checkout, so that `path` is there from now on."""
        checkout = self.path(sha256)
        if checkout.exists():  # `get` looks whether it is intact
            return
        if _same_disk(tree, self.checkouts):
            appear(tree, checkout)
        else:
            check_out(self.blobs, sha256, entries, checkout, linked=True, threads=self._threads)

    def _add_tree_object(self, entries: Iterable[TreeEntry], partial: Path) -> str:
        """After the contents: who sees the tree object finds everything that it lists."""
        path = partial / "manifest"
        path.write_bytes(manifest(entries))
        sha256 = copy_hashed(path, partial / "object")
        self.blobs.add(partial / "object", sha256)
        return sha256

    def _convert(self, sha256: str) -> bool:
        return isinstance(self.blobs, LocalBlobs) and old_layout.convert(self.blobs, sha256)

    def _each(self, work: Callable[[_Given], _Made], values: Iterable[_Given]) -> list[_Made]:
        return each(work, values, self._threads)


def _whole(files: Iterable[str]) -> dict[str, list[TreeEntry]]:
    """Single files as artifacts that stay: each is one blob, which needs no other."""
    return {sha256: [] for sha256 in files}


def _same_disk(path: Path, folder: Path) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    return path.stat().st_dev == folder.stat().st_dev
