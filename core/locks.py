"""Locks that die with their process, with a note of who holds them.

The lock is the operating system's (flock): the kernel drops it the moment the last process that holds the
file open is gone, however it ended. The note in the file is for people; a stale one is never taken for a
lock.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ValidationError

from core.files import raise_for_os_error
from core.progress import Progress

ATTEMPTS = 3
LOOK_EVERY_SECONDS = 0.5
SAY_EVERY_SECONDS = 30.0
NOTE_EVERY_SECONDS = 1.0
NOTE_BYTES = 4096
NOTE_CHARACTERS = 200


class Holder(BaseModel):
    """Who holds a lock.

    Attributes:
        pid: the process that took it.
        what: what it is doing, as a person would say it.
        since: when it was taken, in UTC.
        address: where the holder can be reached, for a server.
        progress: how far it is; None where it does not say.
    """

    pid: int
    what: str
    since: datetime
    address: str = ""
    progress: Progress | None = None

    def sentence(self) -> str:
        """The holder as part of a sentence."""
        return f"{self.what} (process {self.pid}, since {self.since.astimezone():%Y-%m-%d %H:%M:%S})"


def acquire(
    path: Path, what: str, address: str = "", *, inheritable: bool = False, shared: bool = False
) -> int | None:
    """Take a lock now.

    Args:
        path: the lock's file, made when it is missing; never removed.
        what: for the note.
        address: for the note.
        inheritable: let the lock live on in a program that replaces this one (exec).
        shared: every user of the machine may take it.

    Returns:
        The open descriptor, whose closing gives the lock back; None when somebody else holds it.

    Raises:
        ResourceError: the file cannot be opened.
    """
    descriptor = _open(path, 0o666 if shared else 0o600)
    if not _lock(descriptor):
        os.close(descriptor)
        return None
    note = Holder(pid=os.getpid(), what=what, since=datetime.now(UTC), address=address)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, note.model_dump_json(exclude_none=True).encode(), 0)
    os.set_inheritable(descriptor, inheritable)
    return descriptor


class Noting:
    """Notes in a lock that is held how far its holder is, once a second at most: a watcher of progress.

    It is gone with the process, as the lock is, and nobody has to remove it.

    Args:
        descriptor: of the lock, as `acquire` gave it.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.note = _note(os.pread(descriptor, NOTE_BYTES, 0))
        self.stage, self.at = "", float("-inf")

    def __call__(self, progress: Progress) -> None:
        """Note it, where it is news; a disk that is full or away is no reason to stop."""
        now = time.monotonic()
        if not progress.total or (progress.stage == self.stage and now - self.at < NOTE_EVERY_SECONDS):
            return
        self.stage, self.at = progress.stage, now
        short = progress.model_copy(update={"note": progress.note[:NOTE_CHARACTERS]})
        text = self.note.model_copy(update={"progress": short}).model_dump_json().encode()
        with suppress(OSError):
            os.pwrite(self.descriptor, text.ljust(NOTE_BYTES), 0)  # one length, so that no old end stays


def acquire_when_free(path: Path, what: str, say: Callable[[Holder], None], *, shared: bool = False) -> int:
    """Take a lock, waiting for whoever holds it.

    Args:
        path: see `acquire`.
        what: see `acquire`.
        say: called with the holder at first, when it is another, and now and then.
        shared: see `acquire`.

    Returns:
        The open descriptor, whose closing gives the lock back.

    Raises:
        ResourceError: the file cannot be opened.
    """
    said, said_at = "", float("-inf")
    while (descriptor := acquire(path, what, shared=shared)) is None:
        owner = holder(path)
        if owner and (owner.sentence() != said or time.monotonic() - said_at > SAY_EVERY_SECONDS):
            said, said_at = owner.sentence(), time.monotonic()
            say(owner)
        time.sleep(LOOK_EVERY_SECONDS)
    return descriptor


def _lock(descriptor: int) -> bool:
    """Lock, trying for a moment: whoever asks for the holder holds the lock for some microseconds."""
    for _ in range(ATTEMPTS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)
        else:
            return True
    return False


def holder(path: Path) -> Holder | None:
    """Who holds the lock; None when it is free, or when what is there is no lock of ours. Never waits."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # none, a link, or somebody else's; whoever wants to take it is told by `acquire`
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_note(descriptor)
    finally:
        os.close(descriptor)
    return None


def _read_note(descriptor: int) -> Holder:
    """The note; read again where it was being written this moment."""
    found = _note(os.pread(descriptor, NOTE_BYTES, 0))
    for _ in range(ATTEMPTS):
        if found.pid:
            break
        time.sleep(0.001)
        found = _note(os.pread(descriptor, NOTE_BYTES, 0))
    return found


def _note(content: bytes) -> Holder:
    try:
        return Holder.model_validate(json.loads(content))
    except (ValueError, ValidationError):  # taken this very moment, not yet written
        return Holder(pid=0, what="another process", since=datetime.now(UTC))


def _open(path: Path, mode: int) -> int:
    """Open for locking. First without O_CREAT: Linux forbids it on another's file in a folder like /tmp."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                return os.open(path, flags)
            except FileNotFoundError:
                pass
            try:
                descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, mode)
            except FileExistsError:
                continue
            os.fchmod(descriptor, mode)  # whatever the umask
            return descriptor
    except OSError as error:
        raise_for_os_error(error, path)
