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
    # What follows was written down as v1 does it. Where one may well disagree, the comment says what it does;
    # a v2 may do better.
    ("1234", "Answer: 1,234.50", "wrong"),
    ("1234.5", "Answer: 1,234.50", "correct"),
    ("1234567", "Answer: 1,234,567", "correct"),
    ("1234567", "Answer: 1,23,4567", "wrong"),
    ("1000", "Answer: 1 000", "wrong"),  # a space as thousands sign is not read
    (
        "1000",
        "Answer: 1.000",
        "wrong",
    ),  # a point is always a decimal point, also where a reader means one thousand
    ("1000", "Answer: 1'000", "wrong"),
    ("1000", "Answer: 1_000", "wrong"),  # nor is an underscore
    ("5", "Answer: $5", "correct"),
    ("5", "Answer: €5", "correct"),
    ("5", "Answer: £5.00", "correct"),
    ("5", "Answer: ¥5", "correct"),
    ("5", "Answer: 5$", "wrong"),  # a currency sign counts as one only before the number
    ("5", "Answer: 5 USD", "wrong"),
    ("5", "Answer: $ 5", "wrong"),  # and only when nothing stands between
    ("-5", "Answer: -$5", "correct"),
    ("-5", "Answer: $-5", "correct"),
    ("₹5", "Answer: 5", "wrong"),  # four currency signs are known
    ("50%", "Answer: 50%", "correct"),
    ("50%", "Answer: 50 %", "wrong"),  # percent is text, so its space counts
    ("50%", "Answer: 0.5", "wrong"),  # and no number
    ("50", "Answer: 50 percent", "wrong"),
    ("1/2", "Answer: 2/4", "wrong"),  # fractions are text
    ("1/2", "Answer: ½", "wrong"),  # NFKC makes it 1 and 2 around a fraction slash, which is not the slash
    ("1/2", "Answer: 1 / 2", "wrong"),
    ("2 1/2", "Answer: 2½", "wrong"),
    ("0.5", "Answer: ½", "wrong"),  # as above
    ("85", "Answer: 85 cm", "wrong"),  # units are never put aside
    ("85 cm", "Answer: 85 cm", "correct"),
    ("85 cm", "Answer: 85cm", "wrong"),
    ("85 cm²", "Answer: 85 cm2", "correct"),  # NFKC lets superscripts fall to the line
    ("25 °C", "Answer: 25 °c", "correct"),
    ("85", "Answer: ٨٥", "wrong"),  # digits of other scripts are digits only where NFKC says so
    ("85", "Answer: ⁸⁵", "correct"),  # a raised number is the number, so 2⁸⁵ is 285
    ("85", "Answer: ₈₅", "correct"),
    ("85", "Answer: ⑧⑤", "correct"),
    ("85", "Answer: ８５．０", "correct"),
    ("1234", "Answer: 1，234", "correct"),
    ("5", "Answer: Ⅴ", "wrong"),
    ("5", "Answer: 𝟓", "correct"),
    ("5", "Answer: 五", "wrong"),
    ("85", "Answer: \\boxed{85}", "wrong"),  # LaTeX is text; see math_equivalence@v1
    ("85", "\\boxed{85}", "wrong"),
    ("\\boxed{85}", "Answer: \\boxed{85}", "correct"),
    ("85", "Answer: $85$", "wrong"),  # the last dollar sign stays
    ("85", "Answer: \\(85\\)", "wrong"),
    ("\\frac{1}{2}", "Answer: \\frac{1}{2}", "correct"),
    ("\\frac{1}{2}", "Answer: \\dfrac{1}{2}", "wrong"),
    ("85", "Answer: 1\nAnswer: 2\nAnswer: 85", "correct"),
    ("85", "Answer: 85\nAnswer:", "empty"),  # the last marker counts, also where nothing follows it
    ("85", "Answer: 85 Answer: 84", "wrong"),  # the last marker counts, also on the same line
    ("85", "Final answer: 85", "correct"),
    ("85", "The answer is 85", "wrong"),
    ("85", "Answer 85", "wrong"),
    ("85", "Answer：85", "wrong"),  # the full-width colon is no marker, although NFKC would make it one
    ("85", "**Answer:** 85", "correct"),
    ("85", "Answer: \n\n  85\nmore", "correct"),
    ("85", "answer\n: 85", "correct"),  # white space before the colon may be a line's end
    ("85", "myanswer: 85", "wrong"),
    ("85", "Answer:85Answer:84", "wrong"),  # no marker inside a word
    ("\u2014", "Answer: \u2014", "correct"),
    ("-", "Answer: -", "correct"),
    ("none", "Answer: \u2014", "wrong"),
    ("5-7", "Answer: 5\u20137", "correct"),
    ("5-7", "Answer: 5\u20147", "wrong"),  # the em dash is no minus; the en dash is
    ("-5", "Answer: \u20105", "correct"),
    ("-5", "Answer: \u2013 5", "wrong"),  # a sign belongs to its number
    ("1e3", "Answer: 1e3", "correct"),
    ("1000", "Answer: 1e3", "wrong"),  # exponents are text
    ("1000", "Answer: 10^3", "wrong"),
    ("1000", "Answer: 1×10³", "wrong"),
    ("1E3", "Answer: 1e3", "correct"),
    ("1" + "0" * 51, "Answer: 1" + ",000" * 17, "correct"),
    ("1" + "0" * 5000, "Answer: 1" + "0" * 5000, "correct"),
    ("9" * 40, "Answer: " + "9" * 39 + "8", "wrong"),
    ("0.1", "Answer: 0.1" + "0" * 200, "correct"),
    ("0", "Answer: 0.0000000000000000000000001", "wrong"),  # no tolerance
    ("0", "Answer: +0.00", "correct"),
    ("007", "Answer: 7", "correct"),
    ("5", "Answer: 5.", "correct"),
    ("5", "Answer: 5..", "correct"),
    ("0.5", "Answer: 0,5", "wrong"),  # a decimal comma is not read
    ("5", "Answer: --5", "wrong"),
    ("5", "Answer: +-5", "wrong"),
    ("5", "Answer: .", "empty"),
    ("True", "Answer: true", "correct"),
    ("True", "Answer: yes", "wrong"),  # booleans are words
    ("True", "Answer: 1", "wrong"),
    ("yes", "Answer: Yes.", "correct"),
    ("no", "Answer: NO!", "correct"),
    ("yes", "Answer: yes, it is", "wrong"),
    ("1, 2, 3", "Answer: 1, 2, 3", "correct"),
    ("1, 2, 3", "Answer: 1,2,3", "wrong"),  # lists are text; their spaces count
    ("1, 2, 3", "Answer: [1, 2, 3]", "correct"),
    ("1, 2, 3", "Answer: 3, 2, 1", "wrong"),  # and their order
    ("[1, 2]", "Answer: (1, 2)", "correct"),  # surrounding brackets of any kind are punctuation
    ("1, 2", "Answer: 1 and 2", "wrong"),
    ("1,234", "Answer: 1, 234", "wrong"),  # a list is no number
    ("{a}", "Answer: a", "correct"),  # braces are punctuation
    ("a b", "Answer: a\nb", "wrong"),
    ("two words", "Answer: two\xa0words", "correct"),
    ("two words", "Answer: two\u200bwords", "wrong"),  # a zero-width space is no white space
    ("abc", "Answer: a b c", "wrong"),
    ("İstanbul", "Answer: istanbul", "wrong"),  # case folding leaves a dot above
    ("naïve", "Answer: naive", "wrong"),
    ("x = 5", "Answer: x=5", "wrong"),  # equations are text
    ("5", "Answer: x = 5", "wrong"),
    ("3:45", "Answer: 3:45 pm", "wrong"),
    ("3:45", "Answer: 03:45", "wrong"),  # times are text
    ("2024-01-05", "Answer: 2024\u201301\u201305", "correct"),
    ("A", "Answer: (a)", "correct"),
    ("A", "Answer: A) first", "wrong"),  # the letter of a choice counts alone
    ("B", "Answer: A or B", "wrong"),
    ("abc", "Answer: 'abc'", "correct"),
    ("abc", "Answer: ‘abc’", "correct"),
    ("abc", "Answer: ~~abc~~", "correct"),
    ("abc", "Answer: # abc", "correct"),
    ("abc", "Answer: abc;", "correct"),
    ("abc?", "Answer: abc", "correct"),
    ("C#", "Answer: C", "correct"),  # a trailing # is punctuation
    ("abc", "Answer: \x00abc", "wrong"),  # NUL is a character
    ("🙂", "Answer: 🙂", "correct"),
]


def test_there_are_enough_cases_and_none_twice() -> None:
    assert len({case[:2] for case in CASES}) == len(CASES) > 180


@pytest.mark.parametrize(("answer", "prediction", "reason"), CASES)
def test_case(answer: str, prediction: str, reason: str) -> None:
    item = Item(trace_id="t", prompt="?", steps=[], final_answer=answer, category="c")
    score = JUDGE.score(item, prediction)
    assert (score.reason, score.score) == (reason, 1.0 if reason == "correct" else 0.0)
    assert (score.extracted is None) == (reason == "empty")


def test_the_code_of_v1_has_not_changed() -> None:
    message = (
        "judges/answer_correctness.py changed. Frozen judges never change: "
        "add answer_correctness@v2 and leave v1 as it was."
    )
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
