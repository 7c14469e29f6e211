"""What the page of a deployment asks for: the settings that people change first, and the others on demand.

Prefect draws its form from the JSON schema of a flow's parameters: a heading for each property, a card for
each object, buttons for each `anyOf`. So a setting that may stay open is drawn without `null`, as an empty
field and not as the word None, and a group of settings is drawn as a choice between nothing and all of them.

A form need not show everything that may be given, as by `prefect deployment run --param config=...`. What is
allowed stands whole under `then`, which the server checks and no form draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema

from experiments.config import merged
from flows.words import ADVANCED_HELP, AS_USUAL, CHOOSE, SHORT, TITLES

ADVANCED = "advanced"
"""Where the form puts what is below the first settings: under the names that they always have."""

NOTHING: Mapping[str, Any] = MappingProxyType({})

Schema = dict[str, Any]

DRAWN = ("type", "enum", "const", "format", "default", "items", "title", "description")
"""What a form goes by. Bounds are checked by the server."""
WORDS_ONLY = ("title", "description", "default")
"""What checks nothing."""


class Form:
    """How the form of a parameter looks, for its annotation.

    Args:
        kind: class of the configuration.
        first: dotted names of the settings that come first, in order; the others are below *advanced*.
            Without any, the parameter is itself a group that is drawn on demand.
        empty: what an empty form is read as.

    Example:
        >>> def evaluate(config: Annotated[EvaluateConfig, Form(EvaluateConfig, "model", "dataset")]): ...
    """

    def __init__(self, kind: type[BaseModel], *first: str, empty: Mapping[str, Any] | None = NOTHING) -> None:
        self.kind = kind
        self.first = first
        self.empty = empty

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.read, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> Schema:
        del schema, handler
        return form_schema(self.kind, self.first) if self.first else group_schema(self.kind)

    def read(self, values: Any) -> Any:
        """What was filled in, under the names of the settings: those below *advanced* win over the others."""
        if values == {}:
            return None if self.empty is None else dict(self.empty)
        if not isinstance(values, Mapping) or ADVANCED not in values:
            return values
        others = {name: value for name, value in values.items() if name != ADVANCED}
        return merged(others, values[ADVANCED] or {})


def asked(default: Any, title: str = "Settings") -> Any:
    """The default of a parameter, and its heading. A form shows the defaults of settings, and nothing for
    what is open.
    """
    shown: Any = default if isinstance(default, str | int) else {}
    return Field(default=default, json_schema_extra={"title": title, "default": shown})


def open_text(pattern: str = "") -> tuple[Any, ...]:
    """Annotations of a text that may stay open: an empty field is nothing.

    Args:
        pattern: of what it may be else.
    """
    schema = {"type": "string", **({"pattern": f"^$|{pattern}"} if pattern else {})}
    return BeforeValidator(lambda value: value or None), WithJsonSchema(schema)


def form_schema(kind: type[BaseModel], first: tuple[str, ...]) -> Schema:
    """The form of a configuration.

    Args:
        kind: its class.
        first: dotted names of the settings that come first, in order.
    """
    whole = _inlined(kind.model_json_schema())
    allowed = _without(whole, WORDS_ONLY)
    below = {
        name: value
        for name, value in allowed.items()
        if name in ("type", "properties", "additionalProperties")
    }
    allowed = {**allowed, "properties": {**allowed["properties"], ADVANCED: below}}
    shown: Schema = {"type": "object", "properties": {}}
    for dotted in first:
        _put(shown, dotted, whole)
    others = _drawn(whole, leave_out=first)
    return {
        **shown,
        "properties": {
            **shown["properties"],
            ADVANCED: _group("Advanced", ADVANCED_HELP, others, len(shown["properties"])),
        },
        "if": True,
        "then": allowed,
    }


def group_schema(kind: type[BaseModel]) -> Schema:
    """The form of a parameter that is drawn on demand, and everything that it may be."""
    whole = _inlined(kind.model_json_schema())
    description = whole.get("description", "")
    empty = {"type": "object", "maxProperties": 0}
    return {
        **_group(TITLES.get(kind.__name__, kind.__name__), description, _drawn(whole)),
        "if": {"anyOf": [empty, {"type": "null"}]},
        "else": _without(whole, WORDS_ONLY),
    }


def _put(form: Schema, dotted: str, whole: Schema) -> None:
    """Draw one setting where its dotted name says, behind what is drawn already."""
    name, _, rest = dotted.rpartition(".")
    place, schema, path = form, whole, ""
    for part in name.split(".") if name else []:
        path = f"{path}.{part}".lstrip(".")
        card = {"type": "object", "title": TITLES.get(path, _title(part)), "properties": {}}
        place["properties"].setdefault(part, {**card, "position": len(place["properties"])})
        place, schema = place["properties"][part], schema["properties"][part]
    position = len(place["properties"])
    place["properties"][rest] = {**_setting(schema["properties"][rest], dotted), "position": position}


def _drawn(whole: Schema, prefix: str = "", leave_out: tuple[str, ...] = ()) -> Schema:
    """The settings of an object: single ones first, then the groups, each as the class has them."""
    single: dict[str, Schema] = {}
    groups: dict[str, Schema] = {}
    for name, schema in whole["properties"].items():
        dotted = f"{prefix}{name}"
        if dotted in leave_out:
            continue
        if "properties" in schema:
            inner = _drawn(schema, f"{dotted}.", leave_out)
            groups[name] = _group(TITLES.get(dotted, _title(name)), SHORT.get(dotted, ""), inner)
        else:
            single[name] = _setting(schema, dotted)
    properties = {
        name: {**schema, "position": position}
        for position, (name, schema) in enumerate({**single, **groups}.items())
    }
    return {"type": "object", "properties": properties}


def _setting(schema: Schema, dotted: str) -> Schema:
    """One setting: what it may be apart from open, with a title and a description."""
    choices = [each for each in schema.get("anyOf", []) if each.get("type") != "null"]
    if len(choices) == 1:
        schema = {**schema, **choices[0]}
    drawn = {name: value for name, value in schema.items() if name in DRAWN}
    if len(choices) > 1:
        drawn["anyOf"] = [{**_only_drawn(each), "title": _choice(each)} for each in choices]
    if isinstance(items := drawn.get("items"), dict) and "properties" in items:
        drawn["items"] = _drawn(items, f"{dotted}.")
    if drawn.get("default", ...) is None:
        del drawn["default"]
    name = dotted.rpartition(".")[2]
    words = {"title": TITLES.get(dotted, _title(name)), "description": SHORT.get(dotted)}
    return {**drawn, **{key: value for key, value in words.items() if value}}


def _group(title: str, description: str, inside: Schema, position: int = 0) -> Schema:
    """Settings that are only drawn when somebody wants to choose them."""
    usual = {"title": AS_USUAL, "type": "object", "properties": {}}
    return {
        "title": title,
        "description": description,
        "position": position,
        "anyOf": [usual, {"title": CHOOSE, **inside}],
    }


def _choice(schema: Schema) -> str:
    return str(schema.get("const") or {"integer": "number"}.get(schema["type"], schema["type"]))


def _only_drawn(schema: Schema) -> Schema:
    """A constant as a choice of one, since a form does not let a constant be chosen."""
    drawn = {name: value for name, value in schema.items() if name in DRAWN}
    if (constant := drawn.pop("const", None)) is not None:
        drawn |= {"enum": [constant], "default": constant}
    return drawn


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _inlined(schema: Schema) -> Schema:
    """A schema with every definition in its place; none of ours holds itself."""
    definitions = schema.get("$defs", {})

    def inline(value: Any) -> Any:
        if isinstance(value, list):
            return [inline(each) for each in value]
        if not isinstance(value, dict):
            return value
        if reference := value.get("$ref"):
            beside = {name: each for name, each in value.items() if name != "$ref"}
            return inline({**definitions[reference.rpartition("/")[2]], **beside})
        return {name: inline(each) for name, each in value.items() if name != "$defs"}

    return dict(inline(schema))


def _without(schema: Any, names: tuple[str, ...]) -> Any:
    """A schema without some of its keywords. The names of properties are no keywords."""
    if isinstance(schema, list):
        return [_without(each, names) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: {key: _without(each, names) for key, each in value.items()}
        if name == "properties"
        else _without(value, names)
        for name, value in schema.items()
        if name not in names
    }
