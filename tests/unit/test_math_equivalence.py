"""math_equivalence@v1: equal as mathematics is right, whatever it looks like; and nothing else is."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InputError
from golden.datasets import load_dataset
from golden.schema import Item

pytest.importorskip("math_verify", reason="the extra math is not installed")

from judges import judge_fingerprint, judge_items, load_judge
from judges.fingerprint import code_sha256
from judges.judging import JudgeError
from judges.math_equivalence import MathEquivalenceV1, TooComplex, bounded

pytestmark = pytest.mark.unit

JUDGE = MathEquivalenceV1()
CODE = {
    "judges.math_equivalence": "611e082d26a9939683279bbf9818804234d9782f7133a3bcf0c075f115edaa78",
    "judges.math_formulas": "9d8e254751d4f454f9c0e390a3b549ee944dce5fa8e6c9203bb01cfd285f77ed",
}

CASES = [
    # answer, prediction, reason
    # numbers
    ("85", "Answer: 85", "correct"),
    ("85", "7 + 8 = 15\nAnswer: 85.", "correct"),
    ("85", "Answer: 84\nAnswer: 85", "correct"),
    ("85", "Answer: 85\nAnswer: 84", "wrong"),
    ("85", "Answer: **85**", "correct"),
    ("85", "85.0", "correct"),
    ("85", "085", "correct"),
    ("85", "+85", "correct"),
    ("85", "-85", "wrong"),
    ("-5", "\u22125", "correct"),
    ("85", "8 5", "wrong"),
    ("12", "１２", "correct"),
    ("3", "٣", "correct"),
    ("0.5", ".5", "correct"),
    ("1234567", "1,234,567", "correct"),
    ("1234", "1{,}234", "correct"),
    ("1234", "12,34", "wrong"),
    ("1500", "1.5e3", "correct"),
    ("1500", r"1.5 \times 10^3", "correct"),
    ("1500", "1.5 × 10³", "correct"),
    ("5", "$5", "correct"),
    ("5", r"\$5", "correct"),
    ("0.1", "0.10000001", "wrong"),
    ("1/3", "0.333333", "wrong"),  # there is no tolerance, unlike math-verify's own of six decimals
    ("100000000000000000001", "100000000000000000002", "wrong"),
    # fractions and percent
    ("1/2", "0.5", "correct"),
    ("1/2", r"50\%", "correct"),
    ("1/2", "50%", "correct"),
    ("50%", "1/2", "correct"),
    ("1/2", "50", "wrong"),
    ("1/2", "2/4", "correct"),
    ("1/2", r"\frac{1}{2}", "correct"),
    ("1/2", r"\frac12", "correct"),
    ("1/2", r"\dfrac{2}{4}", "correct"),
    ("1/2", "½", "correct"),
    ("1/2", "2/1", "wrong"),
    ("2 1/2", "5/2", "correct"),
    ("2 1/2", "2½", "correct"),
    (r"2\frac{1}{2}", "2.5", "correct"),
    ("1/0", "2/0", "wrong"),
    # where the answer is
    ("1/2", r"So it is \boxed{\frac{1}{2}}.", "correct"),
    ("1/2", r"First \boxed{3}, then \boxed{\frac{1}{2}}", "correct"),
    ("1/2", r"Answer: $\frac{1}{2}$", "correct"),
    ("1/2", r"Answer: \(\frac{1}{2}\)", "correct"),
    ("1/2", r"Answer: the half, $0.5$", "correct"),
    (r"\boxed{7}", "7", "correct"),
    ("85", "The sum is 85", "wrong"),  # nothing is fished out of a sentence
    ("85", "84 or 85", "wrong"),
    ("85", "85 apples", "wrong"),
    ("85", r"85\text{ apples}", "correct"),  # what LaTeX calls a unit is one
    ("30", r"30^\circ", "correct"),
    # roots, powers, functions, constants
    (r"\sqrt{8}", r"2\sqrt{2}", "correct"),
    ("sqrt(8)", r"2\sqrt2", "correct"),
    ("√2", r"\sqrt{2}", "correct"),
    ("x²", "x^2", "correct"),
    ("x**2", "x^2", "correct"),
    ("pi", r"\pi", "correct"),
    ("π", "3.14159", "wrong"),
    ("3", r"\log_2 8", "correct"),
    ("1", r"\sin^2 x + \cos^2 x", "correct"),
    ("3628800", "10!", "correct"),
    ("inf", r"\infty", "correct"),
    # symbols
    ("(x+1)^2", "x^2+2x+1", "correct"),
    ("x^2+2x+1", "(x+1)^2", "correct"),
    ("(x+1)^2", "x^2+2x+2", "wrong"),
    ("xy", "yx", "correct"),
    ("x", "y", "wrong"),
    ("x=5", "5", "correct"),
    ("5", "x = 5", "correct"),
    ("x<3", "3>x", "correct"),
    ("x<3", r"x \le 3", "wrong"),
    ("3+4i", "4i+3", "correct"),
    # sets, intervals, pairs, matrices
    (r"\{1,2,3\}", r"\{3,2,1\}", "correct"),
    ("1,2,3", r"\{3,2,1\}", "correct"),
    (r"\{1,2\}", r"\{1,2,3\}", "wrong"),
    ("(1,2)", "(2,1)", "wrong"),
    ("[1,2)", "[1,2)", "correct"),
    ("[1,2)", "[1,2]", "wrong"),
    (r"(-\infty,1)\cup(2,\infty)", r"(2,\infty)\cup(-\infty,1)", "correct"),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{bmatrix}1&2\\3&4\end{bmatrix}", "correct"),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1&2\\4&3\end{pmatrix}", "wrong"),
    (r"\emptyset", "∅", "correct"),
    # text is compared with text only
    ("Paris", "Answer: paris", "correct"),
    ("Paris", r"\text{Paris}", "correct"),
    ("Paris", "iPars", "wrong"),  # as symbols they would be equal
    ("True", "true", "correct"),
    ("True", "1", "wrong"),
    ("New York", "new  york", "correct"),
    ("12:30", "12:30", "correct"),
    (
        "12:30",
        "2/5",
        "correct",
    ),  # a colon between numbers is a ratio, as in mathematics; judge times by another judge
    ("A", "B", "wrong"),
    # empty and broken
    ("85", "", "empty"),
    ("85", "Answer:", "empty"),
    ("85", r"\boxed{}", "empty"),
    ("85", r"\frac{8", "wrong"),
    ("85", "}{", "wrong"),
    # too large to compute with
    ("9", "9^{9^{9}}", "too_complex"),
    ("9", "9^9^9", "too_complex"),
    ("9", "((9^{99})^{99})^{99}", "too_complex"),
    ("9", "2^{99999}", "too_complex"),
    ("9", "99999!", "too_complex"),
    ("9", "(9!)!", "too_complex"),
    ("9", "1" * 100, "too_complex"),
    ("1", "(" * 50 + "1" + ")" * 50, "too_complex"),
    ("1", "1+" * 300 + "1", "too_complex"),
]


def item(answer: str) -> Item:
    return Item(trace_id="t", prompt="?", steps=[], final_answer=answer, category="c")


@pytest.mark.parametrize(("answer", "prediction", "reason"), CASES)
def test_case(answer: str, prediction: str, reason: str) -> None:
    score = JUDGE.score(item(answer), prediction)
    assert (score.reason, score.score) == (reason, 1.0 if reason == "correct" else 0.0)


def test_the_code_of_v1_has_not_changed() -> None:
    assert code_sha256(JUDGE) == CODE, "frozen: add math_equivalence@v2 and leave v1 as it was"


def test_the_fingerprint_covers_the_versions_of_the_libraries() -> None:
    class Older(MathEquivalenceV1):
        libraries = ("math-verify", "sympy")

    Older.__module__ = MathEquivalenceV1.__module__
    assert judge_fingerprint(JUDGE) != judge_fingerprint(Older())
    assert judge_fingerprint(JUDGE) == judge_fingerprint(load_judge("math_equivalence@v1"))


def test_a_right_answer_that_is_too_large_is_an_error_not_a_zero() -> None:
    with pytest.raises(InputError, match="is too large to compute with"):
        JUDGE.score(item("9^{9^9}"), "5")
    with pytest.raises(JudgeError, match=r"item t: InputError: the right answer"):
        list(judge_items([item("9^{9^9}")], {"t": "5"}, JUDGE))


def test_a_computation_is_bounded_by_calls_and_not_by_time() -> None:
    def forever() -> bool:
        while True:
            abs(len(str(item("1"))))

    with pytest.raises(TooComplex):
        bounded(forever)
    assert sys.getprofile() is None


def test_it_judges_in_threads_and_leaves_signals_alone() -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(JUDGE.score(item("(x+1)^2"), "x^2+2x+1").reason))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["correct"] * 3


def test_the_outcome_depends_on_neither_the_process_nor_the_order() -> None:
    script = (
        "import sys; from tests.unit.test_math_equivalence import CASES, JUDGE, item\n"
        "cases = CASES[::-1] if sys.argv[1] == '1' else CASES\n"
        "print(sorted((a, p, JUDGE.score(item(a), p).reason) for a, p, _ in cases) == sorted(CASES))"
    )
    for seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", script, seed],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[2],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
        )
        assert done.stdout == "True\n"


def test_every_golden_answer_is_right_and_a_wrong_one_is_not() -> None:
    for golden in load_dataset("golden-v1").items():
        assert JUDGE.score(golden, f"Answer: {golden.final_answer}").score == 1.0
        assert JUDGE.score(golden, f"Answer: {golden.final_answer}7").score == 0.0


def test_the_table_of_examples_in_the_documentation_is_true() -> None:
    text = (Path(__file__).parents[2] / "docs/judges.md").read_text(encoding="utf-8")
    [header] = re.findall(r"^\| right answer \| the model wrote .*$", text, re.MULTILINE)
    judges = [load_judge(name) for name in re.findall(r"`(\w+@v\d)` \|", header)]
    rows = re.findall(r"^\| `([^|]*)` \| (`[^|]*`) \| (\w+) \| (\w+) \| (\w+) \|$", text, re.MULTILINE)
    assert (len(judges), len(rows)) == (3, 20)
    for answer, predictions, *expected in rows:
        for prediction in re.findall(r"`([^`]*)`", predictions):
            assert [judge.score(item(answer), prediction).reason for judge in judges] == expected, (
                answer,
                prediction,
            )


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=30), st.sampled_from(["85", "x^2", "Paris", r"\frac{1}{2}"]))
def test_any_text_gets_a_score(prediction: str, answer: str) -> None:
    assert JUDGE.score(item(answer), prediction).score in (0.0, 1.0)


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="0123456789+-*/^(){}x.,!\\ ", max_size=20))
def test_any_formula_gets_a_score(prediction: str) -> None:
    assert JUDGE.score(item("85"), prediction).score in (0.0, 1.0)


@settings(max_examples=40, deadline=None)
@given(st.integers(-999, 999), st.integers(1, 99), st.integers(-999, 999), st.integers(1, 99))
def test_fractions_are_equal_exactly_when_they_are(a: int, b: int, c: int, d: int) -> None:
    left, right = f"{a}/{b}", rf"\frac{{{c}}}{{{d}}}"
    expected = float(a * d == c * b)
    assert JUDGE.score(item(left), right).score == JUDGE.score(item(right), left).score == expected
