"""Opening and upgrading the registry of a home folder."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL

from hallmark.files import raise_for_os_error
from registry.engine import Database, connect, parse_url
from registry.registry import Registry
from registry.schema import ensure_current, migrate
from registry.store import Store

__all__ = ["connect", "open_registry", "registry_url", "upgrade"]


def registry_url(home: Path, url: str | None = None) -> URL:
    """The database of a home folder: the given URL, else `registry.db` in the folder.

    Raises:
        InputError: the URL is not usable.
    """
    if url:
        return parse_url(url)
    return URL.create("sqlite", database=str(home.absolute() / "registry.db"))


def open_registry(home: Path, url: str | None = None, timeout_s: float = 30.0) -> Registry:
    """Open the registry, making it first when there is none.

    Args:
        home: folder of the SQLite database and of the artifact store.
        url: database to use instead of SQLite in `home`.
        timeout_s: how long a writer waits for another one, in seconds.

    Raises:
        InputError: the schema is older or newer than this version of Hallmark, or the URL is not usable.
        IntegrityError: the file is not an intact database.
        TransientError: the database is locked or the server is away.
        ResourceError: wrong password, no permission. No message holds a password.
    """
    database = _connected(home, url, timeout_s)
    try:
        ensure_current(database)
    except BaseException:
        database.close()
        raise
    return Registry(database, Store(home.absolute() / "artifacts"))


def upgrade(home: Path, url: str | None = None, timeout_s: float = 30.0) -> None:
    """Migrate the registry to the newest schema, in one transaction. Raises what `open_registry` raises."""
    database = _connected(home, url, timeout_s)
    try:
        migrate(database)
    finally:
        database.close()


def _connected(home: Path, url: str | None, timeout_s: float) -> Database:
    address = registry_url(home, url)
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise_for_os_error(error, home)
    return Database(connect(address, timeout_s))
