"""Write what the code knows best, `make docs`: the tables of docs/reference.md, between their markers, and
docs/commands.md, a page of the site that is not kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import typer
import typer.main
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from rich.markup import render
from typer.core import TyperArgument, TyperCommand, TyperGroup

from core.settings import Settings
from evaluation.suite import Limit, Requirement
from experiments.config import ExperimentConfig
from hallmark.cli.app import app
from hallmark.cli.options import OPTIONS, bounded, choices, is_model, option_type, words

PAGE = Path(__file__).parent / "reference.md"
COMMANDS = PAGE.with_name("commands.md")
COMMANDS_HEAD = """# Commands

Every command with its arguments and options, as `-h` prints them. [The reference](reference.md#commands) has
the commands in one table, and exit codes, settings and files.
"""

BOUNDS = {"Ge": "at least", "Gt": "above", "Le": "at most", "Lt": "below"}
BOUND_OF = {"Ge": "ge", "Gt": "gt", "Le": "le", "Lt": "lt"}


def table(columns: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def commands(group: TyperGroup, path: str = "hallmark") -> Iterator[tuple[str, str]]:
    """Each command as it is typed, and what it does."""
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, f"{path} {name}")
        else:
            words = [path, name, *usage(command)]
            yield cell(f"`{' '.join(words)}`"), cell((command.help or "").partition("\n\n")[0])


def usage(command: TyperCommand) -> Iterator[str]:
    """Its arguments, those that may be left out in brackets, and the options that it needs."""
    for parameter in command.params:
        name = parameter.metavar or str(parameter.name).upper()
        if isinstance(parameter, TyperArgument):
            yield name if parameter.required else f"[{name}]"
        elif parameter.required:
            yield f"{parameter.opts[0]} {'TEXT' if parameter.metavar is None else name}"


def sections(group: TyperGroup, path: str = "hallmark") -> Iterator[str]:
    """A section for each command, those of a group below the group's own."""
    for name, command in group.commands.items():
        own = f"{path} {name}"
        yield f"{'#' * own.count(' ')}# {own}"
        yield markdown(command.help or "")
        if isinstance(command, TyperGroup):
            yield from sections(command, own)
        else:
            takes = any(not isinstance(each, TyperArgument) for each in command.params)
            yield f"```text\n{' '.join([own, *usage(command), *(['[OPTIONS]'] if takes else [])])}\n```"
            yield from parameters(command)


def parameters(command: TyperCommand) -> Iterator[str]:
    """What a command takes: names, then what each means and what holds without it."""
    context = typer.Context(command)
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if record is None:
            continue
        about = str(getattr(parameter, "help", None) or "")
        extra = record[1].removeprefix(about) if record[1].startswith(about) else ""
        names = record[0]
        if isinstance(parameter, TyperArgument):
            names = parameter.metavar or str(parameter.name).upper()
        yield f"`{' '.join(names.split())}`\n:   {' '.join(f'{markdown(about)} {extra}'.split())}"


def markdown(text: str) -> str:
    """A help text without the terminal's markup, and without any for Markdown but code."""
    parts = re.split(r"(`[^`]*`)", render(text).plain.strip())
    return "".join(part if part[:1] == "`" else re.sub(r"([*<])", r"\\\1", part) for part in parts)


def cell(text: str) -> str:
    """A text as a table cell: one line, without the full stop of a single sentence."""
    line = " ".join(text.split()).replace("|", "\\|")
    return line if ". " in line else line.removesuffix(".")


def settings(kind: type[BaseModel], path: str = "") -> Iterator[tuple[str, ...]]:
    """Each setting: name, option, default, what is allowed, meaning."""
    for name, field in kind.model_fields.items():
        if is_model(field):
            yield from settings(option_type(field), f"{path}{name}.")
        else:
            dotted = f"{path}{name}"
            about = default(field), allowed(field), cell(str(field.description))
            yield f"`{dotted}`", option(dotted), *about


def fields(kind: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    """Each field of an entry of a list: name, default, what is allowed, meaning."""
    return ((name, *about) for name, _, *about in settings(kind))


def option(name: str) -> str:
    """The option that sets a setting, where it has one of its own."""
    flags = next((each.flags for each in OPTIONS if name in each.fields), ())
    return ", ".join(f"`{flag.replace('/', '`, `')}`" for flag in flags)


def default(field: FieldInfo) -> str:
    """The default as TOML writes it; nothing where there is none: the meaning says what holds then."""
    if field.is_required():
        return "required"
    value: Any = field.get_default(call_default_factory=True)
    if value is None:
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if value in ([], {}):
        return ""
    if isinstance(value, tuple):
        return " ".join(f"`{each}`" for each in value)
    return f"`{value}`" if isinstance(value, str | Path | date) else number(value)


def allowed(field: FieldInfo) -> str:
    """The choices or the bounds of a setting."""
    if options := choices(field):
        return ", ".join(f"`{each}`" for each in options)
    bounds = {type(each).__name__: each for each in bounded(field)}
    low, high = bounds.get("Ge"), bounds.get("Le")
    if low is not None and high is not None:
        return ", ".join((f"{number(low.ge)} to {number(high.le)}", *(f"`{each}`" for each in words(field))))
    found = [
        f"{BOUNDS[kind]} {number(getattr(bound, BOUND_OF[kind]))}"
        for kind, bound in bounds.items()
        if kind in BOUNDS
    ]
    return ", ".join(found)


def number(value: float) -> str:
    """A bound as a person reads it."""
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def environment() -> Iterator[tuple[str, ...]]:
    """Each variable that says where things are: name, default, meaning."""
    prefix = Settings.model_config["env_prefix"]
    for name, field in Settings.model_fields.items():
        yield f"`{prefix}{name.upper()}`", default(field), cell(str(field.description))


def root() -> TyperGroup:
    """The command line."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)  # noqa: S101 - there is more than one command
    return group


def tables() -> dict[str, str]:
    """The generated tables by the names of their markers."""
    return {
        "commands": table(("command", "what it does"), commands(root())),
        "settings": table(("name", "option", "default", "allowed", "meaning"), settings(ExperimentConfig)),
        "require": table(("name", "default", "allowed", "meaning"), fields(Requirement)),
        "limit": table(("name", "default", "allowed", "meaning"), fields(Limit)),
        "environment": table(("variable", "default", "meaning"), environment()),
    }


def page(text: str) -> str:
    """The page with the tables as the code has them now."""
    for name, made in tables().items():
        between = re.compile(rf"(<!-- {name}: made by `make docs` -->\n).*?(<!-- end -->)", re.DOTALL)
        text, found = between.subn(lambda match, made=made: f"{match[1]}{made}\n{match[2]}", text)
        if found != 1:
            raise ValueError(f"{PAGE}: expected one pair of markers for {name}, found {found}")
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
    COMMANDS.write_text("\n\n".join([COMMANDS_HEAD.strip(), *sections(root())]) + "\n")
