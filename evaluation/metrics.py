"""From scores to metrics: each with its n and its confidence interval."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from pydantic import BaseModel, ConfigDict

from core.errors import InputError
from evaluation.groups import Grouping, IntArray, group_places, grouped, regrouped
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
    """How many were cut off: scored for what the model never read, or never got to write.

    Attributes:
        prompts: items whose prompt was cut to fit the context; None where only what ran the model knows.
        completions: completions that were cut at max_new_tokens, each sample of an item by itself.
        completions_below_one: those among them that did not get the full score.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompts: int | None
    completions: int
    completions_below_one: int

    @property
    def prompts_said(self) -> str:
        """How many prompts were cut, or why nobody knows."""
        return "what ran the model does not say" if self.prompts is None else f"{self.prompts:,}"


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
    sampled = _Sampled()
    for samples in items:
        sampled.add(samples)
    return sampled.metrics(groups)


class _Sampled:
    """What several samples of each item say, kept as two numbers an item."""

    def __init__(self) -> None:
        self.count = 0
        self.right, self.most = array("q"), array("d")

    def add(self, samples: Sequence[SampleScore]) -> None:
        """The samples of the next item."""
        self.count = len(samples)
        self.right.append(sum(sample.score >= 1 for sample in samples))
        self.most.append(samples[majority(samples)].score)

    def metrics(self, groups: IntArray | None) -> dict[str, Metric]:
        """See `sample_metrics`."""
        count = self.count
        sizes = [*(1 << power for power in range(1, count.bit_length()) if 1 << power < count), count]
        found = {f"pass@{k}": metric([pass_at(each, count, k) for each in self.right], groups) for k in sizes}
        return {**found, f"maj@{count}": metric(self.most, groups)}


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


def cut_below_one(score: SampleScore, samples: Sequence[int] | None) -> int:
    """How many of an item's completions that were cut off did not get the full score.

    Args:
        score: of the item.
        samples: which of several samples were cut; None where there is one, or where nobody knows which.
    """
    said = getattr(score, "samples", None)
    if said is None or samples is None:
        return int(score.score < 1)
    return sum(said[place].score < 1 for place in samples)


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
    summary = Summary(cut_completions)
    for item, score in zip(items, scores, strict=True):
        summary.add(item, score)
    return summary.snapshot(name, truncated_prompts=truncated_prompts, log_probs=log_probs)


class Summary:
    """`summarise` for scores that come one by one; what is kept of an item does not grow with its text.

    Args:
        cut_completions: ids of items whose completion was cut.
        cut_samples: where items have several samples, which of each of those items were cut.
    """

    def __init__(
        self,
        cut_completions: Collection[str] = (),
        cut_samples: Mapping[str, Sequence[int]] = MappingProxyType({}),
    ) -> None:
        self.cut = set(cut_completions)
        self.cut_samples = cut_samples
        self.cut_below_one = 0
        self.scores = array("d")
        self.grouping = Grouping()
        self.categories: dict[str, array[int]] = {}
        self.reasons = Counter[str]()
        self.sampled = _Sampled()

    def add(self, item: Item, score: Score) -> None:
        """The next item of the dataset and its score."""
        self.categories.setdefault(item.category, array("q")).append(len(self.scores))
        self.scores.append(score.score)
        self.grouping.add(item)
        self.reasons[score.reason] += 1
        if item.trace_id in self.cut:
            self.cut_below_one += cut_below_one(score, self.cut_samples.get(item.trace_id))
        if score.samples is not None:
            self.sampled.add(score.samples)

    def snapshot(
        self,
        name: str,
        *,
        truncated_prompts: Collection[str] | None = (),
        log_probs: Sequence[LogProb] = (),
    ) -> MetricsSnapshot:
        """The metrics of all that came. Arguments and errors are those of `summarise`."""
        values = np.array(self.scores, dtype=np.float64)
        groups = group_places(self.grouping.ids, self.grouping.groups())
        more = {
            **(self.sampled.metrics(groups) if self.sampled.count else {}),
            **(likelihood_metrics(log_probs, groups) if log_probs else {}),
        }
        return MetricsSnapshot(
            overall={name: metric(values, groups), **more},
            categories={
                category: {name: metric(values[places], regrouped(groups, places))}
                for category, places in sorted(self.categories.items())
            },
            counts=dict(sorted(self.reasons.items())),
            truncated=Truncation(
                prompts=None if truncated_prompts is None else len(truncated_prompts),
                completions=sum(map(len, self.cut_samples.values())) or len(self.cut),
                completions_below_one=self.cut_below_one,
            ),
        )
