"""Compare two recorded runs."""

from __future__ import annotations

from evaluation.comparison import Comparison
from experiments.runs import run_ref
from experiments.workspace import open_workspace
from flows.options import loop_flow
from tasks import compare as comparing


@loop_flow("compare", "compare {baseline} with {candidate}")
def compare(baseline: str, candidate: str) -> Comparison:
    """Paired comparison on the items of their common dataset.

    Args:
        baseline: run id, or a unique beginning of one.
        candidate: likewise.
    """
    registry = open_workspace().registry
    return comparing.compare(run_ref(registry.runs.finished(baseline)), run_ref(registry.runs.finished(candidate)))
