"""Rows 13 to 15: predictions and judges that are not what they should be never become scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluation.comparison import RunScores, compare
from golden.schema import Item
from hallmark.errors import InputError, IntegrityError
from judges import JudgeError, MissingPrediction, Score, judge_items, load_judge, read_predictions

pytestmark = pytest.mark.unit

ITEMS = [Item(trace_id=f"t{n}", prompt="?", steps=[], final_answer=str(n), category="c") for n in range(3)]
GOOD = [json.dumps({"trace_id": item.trace_id, "prediction": item.final_answer}) + "\n" for item in ITEMS]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (GOOD[:2], r"item t2 \(number 3 of the dataset\) has no prediction"),
        ([*GOOD[:2], GOOD[2][:20]], r":3: not valid JSON"),
        ([*GOOD, GOOD[1]], r":4: trace_id: t1 was already on line 2"),
        ([*GOOD[:2], GOOD[2].replace("t2", "t9")], r":3: trace_id: t9 is not an item"),
        ([GOOD[1], GOOD[0], GOOD[2]], r":2: trace_id: t0 belongs on line 1"),
        ([GOOD[0], '{"trace_id": "t1"}\n', GOOD[2]], r":2: prediction: missing field"),
        ([GOOD[0], '{"trace_id": "t1", "prediction": null}\n', GOOD[2]], r":2: prediction: expected a string"),
        ([GOOD[0], '{"trace_id": "t1", "prediction": "", "score": 1}\n', GOOD[2]], r":2: score: unknown field"),
        ([], r"item t0 \(number 1 of the dataset\) has no prediction"),
    ],
)
def test_a_bad_predictions_file_is_refused_with_line_and_id(lines: list[str], message: str, tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_text("".join(lines))
    with pytest.raises(InputError, match=message):
        read_predictions(path, ITEMS)


def test_a_missing_predictions_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"predictions\.jsonl: no such file"):
        read_predictions(tmp_path / "predictions.jsonl", ITEMS)


def test_a_missing_prediction_is_an_error_not_a_zero() -> None:
    with pytest.raises(MissingPrediction, match="item t1 has no prediction"):
        list(judge_items(ITEMS, {"t0": "0", "t2": "2"}, load_judge("answer_correctness@v1")))


def test_an_empty_answer_is_wrong_and_counted_apart() -> None:
    scores = list(judge_items(ITEMS, {"t0": "", "t1": "2", "t2": "2"}, load_judge("answer_correctness@v1")))
    assert [(score.score, score.reason) for score in scores] == [(0, "empty"), (0, "wrong"), (1, "correct")]


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("bleu@v1", "there is no judge bleu. Available: answer_correctness@v1"),
        ("answer_correctness@v9", "answer_correctness has no version v9. Available: answer_correctness@v1"),
        ("answer_correctness", "expected NAME@vN"),
    ],
)
def test_an_unknown_judge_lists_the_known_ones(reference: str, message: str, hallmark) -> None:
    with pytest.raises(InputError, match=message):
        load_judge(reference)
    result = hallmark("baseline", "--judge", reference)
    assert result.returncode == 2
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


class Fussy:
    """A plug-in that fails on one item."""

    name, version = "fussy", "v1"

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def score(self, item: Item, prediction: str) -> Score:
        if item.trace_id == "t1":
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer  # type: ignore[return-value]
        return Score(trace_id=item.trace_id, score=1, extracted=None, reason="correct")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (ZeroDivisionError("oh"), "ZeroDivisionError: oh"),
        (Score.model_construct(trace_id="t1", score=float("nan"), extracted=None, reason=""), "score"),
        (Score.model_construct(trace_id="t1", score=1.5, extracted=None, reason=""), "score"),
        (Score(trace_id="t0", score=1, extracted=None, reason=""), "answered for item t0"),
        (None, "fussy@v1 on item t1"),
    ],
)
def test_a_judge_that_fails_on_an_item_gives_an_error_not_a_zero(answer: object, message: str) -> None:
    with pytest.raises(JudgeError, match=message) as caught:
        list(judge_items(ITEMS, {"t0": "", "t1": "", "t2": ""}, Fussy(answer)))
    assert "judge fussy@v1 on item t1" in str(caught.value)


def run(run_id: str, **changes: object) -> RunScores:
    fields = {
        "run_id": run_id,
        "dataset": "golden-v1",
        "dataset_sha256": "a" * 64,
        "judge": "answer_correctness@v1",
        "judge_fingerprint": "f",
        "generation": {"max_new_tokens": 64, "dtype": "float32"},
        "scores": {"t0": 0.0, "t1": 1.0},
        "categories": {"t0": "c", "t1": "c"},
    }
    return RunScores(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"dataset_sha256": "b" * 64}, ["dataset"]),
        ({"judge": "exact_match@v1", "judge_fingerprint": "g"}, ["judge:", "judge_fingerprint"]),
        ({"generation": {"max_new_tokens": 32, "dtype": "float32"}}, ["generation.max_new_tokens: 64 against 32"]),
        ({"generation": {"max_new_tokens": 64}}, ['generation.dtype: "float32" against null']),
    ],
)
def test_unlike_runs_are_not_compared_and_the_fields_are_named(changes: dict[str, object], fields: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        compare(run("one"), run("two", **changes))
    assert all(field in str(caught.value) for field in [*fields, "one", "two"])


def test_runs_with_other_items_are_not_compared() -> None:
    with pytest.raises(IntegrityError, match="only one of them has item t1"):
        compare(run("one"), run("two", scores={"t0": 0.0, "t9": 1.0}))
