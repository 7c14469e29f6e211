"""`hallmark status`: what runs."""

from __future__ import annotations

import typer

from hallmark.cli.terminal import Json, emit, home, out
from hallmark.progress import say


def status(json: Json = False) -> None:
    """Show whether this home's server and worker are running, and where. Exits with 4 when one is not."""
    from hallmark.workstation.background import other_server
    from hallmark.workstation.services import SERVER, WORKER

    found = {service.name: service.holder(home()) for service in (SERVER, WORKER)}
    if json:
        emit({name: holder.model_dump(mode="json") if holder else None for name, holder in found.items()})
    else:
        for name, holder in found.items():
            where = f" {holder.address}" if holder and holder.address else ""
            state = (
                f"process {holder.pid}, since {holder.since.astimezone():%Y-%m-%d %H:%M:%S}{where}"
                if holder
                else "not running"
            )
            out.print(f"{name:<7} {state}", markup=False, soft_wrap=True)
    if other := other_server(home()):
        say(other)
    if None in found.values():
        raise typer.Exit(4)
