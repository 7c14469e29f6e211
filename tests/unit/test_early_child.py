"""A child process that begins before it is known what it has to do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.child_process import _early, run_child, started_early
from tests.support.sums import Sum, SumSpec

pytestmark = pytest.mark.unit

MODULE = "tests.support.sums"
WAITS_FOREVER = f"""
import time
from core.child_process import started_early
with started_early({MODULE!r}, threads=1):
    time.sleep(600)
"""


def add(tmp_path: Path, *numbers: int, threads: int = 1, keep: tuple[int, ...] = ()) -> Sum:
    return run_child(
        MODULE,
        SumSpec(numbers=list(numbers), lock=tmp_path / "lock"),
        Sum,
        threads=threads,
        log=tmp_path / "log.txt",
        listener=lambda _: None,
        keep=keep,
    )


def pid_in(path: Path) -> int:
    while not (path.is_file() and path.read_text()):
        time.sleep(0.01)
    return int(path.read_text())


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_it_does_the_first_job_of_the_block_that_wants_it_and_others_get_their_own(tmp_path: Path) -> None:
    with started_early(MODULE, threads=1):
        other = add(tmp_path, 1, threads=2)
        first, second = add(tmp_path, 1, 2), add(tmp_path, 3)
    assert [other.early, first.early, second.early] == [False, True, False]
    assert [other.threads, first.threads] == ["2", "1"]
    assert [first.total, second.total] == [3, 3]


def test_what_it_printed_before_it_had_a_log_is_in_the_log(tmp_path: Path) -> None:
    with started_early(MODULE, threads=1):
        assert add(tmp_path, 1).early
    assert (tmp_path / "log.txt").read_text() == "got ready\nworks\n"


def test_it_holds_locks_that_were_taken_after_it_began(tmp_path: Path) -> None:
    with started_early(MODULE, threads=1), (tmp_path / "lock").open("w") as lock:
        found = add(tmp_path, 1, keep=(lock.fileno(),))
    assert (found.early, found.holds) == (True, True)


@pytest.mark.parametrize("meanwhile", ["fail", "die"])
def test_what_goes_wrong_early_does_not_stop_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    monkeypatch.setenv("MEANWHILE", meanwhile)
    with started_early(MODULE, threads=1):
        if meanwhile == "die" and (child := _early.get()) is not None:
            child.process.wait()
        assert add(tmp_path, 1, 2).total == 3


def test_one_that_nobody_wanted_is_gone_after_the_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEANWHILE", str(tmp_path / "pid"))
    with started_early(MODULE, threads=1):
        pid = pid_in(tmp_path / "pid")
        assert is_running(pid)
    assert not is_running(pid)


def test_it_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    environment = {**os.environ, "MEANWHILE": str(tmp_path / "pid")}
    with subprocess.Popen([sys.executable, "-c", WAITS_FOREVER], env=environment) as parent:
        pid = pid_in(tmp_path / "pid")
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_running(pid)


def test_a_block_inside_takes_the_one_that_began_before_it_unless_it_wants_another(tmp_path: Path) -> None:
    with started_early(MODULE, threads=1):
        begun = _early.get()
        with started_early(MODULE, threads=1):
            assert _early.get() is begun
            assert add(tmp_path, 1, 2).early
    with started_early(MODULE, threads=1):
        guessed = _early.get()
        with started_early(MODULE, threads=2):
            assert add(tmp_path, 1, threads=2).early
            assert guessed is not None
            assert not is_running(guessed.process.pid)
