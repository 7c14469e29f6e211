"""Blobs: contents of files, each kept once under its sha256; what a place for them does, and a local one."""

from __future__ import annotations

import errno
import io
import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Protocol

from core.errors import UnreadableError
from core.files import (
    fsync_directory,
    raise_for_os_error,
    raise_for_reading,
    sha256_file,
    sha256_stream,
)
from core.progress import Count, uncounted
from registry.artifacts.staging import link, staging
from registry.artifacts.trees import SHA256

CHUNK_BYTES = 4 << 20
COPIED_AT_ONCE = 64 << 20
FOLDER = "blobs"
REMEDY = "Restore it from a backup, or promote its run again."
FILE_REMEDY = "Restore it from a backup; or remove what is there, and run anything on the same file again."
CANNOT_COPY_IN_KERNEL = (errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM)


class Blob(NamedTuple):
    """One stored content.

    Attributes:
        size: in bytes.
        modified: when it was stored, in seconds since 1970.
    """

    sha256: str
    size: int
    modified: float


class Blobs(Protocol):
    """A place where blobs are kept. Its methods raise ResourceError or TransientError when it is not usable.

    `count` is called with the number of bytes that were hashed or sent since its last call.
    """

    def where(self, sha256: str) -> str:
        """Where a blob is, or would be, for people."""

    def size(self, sha256: str) -> int | None:
        """Its size in bytes; None where it is not stored."""

    def digest(self, sha256: str, count: Count = uncounted) -> str | None:
        """The sha256 of what is stored now; None where nothing is."""

    def add(self, file: Path, sha256: str, count: Count = uncounted) -> None:
        """Keep a finished local file of this sha256, atomically. What is stored intact is not sent again.

        On the same disk, `file` and what is stored become two names of the same bytes.
        """

    def fetch(self, sha256: str, target: Path, *, linked: bool, count: Count = uncounted) -> str | None:
        """Make a new local file of a blob.

        Args:
            sha256: of the blob.
            target: the file; its folder exists.
            linked: it may be a second name of the stored file, which nobody may write to.
            count: is called for every piece that arrived.

        Returns:
            The sha256 of what arrived; None where nothing is stored.
        """

    def read(self, sha256: str) -> bytes | None:
        """The bytes of a small blob as they are stored now; None where nothing is."""

    def list(self) -> Iterator[Blob]:
        """All that is stored."""

    def require_place(self) -> None:
        """Raise ResourceError where the place itself, such as a bucket, does not exist."""

    def delete(self, hashes: Iterable[str]) -> None:
        """Delete blobs. Those that are gone already do no harm."""


class LocalBlobs:
    """Blobs as read-only files in `root/blobs/<first two>/<sha256>`.

    Args:
        root: the folder; made when something is stored.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, sha256: str) -> Path:
        """The file of a blob."""
        return self.root / FOLDER / sha256[:2] / sha256

    def _open(self, sha256: str) -> io.FileIO:
        """Never waits, as it would for the writer of a named pipe that is there instead."""
        return io.FileIO(self.path(sha256), opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK))

    def where(self, sha256: str) -> str:
        return str(self.path(sha256))

    def size(self, sha256: str) -> int | None:
        try:
            return self.path(sha256).stat().st_size
        except FileNotFoundError:
            return None
        except OSError as error:
            raise_for_reading(error, self.path(sha256))

    def digest(self, sha256: str, count: Count = uncounted) -> str | None:
        try:
            with self._open(sha256) as file:
                return sha256_stream(file, count)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise_for_reading(error, self.path(sha256))

    def add(self, file: Path, sha256: str, count: Count = uncounted) -> None:
        path = self.path(sha256)
        stored = self.digest(sha256, count) == sha256
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with staging(self.root) as partial:
                twin = partial / sha256
                if stored:
                    if link(path, twin):
                        twin.replace(file)
                    return
                if not link(file, twin):
                    copy_hashed(file, twin)
                twin.chmod(twin.stat().st_mode & 0o444)  # for whom the umask left it, and nobody writes
                twin.replace(path)
            fsync_directory(path.parent)
        except OSError as error:
            raise_for_os_error(error, path, file.stat().st_size)

    def fetch(self, sha256: str, target: Path, *, linked: bool, count: Count = uncounted) -> str | None:
        try:
            if linked and link(self.path(sha256), target):
                return sha256_file(target, count)
            return copy_hashed(self.path(sha256), target, count)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.filename is not None and Path(error.filename) == self.path(sha256):
                raise_for_reading(error, self.path(sha256))
            raise_for_os_error(error, target, self.size(sha256))

    def read(self, sha256: str) -> bytes | None:
        try:
            with self._open(sha256) as file:
                return file.readall()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise_for_reading(error, self.path(sha256))

    def list(self) -> Iterator[Blob]:
        for path in (self.root / FOLDER).glob("??/*"):
            try:
                found = path.stat()
            except FileNotFoundError:
                continue
            if SHA256.fullmatch(path.name):
                yield Blob(path.name, found.st_size, found.st_mtime)

    def require_place(self) -> None:
        """Do nothing: the folder is made when something is stored."""

    def delete(self, hashes: Iterable[str]) -> None:
        for sha256 in hashes:
            try:
                self.path(sha256).unlink(missing_ok=True)
            except OSError as error:
                raise_for_os_error(error, self.path(sha256))


def fault(blobs: Blobs, sha256: str, count: Count = uncounted, remedy: str = REMEDY) -> str | None:
    """What is wrong with a blob, once hashed, for the end of a message; None where it is intact.

    Args:
        blobs: where it should be.
        sha256: what it should be.
        count: see `Blobs`.
        remedy: what to do about it.
    """
    try:
        found = blobs.digest(sha256, count)
    except UnreadableError as error:
        return f"{error} {remedy}"
    return None if found == sha256 else changed(blobs, sha256, found, remedy)


def changed(blobs: Blobs, sha256: str, found: str | None, remedy: str = REMEDY) -> str:
    """What is wrong with a blob, for the end of a message.

    Args:
        blobs: where it should be.
        sha256: what it should be.
        found: the sha256 of what is there; None where nothing is.
        remedy: what to do about it.
    """
    where = blobs.where(sha256)
    return (
        f"missing at {where}. {remedy}"
        if found is None
        else f"changed at {where}: found sha256 {found}. {remedy}"
    )


def copy_hashed(source: Path, target: Path, count: Count = uncounted) -> str:
    """Copy a file to a new one that survives a power cut, and hash the new one while it goes to the disk.

    The kernel copies, so `source` is read once, and not at all where the file system can share the bytes.

    Args:
        source: the file.
        target: the new one.
        count: is called with half of a piece's bytes when it is copied, and with half when it is hashed.

    Raises:
        OSError: one of the two cannot be read or written.
    """
    with source.open("rb", buffering=0) as reader, target.open("xb", buffering=0) as writer:
        try:
            while size := os.copy_file_range(reader.fileno(), writer.fileno(), COPIED_AT_ONCE):
                count(size // 2)
        except OSError as error:
            if error.errno not in CANNOT_COPY_IN_KERNEL:
                raise
        shutil.copyfileobj(reader, writer, CHUNK_BYTES)  # what is left, where the kernel could not
    with target.open("rb", buffering=0) as reader, ThreadPoolExecutor(1) as helper:
        durable = helper.submit(os.fsync, reader.fileno())
        sha256 = sha256_stream(reader, lambda size: count(size // 2))
        durable.result()
    return sha256
