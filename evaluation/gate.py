"""The gate: may a run be promoted?

A decision is a list of requirements, and all of them must hold. Each is tested at the comparison's own
level, undivided: a candidate that lacks any one of them passes its test with at most that probability, so all
of them pass with at most that probability (intersection-union test: Berger 1982, Technometrics 24:295).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import ConfigDict, Field

from core.config import Config, Record
from core.errors import HallmarkError
from core.text import counted
from evaluation.alpha import spent_level
from evaluation.limits import LimitResult, MeasuredPair, limited, shown_measure
from evaluation.numbers import p_text, percent, points
from evaluation.suite import Aim, Limit, Opponent, Requirement
from evaluation.training_data import TrainingData, TrainingStatus

if TYPE_CHECKING:  # it imports numpy, and the settings of a gate have no need of it
    from evaluation.comparison import Comparison, CutAnswers, Group

Answer = Literal["better", "not_worse", "not_better", "not_enough_evidence"]

CUT_SHARE = 0.02
"""When more of either side's answers were cut off than this, the decision says so even where it holds."""


class GateConfig(Config):
    """The rule that decides on promotion."""

    alpha: float = Field(
        default=0.05,
        gt=0,
        le=0.5,
        description="Chance of any false promotion, across all comparisons on one golden dataset.",
    )
    category_alpha: float = Field(
        default=0.05, gt=0, le=0.5, description="Level, Holm-adjusted, at which a category counts as fallen."
    )
    min_delta: float = Field(
        default=0.0, ge=0, lt=1, description="The gain in mean score must be larger than this."
    )


@dataclass(frozen=True)
class Case:
    """One requirement and what speaks to it.

    Attributes:
        requirement: what must be shown.
        comparison: candidate against the requirement's opponent, with its margin.
        training_data: whether items of this dataset are in what the candidate was trained on; None where
            nobody looked.
        measured: what was measured beside the scores, for the limits; None where there are none.
    """

    requirement: Requirement
    comparison: Comparison
    training_data: TrainingData | None = None
    measured: MeasuredPair | None = None


class RequirementResult(Record):
    """What the gate found about one requirement.

    Attributes:
        dataset: its name.
        judge: NAME@vN.
        aim: better or not_worse.
        margin: of not_worse; None for better.
        against: the opponent that was asked for.
        opponent_run: the run it was compared with.
        candidate_run: the candidate's run on this dataset.
        n: items.
        baseline: the opponent's score.
        candidate: the candidate's score.
        delta: their difference.
        ci_low: lower end of its 95 % interval.
        ci_high: upper end.
        p_value: one-sided, of what is to be excluded, the cut-off answers' included where they count.
        met: whether it holds.
        reasons: why, in whole sentences.
        cut: how many answers of opponent and candidate were cut off.
        training_data: whether its items are in what the candidate was trained on.
    """

    dataset: str
    judge: str
    aim: Aim
    margin: float | None
    against: Opponent
    opponent_run: str
    candidate_run: str
    n: int
    baseline: float
    candidate: float
    delta: float
    ci_low: float
    ci_high: float
    p_value: float
    met: bool
    reasons: list[str]
    cut: tuple[int, int]
    training_data: TrainingStatus

    @property
    def name(self) -> str:
        """What is required, in a few words: `golden-v1 better than champion`."""
        return requirement_name(self.dataset, self.against, self.margin)


class GateDecision(Record):
    """What the gate says.

    Attributes:
        answer: better, where every requirement holds; not_worse, where they do and none asked for a gain;
            not_better; or not_enough_evidence, when what was seen may be luck.
        promote: whether the run may be promoted.
        reasons: why, in whole sentences with the numbers.
        number: which comparison it was on this golden dataset, from 1; the same one asked again keeps its
            number.
        level: its share of alpha, which each one-sided p value had to be below.
        significant: whether all of them were.
        smallest_gain: the smallest gain that would have been significant with as many changed answers; None
            when none would, and for scores other than 0 and 1.
        requirements: each requirement, the main one first; empty in decisions from before there were any.
        limits: each limit on each dataset.
    """

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    answer: Answer = Field(alias="verdict")  # the name that recorded decisions have for it
    promote: bool
    reasons: list[str]
    number: int
    level: float
    significant: bool
    smallest_gain: float | None
    requirements: list[RequirementResult] = Field(default_factory=list)
    limits: list[LimitResult] = Field(default_factory=list)

    @property
    def is_suite(self) -> bool:
        """Whether more was required than a gain on one dataset."""
        return len(self.requirements) > 1 or bool(self.limits)

    @property
    def p_value(self) -> float:
        """The largest of the requirements' p values: the one that an intersection-union test rests on."""
        return max(each.p_value for each in self.requirements)


