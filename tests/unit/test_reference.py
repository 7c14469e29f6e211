"""One source for each setting: the fields of the configuration. Options, help, reference and Python API
follow them.
"""

from __future__ import annotations

import ast
import inspect
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import typer.main
from pydantic import BaseModel
from rich.markup import render
from typer.core import TyperGroup

import hallmark
from experiments.config import EvaluateConfig, ExperimentConfig, TrainRunConfig
from hallmark import api
from hallmark.cli.app import app
from hallmark.cli.options import OPTIONS, field_of

pytestmark = pytest.mark.unit

PROJECT = Path(__file__).parents[2]
ROOMS = [path.parent for path in PROJECT.glob("*/__init__.py") if path.parent.name != "tests"]
COMMANDS = {
    "experiment": ExperimentConfig,
    "train": TrainRunConfig,
    "evaluate": EvaluateConfig,
    "baseline": EvaluateConfig,
}


def command(name: str) -> Any:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return group.commands[name]


def test_the_tables_of_the_reference_say_what_the_code_says() -> None:
    script = runpy.run_path(str(PROJECT / "docs" / "reference.py"))
    text = script["PAGE"].read_text()
    assert text == script["page"](text), "write them again: make docs"


def test_the_reference_names_every_variable_that_is_read() -> None:
    sources = "\n".join(path.read_text() for room in ROOMS for path in room.rglob("*.py"))
    read = set(re.findall(r"\bHALLMARK_[A-Z_]+\b", sources)) - {"HALLMARK_"}
    known = set(re.findall(r"\bHALLMARK_[A-Z_]+\b", (PROJECT / "docs" / "reference.md").read_text()))
    assert read <= known


@pytest.mark.parametrize(("name", "kind"), COMMANDS.items())
def test_an_option_has_the_description_and_the_default_of_its_field(name: str, kind: type[BaseModel]) -> None:
    parameters = {parameter.name: parameter for parameter in command(name).params}
    for option in OPTIONS:
        if not option.suits(kind):
            continue
        field, parameter = field_of(kind, option.fields[0]), parameters[option.parameter]
        shown = render(parameter.help).plain
        assert shown.startswith(str(field.description))
        if field.default is None:
            assert shown == field.description, "which says what holds then"
        elif not isinstance(field.default, bool):
            assert shown.endswith(f"[default: {field.default}]")
        assert parameter.default is None, "what was not given is left to the field"


@pytest.mark.parametrize(("name", "kind"), COMMANDS.items())
def test_the_keywords_of_the_python_api_are_the_fields(name: str, kind: type[BaseModel]) -> None:
    keywords = set(inspect.signature(getattr(api, name)).parameters) - {"config"}
    fields = {
        "base_model" if (name, field) == ("baseline", "model") else field for field in kind.model_fields
    }
    if "require" in fields:  # given together, as a suite
        fields = fields - {"require", "limit"} | {"suite"}
    assert keywords == fields


def test_every_field_names_its_default_so_that_editors_know_that_it_may_be_left_out() -> None:
    for room in ROOMS:
        for path in room.rglob("*.py"):
            calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
            fields = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Field"]
            assert not any(call.args for call in fields), path


def test_every_public_function_has_an_example() -> None:
    for name in api.__all__:
        assert "Example:" in (inspect.getdoc(getattr(hallmark, name)) or ""), name
