"""`hallmark golden import`: from files as people have them to frozen datasets, and back."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hallmark as hm
from core.errors import InputError
from core.files import write_jsonl
from experiments.importing import ImportReport, import_prepared
from golden.datasets import load_dataset, read_items, read_traces
from golden.exporting import WRITERS, export_dataset
from golden.importing.formats import FORMAT_NAMES
from golden.importing.values import SPEAKERS
from golden.schema import Item, Trace
from hallmark.cli.importing import column_map
from tests.support.gsm8k import SHARED
from tests.support.hub import COMMIT, small_hub
from tests.support.refusals import assert_refused
from tests.support.small_datasets import small_dataset

pytestmark = pytest.mark.unit

ROWS = [
    {"question": "What is 2 + 2?", "answer": "4", "topic": "Sums", "page": 1},
    {"question": 'What ends "Who"?\nSay it; once.', "answer": "a mark", "topic": "Signs", "page": 2},
    {"question": "日本の首都は?", "answer": "東京", "topic": "Sums", "page": 3},
]  # fmt: skip


def taken(source: Path | str, folder: Path, name: str = "mine", **options: Any) -> ImportReport:
    with import_prepared(source, name, out=folder, **options) as prepared:
        return prepared.write()


def looked_at(source: Path | str, folder: Path, **options: Any) -> ImportReport:
    with import_prepared(source, "mine", out=folder, **options) as prepared:
        return prepared.report


def items(report: ImportReport) -> list[dict[str, Any]]:
    lines = [trace.model_dump() for trace in read_traces(report.path)]
    return [{name: value for name, value in line.items() if name != "trace_id"} for line in lines]


def jsonl(folder: Path, *rows: Any, name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def text_of(rows: list[dict[str, Any]], delimiter: str) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, rows[0], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def arrow_files(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """What `save_to_disk` of Hugging Face datasets leaves behind."""
    folder.mkdir(parents=True)
    table = arrow.Table.from_pylist(rows)
    for number, part in enumerate((table.slice(0, 2), table.slice(2))):
        name = folder / f"data-{number:05}-of-00002.arrow"
        with arrow.OSFile(str(name), "wb") as file, arrow.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(part)
    (folder / "state.json").write_text('{"_data_files": []}')
    (folder / "dataset_info.json").write_text("{}")
    return folder


def hub_files(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """A dataset's repository as it is cloned from the hub."""
    (folder / "data").mkdir(parents=True)
    (folder / "README.md").write_text("# tickets")
    for split, part in (("train", rows[:1]), ("test", rows)):
        parquet.write_table(
            arrow.Table.from_pylist(part), folder / "data" / f"{split}-00000-of-00001-a1b2.parquet"
        )
    return folder


def shape_jsonl(folder: Path) -> list[str]:
    return [str(jsonl(folder, *ROWS))]


def shape_json(folder: Path) -> list[str]:
    path = folder / "rows.json"
    path.write_text(json.dumps({"version": 1, "data": ROWS}, indent=1))
    return [str(path)]


def shape_csv(folder: Path) -> list[str]:
    path = folder / "rows.csv"
    path.write_bytes(text_of(ROWS, ";").encode("utf-8-sig"))
    return [str(path)]


def shape_tsv(folder: Path) -> list[str]:
    path = folder / "rows.tsv"
    path.write_bytes(text_of(ROWS, "\t").encode("utf-16"))
    return [str(path)]


def shape_parquet(folder: Path) -> list[str]:
    path = folder / "rows.parquet"
    parquet.write_table(arrow.Table.from_pylist(ROWS), path)
    return [str(path)]


def shape_directory(folder: Path) -> list[str]:
    return [str(arrow_files(folder / "saved" / "test", ROWS).parent)]


def shape_repository(folder: Path) -> list[str]:
    return [str(hub_files(folder / "tickets", ROWS)), "--split", "test"]


SHAPES: list[Callable[[Path], list[str]]] = [
    shape_jsonl,
    shape_json,
    shape_csv,
    shape_tsv,
    shape_parquet,
    shape_directory,
    shape_repository,
]


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_of_file_is_imported_by_one_command(shape, hallmark, tmp_path: Path) -> None:
    result = hallmark("golden", "import", *shape(tmp_path), "--name", "tickets")
    assert result.returncode == 0, result.stderr
    dataset = load_dataset(tmp_path / "tickets-v1.jsonl")
    found = [(item.prompt, item.final_answer, item.category) for item in dataset.items()]
    assert found == [(row["question"], row["answer"], str(row["topic"]).lower()) for row in ROWS]
    assert [item.metadata for item in dataset.items()] in (
        [{"page": 1}, {"page": 2}, {"page": 3}],
        [{"page": "1"}, {"page": "2"}, {"page": "3"}],  # a text knows no numbers
    )
    assert dataset.manifest is not None
    assert dataset.manifest.origin is not None
    assert (dataset.manifest.items, dataset.manifest.origin.rows) == (3, 3)
    shown = " ".join(result.stdout.split())
    assert "What is 2 + 2?" in shown
    assert "Next: hallmark evaluate MODEL --dataset" in shown


