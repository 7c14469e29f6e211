"""Row 20: a home that cannot be written, as an auditor has a snapshot: it is read, and nothing is computed
that could not be kept.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.errors import TransientError
from evaluation.gate import GateConfig
from experiments.promoting import promote_run
from registry import open_registry
from registry.read_only import is_read_only
from tests.support.recorded_runs import record_baseline, record_trained, right_for, workspace_at

pytestmark = pytest.mark.unit

Reader = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two runs and a version, whose process was killed: what was committed last is in the WAL."""
    home = tmp_path_factory.mktemp("killed") / "home"
    if (child := os.fork()) == 0:
        workspace = workspace_at(home)
        record_baseline(workspace)
        run = record_trained(workspace, right_for(0.7))
        promote_run(run.run_id, "tiny-reasoner", GateConfig(), workspace)
        shutil.rmtree(home / "checkouts", ignore_errors=True)  # no part of a backup
        os._exit(0)
    os.waitpid(child, 0)
    assert (home / "registry.db-wal").stat().st_size > 100_000
    return home


def snapshot(home: Path, copy: Path, *without: str) -> Path:
    """A copy that nobody may write to."""
    shutil.copytree(home, copy)
    for ending in without:
        (copy / f"registry.db{ending}").unlink()
    for path in [*copy.rglob("*"), copy]:
        path.chmod(0o500 if path.is_dir() else 0o400)
    return copy


@pytest.fixture(params=["index and WAL", "WAL alone", "neither"])
def home(request: pytest.FixtureRequest, killed: Path, tmp_path: Path) -> Iterator[Path]:
    """Snapshots of three kinds; in the last one everything was written back."""
    source = killed
    if request.param == "neither":
        source = tmp_path / "closed"
        shutil.copytree(killed, source)
        open_registry(source).close()
    found = snapshot(source, tmp_path / "snapshot", *(["-shm"] if request.param == "WAL alone" else []))
    before = sorted(path.name for path in found.iterdir())
    yield found
    assert sorted(path.name for path in found.iterdir()) == before, "nothing was put beside the database"
    for path in found.rglob("*"):
        path.chmod(0o700)
    found.chmod(0o700)


@pytest.fixture
def reader(home: Path, tmp_path: Path) -> Reader:
    """The command line of somebody who may not write there; root may, so it gives that up first."""
    root = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    if root and shutil.which(root[0]) is None:
        pytest.skip("root can write everywhere; setpriv is needed to give that up")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "HALLMARK_HOME": str(home), "COLUMNS": "200", "TMPDIR": str(tmp_path)}
        command = [*root, str(Path(sys.executable).with_name("hallmark")), *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    return run


@pytest.mark.long
def test_a_snapshot_is_read(reader: Reader, tmp_path: Path) -> None:
    listed = reader("runs", "list", "--json")
    candidate, baseline = (run["run_id"] for run in json.loads(listed.stdout))
    compared = reader("compare", baseline, candidate, "--flips", "1")
    assert compared.returncode == 0, compared.stderr
    assert "not recorded" in compared.stderr
    assert reader("verify").returncode == 0
    shown = reader("models", "show", "tiny-reasoner@champion")
    assert shown.returncode == 0, shown.stderr
    assert "not checked out" in shown.stdout
    assert not list(tmp_path.glob("hallmark-registry-*")), "the copy is gone"


@pytest.mark.long
@pytest.mark.parametrize("home", ["neither"], indirect=True)
def test_what_would_write_is_refused_before_anything_is_computed(reader: Reader) -> None:
    candidate = json.loads(reader("runs", "list", "--json").stdout)[0]["run_id"]
    for command in (
        ["promote", candidate],
        ["baseline"],
        ["evaluate", "registry:tiny-reasoner@champion"],
        ["train"],
        ["experiment"],
        ["reproduce", candidate],
        ["rejudge", candidate, "--judge", "exact_match@v1"],
        ["rollback", "1", "--reason", "x"],
        ["models", "alias", "set", "tiny-reasoner", "staging", "1", "--reason", "x"],
        ["models", "alias", "protect", "tiny-reasoner", "champion", "--reason", "x"],
        ["registry", "gc"],
        ["registry", "upgrade"],
        ["up"],
    ):
        result = reader(*command)
        assert result.returncode == 4, result.stderr
        assert "is read-only, and this has to write there" in result.stderr
    asked = reader("doctor")
    assert asked.returncode == 0, asked.stdout
    assert "is read-only: reading works, nothing can be recorded" in asked.stdout


@pytest.mark.parametrize("home", ["neither"], indirect=True)
def test_a_file_that_may_not_be_read_is_a_problem_and_the_rest_is_checked(reader: Reader, home: Path) -> None:
    blobs = sorted(path for path in (home / "artifacts" / "blobs").glob("??/*"))
    for path in blobs:
        path.chmod(0)
    result = reader("verify")
    assert result.returncode == 3, result.stderr
    assert "cannot be read (Permission denied)" in result.stdout
    assert "cannot be written" not in result.stdout + result.stderr
    assert "artifact " in result.stdout
    assert "dataset " in result.stdout
    for path in blobs:
        path.chmod(0o400)
    predictions = next((home / "runs").glob("*/predictions.jsonl"))
    predictions.chmod(0)
    result = reader("verify")
    assert result.returncode == 3, result.stderr
    assert f"{predictions}: cannot be read" in result.stdout


def test_a_database_that_changes_while_it_is_read_without_locks_gives_no_answer(
    killed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    shutil.copytree(killed, home)
    open_registry(home).close()
    database = home / "registry.db"
    monkeypatch.setattr("os.access", lambda _path, mode, **_: not mode & os.W_OK)
    assert is_read_only(database)
    registry = open_registry(home)
    with pytest.raises(TransientError, match="changed while it was read"), registry.database.reading():
        os.utime(database, ns=(1, 1))
    assert registry.runs.count() == 2, "the next answer is of the file as it is then"
