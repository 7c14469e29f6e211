"""How often does a gate promote luck, and how soon does it find a true gain? Simulated nights, decided by the
real gate.

A champion answers 40 % of 300 golden items. Every night another candidate with its own training noise is
offered; its answers differ from the champion's on 20 % of the items. Hallmark's gate is
`evaluation.comparison.compare` and `evaluation.gate.decide` with the registry's rule for the number of a
comparison and the carried level. Beside it stand rules that people use.

The parts:

nights   No candidate has a true gain: every promotion is false. Then a true gain of 10 points begins on
         night 1, 10 or 50: how often is it found within three nights? Beside Hallmark: "higher wins", which
         promotes whenever the score is higher, and "p < 0.05", a test of each night by itself.
suite    Two sets: better on A, not worse by 5 points on B. The candidate has no gain on A, or is worse by
         just the margin on B. Beside Hallmark: "all items as one", which tests both sets together for a gain.
groups   The items are 75 groups of four whose answers change together. No candidate has a true gain. Beside
         Hallmark: "item by item", the same gate, which is not told of the groups.
cut      A third of the champion's answers are cut off and count as wrong; the candidate only learnt to be
         short. Beside Hallmark: "cut is wrong", the same gate, which is not told what was cut off.
margin   One set, on which nothing may be lost: the candidate is worse by just the margin of 5 points. Beside
         Hallmark's exact test: "score test", the asymptotic one. Then the same in groups of four, of which
         half change together, and where only losses occur. Beside Hallmark: "sign flips" of the groups'
         differences shifted by the margin.
skew     Graded scores: the candidate gains a hundredth on 99 % of the items and loses the rest on 1 %, so it
         has no true gain. Beside Hallmark: "sign flips" of the differences, which take them to be symmetric.
power    What `hallmark golden power` promises, beside what the gate does.

    python benchmarks/gate.py [--part nights ...] [--series 1000] [--nights 100] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from statistics import NormalDist

import numpy as np

from evaluation import comparison, pairs
from evaluation.alpha import spent_level
from evaluation.comparison import RunScores, compare
from evaluation.gate import Case, GateConfig, decide
from evaluation.metrics import is_binary
from evaluation.noninferiority import tango_score
from evaluation.power import gain_power
from evaluation.statistics import mcnemar_exact, sign_flip_p, wilson_interval
from evaluation.suite import Requirement

ITEMS = 300
ACCURACY = 0.4
DISCORDANT = 0.2
GAIN = 0.1
MARGIN = 0.05
CATEGORIES = 6
IDS = [f"item-{number}" for number in range(ITEMS)]
LABELS = {trace_id: f"category-{number % CATEGORIES}" for number, trace_id in enumerate(IDS)}
GROUPS = {trace_id: f"group-{number // 4}" for number, trace_id in enumerate(IDS)}
GATE = GateConfig()
BETTER = Requirement()
NOT_WORSE = Requirement(dataset="safety-v1", aim="not_worse", margin=MARGIN)

NOTICED = 0.05
"""No rule that looks at a p value promotes at this one: all levels together, carried ones too, are less."""


@dataclass(frozen=True)
class Champion:
    """Scores of 0 and 1, float64 [items], and how probable a flip is for an item that is right or wrong."""

    scores: np.ndarray

    @classmethod
    def exact(cls, _rng: np.random.Generator) -> Champion:
        """Exactly 40 % of the items."""
        scores = np.zeros(ITEMS)
        scores[: round(ACCURACY * ITEMS)] = 1
        return cls(scores)

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Champion:
        """Each item with probability 40 %: on this golden set the champion was lucky or unlucky, for all
        nights alike.
        """
        return cls((rng.random(ITEMS) < ACCURACY).astype(float))

    def candidate(self, rng: np.random.Generator, gain: float, together: int = 1) -> np.ndarray:
        """One night's candidate: its true accuracy is the champion's plus the gain, and 20 % of the answers
        differ on average; so many items in a row change together.
        """
        gained = (DISCORDANT + gain) / 2 / (1 - ACCURACY)
        lost = (DISCORDANT - gain) / 2 / ACCURACY
        drawn = np.repeat(rng.random(ITEMS // together), together)
        flips = drawn < np.where(self.scores == 0, gained, lost)
        return np.where(flips, 1 - self.scores, self.scores)


@dataclass(frozen=True)
class Pair:
    """A requirement and the scores of both sides.

    Attributes:
        champion: float64 [items].
        candidate: float64 [items].
        requirement: what must be shown.
        groups: whether it is known which items hang together.
        cut: the champion's answers that are known to be cut off, bool [items]; None where nobody counted.
    """

    champion: np.ndarray
    candidate: np.ndarray
    requirement: Requirement = BETTER
    groups: bool = False
    cut: np.ndarray | None = None

    @property
    def difference(self) -> np.ndarray:
        """Candidate less champion, float64 [items], where nothing is known to be cut off."""
        difference = self.candidate - self.champion
        return difference if self.cut is None else difference[~self.cut]

    @property
    def changed(self) -> tuple[int, int]:
        """Gained and lost items."""
        return int((self.difference > 0).sum()), int((self.difference < 0).sum())

    @cached_property
    def p_value(self) -> float:
        """The gate's p value or a smaller one, in little time."""
        if self.groups or not is_binary(self.champion):
            groups = np.arange(ITEMS) // 4 if self.groups else None
            found = pairs.Pairs(self.champion, self.candidate, groups, seed=0, resamples=1)
            return found.p_not_worse(MARGIN) if self.requirement is NOT_WORSE else found.p_better()
        if self.requirement is NOT_WORSE:
            return pairs.not_worse_exact(*self.changed, ITEMS, MARGIN)
        return pairs.better_exact(*self.changed, len(self.difference))

    @cached_property
    def case(self) -> Case:
        """The real comparison; its bootstrap intervals, on which no decision rests, are made of one sample to
        save time.
        """
        cut = frozenset() if self.cut is None else frozenset(np.array(IDS)[self.cut].tolist())
        sides = ("champion", self.champion, cut), ("candidate", self.candidate, frozenset[str]())
        first, second = (
            RunScores(
                name,
                "golden-v1",
                "0" * 64,
                "answer_correctness@v1",
                "f",
                {},
                dict(zip(IDS, scores.tolist(), strict=True)),
                LABELS,
                groups=GROUPS if self.groups else {},
                cut=cut_off,
            )
            for name, scores, cut_off in sides
        )
        found = compare(first, second, resamples=1, margin=self.requirement.margin)
        return Case(self.requirement, found)