def test_a_dataset_is_fetched_from_the_hub_at_a_commit(hallmark, tmp_path: Path) -> None:
    files = {"README.md": b"#", "main/test.csv": text_of(ROWS, ",").encode(), "main/train.csv": b"x,y\n1,2\n"}
    with small_hub("acme/tickets", files) as url:
        hub = {"HF_ENDPOINT": url, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        named = ("golden", "import", "hf:acme/tickets@v1.0:test", "--name", "tickets", "--json")
        report = json.loads(hallmark(*named, **hub).stdout)
        several = hallmark("golden", "import", "hf:acme/tickets", "--name", "other", **hub)
        missing = hallmark("golden", "import", "hf:acme/nothing:test", "--name", "other", **hub)
    assert report["source"] == f"hf:acme/tickets@{COMMIT}:main/test"
    assert report["taken"] == 3
    manifest = load_dataset(tmp_path / "tickets-v1.jsonl").manifest
    assert manifest is not None
    assert manifest.origin is not None
    assert manifest.origin.source == report["source"]
    assert_refused(several, 2, "has several splits: main/test, main/train", "--split main/test")
    assert_refused(missing, 4, "hf:acme/nothing:test: the hub did not give it", "Check the name")


def test_a_hub_that_is_not_reachable_says_what_to_do_offline(hallmark) -> None:
    result = hallmark(
        "golden", "import", "hf:acme/tickets@main:test", "--name", "t", HF_ENDPOINT="http://127.0.0.1:9"
    )
    assert_refused(result, 4, "hf:acme/tickets@main:test", "copy the dataset to a directory and import that")


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("utf-8", None),
        ("utf-8-sig", "utf-8"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("utf-32", "utf-32"),
        ("cp1252", "cp1252"),
    ],
)
@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_the_encodings_of_excel_and_powershell_are_found(encoding, shown, suffix, tmp_path: Path) -> None:
    rows = [
        {"question": f"Wie groß ist Köln im Jahr {n}? Für 5 €…", "answer": f"{n} Straßen"} for n in range(9)
    ]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\r\n" for row in rows)
    path = tmp_path / f"rows{suffix}"
    path.write_bytes((lines if suffix == ".jsonl" else text_of(rows, ",")).encode(encoding))
    report = taken(path, tmp_path)
    assert [item["prompt"] for item in items(report)] == [row["question"] for row in rows]
    assert [item["final_answer"] for item in items(report)] == [row["answer"] for row in rows]
    assert (f", {shown}" in report.shape) == (shown is not None)


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("gb18030", "北京在哪里,中国"),
        ("big5", "北京在哪裡,中國"),
        ("euc-kr", "서울은 어디,한국"),
        ("cp1251", "Какая столица России?,Москва"),
        ("koi8-r", "Привет,Москва"),
        ("cp1253", "Καλημέρα,κόσμε"),
        ("cp1250", "Łódź i były źródła,Kraków Gdańsk"),
        ("cp1254", "ağaç ıslak,şeker"),
        ("mac-roman", "café,naïve"),
        ("utf-16-le", "日本の首都は何ですか。日本の首都は何ですか。日本の首都は何ですか。,東京"),
    ],
)
def test_a_text_of_another_encoding_is_refused_and_not_garbled(encoding, text, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(f"question,answer\n{text}\n".encode(encoding))
    given = looked_at(path, tmp_path, encoding=encoding)
    assert given.preview[0]["prompt"] == text.split(",")[0]
    if encoding == "utf-16-le":
        path.write_bytes(json.dumps({"q": text * 9, "a": "x"}, ensure_ascii=False).encode(encoding))
        path = path.rename(tmp_path / "rows.jsonl")
    with pytest.raises(InputError, match=rf"Name i.*--encoding .*{encoding}"):
        looked_at(path, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "Wie groß ist Köln? Für 5 €…, Straßen: 3×4 cm, ±5 %",
        "¿Qué hora es? ¡Olé! el niño — España, 1º lugar, 2ª vez",
        "été où ça l’œuvre « naïve » à Noël, ÉTÉ, São Paulo, ações",
        "Ærø, Åland, øl, påske; 20 °C, 5 m², £5, ½ cup, “quoted” don’t",
        "A–B; x²+y² = 4 • one • two; §5 a, ©2020",
    ],
)
def test_a_text_of_windows_is_read_as_cp1252(text: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    path.write_bytes(f"question\tanswer\n{text}\t1\n".encode("cp1252"))
    assert looked_at(path, tmp_path).preview[0]["prompt"] == text


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_of_a_table_is_found(delimiter, tmp_path: Path) -> None:
    rows = [{"prompt": "a, b; or | c", "final_answer": "1,5; 2", "page": "7"}] * 2 + [
        {"prompt": 'two\nlines, "quoted"', "final_answer": "x", "page": "8"}
    ]
    for name, beginning in (("rows.csv", ""), ("excel.csv", f"sep={delimiter}\r\n")):
        (tmp_path / name).write_text(beginning + text_of(rows, delimiter), encoding="utf-8", newline="")
        report = looked_at(tmp_path / name, tmp_path)
        assert (report.rows, report.taken, report.duplicates) == (3, 2, 1)
        assert report.preview[1]["prompt"] == rows[2]["prompt"]
        first, second = (2, 3) if not beginning else (3, 4)
        assert [each.model_dump() for each in report.repeated] == [
            {"where": f"line {second}", "reason": f"repeats line {first}"}
        ]


MATHS = "Sam has 3 boxes. 3 * 4 = <<3*4=12>>12\n12,000 more: <<12+12000=12012>>12012\n\n#### 12,012"
CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Capital of France?"},
    {"role": "assistant", "content": "Paris", "weight": 1},
]
SHAREGPT = [
    {"from": "human", "value": "Capital of France?"},
    {"from": "gpt", "value": "Paris"},
    {"from": "human", "value": "And of Italy?"},
    {"from": "gpt", "value": "Rome"},
]
EVEN = "Which is even?"
ASKED = "Which is even?\n\nA. 1\nB. 2\nC. 3"
FORMATS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]] = {
    "gsm8k": (
        {"question": "How many?", "answer": MATHS},
        {
            "prompt": "How many?",
            "steps": ["Sam has 3 boxes. 3 * 4 = 12", "12,000 more: 12012"],
            "final_answer": "12012",
        },
        None,
    ),
    "math": (
        {"problem": "Which x?", "solution": "As seen,\nso $\\boxed{\\frac{1}{2}}$.", "level": "Level 5"},
        {
            "prompt": "Which x?",
            "steps": ["As seen,", "so $\\boxed{\\frac{1}{2}}$."],
            "final_answer": "\\frac{1}{2}",
            "metadata": {"level": "Level 5"},
        },
        None,
    ),
    "alpaca": (
        {"instruction": "Translate.", "input": "chat", "output": "cat", "text": "..."},
        {"prompt": "Translate.\n\nchat", "final_answer": "cat", "metadata": {"text": "..."}},
        {"prompt": "Translate.\n\nchat", "completion": "cat", "metadata": {"text": "..."}},
    ),
    "sharegpt": (
        {"id": "c-1", "conversations": SHAREGPT},
        {
            "messages": [
                {"role": "user", "content": "Capital of France?"},
                {"role": "assistant", "content": "Paris"},
                {"role": "user", "content": "And of Italy?"},
            ],
            "final_answer": "Rome",
        },
        {
            "messages": [
                {"role": "user", "content": "Capital of France?"},
                {"role": "assistant", "content": "Paris"},
                {"role": "user", "content": "And of Italy?"},
                {"role": "assistant", "content": "Rome"},
            ]
        },
    ),
    "messages": (
        {"messages": CHAT},
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Capital of France?"},
            ],
            "final_answer": "Paris",
        },
        {"messages": [{name: turn[name] for name in ("role", "content")} for turn in CHAT]},
    ),
    "prompt_completion": (
        {"prompt": "Capital of France?", "completion": "Paris"},
        {"prompt": "Capital of France?", "final_answer": "Paris"},
        {"prompt": "Capital of France?", "completion": "Paris"},
    ),
    "multiple_choice": (
        {"question": "Which is even?", "choices": ["1", "2", "3"], "answer": "B"},
        {"prompt": ASKED, "final_answer": "B", "metadata": {"options": ["1", "2", "3"]}},
        None,
    ),
    "columns": (
        {"Question": "2 + 2?", "Expected Answer": 4, "explanation": "2\n\nand 2", "Topic": "Mental sums!"},
        {"prompt": "2 + 2?", "final_answer": "4", "steps": ["2", "and 2"], "category": "mental-sums"},
        None,
    ),
    "hallmark": (
        {"trace_id": "a", "prompt": "2 + 2?", "final_answer": ["4", "four"], "category": "sums"},
        {"prompt": "2 + 2?", "final_answer": ["4", "four"], "category": "sums"},
        None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_each_format_is_found_and_read(name: str, tmp_path: Path) -> None:
    row, golden, train = FORMATS[name]
    path = jsonl(tmp_path, row)
    report = taken(path, tmp_path)
    assert (report.format, report.detected, report.refused) == (name, True, 0)
    assert items(report) == [{"category": "mine", **golden}]
    taught = taken(path, tmp_path, "learn", train=True)
    assert (taught.format, taught.refused) == (name, 0)
    assert items(taught) == [golden if train is None else train]
    given = looked_at(path, tmp_path, format=name)
    assert (given.format, given.detected, given.sha256) == (name, False, report.sha256)


def test_the_help_names_every_format(hallmark) -> None:
    shown = " ".join(hallmark("golden", "import", "--help", COLUMNS="200").stdout.split())
    assert all(name in shown for name in FORMAT_NAMES)


@pytest.mark.parametrize(
    "row",
    [
        {"question": EVEN, "choices": {"text": ["1", "2", "3"], "label": ["A", "B", "C"]}, "answerKey": "B"},
        {"question": EVEN, "choices": {"text": ["1", "2", "3"], "label": ["1", "2", "3"]}, "answerKey": "2"},
        {"question": "Which is even?", "A": "1", "B": "2", "C": "3", "answer": "B"},
        {"ctx": "Which is even?", "endings": ["1", "2", "3"], "label": "B"},
        {"question": "Which is even?", "options": {"A": "1", "B": "2", "C": "3"}, "answer_idx": "(b)"},
        {"question": EVEN, "option_a": "1", "option_b": "2", "option_c": "3", "answer": "b"},
        {"question": EVEN, "choice1": "1", "choice2": "2", "choice3": "3", "answer": "choice2"},
        {"question": EVEN, "choices": '["1", "2", "3"]', "answer": "B"},
        {"question": EVEN, "choices": "['1', '2', '3']", "answer": "B"},
        {"question": EVEN, "choices": "['1' '2'\n '3']", "answer": "B"},
        {"question": EVEN, "choices": "{'text': array(['1', '2', '3'], dtype=object), 'label': array(['A', "
         "'B', 'C'], dtype=object)}", "answerKey": "B"},
        {"question": "Which is even?", "choices": [{"label": "A", "text": "1"}, {"label": "B", "text": "2"},
         {"label": "C", "text": "3"}], "answer": "B"},
    ],
)  # fmt: skip
def test_multiple_choice_as_it_is_passed_around(row: dict[str, Any], tmp_path: Path) -> None:
    report = taken(jsonl(tmp_path, row), tmp_path)
    assert report.format == "multiple_choice"
    options = {"options": ["1", "2", "3"]}
    assert items(report) == [{"prompt": ASKED, "final_answer": "B", "category": "mine", "metadata": options}]
    assert report.judge == "choice@v1"


LONG_TEXT = "A passage that is long enough."


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        ({"context": "Passage.", "question": "What?", "answer": "x"}, "Passage.\n\nWhat?"),
        ({"passage": "Passage.", "question": "What?", "answer": "a #### 4"}, "Passage.\n\nWhat?"),
        (
            {"context": "P.", "question": "What?", "choices": ["x", "y"], "answer": "B"},
            "P.\n\nWhat?\n\nA. x\nB. y",
        ),
        ({"article": "One. Two.", "prompt": "What?", "completion": "x"}, "One. Two.\n\nWhat?"),
        ({"instruction": "What?", "context": "Passage.", "response": "x"}, "Passage.\n\nWhat?"),
        ({"instruction": "Do it.", "question": "What?", "output": "x"}, "Do it.\n\nWhat?"),
        ({"instruction": "Do it.", "input": "What?", "label": "x"}, "Do it.\n\nWhat?"),
        (
            {"instruction": "Do.", "context": "P.", "question": "What?", "answer": "x"},
            "Do.\n\nP.\n\nWhat?",
        ),
        ({"context": LONG_TEXT, "prompt": f"{LONG_TEXT} What?", "answer": "x"}, f"{LONG_TEXT} What?"),
        ({"document": "doc-1", "question": "What?", "answer": "x"}, "What?"),
        ({"context": None, "question": "What?", "answer": "x"}, "What?"),
        ({"context": ["One.", "Two."], "question": "What?", "answer": "x"}, "One.\n\nTwo.\n\nWhat?"),
    ],
)  # fmt: skip
def test_what_an_answer_needs_is_part_of_the_prompt(row: dict[str, Any], prompt: str, tmp_path: Path) -> None:
    [item] = items(taken(jsonl(tmp_path, row), tmp_path))
    assert item["prompt"] == prompt


