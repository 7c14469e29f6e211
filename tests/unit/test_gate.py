"""The comparison counts right, and the gate gives three answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from evaluation.comparison import Comparison, RunScores, compare
from evaluation.gate import Case, GateConfig, GateDecision, decide
from evaluation.metrics import summarise
from evaluation.suite import Requirement
from evaluation.training_data import Ancestor, TrainingData
from golden.schema import Item
from judges import Score

pytestmark = pytest.mark.unit

LEAKED = TrainingData(
    status="leaked",
    golden="golden-v1",
    ancestors=[Ancestor(run_id="r-1", dataset="train-v1", sha256="0" * 64, status="leaked", overlaps=3)],
    root="tiny-base",
)


def comparison(before: list[float], after: list[float], categories: list[str] | None = None) -> Comparison:
    ids = [f"t{number}" for number in range(len(before))]
    labels = dict(zip(ids, categories or ["c"] * len(ids), strict=True))

    def run(name: str, scores: list[float]) -> RunScores:
        return RunScores(
            name, "golden-v1", "a" * 64, "j@v1", "f", {}, dict(zip(ids, scores, strict=True)), labels
        )

    return compare(run("base", before), run("trained", after))


def verdict(
    before: list[float],
    after: list[float],
    categories: list[str] | None = None,
    *,
    clean: bool = True,
    **rule: float,
):
    known = LEAKED if not clean else None
    case = Case(Requirement(), comparison(before, after, categories), known)
    return decide([case], GateConfig.model_validate(rule))


def decided(result: Comparison, **place: float) -> GateDecision:
    return decide([Case(Requirement(), result)], GateConfig(), **place)


def test_a_clear_gain_is_better() -> None:
    decision = verdict([0.0] * 20 + [1.0] * 10, [1.0] * 30)
    assert (decision.answer, decision.promote) == ("better", True)
    assert "+66.7 points on 30 items is significant" in decision.reasons[0]


def test_no_gain_is_not_better() -> None:
    decision = verdict([1.0, 0.0] * 10, [1.0, 0.0] * 10)
    assert (decision.answer, decision.promote) == ("not_better", False)


def test_a_gain_that_may_be_luck_is_not_enough_evidence_and_says_what_would_have_been() -> None:
    decision = verdict([0.0] * 3 + [1.0] * 27, [1.0] * 30)
    assert (decision.answer, decision.promote) == ("not_enough_evidence", False)
    assert "With 3 changed answers, no gain could have been significant" in decision.reasons[0]
    wider = verdict([0.0] * 12 + [1.0] * 18, [1.0] * 8 + [0.0] * 4 + [1.0] * 14 + [0.0] * 4)
    assert wider.answer == "not_enough_evidence"
    assert wider.smallest_gain == pytest.approx(8 / 30)
    assert (
        "With 12 changed answers, a gain of less than 26.7 points could not have been significant"
        in wider.reasons[0]
    )


def test_a_later_comparison_needs_more_evidence_and_a_carried_level_less() -> None:
    result = comparison([0.0] * 16 + [1.0] * 44, [1.0] * 16 + [0.0] * 4 + [1.0] * 40)
    first = decided(result)
    tenth = decided(result, number=10)
    carried = decided(result, number=10, carried=0.02)
    assert (first.answer, tenth.answer, carried.answer) == ("better", "not_enough_evidence", "better")
    assert "the share of alpha 0.05 for comparison 10 on golden-v1" in tenth.reasons[0]
    assert tenth.level < first.level < 0.05


def test_scores_other_than_0_and_1_promise_no_smallest_gain() -> None:
    decision = verdict([0.2, 0.4, 0.5] * 40, [0.6, 0.5, 0.5] * 40)
    assert decision.answer == "better"
    assert decision.smallest_gain is None
    assert "smallest gain" not in decision.reasons[0]


def test_a_category_that_falls_stops_the_promotion_and_is_named() -> None:
    categories = ["good"] * 60 + ["bad"] * 10
    decision = verdict([0.0] * 60 + [1.0] * 10, [1.0] * 60 + [0.0] * 10, categories)
    assert not decision.promote
    assert "Category bad fell by 100.0 points" in decision.reasons[1]


def test_contamination_stops_the_promotion() -> None:
    decision = verdict([0.0] * 30, [1.0] * 30, clean=False)
    assert not decision.promote
    assert decision.reasons[1].startswith(
        "Run r-1 trained on train-v1, of which 3 items hold items of golden-v1"
    )


def test_a_smaller_gain_than_asked_for_is_not_better() -> None:
    decision = verdict([0.0] * 10 + [1.0] * 90, [1.0] * 100, min_delta=0.2)
    assert decision.answer == "not_better"
    assert "a gain above 20.0 points is required" in decision.reasons[0]


binary = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 1.0]), st.sampled_from("abc")),
    min_size=1,
    max_size=60,
)


@given(binary)
def test_the_parts_of_a_comparison_add_up(rows: list[tuple[float, float, str]]) -> None:
    before, after, categories = (list(column) for column in zip(*rows, strict=True))
    result = comparison(before, after, categories)
    assert result.delta == pytest.approx((len(result.gained) - len(result.lost)) / result.n)
    assert result.delta == pytest.approx(result.candidate.value - result.baseline.value)
    assert result.ci_low - 1e-9 <= result.delta <= result.ci_high + 1e-9
    assert sum(group.n for group in result.categories) == result.n
    assert sum(group.gained for group in result.categories) == len(result.gained)
    assert all(group.p_value <= group.p_holm for group in result.categories)
    back = comparison(after, before, categories)
    assert back.delta == pytest.approx(-result.delta)
    assert back.p_value == pytest.approx(result.p_value)


@given(binary)
def test_the_gate_never_promotes_what_is_not_significantly_better(
    rows: list[tuple[float, float, str]],
) -> None:
    before, after, categories = (list(column) for column in zip(*rows, strict=True))
    result = comparison(before, after, categories)
    decision = decided(result)
    if decision.promote:
        assert result.delta > 0
        assert result.p_better < decision.level < 0.05
    assert decision.promote == (decision.answer == "better")


def test_scores_between_0_and_1_get_a_permutation_test_and_a_bootstrap_interval() -> None:
    result = comparison([0.2, 0.4, 0.5] * 10, [0.6, 0.5, 0.5] * 10)
    assert result.test == "permutation_and_likelihood"
    assert result.baseline.method == "bootstrap"
    assert result.p_value < 0.01


def test_metrics_count_the_reasons_apart() -> None:
    items = [
        Item(trace_id=f"t{n}", prompt="?", steps=[], final_answer="1", category="ab"[n % 2]) for n in range(4)
    ]
    reasons = ["correct", "wrong", "empty", "correct"]
    scores = [
        Score(trace_id=f"t{n}", score=float(reason == "correct"), extracted=None, reason=reason)
        for n, reason in enumerate(reasons)
    ]
    snapshot = summarise(scores, items, "accuracy")
    assert snapshot.counts == {"correct": 2, "empty": 1, "wrong": 1}
    assert snapshot.overall["accuracy"].value == 0.5
    assert {name: group["accuracy"].n for name, group in snapshot.categories.items()} == {"a": 2, "b": 2}


def test_no_scores_are_no_metric() -> None:
    with pytest.raises(InputError, match="no scores"):
        summarise([], [], "accuracy")


def test_many_nights_of_luck_are_not_promoted_and_a_true_gain_is_found() -> None:
    from benchmarks.gate import Champion, one_set, shares

    no_gain = shares(20, one_set(Champion.drawn, None), last=25)
    assert no_gain["hallmark"][0] == 0
    assert no_gain["higher wins"][0] == 1
    assert shares(20, one_set(Champion.exact, 10), 10, 12)["hallmark"][0] >= 0.8


@pytest.mark.parametrize("part", ["groups", "cut"])
def test_copies_and_short_answers_are_not_promoted_in_many_nights(part: str) -> None:
    from benchmarks.gate import PARTS

    (found,) = PARTS[part](10, 20).values()
    hallmark, untold = (share for share, *_ in found.values())
    assert hallmark == 0
    assert untold > 0.5
