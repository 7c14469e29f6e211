"""Rows 18 and 22: a registry of every released schema is upgraded whole or not at all, and nothing it holds
is lost.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import sqlite3
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, MetaData, Table, event, insert, null, text

from registry import open_registry, upgrade
from registry.database import Database, connect
from registry.opening import registry_url as database_url
from registry.schema import HEAD, REVISIONS
from tests.support.registry_entries import finished, promote

pytestmark = pytest.mark.unit

RELEASED = REVISIONS[:-1]
DATA = Path(__file__).parents[1] / "data"
CONTENT = {
    "0001": DATA / "registry-0002.json",  # the same tables
    "0002": DATA / "registry-0002.json",
    "0003": DATA / "registry-0003.json",
    "0004": DATA / "registry-0004.json",
    "0005": DATA / "registry-0005.json",
    "0006": DATA / "registry-0006.json",
}
"""Rows that a registry of each schema wrote, with its own hashes."""


def make_registry(home: Path, url: str | None, revision: str) -> None:
    """A registry as the version of Hallmark with that schema left it."""
    home.mkdir(exist_ok=True)
    database = Database(connect(database_url(home, url)))
    config = Config()
    config.set_main_option("script_location", "registry:migrations")
    with database.writing_schema() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        tables = MetaData()
        tables.reflect(connection)
        rows = json.loads(CONTENT[revision].read_text())
        for table in tables.sorted_tables:
            for row in rows.get(table.name, []):
                # no files or samples: from before they were recorded, and not the document null
                unset = {name: null() for name in ("files", "samples") if row.get(name, "") is None}
                connection.execute(insert(table).values({**row, **unset}))
            _count_on(connection, table, rows.get(table.name, []))
    database.close()


def _count_on(connection: Connection, table: Table, rows: list[dict[str, object]]) -> None:
    """Let PostgreSQL count on from ids that were written by hand; SQLite does by itself."""
    if connection.dialect.name == "sqlite" or not rows or "id" not in rows[0]:
        return
    sequence = connection.execute(
        text("SELECT pg_get_serial_sequence(:table, 'id')"), {"table": table.name}
    ).scalar()
    if sequence is not None:
        connection.execute(text("SELECT setval(:sequence, :last)"), {"sequence": sequence, "last": len(rows)})


def content(home: Path, url: str | None) -> dict[str, object]:
    """What a person would look up."""
    registry = open_registry(home, url)
    found: dict[str, object] = {
        "runs": [(run.run_id, run.status, run.error, run.content_sha256) for run in registry.runs.list()],
        "versions": [
            (version.number, version.run_id, version.content_sha256)
            for version in registry.models.versions("m")
        ],
        "history": [(row.id, row.action, row.reason, row.hash) for row in registry.models.history("m")],
        "predictions": [
            (row.trace_id, row.prediction)
            for run in registry.runs.list()
            for row in registry.runs.predictions(run.run_id)
        ],
    }
    registry.close()
    return found


@pytest.mark.parametrize("revision", RELEASED)
def test_a_registry_of_a_released_schema_keeps_everything_and_goes_on(
    revision: str, home: Path, registry_url: str | None, tmp_path: Path
) -> None:
    make_registry(home, registry_url, revision)
    upgrade(home, registry_url)
    found = content(home, registry_url)
    rows = json.loads(CONTENT[revision].read_text())
    assert len(found["runs"]) == len(rows["run"])
    assert [row[3] for row in found["history"]] == [row["hash"] for row in rows["promotion_log"]]
    assert [row[2] for row in found["versions"]] == [
        row["content_sha256"] for row in reversed(rows["model_version"])
    ]
    registry = open_registry(home, registry_url)
    artifacts = ("artifact ",)  # the rows came without their weights
    assert [problem for problem in registry.verify() if not str(problem).startswith(artifacts)] == []
    champion = registry.models.aliased("m")
    assert champion is not None
    aliases = {row["name"]: row["version"] for row in rows["alias"]}
    assert champion.number == aliases["champion"]
    assert {(alias.name, alias.version, alias.protected) for alias in registry.aliases.list("m")} == {
        (name, version, name == "champion") for name, version in aliases.items()
    }
    offer = promote(registry, *finished(registry, tmp_path, "after the upgrade"))
    assert offer.version is not None
    assert offer.version.number == len(rows["model_version"]) + 1
    assert [problem for problem in registry.verify() if not str(problem).startswith(artifacts)] == []
    registry.close()


def upgrade_killed_at(home: Path, statement: int | None) -> int:
    """Upgrade in a forked process that kills itself before a statement or commit of its own, so that no clock
    decides where.

    Args:
        home: of the registry.
        statement: from 1; None is never killed.

    Returns:
        How many statements and commits it began.
    """
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        begun = itertools.count(1)

        @event.listens_for(Engine, "before_cursor_execute")
        @event.listens_for(Engine, "commit")
        def count(*_: object) -> None:
            os.write(writer, b".")
            if next(begun) == statement:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            upgrade(home)
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as marks:
        statements = len(marks.read())
    os.waitpid(child, 0)
    return statements


def test_an_upgrade_that_is_killed_at_any_moment_is_done_or_not_begun(tmp_path: Path) -> None:
    make_registry(tmp_path / "whole", None, RELEASED[-1])
    statements = upgrade_killed_at(tmp_path / "whole", None)
    expected = content(tmp_path / "whole", None)
    middle = random.Random(0).sample(range(2, statements), min(18, statements - 2))
    seen = []
    for number in (1, *middle, statements):
        place = tmp_path / f"home-{number}"
        make_registry(place, None, RELEASED[-1])
        assert upgrade_killed_at(place, number) == number
        with sqlite3.connect(place / "registry.db") as connection:
            [(revision,)] = connection.execute("SELECT version_num FROM alembic_version").fetchall()
            made = connection.execute(
                "SELECT count(*) FROM sqlite_master WHERE tbl_name = 'review'"
            ).fetchone()
        assert made == ((4,) if revision == HEAD else (0,)), "the table, its index and its triggers"
        seen.append(revision)
        upgrade(place)
        assert content(place, None) == expected
    assert seen[0] == RELEASED[-1], "the first was killed before anything happened"


def test_an_older_registry_names_the_command_and_is_left_as_it_is(hallmark, home: Path) -> None:
    make_registry(home, None, RELEASED[-1])
    before = (home / "registry.db").read_bytes()
    result = hallmark("models", "list")
    assert result.returncode == 2
    assert "hallmark registry upgrade" in " ".join(result.stderr.split())
    assert (home / "registry.db").read_bytes() == before


def test_the_log_stays_immutable_after_an_upgrade(home: Path, registry_url: str | None) -> None:
    make_registry(home, registry_url, RELEASED[-1])
    upgrade(home, registry_url)
    registry = open_registry(home, registry_url)
    with pytest.raises(Exception, match="immutable"), registry.database.engine.begin() as connection:
        connection.execute(text("DELETE FROM promotion_log"))
    registry.close()
