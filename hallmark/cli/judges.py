"""`hallmark judges`: who can judge."""

from __future__ import annotations

import typer
from rich.text import Text

from hallmark.cli.terminal import Json, emit, out

app = typer.Typer(no_args_is_help=True, help="Judges: list.")


@app.callback()
def _judges() -> None:
    """Judges: list."""


@app.command("list")
def list_judges(json: Json = False) -> None:
    """List the installed judges: fingerprint, the package that brings each, what it does."""
    from judges import list_judges as installed

    found = installed()
    if json:
        emit([info.model_dump() for info in found])
        return
    for info in found:
        out.print(Text(info.judge, "bold"), Text(f"({info.package})", "dim"))
        if info.error:
            out.print(Text(f"  cannot be used: {info.error}", "red"), soft_wrap=True)
            continue
        out.print(f"  {info.description}", markup=False, soft_wrap=True)
        out.print(Text(f"  fingerprint {info.fingerprint}", "dim"), soft_wrap=True)
        if info.libraries:
            out.print(
                Text(
                    "  with " + ", ".join(f"{name} {version}" for name, version in info.libraries.items()),
                    "dim",
                ),
                soft_wrap=True,
            )
