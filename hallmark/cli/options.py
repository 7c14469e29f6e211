"""Options made from the fields of the configuration, where type, bounds, default and help are written."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Callable
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from rich.markup import escape

from core.errors import InputError
from core.judge_reference import parse_judge
from hallmark.cli import completing

Command = TypeVar("Command", bound=Callable[..., None])


class Option(NamedTuple):
    """How a setting is typed on the command line.

    Attributes:
        flags: as Typer takes them.
        fields: dotted names of the fields that it sets; the first one explains it.
        beside: a field that a configuration must have too, for this to be of use.
    """

    flags: tuple[str, ...]
    fields: tuple[str, ...]
    beside: str | None = None

    @property
    def parameter(self) -> str:
        """The name under which a command receives it."""
        return self.fields[0].replace(".", "_")

    def suits(self, kind: type[BaseModel]) -> bool:
        """Whether a configuration has use for it."""
        return has_field(kind, self.fields[0]) and (self.beside is None or has_field(kind, self.beside))


OPTIONS = (
    Option(("--base-model", "-m"), ("base_model",)),
    Option(("--dataset", "-d"), ("dataset",)),
    Option(("--train-dataset",), ("train.dataset",)),
    Option(("--model-name", "-n"), ("model_name",)),
    Option(("--method",), ("train.method",)),
    Option(("--steps",), ("train.steps",)),
    Option(("--learning-rate",), ("train.learning_rate",)),
    Option(("--seed",), ("train.seed",)),
    Option(("--judge",), ("judge",)),
    Option(("--system",), ("prompt.system",)),
    Option(("--instruction",), ("prompt.instruction",)),
    Option(("--engine",), ("generation.engine",)),
    Option(("--endpoint",), ("generation.endpoint",), beside="model"),
    Option(("--max-new-tokens",), ("generation.max_new_tokens",)),
    Option(("--samples",), ("generation.samples",)),
    Option(("--temperature",), ("generation.temperature",)),
    Option(("--batch-size",), ("generation.batch_size",)),
    Option(("--threads",), ("generation.threads", "train.threads")),
    Option(("--limit",), ("limit_items",)),
    Option(("--promote/--no-promote",), ("promote",)),
    Option(("--reuse-baseline/--no-reuse-baseline",), ("reuse_baseline",)),
    Option(("--reuse/--no-reuse",), ("reuse",)),
    Option(("--fail-unless-promoted",), ("fail_unless_promoted",)),
)
"""The settings that have an option of their own; every other one is set by `--set`."""

COMPLETED = {
    "base_model": completing.completes(completing.models),
    "dataset": completing.completes(completing.datasets),
    "train.dataset": completing.completes(completing.datasets),
    "model_name": completing.completes(completing.model_names),
    "judge": completing.completes(completing.judges),
}
"""What the shell completes of a setting."""

Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="Any other setting, as in generation.dtype=bfloat16. Repeatable."
    ),
]
SuiteFile = Annotated[
    str | None,
    typer.Option(
        "--suite",
        metavar="FILE",
        help="TOML file of requirements and limits, all of which must hold; it names the datasets itself.",
    ),
]
JudgeArguments = Annotated[
    list[str] | None,
    typer.Option(
        "--judge-arg",
        metavar="NAME=VALUE",
        help="A parameter of --judge, as in pattern='[0-9]+'. Repeatable.",
    ),
]
ConfigFile = Annotated[
    str | None,
    typer.Option("--config", "-c", metavar="FILE", help="TOML file with any setting; options win over it."),
]


def with_settings(kind: type[BaseModel]) -> Callable[[Command], Command]:
    """Give a command an option for each setting of a configuration, which it receives as `**options`.

    The command itself is not wrapped: only the signature that Typer reads is extended, before its `others`.

    Args:
        kind: the class of the configuration.

    Example:
        >>> @with_settings(EvaluateConfig)
        ... def evaluate(model: str, others: Settings = None, **options: Any) -> None:
        ...     wanted = configured(EvaluateConfig, None, settings(EvaluateConfig, options, others))
    """

    def extend(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        own = [
            each.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for each in signature.parameters.values()
            if each.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        made = [_parameter(kind, each) for each in _options_of(kind)]
        if has_field(kind, "judge"):
            made.append(_keyword("judge_arg", JudgeArguments))
        place = list(signature.parameters).index("others")  # --set stands behind what it completes
        ordered = [*own[:place], *made, *own[place:]]
        command.__signature__ = signature.replace(parameters=ordered)  # type: ignore[attr-defined]
        return command

    return extend


def _parameter(kind: type[BaseModel], made: Option) -> inspect.Parameter:
    name = made.fields[0]
    annotation: Any = Annotated[option_type(field_of(kind, name)) | None, option(kind, name, *made.flags)]
    return _keyword(made.parameter, annotation)


def _keyword(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def settings(
    kind: type[BaseModel], options: dict[str, Any], others: list[str] | None = None
) -> dict[str, Any]:
    """What was given on the command line, as dotted names to values.

    Args:
        kind: the class of the configuration.
        options: what a command received.
        others: NAME=VALUE pairs, which win.

    Raises:
        InputError: a pair is not of that form, or a parameter is for a judge that is not named.
    """
    given = {
        field: options.get(each.parameter)
        for each in _options_of(kind)
        for field in each.fields
        if has_field(kind, field)
    }
    if arguments := options.get("judge_arg"):
        given["judge"] = judge_with(given["judge"], arguments)
    return {**given, **parse_settings(others)}


def judge_with(judge: str | None, arguments: list[str] | None) -> str | None:
    """The judge of `--judge` with the parameters of `--judge-arg`, which win over those in its reference.

    Raises:
        InputError: a parameter is not NAME=VALUE, or there is no `--judge` that it could be for.
    """
    if not arguments:
        return judge
    if judge is None:
        raise InputError(f"--judge-arg {arguments[0]}: of which judge? Name it: --judge NAME@vN")
    given = parse_settings(arguments, "--judge-arg", "pattern='[0-9]+'")
    try:
        parsed = parse_judge(judge)
        return str(parse_judge({**parsed.parameters, **given, "name": parsed.versioned}))
    except ValueError as error:
        raise InputError(str(error)) from None


def parse_settings(
    pairs: list[str] | None, flag: str = "--set", example: str = "train.batch_size=16"
) -> dict[str, Any]:
    """NAME=VALUE pairs; values are TOML where they parse as TOML, else text.

    Args:
        pairs: as they were typed.
        flag: the option that they were given to, for errors.
        example: what they look like there.

    Raises:
        InputError: a pair is not of that form.
    """
    values: dict[str, Any] = {}
    for pair in pairs or []:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise InputError(f"{flag} {pair}: expected NAME=VALUE, as in {example}")
        try:
            values[name] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            values[name] = text
    return values


def option(kind: type[BaseModel], name: str, *flags: str) -> Any:
    """The Typer option of a field, with its description, its choices and its default.

    Args:
        kind: the class of the configuration.
        name: the field, as in train.steps.
        flags: as Typer takes them.
    """
    field = field_of(kind, name)
    default = field.get_default()
    shown = "" if default is None else str(default)
    if isinstance(default, bool):
        shown = flags[0].split("/")[0 if default else -1].strip("-") if "/" in flags[0] else ""
    metavar = (
        "|".join(("NUMBER", *words(field)) if bounded(field) and words(field) else choices(field)) or None
    )
    text = f"{field.description} [default: {shown}]" if shown else str(field.description)
    completion = completing.words(*known) if (known := words(field)) else COMPLETED.get(name)
    return typer.Option(
        *flags, metavar=metavar, help=escape(text), show_default=False, autocompletion=completion
    )


def option_type(field: FieldInfo) -> Any:
    """What Typer converts a field's text to; pydantic checks bounds and choices, with everything else, at
    once.
    """
    parts = _parts(field)
    if words(field) or (isinstance(parts[0], type) and issubclass(parts[0], str)):
        return str
    return get_args(parts[0])[0] if get_origin(parts[0]) is Annotated else parts[0]


def choices(field: FieldInfo) -> tuple[str, ...]:
    """The values of a field that may only have some."""
    return () if bounded(field) else words(field)


def words(field: FieldInfo) -> tuple[str, ...]:
    """The words that a field may be, perhaps beside numbers; or those of which a list of them is made."""
    parts = [each for part in _parts(field) for each in (part, *get_args(part))]
    return next((get_args(part) for part in parts if get_origin(part) is Literal), ())


def bounded(field: FieldInfo) -> list[Any]:
    """The bounds of the numbers that a field may be."""
    within = [each for part in _parts(field) if get_origin(part) is Annotated for each in get_args(part)[1:]]
    bounds = [*field.metadata, *(bound for each in within for bound in getattr(each, "metadata", [each]))]
    return [bound for bound in bounds if type(bound).__name__ in ("Ge", "Gt", "Le", "Lt")]


def _parts(field: FieldInfo) -> tuple[Any, ...]:
    """The types that a field may have beside None."""
    parts = get_args(field.annotation) if get_origin(field.annotation) in (Union, UnionType) else ()
    return tuple(part for part in parts if part is not type(None)) or (field.annotation,)


def field_of(kind: type[BaseModel], name: str) -> FieldInfo:
    """A field by its dotted name, as in train.steps."""
    first, _, rest = name.partition(".")
    field = kind.model_fields[first]
    return field_of(option_type(field), rest) if rest else field


def has_field(kind: type[BaseModel], name: str) -> bool:
    """Whether a configuration has a field."""
    try:
        field_of(kind, name)
    except KeyError:
        return False
    return True


def is_model(field: FieldInfo) -> bool:
    """Whether a field is a table of settings of its own."""
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


@cache
def _options_of(kind: type[BaseModel]) -> tuple[Option, ...]:
    return tuple(each for each in OPTIONS if each.suits(kind))
