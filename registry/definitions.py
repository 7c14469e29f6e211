"""Tables, constraints, indexes and triggers: whether a database has them as the migrations make them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from functools import cache

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import InternalError, ProgrammingError

from core.progress import announce
from registry.database import Database
from registry.schema import apply_migrations

Definitions = dict[str, str]
"""What there is, as in `trigger run_no_delete`, and its definition as the database gives it."""

_POSTGRESQL = (
    """
    SELECT 'table ' || c.relname || ', column ' || a.attname,
        format_type(a.atttypid, a.atttypmod) || (CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END)
        || coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '')
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = CAST(:schema AS regnamespace) AND c.relkind = 'r'
    """,
    """
    SELECT 'constraint ' || c.relname || '.' || k.conname, pg_get_constraintdef(k.oid)
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
    WHERE c.relnamespace = CAST(:schema AS regnamespace)
    """,
    """
    SELECT 'index ' || c.relname, pg_get_indexdef(i.indexrelid)
        || (CASE WHEN i.indisvalid AND i.indisready THEN '' ELSE ' INVALID' END)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE c.relnamespace = CAST(:schema AS regnamespace)
    """,
    # The triggers of foreign keys have numbers in their names, so those that are switched on are counted.
    """
    SELECT 'trigger ' || t.tgname, pg_get_triggerdef(t.oid) || ' ' || CAST(t.tgenabled AS TEXT)
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE c.relnamespace = CAST(:schema AS regnamespace) AND NOT t.tgisinternal
    UNION ALL
    SELECT 'foreign keys at table ' || c.relname, CAST(count(*) AS TEXT)
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE c.relnamespace = CAST(:schema AS regnamespace) AND t.tgisinternal AND t.tgenabled = 'O'
    GROUP BY c.relname
    """,
    """
    SELECT 'function ' || p.proname, p.prosrc FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
    WHERE p.pronamespace = CAST(:schema AS regnamespace) AND l.lanname = 'plpgsql'
    """,
    """
    SELECT 'rule ' || r.rulename, pg_get_ruledef(r.oid)
    FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
    WHERE c.relnamespace = CAST(:schema AS regnamespace) AND c.relkind = 'r'
    """,
)


def differences(database: Database) -> Iterator[tuple[str, str]]:
    """What a database lacks of what the migrations make, has in another form, or has besides to act on rows.

    Yields:
        Where, as in `trigger run_no_delete`, and what is wrong with it.
    """
    found, expected = _sqlite(database) if database.engine.dialect.name == "sqlite" else _postgresql(database)
    for name in sorted(found.keys() | expected.keys()):
        if name not in found:
            yield name, "is missing from the database"
        elif name not in expected:
            if name.startswith(("trigger ", "rule ")):
                yield name, "is none of Hallmark's"
        elif found[name] != expected[name]:
            yield name, "was changed; it is not what Hallmark makes"


def _sqlite(database: Database) -> tuple[Definitions, Definitions]:
    with database.engine.connect() as connection:
        return _sqlite_definitions(connection), _made_by_sqlite()


@cache
def _made_by_sqlite() -> Definitions:
    fresh = create_engine("sqlite://")
    with fresh.begin() as connection:
        apply_migrations(connection)
        made = _sqlite_definitions(connection)
    fresh.dispose()
    return made


def _sqlite_definitions(connection: Connection) -> Definitions:
    rows = connection.execute(text("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
    return {
        f"{kind} {name}": " ".join(str(definition).replace('"', "").split())
        for kind, name, definition in rows
        if not str(name).startswith("sqlite_")
    }


_made_by_postgresql: dict[str, Definitions] = {}
"""By version of the server, which is what writes the definitions."""


def _postgresql(database: Database) -> tuple[Definitions, Definitions]:
    """The migrations are run in a schema of their own, in a transaction that is rolled back: so the same
    server writes both definitions.
    """
    schema = f"hallmark_{uuid.uuid4().hex}"
    with database.engine.connect() as connection:
        own, server = connection.execute(text("SELECT current_schema(), version()")).one()
        found = _postgresql_definitions(connection, own)
        if server not in _made_by_postgresql:
            try:
                connection.execute(text(f"CREATE SCHEMA {schema}"))
            except (ProgrammingError, InternalError):  # no permission; a server that only reads
                announce("verify", "triggers and constraints not checked: this user may not create a schema")
                return {}, {}
            connection.execute(text(f"SET LOCAL search_path TO {schema}"))
            apply_migrations(connection)
            _made_by_postgresql[server] = _postgresql_definitions(connection, schema)
            connection.rollback()
    return found, _made_by_postgresql[server]


def _postgresql_definitions(connection: Connection, schema: str) -> Definitions:
    rows = (row for query in _POSTGRESQL for row in connection.execute(text(query), {"schema": schema}))
    qualified = re.compile(rf'"?{re.escape(schema)}"?\.')
    return {name: qualified.sub("", definition) for name, definition in rows}
