"""A umask of 077 means that nobody else reads anything, wherever it is: a home, a store, an export. Only the
folder of the GPUs' locks is everybody's, whatever the umask, since the GPUs are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from evaluation.gate import GateConfig
from experiments.comparing import compare_runs
from experiments.promoting import promote_run
from experiments.workspace import Workspace
from provenance.export import export
from registry import open_registry
from tests.support.recorded_runs import record_baseline, record_trained, right_for

pytestmark = pytest.mark.unit


@pytest.fixture
def private() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("private")
def test_nothing_is_open_to_others_under_a_umask_that_says_so(tmp_path: Path) -> None:
    places = home, store, exported = [tmp_path / name for name in ("home", "store", "exported")]
    home.mkdir()
    home.chmod(0o755)  # shared on purpose; what is in it is not
    registry = open_registry(home, artifacts=str(store))
    workspace = Workspace(home, registry)
    first = record_baseline(workspace)
    second = record_trained(workspace, right_for(0.7))
    compare_runs(first.run_id, second.run_id, registry)
    assert promote_run(second.run_id, "m", GateConfig(), workspace).outcome == "promoted"
    version = registry.models.get("m@champion")
    registry.artifacts.get(version.weights_sha256)
    export(registry, version, exported)
    found = [path for place in places for path in (*place.rglob("*"), place) if path != home]
    assert {"registry.db", "registry.db-wal", "metrics.json", "README.md"} <= {path.name for path in found}
    assert [path for path in found if not path.is_symlink() and path.stat().st_mode & 0o077] == []


def test_what_others_may_read_they_may_read(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        registry = open_registry(tmp_path / "home")
        record_baseline(Workspace(tmp_path / "home", registry))
    finally:
        os.umask(before)
    metrics = next((tmp_path / "home" / "runs").glob("*/metrics.json"))
    assert metrics.stat().st_mode & 0o777 == 0o644
