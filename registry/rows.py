"""The small values that go in and out of the registry beside the table rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class MetricRow:
    """An aggregate of a run's scores.

    Attributes:
        name: such as accuracy.
        value: finite.
        n: number of items it rests on.
        category: "" for the overall value.
        ci_low, ci_high: confidence interval, None where there is none.
        method: how the interval was computed, such as wilson95.
    """

    name: str
    value: float
    n: int
    category: str = ""
    ci_low: float | None = None
    ci_high: float | None = None
    method: str = ""


@dataclass(frozen=True, slots=True)
class PredictionRow:
    """What the model wrote for one item and how it was judged. Rows are given in dataset order.

    Attributes:
        prediction: the text; of several samples the one that stands for them.
        score: in [0, 1].
        extracted: the answer that the judge found in the text, if any.
        reason: the judge's reason in a few words.
        rung: where in the text the answer was found; None where the judge does not say.
        samples: all samples where there are several, each with `prediction`, `score`, `extracted`, `reason`
            and, where the judge says one, `rung`; None where there is one.
    """

    trace_id: str
    prediction: str
    score: float
    extracted: str | None = None
    reason: str = ""
    rung: str | None = None
    samples: Sequence[dict[str, Any]] | None = None
