"""`hallmark judges`, `hallmark rejudge`: who judges, and recorded predictions judged again."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from hallmark.cli.terminal import Json, emit, out

judges = typer.Typer(no_args_is_help=True, help="Judges: list.")


@judges.callback()
def _judges() -> None:
    """Judges: list."""


@judges.command("list")
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


def rejudge(
    run: Annotated[str, typer.Argument(help="Run id, or a unique beginning of one.")],
    judge: Annotated[
        str, typer.Option("--judge", help="Judge as name@vN; `hallmark judges list` shows them.")
    ],
    json: Json = False,
) -> None:
    """Judge a finished run's predictions by another judge, as a new run; nothing is predicted anew."""
    from experiments.rejudging import rejudge as judge_again
    from experiments.workspace import open_workspace
    from hallmark.cli.run_display import run_document, show_run

    workspace = open_workspace()
    again = judge_again(run, judge, workspace)
    if json:
        emit(run_document(workspace.registry, again.run_id, reused=again.reused))
    else:
        show_run(workspace.registry, again.run_id, reused=again.reused)
