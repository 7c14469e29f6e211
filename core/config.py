"""What all configuration has in common: strict models, their errors as sentences, and TOML files."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import InputError
from core.suggestions import SUGGESTED, nearest

MODEL_NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"


class Config(BaseModel):
    """Base of all configuration: unknown keys, NaN and infinity are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Record(BaseModel):
    """Base of what is written to JSON: nothing unknown, no NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], values: dict[str, Any], source: str) -> Model:
    """Build a configuration model, turning pydantic's report into one sentence a problem.

    Args:
        model: the configuration class.
        values: raw values.
        source: where they came from (a file, "command line").

    Raises:
        InputError: names every bad field, its value and its bound.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = []
        for problem in error.errors():
            field = ".".join(str(part) for part in problem["loc"]) or "configuration"
            if problem["type"] == "extra_forbidden":
                problems.append(f"{field}: unknown setting{_meant(problem['loc'], model)}")
            elif problem["type"] == "value_error":  # of our own validators, whose sentences say it all
                problems.append(str(problem["ctx"]["error"]))
            else:
                problems.append(
                    f"{field}: {problem['msg']}, got {problem['input']!r}{_hint(problem['input'])}"
                )
        raise InputError(f"{source}: " + "; ".join(problems)) from None


def _meant(place: tuple[str | int, ...], model: type[BaseModel]) -> str:
    """Which setting an unknown one may be: one that is spelt like it there, or has its name elsewhere."""
    *parents, last = (str(part) for part in place if isinstance(part, str))
    known = dict(_settings(model))
    beside = [names for parent, names in known.items() if parent == ".".join(parents)]
    here = ".".join(str(part) for part in place[:-1])
    meant = [f"{here}.{name}".strip(".") for name in nearest(last, beside[0] if beside else ())]
    elsewhere = [f"{parent}.{last}".strip(".") for parent, names in known.items() if last in names]
    found = meant or elsewhere[:SUGGESTED]
    return f"; did you mean {' or '.join(found)}?" if found else ""


def _settings(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, list[str]]]:
    """The names of the settings of a configuration, by the dotted name of the table that they are in."""
    yield path, list(model.model_fields)
    for name, field in model.model_fields.items():
        for kind in _models_in(field.annotation):
            yield from _settings(kind, f"{path}.{name}".strip("."))


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def _hint(value: Any) -> str:
    """What to do about a table or a list that stayed text, since it is written as JSON."""
    if isinstance(value, str) and re.match(r'\s*(\[\s*)?\{\s*"', value):
        return '. Tables are written as in TOML: [{name = "value", number = 1}]'
    return ""


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML configuration file.

    Raises:
        InputError: missing, unreadable, or not TOML; names the line.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such configuration file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not valid TOML: {error}") from None
