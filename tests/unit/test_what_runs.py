"""Another terminal sees what runs and how far it is; what was stopped is interrupted, and can be given up."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.errors import InputError, InterruptedWork, ResourceError, interruption
from core.locks import NOTE_BYTES, Noting, acquire, holder
from core.progress import Progress, current_listener
from experiments.config import EvaluateConfig
from experiments.discarding import discard
from experiments.plan import plan_evaluation
from experiments.run_files import LOCK
from experiments.runs import RunRef, begin_run, current_status, owned
from experiments.workspace import Workspace
from hallmark.cli.show.overview import overview_lines, overview_page
from hallmark.console import plain_console
from hallmark.workstation.overview import Looking, Overview
from registry import Run
from tests.support.recorded_runs import record_baseline, right_for, workspace_at
from tests.support.workplace import HALLMARK, Workplace

pytestmark = pytest.mark.unit

PROGRESS = Progress(
    stage="predict", done=120, total=360, unit="items", rate=8.0, seconds_left=30.0, note="x" * 5_000
)


@pytest.fixture
def workspace(home: Path) -> Workspace:
    """An empty one, which the command line uses."""
    return workspace_at(home)


def begun(workspace: Workspace) -> RunRef:
    return begin_run(plan_evaluation(EvaluateConfig(), workspace), workspace.registry)


def row(workspace: Workspace, run: RunRef) -> Run:
    return workspace.registry.runs.get(run.run_id)


@contextmanager
def stopped_by(error: BaseException, workspace: Workspace, run: RunRef) -> Iterator[None]:
    with pytest.raises(type(error)), owned(run, workspace.registry):
        yield
        raise error


def test_a_run_says_in_its_lock_how_far_it_is(workspace: Workspace) -> None:
    run = begun(workspace)
    with owned(run, workspace.registry):
        found = Looking(workspace.home).look()
        assert [(each.run_id, each.progress) for each in found.runs] == [(run.run_id, None)]
        current_listener()(PROGRESS)
        (now,) = Looking(workspace.home).look().runs
        assert now.progress is not None
        assert (now.progress.stage, now.progress.done, now.progress.seconds_left) == ("predict", 120, 30.0)
    assert Looking(workspace.home).look().runs == []


def test_a_note_is_rewritten_whole_and_only_now_and_then(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    descriptor = acquire(path, "work")
    assert descriptor is not None
    noting = Noting(descriptor)
    for done in (1, 2):
        noting(PROGRESS.model_copy(update={"done": done}))
    noting(PROGRESS.model_copy(update={"stage": "judge", "note": ""}))
    found = holder(path)
    assert found is not None
    assert found.progress is not None
    assert (found.what, found.progress.stage) == ("work", "judge")
    assert path.stat().st_size == NOTE_BYTES


@pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt(), SystemExit(1), InterruptedWork(interruption(signal.SIGTERM), signal.SIGTERM)],
)
def test_what_was_stopped_is_interrupted_and_not_failed(error: BaseException, workspace: Workspace) -> None:
    run = begun(workspace)
    with stopped_by(error, workspace, run):
        pass
    found = row(workspace, run)
    assert current_status(found, workspace.registry) == "interrupted"
    assert found.error is not None
    assert "the same command continues" in found.error
    looked = Looking(workspace.home).look()
    assert (looked.runs, looked.interrupted) == ([], 1)
    again = begun(workspace)
    assert (again.run_id, again.continued, row(workspace, run).error) == (run.run_id, True, None)


def test_what_failed_of_itself_is_failed(workspace: Workspace) -> None:
    run = begun(workspace)
    with stopped_by(ResourceError("no disk"), workspace, run):
        pass
    assert (row(workspace, run).status, row(workspace, run).error) == ("failed", "no disk")


def test_a_run_that_was_not_finished_can_be_given_up(workspace: Workspace) -> None:
    run = begun(workspace)
    (run.directory / "checkpoint").write_bytes(bytes(1_000))
    with stopped_by(KeyboardInterrupt(), workspace, run):
        pass
    assert discard(run.run_id, workspace, dry_run=True).bytes >= 1_000
    assert run.directory.is_dir()
    discarded = discard(run.run_id, workspace, "too slow")
    found = row(workspace, run)
    assert (discarded.run_id, run.directory.exists(), found.status) == (run.run_id, False, "failed")
    assert found.error is not None
    assert found.error.startswith("discarded by ")
    assert "too slow; before that: stopped by SIGINT" in found.error
    assert not list(workspace.runs.glob(".partial-*"))
    assert begun(workspace).run_id != run.run_id


def test_what_is_finished_or_worked_on_is_not_given_up(workspace: Workspace) -> None:
    finished = record_baseline(workspace, right_for(0.4))
    with pytest.raises(InputError, match="is finished"):
        discard(finished.run_id, workspace)
    with pytest.raises(InputError, match="there is none"):
        discard("nobody", workspace)
    run = begin_run(
        plan_evaluation(EvaluateConfig(reuse=False, limit_items=3), workspace), workspace.registry
    )
    with owned(run, workspace.registry), pytest.raises(ResourceError, match="a process works on it"):
        discard(run.run_id, workspace)
    assert (run.directory / LOCK).exists()


def test_what_runs_as_lines_and_as_a_page(workspace: Workspace) -> None:
    run = begun(workspace)
    with owned(run, workspace.registry):
        current_listener()(PROGRESS.model_copy(update={"note": ""}))
        found = Looking(workspace.home).look()
    lines = overview_lines(found)
    assert lines[:2] == ["server  not running", "worker  not running"]
    assert f"run     {run.run_id}" in lines[2]
    assert "predict: 120/360 items, 8.0 items/s, 30 s left" in lines[2]
    console = plain_console(width=80)
    with console.capture() as page:
        console.print(overview_page(found))
    assert "120/360, 8.0 items/s, 30 s left" in page.get()
    assert max(map(len, page.get().splitlines())) <= 80


def test_status_watched_without_a_terminal_ends_with_0(home: Path, tmp_path: Path) -> None:
    place = Workplace(tmp_path, HALLMARK_HOME=str(home))
    place.environment["HALLMARK_HOME"] = str(home)
    document = place.run("status", "--watch", "--json")
    assert document.returncode == 4
    assert Overview.model_validate(json.loads(document.stdout)).server is None
    assert not home.exists()
    watching = subprocess.Popen(
        [HALLMARK, "status", "--watch"], env=place.environment, stdout=subprocess.PIPE, text=True
    )
    assert watching.stdout is not None
    assert watching.stdout.readline() == "server  not running\n"
    time.sleep(0.2)
    watching.send_signal(signal.SIGINT)
    assert watching.wait(60) == 0


def test_a_registry_that_cannot_be_read_is_said_and_no_reason_to_stop(home: Path) -> None:
    home.mkdir()
    (home / "registry.db").write_bytes(b"no database at all, but some text that is long enough")
    found = Looking(home.absolute()).look()
    assert found.runs == []
    assert "registry.db" in found.problem