@pytest.mark.parametrize(
    ("row", "answer", "steps"),
    [
        ({"answer": "First this, then that. The answer is 2.", "label": 2}, "2", 1),
        ({"solution": r"So it is \boxed{4}.", "answer": "5"}, "5", 1),
        ({"reasoning": "Long.", "response": "3"}, "3", 1),
        ({"response": r"\boxed{7}"}, "7", 0),
    ],
)
def test_the_short_column_is_the_answer_and_the_long_one_its_steps(
    row: dict[str, Any], answer: str, steps: int, tmp_path: Path
) -> None:
    [item] = items(taken(jsonl(tmp_path, {"question": "x?", **row}), tmp_path))
    assert (item["final_answer"], len(item.get("steps", []))) == (answer, steps)


def test_reasoning_is_taught_and_not_dropped_for_a_completion(tmp_path: Path) -> None:
    for row, expected in (
        ({"reasoning": "Long.", "response": "3"}, {"steps": ["Long."], "final_answer": "3"}),
        ({"reasoning": "Long.", "response": "Long. So 3"}, {"completion": "Long. So 3"}),
        ({"response": r"So \boxed{3}"}, {"completion": r"So \boxed{3}"}),
    ):
        for asked in ("question", "prompt"):
            [trace] = items(taken(jsonl(tmp_path, {asked: "x?", **row}), tmp_path, train=True))
            assert {name: trace[name] for name in expected} == expected
            assert ("steps" in trace) == ("steps" in expected)


