"""`hallmark worker`: the worker of this machine, in the foreground."""

from __future__ import annotations

import os
import platform
from typing import Annotated

import typer

from hallmark.cli.terminal import home
from hallmark.progress import say


def worker(
    deploy: Annotated[
        bool, typer.Option("--deploy/--no-deploy", help="Set up pool, deployments and automations first.")
    ] = True,
) -> None:
    """Run the worker of the pool `gpu` in the foreground, for a service manager. Waits for the server."""
    from hallmark.workstation import setup
    from hallmark.workstation.background import reachable_server
    from hallmark.workstation.prefect_environment import own_temporary_folder, remove_left_files
    from hallmark.workstation.services import WORKER

    environment = reachable_server(home(), patience=60.0)
    if deploy:
        for line in setup.set_up(home(), environment):
            say(line)
    name = f"{setup.POOL}@{platform.node()}"
    os.environ.update(environment)
    for line in setup.mark_dead_runs_crashed(name):
        say(line)
    remove_left_files(home())
    arguments = ["worker", "start", "--pool", setup.POOL, "--limit", "1", "--name", name]
    WORKER.become(home(), "prefect", arguments, {"TMPDIR": own_temporary_folder(home()), **environment})
