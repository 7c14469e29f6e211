"""`hallmark judges`: who can judge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from hallmark.cli.terminal import Json, emit, out

if TYPE_CHECKING:
    from judges import JudgeInfo

app = typer.Typer(no_args_is_help=True, help="Judges: list, show.")


@app.callback()
def _judges() -> None:
    """Judges: list, show."""


@app.command("list")
def list_judges(json: Json = False) -> None:
    """List the installed judges: fingerprint, the package that brings each, what it does."""
    from judges import list_judges as installed

    found = installed()
    if json:
        emit([info.model_dump() for info in found])
        return
    for info in found:
        _show(info)


@app.command("show")
def show_judge(
    judge: Annotated[str, typer.Argument(help="NAME@vN, or a NAME for all its versions.")], json: Json = False
) -> None:
    """Show one judge: what it does, in full, and its parameters."""
    from judges import describe_judges

    found = describe_judges(judge)
    if json:
        emit([info.model_dump() for info in found])
        return
    for info in found:
        _show(info)
        out.print(Text("\n" + info.specification), soft_wrap=True)


def _show(info: JudgeInfo) -> None:
    out.print(Text(info.judge, "bold"), Text(f"({info.package})", "dim"))
    if info.error:
        out.print(Text(f"  cannot be used: {info.error}", "red"), soft_wrap=True)
        return
    out.print(f"  {info.description}", markup=False, soft_wrap=True)
    for each in info.parameters:
        default = "must be given" if each.required else f"default {each.default!r}"
        out.print(f"  {each.name}: {each.type}, {default}. {each.help}", markup=False, soft_wrap=True)
    out.print(Text(f"  fingerprint {info.fingerprint}", "dim"), soft_wrap=True)
    if info.libraries:
        libraries = ", ".join(f"{name} {version}" for name, version in info.libraries.items())
        out.print(Text(f"  with {libraries}", "dim"), soft_wrap=True)
