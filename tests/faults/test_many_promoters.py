"""Row 17: sixteen processes promote at once, a hundred times each, on SQLite and on PostgreSQL."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from registry import Registry
from tests.support import registry_entries
from tests.support.registry_entries import base_run, promote_many

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.mark.long
@pytest.mark.timeout(900)
def test_many_promoters_at_once_lose_and_double_no_version(
    registry: Registry, home: Path, registry_url: str | None
) -> None:
    processes, rounds = 16, int(os.environ.get("HALLMARK_TEST_ROUNDS", "100"))  # fewer in CI
    base_run(registry)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([registry_entries.__name__])
    children = [
        context.Process(target=promote_many, args=(home, registry_url, f"p{number}", rounds))
        for number in range(processes)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(800)
        assert child.exitcode == 0
    total = processes * rounds
    assert [version.number for version in registry.models.versions("m")] == list(range(total, 0, -1))
    moves = [(row.from_version or 0, row.to_version) for row in registry.models.history("m")]
    assert moves == [(number, number + 1) for number in range(total)]
    champion = registry.models.aliased("m")
    assert champion is not None
    assert champion.number == total
    assert registry.verify() == []
