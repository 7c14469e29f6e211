"""Ask the gate, and promote when it agrees."""

from __future__ import annotations

from evaluation.comparison import Comparison
from evaluation.gate import GateConfig
from experiments import promoting
from experiments.config import ExperimentConfig
from experiments.promoting import Promotion
from experiments.runs import RunRef
from experiments.verdict import Verdict
from experiments.workspace import open_workspace
from tasks.artifacts import show_verdict
from tasks.events import emit_outcome
from tasks.listening import step_logger
from tasks.retry import step


@step("find the champion")
def champion_reference(model_name: str) -> str | None:
    """The registered champion as a model reference, or None where there is none."""
    return promoting.champion_reference(model_name, open_workspace().registry)


@step("gate and promote")
def promote_if_better(config: ExperimentConfig, baseline: RunRef, trained: RunRef, against: RunRef, comparison: Comparison) -> Verdict:
    """Decide against the champion (or the baseline where there is none); promote or record the refusal."""
    workspace = open_workspace()
    verdict = promoting.promote_if_better(config, baseline, trained, against, comparison, workspace)
    show_verdict(verdict, workspace.registry)
    if config.promote:
        emit_outcome(verdict)
    step_logger().info("%s. %s", verdict.headline, " ".join(verdict.reasons))
    return verdict


@step("gate and promote a recorded run")
def promote_run(run: str, model_name: str, gate: GateConfig, against: str | None, force_reason: str | None) -> Promotion:
    """Decide on a run that was recorded before."""
    promotion = promoting.promote_run(run, model_name, gate, open_workspace(), against=against, force_reason=force_reason)
    emit_outcome(promotion)
    reasons = promotion.decision.reasons if promotion.decision else []
    step_logger().info("%s: %s. %s", model_name, promotion.outcome.replace("_", " "), " ".join(reasons))
    return promotion
