"""answer_correctness@v1 is frozen: these cases, and its fingerprint, never change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from golden.datasets import load_dataset
from golden.rendering import render_completion
from golden.schema import Item
from judges import judge_fingerprint, load_judge
from judges.answer_correctness import AnswerCorrectnessV1

pytestmark = pytest.mark.unit

JUDGE = AnswerCorrectnessV1()
FINGERPRINT = "38e900be89220999953c513892d18433cc0e892db188103a60532724d234d499"

CASES = [
    # answer, prediction, reason
    ("85", "7+8=15\n4+3+1=8\nAnswer: 85", "correct"),
    ("85", "Answer: 84\nNo, wait.\nAnswer: 85", "correct"),
    ("85", "Answer: 85\nNo, wait.\nAnswer: 84", "wrong"),
    ("85", "85", "correct"),
    ("85", "  85\n", "correct"),
    ("85", "The sum is 85", "wrong"),
    ("85", "answer: 85", "correct"),
    ("85", "ANSWER :85", "correct"),
    ("85", "Answer:\n85", "correct"),
    ("85", "Answer: 85\nThat was easy.", "correct"),
    ("85", "Answer: 85.", "correct"),
    ("85", "Answer: **85**", "correct"),
    ("85", "Answer: (85)", "correct"),
    ("85", "Answer: 85.0", "correct"),
    ("85", "Answer: 085", "correct"),
    ("85", "Answer: +85", "correct"),
    ("85", "Answer: -85", "wrong"),
    ("85", "Answer: 8 5", "wrong"),
    ("85", "Answer: 850", "wrong"),
    ("85", "Answer: 85 apples", "wrong"),
    ("85", "Answer: 85%", "wrong"),
    ("85", "Answer: ８５", "correct"),
    ("85", "Answer: eighty-five", "wrong"),
    ("85", "Answer: 8.5e1", "wrong"),
    ("85", "My answers: none", "wrong"),
    ("-5", "Answer: -5", "correct"),
    ("-5", "Answer: \u22125", "correct"),
    ("-5", "Answer: 5", "wrong"),
    ("0.5", "Answer: .5", "correct"),
    ("0.5", "Answer: 0.50", "correct"),
    ("0.5", "Answer: 1/2", "wrong"),
    ("1/2", "Answer: 1/2", "correct"),
    ("0", "Answer: -0", "correct"),
    ("1234", "Answer: 1,234", "correct"),
    ("1234", "Answer: $1,234.00", "correct"),
    ("1234", "Answer: -$1,234", "wrong"),
    ("1,234", "Answer: 1234", "correct"),
    ("1234", "Answer: 12,34", "wrong"),
    ("1234", "Answer: 1,2345", "wrong"),
    ("1000000", "Answer: 1,000,000", "correct"),
    ("0.1", "Answer: 0.1000000000000000055511151231257827", "wrong"),
    ("123456789012345678901234567890", "Answer: 123456789012345678901234567891", "wrong"),
    ("Paris", "Answer: paris", "correct"),
    ("Paris", "Answer: PARIS!", "correct"),
    ("Paris", 'Answer: "Paris".', "correct"),
    ("Paris", "Answer: `Paris`", "correct"),
    ("Paris", "Answer: “Paris”", "correct"),
    ("Paris", "Answer: London", "wrong"),
    ("Paris", "Answer: Paris, France", "wrong"),
    ("New York", "Answer:  new \t york ", "correct"),
    ("New York", "Answer: NewYork", "wrong"),
    ("straße", "Answer: STRASSE", "correct"),
    ("ﬁsh", "Answer: fish", "correct"),
    ("e\u0301t\u00e9", "Answer: \u00e9te\u0301", "correct"),
    ("C++", "Answer: c++", "correct"),
    ("3:45", "Answer: 3:45", "correct"),
    ("abc", "abc\n", "correct"),
    ("abc", "a\nbc", "wrong"),
    ("abc", "", "empty"),
    ("abc", " \n\t ", "empty"),
    ("abc", "I think so.\nAnswer:", "empty"),
    ("abc", "Answer: ...", "empty"),
    ("abc", "Answer: **", "empty"),
    ("abc", "<eos>", "wrong"),
]


@pytest.mark.parametrize(("answer", "prediction", "reason"), CASES)
def test_case(answer: str, prediction: str, reason: str) -> None:
    item = Item(trace_id="t", prompt="?", steps=[], final_answer=answer, category="c")
    score = JUDGE.score(item, prediction)
    assert (score.reason, score.score) == (reason, 1.0 if reason == "correct" else 0.0)
    assert (score.extracted is None) == (reason == "empty")


def test_the_code_of_v1_has_not_changed() -> None:
    message = "judges/answer_correctness.py changed. Frozen judges never change: add answer_correctness@v2 and leave v1 as it was."
    assert judge_fingerprint(load_judge("answer_correctness@v1")) == FINGERPRINT, message


def test_the_right_completion_of_every_golden_item_is_correct() -> None:
    for item in load_dataset("golden-v1").items():
        assert JUDGE.score(item, render_completion(item.steps, item.final_answer)).score == 1.0
        assert JUDGE.score(item, render_completion(item.steps, item.final_answer + "7")).score == 0.0


@given(st.text(), st.text(min_size=1).filter(str.strip))
def test_any_text_gets_a_score(prediction: str, answer: str) -> None:
    item = Item(trace_id="t", prompt="?", steps=[], final_answer=answer, category="c")
    assert JUDGE.score(item, prediction).score in (0.0, 1.0)


@given(st.integers(), st.text(alphabet="0123456789 \nabc", max_size=30))
def test_the_right_number_after_any_steps_is_correct(number: int, steps: str) -> None:
    item = Item(trace_id="t", prompt="?", steps=[], final_answer=str(number), category="c")
    assert JUDGE.score(item, f"{steps}\nAnswer: {number:,}").score == 1.0
