"""What the documentation tells its readers to type exists."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.core import TyperGroup

from hallmark.cli.app import app
from tests.support.pages import PAGES, PROJECT, Block, blocks, commands

pytestmark = pytest.mark.unit

SERVE = ("server", "ui", "up", "worker")
"""Commands that go on, or leave something that does."""

TRAIN = ("experiment", "train", "reproduce")
"""Commands that take minutes: run on the tutorial's page alone."""

UsageError: Any = typer.BadParameter.__base__
ROOT: Any = typer.main.get_command(app)
EVERY = [block for page in PAGES for block in blocks(page)]


def check(arguments: list[str]) -> str | None:
    """What is wrong with a call of `hallmark`; None where nothing is. Nothing is run."""
    command, words, path = ROOT, list(arguments), "hallmark"
    while isinstance(command, TyperGroup):
        if not words or words[0].startswith("-"):
            return None  # hallmark --version
        name = words.pop(0)
        if name not in command.commands:
            return f"{path} has no command {name}"
        command, path = command.commands[name], f"{path} {name}"
    try:
        command.make_context(path, words)
    except UsageError as error:
        return f"{path}: {error.format_message()}"
    return None


def calls() -> Iterator[tuple[Block, list[str]]]:
    for block in EVERY:
        for arguments in commands(block):
            yield block, arguments


def test_every_command_of_every_page_exists_with_its_options() -> None:
    found = list(calls())
    assert len(found) > 100
    wrong = [f"{block.where}: {said}" for block, arguments in found if (said := check(arguments))]
    assert wrong == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("hallmark evalute tiny-base", "hallmark has no command evalute"),
        ("hallmark compare one", "Missing argument"),
        ("FOO=1 hallmark runs list --sinse 2d  # comment", "No such option"),
        ("cd x && .venv/bin/hallmark runs show a b", "unexpected extra argument"),
        ("hallmark runs list --limit many", "valid integer"),
    ],
)
def test_a_command_that_does_not_exist_is_found(line: str, said: str) -> None:
    (arguments,) = commands(Block(PROJECT / "README.md", 1, line, None))
    assert said in str(check(arguments))


def test_every_block_is_run_or_says_why_not() -> None:
    """Those without a reason are run by tests/e2e/test_documentation.py, whatever they are."""
    assert any(block.why is None for block in EVERY)
    for block in EVERY:
        assert block.why is None or len(block.why.split()) >= 3, block.where
        if block.why is None:
            kept_from = SERVE if block.page.name == "tutorial.md" else SERVE + TRAIN
            assert not [call for call in commands(block) if call[:1] and call[0] in kept_from], block.where


def test_every_page_is_on_the_site() -> None:
    def pages(entries: list[Any]) -> Iterator[str]:
        for entry in entries:
            for target in entry.values() if isinstance(entry, dict) else [entry]:
                yield from pages(target) if isinstance(target, list) else [target]

    named = list(pages(tomllib.loads((PROJECT / "zensical.toml").read_text())["project"]["nav"]))
    here = {
        str(page.relative_to(PROJECT / "docs")) for page in PAGES if page.is_relative_to(PROJECT / "docs")
    }
    assert sorted(named) == sorted(here | {"commands.md"}), "name it in the nav of zensical.toml"


def test_every_picture_is_on_a_page() -> None:
    shown = {name for page in PAGES for name in re.findall(r"images/([\w.-]+)", page.read_text())}
    assert {path.name for path in (PROJECT / "docs" / "images").iterdir()} == shown


def test_pages_lead_out_of_docs_by_whole_addresses() -> None:
    """A relative path would lead nowhere on the site."""
    for page in PAGES:
        if page.is_relative_to(PROJECT / "docs"):
            for target in re.findall(r"\]\((\.\./[^)#\s]+)", page.read_text()):
                inside = (page.parent / target).resolve()
                assert inside.is_relative_to(PROJECT / "docs"), f"{page}: {target}"


def test_addresses_of_files_of_ours_lead_to_files() -> None:
    ours = re.compile(r"https://github\.com/hallmark-ml/hallmark/(?:blob|tree)/main/([^)#\s>\"]+)")
    for page in PAGES:
        for path in ours.findall(page.read_text()):
            assert (PROJECT / path).exists(), f"{page}: {path}"


def test_links_of_pages_outside_of_the_site_lead_to_files() -> None:
    for page in (page for page in PAGES if not page.is_relative_to(PROJECT / "docs")):
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text()):
            assert (Path(page).parent / target).exists(), f"{page}: {target}"