Night = Sequence[Pair]
Rule = Callable[[Night, int], bool]
Nights = Callable[[np.random.Generator], Iterator[Night]]


@dataclass
class Hallmark:
    """The gate, with the registry's counting: each fresh candidate is a new comparison, and a passed level
    goes on. It knows the night's pairs from `first` to before `end`.
    """

    first: int = 0
    end: int | None = None
    carried: float = 0.0

    def __call__(self, night: Night, number: int) -> bool:
        known = night[self.first : self.end]
        if any(pair.p_value >= NOTICED for pair in known):  # then the gate says no
            self.carried = 0.0
            return False
        decision = decide([pair.case for pair in known], GATE, number=number, carried=self.carried)
        self.carried = decision.level if decision.significant else 0.0
        return decision.promote


def higher_wins(night: Night, _number: int) -> bool:
    """Promote whatever scores higher."""
    gained, lost = night[0].changed
    return gained > lost


def each_night_alone(night: Night, _number: int) -> bool:
    """Promote when the two-sided test of this night alone says p < 0.05."""
    return higher_wins(night, 0) and mcnemar_exact(*night[0].changed) < 0.05


def all_items_as_one(night: Night, number: int) -> bool:
    """Promote when the items of all sets together show a gain at the night's level."""
    gained, lost = (sum(counts) for counts in zip(*(pair.changed for pair in night), strict=True))
    return pairs.better_exact(gained, lost, ITEMS * len(night)) < spent_level(GATE.alpha, number)


def score_test(night: Night, number: int) -> bool:
    """Trust the normal distribution of the score."""
    score = tango_score(*night[0].changed, ITEMS, MARGIN)
    return float(score) > NormalDist().inv_cdf(1 - spent_level(GATE.alpha, number))


def sign_flips(night: Night, number: int) -> bool:
    """Flip the signs of the groups' differences after the margin was added."""
    shifted = night[0].difference.reshape(-1, 4).sum(axis=1) + 4 * MARGIN
    return sign_flip_p(shifted, "greater") < spent_level(GATE.alpha, number)


def flips_alone(night: Night, number: int) -> bool:
    """Flip the signs of the differences."""
    return sign_flip_p(night[0].difference, "greater") < spent_level(GATE.alpha, number)


Rules = Mapping[str, Callable[[], Rule]]

RULES: Rules = {
    "hallmark": Hallmark,
    "p < 0.05": lambda: each_night_alone,
    "higher wins": lambda: higher_wins,
}


