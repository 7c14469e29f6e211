"""Rows 1 to 7 of the fault list: datasets that are missing, broken, changed, misnamed or contaminated."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from experiments.linting import lint
from golden.datasets import BUILT_IN
from tests.support.refusals import assert_refused

pytestmark = pytest.mark.unit

ITEM = {
    "trace_id": "a-1",
    "prompt": "What is 1 + 1?",
    "steps": ["1+1=2"],
    "final_answer": "2",
    "category": "addition",
}


def line(**changes: object) -> bytes:
    item = {name: value for name, value in {**ITEM, **changes}.items() if value != "<absent>"}
    return json.dumps(item).encode() + b"\n"


GOOD = line()
SECOND = line(trace_id="a-2", prompt="What is 1 + 2?", final_answer="3")

BROKEN: dict[str, tuple[bytes, list[str]]] = {
    "not JSON": (GOOD + b'{"trace_id": \n', [":2:", "not valid JSON"]),
    "torn in the middle": (GOOD + SECOND[:40], [":2:", "not valid JSON"]),
    "an array": (GOOD + b"[1, 2]\n", [":2:", "expected a JSON object, got an array"]),
    "a number": (b"7\n", [":1:", "expected a JSON object, got a number"]),
    "a missing field": (GOOD + line(trace_id="a-2", category="<absent>"), [":2: category: missing field"]),
    "an unknown field": (line(answer="2"), [":1: answer: unknown field"]),
    "answer is null": (
        GOOD + line(trace_id="a-2", final_answer=None),
        [":2: final_answer: expected a string or a list of strings, got null"],
    ),
    "answer is a number": (
        line(final_answer=2),
        [":1: final_answer: expected a string or a list of strings, got a number"],
    ),
    "steps is a string": (line(steps="1+1=2"), [":1: steps: expected an array of strings, got a string"]),
    "a step is a number": (line(steps=["ok", 3]), [":1: steps.1: expected a string, got a number"]),
    "answers is a list with a number": (
        line(final_answer=["2", 2]),
        [":1: final_answer.1: expected a string"],
    ),
    "no answer in a list": (line(final_answer=[]), [":1: final_answer: is empty"]),
    "empty prompt": (line(prompt=""), [":1: prompt: is empty"]),
    "blank prompt": (line(prompt="  \t "), [":1: prompt: is only white space"]),
    "empty answer": (GOOD + SECOND + line(trace_id="a-3", final_answer=""), [":3: final_answer: is empty"]),
    "bad category": (line(category="Two Words"), [":1: category:", "'Two Words' is not allowed"]),
    "bad trace id": (line(trace_id="../x"), [":1: trace_id:", "'../x' is not allowed"]),
    "trace id twice": (GOOD + SECOND + GOOD, [":3: trace_id: a-1", "line 1"]),
    "field twice": (b'{"trace_id": "a", "trace_id": "b"}\n', [":1:", "'trace_id' occurs twice"]),
    "NaN": (b'{"trace_id": NaN}\n', [":1:", "NaN is not JSON"]),
    "not UTF-8": (GOOD + b'{"trace_id": "\xff"}\n', [":2:", f"not UTF-8 at byte {len(GOOD) + 14}"]),
    "byte order mark": (b"\xef\xbb\xbf" + GOOD, [":1:", "byte order mark at byte 0"]),
    "CRLF": (
        GOOD + SECOND.replace(b"\n", b"\r\n"),
        [":2:", f"carriage return at byte {len(GOOD) + len(SECOND) - 1}"],
    ),
    "NUL byte": (GOOD + b'{"a": "\x00"}\n', [":2:", f"NUL at byte {len(GOOD) + 7}"]),
    "escaped NUL": (line(prompt="a\0b"), [":1:", "NUL"]),
    "lone surrogate": (line(prompt="a\ud800b"), [":1:", "unpaired surrogate \\ud800"]),
    "a line of 10 MB": (
        GOOD + line(trace_id="a-2", prompt="x" * 10_000_000),
        [":2:", "line longer than 1048576 bytes"],
    ),
    "an empty line": (GOOD + b"\n" + SECOND, [":2:", "empty line"]),
    "nested too deeply": (b"[" * 100_000 + b"\n", [":1:", "not valid JSON: nested too deeply"]),
    "no items": (b"", ["no items"]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_every_broken_dataset_is_refused_with_file_line_and_field(case, hallmark, tmp_path: Path) -> None:
    content, expected = BROKEN[case]
    (tmp_path / "broken-v1.jsonl").write_bytes(content)
    assert_refused(
        hallmark("golden", "guard", "train-v1", "broken-v1.jsonl"), 2, "broken-v1.jsonl", *expected
    )


@pytest.mark.parametrize("case", BROKEN)
def test_every_broken_dataset_is_shown_with_line_and_field(case, tmp_path: Path) -> None:
    content, expected = BROKEN[case]
    (tmp_path / "broken-v1.jsonl").write_bytes(content)
    errors = lint(tmp_path / "broken-v1.jsonl").errors
    shown = [f":{(*error.lines, '')[0]}: {error.problem}" for error in errors]
    assert any(all(part in each for part in expected) for each in shown), shown


def test_a_missing_file_is_named_with_where_it_was_looked_for(hallmark, tmp_path: Path) -> None:
    assert_refused(
        hallmark("golden", "check", "data/none-v1.jsonl"),
        2,
        "data/none-v1.jsonl: no such file",
        f"Looked for {tmp_path}/data/none-v1.jsonl; there is no folder {tmp_path}/data",
    )


def test_a_directory_is_named(hallmark, tmp_path: Path) -> None:
    (tmp_path / "folder-v1.jsonl").mkdir()
    assert_refused(hallmark("golden", "check", "folder-v1.jsonl"), 2, "folder-v1.jsonl: is a directory")


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/x",
        "/etc/passwd",
        "a/b-v1",
        "gоlden-v1",
        "golden-v" + "1" * 300,
        "golden",
        "golden-v0",
        "-v1",
        "golden-v1\n",
    ],
)
def test_a_dataset_name_of_another_form_is_refused_with_the_allowed_one(name: str, hallmark) -> None:
    assert_refused(hallmark("golden", "check", "--", name), 2, "Allowed: a key of a-z")


def test_a_file_of_another_name_is_refused_with_the_allowed_one(hallmark, tmp_path: Path) -> None:
    (tmp_path / "My Eval.jsonl").write_bytes(GOOD)
    assert_refused(hallmark("golden", "check", "My Eval.jsonl"), 2, "Allowed: a key of a-z")


def test_an_unknown_dataset_lists_the_built_in_ones(hallmark) -> None:
    assert_refused(hallmark("golden", "check", "golden-v7"), 2, "golden-v7", "golden-v1, train-v1")


def test_a_file_of_a_name_like_it_is_shown(hallmark, tmp_path: Path) -> None:
    (tmp_path / "support-v1.jsonl").write_bytes(GOOD)
    assert_refused(
        hallmark("golden", "check", "suport-v1.jsonl"),
        2,
        f"Looked for {tmp_path}/suport-v1.jsonl; that folder has support-v1.jsonl",
    )
    assert_refused(
        hallmark("golden", "check", "support-v1"),
        2,
        "not built in",
        "Did you mean the file support-v1.jsonl?",
    )


def test_a_file_that_has_to_be_imported_first_is_told_how(hallmark, tmp_path: Path) -> None:
    (tmp_path / "tickets.csv").write_text("a,b\n1,2\n")
    (tmp_path / "test.jsonl").write_bytes(GOOD)
    for file in ("tickets.csv", "test.jsonl"):
        assert_refused(hallmark("golden", "check", file), 2, f"hallmark golden import {file} --name NAME")


def test_a_changed_frozen_dataset_shows_both_hashes(hallmark, tmp_path: Path) -> None:
    for name in ("golden-v1.jsonl", "golden-v1.manifest.json"):
        shutil.copy(BUILT_IN / name, tmp_path)
    path = tmp_path / "golden-v1.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"final_answer":"5332"', b'"final_answer":"5333"'))
    result = hallmark("golden", "check", "golden-v1.jsonl")
    frozen = json.loads((tmp_path / "golden-v1.manifest.json").read_text())["sha256"]
    assert_refused(result, 3, "changed since it was frozen", f"expected sha256 {frozen}", "found ")


def test_a_frozen_dataset_cannot_be_frozen_again(hallmark, tmp_path: Path) -> None:
    (tmp_path / "mine-v1.jsonl").write_bytes(GOOD + SECOND)
    arguments = ("golden", "freeze", "mine-v1.jsonl", "--licence", "MIT", "--made-by", "hand")
    assert hallmark(*arguments).returncode == 0
    assert hallmark("golden", "check", "mine-v1.jsonl").returncode == 0
    assert_refused(hallmark(*arguments), 2, "mine-v1 is frozen already")


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        ("What is 1 + 1?", "exact"),
        ("  what IS   1 + 1? ", "normalised"),
        ("Remember: if a train leaves Rome at nine in the evening, when is it?", "ngram"),
    ],
)
def test_training_items_that_overlap_with_golden_items_are_listed(
    prompt: str, kind: str, hallmark, tmp_path: Path
) -> None:
    story = line(trace_id="story", prompt="If a train leaves Rome at nine in the evening, when is it home?")
    (tmp_path / "eval-v1.jsonl").write_bytes(GOOD + story)
    (tmp_path / "train-v1.jsonl").write_bytes(SECOND + line(trace_id="leak", prompt=prompt))
    result = hallmark("golden", "guard", "train-v1.jsonl", "eval-v1.jsonl")
    assert result.returncode == 2
    assert f"leak ~ {'story' if kind == 'ngram' else 'a-1'} ({kind}" in result.stdout
    assert "1 of 2 items leak from eval-v1" in result.stdout


def test_other_numbers_are_another_question(hallmark, tmp_path: Path) -> None:
    (tmp_path / "eval-v1.jsonl").write_bytes(GOOD)
    (tmp_path / "train-v1.jsonl").write_bytes(line(trace_id="b", prompt="What is 1 - 1?", final_answer="0"))
    assert hallmark("golden", "guard", "train-v1.jsonl", "eval-v1.jsonl").returncode == 0
