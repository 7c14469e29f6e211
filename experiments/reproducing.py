"""A recorded run, done again from its manifest, and compared byte for byte."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from core.config import validated
from core.errors import HallmarkError, InputError
from core.tabular import Row, Tabular
from evaluation.training_data import TrainingData
from experiments.datasets import dataset_file, training_file
from experiments.differences import Difference, first_differing_tree, first_differing_value, flat, shown
from experiments.engines import engine_python
from experiments.environment import environment
from experiments.names import REGISTRY_PREFIX
from experiments.plan import DatasetRef, RunPlan, TrainingPlan, Twins, settled_plan
from experiments.references import recorded_model
from experiments.runs import RunRef, recorded_generation
from experiments.weights import model_of
from experiments.workspace import Workspace
from golden.datasets import parse_name
from golden.guard import Overlap
from golden.prompting import recorded_prompt
from inference.endpoint import served_name
from judges import judge_fingerprint, load_judge
from registry import Registry, Run
from registry.artifacts.store import Store
from registry.tables import Prediction
from trainer.contract import SettledTrainConfig


class Changed(BaseModel):
    """A part of the environment that is not as it was.

    Attributes:
        field: as in packages.torch.
    """

    field: str
    recorded: Any
    now: Any


class Reproduction(Tabular, BaseModel):
    """What came of repeating a run.

    Attributes:
        run_id: the recorded run.
        again: the run that repeated it.
        identical: whether predictions, scores and weights are the same bytes.
        parts: each part that was compared, and its first difference; None where it is identical.
        environment: what is not as it was when the recorded run was made.
    """

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    run_id: str
    again: str
    identical: bool
    parts: dict[str, Difference | None]
    environment: list[Changed] = Field(alias="surroundings")  # the name that documents have for it

    @property
    def headline(self) -> str:
        """The answer in a line."""
        if self.identical:
            return f"IDENTICAL: {', '.join(self.parts)} of run {self.run_id} are the same bytes"
        different = [name for name, difference in self.parts.items() if difference is not None]
        return f"NOT IDENTICAL: {', '.join(different)} of run {self.run_id} came out differently"

    @property
    def sentences(self) -> list[str]:
        """What was compared, with its first difference, and what is not as it was."""
        compared = [
            f"{name}: identical." if found is None else f"{name}: {found.sentence}"
            for name, found in self.parts.items()
        ]
        changed = [
            f"{each.field}: was {shown(each.recorded)}, is {shown(each.now)}." for each in self.environment
        ]
        return compared + (changed or ["The environment is unchanged."])

    def table_caption(self) -> str:
        """The answer in a line."""
        return self.headline

    def table_rows(self) -> list[Row]:
        """A row for each part that was compared."""
        return [
            {
                "part": name,
                "identical": found is None,
                "first_difference": found.where if found else None,
                "recorded": shown(found.recorded) if found else None,
                "now": shown(found.now) if found else None,
            }
            for name, found in self.parts.items()
        ]


class NotReproduced(HallmarkError):
    """A repeated run came out differently, and the caller asked for that to be a failure."""

    exit_code = 3

    def __init__(self, reproduction: Reproduction) -> None:
        super().__init__(f"{reproduction.headline}. {' '.join(reproduction.sentences)}")


def find_run(target: str, registry: Registry) -> Run:
    """The finished run that a run id, a beginning of one, or NAME@vN or NAME@ALIAS stands for.

    Raises:
        InputError: there is none, or it is not finished.
    """
    reference = target.removeprefix(REGISTRY_PREFIX)
    return registry.runs.finished(registry.models.get(reference).run_id if "@" in reference else reference)


def plan_reproduction(target: str, workspace: Workspace) -> RunPlan:
    """Settle a run as its manifest recorded it.

    Args:
        target: run id, a unique beginning or end of one, or a model version as NAME@vN.
        workspace: its registry holds the run.

    Raises:
        InputError: the run, its model, its datasets or its judge are no longer to be had.
        IntegrityError: they are, but are not the recorded ones.
        ResourceError: home or registry are read-only, or the engine is not installed.
    """
    if (plan := settled_plan(target)) is not None:
        return plan
    workspace.check_writable()
    run = find_run(target, workspace.registry)
    if imported := run.manifest.get("imported"):
        raise InputError(
            f"run {run.run_id}: its predictions were imported from {imported['file']} and not made here, so "
            f"they cannot be made again. Judge its model here: hallmark evaluate {run.base_model}"
        )
    if served_name(run.base_model) is not None:
        raise InputError(
            f"run {run.run_id}: judged {run.base_model}, served by an endpoint. Nobody knows whether the "
            "same weights are still served, so it cannot be reproduced. Judge what is served now: hallmark "
            f"evaluate {run.base_model} --endpoint {(run.manifest.get('generation') or {}).get('endpoint')}"
        )
    manifest, dataset = run.manifest, workspace.registry.datasets.get(run.dataset_id)
    generation = recorded_generation(run)
    engine_python(generation)  # one that is not installed is met before the models are fetched
    return RunPlan(
        kind="trained" if run.kind == "trained" else "baseline",
        model=recorded_model(manifest["model"], workspace),
        dataset=DatasetRef(
            key=dataset.key,
            version=dataset.version,
            path=dataset_file(run, dataset, workspace.registry).absolute(),
            sha256=dataset.sha256,
            items=dataset.items,
            bands=manifest["dataset"]["bands"],
            limit_items=manifest["dataset"].get("limit_items"),
            revised_from=manifest["dataset"].get("revised_from"),
        ),
        judge=run.judge,
        judge_fingerprint=judge_fingerprint(load_judge(run.judge)),
        prompt=recorded_prompt(manifest),
        generation=generation,
        training=_training(manifest["training"], run.run_id, workspace.registry.artifacts),
        reproduces=run.run_id,
    )


def _training(recorded: dict[str, Any] | None, run_id: str, artifacts: Store) -> TrainingPlan | None:
    if recorded is None:
        return None
    config = validated(SettledTrainConfig, recorded["config"], f"manifest of run {run_id}")
    pin = recorded["dataset"]
    key, version = parse_name(pin["name"], f"manifest of run {run_id}")
    path = training_file(config.dataset, pin["sha256"], artifacts)
    place = DatasetRef(key=key, version=version, path=path, sha256=pin["sha256"], items=pin["items"])
    overlaps = [Overlap(**pair) for pair in recorded["contamination"]["pairs"]]
    twins = Twins.model_validate(recorded["contamination"].get("twins", {}))
    base = recorded["contamination"].get("base")
    return TrainingPlan(
        config=config,
        sources=recorded.get("sources", []),
        dataset=place,
        overlaps=overlaps,
        twins=twins,
        base=TrainingData.model_validate(base) if base else None,
    )


def compare_with_recorded(plan: RunPlan, again: RunRef, workspace: Workspace) -> Reproduction:
    """Compare a repeated run with the recorded one: weights, predictions, scores, and the environment of
    both.

    Args:
        plan: from `plan_reproduction`.
        again: the finished run of that plan.
        workspace: its registry holds both.
    """
    registry = workspace.registry
    recorded, repeated = registry.runs.get(plan.reproduces or ""), registry.runs.get(again.run_id)
    parts = {"weights": _weights(recorded, repeated, registry)} if recorded.kind == "trained" else {}
    before, after = registry.runs.predictions(recorded.run_id), registry.runs.predictions(repeated.run_id)
    texts = ({row.trace_id: _texts(row) for row in rows} for rows in (before, after))
    scores = ({row.trace_id: _said(row) for row in rows} for rows in (before, after))
    parts["predictions"], parts["scores"] = first_differing_value(*texts), first_differing_value(*scores)
    if parts["predictions"] is None and recorded.predictions_sha256 != repeated.predictions_sha256:
        parts["predictions"] = Difference(
            where="predictions.jsonl", recorded=recorded.predictions_sha256, now=repeated.predictions_sha256
        )
    return Reproduction(
        run_id=recorded.run_id,
        again=repeated.run_id,
        identical=not any(parts.values()),
        parts=parts,
        environment=changed_environment(recorded, plan),
    )


def _texts(row: Prediction) -> str | list[str]:
    """What was written for an item: a text, or one for each sample."""
    return row.prediction if row.samples is None else row.texts


def _said(row: Prediction) -> list[Any]:
    """What the judge said of it, of each sample."""
    said = [row.score, row.extracted, row.reason, row.rung]
    return said if row.samples is None else [said, *row.samples]


def _weights(recorded: Run, repeated: Run, registry: Registry) -> Difference | None:
    if recorded.model_sha256 == repeated.model_sha256:
        return None
    try:
        found = first_differing_tree(model_of(recorded, registry), model_of(repeated, registry))
    except InputError:  # the recorded weights are gone; their sha256 is all there is to compare with
        found = None
    return found or Difference(
        where="model", recorded=f"sha256 {recorded.model_sha256}", now=f"sha256 {repeated.model_sha256}"
    )


def changed_environment(recorded: Run, plan: RunPlan) -> list[Changed]:
    """What is not as it was: code, packages, Python, hardware, switches, the judge's code."""
    before = flat({**recorded.manifest["environment"], "judge": recorded.judge_fingerprint})
    packages = tuple(recorded.manifest["environment"]["packages"])
    after = flat({**environment(packages), **plan.engine(), "judge": plan.judge_fingerprint})
    fields = sorted(before.keys() | after.keys())
    return [
        Changed(field=field, recorded=before.get(field), now=after.get(field))
        for field in fields
        if before.get(field) != after.get(field)
    ]
