"""A write transaction that can rely on an artifact being stored, although garbage is collected meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlmodel import Session

from hallmark.errors import TransientError
from registry.engine import Database
from registry.store import Store

ATTEMPTS = 5


@contextmanager
def writing_with_tree(database: Database, store: Store, source: Path) -> Iterator[tuple[Session, str]]:
    """Store a directory, then begin the write transaction in which its hash is recorded.

    The directory is stored before the transaction, which is short. Garbage is collected inside a write transaction, so what
    is there once ours has begun stays at least until it ends; what was collected before is stored again.

    Args:
        database: where the hash will be recorded.
        store: keeps the directory.
        source: the directory.

    Yields:
        The session and the directory's sha256.

    Raises:
        TransientError: it was collected again and again.
        HallmarkError: what `Store.put_tree` and the database raise.
    """
    for _ in range(ATTEMPTS):
        sha256 = store.put_tree(source)
        with database.writing() as session:
            if store.has_tree(sha256):
                yield session, sha256
                return
    raise TransientError(f"{source}: garbage collection removed it {ATTEMPTS} times while it was stored. Run the same command again.")
