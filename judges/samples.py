"""Several answers to one item: their scores as one, and the answer that most of them give."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

from judges.base import SampleScore, Score

Written = str | Sequence[str]
"""What a model wrote for an item: a text, or one for each of several samples."""


def texts_of(written: Written) -> Sequence[str]:
    """The texts, be it one or several."""
    return [written] if isinstance(written, str) else written


def changed(written: Written, change: Callable[[str], str]) -> Written:
    """What a model wrote, each text of it changed."""
    return change(written) if isinstance(written, str) else [change(text) for text in written]


def combined(trace_id: str, samples: Sequence[SampleScore]) -> Score:
    """The score of an item with several samples: their mean; `extracted`, `reason` and `rung` are those of
    the answer that most of them give.

    Args:
        trace_id: the item.
        samples: what the judge says of each, in order; at least one.
    """
    most = samples[majority(samples)]
    return Score(
        trace_id=trace_id,
        score=math.fsum(sample.score for sample in samples) / len(samples),
        extracted=most.extracted,
        reason=most.reason,
        rung=most.rung,
        samples=tuple(
            SampleScore(
                score=sample.score, extracted=sample.extracted, reason=sample.reason, rung=sample.rung
            )
            for sample in samples
        ),
    )


def majority(samples: Sequence[SampleScore]) -> int:
    """The place of the first sample that gives the most frequent answer (self-consistency: Wang et al. 2022,
    https://arxiv.org/abs/2203.11171). Answers are the same when the judge found the same; a sample in which
    it found none does not vote. Of equally frequent answers the one that came first counts, and where no
    sample has any the first sample.

    Args:
        samples: what the judge says of each, in order; at least one.
    """
    votes = Counter(sample.extracted for sample in samples if sample.extracted is not None)
    if not votes:
        return 0
    [(most, _)] = votes.most_common(1)  # of equally frequent ones the first that was counted
    return next(place for place, sample in enumerate(samples) if sample.extracted == most)
