"""`hallmark env`: the variables that point `prefect` at this home's server."""

from __future__ import annotations

import shlex

import typer

from core.errors import ResourceError
from hallmark.cli.terminal import home


def env() -> None:
    """Print the variables that point `prefect` at this home's server: eval "$(hallmark env)". Holds the
    password.
    """
    from hallmark.workstation.background import environment_without_choice
    from hallmark.workstation.prefect_environment import client_environment

    own = environment_without_choice()
    wanted = client_environment(home(), own)
    if "PREFECT_API_URL" not in wanted:
        raise ResourceError(f"no server is running in {home()}. Start it: hallmark up")
    for name in sorted(set(wanted) - set(own) | {"PREFECT_API_AUTH_STRING"}):
        typer.echo(f"export {name}={shlex.quote(wanted[name])}")
    typer.echo(f"export HALLMARK_HOME={shlex.quote(str(home()))}")
