"""The gate: may a run be promoted?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import ConfigDict, Field

from core.config import Config, Record
from core.errors import HallmarkError
from evaluation.alpha import spent_level
from evaluation.numbers import points

if TYPE_CHECKING:  # it imports numpy, and the settings of a gate have no need of it
    from evaluation.comparison import Comparison

Answer = Literal["better", "not_better", "not_enough_evidence"]


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


class GateDecision(Record):
    """What the gate says.

    Attributes:
        answer: better; not_better; or not_enough_evidence, when there is a gain that may be luck.
        promote: whether the run may be promoted.
        reasons: why, in whole sentences with the numbers.
        number: which comparison it was on this golden dataset, from 1; the same one asked again keeps its
            number.
        level: its share of alpha, which the one-sided p value had to be below.
        significant: whether it was.
        smallest_gain: the smallest gain that would have been significant with as many changed answers; None
            when none would, and for scores other than 0 and 1.
    """

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    answer: Answer = Field(alias="verdict")  # the name that recorded decisions have for it
    promote: bool
    reasons: list[str]
    number: int
    level: float
    significant: bool
    smallest_gain: float | None


class GateRefused(HallmarkError):
    """The gate said no, and the caller asked for that to be a failure."""

    exit_code = 5

    def __init__(self, decision: GateDecision | None) -> None:
        super().__init__("not promoted: " + " ".join(decision.reasons if decision else []))


def decide(
    comparison: Comparison, gate: GateConfig, *, guard_clean: bool, number: int = 1, carried: float = 0.0
) -> GateDecision:
    """Apply the rule.

    Better means: the gain is larger than `min_delta` and significant at this comparison's share of alpha, no
    category
    falls significantly, and no golden item was in the training set.

    Args:
        comparison: candidate against what is served.
        gate: the rule's numbers.
        guard_clean: whether the contamination guard found nothing.
        number: which comparison this is on the golden dataset, from 1.
        carried: level that the comparison before it left over; see `evaluation.alpha`.

    Example:
        >>> decision = decide(comparison, GateConfig(), guard_clean=True)  # doctest: +SKIP
        >>> decision.answer, decision.promote  # doctest: +SKIP
        ('better', True)
    """
    from evaluation.statistics import smallest_significant_gain

    level = spent_level(gate.alpha, number, carried)
    significant = comparison.delta > 0 and comparison.p_better < level
    smallest = None
    if comparison.test == "mcnemar_exact":
        smallest = smallest_significant_gain(
            len(comparison.gained) + len(comparison.lost), comparison.n, level
        )
    share = f"the share of alpha {gate.alpha:g} for comparison {number} on {comparison.dataset}"
    answer, evidence = _evidence(comparison, gate, level, share, smallest)
    objections = _objections(comparison, gate, guard_clean)
    return GateDecision(
        answer="not_better" if objections and answer == "better" else answer,
        promote=answer == "better" and not objections,
        reasons=[evidence, *objections],
        number=number,
        level=level,
        significant=significant,
        smallest_gain=smallest,
    )


def _evidence(
    comparison: Comparison, gate: GateConfig, level: float, share: str, smallest: float | None
) -> tuple[Answer, str]:
    if comparison.delta <= gate.min_delta:
        return "not_better", _no_gain(comparison, gate)
    gain = f"The gain of {points(comparison.delta)} points on {comparison.n} items"
    p = f"one-sided p = {comparison.p_better:.2g}"
    changed = len(comparison.gained) + len(comparison.lost)
    limit = ""
    if smallest is not None:
        least = f"a gain of less than {100 * smallest:.1f} points could not have been significant"
        limit = f" With {changed} changed answers, {least}."
    elif comparison.test == "mcnemar_exact":
        limit = f" With {changed} changed answers, no gain could have been significant."
    if comparison.p_better < level:
        return "better", f"{gain} is significant ({p}, below {level:.2g}, {share}).{limit}"
    luck = f"{gain} may be luck: it is not significant ({p}, not below {level:.2g}, {share})."
    return "not_enough_evidence", luck + limit


def _no_gain(comparison: Comparison, gate: GateConfig) -> str:
    change = "did not change"
    if comparison.delta:
        verb = "rose" if comparison.delta > 0 else "fell"
        change = f"{verb} by {abs(100 * comparison.delta):.1f} points"
    required = "a gain" if gate.min_delta == 0 else f"a gain above {100 * gate.min_delta:.1f} points"
    return f"The score {change} on {comparison.n} items; {required} is required."


def _objections(comparison: Comparison, gate: GateConfig, guard_clean: bool) -> list[str]:
    fallen = [
        group for group in comparison.categories if group.delta < 0 and group.p_holm < gate.category_alpha
    ]
    found = [
        f"Category {group.name} fell by {-100 * group.delta:.1f} points (Holm p = {group.p_holm:.2g}, below "
        f"{gate.category_alpha:g})."
        for group in fallen
    ]
    if not guard_clean:
        found.append("The training set holds golden items, so the gain may be memory.")
    return found
