"""Locks die with their process, and whoever waits knows for whom."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core import gpus
from core.locks import acquire, holder
from core.progress import Progress

pytestmark = pytest.mark.unit

HOLD = """
import sys, time
from pathlib import Path
from core.locks import acquire
print(acquire(Path(sys.argv[1]), 'a long job'), flush=True)
time.sleep(60)
"""
HOLD_BY_CHILD = """
import subprocess, sys
from pathlib import Path
from core.locks import acquire
lock = acquire(Path(sys.argv[1]), 'a job')
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], pass_fds=(lock,))
print(child.pid, flush=True)
child.wait()
"""


def start(code: str, path: Path) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def wait_until_free(path: Path, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while holder(path) is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    return holder(path) is None


def test_a_lock_is_one_process_s_at_a_time_and_names_it(tmp_path: Path) -> None:
    path = tmp_path / "a lock"
    assert holder(path) is None
    process, _ = start(HOLD, path)
    assert acquire(path, "another job") is None
    found = holder(path)
    assert found is not None
    assert (found.pid, found.what) == (process.pid, "a long job")
    assert f"a long job (process {process.pid}, since " in found.sentence()
    process.kill()
    process.wait()
    assert holder(path) is None
    mine = acquire(path, "another job")
    assert mine is not None
    os.close(mine)


@pytest.mark.parametrize("kind", ["loop", "pipe", "folder"])
def test_what_is_no_lock_is_held_by_nobody_and_nobody_waits_for_it(kind: str, tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    {"loop": lambda: path.symlink_to(path), "pipe": lambda: os.mkfifo(path), "folder": path.mkdir}[kind]()
    assert holder(path) is None


def test_a_lock_lives_as_long_as_the_child_that_was_given_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    process, child = start(HOLD_BY_CHILD, path)
    process.kill()
    process.wait()
    assert holder(path) is not None, "the GPU is still in use"
    os.kill(int(child), signal.SIGKILL)
    assert wait_until_free(path, 5)


@pytest.fixture
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HALLMARK_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setenv("HALLMARK_EXCLUSIVE", "always")
    monkeypatch.setattr("core.locks.LOOK_EVERY_SECONDS", 0.05)
    return tmp_path / "locks"


def test_a_job_waits_for_the_device_and_says_for_whom(locks: Path) -> None:
    locks.mkdir()
    process, _ = start(HOLD, locks / "cpu.lock")
    said: list[str] = []

    def listen(progress: Progress) -> None:
        said.append(progress.sentence())
        process.kill()

    with gpus.own_device("my job", listen, cpu=True) as held:
        assert len(held) == 1
        found = holder(locks / "cpu.lock")
        assert found is not None
        assert found.what == "my job"
    process.wait()
    assert said == [said[0]]
    assert said[0].startswith(f"waiting for the CPU, used by a long job (process {process.pid}, since ")
    assert holder(locks / "cpu.lock") is None


def test_work_on_the_cpu_does_not_wait_unless_asked_to(locks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALLMARK_EXCLUSIVE", "gpu")
    with gpus.own_device("a job", lambda _: None, cpu=True) as held:
        assert held == ()


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, ["GPU-aa11", "GPU-bb22"]),
        ("0", ["GPU-bb22"]),
        ("1,0", ["GPU-aa11", "GPU-bb22"]),
        ("GPU-aa", ["GPU-aa11"]),
        ("", []),
        ("-1", []),
    ],
)
def test_the_gpus_that_are_visible_are_the_ones_that_are_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str | None, expected: list[str]
) -> None:
    driver = tmp_path / "bin" / "nvidia-smi"
    driver.parent.mkdir()
    driver.write_text("#!/bin/sh\necho '0, GPU-bb22'\necho '1, GPU-aa11'\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{driver.parent}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    gpus._installed_gpus.cache_clear()
    try:
        assert gpus.visible_gpus() == expected
    finally:
        gpus._installed_gpus.cache_clear()