def one_set(make: Callable[[np.random.Generator], Champion], start: int | None) -> Nights:
    """One set; a true gain from night `start` on, or none."""

    def nights(rng: np.random.Generator) -> Iterator[Night]:
        champion, night = make(rng), 0
        while True:
            night += 1
            gain = GAIN if start and night >= start else 0.0
            yield [Pair(champion.scores, champion.candidate(rng, gain))]

    return nights


def two_sets(gain_a: float, gain_b: float) -> Nights:
    """Better on A, not worse on B: two sets, with these true gains on every night."""

    def nights(rng: np.random.Generator) -> Iterator[Night]:
        a, b = Champion.drawn(rng), Champion.drawn(rng)
        while True:
            first, second = a.candidate(rng, gain_a), b.candidate(rng, gain_b)
            yield [Pair(a.scores, first), Pair(b.scores, second, NOT_WORSE)]

    return nights


def in_groups(rng: np.random.Generator) -> Iterator[Night]:
    """Four items of a group are right or wrong together, and change together. First told, then not."""
    champion = Champion(np.repeat((rng.random(ITEMS // 4) < ACCURACY).astype(float), 4))
    while True:
        candidate = champion.candidate(rng, 0.0, together=4)
        yield [Pair(champion.scores, candidate, groups=True), Pair(champion.scores, candidate)]


def cut_off(rng: np.random.Generator) -> Iterator[Night]:
    """What the champion would answer had it the room; on a third of the items it has not. First told, then
    not.
    """
    able = Champion.drawn(rng)
    cut = np.arange(ITEMS) % 3 == 0
    shown = np.where(cut, 0.0, able.scores)
    while True:
        candidate = able.candidate(rng, 0.0)
        yield [Pair(shown, candidate, cut=cut), Pair(shown, candidate)]


def at_the_margin(rng: np.random.Generator) -> Iterator[Night]:
    """The candidate is worse by just the margin."""
    champion = Champion.drawn(rng)
    while True:
        yield [Pair(champion.scores, champion.candidate(rng, -MARGIN), NOT_WORSE)]


def losses_in_groups(rng: np.random.Generator) -> Iterator[Night]:
    """The candidate is worse by just the margin: it only loses, every other group as a whole."""
    right = np.ones(ITEMS)
    whole = np.arange(ITEMS) // 4 % 2 == 0
    while True:
        together, alone = np.repeat(rng.random(ITEMS // 4), 4), rng.random(ITEMS)
        candidate = 1.0 - (np.where(whole, together, alone) < MARGIN)
        yield [Pair(right, candidate, NOT_WORSE, groups=True)]


def skewed(rng: np.random.Generator) -> Iterator[Night]:
    """Many small gains and rare large losses, which sum to nothing."""
    champion = np.full(ITEMS, 0.99)
    while True:
        yield [Pair(champion, np.where(rng.random(ITEMS) < 0.99, 1.0, 0.0))]


TOLD, UNTOLD = partial(Hallmark, end=1), partial(Hallmark, first=1)


def promoted(rules: Mapping[str, Rule], nights: Iterator[Night], first: int, last: int) -> dict[str, bool]:
    """Whether each rule promotes on any night from `first` to `last`. A rule's series ends with its first
    promotion in them.
    """
    found = dict.fromkeys(rules, False)
    for number, night in enumerate(nights, start=1):
        for name, rule in rules.items():
            if not found[name] and rule(night, number) and number >= first:
                found[name] = True
        if number == last or all(found.values()):
            break
    return found


def shares(
    count: int, nights: Nights, first: int = 1, last: int = 100, rules: Rules = RULES, stream: int = 0
) -> dict[str, list[float]]:
    """For each rule the share of series with a promotion in the nights that are looked at, with its Wilson
    interval.
    """
    totals = dict.fromkeys(rules, 0)
    for seed in range(count):
        fresh = {name: rule() for name, rule in rules.items()}
        rng = np.random.default_rng([seed, stream])
        for name, found in promoted(fresh, nights(rng), first, last).items():
            totals[name] += found
        if sys.stderr.isatty():
            print(f"\r  {seed + 1} of {count} series", end="", file=sys.stderr)
    return {name: [total / count, *wilson_interval(total, count)] for name, total in totals.items()}


Results = dict[str, dict[str, list[float]]]


def part_nights(count: int, nights: int) -> Results:
    """One set without and with a true gain."""
    found = {
        f"no gain, {nights} nights, champion {name}": shares(count, one_set(make, None), last=nights)
        for name, make in (("exactly 40 %", Champion.exact), ("drawn", Champion.drawn))
    }
    for start in (1, 10, 50):
        name = f"gain of 10 points from night {start}, found by night {start + 2}"
        found[name] = shares(count, one_set(Champion.exact, start), start, start + 2, stream=start)
    return found


def part_suite(count: int, nights: int) -> Results:
    """Two sets."""
    rules: Rules = {"hallmark": Hallmark, "all items as one": lambda: all_items_as_one}
    wrong = {
        "no gain on A, 10 points better on B": (0.0, GAIN),
        "10 points better on A, worse by the margin on B": (GAIN, -MARGIN),
    }
    found = {
        f"{name}, {nights} nights": shares(count, two_sets(*gains), last=nights, rules=rules)
        for name, gains in wrong.items()
    }
    right = "10 points better on A, {} on B, found by night 3"
    for name, gain in (("equal", 0.0), ("5 points better", 0.05)):
        found[right.format(name)] = shares(count, two_sets(GAIN, gain), last=3, rules={"hallmark": Hallmark})
    return found


def part_groups(count: int, nights: int) -> Results:
    """75 groups of four."""
    rules: Rules = {"hallmark": TOLD, "item by item": UNTOLD}
    return {f"no gain, {nights} nights": shares(count, in_groups, last=nights, rules=rules)}


def part_cut(count: int, nights: int) -> Results:
    """A candidate that only learnt to be short."""
    rules: Rules = {"hallmark": TOLD, "cut is wrong": UNTOLD}
    return {f"only shorter, {nights} nights": shares(count, cut_off, last=nights, rules=rules)}


def part_margin(count: int, nights: int) -> Results:
    """Worse by just the margin."""
    rules: Rules = {"hallmark": Hallmark, "score test": lambda: score_test}
    flips: Rules = {"hallmark": Hallmark, "sign flips": lambda: sign_flips}
    return {
        f"worse by the margin, {nights} nights": shares(count, at_the_margin, last=nights, rules=rules),
        f"the same in groups, {nights} nights": shares(count, losses_in_groups, last=nights, rules=flips),
    }


def part_skew(count: int, nights: int) -> Results:
    """Graded scores with rare large losses."""
    rules: Rules = {"hallmark": Hallmark, "sign flips": lambda: flips_alone}
    return {f"no gain, {nights} nights": shares(count, skewed, last=nights, rules=rules)}


def part_power(count: int, _nights: int) -> Results:
    """One night, at the level of its number: promised, and promoted."""
    found: Results = {}
    for number, gain in ((1, 0.06), (1, 0.08), (10, 0.09), (50, 0.1), (50, 0.12)):
        level = spent_level(GATE.alpha, number)
        tried = 20 * count
        rng = np.random.default_rng([number, round(1000 * gain)])
        hits = 0
        for _ in range(tried):
            champion = Champion.drawn(rng)
            hits += Hallmark()([Pair(champion.scores, champion.candidate(rng, gain))], number)
        promised = gain_power(ITEMS, gain, DISCORDANT, level)
        found[f"gain of {100 * gain:g} points at comparison {number}"] = {
            "promised": [promised, promised, promised],
            "hallmark": [hits / tried, *wilson_interval(hits, tried)],
        }
    return found


PARTS: dict[str, Callable[[int, int], Results]] = {
    "nights": part_nights,
    "suite": part_suite,
    "groups": part_groups,
    "cut": part_cut,
    "margin": part_margin,
    "skew": part_skew,
    "power": part_power,
}


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=PARTS, nargs="+", default=list(PARTS))
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--nights", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    _remember_tests()
    started = time.monotonic()
    results = {}
    for part in arguments.part:
        results[part] = PARTS[part](arguments.series, arguments.nights)
        if not arguments.json:
            show(part, results[part])
    if arguments.json:
        print(
            json.dumps({"series": arguments.series, "nights": arguments.nights, "shares": results}, indent=2)
        )
        return
    print(f"\n{time.monotonic() - started:.0f} s")


def show(part: str, cases: Results) -> None:
    """Print the share of the series with a promotion, and its 95 % interval."""
    print(f"\n{part}\n")
    for name, rules in cases.items():
        print(name)
        for rule, (share, low, high) in rules.items():
            print(f"  {rule:<18} {100 * share:6.1f} %  ({100 * low:.1f} to {100 * high:.1f})", flush=True)


def _remember_tests() -> None:
    """The same counts come again and again in a simulation; their p values need computing once."""
    for name in ("mcnemar_exact", "better_exact", "not_worse_exact"):
        setattr(pairs, name, lru_cache(maxsize=None)(getattr(pairs, name)))
    comparison.smallest_significant_gain = lru_cache(maxsize=None)(comparison.smallest_significant_gain)


if __name__ == "__main__":
    main()
