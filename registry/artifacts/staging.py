"""Staging folders: what is made there gets its name when it is done. A free lock marks one as left behind."""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = ".partial-"

CANNOT_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS)
"""Another file system, or one without hard links: then files are copied."""


def beside(target: Path) -> str:
    """Prefix of the staging folders in which one target is made; those of its neighbours have another."""
    return f".{target.name}{PREFIX}"


@contextmanager
def staging(parent: Path, prefix: str = PREFIX) -> Iterator[Path]:
    """A new folder below `parent`, locked while it is in use and gone at the end if it still has its name.

    Raises:
        OSError: it cannot be made.
    """
    path, descriptor = _made(parent, prefix)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)


@contextmanager
def clean_staging(parent: Path, prefix: str = PREFIX) -> Iterator[Path]:
    """The same, and first what killed processes left there goes: a model's copy may be many gigabytes.

    Raises:
        OSError: it cannot be made.
    """
    remove_leftovers(parent, prefix)
    with staging(parent, prefix) as path:
        yield path


def _made(parent: Path, prefix: str) -> tuple[Path, int]:
    parent.mkdir(parents=True, exist_ok=True)
    while True:
        path = parent / f"{prefix}{secrets.token_hex(4)}"
        try:
            path.mkdir()
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except (FileExistsError, FileNotFoundError):  # taken for a leftover before it was locked
            continue
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if path.exists():
            return path, descriptor
        os.close(descriptor)


def leftovers(parent: Path, prefix: str = PREFIX) -> list[Path]:
    """What killed processes left below `parent`: staging folders that nobody has locked."""
    found = []
    for path in sorted(parent.glob(f"{glob.escape(prefix)}*")):
        with _claimed(path) as is_free:
            if is_free:
                found.append(path)
    return found


def remove_leftovers(parent: Path, prefix: str = PREFIX) -> None:
    """Remove what killed processes left below `parent`. Locked meanwhile: one may just be in the making."""
    for path in sorted(parent.glob(f"{glob.escape(prefix)}*")):
        with _claimed(path) as is_free:
            if is_free:
                shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _claimed(path: Path) -> Iterator[bool]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:  # gone by now, not a folder, or another user's
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)


def remove_tree(path: Path, scratch: Path) -> None:
    """Remove a folder atomically: it loses its name first, so that a kill leaves no half of it there.

    Args:
        path: the folder.
        scratch: a folder on the same disk in which leftovers are looked for.

    Raises:
        OSError: it cannot be removed.
    """
    with staging(scratch) as aside:
        path.replace(aside / path.name)


def link(source: Path, target: Path) -> bool:
    """Give a file a second name.

    Returns:
        Whether that was possible; where it was not, the caller copies.

    Raises:
        OSError: `source` is missing, or `target` exists.
    """
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno in CANNOT_LINK:
            return False
        raise
    return True
