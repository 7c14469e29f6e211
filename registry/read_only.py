"""Reading a SQLite database that cannot be written: a snapshot, another user's home, a read-only mount.

SQLite keeps what was committed last in a file beside the database, NAME-wal, with an index of it in NAME-shm,
and makes both when they are missing. Where it cannot, a reader has to go another way
(https://www.sqlite.org/wal.html#read_only_databases).
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from pathlib import Path
from urllib.parse import quote
from weakref import finalize

from core.errors import TransientError
from core.files import raise_for_os_error

ATTEMPTS = 5

State = tuple[tuple[int, ...] | None, tuple[int, ...] | None]
"""The files of a database: which they are, how long they are, and when they were written."""


def is_read_only(path: Path) -> bool:
    """Whether a database is there that cannot be written, or has no room for what SQLite writes beside it."""
    writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK | os.X_OK)
    return os.access(path, os.F_OK) and not writable


def unguarded(path: Path) -> State | None:
    """What `connect_read_only` reads without SQLite's locks; None where they guard it. Where it is not the
    same before and after, something was written in between.
    """
    if not is_read_only(path) or _has_index(path):
        return None
    return _state(path)


def connect_read_only(path: Path, timeout_s: float) -> sqlite3.Connection:
    """A connection that reads everything that was committed, and leaves no file beside the database.

    With both files beside it SQLite reads it as it is, while others write. Without committed transactions in
    NAME-wal the database itself has everything. With NAME-wal alone, as in a snapshot, both are copied into
    a folder of our own, which is removed when the connection is.

    Args:
        path: the database.
        timeout_s: how long a lock is waited for, in seconds.

    Raises:
        sqlite3.Error: what SQLite says.
        TransientError: it goes on changing while it is copied.
        ResourceError: there is no room for the copy.
    """
    if _has_index(path):
        return _connect(path, "mode=ro", timeout_s)
    if _is_empty(_beside(path, "-wal")):
        return _connect(path, "mode=ro&immutable=1", timeout_s)
    folder = tempfile.mkdtemp(prefix="hallmark-registry-")
    try:
        copy = _copied(path, Path(folder))
        connection = _connect(copy, "mode=rw", timeout_s, _Copy)
        finalize(connection, shutil.rmtree, folder, ignore_errors=True)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return connection


class _Copy(sqlite3.Connection):
    """A connection to a copy, which can be told when it is gone."""


def _connect(
    path: Path, how: str, timeout_s: float, factory: type[sqlite3.Connection] = sqlite3.Connection
) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(str(path))}?{how}",
        uri=True,
        timeout=timeout_s,
        check_same_thread=False,
        factory=factory,
    )


def _has_index(path: Path) -> bool:
    return _beside(path, "-wal").exists() and _beside(path, "-shm").exists()


def _is_empty(path: Path) -> bool:
    try:
        return path.stat().st_size == 0
    except FileNotFoundError:
        return True


def _copied(path: Path, folder: Path) -> Path:
    for _ in range(ATTEMPTS):
        before = _state(path)
        try:
            for source in (path, _beside(path, "-wal")):
                shutil.copyfile(source, folder / source.name)
        except FileNotFoundError:
            continue  # it was written back this moment
        except OSError as error:
            raise_for_os_error(error, folder)
        if _state(path) == before:
            return folder / path.name
    raise changed(path)


def changed(path: Path) -> TransientError:
    """What to say of a database that was written while it was read without locks."""
    return TransientError(f"{path}: was changed while it was read. Run the same command again.")


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _state(path: Path) -> State:
    return _stat(path), _stat(_beside(path, "-wal"))


def _stat(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
