"""The environment that Prefect's programs run in: state in our home, signed in, nothing sent to anybody."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from core.errors import InputError
from core.files import atomic_writer, make_home
from hallmark.workstation.services import SERVER

USER = "hallmark"
CHOSEN_BY_USER = ("PREFECT_API_URL", "PREFECT_HOME", "PREFECT_PROFILE")


def defaults(home: Path) -> dict[str, str]:
    """What holds wherever our flows run; the environment's own values win over these.

    Args:
        home: HALLMARK_HOME, absolute.
    """
    return {
        "DO_NOT_TRACK": "1",
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_V2_ENABLED": "false",  # it asks an analytics host, whatever the line above says
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
        "PREFECT_CLIENT_MAX_RETRIES": "7",  # with doubling delays: four minutes without a server
        "PREFECT_WORKER_QUERY_SECONDS": "3",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    }


def server_environment(home: Path, host: str, port: int, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of our Prefect server: a sign-in is asked for, and requests of foreign pages are
    refused.

    Args:
        home: HALLMARK_HOME, absolute.
        host: address to listen on.
        port: to listen on.
        environment: of this process; its values win.
    """
    address = api_address(host, port)
    sign_in = environment.get("PREFECT_SERVER_API_AUTH_STRING") or kept_sign_in(home)
    ours = {
        **defaults(home),
        "PREFECT_API_URL": address,
        "PREFECT_UI_API_URL": address,
        "TMPDIR": own_temporary_folder(home),
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_API_AUTH_STRING": sign_in,
        "PREFECT_SERVER_API_AUTH_STRING": sign_in,
        "PREFECT_SERVER_LOGS_STREAM_PUBLISHING_ENABLED": "true",  # so that --watch shows the log, and why a
        "PREFECT_SERVER_LOGS_STREAM_OUT_ENABLED": "true",  # run failed
    }
    return {**ours, **environment, "PREFECT_API_URL": address}


def client_environment(home: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of whatever talks to a server: the one that the environment names, else the one of this
    home.

    Without either, PREFECT_API_URL is absent from the result.

    Args:
        home: HALLMARK_HOME, absolute.
        environment: of this process; its values win.
    """
    ours = defaults(home)
    if not any(environment.get(name) for name in CHOSEN_BY_USER) and (running := SERVER.holder(home)):
        ours |= {"PREFECT_API_URL": running.address, "PREFECT_API_AUTH_STRING": kept_sign_in(home)}
    return {**ours, **environment}


def own_temporary_folder(home: Path) -> str:
    """A TMPDIR below the home: Prefect keeps files under fixed names there, on which two users of a machine
    would collide.
    """
    folder = home / "tmp"
    make_home(home)
    folder.mkdir(mode=0o700, exist_ok=True)
    return str(folder)


def remove_left_files(home: Path) -> None:
    """Remove what killed flow runs left in our temporary folder: Prefect hands them their environment,
    secrets too, in files there.
    """
    for left in (home / "tmp").glob("prefect-workspace-attempt-*"):
        shutil.rmtree(left, ignore_errors=True)


def api_address(host: str, port: int) -> str:
    """Where clients on this machine reach a server that listens on `host`."""
    reachable = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - compared, not bound to
    return f"http://{reachable}:{port}/api"


def sign_in_file(home: Path) -> Path:
    """Where the server's user and password are kept."""
    return home / "services" / "sign-in"


def kept_sign_in(home: Path) -> str:
    """The server's "user:password", made at the first call and readable by its owner only.

    Raises:
        InputError: the environment sets none and the kept one is empty.
    """
    if given := os.environ.get("PREFECT_SERVER_API_AUTH_STRING"):
        return given
    path = sign_in_file(home)
    if not path.is_file():
        make_home(home)
        with atomic_writer(path, mode=0o600) as file:
            file.write(f"{USER}:{secrets.token_urlsafe(18)}\n".encode())
    if ":" not in (text := path.read_text(encoding="utf-8").strip()):
        raise InputError(
            f"{path}: expected USER:PASSWORD. Remove the file, and the next `hallmark up` makes another."
        )
    return text
