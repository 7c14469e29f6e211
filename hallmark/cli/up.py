"""`hallmark up`: Prefect's server and the worker of this machine, in the background."""

from __future__ import annotations

import os
from pathlib import Path

from rich.text import Text

from hallmark.cli.terminal import Json, Port, emit, home, out
from hallmark.progress import err, say


def up(port: Port = 4200, json: Json = False) -> None:
    """Start the Prefect server and the worker in the background; set up pool, deployments and automations.

    Leaves alone what runs already; brings the rest up to date. Ends with the address of the UI.
    """
    from hallmark.workstation.background import start

    _show(home(), start(home(), port, say), json)


def _show(folder: Path, address: str, json: bool) -> None:
    from hallmark.workstation.prefect_environment import sign_in_file

    page, kept = address.removesuffix("/api"), sign_in_file(folder)
    given = "PREFECT_SERVER_API_AUTH_STRING" in os.environ
    if json:
        emit({"ui": page, "api": address, "sign_in": None if given else str(kept), "home": str(folder)})
        return
    err.print()
    out.print(f"[bold]Prefect UI[/]  {page}")
    where = "what PREFECT_SERVER_API_AUTH_STRING says" if given else f"the line in {kept}"
    out.print(f"[bold]sign-in[/]     {where}", soft_wrap=True)
    command = 'eval "$(hallmark env)"; prefect deployment run experiment/experiment --watch'
    out.print_line(Text.assemble(("in a shell", "bold"), f"  {command}"))
