"""A real Prefect server and a real worker: the flows deploy, run, and end in a truthful state."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

PROJECT = Path(__file__).parents[2]
PREFECT = str(Path(sys.executable).with_name("prefect"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a client of a running server. A server that cannot start fails here: see the FastAPI constraint."""
    folder = tmp_path_factory.mktemp("prefect")
    address = f"http://127.0.0.1:{free_port()}/api"
    environment = {
        **os.environ,
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": address,
        "PREFECT_UI_API_URL": address,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "HALLMARK_HOME": str(folder / "home"),
        "HALLMARK_PROJECT": str(PROJECT),
    }
    port = address.rsplit(":", 1)[1].removesuffix("/api")
    process = start(environment, folder / "server.log", "server", "start", "--host", "127.0.0.1", "--port", port)
    try:
        wait_for(address + "/health", process, folder / "server.log")
        yield environment
    finally:
        stop(process)


def start(environment: dict[str, str], log: Path, *arguments: str) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen([PREFECT, *arguments], env=environment, stdout=output, stderr=output, cwd=PROJECT, start_new_session=True)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process of ours and the children it started in its own session."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            assert process.poll() is None, log.read_text()
            time.sleep(0.5)
    raise AssertionError(log.read_text())


def prefect(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PREFECT, *arguments], env=environment, cwd=PROJECT, capture_output=True, text=True, timeout=300, check=False)


def flow_runs(environment: dict[str, str]) -> list[dict[str, object]]:
    request = urllib.request.Request(
        environment["PREFECT_API_URL"] + "/flow_runs/filter", data=b"{}", headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return list(json.load(answer))


def test_the_flows_deploy_and_a_worker_runs_them(server: dict[str, str], tmp_path: Path) -> None:
    for command in (
        ("work-pool", "create", "gpu", "--type", "process"),
        ("work-pool", "set-concurrency-limit", "gpu", "1"),
        ("--no-prompt", "deploy", "--all"),
    ):
        done = prefect(server, *command)
        assert done.returncode == 0, done.stdout + done.stderr
    listed = prefect(server, "deployment", "ls").stdout
    assert all(f"{name}/gpu" in listed for name in ("experiment", "baseline", "train", "evaluate", "compare", "promote"))
    worker = start(server, tmp_path / "worker.log", "worker", "start", "--pool", "gpu", "--limit", "1")
    try:
        done = prefect(server, "deployment", "run", "baseline/gpu", "--watch")
        assert done.returncode == 0, done.stdout + done.stderr + (tmp_path / "worker.log").read_text()
        refused = prefect(server, "deployment", "run", "train/gpu", "--watch", "--param", 'config={"train": {"steps": -1}}')
        assert refused.returncode == 1
        assert "steps" in refused.stdout + refused.stderr
        bad = prefect(server, "deployment", "run", "evaluate/gpu", "--watch", "--param", 'config={"model": "/no/such/model"}')
        assert bad.returncode == 1
    finally:
        stop(worker)
    log = (tmp_path / "worker.log").read_text()
    assert "/no/such/model: no such model directory" in log
    assert re.search(r"Retry \d", log) is None, "bad input is never retried"
    hallmark = [str(Path(sys.executable).with_name("hallmark")), "runs", "list", "--json"]
    [run] = json.loads(subprocess.run(hallmark, env=server, capture_output=True, text=True, check=True).stdout)
    assert (run["status"], run["kind"], run["metric"]["n"]) == ("finished", "baseline", 360)


def test_the_command_line_uses_the_server_that_the_environment_names(server: dict[str, str], tmp_path: Path) -> None:
    before = len(flow_runs(server))
    hallmark = [str(Path(sys.executable).with_name("hallmark")), "baseline", "--json"]
    done = subprocess.run(hallmark, env=server, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "finished"
    states = [(run["name"], run["state_type"]) for run in flow_runs(server)]
    assert len(states) == before + 2, "baseline, and evaluate inside it"
    assert ("baseline tiny-base on golden-v1", "COMPLETED") in states
