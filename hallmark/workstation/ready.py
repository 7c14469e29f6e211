"""Prefect, ready for a flow of this process: its own temporary server, or the one that the environment or the home names."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from core.files import make_home
from core.progress import Progress, current_listener
from core.settings import get_settings
from hallmark.workstation.prefect_environment import CHOSEN_BY_USER, client_environment

if TYPE_CHECKING:
    from prefect.server.api.server import SubprocessASGIServer

STARTUP_SECONDS = "120"  # 20 by default, too short on a busy machine


@contextmanager
def prefect_ready() -> Iterator[None]:
    """Inside the block Prefect has its settings from us and a server that answers. Flows are imported inside.

    The environment is put back at the end; a temporary server stays for the next flow and ends with this process.

    Example:
        >>> with prefect_ready():
        ...     from flows.evaluate import evaluate
        ...
        ...     run = evaluate(EvaluateConfig(model="tiny-base"))
    """
    home = get_settings().home.absolute()
    make_home(home)  # before Prefect makes its own folder in it
    with _environment(_wanted(home)):
        _say("starting", "Prefect")
        from prefect.context import root_settings_context

        with root_settings_context() as context:
            settings = context.settings
            if settings.api.url or not settings.server.ephemeral.enabled:
                yield  # the environment or a profile names a server
                return
            address = _temporary_server(settings.home)
        with _environment({"PREFECT_API_URL": address}), root_settings_context():
            yield


def server_is_up() -> bool:
    """Whether the environment names a server, or one is up in our home: without one nobody could hear an event."""
    return "PREFECT_API_URL" in client_environment(get_settings().home.absolute(), os.environ)


def _wanted(home: Path) -> dict[str, str]:
    """Prefect's state in our home unless the person chose otherwise; no analytics; no log lines over the progress."""
    wanted = client_environment(home, os.environ)
    if any(os.environ.get(name) for name in CHOSEN_BY_USER):
        wanted = {**wanted, "PREFECT_HOME": os.environ.get("PREFECT_HOME", "")}
    elif "PREFECT_API_URL" in wanted:
        _say("Prefect:", wanted["PREFECT_API_URL"].removesuffix("/api"))
    elif not (home / "prefect").exists():
        _say("first start:", "Prefect sets up its database, which takes about 15 seconds")
    wanted.setdefault("PREFECT_SERVER_EPHEMERAL_ENABLED", "true")
    wanted.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", STARTUP_SECONDS)
    if not os.environ.get("HALLMARK_DEBUG"):
        wanted.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
        logging.getLogger("alembic").setLevel(logging.ERROR)
    return {name: value for name, value in wanted.items() if value}


@contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name in wanted:
            if name in before:
                os.environ[name] = before[name]
            else:
                os.environ.pop(name, None)


_started: tuple[Path, SubprocessASGIServer] | None = None


def _temporary_server(home: Path) -> str:
    """The API's address of Prefect's temporary server on this state; started now, while we say so, or still running.

    Prefect stops it at a regular exit only. The shell waits for our end of its pipe to close, which the kernel does in any case.
    """
    global _started
    if _started is not None:
        known, server = _started
        if known == home and server.server_process is not None and server.server_process.poll() is None:
            return server.api_url
        server.stop()
        _started = None
    from prefect.server.api.server import SubprocessASGIServer

    server = SubprocessASGIServer()
    server.start()
    _started = home, server
    if server.server_process is not None:
        watch = f"cat > /dev/null; kill {server.server_process.pid} 2> /dev/null"
        subprocess.Popen(  # noqa: S603 - no input of anybody's
            ["/bin/sh", "-c", watch],
            stdin=subprocess.PIPE,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    return server.api_url


def _say(stage: str, note: str) -> None:
    current_listener()(Progress(stage=stage, done=0, total=0, unit="", note=note))
