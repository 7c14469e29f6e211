"""The gate: may a run be promoted?"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from evaluation.comparison import Comparison, Record
from evaluation.statistics import smallest_significant_gain
from hallmark.config import Config
from hallmark.errors import HallmarkError


class GateConfig(Config):
    """The rule that decides on promotion."""

    alpha: float = Field(0.05, gt=0, le=0.5, description="Level of the test against the champion (or the base where there is none).")
    category_alpha: float = Field(0.05, gt=0, le=0.5, description="Level, Holm-adjusted, at which a category counts as fallen.")
    min_delta: float = Field(0.0, ge=0, lt=1, description="The gain in mean score must be larger than this.")


class Decision(Record):
    """What the gate says.

    Attributes:
        verdict: better; not_better; or not_enough_evidence, when there is a gain that may be luck.
        promote: whether the run may be promoted.
        reasons: why, in whole sentences with the numbers.
        smallest_gain: the smallest gain that would have been significant with as many changed answers; None when none would.
    """

    verdict: Literal["better", "not_better", "not_enough_evidence"]
    promote: bool
    reasons: list[str]
    smallest_gain: float | None


class GateRefused(HallmarkError):
    """The gate said no, and the caller asked for that to be a failure."""

    exit_code = 5

    def __init__(self, decision: Decision | None) -> None:
        super().__init__("not promoted: " + " ".join(decision.reasons if decision else []))


def decide(comparison: Comparison, gate: GateConfig, *, guard_clean: bool) -> Decision:
    """Apply the rule.

    Better means: the gain is larger than `min_delta` and significant, no category falls significantly, and no golden
    item was in the training set.

    Args:
        comparison: candidate against what is served.
        gate: the rule's numbers.
        guard_clean: whether the contamination guard found nothing.
    """
    changed = len(comparison.gained) + len(comparison.lost)
    smallest = smallest_significant_gain(changed, comparison.n, gate.alpha)
    verdict, evidence = _evidence(comparison, gate, smallest)
    objections = _objections(comparison, gate, guard_clean)
    return Decision(
        verdict="not_better" if objections and verdict == "better" else verdict,
        promote=verdict == "better" and not objections,
        reasons=[evidence, *objections],
        smallest_gain=smallest,
    )


def _evidence(
    comparison: Comparison, gate: GateConfig, smallest: float | None
) -> tuple[Literal["better", "not_better", "not_enough_evidence"], str]:
    points, p = f"{100 * comparison.delta:+.1f} points", f"p = {comparison.p_value:.2g}"
    if comparison.delta <= gate.min_delta:
        wanted = "any gain" if gate.min_delta == 0 else f"a gain above {100 * gate.min_delta:.1f} points"
        return "not_better", f"The score changed by {points} on {comparison.n} items, and {wanted} was asked for."
    if comparison.p_value < gate.alpha:
        return "better", f"The gain of {points} on {comparison.n} items is significant ({p}, below {gate.alpha:g})."
    needed = "no gain would have been" if smallest is None else f"{100 * smallest:.1f} points would have been"
    luck = f"The gain of {points} on {comparison.n} items may be luck ({p}, not below {gate.alpha:g}; {needed} significant)."
    return "not_enough_evidence", luck


def _objections(comparison: Comparison, gate: GateConfig, guard_clean: bool) -> list[str]:
    fallen = [group for group in comparison.categories if group.delta < 0 and group.p_holm < gate.category_alpha]
    found = [
        f"Category {group.name} fell by {-100 * group.delta:.1f} points (Holm p = {group.p_holm:.2g}, below {gate.category_alpha:g})."
        for group in fallen
    ]
    if not guard_clean:
        found.append("The training set holds golden items, so the gain may be memory.")
    return found
