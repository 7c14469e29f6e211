"""Running a flow from the command line: Prefect's own temporary server, or the one that the environment names."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Callable
from typing import Any, TypeVar

from core.child_process import raise_on_termination
from core.settings import get_settings
from hallmark.cli.terminal import err, say
from hallmark.workstation.prefect_environment import CHOSEN_BY_USER, client_environment

Result = TypeVar("Result")


def run_flow(load: Callable[[], Callable[[Any], Result]], config: Any) -> Result:
    """Run a flow in this process.

    Args:
        load: imports and gives the flow; called after Prefect's environment is set.
        config: the flow's parameter.
    """
    raise_on_termination()
    _prepare_environment()
    with err.status("starting Prefect") if err.is_terminal else _announced("starting Prefect"):
        flow = load()
        if not os.environ.get("PREFECT_API_URL"):
            _start_temporary_server()
    return flow(config)


def announce(emit: Callable[[Any], None]) -> None:
    """Emit an event to the server that the environment names or that is up in our home; without one nobody could hear it.

    Args:
        emit: is given the module `tasks.events`, which is imported after Prefect's environment is set.
    """
    if "PREFECT_API_URL" in client_environment(get_settings().home.absolute(), os.environ):
        _prepare_environment()
        from tasks import events

        emit(events)


def _start_temporary_server() -> None:
    """Start Prefect's temporary server now, while we say so, and let it end with this process, even one that is killed.

    Prefect stops it at a regular exit only. The shell waits for our end of its pipe to close, which the kernel does in any case.
    """
    from prefect.server.api.server import SubprocessASGIServer
    from prefect.settings import get_current_settings

    if get_current_settings().api.url or not get_current_settings().server.ephemeral.enabled:
        return  # a profile names a server
    server = SubprocessASGIServer()
    server.start()
    if server.server_process is not None:
        watch = f"cat > /dev/null; kill {server.server_process.pid} 2> /dev/null"
        subprocess.Popen(  # noqa: S603 - no input of anybody's
            ["/bin/sh", "-c", watch],
            stdin=subprocess.PIPE,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def _announced(message: str) -> Any:
    from contextlib import nullcontext

    say(message)
    return nullcontext()


def _prepare_environment() -> None:
    """Keep Prefect's state in our home unless the person chose otherwise; no analytics; no log lines over the progress bars."""
    home = get_settings().home.absolute()
    wanted = client_environment(home, os.environ)
    if any(os.environ.get(name) for name in CHOSEN_BY_USER):
        wanted = {**wanted, "PREFECT_HOME": os.environ.get("PREFECT_HOME", "")}
    elif "PREFECT_API_URL" in wanted:
        say(f"Prefect: {wanted['PREFECT_API_URL'].removesuffix('/api')}")
    elif not (home / "prefect").exists():
        say("First start: Prefect sets up its database, which takes about 15 seconds.")
    wanted |= {
        "PREFECT_SERVER_EPHEMERAL_ENABLED": os.environ.get("PREFECT_SERVER_EPHEMERAL_ENABLED", "true"),
        # 20 by default, too short on a busy machine
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": os.environ.get(
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120"
        ),
    }
    if not os.environ.get("HALLMARK_DEBUG"):
        wanted.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
        logging.getLogger("alembic").setLevel(logging.ERROR)
    os.environ.update({name: value for name, value in wanted.items() if value})
