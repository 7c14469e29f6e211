"""Two runs compared item by item, on the same items, by the same judge."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from core.config import Record
from core.errors import InputError, IntegrityError
from core.files import canonical_json
from core.tabular import Row, Tabular
from evaluation.metrics import Metric, is_binary, metric
from evaluation.numbers import p_text, percent, points
from evaluation.statistics import (
    FloatArray,
    bootstrap_interval,
    holm,
    mcnemar_exact,
    mcnemar_superiority,
    paired_permutation_p,
)
from judges.base import Score

RESAMPLES = 10_000
TEST_NAMES = {"mcnemar_exact": "exact McNemar test", "paired_permutation": "sign-flip permutation test"}
DIFFICULTY = {"easy": 1, "medium": 2, "hard": 3}
"""Bands stand in this order; everything else by name."""


@dataclass(frozen=True)
class RunScores:
    """A run as a comparison needs it.

    Attributes:
        dataset: its name, for people.
        dataset_sha256: of the file.
        judge: NAME@vN.
        judge_fingerprint: sha256 of the judge's code.
        generation: everything else that must be equal: generation config, prompt template, dtype.
        scores: trace_id -> score.
        categories: trace_id -> category.
        bands: trace_id -> difficulty band, where the dataset has bands.
    """

    run_id: str
    dataset: str
    dataset_sha256: str
    judge: str
    judge_fingerprint: str
    generation: Mapping[str, Any]
    scores: Mapping[str, float]
    categories: Mapping[str, str]
    bands: Mapping[str, str] = field(default_factory=dict)


class Group(Record):
    """The comparison within one category or difficulty band.

    Attributes:
        gained: items that got better.
        lost: items that got worse.
        p_value: of this group alone.
        p_holm: adjusted for the number of groups.
    """

    name: str
    n: int
    baseline: float
    candidate: float
    delta: float
    gained: int
    lost: int
    p_value: float
    p_holm: float


class Comparison(Tabular, Record):
    """Candidate against baseline. A notebook shows it as a table; `to_frame()` gives that as a DataFrame.

    Attributes:
        delta: candidate less baseline, in mean score.
        ci_low: lower end of the paired bootstrap interval of delta, 95 %.
        ci_high: upper end.
        p_value: two-sided, of "no difference".
        p_better: one-sided, of "not better": what the gate asks.
        test: mcnemar_exact for 0/1 scores, else paired_permutation.
        gained: trace ids that got better.
        lost: trace ids that got worse.
    """

    baseline_run: str
    candidate_run: str
    dataset: str
    judge: str
    n: int
    baseline: Metric
    candidate: Metric
    delta: float
    ci_low: float
    ci_high: float
    p_value: float
    p_better: float
    test: str
    categories: list[Group]
    bands: list[Group]
    gained: list[str]
    lost: list[str]

    @property
    def test_name(self) -> str:
        """What a person calls the test."""
        return TEST_NAMES[self.test]

    def table_caption(self) -> str:
        """The answer in a line."""
        return (
            f"run {self.candidate_run} against run {self.baseline_run} on {self.dataset}, judged by "
            f"{self.judge}: "
            f"{percent(self.baseline.value)} to {percent(self.candidate.value)}, {points(self.delta)} points "
            f"({points(self.ci_low)} to {points(self.ci_high)}), p = {p_text(self.p_value)}"
        )

    def table_rows(self) -> list[Row]:
        """Overall, then each category and each difficulty band; scores and deltas are shares, from 0 to 1.

        The interval is for the overall delta only. `p_value` is Holm-adjusted within categories and within
        bands.
        """
        overall = {
            "by": None,
            "group": "overall",
            "items": self.n,
            "baseline": self.baseline.value,
            "candidate": self.candidate.value,
            "delta": self.delta,
            "ci_low": self.ci_low,
            "ci_high": self.ci_high,
            "p_value": self.p_value,
            "better": len(self.gained),
            "worse": len(self.lost),
        }
        categories = [_group_row("category", group) for group in self.categories]
        return [overall, *categories, *(_group_row("difficulty", group) for group in self.bands)]


def _group_row(by: str, group: Group) -> Row:
    return {
        "by": by,
        "group": group.name,
        "items": group.n,
        "baseline": group.baseline,
        "candidate": group.candidate,
        "delta": group.delta,
        "ci_low": None,
        "ci_high": None,
        "p_value": group.p_holm,
        "better": group.gained,
        "worse": group.lost,
    }


def scores_by_id(scores: Iterable[Score]) -> dict[str, float]:
    """trace_id -> score."""
    return {score.trace_id: score.score for score in scores}


def compare(
    baseline: RunScores, candidate: RunScores, seed: int = 0, resamples: int = RESAMPLES
) -> Comparison:
    """Compare two runs, pairing their scores by trace_id.

    Args:
        baseline: the run to beat.
        candidate: the run that would replace it.
        seed: decides the resampling.
        resamples: bootstrap samples and random sign patterns.

    Raises:
        InputError: both are the same run, or were made under different conditions; names every field that
            differs, with both values.
        IntegrityError: the same dataset, but not the same items; names one.

    Example:
        >>> def run(name: str, scores: list[float]) -> RunScores:
        ...     ids = [f"q-{number}" for number in range(len(scores))]
        ...     fixed = ("golden-v1", "sha256", "answer_correctness@v1", "fingerprint", {})
        ...     return RunScores(name, *fixed, dict(zip(ids, scores)), dict.fromkeys(ids, "addition"), {})
        >>> found = compare(run("base", [0, 0, 0, 0, 0, 1]), run("trained", [1, 1, 1, 1, 1, 0]))
        >>> len(found.gained), found.lost, found.p_value
        (5, ['q-5'], 0.21875)
    """
    _check_comparable(baseline, candidate)
    ids = list(baseline.scores)
    before = np.fromiter(baseline.scores.values(), np.float64, len(ids))
    after = np.fromiter((candidate.scores[trace_id] for trace_id in ids), np.float64, len(ids))
    difference = after - before
    low, high = bootstrap_interval(difference, resamples=resamples, seed=seed)
    pairs = Pairs(before, after, seed, resamples)
    return Comparison(
        baseline_run=baseline.run_id,
        candidate_run=candidate.run_id,
        dataset=baseline.dataset,
        judge=baseline.judge,
        n=len(ids),
        baseline=metric(before),
        candidate=metric(after),
        delta=pairs.delta,
        ci_low=low,
        ci_high=high,
        p_value=pairs.p_value(),
        p_better=pairs.p_better(),
        test=pairs.test,
        categories=_groups(ids, pairs, baseline.categories),
        bands=_groups(ids, pairs, baseline.bands) if baseline.bands else [],
        gained=[ids[place] for place in np.flatnonzero(difference > 0)],
        lost=[ids[place] for place in np.flatnonzero(difference < 0)],
    )


@dataclass(frozen=True)
class Pairs:
    """Paired scores and their tests: McNemar's exact one for 0/1 scores, else sign-flip permutation.

    Attributes:
        before: float64 [items].
        after: float64 [items].
        seed: decides the permutations.
        resamples: how many of them.
    """

    before: FloatArray
    after: FloatArray
    seed: int
    resamples: int

    @property
    def gained(self) -> int:
        """Pairs that got better."""
        return int((self.after > self.before).sum())

    @property
    def lost(self) -> int:
        """Pairs that got worse."""
        return int((self.after < self.before).sum())

    @property
    def delta(self) -> float:
        """Mean of after less mean of before."""
        return math.fsum(self.after - self.before) / len(self.before)

    @property
    def test(self) -> str:
        """Name of the test."""
        return "mcnemar_exact" if is_binary(self.before) and is_binary(self.after) else "paired_permutation"

    def p_value(self) -> float:
        """Two-sided p value of "no difference"."""
        if self.test == "mcnemar_exact":
            return mcnemar_exact(self.gained, self.lost)
        return paired_permutation_p(self.after - self.before, "two-sided", self.resamples, self.seed)

    def p_better(self) -> float:
        """One-sided p value of "not better"."""
        if self.test == "mcnemar_exact":
            return mcnemar_superiority(self.gained, self.lost)
        return paired_permutation_p(self.after - self.before, "greater", self.resamples, self.seed)

    def at(self, places: FloatArray) -> Pairs:
        """Some of the pairs."""
        return Pairs(self.before[places], self.after[places], self.seed, self.resamples)


def _check_comparable(baseline: RunScores, candidate: RunScores) -> None:
    if baseline.run_id == candidate.run_id:
        raise InputError(f"run {baseline.run_id}: cannot be compared with itself. Name another run.")
    differing = [
        f"{name}: {_shown(left)} against {_shown(right)}"
        for name, left, right in (
            (
                "dataset",
                (baseline.dataset, baseline.dataset_sha256),
                (candidate.dataset, candidate.dataset_sha256),
            ),
            ("judge", baseline.judge, candidate.judge),
            ("judge_fingerprint", baseline.judge_fingerprint, candidate.judge_fingerprint),
            *(
                (f"generation.{name}", baseline.generation.get(name), candidate.generation.get(name))
                for name in sorted({*baseline.generation, *candidate.generation})
            ),
        )
        if left != right
    ]
    if differing:
        raise InputError(
            f"runs {baseline.run_id} and {candidate.run_id} cannot be compared, because they differ in "
            f"{'; '.join(differing)}. "
            "Evaluate one of them again under the other's conditions."
        )
    if odd := sorted(baseline.scores.keys() ^ candidate.scores.keys()):
        raise IntegrityError(
            f"runs {baseline.run_id} and {candidate.run_id} name the same dataset, but only one of them has "
            f"item {odd[0]}."
        )


def _shown(value: object) -> str:
    return canonical_json(value)


def _groups(ids: Sequence[str], pairs: Pairs, labels: Mapping[str, str]) -> list[Group]:
    names, label = np.unique(np.array([labels[trace_id] for trace_id in ids]), return_inverse=True)
    parts = {str(name): pairs.at(np.flatnonzero(label == place)) for place, name in enumerate(names)}
    ordered = sorted(parts, key=lambda name: (DIFFICULTY.get(name, 0), name))
    p_values = [parts[name].p_value() for name in ordered]
    return [
        _group(name, parts[name], p, adjusted)
        for name, p, adjusted in zip(ordered, p_values, holm(p_values), strict=True)
    ]


def _group(name: str, pairs: Pairs, p_value: float, p_holm: float) -> Group:
    return Group(
        name=name,
        n=len(pairs.before),
        baseline=math.fsum(pairs.before) / len(pairs.before),
        candidate=math.fsum(pairs.after) / len(pairs.after),
        delta=pairs.delta,
        gained=pairs.gained,
        lost=pairs.lost,
        p_value=p_value,
        p_holm=p_holm,
    )
