"""The server and the worker of a home, started in the background and stopped again."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from core.errors import ResourceError
from hallmark.workstation.prefect_environment import (
    CHOSEN_BY_USER,
    api_address,
    client_environment,
    kept_sign_in,
)
from hallmark.workstation.reaching import shown
from hallmark.workstation.services import SERVER, WORKER, Service

WORKER_PATIENCE_S = 180.0


def start(home: Path, port: int, say: Callable[[str], None]) -> str:
    """Start what does not run yet, and bring pool, deployments and automations up to date.

    Args:
        home: HALLMARK_HOME, absolute.
        port: of a server that is started.
        say: is given a line for each thing that was done.

    Returns:
        The address of the server's API.

    Raises:
        ResourceError: the port is taken, or a service ends at once or does not report.
    """
    from hallmark.workstation import setup

    own = environment_without_choice()
    started = None
    if SERVER.holder(home) is None:
        _refuse_taken_port(port)
        started = SERVER.start(home, ["server", "--port", str(port)], own)
        say("server: starting; the first start sets up a database, which takes some seconds")
    running = SERVER.holder(home)
    address = running.address if running else api_address("127.0.0.1", port)
    setup.wait_for_server(address, kept_sign_in(home), lambda: _refuse_ended(SERVER, home, started))
    say(f"server: {'started' if started else 'runs already'}")
    environment = client_environment(home, own)
    for line in setup.set_up(home, environment):
        say(line)
    say(f"worker: {'started' if _start_worker(home, environment) else 'runs already'}")
    if other := other_server(home):
        say(other)
    return address


def stop(home: Path, seconds: float, say: Callable[[str], None]) -> None:
    """Stop the worker and the server.

    Args:
        home: HALLMARK_HOME, absolute.
        seconds: how long each may take to end before it is killed.
        say: is given a line for each.
    """
    for service in (WORKER, SERVER):
        say(f"{service.name}: {'stopped' if service.stop(home, seconds) else 'did not run'}")


def environment_without_choice() -> dict[str, str]:
    """The environment of this process, without a choice of another server than this home's."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in (*CHOSEN_BY_USER, "PREFECT_API_AUTH_STRING")
    }


def other_server(home: Path) -> str:
    """What to say where PREFECT_API_URL names another server than this home's; empty where it does not."""
    url, running = os.environ.get("PREFECT_API_URL"), SERVER.holder(home)
    if not url or (running and running.address == url.rstrip("/")):
        return ""
    return (
        f"PREFECT_API_URL is set and names another server than this home's: {shown(url)}. "
        "Flows report there; unset it to use this home's"
    )


def reachable_server(home: Path, patience: float = 0.0) -> dict[str, str]:
    """The environment of a client, once the server answers.

    Args:
        home: HALLMARK_HOME, absolute.
        patience: seconds to wait for a server of this home that is just being started, as by a service
            manager.

    Raises:
        ResourceError: no server runs and none is named, or it does not answer.
    """
    from hallmark.workstation import setup

    deadline = time.monotonic() + patience
    while (
        "PREFECT_API_URL" not in (environment := client_environment(home, os.environ))
        and time.monotonic() < deadline
    ):
        time.sleep(0.5)
    if "PREFECT_API_URL" not in environment:
        raise ResourceError(
            f"no server is running in {home}, and PREFECT_API_URL names none. "
            "Start one: hallmark up, or hallmark server"
        )
    setup.wait_for_server(
        environment["PREFECT_API_URL"],
        environment.get("PREFECT_API_AUTH_STRING"),
        lambda: None,
        seconds=180.0 if patience else 0.0,
        named_by="PREFECT_API_URL" if os.environ.get("PREFECT_API_URL") else "",
    )
    return environment


def _start_worker(home: Path, environment: dict[str, str]) -> bool:
    """Start the worker and wait until it has reported; False where one runs already."""
    from hallmark.workstation import setup

    if WORKER.holder(home) is not None:
        return False
    before, started = setup.worker_reports(), time.monotonic()
    worker = WORKER.start(home, ["worker", "--no-deploy"], environment)
    while setup.worker_reports() <= before:
        _refuse_ended(WORKER, home, worker)
        if time.monotonic() - started > WORKER_PATIENCE_S:
            raise ResourceError(f"the worker has not reported within three minutes. See {WORKER.log(home)}")
        time.sleep(0.3)
    return True


def _refuse_ended(service: Service, home: Path, process: subprocess.Popen[bytes] | None) -> None:
    if process is not None and process.poll() is not None:
        raise ResourceError(
            f"the {service.name} ended at once (exit code {process.returncode}). "
            f"The end of {service.log(home)}:\n{service.last_lines(home)}"
        )


def _refuse_taken_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise ResourceError(
                f"port {port} is in use by another program. Choose another: hallmark up --port {port + 1}"
            ) from None
