"""Somebody who knows Prefect and not us: a plain server, and `prefect deploy --all` in a checkout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PROJECT = Path(__file__).parents[2]
PREFECT = str(Path(sys.executable).with_name("prefect"))


def prefect(environment: dict[str, str], *arguments: str) -> None:
    """Run Prefect's command line in the checkout."""
    command = [PREFECT, "--no-prompt", *arguments]
    done = subprocess.run(command, env=environment, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def program(environment: dict[str, str], text: str) -> subprocess.CompletedProcess[str]:
    """Run a program in the checkout."""
    command = [sys.executable, "-c", text]
    return subprocess.run(command, env=environment, cwd=PROJECT, capture_output=True, text=True, check=False)


def test_prefect_deploy_all_works_on_a_plain_server(plain_server: dict[str, str]) -> None:
    prefect(plain_server, "work-pool", "create", "gpu", "--type", "process", "--overwrite")
    prefect(plain_server, "deploy", "--all")
    address = plain_server["PREFECT_API_URL"]
    deployments: list[dict[str, Any]] = httpx.post(f"{address}/deployments/filter", json={}).json()
    assert len(deployments) == 10
    assert {found["work_pool_name"] for found in deployments} == {"gpu"}
    folders = [step["directory"] for found in deployments for step in found["pull_steps"][0].values()]
    assert set(folders) == {str(PROJECT)}
    [schedule] = next(found["schedules"] for found in deployments if found["name"] == "nightly-smoke")
    assert schedule["schedule"]["timezone"] == "UTC"
    assert "HALLMARK_HOME" not in deployments[0]["job_variables"]["env"], (
        "an empty one would be the working directory"
    )


TWO_FLOWS = """
import signal
from core.child_process import raise_on_termination
from core.errors import InterruptedWork
from flows.common import loop_flow

@loop_flow("child", "child {number}")
def child(number: int) -> int:
    return number

@loop_flow("parent", "parent {number}")
def parent(number: int) -> list[int]:
    first = child(number)
    child.on_completion_hooks.clear()
    return [first, child(number + 1)]

@child.on_completion
def stop(*_):
    signal.raise_signal(signal.SIGINT)

raise_on_termination()
try:
    print(parent(1))
except InterruptedWork as stopped:
    print("stopped", stopped.exit_code)
"""


def test_a_signal_that_prefect_swallows_behind_a_flow_stops_the_flow_around_it(
    plain_server: dict[str, str],
) -> None:
    done = program(plain_server, TWO_FLOWS)
    assert done.stdout == "stopped 130\n", done.stderr
    runs = httpx.post(f"{plain_server['PREFECT_API_URL']}/flow_runs/filter", json={}).json()
    found = {run["name"]: run["state_name"] for run in runs}
    assert found | {"child 1": "Completed", "child 2": "Crashed", "parent 1": "Crashed"} == found


TWO_TASKS = """
from contextlib import suppress
from core.errors import HallmarkError, InputError, TransientError
from flows.common import loop_flow
from tasks.retryable import retryable

tried = []

@retryable("away")
def away() -> None:
    tried.append("away")
    raise TransientError("the database is locked")

@retryable("wrong")
def wrong() -> None:
    tried.append("wrong")
    raise InputError("a bad file")

@loop_flow("both", "both {number}")
def both(number: int) -> None:
    for task in (away, wrong):
        with suppress(HallmarkError):
            task.with_options(retry_delay_seconds=0, retry_jitter_factor=None)()

both(1)
print(tried.count("away"), tried.count("wrong"))
"""


def test_row_21_what_may_come_back_is_tried_four_times_and_bad_input_once(
    plain_server: dict[str, str],
) -> None:
    done = program(plain_server, TWO_TASKS)
    assert done.stdout == "4 1\n", done.stderr
