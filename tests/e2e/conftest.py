"""What the end-to-end tests share."""

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

from tests.support.browser import started_browser

PROJECT = Path(__file__).parents[2]
PREFECT = str(Path(sys.executable).with_name("prefect"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real browser."""
    with started_browser() as browser:
        yield browser


@pytest.fixture(scope="session")
def plain_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a person with a Prefect server and none of our variables."""
    home = tmp_path_factory.mktemp("plain")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}/api"
    plain = {
        name: value for name, value in os.environ.items() if not name.startswith(("HALLMARK_", "PREFECT_"))
    }
    environment = {
        **plain,
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": address,
        "PWD": str(PROJECT),
        "COLUMNS": "80",
    }
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
