"""`hallmark up`, `down`, `status`, `env`, `server`, `worker`, `deploy`: Prefect on this machine."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from hallmark.cli.terminal import Json, emit, err, out, say

Host = Annotated[
    str, typer.Option(help="Address to listen on. Others than this machine's: see docs/operate.md first.")
]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")]


def up(
    port: Port = 4200,
    json: Json = False,
) -> None:
    """Start the Prefect server and the worker in the background, and set up pool, deployments and automations.

    Whatever runs already is left alone; deployments and automations are brought up to date. Ends with the address of the UI.
    """
    from core.errors import ResourceError
    from hallmark.workstation import setup
    from hallmark.workstation.prefect_environment import api_address, client_environment, kept_sign_in
    from hallmark.workstation.services import SERVER, WORKER, Service

    home = _home()
    own = _without_choice()

    def watch(service: Service, process: subprocess.Popen[bytes] | None) -> None:
        if process is not None and process.poll() is not None:
            raise ResourceError(
                f"the {service.name} ended at once (exit code {process.returncode}). The end of {service.log(home)}:\n"
                f"{service.last_lines(home)}"
            )

    started = None
    if SERVER.holder(home) is None:
        _refuse_taken_port(port)
        started = SERVER.start(home, ["server", "--port", str(port)], own)
        say("server: starting; the first start sets up a database, which takes about 15 seconds")
    running = SERVER.holder(home)
    address = running.address if running else api_address("127.0.0.1", port)
    setup.wait_for_server(address, kept_sign_in(home), lambda: watch(SERVER, started))
    say(f"server: {'started' if started else 'runs already'}")
    environment = client_environment(home, own)
    for line in setup.set_up(home, environment):
        say(line)
    if WORKER.holder(home) is None:
        since = datetime.now(UTC)
        worker = WORKER.start(home, ["worker", "--no-deploy"], environment)
        while not setup.worker_has_reported(since):
            watch(WORKER, worker)
            if datetime.now(UTC) - since > timedelta(minutes=3):
                raise ResourceError(
                    f"the worker has not reported within three minutes. See {WORKER.log(home)}"
                )
            time.sleep(0.3)
        say("worker: started")
    else:
        say("worker: runs already")
    _show(home, address, json)


def down(
    seconds: Annotated[
        float, typer.Option(min=1, help="How long each may take to end before it is killed.")
    ] = 60.0,
) -> None:
    """Stop the worker and the server. A run that is being worked on stops in order and continues when it is started again."""
    from hallmark.workstation.services import SERVER, WORKER

    home = _home()
    for service in (WORKER, SERVER):
        say(f"{service.name}: {'stopped' if service.stop(home, seconds) else 'did not run'}")


def status(json: Json = False) -> None:
    """Say whether the server and the worker of this home run, and where. Ends with 4 when one does not."""
    from hallmark.workstation.services import SERVER, WORKER

    home = _home()
    found = {service.name: service.holder(home) for service in (SERVER, WORKER)}
    if json:
        emit({name: holder.model_dump(mode="json") if holder else None for name, holder in found.items()})
    else:
        for name, holder in found.items():
            where = f" {holder.address}" if holder and holder.address else ""
            state = (
                f"process {holder.pid}, since {holder.since.astimezone():%Y-%m-%d %H:%M:%S}{where}"
                if holder
                else "does not run"
            )
            out.print(f"{name:<7} {state}", markup=False, soft_wrap=True)
    if None in found.values():
        raise typer.Exit(4)


def env() -> None:
    """Print what lets `prefect` in a shell talk to this home's server: eval "$(hallmark env)". Holds the password."""
    from core.errors import ResourceError
    from hallmark.workstation.prefect_environment import client_environment

    home = _home()
    own = _without_choice()
    wanted = client_environment(home, own)
    if "PREFECT_API_URL" not in wanted:
        raise ResourceError(f"no server runs in {home}. Start it: hallmark up")
    for name in sorted(set(wanted) - set(own) | {"PREFECT_API_AUTH_STRING"}):
        typer.echo(f"export {name}={shlex.quote(wanted[name])}")
    typer.echo(f"export HALLMARK_HOME={shlex.quote(str(home))}")


