"""A recorded run's predictions, judged by another judge. Nothing is predicted again."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.config import validated
from core.errors import IntegrityError
from core.files import (
    atomic_writer,
    read_json,
    sha256_file,
    sha256_json,
    sha256_tree,
    write_json,
    write_jsonl,
)
from core.sealed import seal
from experiments.datasets import dataset_file
from experiments.environment import evaluation_sha256
from experiments.phases import judge_run, record_judged
from experiments.run_files import files_of, is_here, predictions_damage
from experiments.runs import RunRef, continue_or_start, keep_dataset, owned, run_ref
from experiments.weights import origin_of
from experiments.workspace import Workspace
from golden.prompting import ResolvedPrompt, recorded_prompt
from inference.contract import GenerationConfig
from judges import check_output, judge_fingerprint, judge_reference, load_judge, recorded_judge
from registry import Registry, Run
from registry.tables import Prediction


@dataclass(frozen=True)
class RejudgePlan:
    """One re-judging, with every input resolved.

    Attributes:
        source: the run whose predictions are taken: a finished one, or one whose judge failed.
        origin: the run whose model wrote them: the source, or what that was judged again from.
        model_sha256: of the weights that wrote them.
        predictions_sha256: of predictions.jsonl.
        predictions_meta: how they were made.
        dataset_sha256: of the items.
        judge: as NAME@vN.
        judge_fingerprint: of the judge as it is installed now.
    """

    source: Run
    origin: Run
    model_sha256: str
    predictions_sha256: str
    predictions_meta: dict[str, Any]
    dataset_sha256: str
    judge: str
    judge_fingerprint: str

    @property
    def prompt(self) -> ResolvedPrompt:
        """How the model was asked."""
        return recorded_prompt(self.origin.manifest)

    @property
    def generation(self) -> GenerationConfig:
        """How the predictions were made."""
        where = f"manifest of run {self.origin.run_id}"
        return validated(GenerationConfig, self.origin.manifest["generation"], where)

    @property
    def inference(self) -> dict[str, Any]:
        """The environment in which the predictions were made.

        A run from before they were recorded gets some that no other run has: it is never taken for a fresh
            evaluation.
        """
        return self.origin.manifest.get("inference") or {"unknown but for run": self.origin.run_id}

    def evaluation_sha256(self) -> str:
        """What a fresh evaluation by this judge would have, in the environment in which the predictions were
        made.
        """
        return evaluation_sha256(
            model=self.model_sha256,
            dataset=self.dataset_sha256,
            prompt=self.prompt,
            generation=self.generation,
            inference=self.inference,
            judge=self.judge,
            fingerprint=self.judge_fingerprint,
        )

    def inputs_sha256(self) -> str:
        """Hash of every input. Equal hash: an interrupted re-judging may be continued."""
        return sha256_json(
            {
                "rejudged": self.origin.run_id,
                "predictions": self.predictions_sha256,
                "evaluation": self.evaluation_sha256(),
            }
        )

    def manifest(self, run_id: str) -> dict[str, Any]:
        """The origin's manifest, since that is how the predictions came to be, with the new judge."""
        return {
            **self.origin.manifest,
            "run_id": run_id,
            "inputs_sha256": self.inputs_sha256(),
            "judge": recorded_judge(self.judge, self.judge_fingerprint),
            "rejudged_from": self.source.run_id,
        }


def plan_rejudging(reference: str, judge: str, registry: Registry) -> RejudgePlan:
    """Settle a re-judging.

    Args:
        reference: run id of a finished run, or of one whose judge failed on items, or a unique beginning or
            end of one.
        judge: as NAME@vN.
        registry: holds the run.

    Raises:
        InputError: the run is unknown or has no whole predictions, or the judge is unusable.
        IntegrityError: the predictions of a run whose judge failed were damaged.
        ResourceError: a library that the judge needs is not installed.
    """
    judged_by = load_judge(judge)
    run = registry.runs.get(reference)
    origin, files = origin_of(run, registry), files_of(run, registry)
    if run.status == "failed" and is_here(files.judge_errors):  # all was predicted, and its judge failed
        if (problem := predictions_damage(files)) is not None:
            raise IntegrityError(f"{problem}. Run the same command as for run {run.run_id} again.")
        meta = read_json(files.predictions_meta)
        model = (
            sha256_tree(files_of(origin, registry).model)
            if run.kind == "trained"
            else run.manifest["model"]["sha256"]
        )
        predictions = meta["predictions_sha256"]
    else:
        run = registry.runs.finished(reference)
        model, predictions, meta = run.model_sha256, run.predictions_sha256, run.predictions_meta
    plan = RejudgePlan(
        source=run,
        origin=origin,
        model_sha256=str(model),
        predictions_sha256=str(predictions),
        predictions_meta=dict(meta or {}),
        dataset_sha256=registry.datasets.get(run.dataset_id).sha256,
        judge=judge_reference(judged_by),
        judge_fingerprint=judge_fingerprint(judged_by),
    )
    check_output(judged_by, plan.generation.output)
    return plan


