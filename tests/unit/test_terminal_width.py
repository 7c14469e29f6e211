"""Whatever is recorded, and however long its names are, a terminal of 80 columns shows it whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from rich.cells import cell_len
from rich.text import Text
from typer.core import TyperGroup

from evaluation.gate import GateConfig
from experiments.promoting import promote_run
from golden.schema import Item
from hallmark.cli.app import app
from hallmark.cli.show.tables import plain_table
from hallmark.console import plain_console
from tests.support.recorded_runs import record_baseline, record_trained, right_for, workspace_at
from tests.support.small_datasets import write_items
from tests.support.warm_processes import run_hallmark
from tests.support.workplace import Workplace

pytestmark = pytest.mark.unit

WIDTH = 80
DATASET = "support-questions-of-every-customer-in-all-of-northern-eu-v1"
MODEL = "support-assistant-for-every-customer-in-the-whole-of-northern-eu"
ALIAS = "candidate-of-the-evaluation-team-for-the-next-quarter"
CATEGORY = "what-customers-ask-about-the-invoices-of-the-last-quarter"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workplace, dict[str, str]]:
    """A home with long names of everything, and two runs of which the second is champion."""
    folder = tmp_path_factory.mktemp("wide")
    place = Workplace(folder, FORCE_COLOR="1", TERM="xterm")
    items = [
        Item(
            trace_id=f"item-with-quite-a-long-identifier-from-another-system-{number:03}",
            prompt=f"What is {number} + 1? " + "Think about it for as long as you need. " * 5,
            steps=[],
            final_answer=str(number + 1),
            category=f"{CATEGORY}-{number % 30}",
        )
        for number in range(90)
    ]
    data = write_items(folder / f"{DATASET}.jsonl", items)
    workspace = workspace_at(place.home)
    baseline = record_baseline(workspace, right_for(0.2), dataset=str(data))
    trained = record_trained(workspace, right_for(0.9), dataset=str(data))
    promote_run(trained.run_id, MODEL, GateConfig(), workspace, force_reason="it has to be served " * 8)
    workspace.registry.aliases.set(MODEL, ALIAS, 1, "to be looked at " * 10, "somebody")
    return place, {"baseline": baseline.run_id, "trained": trained.run_id}


def too_wide(shown: str) -> Iterator[str]:
    """Lines that are too wide although they have several words; commands, which are copied, may be."""
    for line in Text.from_ansi(shown).plain.splitlines():
        if cell_len(line.rstrip()) > WIDTH and len(line.split()) > 1 and not line.startswith("  hallmark "):
            yield line


COMMANDS = (
    "runs list",
    "runs list --model nobody",
    "runs show {baseline}",
    "runs show {trained} --wrong 1",
    "runs show nobody",
    "runs diff {baseline} {trained}",
    "runs discard {trained}",
    "compare {baseline} {trained}",
    "compare {baseline} {trained} --all-categories --flips 1 --no-pager",
    "compare {baseline} {trained} --category nobody",
    "models list",
    f"models show {MODEL}",
    f"models show {MODEL}@champion",
    "models show nobody",
    f"models history {MODEL}",
    f"models alpha {MODEL}",
    f"models alias list {MODEL}",
    f"rollback 1 --reason none --model-name {MODEL}",
    "promote {trained} --against {baseline}",
    "golden list",
    f"golden check {DATASET}.jsonl",
    f"golden power {DATASET}.jsonl",
    f"golden guard train-v1 {DATASET}.jsonl",
    "golden check nobody-v1",
    "judges list",
    "judges show answer_correctness@v2",
    "judges show nobody",
    "registry gc --dry-run",
    "verify",
    "status",
    "doctor",
    "experiment --set nobody=1",
    "rusn",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_command_prints_fits_the_terminal(
    command: str, place: tuple[Workplace, dict[str, str]]
) -> None:
    done = place[0].run(*command.format(**place[1]).split())
    shown = done.stdout + done.stderr
    assert shown
    assert "Traceback" not in shown
    assert "…" not in Text.from_ansi(shown).plain, "something is cut"
    assert list(too_wide(shown)) == []


@pytest.mark.parametrize("width", [20, 40, 60])
def test_on_a_narrow_terminal_no_number_and_no_word_of_a_table_is_torn(width: int, tmp_path: Path) -> None:
    table = plain_table(["", "items", "delta", "95 % interval"], right=(1, 2, 3))
    table.add_row("overall", "360", "+36.4", "+30.8 to +41.9")
    table.add_row("")
    table.add_titles("by category", "", "", "better / worse")
    table.add_row("  substitution", "45", "-8.9", "2 / 6")
    shown = printed(table, width, tmp_path)
    assert max(map(cell_len, shown.splitlines())) <= width
    words = " ".join(shown.replace(",", "").split())
    if width < 60:
        assert "overall items 360 delta +36.4 95 % interval +30.8 to +41.9" in words
        assert "by category substitution items 45 delta -8.9 better / worse 2 / 6" in words
    else:
        assert "substitution 45 -8.9 2 / 6" in words, "there is room for columns"


@pytest.mark.parametrize(
    "command", ["runs list", "compare {baseline} {trained} --flips 1 --no-pager", "status"]
)
def test_a_narrow_terminal_is_no_reason_to_fail(
    command: str, place: tuple[Workplace, dict[str, str]]
) -> None:
    narrow = {**place[0].environment, "COLUMNS": "40"}
    done = run_hallmark(command.format(**place[1]).split(), narrow, place[0].folder)
    shown = Text.from_ansi(done.stdout).plain
    assert "Traceback" not in done.stderr
    assert "…" not in shown
    for words in {"runs list": ("finished", "score 20.0 %"), "status": ("not running",)}.get(
        command.partition(" {")[0], ("items 90", "baseline 20.0 %", "got worse")
    ):
        assert words in shown


def printed(what: Any, width: int, folder: Path) -> str:
    with (folder / "shown").open("w+") as file:
        plain_console(file=file, width=width).print(what)
        file.seek(0)
        return file.read()


def test_each_help_fits_the_terminal_and_cuts_nothing() -> None:
    group = typer.main.get_command(app)
    root = group.make_context("hallmark", [], resilient_parsing=True)
    commands = list(_commands(group, ()))
    assert len(commands) > 40
    for path, command in commands:
        shown = command.get_help(type(root)(command, info_name=" ".join(path), parent=root))
        plain = Text.from_ansi(shown).plain
        assert max(map(cell_len, plain.splitlines())) <= WIDTH, path
        assert "…" not in plain, path


def _commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    if isinstance(command, TyperGroup):
        for name, each in command.commands.items():
            yield from _commands(each, (*path, name))


def test_a_sentence_is_wrapped_between_words_and_a_path_stays_whole(tmp_path: Path) -> None:
    with (tmp_path / "shown").open("w+") as file:
        console = plain_console(file=file, force_terminal=True, width=40, color_system=None)
        path = "/a/path/that/is/wider/than/the/whole/terminal.jsonl"
        console.print(f"error: {path}: no such file. Did you mean another one?", markup=False, soft_wrap=True)
        file.seek(0)
        assert file.read() == f"error:\n{path}:\nno such file. Did you mean another one?\n"


def test_in_a_file_a_sentence_stays_one_line(tmp_path: Path) -> None:
    with (tmp_path / "shown").open("w+") as file:
        plain_console(file=file, width=40).print("word " * 30, soft_wrap=True)
        file.seek(0)
        assert len(re.findall("\n", file.read())) == 1