def test_metadata_of_a_multiple_choice_file_is_kept_beside_its_choices(tmp_path: Path) -> None:
    row = {"question": EVEN, "choices": ["1", "2", "3"], "answer": "B", "options": "zz"}
    path = jsonl(tmp_path, {**row, "metadata": {"source": "exam", "options": "a"}})
    report = taken(path, tmp_path)
    [item] = items(report)
    assert item["metadata"] == {
        "options": ["1", "2", "3"],
        "source": "exam",
        "options_": "a",
        "options__": "zz",
    }
    assert "`options` is kept as metadata.options_, since metadata.options is another" in report.notes


def test_a_folder_of_own_sets_names_no_manifest_as_a_split(tmp_path: Path) -> None:
    folder = tmp_path / "sets"
    folder.mkdir()
    path = jsonl(tmp_path, {"question": "x?", "answer": "y"})
    taken(path, folder, "one")
    assert looked_at(folder, tmp_path).taken == 1
    taken(path, folder, "two")
    with pytest.raises(InputError, match=r"has several splits: one-v1, two-v1\. Name one"):
        looked_at(folder, tmp_path)


def test_what_may_be_the_wrong_column_is_said(tmp_path: Path) -> None:
    row = {"prompt": "x?", "question": "y?", "answer": "word " * 21}
    assert looked_at(jsonl(tmp_path, row), tmp_path).notes == {
        "answers have more than 20 words: is that the right column?": 1,
        "not part of the prompt, though its name is one of a context: question": 1,
    }


@pytest.mark.parametrize("turns", [{"messages": CHAT}, {"conversations": SHAREGPT[:2]}])
@pytest.mark.parametrize("answer", ["final_answer", "answer"])
def test_a_gold_answer_beside_a_conversation_wins_over_its_last_turn(
    turns: dict[str, Any], answer: str, tmp_path: Path
) -> None:
    row = {"problem": "Capital of France?", "solution": "Long.", answer: "Lutetia", **turns}
    path = jsonl(tmp_path, row)
    [item] = items(taken(path, tmp_path))
    assert item["final_answer"] == "Lutetia"
    assert item["messages"][-1] == {"role": "user", "content": "Capital of France?"}
    [trace] = items(taken(path, tmp_path, "learn", train=True))
    assert trace["messages"][-1] == {"role": "assistant", "content": "Paris"}
    assert trace["metadata"][answer] == "Lutetia"


@pytest.mark.parametrize(
    ("answers", "choices", "expected"),
    [
        ([0, 1, 3, 2], "wxyz", "ABDC"),
        ([1, 2, 4, 3], "wxyz", "ABDC"),
        (["1", "2", "4", "3"], "wxyz", "ABDC"),
        ([1.0, 4.0], "wxyz", "AD"),
        (["0", "1", "2"], ["0", "4", "2"], "ABC"),
        (["6", "7"], "6789", "AB"),
        ([1, 0], ["1", "0"], "BA"),
        (["w", "nothing", "z"], "wxyz", "AD"),
        ([1, 2], "wxyz", "--answer-is from-0 or from-1"),
        ([0, 1, 4], "wxyz", "label|text|do not name their choices in one way"),
        (["1", "2", "3"], "3412", "as its text, or as its number from 0, or as its number from 1"),
        (["A", "B"], "BACD", "--answer-is label or text"),
        (["A", "A", "2"], "wxyz", "do not name their choices in one way"),
    ],
)
def test_how_answers_name_their_choices_is_settled_once_for_a_file(
    answers: list[Any], choices: Any, expected: str, tmp_path: Path
) -> None:
    rows = [
        {"question": f"Which, {n}?", "choices": list(choices), "answer": answer}
        for n, answer in enumerate(answers)
    ]
    path = jsonl(tmp_path, *rows)
    if not expected.isalpha():
        with pytest.raises(InputError, match=expected):
            looked_at(path, tmp_path)
        return
    report = taken(path, tmp_path, skip_bad=True)
    assert "".join(item["final_answer"] for item in items(report)) == expected


@pytest.mark.parametrize("choices", ["1 or 2 or 3", "[1, 2", {"A": "1"}])
def test_a_letter_is_no_answer_where_its_choices_cannot_be_read(choices: Any, tmp_path: Path) -> None:
    path = jsonl(tmp_path, {"question": EVEN, "choices": choices, "answer": "B"})
    with pytest.raises(InputError, match="answers are letters or numbers of choices, but choices cannot be"):
        looked_at(path, tmp_path)
    assert looked_at(path, tmp_path, format="columns").taken == 1
    written_out = jsonl(tmp_path, {"question": EVEN, "choices": choices, "answer": "two"})
    assert looked_at(written_out, tmp_path).taken == 1


def test_what_an_answer_is_can_be_said_and_is_recorded(hallmark, tmp_path: Path) -> None:
    path = jsonl(tmp_path, {"question": EVEN, "choices": ["1", "2", "3"], "answer": 1})
    for answer_is, letter in (("from-0", "B"), ("from-1", "A")):
        report = taken(path, tmp_path, answer_is=answer_is, name=answer_is)
        assert [item["final_answer"] for item in items(report)] == [letter]
        manifest = load_dataset(report.path).manifest
        assert manifest is not None
        assert manifest.origin is not None
        assert (report.answer_is, manifest.origin.answer_is) == (answer_is, answer_is)
    refused = looked_at(path, tmp_path, answer_is="label").refusals
    assert [each.reason for each in refused] == [
        "answer: '1' is not the label of a choice; there are 3 choices"
    ]
    for wrong, problem in (("number", "known are label, text, from-0, from-1"), ("text", "read as columns")):
        other = jsonl(tmp_path, {"question": "x?", "answer": "y"}, name="other.jsonl")
        with pytest.raises(InputError, match=problem):
            looked_at(other, tmp_path, answer_is=wrong)
    result = hallmark("golden", "import", path, "--name", "cli", "--out", tmp_path, "--answer-is", "from-1")
    assert "an answer is: from-1" in result.stdout


