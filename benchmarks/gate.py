"""How often does a gate promote luck, and how soon does it find a true gain? Simulated nights, decided by the
real gate.

A champion answers 40 % of 300 golden items. Every night another candidate with its own training noise is
offered; its answers differ from the champion's on 20 % of the items. In the first part no candidate has a
true gain: every promotion is false. In the second a true gain of 10 points begins on night 1, 10 or 50: how
often is it found within three nights?

Hallmark's gate is `evaluation.comparison.compare` and `evaluation.gate.decide` with the registry's rule for
the number of a comparison and the carried level. Beside it stand two rules that people use: "higher wins",
which promotes whenever the score is higher, and "p < 0.05", a test of each night by itself.

    python benchmarks/gate.py [--series 1000] [--nights 100] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from evaluation.comparison import Comparison, RunScores, compare
from evaluation.gate import Case, GateConfig, decide
from evaluation.statistics import wilson_interval
from evaluation.suite import Requirement

ITEMS = 300
ACCURACY = 0.4
DISCORDANT = 0.2
GAIN = 0.1
CATEGORIES = 6
IDS = [f"item-{number}" for number in range(ITEMS)]
LABELS = {trace_id: f"category-{number % CATEGORIES}" for number, trace_id in enumerate(IDS)}
GATE = GateConfig()

Rule = Callable[[Comparison, int], bool]


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

    def candidate(self, rng: np.random.Generator, gain: float) -> np.ndarray:
        """One night's candidate: its true accuracy is the champion's plus the gain, and 20 % of the answers
        differ on average.
        """
        gained = (DISCORDANT + gain) / 2 / (1 - ACCURACY)
        lost = (DISCORDANT - gain) / 2 / ACCURACY
        flips = rng.random(ITEMS) < np.where(self.scores == 0, gained, lost)
        return np.where(flips, 1 - self.scores, self.scores)


class Hallmark:
    """The gate, with the registry's counting: each fresh candidate is a new comparison, and a passed level
    goes on.
    """

    def __init__(self) -> None:
        self.carried = 0.0

    def __call__(self, comparison: Comparison, number: int) -> bool:
        decision = decide([Case(Requirement(), comparison)], GATE, number=number, carried=self.carried)
        self.carried = decision.level if decision.significant else 0.0
        return decision.promote


def higher_wins(comparison: Comparison, _number: int) -> bool:
    """Promote whatever scores higher."""
    return comparison.delta > 0


def each_night_alone(comparison: Comparison, _number: int) -> bool:
    """Promote when the two-sided test of this night alone says p < 0.05."""
    return comparison.delta > 0 and comparison.p_value < 0.05


RULES: dict[str, Callable[[], Rule]] = {
    "hallmark": Hallmark,
    "p < 0.05": lambda: each_night_alone,
    "higher wins": lambda: higher_wins,
}


def compared(champion: np.ndarray, candidate: np.ndarray) -> Comparison:
    """The real comparison; its bootstrap interval, on which no decision rests, is made of one sample to save
    time.
    """
    runs = ("champion", champion), ("candidate", candidate)
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
        )
        for name, scores in runs
    )
    return compare(first, second, resamples=1)


def series(
    seed: int, start: int | None, nights: int, make: Callable[[np.random.Generator], Champion]
) -> Iterator[Comparison]:
    """The comparisons of one series of nights; a true gain from night `start` on, or none."""
    rng = np.random.default_rng([seed, start or 0])
    champion = make(rng)
    for night in range(1, nights + 1):
        yield compared(champion.scores, champion.candidate(rng, GAIN if start and night >= start else 0.0))


def promoted(
    rules: dict[str, Rule], comparisons: Iterator[Comparison], first: int, last: int
) -> dict[str, bool]:
    """Whether each rule promotes on any night from `first` to `last`. A rule's series ends with its first
    promotion in them.
    """
    found = dict.fromkeys(rules, False)
    for night, comparison in enumerate(comparisons, start=1):
        if night > last or all(found.values()):
            break
        for name, rule in rules.items():
            if not found[name] and rule(comparison, night) and night >= first:
                found[name] = True
    return found


def shares(
    count: int, start: int | None, nights: int, make: Callable[[np.random.Generator], Champion]
) -> dict[str, list[float]]:
    """For each rule the share of series with a promotion in the nights that are looked at, with its Wilson
    interval.
    """
    totals = dict.fromkeys(RULES, 0)
    first, last = (start, start + 2) if start else (1, nights)
    for seed in range(count):
        rules = {name: rule() for name, rule in RULES.items()}
        for name, found in promoted(rules, series(seed, start, last, make), first, last).items():
            totals[name] += found
        if sys.stderr.isatty():
            print(f"\r  {seed + 1} of {count} series", end="", file=sys.stderr)
    return {name: [total / count, *wilson_interval(total, count)] for name, total in totals.items()}


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--nights", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    _remember_tests()
    started = time.monotonic()
    cases = {
        f"no gain, {arguments.nights} nights, champion exactly 40 %": (None, Champion.exact),
        f"no gain, {arguments.nights} nights, champion drawn": (None, Champion.drawn),
        "gain of 10 points from night 1, found by night 3": (1, Champion.exact),
        "gain of 10 points from night 10, found by night 12": (10, Champion.exact),
        "gain of 10 points from night 50, found by night 52": (50, Champion.exact),
    }
    results = {
        name: shares(arguments.series, start, arguments.nights, make) for name, (start, make) in cases.items()
    }
    if arguments.json:
        print(
            json.dumps({"series": arguments.series, "nights": arguments.nights, "shares": results}, indent=2)
        )
        return
    print(f"\n{arguments.series} series; the share of them with a promotion, and its 95 % interval\n")
    for name, rules in results.items():
        print(name)
        for rule, (share, low, high) in rules.items():
            print(f"  {rule:<12} {100 * share:6.1f} %  ({100 * low:.1f} to {100 * high:.1f})")
    print(f"\n{time.monotonic() - started:.0f} s")


def _remember_tests() -> None:
    """The same counts come again and again in a simulation; their p values need computing once."""
    from evaluation import comparison, pairs

    pairs.mcnemar_exact = lru_cache(maxsize=None)(pairs.mcnemar_exact)
    pairs.better_exact = lru_cache(maxsize=None)(pairs.better_exact)
    comparison.smallest_significant_gain = lru_cache(maxsize=None)(comparison.smallest_significant_gain)


if __name__ == "__main__":
    main()
