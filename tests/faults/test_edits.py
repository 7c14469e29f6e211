"""Whatever is edited behind our back is found. The edits are made from the schema and from the files that are
there, not chosen: every column, every row, every trigger and index, every file of a home.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import JSON, Boolean, Column, Float, Integer, Table

from evaluation.gate import GateConfig
from experiments.promoting import promote_run
from experiments.runs import begin_run
from experiments.verifying import verify
from experiments.workspace import Workspace
from golden.datasets import load_dataset
from registry.tables import Row
from tests.support.recorded_runs import plan_of, record_baseline, record_from, right_for, workspace_at
from tests.support.small_datasets import write_items

pytestmark = pytest.mark.unit

PAGE = (Path(__file__).parents[2] / "docs" / "operate.md").read_text()

MADE_AGAIN = "comparison.json"
"""Not missed where it is gone: whoever compares the two runs again writes it."""

NAMED_BY = {
    "dataset": ("key",),
    "run": ("run_id",),
    "metric": ("run_id",),
    "prediction": ("run_id",),
    "comparison": ("id",),
    "registered_model": ("name",),
    "model_version": ("model", "number"),
    "alias": ("model", "name"),
    "alpha_spending": ("model", "number"),
    "attestation": ("model", "number"),
    "review": ("id",),
    "promotion_log": ("id",),
    "audit_log": ("id",),
}
"""What a problem with a row has to say."""


@pytest.fixture
def place(home: Path, tmp_path: Path, registry_url: str | None) -> Iterator[Workspace]:
    """A home in which something of every kind was recorded."""
    workspace = workspace_at(home, registry_url)
    items = list(load_dataset("golden-v1").items())
    dataset = str(write_items(tmp_path / "few-v1.jsonl", items[:40]))
    registry = workspace.registry
    record_baseline(workspace, right_for(0.3), dataset=dataset)
    for weights, share in (("first", 0.9), ("worse", 0.4), ("second", 1.0)):
        run = record_from(workspace, "tiny-base", right_for(share), weights, dataset=dataset)
        reason = "to have two" if share == 1 else None
        promote_run(run.run_id, "m", GateConfig(), workspace, force_reason=reason)
    registry.aliases.set("m", "staging", 1, "to try it", "ana")
    registry.aliases.protect("m", "staging", "it is used", "ana")
    registry.aliases.rollback("m", 1, "too slow", "ana")
    registry.reviews.add([run.run_id], items[0].trace_id, "fine", reviewer="ana")
    plans = [plan_of(workspace, dataset=dataset, generation={"max_new_tokens": n}) for n in (8, 9)]
    failed, _unfinished = [begin_run(plan, registry) for plan in plans]
    registry.runs.fail(failed.run_id, "the power went")
    assert verify(workspace).problems == []
    yield workspace
    registry.close()


class Editor:
    """Somebody with a shell on the machine of the database, whom no trigger and no foreign key stops."""

    def __init__(self, workspace: Workspace) -> None:
        url = workspace.registry.database.engine.url
        self.connection: Any
        self.is_sqlite = url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self.connection = sqlite3.connect(str(url.database), isolation_level=None)
            self.refused: type[Exception] = sqlite3.IntegrityError
            for pragma in ("foreign_keys = OFF", "ignore_check_constraints = ON"):
                self.connection.execute(f"PRAGMA {pragma}")
        else:
            import psycopg

            plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
            self.connection = psycopg.connect(plain, autocommit=True)
            self.refused = psycopg.Error
            self.connection.execute("SET session_replication_role = replica")

    def run(self, statement: str, *values: Any) -> Any:
        return self.connection.execute(statement if self.is_sqlite else statement.replace("?", "%s"), values)

    def rows(self, table: Table) -> list[dict[str, Any]]:
        """The first row and the last one, as they are stored."""
        shown = ", ".join(
            f'"{column.name}"::text' if is_json(column) and not self.is_sqlite else f'"{column.name}"'
            for column in table.columns
        )
        found = self.run(f"SELECT {shown} FROM {table.name} ORDER BY id").fetchall()
        rows = [dict(zip((column.name for column in table.columns), row, strict=True)) for row in found]
        return list({id(row): row for row in (rows[0], rows[-1])}.values())

    def without_triggers(self, table: Table) -> list[str]:
        """Drop the triggers of a table; gives what makes them again."""
        if not self.is_sqlite:
            return []
        asked = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?"
        found = self.run(asked, table.name).fetchall()
        for name, _ in found:
            self.run(f"DROP TRIGGER {name}")
        return [sql for _, sql in found]

    def again(self, triggers: list[str]) -> None:
        for sql in triggers:
            self.run(sql)

    def place_of(self, column: Column[Any]) -> str:
        return "CAST(? AS json)" if is_json(column) and not self.is_sqlite else "?"

    def write(self, table: Table, column: Column[Any], id_: int, value: Any) -> bool:
        """Whether the database let it be written: a constraint is dropped by nobody here."""
        triggers = self.without_triggers(table)
        place = self.place_of(column)
        try:
            self.run(f'UPDATE {table.name} SET "{column.name}" = {place} WHERE id = ?', value, id_)
        except self.refused:
            return False
        finally:
            self.again(triggers)
        return True

    def delete(self, table: Table, id_: int) -> None:
        triggers = self.without_triggers(table)
        self.run(f"DELETE FROM {table.name} WHERE id = ?", id_)
        self.again(triggers)

    def insert(self, table: Table, row: dict[str, Any]) -> None:
        names = ", ".join(f'"{name}"' for name in row)
        places = ", ".join(self.place_of(table.columns[name]) for name in row)
        self.run(f"INSERT INTO {table.name} ({names}) VALUES ({places})", *row.values())


def is_json(column: Column[Any]) -> bool:
    return isinstance(column.type, JSON)


def others(column: Column[Any], value: Any, is_sqlite: bool) -> Iterator[Any]:
    """Other values for a column: one that looks alike, none, and on SQLite what is no value of its type."""
    if value is not None and column.nullable:
        yield None
    if isinstance(column.type, Boolean):
        yield (not value) if not is_sqlite else int(not value)
    elif isinstance(column.type, Integer):
        yield 1 if value is None else value + 1000
    elif isinstance(column.type, Float):
        yield 0.5 if value is None else math.nextafter(value, 0.5)
    elif is_json(column):
        yield '{"a":1}' if value is None else value[:-1] + (',"a":1}' if value[-1] == "}" else ",1]")
        if is_sqlite:
            yield '{"a":'
    elif column.name == "status":
        yield from {"running", "failed", "finished"} - {value}
    else:
        yield "a" if not value else value[:-1] + ("0" if value[-1] != "0" else "1")
    if is_sqlite:
        yield b"\xff\xfe"


def told(problems: list[Any], table: str, row: dict[str, Any]) -> bool:
    """Whether a problem names a row."""
    names = [str(row[name]) for name in NAMED_BY[table]]
    if table == "audit_log" and any(str(row["row_key"]) in str(problem) for problem in problems):
        return True  # the row that the entry is about differs from the entry before
    return any(all(name in str(problem) for name in names) for problem in problems)


@pytest.mark.slow
def test_an_edit_of_any_column_is_found(place: Workspace) -> None:
    editor, unseen = Editor(place), []
    for table in Row.metadata.sorted_tables:
        for row in editor.rows(table):
            for column in table.columns:
                for value in others(column, row[column.name], editor.is_sqlite):
                    if not editor.write(table, column, row["id"], value):
                        continue
                    problems = verify(place, quick=True).problems
                    edited = {**row, column.name: value}
                    if not (told(problems, table.name, row) or told(problems, table.name, edited)):
                        unseen.append((table.name, column.name, value, list(map(str, problems))))
                    assert editor.write(table, column, edited["id"], row[column.name])
    assert unseen == []
    assert verify(place, quick=True).problems == []


def test_a_row_that_was_removed_is_found(place: Workspace) -> None:
    editor = Editor(place)
    for table in Row.metadata.sorted_tables:
        for row in editor.rows(table):
            editor.delete(table, row["id"])
            assert told(verify(place, quick=True).problems, table.name, row), (table.name, row)
            editor.insert(table, row)
    assert verify(place, quick=True).problems == []


def test_a_trigger_or_an_index_that_was_dropped_is_found(place: Workspace) -> None:
    editor = Editor(place)
    if editor.is_sqlite:
        asked = "SELECT type, name, sql FROM sqlite_master WHERE type IN ('trigger', 'index') AND sql <> ''"
    else:
        asked = (
            "SELECT 'index', indexname, indexdef FROM pg_indexes JOIN pg_class ON relname = indexname "
            "JOIN pg_index ON indexrelid = pg_class.oid WHERE schemaname = 'public' AND NOT indisunique "
            "UNION SELECT 'trigger', tgname || ' ON ' || tgrelid::regclass, pg_get_triggerdef(oid) "
            "FROM pg_trigger WHERE NOT tgisinternal"
        )
    found = editor.run(asked).fetchall()
    assert {"trigger", "index"} == {kind for kind, _, _ in found}
    for kind, name, sql in found:
        editor.run(f"DROP {kind} {name}")
        problems = verify(place, quick=True).problems
        assert any(name.partition(" ")[0] in str(problem) for problem in problems), (name, problems)
        editor.run(sql)
    assert verify(place, quick=True).problems == []


@pytest.mark.parametrize("registry_url", [None])
def test_a_changed_or_missing_file_is_found(place: Workspace) -> None:
    unseen = []
    finished = [run for run in place.registry.runs.list(limit=100) if run.status == "finished"]
    looked_at = {finished[0].run_id, finished[-1].run_id}  # one that trained, one that did not
    assert {finished[0].kind, finished[-1].kind} == {"trained", "baseline"}
    for path in sorted(place.home.rglob("*")):
        name = path.relative_to(place.home)
        if not path.is_file() or name.parts[0] not in ("runs", "artifacts"):
            continue
        if name.parts[0] == "runs" and (name.parts[1] not in looked_at or path.name == ".lock"):
            continue  # tests/faults/test_damaged_files.py: what is not finished is looked at when it goes on
        data, mode = path.read_bytes(), path.stat().st_mode
        path.chmod(0o644)
        half = len(data) // 2
        for changed in (data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :], data[:half], None):
            if changed is None:
                path.unlink()
            else:
                path.write_bytes(changed)
            problems = [str(problem) for problem in verify(place).problems]
            expected = path.name != MADE_AGAIN or changed is not None
            if expected != any(path.name in problem or path.parent.name in problem for problem in problems):
                unseen.append((str(name), changed is None, problems))
            path.write_bytes(data)
        path.chmod(mode)
    assert unseen == []
    assert verify(place).problems == []


@pytest.mark.parametrize("registry_url", [None])
def test_the_page_names_every_column_and_every_file(place: Workspace) -> None:
    for path in (place.runs).glob("*/*"):
        name = f"{path.name}/" if path.is_dir() else path.name
        assert name == ".lock" or f"`{name}`" in PAGE or f"`*{path.suffix}`" in PAGE, name
    for table in Row.metadata.sorted_tables:
        [line] = [line for line in PAGE.splitlines() if line.startswith(f"| `{table.name}` |")]
        for column in table.columns:
            assert f"`{column.name}`" in line, f"{table.name}.{column.name}"
