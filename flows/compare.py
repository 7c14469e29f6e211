"""Compare two recorded runs."""

from __future__ import annotations

from evaluation.comparison import Comparison
from flows.common import loop_flow
from tasks import decide


@loop_flow("compare", "compare {baseline} with {candidate}")
def compare(baseline: str, candidate: str) -> Comparison:
    """Paired comparison on the items of their common dataset.

    Args:
        baseline: run id, or a unique beginning or end of one.
        candidate: run id, or a unique beginning or end of one.
    """
    return decide.compare(baseline, candidate)
