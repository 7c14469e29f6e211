"""`hallmark server`: Prefect's server, in the foreground."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from hallmark.cli.terminal import Port, home

Host = Annotated[
    str,
    typer.Option(
        help="Address to listen on. Before you choose another than this machine's: docs/operate.md."
    ),
]


def server(host: Host = "127.0.0.1", port: Port = 4200) -> None:
    """Run the Prefect server in the foreground, for a service manager. Asks for a sign-in; its state is in
    the home.
    """
    from hallmark.workstation.prefect_environment import api_address, server_environment
    from hallmark.workstation.services import SERVER

    environment = server_environment(home(), host, port, os.environ)
    SERVER.become(
        home(),
        "python",
        ["-m", "hallmark.workstation.server_process", "server", "start", "--host", host, "--port", str(port)],
        environment,
        api_address(host, port),
    )
