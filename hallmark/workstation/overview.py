"""What runs on this machine now: services, devices, runs with how far they are, and what is next."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import Record
from core.errors import HallmarkError
from core.gpus import held_devices
from core.locks import Holder, holder
from core.progress import Progress
from core.settings import Settings, get_settings
from hallmark.workstation.prefect_environment import client_environment
from hallmark.workstation.services import SERVER, WORKER

if TYPE_CHECKING:
    from registry import Registry

QUEUED = 5
"""Flow runs of the queue that are looked at."""
SECONDS = 2.0
"""How long the server may take to say what is queued."""


class RunNow(Record):
    """A run that is being worked on.

    Attributes:
        pid: of the process that works on it; None where that is on another machine.
        since: when this process took it, in UTC.
        progress: how far its present phase is; None before it says so, and on another machine.
    """

    run_id: str
    name: str
    kind: str
    pid: int | None
    since: datetime
    progress: Progress | None


class Queued(Record):
    """A flow run that has not begun.

    Attributes:
        expected: when it is to begin, in UTC; None where nobody knows.
    """

    name: str
    state: str
    expected: datetime | None


class Overview(Record):
    """What runs.

    Attributes:
        server: the process of this home's Prefect server; None where it does not run.
        worker: likewise.
        devices: who uses which GPU of this machine.
        runs: that are being worked on, newest first.
        interrupted: how many runs were interrupted, and wait to be continued or discarded.
        queue: flow runs that come next; None where no server answers.
        problem: why the registry could not be read; empty where it could.
    """

    at: datetime
    server: Holder | None
    worker: Holder | None
    devices: dict[str, Holder]
    runs: list[RunNow]
    interrupted: int
    queue: list[Queued] | None
    problem: str = ""


class Looking:
    """Looks at what runs, as often as it is asked, through one open registry.

    Args:
        home: HALLMARK_HOME, absolute.
        settings: say where the registry is.
    """

    def __init__(self, home: Path, settings: Settings | None = None) -> None:
        self.home = home
        self.settings = settings or get_settings()
        self._registry: Registry | None = None

    def look(self) -> Overview:
        """What runs now."""
        runs: list[RunNow] = []
        interrupted, problem = 0, ""
        try:
            runs, interrupted = self._runs()
        except HallmarkError as error:
            problem = str(error)
        return Overview(
            at=datetime.now(UTC),
            server=SERVER.holder(self.home),
            worker=WORKER.holder(self.home),
            devices=held_devices(),
            runs=runs,
            interrupted=interrupted,
            queue=queue(self.home),
            problem=problem,
        )

    def _runs(self) -> tuple[list[RunNow], int]:
        from experiments.run_files import LOCK
        from experiments.runs import current_status
        from registry.opening import has_registry, open_registry

        if self._registry is None:
            if not has_registry(self.home, self.settings.registry_url):
                return [], 0
            self._registry = open_registry(
                self.home, self.settings.registry_url, artifacts=self.settings.artifacts
            )
        found, interrupted = [], 0
        for run in self._registry.runs.list(limit=1_000, status="running"):
            if current_status(run, self._registry) == "interrupted":
                interrupted += 1
                continue
            owner = holder(self._registry.runs.directory(run.run_id) / LOCK)
            found.append(
                RunNow(
                    run_id=run.run_id,
                    name=run.name,
                    kind=run.kind,
                    pid=owner.pid if owner else None,
                    since=owner.since if owner else datetime.fromisoformat(run.started_at),
                    progress=owner.progress if owner else None,
                )
            )
        return found, interrupted


def queue(home: Path) -> list[Queued] | None:
    """The flow runs that the server starts next, the first first; None where no server answers.

    Args:
        home: HALLMARK_HOME, absolute.
    """
    import httpx

    environment = client_environment(home, os.environ)
    if (address := environment.get("PREFECT_API_URL")) is None:
        return None
    user, _, password = environment.get("PREFECT_API_AUTH_STRING", "").partition(":")
    key = environment.get("PREFECT_API_KEY")
    try:
        with httpx.Client(
            base_url=f"{address.rstrip('/')}/",
            auth=(user, password) if user else None,
            headers={"Authorization": f"Bearer {key}"} if key else None,
            timeout=SECONDS,
        ) as client:
            waiting = {"state": {"type": {"any_": ["PENDING", "SCHEDULED"]}}}
            wanted = {"flow_runs": waiting, "sort": "EXPECTED_START_TIME_ASC", "limit": QUEUED}
            runs = _answer(client.post("flow_runs/filter", json=wanted))
            ids = [run["deployment_id"] for run in runs if run.get("deployment_id")]
            named = {"deployments": {"id": {"any_": ids}}}
            deployments = _answer(client.post("deployments/filter", json=named)) if ids else []
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None
    names = {each["id"]: each["name"] for each in deployments}
    return [_queued(run, names) for run in runs]


def _answer(response: Any) -> Sequence[dict[str, Any]]:
    response.raise_for_status()
    return list(response.json())


def _queued(run: dict[str, Any], deployments: dict[str, str]) -> Queued:
    expected = run.get("expected_start_time")
    deployment = deployments.get(str(run.get("deployment_id")))
    return Queued(
        name=f"{deployment}: {run['name']}" if deployment else run["name"],
        state=str(run.get("state_name") or run.get("state_type") or ""),
        expected=None if expected is None else datetime.fromisoformat(expected.replace("Z", "+00:00")),
    )