def test_columns_are_mapped_and_the_others_are_kept(tmp_path: Path) -> None:
    row = {
        "ctx": "The sky is blue.",
        "ask": "Which colour?",
        "gold": {"text": ["blue", "azure"], "start": [11]},
        "kind": "Colours",
        "key": "k-1",
        "by": "ann",
        "note": None,
    }
    columns = {"prompt": "ctx+ask", "final_answer": "gold.text", "category": "kind", "trace_id": "key"}
    report = taken(jsonl(tmp_path, row), tmp_path, columns=columns)
    [trace] = read_traces(report.path)
    assert trace.model_dump() == {
        "trace_id": "k-1",
        "prompt": "The sky is blue.\n\nWhich colour?",
        "final_answer": ["blue", "azure"],
        "category": "colours",
        "metadata": {"by": "ann"},
    }
    assert (report.metadata, report.notes) == (["by", "note"], {"category 'Colours' is written colours": 1})
    manifest = load_dataset(report.path).manifest
    assert manifest is not None
    assert manifest.origin is not None
    assert manifest.origin.map == columns


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("prompt", "expected FIELD=COLUMN"),
        ("prompt=frage,prompt=antwort", "prompt is given twice"),
        ("answer=antwort", "answer is no field; fields are trace_id, prompt"),
        ("prompt=question", "no column question; columns are frage, antwort"),
        ("category=antwort", "no column looks like prompt and final_answer; columns are frage, antwort"),
    ],
)
def test_a_map_that_does_not_fit_is_refused_with_what_there_is(given, problem, tmp_path: Path) -> None:
    path = jsonl(tmp_path, {"frage": "2 + 2?", "antwort": 4})
    with pytest.raises(InputError, match=problem):
        looked_at(path, tmp_path, columns=column_map([given]))
    mapped = looked_at(path, tmp_path, columns=column_map(["prompt=frage,final_answer=antwort"]))
    assert mapped.taken == 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (72, "72"),
        (72.0, "72.0"),
        (-0.5, "-0.5"),
        (True, "true"),
        ("007", "007"),
        (" 5 ", " 5 "),
        (["a", "a", 1], ["a", "1"]),
        (10**30, str(10**30)),
    ],
)
def test_an_answer_of_a_text_is_as_it_is_written(answer: Any, expected: Any, tmp_path: Path) -> None:
    report = taken(jsonl(tmp_path, {"prompt": "x?", "answer": answer}), tmp_path, judge="exact_match@v1")
    assert items(report)[0]["final_answer"] == expected
    price = tmp_path / "price.jsonl"
    price.write_text('{"prompt": "x?", "answer": 7.50, "metadata": {"x": 7.50}}\n')
    [item] = items(taken(price, tmp_path, "price"))
    assert (item["final_answer"], item["metadata"]) == ("7.50", {"x": 7.5})


