"""`hallmark judges`: who can judge."""

from __future__ import annotations

import sys
from json import loads
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from core.errors import InputError
from hallmark.cli.completing import completes, judges
from hallmark.cli.help import Commands
from hallmark.cli.options import JudgeArguments, judge_with
from hallmark.cli.terminal import Json, emit, out

if TYPE_CHECKING:
    from judges import JudgeInfo

app = Commands(no_args_is_help=True, help="Judges: list, show, try.")


@app.callback()
def _judges() -> None:
    """Judges: list, show, try."""


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
    judge: Annotated[
        str, typer.Argument(help="NAME@vN, or a NAME for all its versions.", autocompletion=completes(judges))
    ],
    json: Json = False,
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


@app.command("try")
def try_judge(
    judge: Annotated[
        str,
        typer.Argument(
            help="NAME@vN, or NAME@vN{JSON} with its parameters.", autocompletion=completes(judges)
        ),
    ],
    text: Annotated[str, typer.Argument(help="What a model could have written; - reads standard input.")],
    reference: Annotated[
        list[str], typer.Option("--reference", "-r", help="The right answer. Repeatable: all are accepted.")
    ],
    judge_arg: JudgeArguments = None,
    metadata: Annotated[
        str | None, typer.Option(help="""The item's metadata, as in '{"options": ["Paris", "Rome"]}'.""")
    ] = None,
    json: Json = False,
) -> None:
    """Show what a judge says of one text: what it found, on which rung, the score and the reason."""
    from golden.lines import parse_line
    from golden.schema import Item
    from judges import judge_items, load_judge

    values = {"trace_id": "try", "prompt": "?", "final_answer": reference, "category": "try"}
    if metadata is not None:
        try:
            values["metadata"] = loads(metadata)
        except ValueError as error:
            raise InputError(f"--metadata: not JSON: {error}") from None
    item, used = parse_line(values, "--reference", Item), load_judge(judge_with(judge, judge_arg) or judge)
    written = sys.stdin.read() if text == "-" else text
    [score] = judge_items([item], {item.trace_id: written}, used)
    if json:
        emit(score.model_dump(exclude={"trace_id"}))
        return
    found = "no answer found" if score.extracted is None else f"found {score.extracted!r}"
    where = f" ({score.rung})" if score.rung else ""
    out.print(f"{score.score:g}  {score.reason}: {found}{where}", markup=False, soft_wrap=True)


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
