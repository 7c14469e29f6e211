"""answer_correctness@v2 and math_equivalence@v2 say what a person says, whatever the text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from golden.datasets import load_dataset
from golden.rendering import render_completion
from golden.schema import Item
from judges import Judge, Score, load_judge
from judges.answer_correctness_v2 import AnswerCorrectnessV2
from tests.support.answer_table import PAIRS

pytestmark = pytest.mark.unit

JUDGE = AnswerCorrectnessV2()


@pytest.fixture(params=["answer_correctness", "math_equivalence"])
def judge(request: pytest.FixtureRequest) -> Judge:
    if request.param == "answer_correctness":
        return JUDGE
    pytest.importorskip("math_verify")
    from judges.math_equivalence_v2 import MathEquivalenceV2

    return MathEquivalenceV2()


def said(judge: Judge, reference: str, text: str) -> Score:
    return judge.score(Item(trace_id="t", prompt="?", final_answer=reference, category="c"), text)


def test_a_person_and_the_judge_agree_on_the_whole_table(judge: Judge) -> None:
    assert len(PAIRS) == len({(pair.reference, pair.text) for pair in PAIRS}) > 260
    wrong = []
    for pair in PAIRS:
        score = said(judge, pair.reference, pair.text)
        right = pair.right if judge.name == "answer_correctness" else pair.mathematics
        if (score.score == 1) != right or pair.rung not in (None, score.rung):
            wrong.append((pair, score))
    assert wrong == []


def test_the_documentation_gives_the_figures_of_the_table() -> None:
    pytest.importorskip("math_verify")
    text = " ".join((Path(__file__).parents[2] / "docs/judges.md").read_text(encoding="utf-8").split())
    agree = {
        name: sum(
            said(load_judge(name), pair.reference, pair.text).score
            == (pair.mathematics if "math" in name else pair.right)
            for pair in PAIRS
        )
        for name in ("answer_correctness@v1", "math_equivalence@v1")
    }
    assert f"of {len(PAIRS)} pairs" in text
    for name, count in agree.items():
        assert re.search(rf"`{name}` (?:agrees )?with {count}\b", text), (name, count)


def test_every_golden_answer_is_right_as_a_completion(judge: Judge) -> None:
    for item in list(load_dataset("golden-v1").items())[::5]:
        score = judge.score(item, render_completion(item.steps, item.reference))
        assert (score.score, score.rung) == (1, "marker")
        assert judge.score(item, "Answer: nothing of the sort").score == 0


def test_a_text_without_an_answer_is_empty_not_wrong(judge: Judge) -> None:
    for text in ("", " \n", "Answer:", "Answer: **", "\u200f", "**Answer:**\n\n"):
        score = said(judge, "abc", text)
        assert (score.reason, score.extracted, score.rung) == ("empty", None, None), text


def test_what_is_shown_is_short_and_can_be_stored(judge: Judge) -> None:
    score = said(judge, "abc", "x\ud800" * 5000)
    assert score.extracted is not None
    assert len(score.extracted) <= 400
    score.extracted.encode()


def test_a_formula_is_read_only_where_it_is_short() -> None:
    pytest.importorskip("math_verify")
    from judges.math_equivalence_v2 import LONGEST_FORMULA, as_formula

    assert as_formula("1" * LONGEST_FORMULA)[0] is not None
    assert as_formula("1" * (LONGEST_FORMULA + 1)) == (None, "")


texts = st.text(max_size=60)
REFERENCES = texts.filter(lambda text: text.strip() != "")
MARKS = (
    "Answer:",
    "\\boxed{",
    "}",
    "{",
    "####",
    "the answer is ",
    "$",
    "**",
    "\n",
    "Question:",
    "<answer>",
    "(",
    ")",
)
SIGNS = ("1,000", "5", "%", " cm", "\\frac{1}{2}", "10^", "e5", "½", "²", "x", ":", "=", "-", "/", " or ")
PIECES = st.lists(st.sampled_from(MARKS + SIGNS) | st.text(max_size=4), max_size=12).map("".join)


@given(REFERENCES, texts)
@example("...", "")
@example("\u200f", "")
@example("a\nQuestion: b", "")
@example("Answer: 5", "so")
@example("\\boxed{", "5")
def test_the_right_answer_as_it_is_written_out_is_always_right(reference: str, step: str) -> None:
    steps = [step] if step.strip() and "nswer" not in step and "uestion" not in step else []
    assert said(JUDGE, reference, render_completion(steps, reference)).score == 1
    assert said(JUDGE, reference, reference).score == 1


@given(PIECES, PIECES)
def test_no_text_makes_it_fail(reference: str, text: str) -> None:
    score = said(JUDGE, reference if reference.strip() else "5", text)
    assert score.reason in ("correct", "wrong", "empty")
    assert (score.rung is None) == (score.reason == "empty")


@given(st.decimals(-(10**9), 10**9, places=2), st.decimals(-(10**9), 10**9, places=2))
def test_numbers_are_equal_in_every_way_of_writing_them(one: object, other: object) -> None:
    ways = [
        f"{one:,}",
        f"${one:,}",
        f"{one}",
        f"{one:,}".replace(",", " "),
        f"**{one}**",
        f"\\boxed{{{one}}}",
    ]
    for way in ways:
        assert said(JUDGE, str(one), f"Answer: {way}").score == 1, way
        assert said(JUDGE, way, f"so\n#### {one}").score == (0 if "boxed" in way else 1), way
        assert said(JUDGE, str(other), f"Answer: {way}").score == float(one == other), way


@pytest.mark.parametrize(
    "piece",
    [
        "1 ",
        "Answer:",
        "answer is ",
        "\\boxed{",
        "{",
        "**",
        "#### ",
        "Answer: x\nQuestion:",
        "$5 ",
        "\n",
        "½",
        "1 234 ",
    ],
)
def test_a_huge_text_is_read_in_one_pass(piece: str) -> None:
    huge = piece * (200_000 // len(piece))
    assert said(JUDGE, "7", huge).score == 0
    assert said(JUDGE, "seventh heaven", huge).score == 0
