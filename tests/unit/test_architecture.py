"""The house as docs/architecture.md describes it: its rooms, its rule, its drawing."""

from __future__ import annotations

import runpy
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import grimp
import pytest

pytestmark = pytest.mark.unit

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((PROJECT / "pyproject.toml").read_text())


def test_every_package_that_is_installed_is_a_room_with_a_floor(pyproject: dict[str, Any]) -> None:
    tools = pyproject["tool"]
    climbing, circles = tools["importlinter"]["contracts"]
    rooms = {room.strip() for layer in climbing["layers"] for room in layer.split("|")}
    assert rooms == set(tools["importlinter"]["root_packages"]) == set(circles["ancestors"])
    assert (
        rooms
        == set(tools["hatch"]["build"]["targets"]["wheel"]["packages"])
        == set(tools["mypy"]["packages"])
    )


def test_the_import_rule_has_no_exceptions(pyproject: dict[str, Any]) -> None:
    rule = pyproject["tool"]["importlinter"]
    assert not rule.get("exclude_type_checking_imports", False)
    assert [
        name for contract in rule["contracts"] for name in contract if "ignore" in name or "skip" in name
    ] == []


def test_no_files_import_each_other_in_a_circle(pyproject: dict[str, Any]) -> None:
    graph = grimp.build_graph(*pyproject["tool"]["importlinter"]["root_packages"], cache_dir=None)
    files = {file: graph.find_modules_directly_imported_by(file) for file in graph.modules}
    TopologicalSorter(files).prepare()  # raises CycleError, which names them


def test_the_drawing_shows_the_imports_as_they_are() -> None:
    script = runpy.run_path(str(PROJECT / "docs" / "architecture.py"))
    assert script["DRAWING"].read_text() == script["drawing"](), "draw them again: make architecture"
