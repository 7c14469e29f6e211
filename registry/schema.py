"""Which schema a database has, and bringing it to ours. Alembic is imported only to migrate."""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text

from core.errors import InputError
from registry.database import Database
from registry.database_errors import database_errors, describe

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007")
"""All revisions, oldest first, so that opening a registry does not load Alembic; a test compares them."""

HEAD = REVISIONS[-1]


def current_revision(connection: Connection, place: str) -> str | None:
    """The schema revision of a database, or None when it is empty.

    Raises:
        InputError: it holds tables of something else.
    """
    inspector = inspect(connection)
    if inspector.has_table("alembic_version"):
        revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        if revision is not None:
            return str(revision)
    if tables := inspector.get_table_names():
        raise InputError(
            f"{place}: holds tables that are not a Hallmark registry's ({', '.join(sorted(tables)[:5])}). "
            "Give the registry a database of its own."
        )
    return None


def ensure_current(database: Database) -> None:
    """Make an empty database a registry; accept one with our schema; refuse any other.

    Raises:
        InputError: the schema is older or newer than this version of Hallmark; says what to run.
    """
    place = describe(database.engine.url)
    with database_errors(database.engine.url), database.engine.connect() as connection:
        revision = current_revision(connection, place)
    if revision is None:
        migrate(database)
    elif revision not in REVISIONS:
        raise InputError(_newer(place, revision))
    elif revision != HEAD:
        raise InputError(
            f"{place}: has the older schema {revision}, this Hallmark needs {HEAD}. "
            "Back it up, then run: hallmark registry upgrade"
        )


def migrate(database: Database) -> None:
    """Bring a database to the newest schema, in one transaction.

    Raises:
        InputError: its schema is newer than this version of Hallmark.
    """
    place = describe(database.engine.url)
    with database.writing_schema() as connection:
        # Looked up again under the write lock: another process may have migrated in the meantime.
        revision = current_revision(connection, place)
        if revision == HEAD:
            return
        if revision is not None and revision not in REVISIONS:
            raise InputError(_newer(place, revision))
        apply_migrations(connection)


def apply_migrations(connection: Connection) -> None:
    """Run all migrations that a database does not have yet, in the transaction of a connection."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "registry:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)


def _newer(place: str, revision: str) -> str:
    return (
        f"{place}: written by a newer Hallmark (schema {revision}, this one knows up to {HEAD}). "
        "Upgrade hallmark."
    )
