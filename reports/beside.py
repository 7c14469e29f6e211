"""The page that every decision leaves beside the run that it is about."""

from __future__ import annotations

import os
from pathlib import Path

from core.progress import announce
from evaluation.comparison import Comparison
from experiments.result import ExperimentResult, PromotionResult
from experiments.run_files import files_of
from registry import Registry
from reports.collecting import report_on
from reports.formats import write_report


def with_report(result: PromotionResult, registry: Registry) -> PromotionResult:
    """A promotion with the page about it.

    Args:
        result: of the promotion, which is recorded.
        registry: holds the run.
    """
    return result.model_copy(update={"report": _write(result.run_id, result.comparison, registry)})


def experiment_with_report(result: ExperimentResult, registry: Registry) -> ExperimentResult:
    """The same of an experiment: against what the gate compared with, else against the base."""
    comparison = result.gate_comparison or result.comparison
    return result.model_copy(update={"report": _write(result.trained.run_id, comparison, registry)})


def _write(run_id: str, comparison: Comparison | None, registry: Registry) -> Path | None:
    """Write `report.html` into a run's folder. A page is never a reason for a decision to fail."""
    path = files_of(registry.runs.get(run_id), registry).report
    if not os.access(path.parent, os.W_OK):  # of another machine, or a home that can only be read
        return None
    try:
        report = report_on(run_id, registry, comparison.baseline_run if comparison else None, comparison)
        return write_report(report, registry, path, force=True)
    except Exception as error:
        announce("report:", f"could not be written: {type(error).__name__}: {error}")
        return None
