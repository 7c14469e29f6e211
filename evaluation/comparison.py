"""Two runs compared item by item, on the same items, by the same judge."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict

from evaluation.metrics import Metric, is_binary, metric
from evaluation.statistics import bootstrap_interval, holm, mcnemar_exact, paired_permutation_p
from hallmark.errors import InputError, IntegrityError
from hallmark.files import canonical_json
from judges.base import Score

RESAMPLES = 10_000
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


class Record(BaseModel):
    """Base of what is written to JSON: nothing unknown, no NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


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


class Comparison(Record):
    """Candidate against baseline.

    Attributes:
        delta: candidate less baseline, in mean score.
        ci_low: lower end of the paired bootstrap interval of delta, 95 %.
        ci_high: upper end.
        p_value: two-sided, of "no difference".
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
    test: str
    categories: list[Group]
    bands: list[Group]
    gained: list[str]
    lost: list[str]


def scores_by_id(scores: Iterable[Score]) -> dict[str, float]:
    """trace_id -> score."""
    return {score.trace_id: score.score for score in scores}


def compare(baseline: RunScores, candidate: RunScores, seed: int = 0) -> Comparison:
    """Compare two runs, pairing their scores by trace_id.

    Args:
        baseline: the run to beat.
        candidate: the run that would replace it.
        seed: decides the resampling.

    Raises:
        InputError: the runs were made under different conditions; names every field that differs, with both values.
        IntegrityError: the same dataset, but not the same items; names one.
    """
    _check_comparable(baseline, candidate)
    ids = list(baseline.scores)
    before = [baseline.scores[trace_id] for trace_id in ids]
    after = [candidate.scores[trace_id] for trace_id in ids]
    differences = [right - left for left, right in zip(before, after, strict=True)]
    low, high = bootstrap_interval(differences, resamples=RESAMPLES, seed=seed)
    p_value, test = paired_p(before, after, seed)
    first, second = metric(before), metric(after)
    return Comparison(
        baseline_run=baseline.run_id,
        candidate_run=candidate.run_id,
        dataset=baseline.dataset,
        judge=baseline.judge,
        n=len(ids),
        baseline=first,
        candidate=second,
        delta=sum(differences) / len(ids),
        ci_low=low,
        ci_high=high,
        p_value=p_value,
        test=test,
        categories=_groups(ids, before, after, baseline.categories, seed),
        bands=_groups(ids, before, after, baseline.bands, seed) if baseline.bands else [],
        gained=[trace_id for trace_id, difference in zip(ids, differences, strict=True) if difference > 0],
        lost=[trace_id for trace_id, difference in zip(ids, differences, strict=True) if difference < 0],
    )


def paired_p(before: Sequence[float], after: Sequence[float], seed: int) -> tuple[float, str]:
    """The p value of "no difference" and the name of the test that gave it."""
    pairs = list(zip(before, after, strict=True))
    if is_binary(before) and is_binary(after):
        return mcnemar_exact(sum(b < a for b, a in pairs), sum(b > a for b, a in pairs)), "mcnemar_exact"
    return paired_permutation_p([a - b for b, a in pairs], seed=seed), "paired_permutation"


def _check_comparable(baseline: RunScores, candidate: RunScores) -> None:
    differing = [
        f"{name}: {_shown(left)} against {_shown(right)}"
        for name, left, right in (
            ("dataset", (baseline.dataset, baseline.dataset_sha256), (candidate.dataset, candidate.dataset_sha256)),
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
            f"runs {baseline.run_id} and {candidate.run_id} cannot be compared, because they differ in {'; '.join(differing)}. "
            "Evaluate one of them again under the other's conditions."
        )
    if odd := sorted(baseline.scores.keys() ^ candidate.scores.keys()):
        raise IntegrityError(
            f"runs {baseline.run_id} and {candidate.run_id} name the same dataset, but only one of them has item {odd[0]}."
        )


def _shown(value: object) -> str:
    return canonical_json(value)


def _groups(ids: Sequence[str], before: Sequence[float], after: Sequence[float], labels: Mapping[str, str], seed: int) -> list[Group]:
    places: dict[str, list[int]] = defaultdict(list)
    for place, trace_id in enumerate(ids):
        places[labels[trace_id]].append(place)
    names = sorted(places, key=lambda name: (DIFFICULTY.get(name, 0), name))
    pairs = [([before[i] for i in places[name]], [after[i] for i in places[name]]) for name in names]
    p_values = [paired_p(left, right, seed)[0] for left, right in pairs]
    return [
        _group(name, *pair, p_value, adjusted) for name, pair, p_value, adjusted in zip(names, pairs, p_values, holm(p_values), strict=True)
    ]


def _group(name: str, before: list[float], after: list[float], p_value: float, p_holm: float) -> Group:
    n = len(before)
    first, second = sum(before) / n, sum(after) / n
    pairs = list(zip(before, after, strict=True))
    return Group(
        name=name,
        n=n,
        baseline=first,
        candidate=second,
        delta=second - first,
        gained=sum(b < a for b, a in pairs),
        lost=sum(b > a for b, a in pairs),
        p_value=p_value,
        p_holm=p_holm,
    )
