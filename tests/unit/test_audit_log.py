"""Every write of a row is in the audit log, and whatever was written past it shows, on both databases."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pytest
from sqlalchemy import insert, text

from core.errors import InputError, IntegrityError
from registry import Head, Registry, open_registry, upgrade
from registry.audit import CONTENT, KEYS, adopt
from registry.columns import now
from registry.content import check_content
from registry.stored import read
from registry.tables import Dataset, Row
from tests.faults.test_registry_upgrade import make_registry
from tests.support.registry_entries import (
    digest,
    edit,
    finish,
    finished,
    make_weights,
    promote,
    promoted,
    refusing_gate,
    start,
)

pytestmark = pytest.mark.unit

COVERED_BY_THEIR_RUN = {"metric", "prediction"}


@pytest.fixture
def full(registry: Registry, tmp_path: Path) -> Registry:
    """A registry in which every kind of row was written, changed and removed."""
    promoted(registry, tmp_path)
    run, weights = finished(registry, tmp_path, "two")
    promote(registry, run, weights, attest=lambda version, *_: {"number": version.number})
    promote(registry, *finished(registry, tmp_path, "three"), refusing_gate)
    registry.aliases.set("m", "staging", 1, "to try", "someone")
    registry.aliases.protect("m", "staging", "served", "someone")
    registry.aliases.unprotect("m", "staging", "no longer", "someone")
    registry.aliases.set("m", "staging", 2, "to try more", "someone")
    registry.aliases.set("m", "other", 2, "to remove", "someone")
    registry.aliases.remove("m", "other", "tried", "someone")
    registry.aliases.rollback("m", 1, "too slow", "someone")
    registry.reviews.add([run.run_id], "t0", "unclear", note="é\0", reviewer="someone")
    failed = start(registry, "failed")
    registry.runs.trained(failed.run_id, digest("weights"))
    registry.runs.fail(failed.run_id, "no disk")
    registry.runs.fail(start(registry, "resumed").run_id, "killed")
    registry.runs.resume("resumed")
    return registry


def problems(registry: Registry, head: Head | None = None) -> list[str]:
    return [str(problem) for problem in registry.verify(quick=True, head=head)]


def test_whatever_the_registry_writes_is_in_the_log(full: Registry) -> None:
    tables = {table.name for table in Row.metadata.sorted_tables}
    assert set(KEYS) == tables - COVERED_BY_THEIR_RUN - {"audit_log"}
    with full.database.reading() as session:
        empty = [name for name in tables if next(read(session.connection(), name), None) is None]
        entries = list(read(session.connection(), "audit_log"))
    assert empty == []
    assert {entry.table_name for entry in entries} == {*KEYS, CONTENT}
    assert [entry.row_sha256 for entry in entries if entry.row_key == "m@other"][-1] is None
    assert str(full.head()) == f"{len(entries)}:{entries[-1].hash}"
    assert full.verify() == []


def test_a_row_that_is_written_past_the_log_is_named(full: Registry) -> None:
    row = {"key": "other", "version": "v1", "sha256": digest("other"), "items": 3, "created_at": now()}
    with full.database.writing() as session:
        session.connection().execute(insert(Dataset.__table__), row)  # type: ignore[attr-defined]
    assert problems(full) == ["dataset other-v1: was added past the registry: the log does not have it"]


@pytest.mark.parametrize(
    ("where", "rung"),
    [
        ("rung IS NOT NULL", "NULL"),
        ("rung IS NOT NULL", "'null'"),
        ("rung IS NOT NULL", "'\"boxed\"'"),
        ("rung IS NULL", "'\"marker\"'"),
        ("rung IS NULL", "'null'"),
        ("rung IS NULL", "''"),
    ],
)
def test_a_rung_that_was_changed_added_or_taken_away_is_named(where: str, rung: str, full: Registry) -> None:
    of_one = f"SELECT min(id) FROM prediction WHERE {where}"
    edit(full, f"UPDATE prediction SET rung = {rung} WHERE id = ({of_one})")
    [problem] = problems(full)
    assert "its metrics or its predictions were changed after it finished" in problem


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("DELETE FROM run WHERE run_id = 'failed'", "run failed: was removed"),
        ("DELETE FROM comparison", "comparison 1: was removed"),
        ("UPDATE dataset SET sha256 = inputs_sha256 FROM run", "dataset sample-v1: was changed"),
        ("UPDATE run SET error = 'no reason' WHERE run_id = 'failed'", "run failed: was changed"),
        ("UPDATE run SET status = 'running' WHERE run_id = 'base-run'", "run base-run: is running, and yet"),
        ("UPDATE metric SET id = id + 1000", "run base-run: its row, its metrics or its predictions"),
        ("UPDATE alias SET protected = NOT protected", "alias m@staging: is protected, but the log"),
        ("DELETE FROM attestation", "attestation of m v2: was removed"),
        ("UPDATE review SET verdict = 'fine'", "review 1: was changed"),
        ("UPDATE audit_log SET row_key = 'x' WHERE id = 3", "log row 3: was changed after it was written"),
        ("DELETE FROM audit_log WHERE id = 3", "log row 4: row 3 before it is missing"),
    ],
)
def test_an_edited_and_a_removed_row_are_named(statement: str, named: str, full: Registry) -> None:
    edit(full, statement)
    assert any(problem.startswith(named) for problem in problems(full)), problems(full)


def test_a_log_that_was_cut_shows_against_a_head_from_before(full: Registry) -> None:
    head = full.head()
    full.datasets.register("later", "v1", digest("later"), 2)
    later = full.head()
    assert problems(full, head) == problems(full, later) == []
    edit(full, "DELETE FROM dataset WHERE key = 'later'", f"DELETE FROM audit_log WHERE id = {later.rows}")
    assert problems(full) == [], "the last transaction was cut whole"
    assert problems(full, head) == []
    assert problems(full, later) == [
        f"log: was cut, or the head is of another one: it has {head.rows} rows, the head names {later.rows}"
    ]


def test_a_log_that_was_written_again_shows_against_a_head_from_before(full: Registry) -> None:
    head = full.head()
    edit(full, "UPDATE comparison SET delta = 0.9", "DELETE FROM audit_log")
    with full.database.writing() as session:
        adopt(session.connection())
    for number in range(head.rows - full.head().rows):
        full.datasets.register("more", f"v{number}", digest("more"), 1)
    assert problems(full) == []
    assert problems(full, head) == [
        f"log row {head.rows}: was rewritten, or the head is of another log: the head has another hash of it"
    ]


def test_what_is_rolled_back_leaves_no_entry(registry: Registry) -> None:
    head = registry.head()
    with pytest.raises(KeyError), registry.database.writing() as session:
        session.add(Dataset(key="never", version="v1", sha256=digest("never"), items=1, created_at=now()))
        session.flush()
        raise KeyError
    assert registry.head() == head == Head(0, "0" * 64)
    assert registry.verify() == []


@pytest.mark.parametrize("text", ["", "12", f"-1:{'a' * 64}", f"1:{'A' * 64}", f"1:{'a' * 63}"])
def test_what_is_no_head_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected N:HASH"):
        Head.parse(text)
    head = Head(12, "a" * 64)
    assert Head.parse(str(head)) == head


@pytest.mark.parametrize("revision", ["0003", "0004"])
def test_both_databases_have_the_same_hashes_of_the_same_rows(
    revision: str, tmp_path: Path, home: Path, registry_url: str | None
) -> None:
    seen = []
    for place, url in ((home, registry_url), (tmp_path / "sqlite", None)):
        make_registry(place, url, revision)
        upgrade(place, url)
        registry = open_registry(place, url)
        with registry.database.reading() as session:
            entries = read(session.connection(), "audit_log", "id", "table_name", "row_key", "row_sha256")
            seen.append([tuple(entry) for entry in entries])
        registry.close()
    assert seen[0] == seen[1]
    assert {table for _, table, _, _ in seen[0]} == {*KEYS, CONTENT} - {"review"}, "they had no reviews"


def test_a_run_whose_prediction_was_edited_is_refused_as_evidence(full: Registry) -> None:
    run = full.runs.get("base-run")
    with full.database.reading() as session:
        check_content(session, run)
    edit(full, "UPDATE prediction SET score = 1 WHERE run_id = 'base-run'")
    with full.database.reading() as session, pytest.raises(IntegrityError, match="run base-run: its row"):
        check_content(session, run)


def test_no_run_ends_before_it_began(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = start(registry), start(registry)

    class Yesterday(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.now(tz) - timedelta(days=1)

    monkeypatch.setattr("registry.columns.datetime", Yesterday)
    assert registry.runs.fail(one.run_id, "no disk").finished_at == one.started_at
    assert finish(registry, two, make_weights(tmp_path, "w")).finished_at == two.started_at
    assert registry.verify() == []


@pytest.mark.parametrize(
    ("on_sqlite", "on_postgresql"),
    [
        (
            ("DROP TRIGGER run_no_delete", "trigger run_no_delete: is missing"),
            ("DROP TRIGGER run_no_delete ON run", "trigger run_no_delete: is missing"),
        ),
        (
            ("DROP INDEX ix_run_model_sha256", "index ix_run_model_sha256: is missing"),
            ("DROP INDEX ix_run_model_sha256", "index ix_run_model_sha256: is missing"),
        ),
        (
            (
                "CREATE TRIGGER mine AFTER INSERT ON alias BEGIN DELETE FROM alias; END",
                "trigger mine: is none of Hallmark's",
            ),
            ("CREATE RULE mine AS ON DELETE TO alias DO INSTEAD NOTHING", "rule mine: is none of Hallmark's"),
        ),
        (
            ("DROP TABLE metric", "table metric: is missing"),
            ("ALTER TABLE metric DISABLE TRIGGER metric_no_change", "trigger metric_no_change: was changed"),
        ),
        (
            ("ALTER TABLE alias ADD COLUMN more TEXT", "table alias: was changed"),
            (
                "ALTER TABLE alias DROP CONSTRAINT uq_alias_model_name",
                "constraint alias.uq_alias_model_name:",
            ),
        ),
        (
            ("ALTER TABLE alias RENAME COLUMN name TO title", "table alias: cannot be read"),
            ("ALTER TABLE alias RENAME COLUMN name TO title", "table alias: cannot be read"),
        ),
    ],
)
def test_a_changed_schema_is_named(
    on_sqlite: tuple[str, str], on_postgresql: tuple[str, str], full: Registry
) -> None:
    with full.database.engine.begin() as connection:
        statement, named = on_sqlite if connection.dialect.name == "sqlite" else on_postgresql
        connection.execute(text(statement))
    assert any(problem.startswith(named) for problem in problems(full)), problems(full)
