"""What got worse and what got better, and what those items have in common: the first thing to read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pydantic import Field

from core.config import Record
from core.text import counted
from evaluation.comparison import Comparison
from evaluation.form import NONE, is_stated

NAMED = 3
"""How many categories, or words of a judge, a sentence names."""


class InCommon(Record):
    """Items that changed and have something in common.

    Attributes:
        what: it in a few words: a category, `marker → none` for where the answers were found, or whose
            answer was cut off.
        chosen: the same as a filter of the items of a page: `category`; `before` and `after`, the rungs of
            the baseline's and the candidate's answer; or `cut`, whose answer was cut off.
        worse: how many of them got worse.
        better: how many got better.
    """

    what: str
    chosen: dict[str, str]
    worse: int
    better: int


class Changes(Record):
    """How the items of a comparison changed. In each list the parts with most items that got worse are
    first; parts in which nothing changed are left out.

    Attributes:
        n: all items.
        worse: how many got worse.
        better: how many got better.
        categories: by category.
        rungs: by where each run's answer was found; empty where the judge does not say.
        cut: by whose answer was cut off at max_new_tokens; empty where none was.
        said: what the judge said of the candidate's answers to the items that got worse -> how many, most
            first; empty where it says where it found them, which `rungs` has.
    """

    n: int
    worse: int
    better: int
    categories: list[InCommon]
    rungs: list[InCommon]
    cut: list[InCommon]
    said: dict[str, int] = Field(default_factory=dict)

    @property
    def sentences(self) -> list[str]:
        """What got worse and why, in whole sentences."""
        better = f"{self.better:,} got better"
        if not self.worse:
            return [f"No item of {self.n:,} got worse; {better}."]
        found = [f"{self.worse:,} of {counted(self.n, 'item')} got worse, {better}. Worse: {self._where()}."]
        why = [*self._by_answer(), *self._by_judge(), *self._by_cut()]
        if why:
            found.append(f"Of the items that got worse: {'; '.join(why)}.")
        return found

    def _where(self) -> str:
        worse = [each for each in self.categories if each.worse]
        named = worse if len(worse) == NAMED + 1 else worse[:NAMED]
        parts = [f"{each.worse:,} in {each.what}" for each in named]
        if others := self.worse - sum(each.worse for each in named):
            parts.append(f"{others:,} elsewhere")
        return ", ".join(parts)

    def _by_answer(self) -> list[str]:
        """How the candidate's answers of the items that got worse could be read."""
        stated = sum(each.worse for each in self.rungs if is_stated(each.chosen["after"]) and not _none(each))
        none = sum(each.worse for each in self.rungs if _none(each))
        guessed = self.worse - stated - none
        kinds = (
            (stated, "the candidate stated an answer that is not right"),
            (guessed, "it did not say which part of its text is the answer"),
            (none, "no answer was found in what it wrote"),
        )
        return [f"in {count:,} {what}" for count, what in kinds if count] if self.rungs else []

    def _by_judge(self) -> list[str]:
        """What a judge that does not say where it found an answer said of the candidate's."""
        counted = list(self.said.items())
        named = counted if len(counted) == NAMED + 1 else counted[:NAMED]
        found = [f"in {count:,} the candidate's answer was judged {what}" for what, count in named]
        if others := sum(self.said.values()) - sum(count for _, count in named):
            found.append(f"in {others:,} it was judged otherwise")
        return found

    def _by_cut(self) -> list[str]:
        cut = sum(each.worse for each in self.cut if each.chosen["cut"] == "candidate")
        return [f"in {cut:,} the candidate's text was cut off at max_new_tokens"] if cut else []


def _none(each: InCommon) -> bool:
    return each.chosen["after"] == NONE


def changes(
    comparison: Comparison,
    rungs: Sequence[Mapping[str, str]],
    cut: Sequence[frozenset[str]],
    reasons: Mapping[str, str] | None = None,
) -> Changes:
    """What the changed items of a comparison have in common.

    Args:
        comparison: candidate against baseline.
        rungs: of both runs: trace_id -> where the answer was found; an id that is absent had none.
        cut: of both runs: ids of items whose answer was cut off.
        reasons: trace_id -> what the judge said of the candidate's answer; is counted where there are no
            rungs.
    """
    moves: dict[tuple[str, str], tuple[int, int]] = {}
    sides = ("baseline", "candidate")
    gone = dict.fromkeys(sides, (0, 0))
    for ids, step in ((comparison.lost, (1, 0)), (comparison.gained, (0, 1))):
        for trace_id in ids:
            move = rungs[0].get(trace_id, NONE), rungs[1].get(trace_id, NONE)
            moves[move] = _sum(moves.get(move, (0, 0)), step)
            for side, of_side in zip(sides, cut, strict=True):
                if trace_id in of_side:
                    gone[side] = _sum(gone[side], step)
    return Changes(
        n=comparison.n,
        worse=len(comparison.lost),
        better=len(comparison.gained),
        categories=_ordered(
            InCommon(what=each.name, chosen={"category": each.name}, worse=each.lost, better=each.gained)
            for each in comparison.categories
        ),
        rungs=_ordered(
            InCommon(
                what=f"{before} → {after}",
                chosen={"before": before, "after": after},
                worse=counted[0],
                better=counted[1],
            )
            for (before, after), counted in moves.items()
        )
        if any(rungs)
        else [],
        cut=_ordered(
            InCommon(
                what=f"{side}'s answer was cut off", chosen={"cut": side}, worse=counted[0], better=counted[1]
            )
            for side, counted in gone.items()
        ),
        said={} if any(rungs) else _most_first((reasons or {}).get(each) for each in comparison.lost),
    )


def _most_first(words: Iterable[str | None]) -> dict[str, int]:
    counted = Counter(word for word in words if word is not None)
    return dict(sorted(counted.items(), key=lambda each: (-each[1], each[0])))


def _sum(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return one[0] + other[0], one[1] + other[1]


def _ordered(parts: Iterable[InCommon]) -> list[InCommon]:
    changed = [each for each in parts if each.worse or each.better]
    return sorted(changed, key=lambda each: (-each.worse, -each.better, each.what))
