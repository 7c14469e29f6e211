"""Blobs in an object store or on another machine, through fsspec."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from core.files import raise_for_os_error, sha256_stream
from core.progress import Count, uncounted
from registry.artifacts.blobs import CHUNK_BYTES, FOLDER, Blob
from registry.artifacts.trees import SHA256
from registry.artifacts.urls import BUCKETS, ArtifactUrl, remote_errors

MODIFIED = ("LastModified", "last_modified", "updated", "mtime", "created")
"""What the file systems call the time at which an object was stored."""

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


class RemoteBlobs:
    """Blobs as objects at `URL/blobs/<first two>/<sha256>`. An object appears atomically.

    Args:
        url: the place.

    Raises:
        InputError: fsspec knows no such protocol.
        ResourceError: the package of the protocol is not installed, or the place is not usable.
    """

    def __init__(self, url: ArtifactUrl) -> None:
        self.url = url
        self.files, self.root = url.connect()

    def key(self, sha256: str) -> str:
        """The object's name."""
        return f"{self.root}/{FOLDER}/{sha256[:2]}/{sha256}"

    def where(self, sha256: str) -> str:
        return f"{self.url.place}/{FOLDER}/{sha256[:2]}/{sha256}"

    def size(self, sha256: str) -> int | None:
        with remote_errors(self.url):
            try:
                return int(self.files.info(self.key(sha256))["size"])
            except FileNotFoundError:
                return None

    def digest(self, sha256: str, count: Count = uncounted) -> str | None:
        with remote_errors(self.url):
            try:
                with self._open(sha256) as reader:
                    return sha256_stream(reader, count)
            except FileNotFoundError:
                return None

    def add(self, file: Path, sha256: str, count: Count = uncounted) -> None:
        if self.size(sha256) == file.stat().st_size and self.digest(sha256, count) == sha256:
            return
        with remote_errors(self.url):
            self.files.put_file(str(file), self.key(sha256), callback=_sent(count))

    def fetch(self, sha256: str, target: Path, *, linked: bool, count: Count = uncounted) -> str | None:
        with remote_errors(self.url):
            try:
                reader = self._open(sha256)
            except FileNotFoundError:
                return None
            try:
                with reader, target.open("xb") as writer:
                    found = sha256_stream(reader, count, writer)
                    writer.flush()
                    os.fsync(writer.fileno())
                    return found
            except OSError as error:
                if error.errno in DISK_FULL:
                    raise_for_os_error(error, target, self.size(sha256))
                raise

    def read(self, sha256: str) -> bytes | None:
        with remote_errors(self.url):
            try:
                return bytes(self.files.cat_file(self.key(sha256)))
            except FileNotFoundError:
                return None

    def list(self) -> Iterator[Blob]:
        with remote_errors(self.url):
            found = self.files.find(f"{self.root}/{FOLDER}", detail=True)
        for key, info in found.items():
            sha256 = key.rpartition("/")[2]
            if SHA256.fullmatch(sha256):
                yield Blob(sha256, int(info["size"]), _modified(info))

    def delete(self, hashes: Iterable[str]) -> None:
        keys = [self.key(sha256) for sha256 in hashes]
        with remote_errors(self.url), suppress(FileNotFoundError):
            if keys:
                self.files.rm(keys)

    def require_place(self) -> None:
        if self.url.protocol in BUCKETS:
            with (
                remote_errors(self.url),
                suppress(PermissionError),
            ):  # a bucket of which we may see no more than our part
                self.files.info(self.root.partition("/")[0])

    def _open(self, sha256: str) -> Any:
        return self.files.open(self.key(sha256), "rb", block_size=4 * CHUNK_BYTES, cache_type="readahead")


def _sent(count: Count) -> Any:
    from fsspec.callbacks import Callback

    class Sent(Callback):  # type: ignore[misc]
        def relative_update(self, inc: int = 1) -> None:
            count(inc)

    return Sent()


def _modified(info: dict[str, Any]) -> float:
    """When an object was stored, in seconds since 1970; the present where nobody says, so that it is kept."""
    value = next((info[name] for name in MODIFIED if info.get(name) is not None), None)
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return value.timestamp()
    return time.time() if value is None else float(value)
