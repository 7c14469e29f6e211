"""Connections and transactions. On both databases there are many readers and one writer at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakSet

from sqlalchemy import URL, Connection, Engine, Pool, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel import Session

from core.errors import InputError, ResourceError
from core.files import canonical_json, read_only
from registry.audit import audited
from registry.database_errors import database_errors, describe
from registry.read_only import changed, connect_read_only, is_read_only, unguarded

WRITE_LOCK = 0x68616C6C6D61726B
"""Key of the PostgreSQL advisory lock that writers take: "hallmark" in ASCII."""


def parse_url(url: str) -> URL:
    """A database URL with the driver we use.

    Raises:
        InputError: not a URL, or neither SQLite nor PostgreSQL. The message leaves the URL out, as it may
            hold a password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise InputError(
            "the registry URL is not a database URL; "
            "expected sqlite:///PATH or postgresql://USER:PASSWORD@HOST/DATABASE"
        ) from None
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername in ("sqlite", "sqlite+pysqlite"):
        if not parsed.database or parsed.database == ":memory:":
            raise InputError("the registry needs a database file that outlives the process: sqlite:///PATH")
        return parsed
    raise InputError(
        f"registry database {parsed.drivername!r} is not supported; use sqlite:///PATH or postgresql://..."
    )


def connect(url: str | URL, timeout_s: float = 30.0) -> Engine:
    """An engine for a registry database. Nothing is opened yet.

    Args:
        url: sqlite:///PATH or postgresql://USER:PASSWORD@HOST/DATABASE.
        timeout_s: how long a writer waits for another one, in seconds.

    Raises:
        InputError: the URL is not usable.
        ResourceError: the PostgreSQL driver is not installed.
    """
    parsed = url if isinstance(url, URL) else parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed, timeout_s)
    try:
        engine = create_engine(
            parsed, json_serializer=canonical_json, pool_pre_ping=True, connect_args={"connect_timeout": 10}
        )
    except ImportError:
        raise ResourceError(
            "the PostgreSQL driver is not installed; install it with: pip install 'hallmark[postgres]'"
        ) from None
    timeout_ms = max(1, round(timeout_s * 1000))

    @event.listens_for(engine, "begin")
    def lock(connection: Connection) -> None:
        if connection.get_execution_options().get("writes"):
            connection.execute(text(f"SET LOCAL lock_timeout = {timeout_ms}"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": WRITE_LOCK})

    return engine


def _sqlite(url: URL, timeout_s: float) -> Engine:
    # Connections are kept: closing the last one writes the whole WAL back to the database, which takes longer
    # than a transaction. Their number has no limit, since a thread may read while it writes.
    engine = create_engine(
        url, json_serializer=canonical_json, max_overflow=-1, connect_args={"timeout": timeout_s}
    )
    sqlite_engines.add(engine)
    path = Path(url.database or "")

    @event.listens_for(engine, "do_connect")
    def open_read_only(_dialect: Any, _record: Any, _arguments: Any, _options: Any) -> Any:
        return connect_read_only(path, timeout_s) if is_read_only(path) else None  # None: as always

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # transactions begin where we say, below
        # recursive_triggers makes INSERT OR REPLACE fire the triggers that refuse deletes.
        for pragma in (
            *([] if is_read_only(path) else ["journal_mode = WAL"]),
            "synchronous = FULL",
            "foreign_keys = ON",
            "recursive_triggers = ON",
        ):
            connection.execute(f"PRAGMA {pragma}")
        record.info["file"] = _identity(path)

    @event.listens_for(engine, "checkout")
    def check(_connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
        if record.info["file"] != _identity(path):
            raise DisconnectionError(
                "the file was replaced"
            )  # never seen: the pool opens the file that is there now

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _identity(path: Path) -> tuple[Any, ...] | None:
    """Which file is at the place of a database, and how it is read; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, is_read_only(path), unguarded(path)


def _leave_to_parent() -> None:
    """In a forked child: open new connections; the parent's are left alone, as SQLite's locks do not fork."""
    for engine in sqlite_engines:
        inherited_pools.append(engine.pool)
        engine.dispose(close=False)


sqlite_engines: WeakSet[Engine] = WeakSet()
inherited_pools: list[Pool] = []
os.register_at_fork(after_in_child=_leave_to_parent)


class Database:
    """Transactions on one registry database.

    Args:
        engine: from `connect`.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        is_file = engine.dialect.name == "sqlite"
        self._file = Path(engine.url.database or "") if is_file else None
        self._writer = engine.execution_options(writes=True)
        # PostgreSQL would show each statement another state; SQLite keeps a reader's state by itself.
        self._reader = engine if is_file else engine.execution_options(isolation_level="REPEATABLE READ")

    @property
    def is_read_only(self) -> bool:
        """Whether nothing can be recorded: the database's file cannot be written. A server says so itself."""
        return self._file is not None and is_read_only(self._file)

    def check_writable(self) -> None:
        """Refuse to go on where nothing can be recorded.

        Raises:
            ResourceError: the database is read-only.
        """
        if self.is_read_only:
            raise read_only(describe(self.engine.url))

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session on one consistent state. Rows stay usable after it ends.

        Raises:
            TransientError: somebody else wrote to a file that is read without locks.
        """
        with (
            database_errors(self.engine.url),
            self._unchanged(),
            Session(self._reader, expire_on_commit=False) as session,
        ):
            yield session

    @contextmanager
    def _unchanged(self) -> Iterator[None]:
        before = self._file and unguarded(self._file)
        try:
            yield
        finally:
            if before is not None and self._file is not None and unguarded(self._file) != before:
                raise changed(self._file) from None

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """The only writer, from here until the transaction commits at the end, or rolls back on an error.

        The lock is SQLite's BEGIN IMMEDIATE, or an advisory lock of PostgreSQL. It is waited for, and it ends
        with the transaction. Each row that is written through the session gets its entry in the audit log.

        Raises:
            ResourceError: the database is read-only.
        """
        self.check_writable()
        with (
            database_errors(self.engine.url),
            Session(self._writer, expire_on_commit=False) as session,
            session.begin(),
        ):
            # Begin, and with that take the write lock, now: a transaction that began with its first statement
            # would let a caller look at something before it holds the lock.
            session.connection()
            with audited(session):
                yield session

    @contextmanager
    def writing_schema(self) -> Iterator[Connection]:
        """As `writing`, for statements that change the schema."""
        self.check_writable()
        with database_errors(self.engine.url), self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        """Give back all connections."""
        self.engine.dispose()
