"""Row 17: sixteen processes promote at once, a hundred times each, on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from registry import Registry
from tests.support.registry_entries import base_run

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PROMOTER = """
import sys
from pathlib import Path
from registry import open_registry
from tests.support.registry_entries import finished, promote

home, url, name, rounds = Path(sys.argv[1]), sys.argv[2] or None, sys.argv[3], int(sys.argv[4])
registry = open_registry(home, url)
for number in range(rounds):
    run, weights = finished(registry, home / name, f"{name}-{number}")
    assert promote(registry, run, weights).outcome == "promoted"
"""


@pytest.mark.timeout(900)
def test_many_promoters_at_once_lose_and_double_no_version(
    registry: Registry, home: Path, registry_url: str | None
) -> None:
    processes, rounds = 16, 100
    root = Path(__file__).parents[2]
    base_run(registry)
    children = [
        subprocess.Popen(
            [sys.executable, "-c", PROMOTER, str(home), registry_url or "", f"p{number}", str(rounds)],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(root)},
        )
        for number in range(processes)
    ]
    for child in children:
        _, errors = child.communicate(timeout=800)
        assert child.returncode == 0, errors
    total = processes * rounds
    assert [version.number for version in registry.models.versions("m")] == list(range(total, 0, -1))
    moves = [(row.from_version or 0, row.to_version) for row in registry.models.history("m")]
    assert moves == [(number, number + 1) for number in range(total)]
    champion = registry.models.aliased("m")
    assert champion is not None
    assert champion.number == total
    assert registry.verify() == []
