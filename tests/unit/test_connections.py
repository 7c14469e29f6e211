"""Connections to SQLite are kept, and that is not noticed: not by a forked child, not by threads, not when
the file is another one.
"""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from registry import open_registry
from tests.support.registry_entries import digest

pytestmark = pytest.mark.unit


def test_a_connection_is_used_again_and_the_last_one_to_close_leaves_one_whole_file(home: Path) -> None:
    registry = open_registry(home)
    connections = set()
    for _ in range(3):
        with registry.database.writing() as session:
            connections.add(id(session.connection().connection.driver_connection))
    assert len(connections) == 1
    registry.close()
    assert [path.name for path in home.iterdir()] == ["registry.db"]


def test_a_forked_child_opens_connections_of_its_own(home: Path) -> None:
    registry = open_registry(home)
    registry.datasets.register("before", "v1", digest("a"), 1)
    child = os.fork()
    if child == 0:
        try:
            unused = registry.database.engine.pool.checkedin() == 0  # type: ignore[attr-defined]
            registry.datasets.register("child", "v1", digest("b"), 1)
            os._exit(0 if unused else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert registry.datasets.register("child", "v1", digest("b"), 1).id == 2
    assert registry.datasets.register("after", "v1", digest("c"), 1).id == 3


def test_a_file_that_took_the_place_of_the_database_is_the_database(home: Path, tmp_path: Path) -> None:
    registry = open_registry(home)
    registry.datasets.register("old", "v1", digest("a"), 1)
    shutil.rmtree(home)
    other = open_registry(home)
    other.datasets.register("new", "v1", digest("b"), 1)
    assert registry.datasets.get(1).key == "new"
    registry.datasets.register("newer", "v1", digest("c"), 1)
    assert other.datasets.get(2).key == "newer"


def test_threads_read_while_they_write_however_many_they_are(home: Path) -> None:
    registry = open_registry(home)

    def work(number: int) -> int:
        known = registry.datasets.register(f"d{number}", "v1", digest(str(number)), 1)
        with registry.database.reading() as session, registry.database.reading() as another:
            session.connection()
            another.connection()
            return registry.datasets.get(known.id).id

    with ThreadPoolExecutor(12) as threads:
        assert sorted(threads.map(work, range(36))) == list(range(1, 37))
