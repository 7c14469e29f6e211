"""Prefect, ready for a flow of this process: with a server of its own, or the one that runs already."""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from core.child_process import signals_held
from core.errors import ResourceError
from core.files import make_home
from core.progress import announce
from core.settings import get_settings
from hallmark.workstation.prefect_environment import CHOSEN_BY_USER, client_environment
from hallmark.workstation.temporary_server import TemporaryServer

DRAIN_SECONDS = 30.0


@contextmanager
def prefect_ready() -> Iterator[None]:
    """Inside the block Prefect has its settings from us and a server that answers. Flows are imported inside.

    The environment is put back at the end; a temporary server stays for the next flow until the process ends.

    Example:
        >>> with prefect_ready():
        ...     from flows.evaluate import evaluate
        ...
        ...     run = evaluate(EvaluateConfig(model="tiny-base"))
    """
    home = get_settings().home.absolute()
    make_home(home)  # before Prefect makes its own folder in it
    with variables(_wanted(home)):
        if _last_address is None:
            announce("starting", "Prefect")
        with signals_held():  # Prefect logs whatever is raised while it is imported, and goes on
            from prefect.context import root_settings_context

        with root_settings_context() as context:
            settings = context.settings
            address = settings.api.url
            if address is None and settings.server.ephemeral.enabled:
                address = _temporary_server(settings.home)
        if address is not None:
            _send_events_of_before(address)
        with (
            variables({"PREFECT_API_URL": address} if address else {}),
            root_settings_context(),
            _unreachable_named(address),
        ):
            yield


def server_is_up() -> bool:
    """Whether the environment names a server, or one is up in our home: else nobody could hear an event."""
    return "PREFECT_API_URL" in client_environment(get_settings().home.absolute(), os.environ)


def _wanted(home: Path) -> dict[str, str]:
    """State in our home unless the person chose otherwise; no analytics; no log lines over the progress."""
    wanted = client_environment(home, os.environ)
    if any(os.environ.get(name) for name in CHOSEN_BY_USER):
        wanted = {**wanted, "PREFECT_HOME": os.environ.get("PREFECT_HOME", "")}
    elif "PREFECT_API_URL" in wanted:
        announce("Prefect:", wanted["PREFECT_API_URL"].removesuffix("/api"))
    elif not (home / "prefect").exists():
        announce("first start:", "Prefect sets up its database, which takes about 15 seconds")
    wanted.setdefault("PREFECT_SERVER_EPHEMERAL_ENABLED", "true")
    if not os.environ.get("HALLMARK_DEBUG"):
        wanted.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
        logging.getLogger("alembic").setLevel(logging.ERROR)
    return {name: value for name, value in wanted.items() if value}


@contextmanager
def _unreachable_named(address: str | None) -> Iterator[None]:
    """Prefect has no class of its own for the error that its server is away, only these words."""
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("Failed to reach API"):
            raise
        raise ResourceError(
            f"{address}: no Prefect server answers. Start it, or unset PREFECT_API_URL to use a temporary "
            "one."
        ) from error


@contextmanager
def variables(wanted: Mapping[str, str]) -> Iterator[None]:
    """Inside the block the environment has these; they are put back when the last thread that wants them ends
    its block.
    """
    with _changing:
        names = [name for name in wanted if _holders[name] or os.environ.get(name) != wanted[name]]
        for name in names:
            if not _holders[name]:
                _before[name] = os.environ.get(name)
            _holders[name] += 1
            os.environ[name] = wanted[name]
    try:
        yield
    finally:
        with _changing:
            for name in names:
                _holders[name] -= 1
                if not _holders[name]:
                    _put_back(name, _before.pop(name))


def _put_back(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


_changing = threading.Lock()
_starting = threading.Lock()
"""Calls may come from several threads: one at a time changes the environment, and one starts a server."""

_holders: Counter[str] = Counter()
_before: dict[str, str | None] = {}

_servers: dict[Path, TemporaryServer] = {}
"""One per state folder, until this process ends."""

_last_address: str | None = None


def _send_events_of_before(address: str) -> None:
    """End Prefect's service of events where it sends to another address: it keeps the one it began with."""
    global _last_address
    if _last_address not in (None, address):
        from prefect.events.worker import EventsWorker

        with ThreadPoolExecutor(1) as thread:  # it would not wait in the thread of a notebook's event loop
            thread.submit(EventsWorker.drain_all, DRAIN_SECONDS).result()
    _last_address = address


def _temporary_server(home: Path) -> str:
    """The address of a temporary server on this state; started now, while we say so, or still running."""
    with _starting:
        if home not in _servers or not _servers[home].is_running:
            _servers[home] = TemporaryServer(home)
        return _servers[home].address
