"""Limits: bounds on what is measured of a run beside its scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.config import Record
from evaluation.numbers import percent
from evaluation.suite import Limit, Measure, Opponent


@dataclass(frozen=True)
class Measured:
    """What a limit may bound, for one run.

    Attributes:
        cut_share: share of its answers that were cut off at max_new_tokens; None where nobody knows it.
        tokens_per_second: speed of generation; None where nothing was timed.
        size: bytes of its weights; None where that was not recorded.
    """

    cut_share: float | None
    tokens_per_second: float | None
    size: int | None

    def value(self, measure: Measure) -> float | None:
        """One of them by its name."""
        found: float | None = getattr(self, measure)
        return found


@dataclass(frozen=True)
class MeasuredPair:
    """What was measured of the two runs of one comparison.

    Attributes:
        dataset: its name.
        reference: the dataset as the requirement names it.
        against: whom the candidate is compared with.
        candidate: of the candidate's run.
        opponent: of the opponent's run.
    """

    dataset: str
    reference: str
    against: Opponent
    candidate: Measured
    opponent: Measured


class LimitResult(Record):
    """What the gate found about one limit on one dataset.

    Attributes:
        measure: what is bounded.
        dataset: on whose runs it was measured.
        value: the candidate's.
        at_most: the bound in the measure's own unit; None where there is none.
        at_least: likewise.
        met: whether it holds; a value that was not measured holds nothing.
        reason: in a whole sentence.
    """

    measure: Measure
    dataset: str
    value: float | None
    at_most: float | None
    at_least: float | None
    met: bool
    reason: str

    @property
    def name(self) -> str:
        """What is bounded, in a few words."""
        return SHORT[self.measure] if self.measure == "size" else f"{SHORT[self.measure]} on {self.dataset}"

    @property
    def bounds(self) -> str:
        """What is required, in a few words; empty where the bound is not known."""
        return bounds_text(self.measure, self.at_least, self.at_most)


def limited(limit: Limit, pairs: Sequence[MeasuredPair]) -> list[LimitResult]:
    """A limit on each dataset that it is about; the size of a model is the same on all.

    Args:
        limit: the bound.
        pairs: of all requirements.
    """
    about = [
        pair
        for pair in pairs
        if limit.dataset in (None, pair.reference) and limit.relative_to in (None, pair.against)
    ]
    if limit.relative_to is None:  # two requirements on one dataset share the candidate's run
        about = list({pair.dataset: pair for pair in about}.values())
    if limit.measure == "size":
        about = about[:1]
    return [_limit_result(limit, pair) for pair in about]


def _limit_result(limit: Limit, pair: MeasuredPair) -> LimitResult:
    value = pair.candidate.value(limit.measure)
    scale = 1.0 if limit.relative_to is None else pair.opponent.value(limit.measure)
    at_most, at_least = (
        None if bound is None or value is None or scale is None else bound * scale
        for bound in (limit.at_most, limit.at_least)
    )
    about = MEASURES[limit.measure] + ("" if limit.measure == "size" else f" on {pair.dataset}")
    if value is None or scale is None:
        met, whose = False, "candidate" if value is None else limit.relative_to
        reason = (
            f"{about} was not recorded for the {whose}'s run, so the limit does not hold. "
            "Judge it again with --no-reuse."
        )
    else:
        met = (at_most is None or value <= at_most) and (at_least is None or value >= at_least)
        allowed = bounds_text(limit.measure, at_least, at_most)
        wanted = f"as required: {allowed}" if met else f"where {allowed} is required"
        reason = f"{about} is {shown_measure(limit.measure, value)}, {wanted}."
    return LimitResult(
        measure=limit.measure,
        dataset=pair.dataset,
        value=value,
        at_most=at_most,
        at_least=at_least,
        met=met,
        reason=reason,
    )


def bounds_text(measure: Measure, at_least: float | None, at_most: float | None) -> str:
    """Bounds in words.

    Example:
        >>> bounds_text("cut_share", None, 0.05)
        'at most 5.0 %'
    """
    return " and ".join(
        f"at {word} {shown_measure(measure, bound)}"
        for word, bound in (("least", at_least), ("most", at_most))
        if bound is not None
    )


SHORT: dict[Measure, str] = {"cut_share": "cut answers", "tokens_per_second": "speed", "size": "size"}
MEASURES: dict[Measure, str] = {
    "cut_share": "The share of answers cut off",
    "tokens_per_second": "The speed of generation",
    "size": "The size of the weights",
}


def shown_measure(measure: Measure, value: float) -> str:
    """A measured value with its unit.

    Example:
        >>> shown_measure("cut_share", 0.05), shown_measure("tokens_per_second", 812.4)
        ('5.0 %', '812.4 tokens/s')
        >>> shown_measure("size", 2_560_000)
        '2.6 MB'
    """
    if measure == "cut_share":
        return percent(value)
    return f"{value:.1f} tokens/s" if measure == "tokens_per_second" else f"{value / 1e6:.1f} MB"