def test_a_number_of_a_binary_file_is_written_in_its_shortest_form(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    parquet.write_table(arrow.table({"prompt": ["a?", "b?", "c?"], "answer": [72.0, 0.1, None]}), path)
    report = looked_at(path, tmp_path, skip_bad=True)
    assert [item["final_answer"] for item in report.preview] == ["72", "0.1"]
    assert report.refusals[0].model_dump() == {"where": "row 3", "reason": "final_answer: missing field"}


REFUSED: dict[str, tuple[bytes, str]] = {
    "null": (b'{"prompt": "x?", "answer": null}', "final_answer: missing field"),
    "NaN": (b'{"prompt": "x?", "answer": NaN}', "final_answer: missing field"),
    "infinity": (b'{"prompt": "x?", "answer": Infinity}', "final_answer: inf is no number"),
    "too large a number": (
        b'{"prompt": "x?", "answer": 1e999}',
        "final_answer: 1e999 is beyond every number",
    ),
    "blank": (b'{"prompt": "x?", "answer": " "}', "final_answer: missing field"),
    "an empty list": (b'{"prompt": "x?", "answer": []}', "final_answer: missing"),
    "an object": (
        b'{"prompt": "x?", "answer": {"text": "a"}}',
        "final_answer: expected a text, got an object with text; --map final_answer=COLUMN.text",
    ),
    "no prompt": (b'{"answer": "1"}', "prompt: missing field"),
    "not JSON": (b'{"prompt": "x?", ', "not valid JSON"),
    "a number": (b"7", "expected a JSON object, got 7"),
    "an array": (b"[]", "expected a JSON object, got an array"),
    "a field twice": (b'{"prompt": "x?", "prompt": "y?", "answer": "1"}', "field 'prompt' occurs twice"),
    "half a character": (b'{"prompt": "x \\ud800?", "answer": "1"}', "half of a character"),
    "NUL": (b'{"prompt": "x \\u0000?", "answer": "1"}', "NUL"),
    "5 MB": (
        b'{"prompt": "%s", "answer": "1"}' % (b"x" * 5_000_000),
        "a line of 5,000,101 bytes; at most",
    ),
    "nothing can win": (b'{"prompt": "x?", "answer": "<"}', "no model can be right"),
    "nested too deeply": (b"[" * 100_000, "nested too deeply"),
}


V1 = "answer_correctness@v1"


@pytest.mark.parametrize("case", REFUSED)
def test_every_bad_row_is_refused_with_line_and_reason_and_none_is_dropped(case: str, tmp_path: Path) -> None:
    bad, reason = REFUSED[case]
    path = tmp_path / "rows.jsonl"
    good = b'{"prompt": "What is %d?", "answer": "%d"}\n'
    path.write_bytes(good % (1, 1) + good % (2, 2) + bad + b"\n" + good % (3, 3))
    report = looked_at(path, tmp_path, judge=V1)
    assert (report.rows, report.refused, report.taken, report.blocked) == (4, 1, 3, True)
    assert report.refusals[0].where == "line 3"
    assert reason in report.refusals[0].reason
    with pytest.raises(InputError, match=r"1 of 4 rows is refused:\n  line 3: "):
        taken(path, tmp_path, judge=V1)
    assert list(tmp_path.glob("mine*")) == []
    left_out = taken(path, tmp_path, skip_bad=True, judge=V1)
    assert [item["final_answer"] for item in items(left_out)] == ["1", "2", "3"]
    manifest = load_dataset(left_out.path).manifest
    assert manifest is not None
    assert manifest.origin is not None
    assert manifest.origin.refused == 1


FILES: dict[str, tuple[str, bytes, str]] = {
    "empty": ("rows.jsonl", b"", "is empty"),
    "only a mark": ("rows.csv", b"\xef\xbb\xbf", "is empty"),
    "header only": ("rows.csv", b"prompt,answer\r\n", "has no rows"),
    "an empty array": ("rows.json", b"[]", "has no rows"),
    "garbage": ("rows.csv", bytes(range(256)) * 40, "is no text"),
    "garbage without NUL": ("rows.jsonl", b"\xff\x81\x8d" * 40, "is no text, or in an encoding"),
    "UTF-8 with one bad byte": (
        "rows.csv",
        "prompt,answer\nGröße?,1\nL".encode() + b"\xe4nge?,2\n",
        "not UTF-8 at byte 26, though what comes before it is",
    ),
    "a column twice": ("rows.csv", b"prompt,answer,answer\na?,1,2\n", "'answer': several columns have"),
    "an open quotation mark": ("rows.csv", b'prompt,answer\na?,1\n"b?,2\n', ":3: not valid CSV"),
    "no rows at all": ("rows.jsonl", b"x\ny\n", "line 1: not valid JSON"),
    "a string": ("rows.json", b'"hello"', "expected an array of objects"),
    "two arrays": ("rows.json", b'{"a": [{"x": 1}], "b": [{"x": 2}]}', "several arrays of rows: a, b"),
    "no Parquet": ("rows.parquet", b"PAR1 and no more", "is no Parquet file, or is damaged"),
    "no Arrow": ("rows.arrow", b"ARROW1 and no more", "is no Arrow file, or is damaged"),
    "an LFS pointer": ("rows.parquet", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "a spreadsheet": ("rows.xlsx", b"PK", "Save it as CSV first"),
    "packed": ("rows.jsonl.gz", b"\x1f\x8b", "Unpack it first"),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_cannot_be_read_is_refused_by_name(case: str, tmp_path: Path) -> None:
    name, content, problem = FILES[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{re.escape(name)}.*{re.escape(problem)}"):
        looked_at(tmp_path / name, tmp_path)


def test_a_missing_file_says_where_it_was_looked_for(hallmark, tmp_path: Path) -> None:
    (tmp_path / "tickets.csv").write_text("prompt,answer\na?,1\n")
    result = hallmark("golden", "import", "ticket.csv", "--name", "mine")
    assert_refused(result, 2, f"Looked for {tmp_path}/ticket.csv; that folder has tickets.csv")


def test_a_mark_in_the_middle_of_joined_files_is_no_problem(tmp_path: Path) -> None:
    part = b'\xef\xbb\xbf{"prompt": "a%d?", "answer": "1"}\n'
    path = tmp_path / "rows.jsonl"
    path.write_bytes(part % 1 + part % 2)
    assert looked_at(path, tmp_path).taken == 2


def test_rows_of_other_widths_are_refused_and_blank_ones_are_none(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"prompt,answer\r\na?,1\r\nb?,2,3\r\n\r\n,\r\nc?\r\nd?,4\r\n")
    report = looked_at(path, tmp_path)
    assert (report.rows, report.taken) == (4, 2)
    assert [(each.where, each.reason) for each in report.refusals] == [
        ("line 3", "has 3 cells, and the header has 2"),
        ("line 6", "has 1 cells, and the header has 2"),
    ]


def test_jsonl_that_is_called_json_and_the_other_way_round(tmp_path: Path) -> None:
    rows = [{"prompt": f"{n}?", "answer": "1"} for n in range(3)]
    jsonl(tmp_path, *rows, name="rows.json")
    assert looked_at(tmp_path / "rows.json", tmp_path).shape == "JSONL"
    (tmp_path / "rows.jsonl").write_text(json.dumps(rows, indent=2))
    assert looked_at(tmp_path / "rows.jsonl", tmp_path).shape == "JSON"
    (tmp_path / "rows.json").write_text(json.dumps({"train": rows[:1], "test": rows}))
    assert looked_at(tmp_path / "rows.json", tmp_path, split="test").taken == 3


def test_the_same_item_twice_is_taken_once(tmp_path: Path) -> None:
    rows = [
        {"id": 1, "prompt": "2 + 2?", "answer": "4", "page": 1},
        {"id": 2, "prompt": "2 + 2?", "answer": "4", "page": 2},
        {"id": 3, "prompt": "2 + 2?", "answer": "4", "system": "In words."},
    ]
    report = taken(jsonl(tmp_path, *rows), tmp_path)
    assert (report.duplicates, report.taken) == (1, 2)
    assert [trace.trace_id for trace in read_traces(report.path)] == ["1", "3"]


def test_two_ways_to_one_answer_are_two_training_examples(tmp_path: Path) -> None:
    rows = [{"prompt": "2 + 2?", "answer": "4", "steps": steps} for steps in (["a"], ["b"], ["a"])]
    report = looked_at(jsonl(tmp_path, *rows), tmp_path, train=True)
    assert (report.taken, report.duplicates, report.contradictions) == (2, 1, 0)
    assert looked_at(jsonl(tmp_path, *rows), tmp_path).taken == 1


@pytest.mark.parametrize(
    ("ids", "kept", "said"),
    [
        (["a", "b"], True, None),
        ([7, 8], True, None),
        (["a", "a"], False, "`id` has some more than once"),
        (["a", "b c"], False, "`id` has 'b c', which cannot be one"),
        (["a", None], False, None),
    ],
)
def test_ids_are_kept_where_they_are_unique_and_well_formed(ids, kept, said, tmp_path: Path) -> None:
    rows = [{"id": given, "prompt": f"{n}?", "answer": "1"} for n, given in enumerate(ids)]
    report = taken(jsonl(tmp_path, *rows), tmp_path)
    found = [trace.trace_id for trace in read_traces(report.path)]
    assert (found == [str(each) for each in ids]) == kept
    assert all(len(each) == 36 for each in found) != kept
    assert said is None or any(said in note for note in report.notes)


def test_contradictions_are_refused_with_both_lines(tmp_path: Path) -> None:
    rows = [
        {"prompt": "2 + 2?", "answer": "4"},
        {"prompt": "other?", "answer": "1"},
        {"prompt": "2+2", "answer": "5"},
    ]
    path = jsonl(tmp_path, *rows)  # fmt: skip
    report = looked_at(path, tmp_path)
    assert (report.contradictions, report.refused, report.taken) == (1, 2, 1)
    assert '"2 + 2?" is answered "4" and "5" (line 1 and line 3)' in report.refusals[0].reason
    taught = looked_at(jsonl(tmp_path, *rows, {**rows[0], "answer": "four"}), tmp_path, train=True)
    assert (taught.contradictions, taught.refused, taught.taken) == (1, 0, 4)


def test_overlap_is_refused_on_either_side(tmp_path: Path) -> None:
    story = "If a train leaves Rome at nine in the evening, when is it home again for its driver?"
    leaks = {"prompt": f"Remember: {story}", "completion": "ten"}
    clean = {"prompt": "Name a colour.", "completion": "red"}
    asked = [{"prompt": story, "answer": "ten"}, {"prompt": "2 + 2?", "answer": "4"}]
    train = taken(jsonl(tmp_path, leaks, clean), tmp_path, "learn", train=True)
    golden = looked_at(jsonl(tmp_path, *asked), tmp_path, against=[train.path])
    assert (golden.overlaps, golden.refused, golden.taken) == (1, 1, 1)
    assert "learn-v1 holds it" in golden.refusals[0].reason
    kept = taken(jsonl(tmp_path, *asked), tmp_path, "asked")
    cleaned = taken(
        jsonl(tmp_path, leaks, clean), tmp_path, "clean", train=True, against=[kept.path], skip_bad=True
    )
    assert (cleaned.overlaps, cleaned.taken) == (1, 1)
    assert cleaned.refusals[0].where == "line 1"
    assert "of asked-v1 (contained)" in cleaned.refusals[0].reason


def test_a_sample_is_drawn_by_its_seed_whatever_the_order(tmp_path: Path) -> None:
    rows = [{"prompt": f"What is {n}?", "answer": str(n)} for n in range(50)]
    first = taken(jsonl(tmp_path, *rows), tmp_path, sample=10, seed=3)
    turned = looked_at(jsonl(tmp_path, *reversed(rows)), tmp_path, sample=10, seed=3)
    other = looked_at(jsonl(tmp_path, *rows), tmp_path, sample=10, seed=4)
    assert first.taken == turned.taken == 10
    prompts = {item["prompt"] for item in items(first)}
    assert {item["prompt"] for item in turned.preview} <= prompts
    assert other.sha256 != first.sha256
    manifest = load_dataset(first.path).manifest
    assert manifest is not None
    assert manifest.origin is not None
    assert (manifest.origin.sample, manifest.origin.seed, manifest.origin.rows) == (10, 3, 50)
    with pytest.raises(InputError, match="--sample 51: only 50 items"):
        looked_at(jsonl(tmp_path, *rows), tmp_path, sample=51)


def test_other_content_is_the_next_version_and_the_same_is_there_already(tmp_path: Path) -> None:
    one, two = {"prompt": "a?", "answer": "1"}, {"prompt": "b?", "answer": "2"}
    names = []
    for rows in ([one], [one, two], [one], [two]):
        report = taken(jsonl(tmp_path, *rows), tmp_path)
        names.append((report.path.name, report.written))
    assert names == [
        ("mine-v1.jsonl", True),
        ("mine-v2.jsonl", True),
        ("mine-v1.jsonl", False),
        ("mine-v3.jsonl", True),
    ]
    with pytest.raises(InputError, match=r"mine-v1\.jsonl: is there already, with other content"):
        taken(jsonl(tmp_path, two), tmp_path, "mine-v1")
    assert taken(jsonl(tmp_path, two), tmp_path, "mine-v7").path.name == "mine-v7.jsonl"
    with pytest.raises(InputError, match="--name My Set: expected a key"):
        looked_at_name(jsonl(tmp_path, two), "My Set")


def looked_at_name(path: Path, name: str) -> None:
    with import_prepared(path, name):
        pass


def test_a_dataset_that_was_left_unfrozen_is_frozen_by_the_same_command(tmp_path: Path) -> None:
    path = jsonl(tmp_path, {"prompt": "a?", "answer": "1"})
    report = taken(path, tmp_path)
    manifest = report.path.with_suffix(".manifest.json")
    whole = manifest.read_bytes()
    manifest.unlink()
    assert not taken(path, tmp_path).written
    assert manifest.read_bytes() == whole


def test_what_is_said_of_the_licence_and_the_making_is_in_the_manifest(hallmark, tmp_path: Path) -> None:
    path = jsonl(tmp_path, {"prompt": "a?", "answer": "1"})
    options = ("--licence", "MIT", "--made-by", "by hand", "--judge", "exact_match@v1", "--out", "data")
    report = json.loads(hallmark("golden", "import", path, "--name", "mine", *options, "--json").stdout)
    manifest = load_dataset(tmp_path / "data" / "mine-v1.jsonl").manifest
    assert manifest is not None
    assert (manifest.licence, manifest.made_by, manifest.judge) == ("MIT", "by hand", "exact_match@v1")
    assert (manifest.purpose, report["licence"]) == ("golden", "MIT")
    said = hallmark("golden", "import", path, "--name", "other").stdout
    assert "licence: unknown" in said


def test_refused_rows_stop_the_command_with_the_report(hallmark, tmp_path: Path) -> None:
    path = jsonl(tmp_path, {"prompt": "a?", "answer": "1"}, {"prompt": "b?"}, {"prompt": "c?"})
    result = hallmark("golden", "import", path, "--name", "mine")
    shown = " ".join(result.stdout.split())
    assert result.returncode == 2
    assert "refused: 2 line 2: final_answer: missing field" in shown
    assert "leave them out (--skip-bad)" in shown
    assert list(tmp_path.glob("mine*")) == []
    whole = hallmark("golden", "import", path, "--name", "mine", "--json")
    assert whole.returncode == 2
    assert json.loads(whole.stdout)["refused"] == 2
    assert hallmark("golden", "import", path, "--name", "mine", "--skip-bad").returncode == 0


def test_what_messages_hold_beside_their_text_is_said(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "Look"}, {"type": "text", "text": "here."}]
    rows = [
        {"messages": [{"role": "user", "content": parts}, *CHAT[2:]]},
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}, *CHAT[2:]]},
        {"messages": [*CHAT[:2], {"role": "assistant", "content": None, "tool_calls": [{"id": 1}]}]},
        {"messages": [{"role": "narrator", "content": "x"}]},
        {"messages": CHAT[:2]},
    ]
    report = looked_at(jsonl(tmp_path, *rows), tmp_path, train=True)
    assert report.preview[0]["messages"][0] == {"role": "user", "content": "Look\nhere."}
    assert report.notes == {"`weight` of messages is left out": 1}
    assert [each.reason for each in report.refusals] == [
        "messages.0: has a part that is no text",
        "messages.2: calls a tool, which a dataset cannot hold",
        f"messages.0: role: 'narrator' is no role; known are {', '.join(SPEAKERS)}",
        "messages: ends without a turn of the assistant's, so nothing would be taught",
    ]


