"""Somebody who knows Prefect and not us: a server of Prefect's own, and `prefect deploy --all` in a checkout."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.e2e

PROJECT = Path(__file__).parents[2]
PREFECT = str(Path(sys.executable).with_name("prefect"))


@pytest.fixture(scope="module")
def plain_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a person with a Prefect server and none of our variables."""
    home = tmp_path_factory.mktemp("plain")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}/api"
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("HALLMARK_", "PREFECT_"))}
    environment = {**plain, "PREFECT_HOME": str(home), "PREFECT_API_URL": address, "PWD": str(PROJECT), "COLUMNS": "80"}
    with (home / "log.txt").open("wb") as log:
        command = [PREFECT, "server", "start", "--port", str(port)]
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_for(address, server, home / "log.txt")
        yield environment
    finally:
        server.terminate()
        server.wait(30)


def wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server answers."""
    for _ in range(600):
        assert server.poll() is None, log.read_text()
        try:
            if httpx.get(f"{address}/health").is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    pytest.fail(f"no server after two minutes: {log.read_text()}")


def prefect(environment: dict[str, str], *arguments: str) -> None:
    """Run Prefect's command line in the checkout."""
    command = [PREFECT, "--no-prompt", *arguments]
    done = subprocess.run(command, env=environment, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prefect_deploy_all_works_on_a_plain_server(plain_server: dict[str, str]) -> None:
    prefect(plain_server, "work-pool", "create", "gpu", "--type", "process")
    prefect(plain_server, "deploy", "--all")
    address = plain_server["PREFECT_API_URL"]
    deployments: list[dict[str, Any]] = httpx.post(f"{address}/deployments/filter", json={}).json()
    assert len(deployments) == 9
    assert {found["work_pool_name"] for found in deployments} == {"gpu"}
    folders = [step["directory"] for found in deployments for step in found["pull_steps"][0].values()]
    assert set(folders) == {str(PROJECT)}
    [schedule] = next(found["schedules"] for found in deployments if found["name"] == "nightly-smoke")
    assert schedule["schedule"]["timezone"] == "UTC"
    assert "HALLMARK_HOME" not in deployments[0]["job_variables"]["env"], "an empty one would be the working directory"
