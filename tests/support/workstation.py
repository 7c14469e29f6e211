"""A workstation as a user sets it up: `hallmark up`, its server, its worker, its browser, and somebody who is
told.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from experiments.runs import current_status
from registry import open_registry
from tests.support.warm_processes import run_hallmark

PROJECT = Path(__file__).parents[2]
PREFECT = str(Path(sys.executable).with_name("prefect"))
TOKEN = "tok-3f9a1c77d2"
"""Stands in the webhook's address and in HF_TOKEN; must never be seen anywhere else."""
ENDINGS = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


class Workstation:
    """A home with a running server and worker.

    Attributes:
        messages: what was posted to HALLMARK_NOTIFY_URL.
    """

    def __init__(self, home: Path, port: int, notify_port: int) -> None:
        self.home = home
        self.port = port
        self.messages: list[str] = []
        self.client: httpx.Client | None = None
        self.exported: dict[str, str] | None = None
        chosen = ("PREFECT_API_URL", "PREFECT_HOME", "PREFECT_PROFILE", "PREFECT_API_AUTH_STRING")
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in chosen},
            "HALLMARK_HOME": str(home),
            "HALLMARK_NOTIFY_URL": f"http://127.0.0.1:{notify_port}/{TOKEN}",
            "HF_TOKEN": TOKEN,
            "COLUMNS": "80",
        }

    def hallmark(self, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return run_hallmark(arguments, {**self.environment, **environment}, PROJECT)

    def prefect(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """The `prefect` of a shell in which `eval "$(hallmark env)"` was typed."""
        command = [PREFECT, *map(str, arguments)]
        environment = {**self.environment, **self.shell()}
        return subprocess.run(
            command, env=environment, cwd=PROJECT, capture_output=True, text=True, check=False
        )

    def up(self) -> str:
        done = self.hallmark("up", "--port", self.port)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def shell(self) -> dict[str, str]:
        """What `hallmark env` exports."""
        if self.exported is None:
            lines = self.hallmark("env").stdout.splitlines()
            self.exported = dict(
                assignment.split("=", 1) for line in lines for assignment in shlex.split(line)[1:]
            )
        return self.exported

    def services(self) -> dict[str, Any]:
        """The running processes, as `hallmark status --json` has them."""
        told = json.loads(self.hallmark("status", "--json").stdout)
        return {name: told[name] for name in ("server", "worker")}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def sign_in(self) -> str:
        return (self.home / "services" / "sign-in").read_text().strip()

    def post(self, path: str, body: Any | None = None) -> Any:
        """Ask the server's API."""
        return self.asked("POST", path, body).json()

    def patch(self, path: str, body: Any) -> None:
        """Change something by the server's API."""
        self.asked("PATCH", path, body)

    def asked(self, method: str, path: str, body: Any | None) -> httpx.Response:
        """Use the server's API as its pages do: signed in, with a token against foreign pages."""
        if self.client is None:
            user, password = self.sign_in.split(":", 1)
            self.client = httpx.Client(base_url=f"{self.address}/api", auth=(user, password), timeout=60)
            token = (
                self.client.get("/csrf-token", params={"client": "test"}).raise_for_status().json()["token"]
            )
            self.client.headers.update({"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": "test"})
        answer = self.client.request(method, path, json=body or {})
        for _ in range(10):  # "busy: try again", which a server on SQLite says while others write
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            time.sleep(float(answer.headers.get("Retry-After", 1)))
            answer = self.client.request(method, path, json=body or {})
        return answer.raise_for_status()

    def pretend_it_runs(self, flow_run: str, pid: int) -> None:
        """Bring a flow run into the state in which a machine that lost its power leaves it."""
        self.post(f"/flow_runs/{flow_run}/set_state", {"state": {"type": "RUNNING"}, "force": True})
        self.patch(f"/flow_runs/{flow_run}", {"infrastructure_pid": str(pid)})

    def deployment(self, name: str) -> str:
        """The id of a deployment, by FLOW/NAME."""
        return str(self.deployed(name)["id"])

    def deployed(self, name: str) -> dict[str, Any]:
        """A deployment, by FLOW/NAME."""
        user, password = self.sign_in.split(":", 1)
        answer = httpx.get(f"{self.address}/api/deployments/name/{quote(name)}", auth=(user, password))
        answer.raise_for_status()
        return dict(answer.json())

    def start(self, deployment: str, name: str | None = None, /, **config: Any) -> str:
        """Start a deployment without waiting, perhaps under a name; gives the flow run's id."""
        path = f"/deployments/{self.deployment(deployment)}/create_flow_run"
        named = {"name": name} if name else {}
        return str(self.post(path, {"parameters": {"config": config}, **named})["id"])

    def started(self) -> list[dict[str, Any]]:
        """The flow runs that have started, newest first."""
        return list(
            self.post(
                "/flow_runs/filter",
                {"sort": "START_TIME_DESC", "flow_runs": {"start_time": {"is_null_": False}}},
            )
        )

    def state(self, flow_run: str) -> tuple[str, str]:
        """Type and message of a flow run's state."""
        [found] = self.post("/flow_runs/filter", {"flow_runs": {"id": {"any_": [flow_run]}}})
        return found["state"]["type"], found["state"]["message"] or ""

    def end_of(self, flow_run: str, seconds: float = 600) -> tuple[str, str]:
        """The state in which a flow run ended."""
        return self.wait(
            lambda: state if (state := self.state(flow_run))[0] in ENDINGS else None,
            f"flow run {flow_run} to end",
            seconds,
        )

    def log(self, flow_run: str) -> str:
        """What a flow run and those inside it logged."""
        done = self.prefect("flow-run", "logs", flow_run)
        return " ".join(done.stdout.split())

    def artifacts(self, flow_run: str) -> dict[str, Any]:
        """The newest artifact of each key that a flow run, or one that it called, made."""
        inside = self.post("/flow_runs/filter", {"flow_runs": {"parent_flow_run_id": {"any_": [flow_run]}}})
        ids = [flow_run, *(found["id"] for found in inside)]
        found = self.post(
            "/artifacts/filter", {"artifacts": {"flow_run_id": {"any_": ids}}, "sort": "CREATED_DESC"}
        )
        return {artifact["key"]: artifact for artifact in reversed(found) if artifact["key"]}

    def runs(self) -> list[dict[str, Any]]:
        """The runs in the registry, newest first, as `hallmark runs list --json` has them."""
        registry = open_registry(self.home)
        try:
            return [
                {
                    **run.model_dump(),
                    "status": current_status(run, registry),
                    "directory": str(registry.runs.directory(run.run_id)),
                }
                for run in (registry.runs.get(run.run_id) for run in registry.runs.list())
            ]
        finally:
            registry.close()

    def wait_for_training(self, known: set[str]) -> Path:
        """Wait until a run that is not among the known ones is writing steps; gives its folder."""
        since = time.time()

        def training() -> Path | None:
            for run in self.runs():
                curve = Path(run["directory"]) / "training.jsonl"
                if run["run_id"] not in known and run["status"] == "running" and curve.is_file():
                    grown = curve.read_bytes().count(b"\n")
                    if (
                        curve.stat().st_mtime > since
                        and grown > 6
                        and grown > lines.setdefault(run["run_id"], grown)
                    ):
                        return curve.parent
            return None

        lines: dict[str, int] = {}
        return self.wait(training, "a training to go on", 240)

    def told(self, text: str) -> str:
        """Wait for a message that holds a text."""
        message: str = self.wait(
            lambda: next((message for message in self.messages if text in message), None),
            f"a message: {text}",
            30,
        )
        return message

    def wait(self, look: Callable[[], Any], what: str, seconds: float) -> Any:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if (found := look()) is not None:
                return found
            time.sleep(0.3)
        worker = (self.home / "services" / "worker.log").read_text()[-3000:]
        raise AssertionError(f"waited {seconds} s for {what}. The worker says:\n{worker}")

    def flow_process(self) -> int:
        """The process in which the worker runs a flow."""
        worker = self.services()["worker"]["pid"]
        [child] = [
            int(pid)
            for task in Path(f"/proc/{worker}/task").iterdir()
            for pid in (task / "children").read_text().split()
        ]
        return child

    def processes(self) -> list[str]:
        """Command lines of living processes of this home."""
        return processes_of(self.home)


def processes_of(home: Path) -> list[str]:
    """Command lines of the living processes that were started with this HALLMARK_HOME."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"HALLMARK_HOME={home}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return [line for line in found if line.strip()]


@contextmanager
def listening_for_messages(messages: list[str], server: HTTPServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


def message_server(messages: list[str]) -> HTTPServer:
    """What a chat's incoming webhook does: it takes JSON with a text."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == f"/{TOKEN}":
                messages.append(json.loads(body)["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    return HTTPServer(("127.0.0.1", 0), Handler)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