COLUMNS = ("required", "opponent", "candidate", "points", "one-sided p", "holds")
"""Of the table with a row for each requirement and each limit."""


def decision_rows(
    requirements: Sequence[RequirementResult], limits: Sequence[LimitResult]
) -> list[tuple[str, ...]]:
    """A decision as the rows of a table with the columns `COLUMNS`.

    Args:
        requirements: of a decision.
        limits: of the same decision.

    Example:
        >>> decision_rows(decision.requirements, decision.limits)[0]  # doctest: +SKIP
        ('golden-v1 better than champion', '46.9 %', '61.7 %', '+14.7', '1.2e-05', 'yes')
    """
    rows: list[tuple[str, ...]] = [
        (
            each.name,
            percent(each.baseline),
            percent(each.candidate),
            points(each.delta),
            p_text(each.p_value),
            "yes" if each.met else "no",
        )
        for each in requirements
    ]
    for limit in limits:
        value = "not recorded" if limit.value is None else shown_measure(limit.measure, limit.value)
        rows.append((limit.name, limit.bounds, value, "", "", "yes" if limit.met else "no"))
    return rows


class GateRefused(HallmarkError):
    """The gate said no, and the caller asked for that to be a failure."""

    exit_code = 5

    def __init__(self, decision: GateDecision | None) -> None:
        super().__init__("not promoted: " + " ".join(decision.reasons if decision else []))


def decide(
    cases: Sequence[Case],
    gate: GateConfig,
    *,
    limits: Sequence[Limit] = (),
    number: int = 1,
    carried: float = 0.0,
    spent: float | None = None,
    level: float | None = None,
    ledger: str | None = None,
) -> GateDecision:
    """Apply the rule.

    A run may be promoted when every requirement is significant at this comparison's share of alpha, also
    without the answers that were cut off; no category falls significantly; no golden item was in the training
    data; every condition of the comparison is known; and every limit holds.

    Args:
        cases: the requirements with their comparisons, the main one first.
        gate: the rule's numbers.
        limits: bounds on what was measured beside the scores.
        number: which comparison this is on the main golden dataset, from 1.
        carried: level that the comparison before it left over; see `evaluation.alpha`.
        spent: sum of the levels of those before it, likewise.
        level: of a comparison that was decided before, which keeps it.
        ledger: name of the golden dataset whose ledger these come from; the main one where it is left out.

    Example:
        >>> decision = decide([Case(Requirement(), comparison)], GateConfig())  # doctest: +SKIP
        >>> decision.answer, decision.promote  # doctest: +SKIP
        ('better', True)
    """
    if level is None:
        level = spent_level(gate.alpha, number, carried, spent)
    main = cases[0].comparison
    share = f"the share of alpha {gate.alpha:g} for comparison {number} on {ledger or main.dataset}"
    findings = [_examined(case, gate, level, share) for case in cases]
    pairs = [pair for case in cases if (pair := case.measured) is not None]
    measured = [result for limit in limits for result in limited(limit, pairs)]
    answer = _combined([finding.answer for finding in findings])
    refused = any(finding.objections for finding in findings) or not all(each.met for each in measured)
    holds = answer in ("better", "not_worse")
    return GateDecision(
        answer="not_better" if holds and refused else answer,
        promote=holds and not refused,
        reasons=[*_reasons(cases, findings), *(each.reason for each in measured if not each.met)],
        number=number,
        level=level,
        significant=all(finding.p_value < level and finding.gained for finding in findings),
        smallest_gain=main.smallest_significant_gain(level),
        requirements=[_result(case, finding) for case, finding in zip(cases, findings, strict=True)],
        limits=measured,
    )


@dataclass(frozen=True)
class _Finding:
    """What was found about one requirement.

    Attributes:
        answer: what the test says.
        gained: whether the change goes the way that was asked for.
        p_value: of the test; with many cut-off answers, the larger of the two with and without them.
        evidence: the test in words.
        objections: what speaks against the candidate whatever the test says.
        remarks: what a reader should know besides.
    """

    answer: Answer
    gained: bool
    p_value: float
    evidence: Sequence[str]
    objections: Sequence[str]
    remarks: Sequence[str]

    @property
    def sentences(self) -> list[str]:
        """All of it, in the order in which it is read."""
        return [*self.evidence, *self.objections, *self.remarks]


