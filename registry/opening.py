"""Opening and upgrading the registry of a home folder."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL

from core.errors import InputError
from core.files import make_home
from registry.artifacts.old_layout import Converted
from registry.artifacts.store import Store
from registry.artifacts.urls import ArtifactUrl
from registry.database import Database, connect, parse_url
from registry.registry import Registry
from registry.schema import ensure_current, migrate


def registry_url(home: Path, url: str | None = None) -> URL:
    """The database of a home folder: the given URL, else `registry.db` in the folder.

    Raises:
        InputError: the URL is not usable.
    """
    if url:
        return parse_url(url)
    return URL.create("sqlite", database=str(home.absolute() / "registry.db"))


def open_registry(
    home: Path, url: str | None = None, timeout_s: float = 30.0, artifacts: str | None = None
) -> Registry:
    """Open the registry, making it first when there is none. A read-only one is opened for reading.

    Args:
        home: folder of the SQLite database, of the runs, of the artifacts and of their checkouts.
        url: database to use instead of SQLite in `home`.
        timeout_s: how long a writer waits for another one, in seconds.
        artifacts: folder or fsspec URL of the artifacts instead of `artifacts` in `home`; not opened yet.

    Raises:
        InputError: the schema is older or newer than this version of Hallmark, or a URL is not usable.
        IntegrityError: the file is not an intact database.
        TransientError: the database is locked or the server is away.
        ResourceError: wrong password, no permission. No message holds a password.

    Example:
        >>> registry = open_registry(Path(".hallmark"))
        >>> registry.models.get("tiny-reasoner@champion").number
        2
    """
    store = open_store(home, artifacts)
    database = _connected(home, url, timeout_s)
    try:
        ensure_current(database)
    except BaseException:
        database.close()
        raise
    return Registry(database, store, home.absolute() / "runs")


def has_registry(home: Path, url: str | None = None) -> bool:
    """Whether a home has a registry, as far as can be said without asking a server: it has."""
    address = registry_url(home, url)
    return address.get_backend_name() != "sqlite" or Path(str(address.database)).exists()


def require_registry(home: Path, url: str | None = None) -> None:
    """Raise InputError where a home has no registry: for what would otherwise find nothing wrong with a new
    one.
    """
    if not has_registry(home, url):
        raise InputError(
            f"{registry_url(home, url).database}: there is no registry. Check HALLMARK_HOME, or restore "
            "registry.db there."
        )


def open_store(home: Path, artifacts: str | None = None) -> Store:
    """The artifacts of a home folder. Nothing is opened yet.

    Raises:
        InputError: the URL is not usable.
    """
    own = home.absolute() / "artifacts"
    shared = artifacts is not None and ArtifactUrl(artifacts).folder != own
    return Store(artifacts or own, home.absolute() / "checkouts", shared=shared)


def upgrade(
    home: Path, url: str | None = None, timeout_s: float = 30.0, artifacts: str | None = None
) -> Converted:
    """Migrate the registry, in one transaction, to the newest schema, and a local store to the newest layout.

    Returns:
        How many artifacts were moved, and which are damaged.

    Raises:
        HallmarkError: what `open_registry` raises.

    Example:
        >>> upgrade(Path(".hallmark"))
        Converted(moved=0, damaged=())
    """
    store = open_store(home, artifacts)
    database = _connected(home, url, timeout_s)
    try:
        migrate(database)
    finally:
        database.close()
    return store.convert_old_layout()


def _connected(home: Path, url: str | None, timeout_s: float) -> Database:
    address = registry_url(home, url)
    make_home(home, to_write=False)
    return Database(connect(address, timeout_s))
