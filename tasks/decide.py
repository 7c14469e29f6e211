"""The tasks that decide: compare two runs, ask the gate, and promote when it agrees."""

from __future__ import annotations

from evaluation.comparison import Comparison
from evaluation.gate import GateConfig
from evaluation.numbers import p_text, percent, points
from evaluation.suite import Suite
from experiments import promoting
from experiments.comparing import compare_runs
from experiments.config import ExperimentConfig
from experiments.result import ExperimentResult, ExperimentRuns, PromotionResult
from experiments.workspace import open_workspace
from reports.beside import experiment_with_report, with_report
from tasks.artifacts import show_comparison, show_result
from tasks.events import emit_outcome
from tasks.logs import task_logger
from tasks.retryable import retryable
from tasks.stages import tell


@retryable("compare")
def compare(baseline: str, candidate: str) -> Comparison:
    """Paired, item by item; recorded in the registry and written beside the candidate."""
    registry = open_workspace().registry
    comparison = compare_runs(baseline, candidate, registry)
    show_comparison(comparison, registry)
    change = f"{percent(comparison.baseline.value)} to {percent(comparison.candidate.value)}"
    flips = f"{len(comparison.gained)} got better, {len(comparison.lost)} got worse"
    tell("compared", f"{change}, {points(comparison.delta)} points; {flips}; p {p_text(comparison.p_value)}")
    return comparison


@retryable("find the champion")
def champion_reference(model_name: str) -> str | None:
    """The registered champion as a model reference, or None where there is none."""
    return promoting.champion_reference(model_name, open_workspace().registry)


@retryable("gate and promote")
def promote_if_better(
    config: ExperimentConfig, runs: ExperimentRuns, comparison: Comparison
) -> ExperimentResult:
    """Decide against the champion (or the baseline where there is none); promote or record the refusal."""
    workspace = open_workspace()
    decided = promoting.promote_if_better(config, runs, comparison, workspace)
    result = experiment_with_report(decided, workspace.registry)
    show_result(result, workspace.registry)
    if config.promote:
        emit_outcome(result)
    tell("decided", f"{result.headline}. {' '.join(result.reasons)}")
    return result


@retryable("gate and promote a recorded run")
def promote_run(
    run: str,
    model_name: str | None,
    gate: GateConfig,
    against: str | None,
    force_reason: str | None,
    suite: Suite | None,
) -> PromotionResult:
    """Decide on a run that was recorded before."""
    workspace = open_workspace()
    decided = promoting.promote_run(
        run, model_name, gate, workspace, against=against, force_reason=force_reason, suite=suite
    )
    result = with_report(decided, workspace.registry)
    emit_outcome(result)
    reasons = result.decision.reasons if result.decision else []
    task_logger().info("%s: %s. %s", result.model_name, result.outcome.replace("_", " "), " ".join(reasons))
    return result