def find_rejudged(plan: RejudgePlan, registry: Registry) -> RunRef | None:
    """The newest finished run with these predictions and this judge; for a trained run, one with the same
    training behind it.
    """
    for run in registry.runs.evaluated(plan.evaluation_sha256()):
        same = (run.kind, run.predictions_sha256) == (plan.source.kind, plan.predictions_sha256)
        if same and (run.kind == "baseline" or origin_of(run, registry).run_id == plan.origin.run_id):
            return run_ref(run, registry, reused=True)
    return None


def rejudge(reference: str, judge: str, workspace: Workspace) -> RunRef:
    """Judge a run's recorded predictions by another judge, as a new finished run of the same kind and
    weights.

    The new run has a folder of its own with everything but the weights, which stay in the folder of the run
    that made them. Where a run with the same predictions and the same judge is recorded, that one is taken.

    Args:
        reference: run id, or a unique beginning or end of one.
        judge: as NAME@vN.
        workspace: its registry holds the run and records the new one.

    Raises:
        InputError: see `plan_rejudging`; also `JudgeError`, or the dataset's items are not to be had.
        IntegrityError: the predictions or the items are not the recorded ones.

    Example:
        >>> again = rejudge("20261125-205329", "exact_match@v1", open_workspace())
        >>> again.reused
        False
    """
    workspace.check_writable()
    registry = workspace.registry
    plan = plan_rejudging(reference, judge, registry)
    if (found := find_rejudged(plan, registry)) is not None:
        return found
    _items(plan, registry)  # else a run would begin that cannot go on
    run = continue_or_start(
        plan.inputs_sha256(),
        plan.manifest,
        registry,
        kind=plan.source.kind,
        name=f"{plan.origin.name}, judged again",
        base_model=plan.source.base_model,
        parent_model_sha256=plan.source.parent_model_sha256,
        dataset_id=plan.source.dataset_id,
        judge=plan.judge,
        judge_fingerprint=plan.judge_fingerprint,
    )
    if run.reused:  # another process was at it
        return run
    with owned(run, registry):
        take_predictions(plan, run, registry)
        judged = judge_run(run, plan)
        evaluation = plan.evaluation_sha256()
        record_judged(run, judged, registry, model_sha256=plan.model_sha256, evaluation_sha256=evaluation)
    return run


def take_predictions(plan: RejudgePlan, run: RunRef, registry: Registry) -> None:
    """Copy dataset, predictions and the loss curve into a run, checked against what is recorded.

    The predictions come from the source's folder, or from the registry's rows where the folder is gone.

    Raises:
        IntegrityError: they are not the bytes that were recorded.
    """
    source, files = files_of(plan.source, registry), run.files
    _copy(_items(plan, registry), files.dataset)
    keep_dataset(files.dataset, plan.dataset_sha256, registry.artifacts)
    if is_here(source.predictions):
        _copy(source.predictions, files.predictions)
    else:
        rows = registry.runs.each_prediction(plan.source.run_id)
        write_jsonl(files.predictions, ({"trace_id": row.trace_id, **written(row)} for row in rows))
    if (found := sha256_file(files.predictions)) != plan.predictions_sha256:
        where = (
            source.predictions
            if is_here(source.predictions)
            else f"the registry's predictions of run {plan.source.run_id}"
        )
        raise IntegrityError(
            f"{where}: changed since the run: expected sha256 {plan.predictions_sha256}, found {found}."
        )
    write_json(files.predictions_meta, plan.predictions_meta)
    seal(files.predictions_sums, files.predicted)
    for before, after in ((source.training, files.training), (source.loss_curve, files.loss_curve)):
        if is_here(before):
            _copy(before, after)
            if (found := sha256_file(after)) != (plan.source.files or {}).get(before.name, found):
                raise IntegrityError(f"{before}: changed since run {plan.source.run_id} left it.")


def written(row: Prediction) -> dict[str, Any]:
    """What a recorded prediction is in predictions.jsonl, beside its trace_id."""
    return {"prediction": row.prediction} if row.samples is None else {"predictions": row.texts}


def _items(plan: RejudgePlan, registry: Registry) -> Path:
    return dataset_file(plan.source, registry.datasets.get(plan.source.dataset_id), registry)


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as file, atomic_writer(target) as copy:
        shutil.copyfileobj(file, copy)
