"""A run's predictions in parts, by item range: each is made alone, here or on another machine, and together
they are the bytes that a single job writes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from core.errors import HallmarkError, InputError, IntegrityError
from core.files import atomic_writer, read_json, read_jsonl, sha256_file, write_json
from core.locks import Holder, acquire_when_free
from core.model_files import model_files
from core.progress import Listener, Progress, announce
from core.sealed import damage, seal
from core.settings import get_settings
from experiments.datasets import dataset_file
from experiments.differences import flat, shown
from experiments.environment import inference_environment
from experiments.phases import infer, prediction_job
from experiments.plan import RunPlan
from experiments.references import recorded_model
from experiments.runs import RunRef, recorded_generation
from experiments.workspace import Workspace
from golden.prompting import recorded_prompt
from inference.contract import (
    META,
    PREDICTIONS,
    SUMS,
    Batching,
    PredictionMeta,
    PredictResult,
    PredictSpec,
)

PARTS = Path("cache", "parts")
"""Where parts are made, below the home; what is left there of runs that were given up can be removed."""
BATCHINGS: tuple[Batching, ...] = ("engine", "padded", "equal_length", "single")
"""From the least to the most careful."""


class Part(NamedTuple):
    """A range of a dataset's items: the first, and the one behind the last; both count from 0."""

    first: int
    last: int

    @property
    def items(self) -> int:
        """How many it has."""
        return self.last - self.first

    def __str__(self) -> str:
        return f"items {self.first + 1} to {self.last}"


class PartJob(NamedTuple):
    """One part, ready to be predicted.

    Attributes:
        run_id: the run.
        part: which of its items.
        spec: the job, whose output is the part's own folder.
    """

    run_id: str
    part: Part
    spec: PredictSpec

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self.spec.output


