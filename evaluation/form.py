"""Telling form from skill: a model that only learnt how to end its answers gains too."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from core.config import Record
from core.text import counted
from evaluation.numbers import p_text, percent, points
from evaluation.pairs import Pairs

GUESSED = ("last_number", "whole_text")
"""Rungs where a judge takes what is there, because the model did not say which part is its answer."""

NONE = "none"
"""What stands for the rung of a completion in which no answer was found."""

ORDER = ("marker", "boxed", "hashes", "phrase", "bare", *GUESSED, NONE)
"""Rungs stand in the order in which a judge tries them; others by name, before those that are guessed."""

MOSTLY = 0.5
"""A share of the gained items from which on the gain is called mostly form."""


class RungCounts(Record):
    """How many answers each side had at one rung, right and wrong ones. Right is the full score.

    Attributes:
        rung: where in the text the judge found the answers; `none` where it found none.
    """

    rung: str
    baseline_right: int
    baseline_wrong: int
    candidate_right: int
    candidate_wrong: int


class Changed(Record):
    """Items whose score changed in one direction, by whether each side had stated its answer.

    An answer is stated where the model itself says which part of its text is the answer, or says nothing
    else (`bare`): found at any rung but `GUESSED` ones. An item is put down to

    * skill where the side that scored less had stated its answer: that answer was read, and was worse;
    * form where that side had not stated its answer, and the other side had;
    * neither where no side had: nobody can tell.

    Attributes:
        skill: how many items.
        form: how many.
        unclear: how many.
    """

    skill: int
    form: int
    unclear: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.skill + self.form + self.unclear


class FormAndSkill(Record):
    """What a comparison shows of where the answers were found.

    Attributes:
        rungs: the counts of both sides.
        gained: items that got better.
        lost: items that got worse.
        n: items where both sides stated their answer: a difference there is not one of form.
        baseline_score: the baseline's mean score on these; None where there are none.
        candidate_score: likewise.
        delta: candidate less baseline on these; 0 where there are none.
        p_better: one-sided, of "not better" on these; 1 where there are none.
    """

    rungs: list[RungCounts]
    gained: Changed
    lost: Changed
    n: int
    baseline_score: float | None
    candidate_score: float | None
    delta: float
    p_better: float

    @property
    def mostly_form(self) -> bool:
        """Whether more than half of the gained items are put down to form."""
        return self.gained.form > MOSTLY * self.gained.total

    @property
    def notes(self) -> list[str]:
        """What to say of it, in whole sentences."""
        found = [
            f"{direction.capitalize()}: {_split(changed)}."
            for direction, changed in (("gained", self.gained), ("lost", self.lost))
            if changed.total
        ]
        if self.baseline_score is None or self.candidate_score is None:
            found.append("There is no item where both stated their answer.")
        else:
            change = f"{percent(self.baseline_score)} to {percent(self.candidate_score)}"
            items = counted(self.n, "item")
            found.append(
                f"On the {items} where both stated their answer: {change}, {points(self.delta)} points "
                f"(one-sided p = {p_text(self.p_better)})."
            )
        return [" ".join(found), *([self.warning] if self.warning else [])]

    @property
    def warning(self) -> str | None:
        """That the gain is mostly form, and what to do; None where it is not."""
        if not self.mostly_form:
            return None
        return (
            f"Mostly form: in {self.gained.form} of the {counted(self.gained.total, 'item')} gained, the "
            "baseline did not state its answer and the candidate did. That can be learnt without any skill. "
            "Ask both how to answer (--instruction) and compare again."
        )


def _split(changed: Changed) -> str:
    parts = [f"{changed.skill} by skill", f"{changed.form} by form"]
    if changed.unclear:
        parts.append(f"{changed.unclear} where neither stated an answer")
    return f"{counted(changed.total, 'item')}, {', '.join(parts)}"


def is_stated(rung: str | None) -> bool:
    """Whether a model itself said which part of its text is the answer.

    Args:
        rung: where the answer was found; None where none was.

    Example:
        >>> is_stated("boxed"), is_stated("last_number"), is_stated(None)
        (True, False, False)
    """
    return rung is not None and rung not in GUESSED


def form_and_skill(
    ids: Sequence[str], pairs: Pairs, baseline: Mapping[str, str], candidate: Mapping[str, str]
) -> FormAndSkill | None:
    """Split a comparison by where the answers were found.

    Args:
        ids: of the items.
        pairs: their scores, in the same order.
        baseline: trace_id -> rung; an id that is absent had no answer.
        candidate: likewise.

    Returns:
        None where the judge does not say where it found answers: neither side has a rung. A side without
        one had no answers at all, which is the plainest case of form.
    """
    if not (baseline or candidate):
        return None
    before = np.array([is_stated(baseline.get(trace_id)) for trace_id in ids])
    after = np.array([is_stated(candidate.get(trace_id)) for trace_id in ids])
    both = pairs.at(np.flatnonzero(before & after))
    n = len(both)
    return FormAndSkill(
        rungs=_counts(ids, pairs, baseline, candidate),
        gained=_changed(pairs.after > pairs.before, before, after),
        lost=_changed(pairs.after < pairs.before, after, before),
        n=n,
        baseline_score=math.fsum(both.before) / n if n else None,
        candidate_score=math.fsum(both.after) / n if n else None,
        delta=both.delta if n else 0.0,
        p_better=both.p_better() if n else 1.0,
    )


def _changed(where: np.ndarray, less: np.ndarray, more: np.ndarray) -> Changed:
    """Split items that changed.

    Args:
        where: which did, bool [items].
        less: whether the side that scored less stated its answer, bool [items].
        more: likewise of the side that scored more.
    """
    return Changed(
        skill=int((where & less).sum()),
        form=int((where & ~less & more).sum()),
        unclear=int((where & ~less & ~more).sum()),
    )


def _counts(
    ids: Sequence[str], pairs: Pairs, baseline: Mapping[str, str], candidate: Mapping[str, str]
) -> list[RungCounts]:
    counts: dict[str, dict[str, int]] = {}
    for side, rungs, scores in (
        ("baseline", baseline, pairs.before),
        ("candidate", candidate, pairs.after),
    ):
        for trace_id, score in zip(ids, scores, strict=True):
            of_rung = counts.setdefault(rungs.get(trace_id, NONE), {})
            kind = f"{side}_{'right' if score >= 1 else 'wrong'}"
            of_rung[kind] = of_rung.get(kind, 0) + 1
    kinds = ("baseline_right", "baseline_wrong", "candidate_right", "candidate_wrong")
    return [
        RungCounts(rung=rung, **{kind: counts[rung].get(kind, 0) for kind in kinds})
        for rung in in_order(counts)
    ]


def in_order(rungs: Iterable[str]) -> list[str]:
    """Rungs in the order in which a judge tries them.

    Example:
        >>> in_order(["none", "letter", "whole_text", "marker"])
        ['marker', 'letter', 'whole_text', 'none']
    """
    unknown = ORDER.index(GUESSED[0]) - 0.5
    return sorted(rungs, key=lambda rung: (ORDER.index(rung) if rung in ORDER else unknown, rung))
