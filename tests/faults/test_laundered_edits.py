"""An edit behind our back never becomes a recorded one: not by our own next write, and not by an entry in the
audit log that somebody else appended.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import IntegrityError
from registry import Registry
from registry.audit import Entry, append
from registry.content import run_sha256
from registry.stored import read, stored_sha256
from tests.support.registry_entries import (
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


@pytest.fixture
def place(registry: Registry, tmp_path: Path) -> Registry:
    """Two versions, the second is champion; an alias that is protected."""
    promoted(registry, tmp_path, "one")
    promoted(registry, tmp_path, "two")
    registry.aliases.set("m", "stable", 1, "served", "ana")
    registry.aliases.protect("m", "stable", "served", "ana")
    return registry


def offered(registry: Registry, folder: Path, **changes: Any) -> str:
    return promote(registry, *finished(registry, folder, "three"), **changes).outcome


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE alias SET version = 1 WHERE name = 'champion'",
        "DELETE FROM alias WHERE name = 'champion'",
        "UPDATE alias SET protected = NOT protected WHERE name = 'champion'",
    ],
)
@pytest.mark.parametrize(
    "write",
    [
        offered,
        lambda registry, folder: registry.aliases.rollback("m", 1, "slow", "ana"),
    ],
    ids=["promote", "rollback"],
)
def test_a_moved_champion_is_neither_compared_with_nor_overwritten(
    place: Registry, tmp_path: Path, statement: str, write: Callable[[Registry, Path], Any]
) -> None:
    edit(place, statement)
    before = len(place.models.history("m"))
    with pytest.raises(Exception, match="alias m@champion|m@champion: is (not set|v1 already)"):
        write(place, tmp_path)
    assert len(place.models.history("m")) == before
    assert any("m@champion" in str(problem) for problem in place.verify(quick=True))


def test_a_refusal_beside_a_moved_champion_is_not_recorded(place: Registry, tmp_path: Path) -> None:
    edit(place, "UPDATE alias SET version = 1 WHERE name = 'champion'")
    with pytest.raises(IntegrityError, match="points at v1, but the promotion log says v2"):
        offered(place, tmp_path, gate=refusing_gate)


def test_a_protected_alias_that_was_opened_by_hand_is_not_moved(place: Registry) -> None:
    edit(place, "UPDATE alias SET protected = NOT protected WHERE name = 'stable'")
    with pytest.raises(IntegrityError, match="alias m@stable: was changed"):
        place.aliases.set("m", "stable", 2, "quietly", "mallory")


def test_the_row_of_an_unfinished_run_is_not_finished_with_what_somebody_put_there(
    place: Registry, tmp_path: Path
) -> None:
    run = start(place, "edited")
    edit(place, "UPDATE run SET base_model = 'another' WHERE run_id = 'edited'")
    with pytest.raises(IntegrityError, match="run edited: was changed"):
        finish(place, run, make_weights(tmp_path, "w"))


def test_a_version_that_was_edited_is_signed_by_nobody(place: Registry) -> None:
    edit(place, "DELETE FROM attestation WHERE number = 1")
    version = place.models.get("m@v1")
    with pytest.raises(IntegrityError, match="attestation m v1: was changed"):
        place.statement_basis(version)
    edit(place, "UPDATE model_version SET judge = 'kinder@v1' WHERE number = 1")
    with pytest.raises(IntegrityError, match="model version m v1: was changed"):
        place.statement_basis(version)


def appended(registry: Registry, table: str, key: str, where: str, *, removed: bool = False) -> None:
    """An entry for a row as it is now, or that says that it was removed."""
    with registry.database.writing() as session:
        connection = session.connection()
        row = None if removed else next(read(connection, table, rest=f"WHERE {where}"))
        append(connection, [Entry(table, key, None if row is None else stored_sha256(row))])


def test_an_edit_with_an_entry_of_its_own_is_found(place: Registry) -> None:
    """The audit log may be appended to; no old hash has to be computed again."""
    head = place.head()
    edit(place, "UPDATE dataset SET items = 3")
    appended(place, "dataset", "sample-v1", "id = 1")
    edit(place, "DELETE FROM alpha_spending")
    key = f"m, dataset {place.datasets.get(1).sha256}, comparison 1"
    appended(place, "alpha_spending", key, "", removed=True)
    edit(place, "UPDATE prediction SET score = 1 WHERE run_id = 'base-run'")
    with place.database.reading() as session:
        connection = session.connection()
        row = next(read(connection, "run", rest="WHERE run_id = 'base-run'"))
        sha256 = run_sha256(connection, row)
    edit(place, f"UPDATE run SET content_sha256 = '{sha256}' WHERE run_id = 'base-run'")
    appended(place, "run", "base-run", "run_id = 'base-run'")
    found = "\n".join(map(str, place.verify(quick=True, head=head)))
    assert "is a second entry of dataset sample-v1" in found
    assert "says that alpha spending of m, dataset" in found
    assert "run base-run: has another content than when it finished" in found
