"""The decision: may the trained model replace what is served?"""

from __future__ import annotations

import getpass
from functools import partial
from pathlib import Path

from core.errors import InputError
from evaluation.comparison import Comparison
from evaluation.gate import GateConfig
from evaluation.suite import Suite
from experiments.comparing import record
from experiments.config import ExperimentConfig
from experiments.datasets import refuse_quick_look
from experiments.gatekeeper import Gatekeeper, Wanted
from experiments.lineage import TrainingData, training_data
from experiments.names import REGISTRY_PREFIX, model_name_for
from experiments.references import recorded_model
from experiments.result import ALIAS, ExperimentResult, ExperimentRuns, PromotionResult
from experiments.runs import run_ref
from experiments.weights import model_of
from experiments.workspace import Workspace
from inference.endpoint import served_name
from provenance import attest, configured_key
from registry import Registry, Run


def champion_reference(model_name: str, registry: Registry) -> str | None:
    """How to name the champion of a registered model to `resolve_model`; None where there is no champion."""
    return f"{REGISTRY_PREFIX}{model_name}@{ALIAS}" if registry.models.aliased(model_name) else None


def promote_run(
    reference: str,
    model_name: str | None,
    gate: GateConfig,
    workspace: Workspace,
    *,
    against: str | None = None,
    suite: Suite | None = None,
    force_reason: str | None = None,
    alias: str = ALIAS,
) -> PromotionResult:
    """Ask the gate about a recorded run, promote it when the gate agrees, and record the decision.

    Args:
        reference: the candidate's run id, or a unique beginning or end of one.
        model_name: registered model; None for the one that goes without saying, see `model_name_for`.
        gate: the rule.
        workspace: its registry holds the runs.
        against: run to compare with; default is the champion's run, else the newest run of the candidate's
            base model.
        suite: what must hold, where it is more than a gain on the run's own dataset. The candidate's runs on
            the suite's datasets are those recorded of the same weights.
        force_reason: promote even if the gate refuses; recorded with the decision.
        alias: which alias it may get.

    Raises:
        InputError: the run is unknown, unfinished or failed, or a quick look; or there is
            nothing comparable to compare it with; or the candidate was not judged on a dataset of the suite,
            with the command that does it.
        ResourceError: home or registry are read-only.

    Example:
        >>> result = promote_run("20261125-205329", "support", GateConfig(), open_workspace())
        >>> result.headline
        'PROMOTED: support v1 is champion now'
    """
    workspace.check_writable()
    registry = workspace.registry
    run = registry.runs.finished(reference)
    _refuse_served(run)
    model_name = model_name or model_name_for(run.base_model)
    champion = registry.models.aliased(model_name, alias)
    if against is not None and champion is not None:
        opponent = registry.runs.finished(against)
        if opponent.model_sha256 != champion.weights_sha256:
            raise InputError(
                f"--against {opponent.run_id}: did not judge {model_name}@{alias}, which is "
                f"v{champion.number}. The gate compares with "
                "what is served: name a run of its weights, or make one with: hallmark evaluate "
                f"registry:{model_name}@{alias}"
            )
    wanted = Wanted.of_suite(suite, run, registry, against) if suite else Wanted.of_run(run, against)
    return _offer(wanted, model_name, gate, workspace, alias, force_reason, promote=True)


def _refuse_served(run: Run) -> None:
    """Refuse to promote what nobody here has.

    Raises:
        InputError: the run judged a model that an endpoint serves.
    """
    if served_name(run.base_model) is not None:
        raise InputError(
            f"run {run.run_id}: judged {run.base_model}, served by an endpoint. Its weights are not known, "
            "so there is nothing to promote. Judge the weights themselves: hallmark evaluate DIRECTORY"
        )


def _offer(
    wanted: Wanted,
    model_name: str,
    gate: GateConfig,
    workspace: Workspace,
    alias: str = ALIAS,
    force_reason: str | None = None,
    *,
    promote: bool,
) -> PromotionResult:
    registry = workspace.registry
    run = registry.runs.finished(wanted.pairings[0].candidate)
    if promote:
        for pairing in wanted.pairings:
            refuse_quick_look(registry.runs.finished(pairing.candidate))
    known = [_training_data(pairing.candidate, run, workspace) for pairing in wanted.pairings]
    gatekeeper = Gatekeeper(gate, wanted.requirements, wanted.limits, known, registry)
    offer = registry.offer(
        model_name,
        run.run_id,
        gatekeeper,
        weights=lambda: weights_of(run, workspace),
        actor=actor(),
        pairings=wanted.pairings,
        parent_model=run.base_model,
        alias=alias,
        force_reason=force_reason,
        promote=promote,
        attest=partial(attest, key=configured_key()),
    )
    for comparison in gatekeeper.comparisons:
        record(comparison, registry)
    return PromotionResult(
        outcome=offer.outcome,
        model_name=model_name,
        alias=alias,
        run_id=run.run_id,
        version=offer.version.number if offer.version else None,
        decision=gatekeeper.decision,
        comparison=gatekeeper.comparison,
        head=str(registry.head()),
    )


def _training_data(candidate: str, offered: Run, workspace: Workspace) -> TrainingData:
    """What is known of the training data of the offered weights, for the dataset of one of their runs."""
    registry = workspace.registry
    judged = offered if candidate == offered.run_id else registry.runs.finished(candidate)
    return training_data(offered, registry.datasets.get(judged.dataset_id), workspace)


def promote_if_better(
    config: ExperimentConfig,
    runs: ExperimentRuns,
    comparison: Comparison,
    workspace: Workspace,
) -> ExperimentResult:
    """Offer the trained run of an experiment to the champion's alias, and sum the experiment up.

    Args:
        config: the experiment.
        runs: everything that was judged.
        comparison: trained against base.
        workspace: its registry records the decision, whatever it is.
    """
    registry = workspace.registry
    wanted = Wanted.of_experiment(
        config, *([run.run_id for run in each] for each in (runs.trained, runs.base, runs.served))
    )
    promotion = _offer(
        wanted, config.model_name, config.gate, workspace, promote=config.promote and not config.limit_items
    )
    baseline, trained, against = runs.base[0], runs.trained[0], runs.served[0]
    run, champion = registry.runs.get(trained.run_id), registry.models.aliased(config.model_name)
    opponent = promotion.comparison.baseline_run if promotion.comparison else against.run_id
    repeated = registry.runs.repeated(run)
    return ExperimentResult(
        outcome=promotion.outcome,
        baseline=baseline,
        trained=trained,
        comparison=comparison,
        against=against if opponent == against.run_id else run_ref(registry.runs.get(opponent), registry),
        gate_comparison=promotion.comparison,
        decision=promotion.decision,
        model_name=config.model_name,
        version=promotion.version,
        champion=champion.number if champion else None,
        weights_sha256=run.model_sha256 or "",
        weights=registry.artifacts.path(run.model_sha256 or "") if promotion.version else trained.files.model,
        predictions_sha256=run.predictions_sha256 or "",
        repeats=repeated.run_id if repeated else None,
        head=promotion.head,
    )


def weights_of(run: Run, workspace: Workspace) -> Path:
    """Where the weights that a run judged are on this machine: in the folder of the run that made them, or
    where the run found them, else in the artifact store.

    Raises:
        InputError: they are not to be had.
        IntegrityError: they are damaged in the store, or are other weights by now.
    """
    if run.kind == "trained":
        return model_of(run, workspace.registry)
    return recorded_model(run.manifest["model"], workspace).directory


def actor() -> str:
    """Who is asking, for the promotion log."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