def _examined(case: Case, gate: GateConfig, level: float, share: str) -> _Finding:
    comparison = case.comparison
    if case.requirement.aim == "better":
        answer, sentence = _gain(comparison, gate, level, share)
        p_value, gained = comparison.p_better, comparison.delta > gate.min_delta
    else:
        answer, sentence = _no_loss(comparison, level, share)
        p_value, gained = _known(comparison.p_not_worse), True
    evidence = [sentence]
    objections = [*_unknown(comparison), *_fallen(comparison.categories, gate)]
    if (cut := comparison.cut) is not None:
        p_without, gained_without = _without_cut(case.requirement.aim, cut, gate)
        holds = gained_without and p_without < level
        decides = not holds and answer in ("better", "not_worse")
        if decides:
            evidence[0] = f"With the answers that were cut off: {evidence[0]}"
            answer = "not_enough_evidence"
        if decides or _many_cut(comparison, cut):
            evidence.append(
                _cut_sentence(case.requirement.aim, comparison, cut, p_without, level, holds=holds)
            )
        fallen = {group.name for group in comparison.categories if _has_fallen(group, gate)}
        others = [group for group in cut.categories if group.name not in fallen]
        objections += _fallen(others, gate, " without the answers that were cut off")
        p_value, gained = max(p_value, p_without), gained and gained_without
    known = case.training_data
    status, sentences = (known.status, known.sentences) if known else ("unknown", [])
    return _Finding(
        answer=answer,
        gained=gained,
        p_value=p_value,
        evidence=evidence,
        objections=[*objections, *(sentences if status == "leaked" else [])],
        remarks=sentences if status == "unknown" else [],
    )


def _gain(comparison: Comparison, gate: GateConfig, level: float, share: str) -> tuple[Answer, str]:
    """Is the candidate better?"""
    if comparison.delta <= gate.min_delta:
        return "not_better", _no_gain(comparison, gate)
    gain = f"The gain of {points(comparison.delta)} points on {_items(comparison)}"
    p = f"one-sided p = {comparison.p_better:.2g}"
    changed = len(comparison.gained) + len(comparison.lost)
    limit = ""
    if (smallest := comparison.smallest_significant_gain(level)) is not None:
        least = f"a gain of less than {100 * smallest:.1f} points could not have been significant"
        limit = f" With {counted(changed, 'changed answer')}, {least}."
    elif comparison.test == "mcnemar_exact":
        limit = f" With {counted(changed, 'changed answer')}, no gain could have been significant."
    if comparison.p_better < level:
        return "better", f"{gain} is significant ({p}, below {level:.2g}, {share}).{limit}"
    luck = f"{gain} may be luck: it is not significant ({p}, not below {level:.2g}, {share})."
    return "not_enough_evidence", luck + limit


def _no_loss(comparison: Comparison, level: float, share: str) -> tuple[Answer, str]:
    """Is a loss of the margin or more excluded?"""
    margin, p_value = 100 * _known(comparison.margin), _known(comparison.p_not_worse)
    loss = f"a loss of {margin:g} points or more on {_items(comparison)}"
    change = f"the score {_change(comparison.delta)}; one-sided p = {p_value:.2g}"
    if p_value < level:
        return "not_worse", f"{loss.capitalize()} is excluded ({change}, below {level:.2g}, {share})."
    if 100 * comparison.delta <= -margin:
        fell = f"The score {_change(comparison.delta)} on {_items(comparison)}"
        return "not_better", f"{fell}; the margin is {margin:g} points."
    evidence = f"({change}, not below {level:.2g}, {share})"
    return "not_enough_evidence", f"{loss.capitalize()} is not excluded {evidence}."


def _items(comparison: Comparison) -> str:
    items, groups = counted(comparison.n, "item"), comparison.groups
    if groups is None or groups == comparison.n:
        return items
    return f"{items} in {counted(groups, 'group')}"


def _change(delta: float) -> str:
    if not delta:
        return "did not change"
    return f"{'rose' if delta > 0 else 'fell'} by {abs(100 * delta):.1f} points"


def _no_gain(comparison: Comparison, gate: GateConfig) -> str:
    required = "a gain" if gate.min_delta == 0 else f"a gain above {100 * gate.min_delta:.1f} points"
    return f"The score {_change(comparison.delta)} on {_items(comparison)}; {required} is required."


