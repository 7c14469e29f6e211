"""The decision: may the trained model replace what is served?"""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from evaluation.comparison import Comparison
from evaluation.gate import Decision, GateConfig, decide
from experiments.comparing import compare_runs, finished_run
from experiments.config import ExperimentConfig
from experiments.references import REGISTRY_PREFIX, resolve_model
from experiments.run_files import RunFiles
from experiments.runs import RunRef
from experiments.verdict import Outcome, Verdict
from experiments.workspace import Workspace
from hallmark.errors import InputError
from registry import ModelVersion, Registry, Run

ALIAS = "champion"


def champion_reference(model_name: str, registry: Registry) -> str | None:
    """How to name the champion of a registered model to `resolve_model`; None where there is no champion."""
    return f"{REGISTRY_PREFIX}{model_name}@{ALIAS}" if registry.champion(model_name) else None


def promote_if_better(
    config: ExperimentConfig, baseline: RunRef, trained: RunRef, against: RunRef, comparison: Comparison, workspace: Workspace
) -> Verdict:
    """Ask the gate about the trained run, and promote it when the gate agrees and the configuration wants it.

    Args:
        config: the experiment.
        baseline: the base model's run.
        trained: the candidate.
        against: what the gate compares with: the champion's run, or the baseline where there is no champion.
        comparison: trained against base.
        workspace: its registry records the decision, whatever it is.
    """
    registry = workspace.registry
    run = finished_run(trained.run_id, registry)
    champion = registry.champion(config.model_name)
    gate_comparison, decision, version = None, None, None
    outcome: Outcome = "already_champion"
    if champion is not None and champion.weights_sha256 == run.model_sha256:
        version = champion
    else:
        same = against.run_id == baseline.run_id
        gate_comparison = comparison if same else compare_runs(against.run_id, trained.run_id, registry)
        decision = decide(gate_comparison, config.gate, guard_clean=guard_clean(run))
        outcome, version = _carry_out(config, run, decision, champion, workspace)
    now = registry.champion(config.model_name)
    return Verdict(
        outcome=outcome,
        baseline=baseline,
        trained=trained,
        comparison=comparison,
        against=against,
        gate_comparison=gate_comparison,
        decision=decision,
        model_name=config.model_name,
        version=version.number if version else None,
        champion=now.number if now else None,
        weights_sha256=run.model_sha256 or "",
        weights=registry.store.path(version.weights_sha256) if version else trained.files.model,
        predictions_sha256=run.predictions_sha256 or "",
        repeats=_repeated(run, registry),
    )


def _carry_out(
    config: ExperimentConfig, run: Run, decision: Decision, champion: ModelVersion | None, workspace: Workspace
) -> tuple[Outcome, ModelVersion | None]:
    if not decision.promote:
        workspace.registry.refuse(config.model_name, run.run_id, decision.model_dump(mode="json"), " ".join(decision.reasons), actor())
        return "refused", None
    if not config.promote:
        return "passed_without_promotion", None
    return "promoted", _promote(config.model_name, run, decision, champion, workspace)


def _promote(
    model_name: str,
    run: Run,
    decision: Decision,
    champion: ModelVersion | None,
    workspace: Workspace,
    reason: str = "",
    forced: bool = False,
) -> ModelVersion:
    return workspace.registry.promote(
        model_name,
        run.run_id,
        decision.model_dump(mode="json"),
        alias=ALIAS,
        expected_champion=champion.number if champion else None,
        reason=reason or " ".join(decision.reasons),
        actor=actor(),
        weights=weights_of(run, workspace),
        parent_model=run.base_model,
        forced=forced,
    )


class Promotion(BaseModel):
    """What `hallmark promote` did.

    Attributes:
        outcome: promoted, forced, refused, or already_champion.
        version: number of the version; None when refused.
        comparison: candidate against what was served; None where there was nothing to compare with.
    """

    outcome: Literal["promoted", "forced", "refused", "already_champion"]
    model_name: str
    run_id: str
    version: int | None
    decision: Decision
    comparison: Comparison | None


