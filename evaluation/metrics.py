"""From scores to metrics: each with its n and its confidence interval."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from core.errors import InputError
from evaluation.groups import IntArray, group_of, group_places, grouped, regrouped
from evaluation.statistics import FloatArray, Interval, bootstrap_interval, wilson_interval
from golden.schema import Item
from judges.base import SampleScore, Score
from judges.log_probs import LogProb
from judges.samples import majority

LARGEST = 700.0
"""Natural logarithm of the largest perplexity."""


class Metric(BaseModel):
    """One aggregate.

    Attributes:
        value: the mean score, 0 to 1; those of `likelihood_metrics` are from 0 up.
        n: number of items.
        ci_low: lower end of the 95 % confidence interval.
        ci_high: upper end.
        method: how the interval was made: wilson for 0/1 scores, else bootstrap; with groups of items
            bootstrap_by_group, or wilson_by_group where all scores are 0 or all are 1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    value: float
    n: int
    ci_low: float
    ci_high: float
    method: str


class Truncation(BaseModel):
    """How many items were cut off: scored for what the model never read, or never got to write.

    Attributes:
        prompts: items whose prompt was cut to fit the context; None where only a server knows.
        completions: items whose completion was cut at max_new_tokens.
        completions_below_one: those among the cut completions that did not get the full score.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompts: int | None
    completions: int
    completions_below_one: int


class MetricsSnapshot(BaseModel):
    """metrics.json: the metrics of a run.

    Attributes:
        overall: metric name -> metric over all items.
        categories: category -> metric name -> metric over its items.
        counts: the judge's reasons and how often each occurred, as in correct, wrong, empty.
        truncated: items that were cut off; None in files that were written before this was counted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    overall: dict[str, Metric]
    categories: dict[str, dict[str, Metric]]
    counts: dict[str, int]
    truncated: Truncation | None = None


def is_binary(values: Sequence[float] | FloatArray) -> bool:
    """Whether all scores are 0 or 1."""
    scores = np.asarray(values, dtype=np.float64)
    return bool(((scores == 0) | (scores == 1)).all())


def metric(
    values: Sequence[float] | FloatArray, groups: IntArray | None = None, resamples: int = 10_000
) -> Metric:
    """The mean of some scores with its 95 % interval.

    Args:
        values: float64 [items], each 0 to 1.
        groups: the place of each item's group, int64 [items]; None where every item stands alone.
        resamples: bootstrap samples.

    Raises:
        InputError: there are no scores.

    Example:
        >>> metric([1, 0, 1, 1]).value
        0.75
    """
    scores = np.asarray(values, dtype=np.float64)
    if not len(scores):
        raise InputError("no scores to aggregate")
    mean = math.fsum(scores) / len(scores)
    (low, high), method = _interval(scores, groups, resamples)
    return Metric(value=mean, n=len(scores), ci_low=low, ci_high=high, method=method)


def _interval(scores: FloatArray, groups: IntArray | None, resamples: int) -> tuple[Interval, str]:
    if groups is None:
        if is_binary(scores):
            return wilson_interval(int(scores.sum()), len(scores)), "wilson"
        return bootstrap_interval(scores, resamples=resamples), "bootstrap"
    sums, sizes = grouped(scores, groups)
    if is_binary(scores) and scores.min() == scores.max():  # all samples would be equal, and say "no doubt"
        return wilson_interval(len(sums) if scores[0] else 0, len(sums)), "wilson_by_group"
    return bootstrap_interval(sums, resamples=resamples, sizes=sizes), "bootstrap_by_group"


def pass_at(right: int, samples: int, k: int) -> float:
    """The unbiased estimate, from more samples, of the chance that at least one of `k` is right (Chen et al.
    2021, https://arxiv.org/abs/2107.03374, eq. 1).

    Args:
        right: samples with the full score, 0 to `samples`.
        samples: all of them.
        k: how many one would draw, 1 to `samples`.

    Example:
        >>> pass_at(right=1, samples=4, k=2)
        0.5
    """
    return 1 - math.comb(samples - right, k) / math.comb(samples, k)


def sample_metrics(
    items: Sequence[Sequence[SampleScore]], groups: IntArray | None = None
) -> dict[str, Metric]:
    """What several samples of each item say beside their mean, each with its interval: `pass@k`, for k = 2,
    4, 8 and so on and for all samples, and `maj@k`, the score of the answer that most samples give
    (`judges.samples.majority`).

    A sample is right for `pass@k` when it has the full score. So for a judge that only says 0 or 1 the mean
    score is `pass@1`.

    Args:
        items: what the judge says of each item's samples, equally many each.
        groups: the place of each item's group, int64 [items]; None where every item stands alone.
    """
    count = len(items[0])
    right = [sum(sample.score >= 1 for sample in samples) for samples in items]
    sizes = [*(1 << power for power in range(1, count.bit_length()) if 1 << power < count), count]
    found = {f"pass@{k}": metric([pass_at(each, count, k) for each in right], groups) for k in sizes}
    most = [samples[majority(samples)].score for samples in items]
    return {**found, f"maj@{count}": metric(most, groups)}


