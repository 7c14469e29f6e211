"""Compare two runs."""

from __future__ import annotations

from evaluation.comparison import Comparison
from experiments.comparing import compare_runs
from experiments.runs import RunRef
from experiments.workspace import open_workspace
from tasks.retry import step


@step("compare")
def compare(baseline: RunRef, candidate: RunRef) -> Comparison:
    """Paired, item by item; recorded in the registry and written beside the candidate."""
    return compare_runs(baseline.run_id, candidate.run_id, open_workspace().registry)
