"""What did it say? And which run was it? The first questions after an evaluation, answered in one command."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import hallmark as hm
from core.errors import InputError
from core.files import read_json
from evaluation.hints import AnswerCounts, hints
from evaluation.metrics import MetricsSnapshot
from experiments.answers import answers, count_answers
from experiments.workspace import Workspace
from golden.schema import Item
from hallmark.since import since
from registry import Registry
from reports.prefect_runs import metrics_report
from tests.support.recorded_runs import recorded_run, workspace_at
from tests.support.registry_entries import finished, start
from tests.support.small_datasets import small_dataset

pytestmark = pytest.mark.unit

ASKED = {"system": "Be brief.", "instruction": "End with Answer: X."}


@pytest.fixture
def place(home: Path) -> Workspace:
    return workspace_at(home)


def some_wrong(place: int, item: Item) -> str:
    return f"I think.\nAnswer: {item.reference if place % 2 else 'no'}" if place else ""


def test_the_wrong_answers_are_shown_with_what_was_asked_found_and_expected(
    place: Workspace, tmp_path: Path, hallmark
) -> None:
    dataset = str(small_dataset(tmp_path))
    run = recorded_run(place, some_wrong, cut=[2], dataset=dataset, prompt=ASKED)
    first, second = answers(run.run_id, place.registry, wrong=5)
    assert (first.trace_id, first.prediction, first.extracted, first.reason) == ("t0", "", None, "empty")
    assert second.asked == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Question 2?\n\nEnd with Answer: X."},
    ]
    assert (second.accepted, second.extracted, second.cut_off) == (["3"], "no", True)
    assert [each.trace_id for each in answers(run.run_id, place.registry, right=1)] == ["t1"]
    assert [each.trace_id for each in answers(run.run_id, place.registry, wrong=1, items=["t3"])] == [
        "t0",
        "t3",
    ]
    printed = hallmark("runs", "show", run.run_id[-6:], "--wrong", 2).stdout
    for text in (
        "  system   Be brief.",
        "  user     Question 2?",
        "           End with Answer: X.",
        "  right    3",
        "  judged   wrong: found no, cut off at max_new_tokens",
        "  answer   I think.",
        "           Answer: no",
    ):
        assert text in printed
    document = json.loads(hallmark("runs", "show", run.run_id, "--wrong", 1, "--json").stdout)
    assert document["answers"][0]["trace_id"] == "t0"
    assert document["run_id"] == run.run_id
    assert f"hallmark runs show {run.run_id} --wrong 5" in hallmark("runs", "show", run.run_id).stdout
    missing = hallmark("runs", "show", run.run_id, "--item", "t9")
    assert missing.returncode == 2
    assert "has no item t9. Its items begin with t0, t1, t2" in " ".join(missing.stderr.split())


def test_python_gives_the_same_answers_as_a_table(place: Workspace, tmp_path: Path) -> None:
    run = hm.run(recorded_run(place, some_wrong, dataset=str(small_dataset(tmp_path))).run_id)
    assert [answer.trace_id for answer in run.wrong(5)] == ["t0", "t2"]
    assert [answer.trace_id for answer in run.right(1)] == ["t1"]
    assert run.answers("t3")[0].score == 1
    assert run.wrong(2).table_rows()[1] == {
        "item": "t2",
        "asked": "Question 2?",
        "right": "3",
        "found": "no",
        "rung": None,
        "reason": "wrong",
        "answer": "I think. Answer: no",
    }


def test_the_page_of_a_run_shows_wrong_answers_and_hints(place: Workspace, tmp_path: Path) -> None:
    run = recorded_run(place, lambda *_: "", dataset=str(small_dataset(tmp_path)))
    counts = count_answers(place.registry.runs.get(run.run_id), place.registry)
    wrong = answers(run.run_id, place.registry, wrong=2)
    shown = metrics_report(
        MetricsSnapshot.model_validate(read_json(run.files.metrics)), run.run_id, counts, wrong
    )
    assert "4 of 4 completions are empty" in shown
    stacked = [
        "asked: `Question 0?`",
        "right answer: `1`",
        "judged: `empty: no answer was found`",
        "answer: nothing",
    ]
    assert "**`t0`**\n\n- " + "\n- ".join(stacked) in shown
    assert "The first 2 that are not right, of 4." in shown
    assert hm.run(run.run_id).hints == hints(counts)
    assert hm.run(run.run_id).document()["hints"] == hints(counts)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (AnswerCounts(n=40, right=0, found=3, empty=0), ["An answer was found in 3 of 40 completions"]),
        (
            AnswerCounts(n=40, right=0, found=40, empty=0, cut=37, max_new_tokens=128),
            ["37 of 40 completions were cut off at 128 tokens: raise generation.max_new_tokens."],
        ),
        (AnswerCounts(n=40, right=1, found=0, empty=39), ["39 of 40 completions are empty"]),
        (
            AnswerCounts(n=40, right=1, found=40, empty=0, rungs={"whole_text": (1, 39)}),
            ["40 of 40 answers were found as whole_text, 1 of them right: the model does not mark"],
        ),
        (
            AnswerCounts(n=40, right=2, found=35, empty=0, cut=6, rungs={"last_number": (2, 30)}),
            ["6 of 40 completions were cut off", "An answer was found in 35", "32 of 35 answers were found"],
        ),
        (AnswerCounts(n=40, right=20, found=35, empty=0, cut=6, rungs={"last_number": (20, 15)}), []),
        (
            AnswerCounts(
                n=40, right=0, found=40, empty=0, cut=38, max_new_tokens=128, rungs={"last_number": (0, 40)}
            ),
            ["38 of 40 completions were cut off"],
        ),
        (AnswerCounts(n=40, right=40, found=40, empty=0, cut=40, rungs={"whole_text": (40, 0)}), None),
        (AnswerCounts(n=40, right=0, found=40, empty=0, cut=0, rungs={"marker": (0, 40)}), []),
        (AnswerCounts(n=0, right=0, found=0, empty=0), []),
    ],
)
def test_a_hint_follows_from_the_counts(counts: AnswerCounts, expected: list[str] | None) -> None:
    if expected is None:  # all cut off, and all right: counted as cut only where they are not right
        counts = AnswerCounts(n=40, right=40, found=40, empty=0, cut=0, rungs={"whole_text": (40, 0)})
        expected = []
    found = hints(counts)
    assert len(found) == len(expected), found
    for sentence, beginning in zip(found, expected, strict=True):
        assert sentence.startswith(beginning) or beginning in sentence


def test_a_run_is_named_by_a_unique_end_of_its_id(registry: Registry, hallmark) -> None:
    for run_id in ("20261124-101500-ab12cd", "20261124-101501-cd12ef", "20261125-101500-0012ef"):
        start(registry, run_id)
    assert registry.runs.get("ab12cd").run_id == "20261124-101500-ab12cd"
    assert registry.runs.get("-ab12cd").run_id == "20261124-101500-ab12cd"
    assert registry.runs.get("20261125").run_id == "20261125-101500-0012ef"
    assert registry.runs.get("cd12ef").run_id == "20261124-101501-cd12ef"
    with pytest.raises(InputError, match="several ids begin or end with this: 20261125-101500-0012ef, 2026"):
        registry.runs.get("12ef")
    with pytest.raises(InputError, match="there is none"):
        registry.runs.get("%cd")
    start(registry, "cd")
    assert registry.runs.get("cd").run_id == "cd", "a whole id is that run, whatever else ends so"


@pytest.fixture
def many(registry: Registry, tmp_path: Path) -> Registry:
    """Runs of several models, datasets and judges."""
    other = registry.datasets.register("support", "v2", "b" * 64, 2)
    start(registry, "r1", kind="baseline", base_model="org/small@a1b2c3")
    start(registry, "r2", base_model="org/small@ffffff", judge="exact_match@v1")
    start(registry, "r3", base_model="registry:tiny-reasoner@v2", dataset_id=other.id)
    start(registry, "r4", base_model="models/small/", judge="exact_match@v2", dataset_id=other.id)
    registry.runs.fail("r2", "no disk")
    finished(registry, tmp_path, "five")
    return registry


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"model": "org/small"}, ["r2", "r1"]),
        ({"model": "small"}, ["r4", "r2", "r1"]),
        ({"model": "org/small@ffffff"}, ["r2"]),
        ({"model": "models/small"}, ["r4"]),
        ({"model": "tiny-reasoner"}, ["r3"]),
        ({"model": "registry:tiny-reasoner@v2"}, ["r3"]),
        ({"dataset": "support-v2"}, ["r4", "r3"]),
        ({"dataset": "support"}, ["r4", "r3"]),
        ({"dataset": "data/support-v2.jsonl", "judge": "exact_match"}, ["r4"]),
        ({"judge": "exact_match@v1"}, ["r2"]),
        ({"kind": "baseline"}, ["r1"]),
        ({"status": "failed"}, ["r2"]),
        ({"since": "2999-01-01T00:00:00.000000+00:00"}, []),
    ],
)
def test_runs_are_found_by_model_dataset_judge_kind_status_and_time(
    filters: dict[str, str], expected: list[str], many: Registry
) -> None:
    assert [run.run_id for run in many.runs.list(**filters)] == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"model": "large"}, "model large: no run is of it. Recorded are models/small/, org/small@a1b2c3"),
        ({"dataset": "golden"}, "dataset golden: no run is of it. Recorded are sample-v1, support-v2."),
        (
            {"judge": "bleu"},
            "judge bleu: no run is of it. Recorded are answer_correctness@v1, exact_match@v1",
        ),
    ],
)
def test_what_no_run_is_of_lists_what_there_is(filters: dict[str, str], message: str, many: Registry) -> None:
    with pytest.raises(InputError) as raised:
        many.runs.list(**filters)  # type: ignore[arg-type]
    assert str(raised.value).startswith(message)


def test_the_runs_of_a_model_are_found_by_an_index(many: Registry) -> None:
    with many.database.engine.connect() as connection:
        if connection.dialect.name != "sqlite":
            pytest.skip("a server chooses by its statistics")
        for column, value in (("base_model", "'m'"), ("dataset_id", "1"), ("started_at", "'2026'")):
            asked = f"EXPLAIN QUERY PLAN SELECT * FROM run WHERE {column} = {value} ORDER BY id DESC LIMIT 20"
            plan = " ".join(str(row) for row in connection.exec_driver_sql(asked))
            assert f"ix_run_{column}" in plan


def test_the_list_tells_trained_runs_apart(place: Workspace, tmp_path: Path, hallmark) -> None:
    dataset = str(small_dataset(tmp_path))
    recorded_run(place, dataset=dataset)
    settings = {"steps": 1500, "learning_rate": 2e-5, "seed": 3, "method": "lora"}
    run = recorded_run(place, trained=True, dataset=dataset, train=settings)
    listed = hm.runs(kind="trained", model="tiny-base", dataset="small", since="1h")
    assert [summary.run_id for summary in listed] == [run.run_id]
    assert listed[0].details == "lora, 1,500 steps, lr 2e-05, seed 3, on train-v1"
    assert listed[0].dataset == "small-v1"
    printed = hallmark("runs", "list", "--kind", "trained", "--since", "1h", "--status", "finished")
    assert "lora, 1,500 steps, lr 2e-05" in " ".join(printed.stdout.split())
    [document] = json.loads(hallmark("runs", "list", "--kind", "trained", "--json").stdout)
    assert (document["dataset"], document["training"]["steps"]) == ("small-v1", 1500)
    assert "no such runs" in hallmark("runs", "list", "--since", "2999-01-01").stdout
    for options in (["--since", "tomorrow"], ["--status", "dead"], ["--kind", "best"], ["--model", "none"]):
        assert hallmark("runs", "list", *options).returncode == 2


def test_an_interrupted_run_is_found_as_that(place: Workspace, home: Path) -> None:
    start(place.registry, "elsewhere")
    start(place.registry, "dead")
    (home / "runs" / "dead").mkdir(parents=True)
    assert [summary.run_id for summary in hm.runs(status="interrupted")] == ["dead"]
    assert [summary.run_id for summary in hm.runs(status="running", limit=1)] == ["elsewhere"]


NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2d", "2026-11-24T12:00:00"),
        ("90m", "2026-11-26T10:30:00"),
        ("12h", "2026-11-26T00:00:00"),
        ("1w", "2026-11-19T12:00:00"),
        ("2026-11-01", "2026-11-01T00:00:00"),
        ("2026-11-01T08:30+01:00", "2026-11-01T07:30:00"),
        (timedelta(days=1), "2026-11-25T12:00:00"),
        (datetime(2026, 11, 1), "2026-11-01T00:00:00"),
    ],
)
def test_a_time_is_a_span_or_a_date(text: str | datetime | timedelta, expected: str) -> None:
    assert since(text, NOW) == f"{expected}.000000+00:00"


@pytest.mark.parametrize("text", ["", "yesterday", "2x", "-1d", "999999w", "2026-13-01"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected a time span as in 30m"):
        since(text, NOW)