def likelihood_metrics(found: Sequence[LogProb], groups: IntArray | None = None) -> dict[str, Metric]:
    """What the log-probabilities of all references together say, each with its interval: `perplexity`, by
    token, and `bits_per_byte`. Long references count more: sums are divided by sums.

    Args:
        found: one for each item.
        groups: the place of each item's group, int64 [items]; None where every item stands alone.

    Example:
        >>> half = LogProb(log_prob=3 * math.log(0.5), tokens=3, bytes=6, greedy=False)
        >>> {name: round(each.value, 6) for name, each in likelihood_metrics([half, half]).items()}
        {'perplexity': 2.0, 'bits_per_byte': 0.5}
    """
    surprise = np.array([-each.log_prob for each in found], dtype=np.float64)
    sizes = {
        "perplexity": np.array([each.tokens for each in found], dtype=np.int64),
        "bits_per_byte": np.array([each.bytes for each in found], dtype=np.int64),
    }
    method = "bootstrap" if groups is None else "bootstrap_by_group"
    metrics = {}
    for name, size in sizes.items():
        sums, counts = (surprise, size) if groups is None else (
            grouped(surprise, groups)[0], grouped(size, groups)[0]
        )  # fmt: skip
        mean = math.fsum(surprise) / int(size.sum())
        low, high = bootstrap_interval(sums, sizes=counts)
        value, ci_low, ci_high = (
            math.exp(min(each, LARGEST)) if name == "perplexity" else each / math.log(2)
            for each in (mean, low, high)
        )
        metrics[name] = Metric(value=value, n=len(found), ci_low=ci_low, ci_high=ci_high, method=method)
    return metrics


def count_truncated(
    scores: Mapping[str, float], prompts: Collection[str] | None, completions: Collection[str]
) -> Truncation:
    """Count the items that were cut off.

    Args:
        scores: trace_id -> score, of all items.
        prompts: ids of items whose prompt was cut; None where nobody here knows.
        completions: ids of items whose completion was cut.
    """
    return Truncation(
        prompts=None if prompts is None else len(prompts),
        completions=len(completions),
        completions_below_one=sum(scores.get(trace_id, 1.0) < 1 for trace_id in completions),
    )


def summarise(
    scores: Sequence[Score],
    items: Sequence[Item],
    name: str,
    *,
    truncated_prompts: Collection[str] | None = (),
    cut_completions: Collection[str] = (),
    log_probs: Sequence[LogProb] = (),
) -> MetricsSnapshot:
    """Aggregate a run's scores, overall and by category. Intervals are by group where items hang together
    (`evaluation.groups.group_of`). Several samples of each item have more metrics, overall; so have
    log-probabilities.

    Args:
        scores: one for each item, in dataset order.
        items: the dataset.
        name: the metric's name, which is the judge's.
        truncated_prompts: ids of items whose prompt was cut; None where nobody here knows.
        cut_completions: ids of items whose completion was cut.
        log_probs: of each item's reference, where that is what the model was asked for.

    Raises:
        InputError: there are no scores.

    Example:
        >>> item = Item(trace_id="q-1", prompt="1+1?", steps=[], final_answer="2", category="addition")
        >>> right = Score(trace_id="q-1", score=1.0, extracted="2", reason="correct")
        >>> snapshot = summarise([right], [item], "answer_correctness")
        >>> snapshot.categories["addition"]["answer_correctness"].value
        1.0
    """
    values = np.array([score.score for score in scores], dtype=np.float64)
    groups = group_places([item.trace_id for item in items], group_of(items))
    by_category: dict[str, list[int]] = defaultdict(list)
    for place, (_, item) in enumerate(zip(scores, items, strict=True)):
        by_category[item.category].append(place)
    samples = [score.samples for score in scores if score.samples is not None]
    more = {
        **(sample_metrics(samples, groups) if samples else {}),
        **(likelihood_metrics(log_probs, groups) if log_probs else {}),
    }
    return MetricsSnapshot(
        overall={name: metric(values, groups), **more},
        categories={
            category: {name: metric(values[places], regrouped(groups, places))}
            for category, places in sorted(by_category.items())
        },
        counts=dict(sorted(Counter(score.reason for score in scores).items())),
        truncated=count_truncated(
            {score.trace_id: score.score for score in scores}, truncated_prompts, cut_completions
        ),
    )
