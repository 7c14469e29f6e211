"""Serving the pages until somebody stops it."""

from __future__ import annotations

import errno
import ipaddress
import secrets
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import InputError, ResourceError
from hallmark.workstation.prefect_environment import USER, kept_sign_in, sign_in_file

if TYPE_CHECKING:
    from fastapi import FastAPI

LARGEST_HEAD = 1 << 22
"""Bytes of a request before its body that are read, so that an address that is far too long is still answered
by a page that says so.
"""


def allowed_hosts(host: str, names: Sequence[str]) -> list[str]:
    """The names that browsers may reach the server by.

    Args:
        host: the address to listen on.
        names: those that a person gave.

    Raises:
        InputError: the address is not this machine's own, and no name was given.

    Example:
        >>> allowed_hosts("127.0.0.1", ["hallmark.example"])
        ['127.0.0.1', 'localhost', '::1', 'hallmark.example']
    """
    from hallmark.ui.app import LOOPBACK

    if not is_loopback(host) and not names:
        raise InputError(
            f"--host {host}: other machines could reach it, and the password would cross the network as "
            "plain text. An SSH tunnel or a proxy with TLS needs no other address than 127.0.0.1: "
            'docs/ui.md, "From another machine". If you mean it, say the name that browsers will use: '
            "--name NAME."
        )
    return list(dict.fromkeys([*LOOPBACK, *([host] if host not in ANY else []), *(n.lower() for n in names)]))


ANY = ("0.0.0.0", "::", "")  # noqa: S104 - compared, not bound to


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def sign_in_of(home: Path) -> tuple[str, str]:
    """The "user:password" that is asked for, and where a person finds it. It is the Prefect server's; in a
    home that has none and cannot be written, one that is made for this time.
    """
    path = sign_in_file(home)
    try:
        found = kept_sign_in(home)
    except (ResourceError, OSError):
        if path.exists():
            raise
        found = f"{USER}:{secrets.token_urlsafe(18)}"
        return found, f"{found} (for this time only, since {home} cannot be written)"
    if path.is_file() and found == path.read_text(encoding="utf-8").strip():
        return found, f"the line in {path}"
    return found, "what PREFECT_SERVER_API_AUTH_STRING says"


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        ResourceError: the port is taken, or the address is not one of this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ResourceError(
                f"port {port} of {host} is taken, perhaps by another `hallmark ui`. Choose one: --port N"
            ) from None
        raise ResourceError(f"cannot listen on {host} port {port}: {error.strerror or error}") from None


def serve(app: FastAPI, listens: socket.socket, ready: Callable[[], None]) -> None:
    """Answer requests until SIGINT or SIGTERM, which is raised again afterwards.

    Args:
        app: the pages.
        listens: from `listening`.
        ready: called when the first request can come.
    """
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready()

    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        h11_max_incomplete_event_size=LARGEST_HEAD,
        timeout_graceful_shutdown=2,
    )
    Server(config).run(sockets=[listens])