def server(host: Host = "127.0.0.1", port: Port = 4200) -> None:
    """Be the Prefect server, in the foreground, as a service manager wants it. Asks for a sign-in; its state is in the home."""
    from hallmark.workstation.prefect_environment import api_address, server_environment
    from hallmark.workstation.services import SERVER

    home = _home()
    environment = server_environment(home, host, port, os.environ)
    SERVER.become(
        home,
        "prefect",
        ["server", "start", "--host", host, "--port", str(port)],
        environment,
        api_address(host, port),
    )


def worker(
    deploy: Annotated[
        bool, typer.Option("--deploy/--no-deploy", help="Set up pool, deployments and automations first.")
    ] = True,
) -> None:
    """Be the worker of the pool gpu, in the foreground, as a service manager wants it. Waits for the server."""
    import platform

    from hallmark.workstation import setup
    from hallmark.workstation.prefect_environment import own_temporary_folder, remove_left_files
    from hallmark.workstation.services import WORKER

    home = _home()
    environment = _client(home, patience=60.0)
    if deploy:
        for line in setup.set_up(home, environment):
            say(line)
    name = f"{setup.POOL}@{platform.node()}"
    os.environ.update(environment)
    for line in setup.mark_dead_runs_crashed(name):
        say(line)
    remove_left_files(home)
    arguments = ["worker", "start", "--pool", setup.POOL, "--limit", "1", "--name", name]
    WORKER.become(home, "prefect", arguments, {"TMPDIR": own_temporary_folder(home), **environment})


def deploy() -> None:
    """Set up pool, deployments and automations on the server that PREFECT_API_URL names, else on this home's own."""
    from hallmark.workstation import setup

    home = _home()
    for line in setup.set_up(home, _client(home)):
        say(line)


def _client(home: Path, patience: float = 0.0) -> dict[str, str]:
    """The environment of a client, once the server answers.

    Args:
        home: HALLMARK_HOME, absolute.
        patience: seconds to wait for a server of this home that is just being started, as by a service manager.
    """
    from core.errors import ResourceError
    from hallmark.workstation import setup
    from hallmark.workstation.prefect_environment import client_environment

    deadline = time.monotonic() + patience
    while (
        "PREFECT_API_URL" not in (environment := client_environment(home, os.environ))
        and time.monotonic() < deadline
    ):
        time.sleep(0.5)
    if "PREFECT_API_URL" not in environment:
        raise ResourceError(
            f"no server runs in {home}, and PREFECT_API_URL names none. Start one: hallmark up, or hallmark server"
        )
    setup.wait_for_server(
        environment["PREFECT_API_URL"], environment.get("PREFECT_API_AUTH_STRING"), lambda: None
    )
    return environment


def _refuse_taken_port(port: int) -> None:
    import socket

    from core.errors import ResourceError

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise ResourceError(
                f"port {port} is in use by another program. Choose another: hallmark up --port {port + 1}"
            ) from None


def _show(home: Path, address: str, json: bool) -> None:
    from hallmark.workstation.prefect_environment import sign_in_file

    page, kept = address.removesuffix("/api"), sign_in_file(home)
    given = "PREFECT_SERVER_API_AUTH_STRING" in os.environ
    if json:
        emit({"ui": page, "api": address, "sign_in": None if given else str(kept), "home": str(home)})
        return
    err.print()
    out.print(f"[bold]Prefect UI[/]  {page}")
    out.print(
        f"[bold]sign-in[/]     {'what PREFECT_SERVER_API_AUTH_STRING says' if given else f'the line in {kept}'}",
        soft_wrap=True,
    )
    out.print("[bold]in a shell[/]  ", end="")
    out.print(
        'eval "$(hallmark env)"; prefect deployment run experiment/gpu --watch', markup=False, soft_wrap=True
    )


def _without_choice() -> dict[str, str]:
    """The environment of this process, without a choice of another server than this home's."""
    from hallmark.workstation.prefect_environment import CHOSEN_BY_USER

    return {
        name: value
        for name, value in os.environ.items()
        if name not in (*CHOSEN_BY_USER, "PREFECT_API_AUTH_STRING")
    }


def _home() -> Path:
    from core.settings import get_settings

    return get_settings().home.absolute()
