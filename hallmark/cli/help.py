"""How help looks: options and commands in two columns that fit 80 characters."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import typer
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

from hallmark.console import plain_console

LEFT = 26
"""Columns of flags and names; a longer one stands on a line of its own."""
WIDEST = 110
"""Columns of a help text on a wider terminal."""

TYPES = {"str": "TEXT", "int": "NUMBER", "float": "NUMBER", "bool": "", "path": "PATH"}

Row = tuple[str, Text]


class Command(TyperCommand):
    """A command whose help fits the terminal."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """As it is typed: RUN, [MODEL]."""
        return ["[OPTIONS]", *_arguments_of(self, ctx)]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help text."""
        formatter.write(_help_of(self, ctx))


class CommandGroup(TyperGroup):
    """A group of commands whose help fits the terminal."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Without a command: the help, and 2."""
        if not args and self.no_args_is_help and not ctx.resilient_parsing:
            typer.echo(ctx.get_help())
            raise typer.Exit(2)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help text."""
        formatter.write(_help_of(self, ctx))


class Commands(typer.Typer):
    """Typer with these two classes.

    Args:
        options: of `typer.Typer`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(cls=CommandGroup, **options)

    def command(self, name: str | None = None, **options: Any) -> Callable[[Any], Any]:
        """As Typer's."""
        return super().command(name, **{"cls": Command, **options})


def _help_of(command: TyperCommand | TyperGroup, context: Any) -> str:
    console = plain_console()
    console.width = min(console.width, WIDEST)
    with console.capture() as written:
        console.print(Text(command.get_usage(context), "bold"))
        for paragraph in _paragraphs(command.help or ""):
            console.print()
            console.print(paragraph)
        for title, rows in _sections(command, context):
            console.print()
            console.print(Text(title, "bold"))
            console.print(Padding(_two_columns(rows), (0, 0, 0, 2)))
    return "\n".join(line.rstrip() for line in written.get().splitlines()) + "\n"


def _sections(command: TyperCommand | TyperGroup, context: Any) -> Iterator[tuple[str, list[Row]]]:
    """Titles with their rows: arguments, options, then the commands by their panels."""
    shown = [each for each in command.get_params(context) if not getattr(each, "hidden", False)]
    for title, kind in (("Arguments", "argument"), ("Options", "option")):
        if rows := [_explained(each, context) for each in shown if each.param_type_name == kind]:
            yield title, rows
    panels: dict[str, list[Row]] = {}
    commands = command.commands if isinstance(command, TyperGroup) else {}
    for name, found in commands.items():
        panel = getattr(found, "rich_help_panel", None)
        rows = panels.setdefault(panel if isinstance(panel, str) else "Commands", [])
        rows.append((name, next(_paragraphs(found.help or ""), Text())))
    yield from panels.items()


def _explained(parameter: Any, context: Any) -> Row:
    """What is typed, and what it means, with its default and its bounds."""
    left, right = parameter.get_help_record(context)
    text = parameter.help or ""
    extra = re.sub(r"(\S+)<=x<=(\S+?)(?=[;\]])", r"\1 to \2", right.removeprefix(text))
    extra = re.sub(r"x>=", "at least ", re.sub(r"x<=", "at most ", extra))
    if parameter.param_type_name == "argument":
        left = parameter.metavar or parameter.name.upper()
    else:
        left = re.sub(
            r" ?<(\w+)[^>]*>", lambda found: f" {TYPES.get(found[1], found[1].upper())}".rstrip(), left
        )
        left = left if left.startswith("-") and left[1:2] != "-" else f"    {left}"
    meaning = Text.from_markup(" ".join(text.split()), emoji=False)
    return left, meaning.append(f" {extra.strip()}" if extra.strip() else "", "dim")


def _two_columns(rows: Sequence[Row]) -> Group:
    width = max((len(left) for left, _ in rows if len(left) <= LEFT), default=LEFT)
    parts: list[Table | Text] = []
    for left, right in rows:
        if len(left) > width:
            parts.append(Text(left, "cyan"))
        line = Table.grid(padding=(0, 2, 0, 0))
        line.add_column(width=width)
        line.add_column(overflow="fold")
        line.add_row(Text(left, "cyan") if len(left) <= width else "", right)
        parts.append(line)
    return Group(*parts)


def _paragraphs(text: str) -> Iterator[Text]:
    """The paragraphs of a docstring, each in one line."""
    for paragraph in inspect.cleandoc(text).partition("\f")[0].split("\n\n"):
        if paragraph.strip():
            yield Text(" ".join(paragraph.split()))


def _arguments_of(command: TyperCommand, context: Any) -> Iterator[str]:
    for each in command.get_params(context):
        if each.param_type_name == "argument":
            name = (each.metavar or str(each.name).upper()) + ("..." if each.nargs != 1 else "")
            yield name if each.required else f"[{name}]"