def test_dates_decimals_and_bytes_of_binary_files(tmp_path: Path) -> None:
    from datetime import date
    from decimal import Decimal

    path = tmp_path / "rows.parquet"
    rows = {"prompt": ["a?"], "answer": [Decimal("7.50")], "when": [date(2026, 1, 2)], "image": [b"\x89PNG"]}
    parquet.write_table(arrow.table(rows), path)
    report = looked_at(path, tmp_path)
    assert report.preview[0]["final_answer"] == "7.50"
    assert report.preview[0]["metadata"] == {"when": "2026-01-02"}
    assert report.notes == {"bytes of image are left out": 1}


def test_the_files_of_one_split_are_read_one_after_the_other(tmp_path: Path) -> None:
    folder = arrow_files(tmp_path / "saved", [*ROWS, {**ROWS[0]}, {**ROWS[0], "answer": None}])
    report = looked_at(folder, tmp_path)
    assert report.shape == "2 files of Arrow"
    assert report.repeated[0].model_dump() == {
        "where": "data-00001-of-00002.arrow row 2",
        "reason": "repeats data-00000-of-00002.arrow row 1",
    }
    assert report.refusals[0].where == "data-00001-of-00002.arrow row 3"


def test_many_rows_are_imported_in_their_order(tmp_path: Path) -> None:
    rows = [{"prompt": f"What is {n}?", "answer": str(n)} for n in range(3000)]
    path = tmp_path / "rows.parquet"
    parquet.write_table(arrow.Table.from_pylist(rows), path, row_group_size=500)
    report = taken(path, tmp_path)
    assert [item["prompt"] for item in items(report)] == [row["prompt"] for row in rows]


LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
TEXTS = st.text(LETTERS, min_size=1, max_size=12).filter(str.strip)
NAMES = st.from_regex(r"\A[a-z][a-z0-9_\-]{0,7}\Z")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)
MAYBE = {
    "steps": st.lists(TEXTS, max_size=3),
    "system": TEXTS,
    "group": NAMES,
    "metadata": st.dictionaries(TEXTS, VALUES, max_size=3),
}
ITEM = st.fixed_dictionaries(
    {"prompt": TEXTS, "final_answer": TEXTS | st.lists(TEXTS, min_size=1, max_size=3), "category": NAMES},
    optional=MAYBE,
)
TURNS = st.lists(TEXTS, min_size=1, max_size=3).map(
    lambda said: [{"role": role, "content": text} for text in said for role in ("user", "assistant")]
)
TRACE = ITEM | st.fixed_dictionaries({"prompt": TEXTS, "completion": TEXTS}, optional=MAYBE)
TRACE = TRACE | st.fixed_dictionaries({"messages": TURNS}, optional=MAYBE)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(TRACE, min_size=1, max_size=4, unique_by=lambda line: json.dumps(line.get("prompt"))),
    suffix=st.sampled_from(sorted(WRITERS)),
)
def test_what_was_exported_is_imported_again_with_equal_rows(
    lines: list[dict[str, Any]], suffix: str, tmp_path: Path
) -> None:
    for old in tmp_path.iterdir():
        old.unlink()
    traces = [Trace.model_validate({"trace_id": f"t-{n}", **line}) for n, line in enumerate(lines)]
    path = tmp_path / "mine-v1.jsonl"
    write_jsonl(path, (trace.model_dump() for trace in traces))
    assert export_dataset(path, tmp_path / f"out{suffix}") == len(traces)
    report = taken(tmp_path / f"out{suffix}", tmp_path, train=True)
    assert report.path == path
    assert not report.written


def test_an_export_is_refused_where_a_file_is_or_the_ending_is_unknown(hallmark, tmp_path: Path) -> None:
    path = small_dataset(tmp_path)
    assert_refused(
        hallmark("golden", "export", path, "out.xlsx"), 2, "ends in .jsonl, .json, .csv, .tsv, .parquet"
    )
    assert hallmark("golden", "export", path, "out.csv").returncode == 0
    assert_refused(hallmark("golden", "export", path, "out.csv"), 2, "--force replaces it")
    assert hallmark("golden", "export", path, "out.csv", "--force").returncode == 0
    assert (tmp_path / "out.csv").read_text().splitlines()[1].startswith("t0,Question 0?")


def test_gsm8k_is_imported_as_it_is(tmp_path: Path) -> None:
    path = SHARED / "data" / "gsm8k" / "test.jsonl"
    if not path.is_file():
        pytest.skip(f"{path} is not here; HALLMARK_SHARED names the folder that holds data/gsm8k")
    report = taken(path, tmp_path, "gsm8k", sample=100)
    assert (report.format, report.rows, report.taken, report.refused) == ("gsm8k", 1319, 100, 0)
    for item in read_items(report.path):
        assert "<<" not in "".join(item.steps)
        assert "," not in item.reference
        assert math.isfinite(float(item.reference))
    assert all(isinstance(item, Item) for item in read_items(report.path))


def test_on_a_terminal_a_person_is_asked_first(home: Path, tmp_path: Path) -> None:
    path = jsonl(tmp_path, {"prompt": "a?", "answer": "1"})
    command = [
        str(Path(sys.executable).with_name("hallmark")),
        "golden",
        "import",
        str(path),
        "--name",
        "mine",
    ]
    for answer, written in (("n", False), ("y", True)):
        ours, theirs = pty.openpty()
        with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=tmp_path) as process:
            os.close(theirs)
            os.write(ours, f"{answer}\n".encode())
            shown = b""
            with contextlib.suppress(OSError):  # what a terminal gives when the program has ended
                while piece := os.read(ours, 1 << 16):
                    shown += piece
            os.close(ours)
        assert process.returncode == 0
        assert b"Write mine-v1.jsonl?" in shown
        assert (tmp_path / "mine-v1.jsonl").exists() == written
        assert (b"Nothing was written." in shown) != written


def test_a_dataset_is_imported_and_exported_from_python(tmp_path: Path) -> None:
    source = jsonl(tmp_path, {"prompt": "a?", "answer": ["1", "one"]}, {"prompt": "b?", "answer": "2"})
    report = hm.import_dataset(source, "mine", out=tmp_path, sample=1)
    assert (report.taken, report.written) == (1, True)
    assert report.to_frame()[["question", "answer"]].values.tolist() in ([["a?", "1 | one"]], [["b?", "2"]])
    assert hm.export_dataset(report.path, tmp_path / "out.csv") == 1
    with pytest.raises(hm.InputError, match="1 of 1 row is refused"):
        hm.import_dataset(jsonl(tmp_path, {"prompt": "a?", "answer": None}), "other", out=tmp_path)


def test_the_example_of_the_documentation_runs(hallmark, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "golden.md").read_text()
    section = page.partition("## Import\n")[2]
    table, commands = (re.search(rf"```{kind}\n(.*?)```", section, re.DOTALL) for kind in ("csv", "sh"))
    assert table
    assert commands
    (tmp_path / "tickets.csv").write_text(table[1])
    for command in commands[1].splitlines():
        result = hallmark(*shlex.split(command)[1:])
        assert result.returncode == 0, result.stderr
    assert [item.category for item in read_items(tmp_path / "support-v1.jsonl")] == [
        "keys",
        "paths",
        "limits",
    ]
    assert (tmp_path / "support.parquet").is_file()
