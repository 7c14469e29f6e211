"""A recorded run's predictions, judged by another judge or on a revised dataset, without predicting again."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.errors import InputError, IntegrityError
from core.files import (
    atomic_writer,
    read_json,
    sha256_bytes,
    sha256_file,
    sha256_json,
    sha256_tree,
    write_json,
)
from core.sealed import seal
from experiments.datasets import dataset_file, named_dataset
from experiments.environment import evaluation_sha256
from experiments.phases import judge_run, record_judged
from experiments.plan import DatasetRef, dataset_ref
from experiments.run_files import files_of, is_here, predictions_damage
from experiments.runs import (
    RunRef,
    continue_or_start,
    keep_dataset,
    owned,
    recorded_generation,
    run_ref,
)
from experiments.taking_over import asked_as_before, changed_since, meta_of_some, recorded_lines
from experiments.weights import origin_of
from experiments.workspace import Workspace
from golden.datasets import Dataset, read_items
from golden.prompting import ResolvedPrompt, recorded_prompt
from inference.contract import GenerationConfig
from judges import Judge, check_output, judge_fingerprint, judge_reference, load_judge, recorded_judge
from judges.judging import checked_items
from registry import Registry, Run


@dataclass(frozen=True)
class RejudgePlan:
    """One re-judging, with every input resolved.

    Attributes:
        source: the run whose predictions are taken: a finished one, or one whose judge failed.
        origin: the run whose model wrote them: the source, or what that was judged again from.
        model_sha256: of the weights that wrote them.
        predictions_sha256: of predictions.jsonl.
        predictions_meta: how they were made.
        dataset_sha256: of the items that they are judged on.
        judge: as NAME@vN.
        judge_fingerprint: of the judge as it is installed now.
        dataset: those items, where they are not the source's.
        taken: the predictions for them, where they are not the source's: the lines of predictions.jsonl.
    """

    source: Run
    origin: Run
    model_sha256: str
    predictions_sha256: str
    predictions_meta: dict[str, Any]
    dataset_sha256: str
    judge: str
    judge_fingerprint: str
    dataset: DatasetRef | None = None
    taken: Sequence[bytes] | None = None

    @property
    def name(self) -> str:
        """What a person calls the new run."""
        on = f" on {self.dataset.name}" if self.dataset else ""
        return f"{self.origin.name}, judged again{on}"

    @property
    def prompt(self) -> ResolvedPrompt:
        """How the model was asked."""
        return recorded_prompt(self.origin.manifest)

    @property
    def generation(self) -> GenerationConfig:
        """How the predictions were made."""
        return recorded_generation(self.origin)

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
        """The source's manifest, since that is how the predictions came to be, with the new judge and the
        items that are judged now.
        """
        found = {
            **self.source.manifest,
            "run_id": run_id,
            "inputs_sha256": self.inputs_sha256(),
            "judge": recorded_judge(self.judge, self.judge_fingerprint),
            "rejudged_from": self.source.run_id,
        }
        if self.dataset is None:
            return found
        training = found["training"]
        if training:  # what the guard found was about the other items, so it holds by no rule for these
            training = {**training, "contamination": {**training["contamination"], "rule": None}}
        return {**found, "dataset": self.dataset.judged_on(), "training": training}


def plan_rejudging(
    reference: str, judge: str | None, registry: Registry, dataset: str | None = None
) -> RejudgePlan:
    """Settle a re-judging.

    Args:
        reference: run id of a finished run, or of one whose judge failed on items, or a unique beginning or
            end of one.
        judge: as NAME@vN; None for the run's own.
        registry: holds the run.
        dataset: a revised dataset; None for the items that the run was judged on.

    Raises:
        InputError: neither judge nor dataset is given; the run is unknown or has no whole predictions; the
            judge or the dataset is unusable; or an item of the dataset was not predicted as it is asked now.
        IntegrityError: the predictions of a run whose judge failed were damaged.
        ResourceError: a library that the judge needs is not installed.
    """
    if judge is None and dataset is None:
        raise InputError(
            f"run {reference[:80]}: to judge it again, name a judge (--judge NAME@vN), a dataset "
            "(--dataset), or both"
        )
    run = registry.runs.get(reference)
    judged_by = load_judge(judge or run.judge)
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
    return plan if dataset is None else _on(plan, dataset, judged_by, registry)


def _on(plan: RejudgePlan, dataset: str, judge: Judge, registry: Registry) -> RejudgePlan:
    """The plan for another dataset, whose items were all predicted as they are asked now.

    Raises:
        InputError: some were not; names them.
    """
    found, source = named_dataset(dataset, registry), plan.source
    registry.datasets.check(found.key, found.version, found.sha256)
    if found.sha256 == plan.dataset_sha256:
        return plan
    before, after = read_items(_items(plan, registry)), checked_items(judge, found.items())
    try:
        ids = asked_as_before(before, after, plan.prompt, plan.generation.output, found.name)
    except InputError as error:
        model = f"run:{plan.origin.run_id}" if source.kind == "trained" else source.base_model
        raise InputError(
            f"run {source.run_id}: {error}, so they have to be predicted: hallmark evaluate {model} "
            f"--dataset {shlex.quote(dataset)}"
        ) from None
    lines = dict(recorded_lines(source, plan.predictions_sha256, registry))
    taken = [lines[trace_id] for trace_id in ids]
    sha256 = sha256_bytes(b"".join(taken))
    return replace(
        plan,
        predictions_sha256=sha256,
        predictions_meta=meta_of_some(plan.predictions_meta, ids, sha256),
        dataset_sha256=found.sha256,
        dataset=_as_recorded(dataset_ref(found, len(ids)), found, registry),
        taken=taken,
    )


def _as_recorded(ref: DatasetRef, dataset: Dataset, registry: Registry) -> DatasetRef:
    """A dataset as a run sees it, with what an earlier run recorded of it where it has no manifest here."""
    if dataset.manifest is not None or registry.datasets.named(dataset.key, dataset.version) is None:
        return ref
    newest = registry.runs.list(limit=1, dataset=dataset.name, status="finished")
    known = registry.runs.get(newest[0].run_id).manifest["dataset"] if newest else {}
    found = {name: known[name] for name in ("bands", "revised_from") if known.get(name)}
    return DatasetRef.model_validate({**ref.model_dump(), **found})


def find_rejudged(plan: RejudgePlan, registry: Registry) -> RunRef | None:
    """The newest finished run with these predictions and this judge; for a trained run, one with the same
    training behind it.
    """
    for run in registry.runs.evaluated(plan.evaluation_sha256()):
        same = (run.kind, run.predictions_sha256) == (plan.source.kind, plan.predictions_sha256)
        if same and (run.kind == "baseline" or origin_of(run, registry).run_id == plan.origin.run_id):
            return run_ref(run, registry, reused=True)
    return None


def rejudge(reference: str, judge: str | None, workspace: Workspace, dataset: str | None = None) -> RunRef:
    """Judge a run's recorded predictions by another judge, or on a revised dataset, as a new finished run of
    the same kind and weights.

    The new run has a folder of its own with everything but the weights, which stay in the folder of the run
    that made them. Where a run with the same predictions and the same judge is recorded, that one is taken.
    On a revised dataset the predictions of items that are gone are left out.

    Args:
        reference: run id, or a unique beginning or end of one.
        judge: as NAME@vN; None for the run's own.
        workspace: its registry holds the run and records the new one.
        dataset: the path of a revised dataset, a built-in name, or the name of one that is here or recorded;
            None for the items that the run was judged on.

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
    plan = plan_rejudging(reference, judge, registry, dataset)
    if (found := find_rejudged(plan, registry)) is not None:
        return found
    _items(plan, registry)  # else a run would begin that cannot go on
    run = continue_or_start(
        plan.inputs_sha256(),
        plan.manifest,
        registry,
        kind=plan.source.kind,
        name=plan.name,
        base_model=plan.source.base_model,
        parent_model_sha256=plan.source.parent_model_sha256,
        dataset_id=_dataset_id(plan, registry),
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


def _dataset_id(plan: RejudgePlan, registry: Registry) -> int:
    if (new := plan.dataset) is None:
        return plan.source.dataset_id
    return registry.datasets.register(new.key, new.version, new.sha256, new.items).id


def take_predictions(plan: RejudgePlan, run: RunRef, registry: Registry) -> None:
    """Put dataset, predictions and the loss curve into a run, checked against what is recorded.

    The predictions come from the source's folder, or from the registry's rows where the folder is gone.

    Raises:
        IntegrityError: they are not the bytes that were recorded.
    """
    source, files = files_of(plan.source, registry), run.files
    _copy(_items(plan, registry), files.dataset)
    keep_dataset(files.dataset, plan.dataset_sha256, registry.artifacts)
    lines = plan.taken or (line for _, line in recorded_lines(plan.source, plan.predictions_sha256, registry))
    with atomic_writer(files.predictions) as file:
        file.writelines(lines)
    if (found := sha256_file(files.predictions)) != plan.predictions_sha256:
        raise changed_since(str(files.predictions), plan.predictions_sha256, found)
    write_json(files.predictions_meta, plan.predictions_meta)
    seal(files.predictions_sums, files.predicted)
    for before, after in ((source.training, files.training), (source.loss_curve, files.loss_curve)):
        if is_here(before):
            _copy(before, after)
            if (found := sha256_file(after)) != (plan.source.files or {}).get(before.name, found):
                raise IntegrityError(f"{before}: changed since run {plan.source.run_id} left it.")


def _items(plan: RejudgePlan, registry: Registry) -> Path:
    if plan.dataset is not None:
        return plan.dataset.path
    return dataset_file(plan.source, registry.datasets.get(plan.source.dataset_id), registry)


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as file, atomic_writer(target) as copy:
        shutil.copyfileobj(file, copy)
