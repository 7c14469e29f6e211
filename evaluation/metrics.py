"""From scores to metrics: each with its n and its confidence interval."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from core.errors import InputError
from evaluation.statistics import FloatArray, bootstrap_interval, wilson_interval
from golden.schema import Item
from judges.base import Score


class Metric(BaseModel):
    """One aggregate.

    Attributes:
        value: the mean score, 0 to 1.
        n: number of items.
        ci_low: lower end of the 95 % confidence interval.
        ci_high: upper end.
        method: how the interval was made: wilson for 0/1 scores, else bootstrap.
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
        prompts: items whose prompt was cut to fit the context.
        completions: items whose completion was cut at max_new_tokens.
        completions_below_one: those among the cut completions that did not get the full score.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompts: int
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


def metric(values: Sequence[float] | FloatArray) -> Metric:
    """The mean of some scores with its 95 % interval.

    Args:
        values: float64 [items], each 0 to 1.

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
    if is_binary(scores):
        (low, high), method = wilson_interval(int(scores.sum()), len(scores)), "wilson"
    else:
        (low, high), method = bootstrap_interval(scores), "bootstrap"
    return Metric(value=mean, n=len(scores), ci_low=low, ci_high=high, method=method)


def count_truncated(
    scores: Mapping[str, float], prompts: Collection[str], completions: Collection[str]
) -> Truncation:
    """Count the items that were cut off.

    Args:
        scores: trace_id -> score, of all items.
        prompts: ids of items whose prompt was cut.
        completions: ids of items whose completion was cut.
    """
    return Truncation(
        prompts=len(prompts),
        completions=len(completions),
        completions_below_one=sum(scores.get(trace_id, 1.0) < 1 for trace_id in completions),
    )


def summarise(
    scores: Sequence[Score],
    items: Sequence[Item],
    name: str,
    *,
    truncated_prompts: Collection[str] = (),
    cut_completions: Collection[str] = (),
) -> MetricsSnapshot:
    """Aggregate a run's scores, overall and by category.

    Args:
        scores: one for each item, in dataset order.
        items: the dataset.
        name: the metric's name, which is the judge's.
        truncated_prompts: ids of items whose prompt was cut.
        cut_completions: ids of items whose completion was cut.

    Raises:
        InputError: there are no scores.

    Example:
        >>> item = Item(trace_id="q-1", prompt="1+1?", steps=[], final_answer="2", category="addition")
        >>> right = Score(trace_id="q-1", score=1.0, extracted="2", reason="correct")
        >>> snapshot = summarise([right], [item], "answer_correctness")
        >>> snapshot.categories["addition"]["answer_correctness"].value
        1.0
    """
    by_category: dict[str, list[float]] = defaultdict(list)
    for score, item in zip(scores, items, strict=True):
        by_category[item.category].append(score.score)
    return MetricsSnapshot(
        overall={name: metric([score.score for score in scores])},
        categories={category: {name: metric(values)} for category, values in sorted(by_category.items())},
        counts=dict(sorted(Counter(score.reason for score in scores).items())),
        truncated=count_truncated(
            {score.trace_id: score.score for score in scores}, truncated_prompts, cut_completions
        ),
    )
