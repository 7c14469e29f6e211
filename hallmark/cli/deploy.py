"""`hallmark deploy`: pool, deployments and automations on a server."""

from __future__ import annotations

from hallmark.cli.terminal import home
from hallmark.progress import say


def deploy() -> None:
    """Set up pool, deployments and automations on the server at PREFECT_API_URL, or on this home's server."""
    from hallmark.workstation import setup
    from hallmark.workstation.background import reachable_server

    for line in setup.set_up(home(), reachable_server(home())):
        say(line)