def _many_cut(comparison: Comparison, cut: CutAnswers) -> bool:
    return max(cut.baseline, cut.candidate) > CUT_SHARE * comparison.n


def _without_cut(aim: Aim, cut: CutAnswers, gate: GateConfig) -> tuple[float, bool]:
    """The p value on the items that neither side cut off, and whether their change is what was asked for."""
    if cut.n == 0:
        return 1.0, False
    if aim == "better":
        return cut.p_better, cut.delta > gate.min_delta
    return _known(cut.p_not_worse), True


def _cut_sentence(
    aim: Aim, comparison: Comparison, cut: CutAnswers, p_value: float, level: float, *, holds: bool
) -> str:
    counts = (
        f"Of {counted(comparison.n, 'answer')} each, {cut.baseline} of the baseline's and "
        f"{cut.candidate} of the candidate's were cut off at max_new_tokens."
    )
    remedy = "Judge both with a larger generation.max_new_tokens."
    if cut.n == 0:
        return f"{counts} No item is left that neither cut off, so nothing can be said. {remedy}"
    found = (
        f"On the {counted(cut.n, 'item')} that neither cut off, the score {_change(cut.delta)} "
        f"(one-sided p = {p_value:.2g}"
    )
    if holds:
        return f"{counts} {found}, below {level:.2g}): it holds without them too."
    wanted = "the gain" if aim == "better" else "the margin"
    fails = f"where below {level:.2g} is required): {wanted} does not hold without them"
    return f"{counts} {found}, {fails}. {remedy}"


def _fallen(categories: Sequence[Group], gate: GateConfig, where: str = "") -> list[str]:
    return [
        f"Category {group.name} fell by {-100 * group.delta:.1f} points{where} (Holm p = {group.p_holm:.2g}, "
        f"below {gate.category_alpha:g})."
        for group in categories
        if _has_fallen(group, gate)
    ]


def _unknown(comparison: Comparison) -> list[str]:
    """That two runs may not have been asked alike, for imported ones of which nobody knows it."""
    return [
        f"The predictions of run {run} were imported, and nobody knows its {', '.join(names)}: without that, "
        "nothing says that both models were asked alike. Import them again with what is known (--set, "
        "--known)."
        for run, names in comparison.unknown.items()
    ]


def _has_fallen(group: Group, gate: GateConfig) -> bool:
    return group.delta < 0 and group.p_holm < gate.category_alpha


def _combined(answers: Sequence[Answer]) -> Answer:
    """All requirements together: the worst of their answers."""
    if "not_better" in answers:
        return "not_better"
    if "not_enough_evidence" in answers:
        return "not_enough_evidence"
    return "better" if "better" in answers else "not_worse"


def _reasons(cases: Sequence[Case], findings: Sequence[_Finding]) -> list[str]:
    """Every sentence once; with several requirements, each says which one it is about."""
    if len(cases) == 1:
        return findings[0].sentences
    return [
        f"{_result(case, finding).name}: {' '.join(finding.sentences)}"
        for case, finding in zip(cases, findings, strict=True)
    ]


def requirement_name(dataset: str, against: Opponent, margin: float | None) -> str:
    """What is required, in a few words.

    Example:
        >>> requirement_name("safety-v2", "base", 0.02)
        'safety-v2 not 2 points below base'
    """
    wanted = "better than" if margin is None else f"not {100 * margin:g} points below"
    return f"{dataset} {wanted} {against}"


def _result(case: Case, finding: _Finding) -> RequirementResult:
    comparison, requirement = case.comparison, case.requirement
    cut = comparison.cut
    return RequirementResult(
        dataset=comparison.dataset,
        judge=comparison.judge,
        aim=requirement.aim,
        margin=requirement.margin,
        against=requirement.against,
        opponent_run=comparison.baseline_run,
        candidate_run=comparison.candidate_run,
        n=comparison.n,
        baseline=comparison.baseline.value,
        candidate=comparison.candidate.value,
        delta=comparison.delta,
        ci_low=comparison.ci_low,
        ci_high=comparison.ci_high,
        p_value=finding.p_value,
        met=finding.answer in ("better", "not_worse") and not finding.objections,
        reasons=finding.sentences,
        cut=(cut.baseline, cut.candidate) if cut else (0, 0),
        training_data=case.training_data.status if case.training_data else "unknown",
    )


def _known(value: float | None) -> float:
    """A value that a comparison made for this requirement always has."""
    if value is None:
        raise ValueError("the comparison was made without the margin of its requirement")
    return value
