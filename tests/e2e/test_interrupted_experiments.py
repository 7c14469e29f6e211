"""Equal experiments at once, one that is killed before it decides, and a home that is restored elsewhere."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from golden.datasets import BUILT_IN
from tests.support.workplace import Workplace

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.long]

SETTINGS = ("--steps", "40", "--dataset", "mine-v1.jsonl", "--train-dataset", "lessons-v1.jsonl")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, plain_server: dict[str, str]) -> Workplace:
    """A workplace with small datasets."""
    server = {name: plain_server[name] for name in ("PREFECT_API_URL", "PREFECT_HOME")}
    made = Workplace(tmp_path_factory.mktemp("original"), **server)
    for name, source, count in (("mine-v1", "golden-v1", 24), ("lessons-v1", "train-v1", 64)):
        lines = (BUILT_IN / f"{source}.jsonl").read_bytes().splitlines(keepends=True)
        (made.folder / f"{name}.jsonl").write_bytes(b"".join(lines[:count]))
    return made


def rows(place: Workplace, query: str) -> list[Any]:
    """What the registry holds at this moment; nothing while there is none."""
    if not (place.home / "registry.db").exists():
        return []
    with sqlite3.connect(place.home / "registry.db") as connection:
        try:
            return connection.execute(query).fetchall()
        except sqlite3.OperationalError:  # its tables are being made
            return []


def wait_for_line(child: subprocess.Popen[str], text: str) -> str:
    """The first line of a process's errors that has a text in it."""
    assert child.stderr is not None
    for line in child.stderr:
        if text in line:
            return line
    raise AssertionError(f"ended without: {text}")


@pytest.fixture(scope="module")
def both(place: Workplace) -> list[Any]:
    """What three equal experiments at once say, of which one is stopped while it waits."""
    children = [place.start("experiment", *SETTINGS, "--json")]
    while not rows(place, "SELECT 1 FROM run WHERE kind = 'trained'"):  # which takes longer than they to come
        assert children[0].poll() is None
        time.sleep(0.05)
    children += [place.start("experiment", *SETTINGS, "--json") for _ in range(2)]
    waiting = wait_for_line(children[1], "which does the same work")
    assert f"(process {children[0].pid})" in waiting
    wait_for_line(children[2], "which does the same work")
    children[2].send_signal(signal.SIGINT)
    said = [child.communicate(timeout=300) for child in children]
    assert [child.returncode for child in children] == [0, 0, 130], said

    return [json.loads(output) for output, _ in said[:2]]


def test_two_equal_experiments_at_once_compute_everything_once_and_agree(
    place: Workplace, both: list[Any]
) -> None:
    assert both[0]["comparison"] == both[1]["comparison"]
    for name in ("baseline", "trained"):
        assert both[0][name]["run_id"] == both[1][name]["run_id"]
    assert [run["kind"] for run in place.json("runs", "list")] == ["trained", "baseline"]
    assert place.json("verify")["problems"] == []


def test_killed_before_it_decided_the_same_experiment_takes_what_was_trained(
    place: Workplace, both: list[Any]
) -> None:
    arguments = ("experiment", *SETTINGS, "--seed", "5")
    finished = "SELECT run_id FROM run WHERE kind = 'trained' AND status = 'finished' ORDER BY id"
    before = rows(place, finished)
    child = place.start(*arguments)
    while (after := rows(place, finished)) == before:
        assert child.poll() is None
        time.sleep(0.01)
    child.kill()
    child.communicate()
    ((run_id,),) = after[len(before) :]
    decided = [row for (row,) in rows(place, "SELECT run_id FROM promotion_log")]
    assert run_id not in decided, "killed before it decided"
    resumed = place.json(*arguments)
    assert resumed["trained"]["run_id"] == run_id
    assert rows(place, finished) == after
    assert place.json(*arguments)["trained"]["run_id"] != run_id, "it was decided, so it is trained again"


def test_a_backup_that_is_restored_elsewhere_works_in_its_own_folder(
    place: Workplace, both: list[Any], tmp_path: Path
) -> None:
    base, trained = both[0]["baseline"]["run_id"], both[0]["trained"]["run_id"]
    forced = place.run("promote", trained, "--force", "--reason", "a test")
    assert forced.returncode == 0, forced.stderr
    other = Workplace(tmp_path / "restored", **place.environment)
    other.environment["HALLMARK_HOME"] = str(other.home)
    other.home.mkdir(parents=True, mode=0o700)
    databases = [sqlite3.connect(home / "registry.db") for home in (place.home, other.home)]
    databases[0].backup(databases[1])
    for database in databases:
        database.close()
    for name in ("artifacts", "runs"):
        shutil.copytree(place.home / name, other.home / name)
    for path in place.folder.glob("*.jsonl"):
        shutil.copy(path, other.folder)
    away = place.move_away()
    try:
        assert other.json("verify")["problems"] == []
        listed = other.json("runs", "list")
        assert {Path(run["directory"]).parent for run in listed} == {other.home / "runs"}
        assert Path(other.json("runs", "show", trained)["directory"]).is_dir()
        assert other.json("compare", base, trained)["delta"] == both[0]["comparison"]["delta"]
        assert other.json("golden", "check", "mine-v1.jsonl")["errors"] == []
        again = other.json("rejudge", trained, "--judge", "exact_match@v1")
        assert Path(again["directory"]).parent == other.home / "runs"
        assert other.json("models", "show", "tiny-reasoner@champion")["run_id"] == trained
        for arguments in (
            ("compare", base, trained, "--flips", 2),
            ("promote", trained, "--force", "--reason", "once more"),
            ("models", "export", "tiny-reasoner@champion", "model"),
            ("evaluate", f"run:{trained}", "--dataset", "mine-v1.jsonl"),
        ):
            done = other.run(*arguments)
            assert done.returncode == 0, done.stderr
        assert other.json("reproduce", trained)["identical"]
        result = other.json("experiment", *SETTINGS, "--seed", 7)
        assert (result["baseline"]["run_id"], result["baseline"]["reused"]) == (base, True)
        assert other.json("registry", "gc", "--models-older-than", 0)["models"]
        assert other.json("verify")["problems"] == []
        assert not place.folder.exists(), "nothing was written where the original was"
    finally:
        away.rename(place.folder)
