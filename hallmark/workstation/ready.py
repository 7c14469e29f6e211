"""Prefect, ready for a flow of this process: with a server of its own, or the one that runs already."""

from __future__ import annotations

import logging
import os
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.child_process import signals_held
from core.errors import HallmarkError, ResourceError
from core.files import make_home
from core.imports import collection_paused
from core.progress import announce
from core.settings import get_settings
from hallmark.workstation.prefect_environment import CHOSEN_BY_USER, client_environment
from hallmark.workstation.reaching import Address, no_url, shown
from hallmark.workstation.temporary_server import TemporaryServer

if TYPE_CHECKING:
    from prefect.context import SettingsContext

EPHEMERAL = "PREFECT_SERVER_EPHEMERAL_ENABLED"
DRAIN_SECONDS = 30.0
RESTART_SECONDS = 3.0
"""How long a server may be away, as while it starts again, before we give up."""


@contextmanager
def prefect_ready() -> Iterator[None]:
    """Inside the block Prefect has its settings from us and a server that answers. Flows are imported inside.

    The environment is put back at the end; a temporary server stays for the next flow until the process ends.

    Raises:
        InputError: the address that was named is no URL.
        ResourceError: no Prefect server answers there, or it refuses our sign-in; or the home is read-only.

    Example:
        >>> with prefect_ready():
        ...     from flows.evaluate import evaluate
        ...
        ...     run = evaluate(EvaluateConfig(model="tiny-base"))
    """
    home = get_settings().home.absolute()
    make_home(home)  # before Prefect makes its own folder in it
    if (url := os.environ.get("PREFECT_API_URL")) and (bad := no_url(url, "PREFECT_API_URL")):
        raise bad
    ours = not any(os.environ.get(name) for name in CHOSEN_BY_USER)
    with variables(_wanted(home)):
        if _last_address is None:
            if named := os.environ.get("PREFECT_API_URL"):
                announce("Prefect:", shown(named).removesuffix("/api"))
            else:
                announce("starting", "Prefect")
        if ours and "PREFECT_API_URL" not in os.environ and os.environ[EPHEMERAL] == "true":
            _temporary_server(home / "prefect")  # starts while Prefect is imported here, too
        with signals_held(), collection_paused():  # Prefect logs what is raised in its import, and goes on
            from prefect.context import root_settings_context

        with root_settings_context() as context:
            settings = context.settings
            address = settings.api.url
            if address is not None:
                _refuse_unusable(_named(address, context, home))
            elif settings.server.ephemeral.enabled:
                server = _temporary_server(settings.home)
                server.wait()
                address = server.address
        if address is not None:
            _send_events_of_before(address)
        with (
            variables({"PREFECT_API_URL": address} if address else {}),
            root_settings_context(),
            _own_heartbeats(),
            _unreachable_named(address),
        ):
            yield


def server_is_up() -> bool:
    """Whether the environment names a server, or one is up in our home: else nobody could hear an event."""
    return "PREFECT_API_URL" in client_environment(get_settings().home.absolute(), os.environ)


def check_server() -> None:
    """Refuse, before anything is computed, a server that is named and cannot be used; for commands that only
    tell it about what they did.

    Raises:
        HallmarkError: see `prefect_ready`.
    """
    if server_is_up():
        with prefect_ready():
            pass


def tell(emit: Callable[[], None]) -> None:
    """Send an event about something that is recorded already, to the server that is up. One that cannot be
    used changes nothing about it.
    """
    if not server_is_up():
        return
    try:
        with prefect_ready():
            emit()
    except HallmarkError as error:
        announce("Prefect:", f"no event was sent. {error}")


def _named(address: str, context: SettingsContext, home: Path) -> Address:
    """The server of these settings, and who named it."""
    api = context.settings.api
    if not any(os.environ.get(name) for name in CHOSEN_BY_USER):
        named_by, remedy = (
            f"the server of {home}",
            "Start it again: hallmark down, hallmark up",
        )
    elif os.environ.get("PREFECT_API_URL"):
        named_by = "PREFECT_API_URL"
        remedy = "Start that server, or unset PREFECT_API_URL to use one of Hallmark's own (hallmark up)."
    else:
        named_by = f"api.url of Prefect's profile {context.profile.name}"
        remedy = "Start that server, or choose another profile: prefect profile use"
    return Address(
        address,
        named_by,
        sign_in=api.auth_string.get_secret_value() if api.auth_string else None,
        key=api.key.get_secret_value() if api.key else None,
        verify=not api.tls_insecure_skip_verify
        and (ssl.create_default_context(cafile=api.ssl_cert_file) if api.ssl_cert_file else True),
        remedy=remedy,
    )


def _refuse_unusable(address: Address) -> None:
    deadline = time.monotonic() + RESTART_SECONDS
    while (problem := address.problem()) is not None:
        if not problem.transient or time.monotonic() > deadline:
            raise problem
        time.sleep(0.5)


def _wanted(home: Path) -> dict[str, str]:
    """State in our home unless the person chose otherwise; no analytics; no log lines over the progress."""
    wanted = client_environment(home, os.environ)
    if any(os.environ.get(name) for name in CHOSEN_BY_USER):
        wanted = {**wanted, "PREFECT_HOME": os.environ.get("PREFECT_HOME", "")}
    elif "PREFECT_API_URL" not in wanted and not (home / "prefect").exists():
        announce("first start:", "Prefect sets up its database, which takes some seconds")
    wanted.setdefault(EPHEMERAL, "true")
    if not os.environ.get("HALLMARK_DEBUG"):
        wanted.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
        logging.getLogger("alembic").setLevel(logging.ERROR)
    return {name: value for name, value in wanted.items() if value}


def _own_heartbeats() -> AbstractContextManager[Any]:
    """Without Prefect's heartbeats; our flows send them (`tasks.heartbeats`)."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    return temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})


@contextmanager
def _unreachable_named(address: str | None) -> Iterator[None]:
    """Prefect has no class of its own for the error that its server is away, only these words."""
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("Failed to reach API"):
            raise
        raise ResourceError(
            f"{shown(str(address))}: no Prefect server answers. Start it, or unset PREFECT_API_URL to use a "
            "temporary one."
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


def _temporary_server(home: Path) -> TemporaryServer:
    """A temporary server on this state: one that starts now, or that runs already."""
    with _starting:
        if home not in _servers or not _servers[home].is_running:
            _servers[home] = TemporaryServer(home)
        return _servers[home]
