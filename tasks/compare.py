"""Compare two runs."""

from __future__ import annotations

from evaluation.comparison import Comparison
from experiments.comparing import compare_runs
from experiments.runs import RunRef
from experiments.workspace import open_workspace
from tasks.artifacts import show_comparison
from tasks.retry import step


@step("compare")
def compare(baseline: RunRef, candidate: RunRef) -> Comparison:
    """Paired, item by item; recorded in the registry and written beside the candidate."""
    registry = open_workspace().registry
    comparison = compare_runs(baseline.run_id, candidate.run_id, registry)
    show_comparison(comparison, registry)
    return comparison