def split(items: int, shards: int) -> list[Part]:
    """A dataset in so many parts, alike in size; never an empty one.

    Example:
        >>> split(10, 3)
        [Part(first=0, last=3), Part(first=3, last=6), Part(first=6, last=10)]
    """
    count = max(1, min(items, shards))
    return [Part(items * n // count, items * (n + 1) // count) for n in range(count)]


def part_job(run: RunRef, plan: RunPlan, part: Part, workspace: Workspace) -> PartJob:
    """A part of a run of this machine."""
    return _job(prediction_job(run, plan), run.run_id, judged_model(run, plan), part, workspace)


def judged_model(run: RunRef, plan: RunPlan) -> str:
    """The sha256 of the weights that a run judges."""
    if plan.training is None:
        return plan.model.sha256
    return str(read_json(run.files.training_result)["model_sha256"])


def _job(spec: PredictSpec, run_id: str, model: str, part: Part, workspace: Workspace) -> PartJob:
    folder = workspace.home / PARTS / run_id / f"{model[:16]}-{part.first}-{part.last}"
    label = f"{spec.label}, {part}"
    return PartJob(run_id, part, spec.model_copy(update={"output": folder, "label": label, "part": part}))


def is_made(job: PartJob) -> bool:
    """Whether a part is there, as inference left it."""
    return damage(job.folder / SUMS, [job.folder / PREDICTIONS, job.folder / META]) is None


def predict_part(job: PartJob, listener: Listener) -> PredictResult:
    """Predict a part, unless it is there. An interrupted one goes on; whoever works on it already is waited
    for.

    Raises:
        HallmarkError: see `inference.generate.predict`; names the part.
    """

    def say(owner: Holder) -> None:
        listener(Progress(stage="waiting", done=0, total=0, unit="", note=f"for {owner.sentence()}"))

    what = f"inference, run {job.run_id}, {job.part}"
    lock = acquire_when_free(job.folder.with_name(f"{job.folder.name}.lock"), what, say)
    try:
        if (job.folder / SUMS).is_file():
            if is_made(job):
                return _made(job)
            announce("damaged:", f"{job.folder}: changed since it was written. The part is made again")
        job.folder.mkdir(parents=True, exist_ok=True)
        return infer(job.spec, job.run_id, job.folder.with_name(f"{job.folder.name}.log"), listener)
    except HallmarkError as error:
        raise type(error)(f"{job.part}: {error}") from error
    finally:
        os.close(lock)


def _made(job: PartJob) -> PredictResult:
    meta = PredictionMeta.model_validate(read_json(job.folder / META))
    return PredictResult(
        predictions_sha256=meta.predictions_sha256, items=meta.items, resumed=meta.items, seconds=0.0
    )


def merge(run: RunRef, jobs: Sequence[PartJob], workspace: Workspace, resumed: int = 0) -> PredictResult:
    """Write the run's predictions.jsonl and predictions_meta.json from its parts, and remove the parts.

    Args:
        run: the run.
        jobs: all its parts, in dataset order, each of them made.
        workspace: has them.
        resumed: how many items an interrupted attempt had predicted.

    Raises:
        IntegrityError: a part was changed, or parts were made under different conditions; names the field.
    """
    for job in jobs:
        if problem := damage(job.folder / SUMS, [job.folder / PREDICTIONS, job.folder / META]):
            raise IntegrityError(f"{problem}. Run the same command again; that part is made again.")
    with atomic_writer(run.files.predictions) as target:
        for job in jobs:
            with (job.folder / PREDICTIONS).open("rb") as source:
                shutil.copyfileobj(source, target)
    metas = [PredictionMeta.model_validate(read_json(job.folder / META)) for job in jobs]
    meta = merged(metas, [job.folder for job in jobs], sha256_file(run.files.predictions))
    write_json(run.files.predictions_meta, meta.model_dump())
    seal(run.files.predictions_sums, run.files.predicted)
    run.files.predictions_partial.unlink(missing_ok=True)  # of an attempt in one part
    shutil.rmtree(workspace.home / PARTS / run.run_id, ignore_errors=True)
    return PredictResult(
        predictions_sha256=meta.predictions_sha256,
        items=meta.items,
        resumed=resumed,
        seconds=meta.timing["seconds"],
    )


def merged(metas: Sequence[PredictionMeta], folders: Sequence[Path], sha256: str) -> PredictionMeta:
    """What a single job would have written of all parts. `timing` is of the work of all of them, as if one
    had followed the other.

    Args:
        metas: of the parts, in dataset order.
        folders: theirs.
        sha256: of all predictions.

    Raises:
        IntegrityError: they were not made under the same conditions.
    """
    first = metas[0]
    for meta, folder in zip(metas[1:], folders[1:], strict=True):
        if differing := _differing(_conditions(first), _conditions(meta)):
            raise IntegrityError(
                f"{folder}: was not predicted under the conditions of the first part: {differing}. Remove "
                "that folder and run the same command again, with workers that are alike."
            )
    seconds = sum(meta.timing["seconds"] for meta in metas)
    items, tokens = sum(meta.items for meta in metas), sum(meta.completion_tokens for meta in metas)
    ties = [meta.engine.ties for meta in metas]
    return first.model_copy(
        update={
            "items": items,
            "prompt_tokens": sum(meta.prompt_tokens for meta in metas),
            "completion_tokens": tokens,
            "truncated_prompts": [each for meta in metas for each in meta.truncated_prompts],
            "reached_max_new_tokens": [each for meta in metas for each in meta.reached_max_new_tokens],
            "cut_samples": {id_: cut for meta in metas for id_, cut in meta.cut_samples.items()},
            "ended_otherwise": {id_: how for meta in metas for id_, how in meta.ended_otherwise.items()},
            "thinking_closed": _thinking_closed(metas, folders),
            "batching": max((meta.batching for meta in metas), key=BATCHINGS.index),
            "batch_size_used": min(meta.batch_size_used for meta in metas),
            "engine": first.engine.model_copy(
                update={"ties": None if None in ties else sum(filter(None, ties))}
            ),
            "predictions_sha256": sha256,
            "timing": {
                "seconds": round(seconds, 3),
                "items_per_second": round(items / seconds, 2) if seconds else 0.0,
                "tokens_per_second": round(tokens / seconds, 1) if seconds else 0.0,
            },
        }
    )


_OF_A_PART = {
    "items",
    "prompt_tokens",
    "completion_tokens",
    "truncated_prompts",
    "reached_max_new_tokens",
    "cut_samples",
    "ended_otherwise",
    "thinking_closed",
    "batching",
    "batch_size_used",
    "predictions_sha256",
    "timing",
}
"""Fields of `PredictionMeta` that may differ between the parts of a run."""


def _conditions(meta: PredictionMeta) -> dict[str, Any]:
    return flat(meta.model_dump(exclude={*_OF_A_PART, "engine"})) | flat(
        {"engine": meta.engine.model_dump(exclude={"ties"})}
    )


def _thinking_closed(metas: Sequence[PredictionMeta], folders: Sequence[Path]) -> bool | list[str]:
    said = [meta.thinking_closed for meta in metas]
    if all(each is True for each in said) or all(each is False for each in said):
        return said[0]
    closed: list[str] = []
    for each, folder in zip(said, folders, strict=True):
        if each is True:
            closed += [row["trace_id"] for _, row in read_jsonl(folder / PREDICTIONS, any_text=True)]
        else:
            closed += each or []
    return closed


def is_shared(workspace: Workspace) -> bool:
    """Whether other machines can read what this one records, and so predict parts of its runs."""
    return workspace.registry.artifacts.shared and get_settings().registry_url is not None


def share_model(run: RunRef, plan: RunPlan, workspace: Workspace) -> None:
    """Put the weights that a run judges into the store, for those who predict parts of it."""
    store, sha256 = workspace.registry.artifacts, judged_model(run, plan)
    path = run.files.model if plan.training else plan.model.path
    if path is not None and not store.has(sha256):
        store.put(path, checkout=False, files=model_files(path))


def recorded_part(run_id: str, part: Part, workspace: Workspace) -> PartJob:
    """A part of a run that another machine works on, from what is recorded of the run.

    Raises:
        InputError: the run is not under way, or what it works with is not to be had here.
        IntegrityError: this machine would predict under other conditions; names the difference.
    """
    registry = workspace.registry
    run = registry.runs.get(run_id)
    manifest = run.manifest
    if run.status != "running" or run.is_interrupted:
        now = "interrupted" if run.is_interrupted else run.status
        raise InputError(f"run {run.run_id}: is {now}, so no part of it is needed any more.")
    generation = recorded_generation(run)
    _check_environment(manifest["inference"], inference_environment(generation), run.run_id)
    sha256 = run.model_sha256 or manifest["model"]["sha256"]
    store = registry.artifacts
    model = store.get(sha256) if store.has(sha256) else recorded_model(manifest["model"], workspace).path
    dataset = registry.datasets.get(run.dataset_id)
    spec = PredictSpec(
        model=model,
        dataset=dataset_file(None, dataset, registry),
        output=workspace.home,
        label=f"predict run {run.run_id}",
        generation=generation,
        prompt=recorded_prompt(manifest),
    )
    return _job(spec, run.run_id, sha256, part, workspace)


def _check_environment(recorded: dict[str, Any], now: dict[str, Any], run_id: str) -> None:
    if differing := _differing(flat(recorded), flat(now)):
        raise IntegrityError(
            f"run {run_id}: this machine would not predict as the one that began it: {differing}. Workers "
            "that share a run's parts need the same code, packages and hardware."
        )


def _differing(first: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    """The first field that is not the same, as part of a sentence."""
    names = [name for name in {**first, **other} if first.get(name) != other.get(name)]
    return f"{names[0]} was {shown(first.get(names[0]))}, is {shown(other.get(names[0]))}" if names else None


def give_part(job: PartJob, workspace: Workspace) -> str:
    """Put a part that was made here for another machine into the store, and remove it here; gives its
    sha256.
    """
    sha256 = workspace.registry.artifacts.put(job.folder, checkout=False)
    shutil.rmtree(job.folder, ignore_errors=True)
    return sha256


def take_part(job: PartJob, sha256: str, workspace: Workspace) -> None:
    """Fetch a part that another machine made.

    Raises:
        IntegrityError: it is damaged, or is no part of this run.
    """
    shutil.rmtree(job.folder, ignore_errors=True)
    workspace.registry.artifacts.export(sha256, job.folder)
    if problem := damage(job.folder / SUMS, [job.folder / PREDICTIONS, job.folder / META]):
        raise IntegrityError(f"{job.part} of run {job.run_id}: {problem}")