def promote_run(
    reference: str, model_name: str, gate: GateConfig, workspace: Workspace, *, against: str | None = None, force_reason: str | None = None
) -> Promotion:
    """Ask the gate about a recorded run and promote it when the gate agrees.

    Args:
        reference: the candidate's run id, or a unique beginning of one.
        model_name: registered model.
        gate: the rule.
        workspace: its registry holds the runs.
        against: run to compare with; default is the champion's run, else the newest run of the candidate's base model.
        force_reason: promote even if the gate refuses; recorded with the decision.

    Raises:
        InputError: the run is unknown, unfinished or failed, or there is nothing to compare it with.
    """
    registry = workspace.registry
    run = finished_run(reference, registry)
    champion = registry.champion(model_name)
    if champion is not None and champion.weights_sha256 == run.model_sha256:
        decision = Decision(verdict="not_better", promote=False, reasons=["These very weights are champion already."], smallest_gain=None)
        return _promotion("already_champion", model_name, run, champion, decision, None)
    opponent = against or (champion.run_id if champion else _base_run(run, registry))
    comparison = compare_runs(opponent, run.run_id, registry)
    decision = decide(comparison, gate, guard_clean=guard_clean(run))
    if decision.promote or force_reason:
        forced = not decision.promote
        version = _promote(model_name, run, decision, champion, workspace, reason=force_reason or "", forced=forced)
        return _promotion("forced" if forced else "promoted", model_name, run, version, decision, comparison)
    registry.refuse(model_name, run.run_id, decision.model_dump(mode="json"), " ".join(decision.reasons), actor())
    return _promotion("refused", model_name, run, None, decision, comparison)


def _promotion(
    outcome: Literal["promoted", "forced", "refused", "already_champion"],
    model_name: str,
    run: Run,
    version: ModelVersion | None,
    decision: Decision,
    comparison: Comparison | None,
) -> Promotion:
    return Promotion(
        outcome=outcome,
        model_name=model_name,
        run_id=run.run_id,
        version=version.number if version else None,
        decision=decision,
        comparison=comparison,
    )


def _base_run(run: Run, registry: Registry) -> str:
    """The newest finished run that judged the model this one was trained from, on the same dataset by the same judge."""
    for earlier in registry.list_runs(limit=10_000):
        same = (earlier.dataset_id, earlier.judge, earlier.judge_fingerprint) == (run.dataset_id, run.judge, run.judge_fingerprint)
        if earlier.status == "finished" and earlier.model_sha256 == run.parent_model_sha256 and same and earlier.id != run.id:
            return earlier.run_id
    raise InputError(
        f"run {run.run_id}: nothing to compare it with: there is no champion and no run of its base model. "
        f"Run: hallmark baseline --base-model {run.base_model}, or name a run with --against."
    )


def guard_clean(run: Run) -> bool:
    """Whether the contamination guard found nothing when the run was planned."""
    training = run.manifest.get("training")
    return not training or training["contamination"]["overlaps"] == 0


def weights_of(run: Run, workspace: Workspace) -> Path:
    """Where the weights that a run judged are on this machine: in its folder, else in the artifact store.

    Raises:
        InputError: they are in neither.
        IntegrityError: they are damaged in the store.
    """
    if run.kind == "baseline":
        return resolve_model(run.base_model, workspace.home, workspace.registry.model_directory).path
    path = RunFiles(Path(run.directory)).model
    if not path.is_dir():
        store = workspace.registry.store
        if run.model_sha256 and store.has_tree(run.model_sha256):
            return store.get_tree(run.model_sha256)
        raise InputError(
            f"run {run.run_id}: its model is no longer at {path} nor in the artifact store, so it cannot be "
            "promoted. Train it again; it gives the same bytes."
        )
    return path


def actor() -> str:
    """Who is asking, for the promotion log."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _repeated(run: Run, registry: Registry) -> str | None:
    """The newest earlier run whose predictions are the same bytes for the same inputs."""
    for earlier in registry.list_runs(limit=1000, kind=run.kind):
        same = earlier.inputs_sha256 == run.inputs_sha256 and earlier.predictions_sha256 == run.predictions_sha256
        if earlier.id < run.id and earlier.status == "finished" and same:
            return earlier.run_id
    return None
