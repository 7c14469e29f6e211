"""The decision: may the trained model replace what is served?"""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from core.errors import InputError
from evaluation.comparison import Comparison, RunScores, compare
from evaluation.gate import GateConfig, GateDecision, decide
from experiments.comparing import conditions, record
from experiments.config import ExperimentConfig
from experiments.references import REGISTRY_PREFIX, recorded_model
from experiments.result import ALIAS, ExperimentResult, PromotionResult
from experiments.runs import RunRef
from experiments.weights import model_of
from experiments.workspace import Workspace
from provenance import attest, configured_key
from registry import Evidence, Registry, Ruling, Run
from registry.artifacts.store import Store


def champion_reference(model_name: str, registry: Registry) -> str | None:
    """How to name the champion of a registered model to `resolve_model`; None where there is no champion."""
    return f"{REGISTRY_PREFIX}{model_name}@{ALIAS}" if registry.models.aliased(model_name) else None


@dataclass
class Gatekeeper:
    """The gate as the registry asks it: compares the scores that it is given and applies the rule.

    The registry asks twice, the second time inside its transaction. The rule is applied each time; the runs
    are compared again only if anything about them differs from the last time, since a comparison depends on
    nothing else.

    Attributes:
        gate: the rule's numbers.
        artifacts: the store that may hold the runs' items.
        comparison: the last comparison that was decided on.
        decision: what was decided.
    """

    gate: GateConfig
    artifacts: Store | None = None
    comparison: Comparison | None = None
    decision: GateDecision | None = None
    _asked: tuple[RunScores, RunScores, list[str]] | None = None

    def __call__(self, evidence: Evidence) -> Ruling:
        """Decide on the evidence. Raises what `evaluation.comparison.compare` raises."""
        opponent = conditions(
            evidence.opponent, evidence.opponent_scores, evidence.opponent_dataset, self.artifacts
        )
        candidate = conditions(
            evidence.candidate, evidence.candidate_scores, evidence.candidate_dataset, self.artifacts
        )
        asked = opponent, candidate, list(opponent.scores)  # the order of the items decides the resampling
        if self.comparison is None or asked != self._asked:
            self.comparison, self._asked = compare(opponent, candidate), asked
        clean = guard_clean(evidence.candidate)
        decision = decide(
            self.comparison, self.gate, guard_clean=clean, number=evidence.number, carried=evidence.carried
        )
        self.decision = decision
        return Ruling(
            promote=decision.promote,
            significant=decision.significant,
            p_value=self.comparison.p_better,
            level=decision.level,
            reason=" ".join(decision.reasons),
            document={**decision.model_dump(mode="json"), "gate": self.gate.model_dump(mode="json")},
        )


def promote_run(
    reference: str,
    model_name: str,
    gate: GateConfig,
    workspace: Workspace,
    *,
    against: str | None = None,
    force_reason: str | None = None,
    alias: str = ALIAS,
) -> PromotionResult:
    """Ask the gate about a recorded run, promote it when the gate agrees, and record the decision.

    Args:
        reference: the candidate's run id, or a unique beginning of one.
        model_name: registered model.
        gate: the rule.
        workspace: its registry holds the runs.
        against: run to compare with; default is the champion's run, else the newest run of the candidate's
            base model.
        force_reason: promote even if the gate refuses; recorded with the decision.
        alias: which alias it may get.

    Raises:
        InputError: the run is unknown, unfinished or failed, or there is nothing comparable to compare it
            with.

    Example:
        >>> result = promote_run("20261125-205329", "support", GateConfig(), open_workspace())
        >>> result.headline
        'PROMOTED: support v1 is champion now'
    """
    champion = workspace.registry.models.aliased(model_name, alias)
    if against is not None and champion is not None:
        opponent = workspace.registry.runs.finished(against)
        if opponent.model_sha256 != champion.weights_sha256:
            raise InputError(
                f"--against {opponent.run_id}: did not judge {model_name}@{alias}, which is "
                f"v{champion.number}. The gate compares with "
                "what is served: name a run of its weights, or make one with: hallmark evaluate "
                f"registry:{model_name}@{alias}"
            )
    return _offer(reference, model_name, gate, workspace, against, alias, force_reason, promote=True)


def _offer(
    reference: str,
    model_name: str,
    gate: GateConfig,
    workspace: Workspace,
    against: str | None,
    alias: str = ALIAS,
    force_reason: str | None = None,
    *,
    promote: bool,
) -> PromotionResult:
    registry = workspace.registry
    run = registry.runs.finished(reference)
    gatekeeper = Gatekeeper(gate, registry.artifacts)
    offer = registry.offer(
        model_name,
        run.run_id,
        gatekeeper,
        weights=lambda: weights_of(run, workspace),
        actor=actor(),
        against=against,
        parent_model=run.base_model,
        alias=alias,
        force_reason=force_reason,
        promote=promote,
        attest=partial(attest, key=configured_key()),
    )
    if gatekeeper.comparison is not None:
        record(gatekeeper.comparison, registry)
    return PromotionResult(
        outcome=offer.outcome,
        model_name=model_name,
        alias=alias,
        run_id=run.run_id,
        version=offer.version.number if offer.version else None,
        decision=gatekeeper.decision,
        comparison=gatekeeper.comparison,
    )


def promote_if_better(
    config: ExperimentConfig,
    baseline: RunRef,
    trained: RunRef,
    against: RunRef,
    comparison: Comparison,
    workspace: Workspace,
) -> ExperimentResult:
    """Offer the trained run of an experiment to the champion's alias, and sum the experiment up.

    Args:
        config: the experiment.
        baseline: the base model's run.
        trained: the candidate.
        against: what the gate compares with: the champion's run, or the baseline where there is no champion.
        comparison: trained against base.
        workspace: its registry records the decision, whatever it is.
    """
    registry = workspace.registry
    promotion = _offer(
        trained.run_id, config.model_name, config.gate, workspace, against.run_id, promote=config.promote
    )
    run, champion = registry.runs.get(trained.run_id), registry.models.aliased(config.model_name)
    opponent = promotion.comparison.baseline_run if promotion.comparison else against.run_id
    repeated = registry.runs.repeated(run)
    return ExperimentResult(
        outcome=promotion.outcome,
        baseline=baseline,
        trained=trained,
        comparison=comparison,
        against=against
        if opponent == against.run_id
        else RunRef(run_id=opponent, directory=Path(registry.runs.get(opponent).directory)),
        gate_comparison=promotion.comparison,
        decision=promotion.decision,
        model_name=config.model_name,
        version=promotion.version,
        champion=champion.number if champion else None,
        weights_sha256=run.model_sha256 or "",
        weights=registry.artifacts.path(run.model_sha256 or "") if promotion.version else trained.files.model,
        predictions_sha256=run.predictions_sha256 or "",
        repeats=repeated.run_id if repeated else None,
    )


def guard_clean(run: Run) -> bool:
    """Whether the contamination guard found nothing when the run was planned."""
    training = run.manifest.get("training")
    return not training or training["contamination"]["overlaps"] == 0


def weights_of(run: Run, workspace: Workspace) -> Path:
    """Where the weights that a run judged are on this machine: in the folder of the run that made them, or
    where the run found them, else in the artifact store.

    Raises:
        InputError: they are not to be had.
        IntegrityError: they are damaged in the store, or are other weights by now.
    """
    if run.kind == "trained":
        return model_of(run, workspace.registry)
    return recorded_model(run.manifest["model"], workspace).path


def actor() -> str:
    """Who is asking, for the promotion log."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
