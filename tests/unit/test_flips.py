"""What changed between two runs is read whole, in a pager, whatever the models wrote."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from rich.text import Text

from core.text import visible_lines
from core.words import MOST_PAIRS, differing
from golden.schema import Item
from hallmark.cli.pager import pager_command
from tests.support.recorded_runs import recorded_run, workspace_at
from tests.support.small_datasets import write_items
from tests.support.workplace import HALLMARK, Workplace

pytestmark = pytest.mark.unit

HOSTILE = "\x1b[2J\x1b]0;title\x07 [bold]no markup[/] \u202eevil\u202c :smile: \r over\nAnswer: wrong"
LONG = "word " * 20_000


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workplace, list[str]]:
    """Two runs on six items: one got better, two got worse, of which one ends in 100,000 characters."""
    folder = tmp_path_factory.mktemp("flips")
    items = [
        Item(
            trace_id=f"t{number}",
            prompt=f"Question {number}?",
            final_answer=str(number),
            category="ab"[number % 2],
        )
        for number in range(6)
    ]
    data = write_items(folder / "small-v1.jsonl", items)
    place = Workplace(folder)
    workspace = workspace_at(place.home)
    before = ["Answer: no", "Answer: 1", "It is 2.\nAnswer: 2", "Answer: 3", "Answer: 4", "Answer: 5"]
    after = ["Answer: 0", HOSTILE, f"{LONG}\nAnswer: 7", "Answer: 3", "Answer: 4", "Answer: 5"]
    base = recorded_run(workspace, lambda number, _: before[number], dataset=str(data))
    trained = recorded_run(workspace, lambda number, _: after[number], trained=True, dataset=str(data))
    return place, [base.run_id, trained.run_id]


def compared(place: tuple[Workplace, list[str]], *options: str) -> str:
    done = place[0].run("compare", *place[1], *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def shown_items(text: str) -> list[str]:
    return re.findall(r"^(?:got better|got worse|unchanged) .*(t\d)$", text, re.MULTILINE)


def test_both_texts_are_shown_whole_those_that_got_worse_first(place: tuple[Workplace, list[str]]) -> None:
    text = compared(place, "--flips")
    assert shown_items(text) == ["t1", "t2", "t0"]
    assert text.count("word ") + text.count("word\n") >= 20_000, "nothing is cut"
    assert "1 item got better, 2 got worse" in text


def test_what_a_model_wrote_has_no_power_over_the_terminal(place: tuple[Workplace, list[str]]) -> None:
    text = compared(place, "--item", "t1")
    assert "".join(visible_lines(HOSTILE).split()) in "".join(text.split())
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e]", text)


@pytest.mark.parametrize(
    ("options", "items"),
    [
        (["--worse"], ["t1", "t2"]),
        (["--better"], ["t0"]),
        (["--flips", "1"], ["t1", "t0"]),
        (["--flips", "--category", "a"], ["t2", "t0"]),
        (["--worse", "--category", "b"], ["t1"]),
        (["--flips", "1", "--category", "a", "--worse"], ["t2"]),
        (["--item", "t5", "--item", "t0"], ["t0", "t5"]),
    ],
)
def test_filters(options: list[str], items: list[str], place: tuple[Workplace, list[str]]) -> None:
    assert shown_items(compared(place, *options)) == items
    document = place[0].json("compare", *place[1], *options)
    assert [item["trace_id"] for item in document["items"]] == items


def test_a_name_that_is_not_there_is_refused(place: tuple[Workplace, list[str]]) -> None:
    for option, name in (("--category", "c"), ("--item", "t9"), ("--flips=x", "")):
        refused = place[0].run("compare", *place[1], option, *filter(None, [name]))
        assert refused.returncode == 2
        assert not refused.stdout
    assert "There are t0, t1" in place[0].run("compare", *place[1], "--item", "t9").stderr


def test_a_number_that_is_none_is_refused(place: tuple[Workplace, list[str]]) -> None:
    assert place[0].run("compare", *place[1], "--flips", "²").returncode == 2


@pytest.mark.parametrize("options", [["--json"], []])
def test_a_full_disk_behind_standard_output_is_said(
    options: list[str], place: tuple[Workplace, list[str]]
) -> None:
    command = [HALLMARK, "compare", *place[1], *options]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, env=place[0].environment, text=True, check=False
        )
    assert (done.returncode, "standard output: the disk is full" in done.stderr) == (4, True)


def test_words_that_differ_are_marked() -> None:
    one, other = "The sum is 12, so\nAnswer: 12", "The sum is 13, so\nAnswer: 13"
    spans = differing(one, other)
    assert [one[start:stop] for start, stop in spans[0]] == ["12", "12"]
    assert [other[start:stop] for start, stop in spans[1]] == ["13", "13"]
    assert differing("same", "same") == ([], [])
    assert differing("", "more words") == ([], [(0, 10)])
    assert differing("これは猫", "これは犬") == ([(3, 4)], [(3, 4)])


def test_huge_texts_are_compared_at_their_ends() -> None:
    size = int(MOST_PAIRS**0.5) + 1
    one, other = (f"first {' '.join(f'{letter}{n}' for n in range(size))} last" for letter in "ab")
    assert differing(one, other) == ([(6, len(one) - 5)], [(6, len(other) - 5)])


def test_the_pager_is_the_one_that_is_named() -> None:
    assert pager_command({}) in (["less"], None)
    assert pager_command({"PAGER": "sh -c 'cat'"}) == ["sh", "-c", "cat"]
    assert pager_command({"PAGER": "sh", "HALLMARK_PAGER": "cat"}) is None
    for nothing in ("", "cat", "no-such-program-anywhere", "'unclosed"):
        assert pager_command({"PAGER": nothing}) is None


def on_terminal(place: tuple[Workplace, list[str]], pager: str, *options: str) -> tuple[int, str]:
    """The exit code and what a terminal showed."""
    parent, child = pty.openpty()
    environment = {**place[0].environment, "PAGER": pager, "TERM": "xterm"}
    environment.pop("HALLMARK_PAGER", None)
    command = [HALLMARK, "compare", *place[1], *options]
    process = subprocess.Popen(command, env=environment, stdin=child, stdout=child, stderr=child)
    os.close(child)
    shown = b""
    with suppress(OSError):  # its end
        while data := os.read(parent, 65536):
            shown += data
    os.close(parent)
    return process.wait(60), Text.from_ansi(shown.decode().replace("\r\n", "\n")).plain.strip()


def test_on_a_terminal_a_pager_gets_all_and_may_be_left_early(place: tuple[Workplace, list[str]]) -> None:
    counting = f"{sys.executable} -c 'import sys; print(len(sys.stdin.read()) > 100_000, \"counted\")'"
    assert on_terminal(place, counting, "--flips") == (0, "True counted")
    early = f"{sys.executable} -c 'import sys; print(len(sys.stdin.readline()), \"read\")'"
    code, shown = on_terminal(place, early, "--flips")
    assert (code, "read" in shown, "Traceback" in shown) == (0, True, False)
    code, shown = on_terminal(place, counting, "--better", "--no-pager")
    assert (code, "counted" in shown, "got better" in shown) == (0, False, True)


def test_ctrl_c_belongs_to_the_pager(place: tuple[Workplace, list[str]], tmp_path: Path) -> None:
    script = tmp_path / "pager.py"
    script.write_text(
        "import os, signal, sys\n"
        "sys.stdin.read()\n"
        "signal.signal(signal.SIGINT, lambda *_: None)\n"
        "os.kill(os.getppid(), signal.SIGINT)\n"
        "print('still here')\n"
    )
    assert on_terminal(place, f"{sys.executable} {script}", "--better") == (0, "still here")
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
