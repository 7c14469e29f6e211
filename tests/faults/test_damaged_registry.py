"""Row 18: whatever a damaged database holds, `hallmark verify` says so in sentences and checks the rest."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import IntegrityError
from registry import Registry, open_registry
from tests.support.refusals import assert_refused
from tests.support.registry_entries import edit, finished, promote, promoted

pytestmark = pytest.mark.unit


@pytest.fixture
def registry(home: Path, tmp_path: Path) -> Iterator[Registry]:
    """A registry on SQLite with two versions."""
    opened = open_registry(home)
    promoted(opened, tmp_path)
    promote(opened, *finished(opened, tmp_path, "two"))
    assert opened.verify() == []
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("'{not json'", "manifest is not JSON"),
        ("CAST(x'7bff7d' AS TEXT)", "manifest is not UTF-8"),
        ("x'7b7d'", "manifest is of another type"),
    ],
)
def test_a_row_that_cannot_be_read_is_named_with_its_column_and_the_rest_is_checked(
    value: str, what: str, registry: Registry, hallmark
) -> None:
    edit(
        registry,
        f"UPDATE run SET manifest = {value} WHERE run_id = 'base-run'",
        "UPDATE comparison SET delta = 0",
    )
    registry.close()
    result = hallmark("verify", COLUMNS="500")
    assert result.returncode == 3, result.stderr
    assert f"run base-run: was changed after it was written; {what}" in result.stdout
    assert "comparison 1: was changed after it was written" in result.stdout


def test_a_key_that_is_not_utf8_is_printed(registry: Registry, hallmark) -> None:
    edit(registry, "UPDATE run SET run_id = CAST(x'72ff' AS TEXT) WHERE run_id = 'base-run'")
    registry.close()
    result = hallmark("verify", COLUMNS="500")
    assert result.returncode == 3, result.stderr
    assert "run base-run: was removed" in result.stdout
    assert r"run r\udcff: was added past the registry" in result.stdout


def test_flipped_bytes_in_the_file_are_named_and_crash_nothing(registry: Registry, home: Path) -> None:
    registry.close()
    with sqlite3.connect(home / "registry.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        rows = list(connection.iterdump())
    whole, chance, named = (home / "registry.db").read_bytes(), random.Random(0), 0
    for _ in range(40):
        damaged = bytearray(whole)
        for place in chance.sample(range(100, len(whole)), 3):
            damaged[place] ^= 1 << chance.randrange(8)
        (home / "registry.db").write_bytes(damaged)
        try:
            opened = open_registry(home)
            found = opened.verify(quick=True)
            opened.close()
        except IntegrityError:
            named += 1
            continue
        named += bool(found)
        if not found:  # bytes that hold nothing
            with sqlite3.connect(home / "registry.db") as connection:
                assert list(connection.iterdump()) == rows
    assert named


def test_a_page_of_zeros_is_named_and_the_other_tables_are_checked(
    registry: Registry, home: Path, hallmark
) -> None:
    edit(registry, "UPDATE comparison SET delta = 0")
    registry.close()
    with sqlite3.connect(home / "registry.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        [(page,)] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'attestation'")
        [(size,)] = connection.execute("PRAGMA page_size")
    with (home / "registry.db").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(bytes(size))
    result = hallmark("verify", COLUMNS="500")
    assert result.returncode == 3, result.stderr
    assert "table attestation: cannot be read: database disk image is malformed" in result.stdout
    assert "comparison 1: was changed after it was written" in result.stdout


def test_other_commands_say_that_a_document_is_damaged(registry: Registry, hallmark) -> None:
    edit(registry, "UPDATE run SET manifest = '{' WHERE run_id = 'base-run'")
    registry.close()
    assert_refused(hallmark("runs", "show", "base-run"), 3, "not JSON", "hallmark verify")


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        (
            "INSERT INTO audit_log VALUES (999, 'model_version', 'xyz', NULL, '', '', 'z')",
            "log row 999",
        ),
        ("UPDATE audit_log SET row_key = x'ff' WHERE table_name = 'model_version'", "log row"),
        ("UPDATE audit_log SET created_at = CAST(x'ff' AS TEXT) WHERE id = 2", "log row 2"),
        (
            "UPDATE promotion_log SET decision = '{\"comparison_sha256\":[]}' WHERE id = 2",
            "promotion log row 2: its decision cannot be read",
        ),
        (
            "UPDATE promotion_log SET reason = CAST(x'ff' AS TEXT) WHERE id = 2",
            "promotion log row 2: was changed",
        ),
        ("UPDATE run SET content_sha256 = x'ff' WHERE run_id = 'base-run'", "run base-run: was changed"),
        ("UPDATE run SET content_sha256 = CAST(x'ff' AS TEXT)", "run base-run: was changed"),
        (
            "UPDATE model_version SET weights_sha256 = CAST(x'ff' AS TEXT) WHERE number = 1",
            "version m v1: was changed",
        ),
        ("UPDATE alpha_spending SET level = 'much'", "alpha spending of"),
    ],
)
def test_one_damaged_row_hides_nothing_else(statement: str, named: str, registry: Registry, hallmark) -> None:
    edit(registry, "UPDATE comparison SET delta = 0", statement)
    registry.close()
    result = hallmark("verify", "--json")
    assert result.returncode == 3, result.stderr
    found = json.loads(result.stdout)
    assert result.stdout.encode(), "no lone surrogates"
    assert any(problem.startswith(named) for problem in found["problems"]), found["problems"]
    assert "comparison 1: was changed after it was written" in found["problems"]
    assert found["checked"]["versions"] == 2
    assert found["head"]


def test_a_missing_table_hides_nothing_else(registry: Registry, home: Path, hallmark) -> None:
    edit(registry, "UPDATE comparison SET delta = 0")
    registry.close()
    with sqlite3.connect(home / "registry.db") as connection:
        connection.execute("DROP TABLE attestation")
    result = hallmark("verify", "--json")
    assert result.returncode == 3, result.stderr
    found = json.loads(result.stdout)
    assert "table attestation: cannot be read: no such table: attestation" in found["problems"]
    assert "comparison 1: was changed after it was written" in found["problems"]
    assert found["checked"]["versions"] == 2
    assert found["head"]


@pytest.mark.parametrize(
    ("statement", "arguments", "what"),
    [
        ("UPDATE dataset SET id = 99", ["promote", "{run}", "--model-name", "m"], "another row names"),
        ("UPDATE dataset SET id = 99", ["compare", "base-run", "{run}"], "another row names"),
        ("UPDATE alpha_spending SET level = 'much'", ["models", "alpha", "m"], "ledger of alpha of m"),
        ("UPDATE alpha_spending SET dataset_sha256 = 'x'", ["models", "alpha", "m"], "ledger of alpha of m"),
        (
            "UPDATE audit_log SET id = 9223372036854775807 WHERE id = (SELECT max(id) FROM audit_log)",
            ["rollback", "1", "--reason", "x", "--model-name", "m"],
            "larger than the database can hold",
        ),
        (
            "UPDATE promotion_log SET id = 9223372036854775807 WHERE id = 2",
            ["rollback", "1", "--reason", "x", "--model-name", "m"],
            "larger than the database can hold",
        ),
    ],
)
def test_other_commands_say_that_a_row_is_damaged(
    statement: str, arguments: list[str], what: str, registry: Registry, hallmark
) -> None:
    run = registry.models.get("m@v2").run_id
    edit(registry, statement)
    registry.close()
    result = hallmark(*(each.format(run=run) for each in arguments))
    assert_refused(result, 3, what, "hallmark verify")


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--write-head", ""], "is a directory"),
        (["--head", "a" * 5000], "no such file"),
        (["--head", "/proc/self/mem"], "cannot be read"),
    ],
)
def test_a_head_that_is_no_file_is_refused(
    arguments: list[str], what: str, registry: Registry, hallmark
) -> None:
    registry.close()
    assert_refused(hallmark("verify", "--quick", *arguments), 2, what)


def test_a_version_number_that_no_database_holds_is_no_damage(registry: Registry, hallmark) -> None:
    registry.close()
    assert_refused(hallmark("rollback", str(10**20), "--reason", "x", "--model-name", "m"), 2, "no version")


def test_the_statement_that_another_process_recorded_meanwhile_stays(registry: Registry) -> None:
    lacking = registry.models.get("m@v2")  # promoted without one
    registry.record_statement(lacking, {"made": "first"})
    registry.record_statement(lacking, {"made": "second"})
    assert registry.statement_basis(lacking).document == {"made": "first"}
