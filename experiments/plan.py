"""What a run will do, settled and hashed before anything heavy starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from core.errors import InputError
from core.files import sha256_json
from experiments.config import EvaluateConfig, TrainRunConfig
from experiments.environment import (
    INFERENCE_PACKAGES,
    TRAINING_CODE,
    TRAINING_PACKAGES,
    environment,
    lock_sha256,
)
from experiments.references import ResolvedModel, resolve_model
from experiments.surroundings import evaluation_sha256, inference_surroundings, surroundings
from golden.datasets import Dataset, load_dataset
from golden.guard import Overlap, find_overlaps
from inference.contract import GenerationConfig
from judges import judge_fingerprint, library_versions, load_judge
from registry import Registry
from trainer.contract import TrainConfig
from trainer.model.architecture import read_architecture

SHOWN_OVERLAPS = 5


class DatasetRef(BaseModel):
    """A dataset as a run sees it: where it is and what pins it."""

    key: str
    version: str
    path: Path
    sha256: str
    items: int
    bands: dict[str, str] = {}

    @property
    def name(self) -> str:
        """Key and version: golden-v1."""
        return f"{self.key}-{self.version}"


class TrainingPlan(BaseModel):
    """The training part of a run.

    Attributes:
        overlaps: training items that contain golden items; not empty only where the configuration allows it.
    """

    config: TrainConfig
    dataset: DatasetRef
    overlaps: list[Overlap]


class RunPlan(BaseModel):
    """One run, with every input resolved.

    Attributes:
        model: the model to judge, or to train from.
        judge_fingerprint: sha256 of the judge's code.
        training: None for a baseline run.
        reuse: whether a recorded run with the same inputs may be taken instead.
        reproduces: the recorded run that this one repeats.
    """

    kind: Literal["baseline", "trained"]
    model: ResolvedModel
    dataset: DatasetRef
    judge: str
    judge_fingerprint: str
    generation: GenerationConfig
    training: TrainingPlan | None = None
    reuse: bool = False
    reproduces: str | None = None

    @property
    def name(self) -> str:
        """What a person calls the run: model, kind, dataset."""
        return f"{self.model.label} {self.kind} {self.dataset.name}"

    def evaluation_sha256(self, model_sha256: str) -> str:
        """Hash of every input that decides the scores of a model with these weights. Equal hash: reuse the scores."""
        return evaluation_sha256(
            model=model_sha256,
            dataset=self.dataset.sha256,
            generation=self.generation,
            inference=inference_surroundings(),
            judge=self.judge,
            fingerprint=self.judge_fingerprint,
        )

    def inputs_sha256(self) -> str:
        """Hash of every input of the whole run, training included. Equal hash: an interrupted run may be continued."""
        training = None
        if self.training is not None:
            training = {
                "config": self.training.config.model_dump(),
                "dataset": self.training.dataset.sha256,
                "uv_lock": lock_sha256(),  # a changed lock is another run; its checkpoints are not continued
                **surroundings(TRAINING_CODE, TRAINING_PACKAGES),
            }
        return sha256_json({"kind": self.kind, "evaluation": self.evaluation_sha256(self.model.sha256), "training": training})

    def manifest(self, run_id: str) -> dict[str, Any]:
        """The content of manifest.json."""
        packages = tuple(sorted({*INFERENCE_PACKAGES, *(TRAINING_PACKAGES if self.training else ()), "prefect", "sqlmodel", "scipy"}))
        return {
            "format": 1,
            "run_id": run_id,
            "kind": self.kind,
            "inputs_sha256": self.inputs_sha256(),
            "model": {"reference": self.model.reference, "sha256": self.model.sha256, "revision": self.model.revision},
            "dataset": {**_pin(self.dataset), "bands": self.dataset.bands},
            "judge": {"name": self.judge, "fingerprint": self.judge_fingerprint, "libraries": library_versions(load_judge(self.judge))},
            "generation": self.generation.model_dump(),
            "training": self._training_manifest(),
            **({"reproduces": self.reproduces} if self.reproduces else {}),
            "inference": inference_surroundings(),
            "environment": environment(packages),
        }

    def _training_manifest(self) -> dict[str, Any] | None:
        if self.training is None:
            return None
        return {
            "config": self.training.config.model_dump(),
            "dataset": _pin(self.training.dataset),
            "contamination": {
                "overlaps": len(self.training.overlaps),
                "allowed": self.training.config.allow_contamination,
                "pairs": [overlap.model_dump() for overlap in self.training.overlaps[:100]],
            },
        }


def _pin(dataset: DatasetRef) -> dict[str, Any]:
    return {"name": dataset.name, "sha256": dataset.sha256, "items": dataset.items}


def plan_evaluation(config: EvaluateConfig, registry: Registry, home: Path) -> RunPlan:
    """Settle a baseline run: find the model, check the dataset line by line, load the judge.

    Raises:
        InputError: the model, the dataset or the judge is unusable; names it.
        IntegrityError: the dataset or a registered model changed behind our back.
    """
    judge = load_judge(config.judge)
    dataset = load_dataset(config.dataset)
    registry.datasets.check(dataset.key, dataset.version, dataset.sha256)
    model = resolve_model(config.model, home, registry.models.directory)
    return RunPlan(
        kind="baseline",
        model=model,
        dataset=dataset_ref(dataset),
        judge=config.judge,
        judge_fingerprint=judge_fingerprint(judge),
        generation=config.generation,
        reuse=config.reuse,
    )


def plan_training(config: TrainRunConfig, registry: Registry, home: Path) -> RunPlan:
    """Settle a trained run: all of the above, and the contamination guard.

    Raises:
        InputError: also when training items overlap with golden items and the configuration does not allow it.
    """
    plan = plan_evaluation(config.evaluate(config.base_model, reuse=False), registry, home)
    read_architecture(plan.model.path)  # refuses what cannot be trained, before anything starts
    golden, train = load_dataset(config.dataset), load_dataset(config.train.dataset)
    overlaps = guard(train, golden, allow=config.train.allow_contamination)
    training = TrainingPlan(config=config.train, dataset=dataset_ref(train), overlaps=overlaps)
    return plan.model_copy(update={"kind": "trained", "training": training})


def dataset_ref(dataset: Dataset) -> DatasetRef:
    """Read every item once, so that a bad line is found before anything heavy starts, and count them."""
    items = sum(1 for _ in dataset.items())
    return DatasetRef(
        key=dataset.key, version=dataset.version, path=dataset.path.absolute(), sha256=dataset.sha256, items=items, bands=dataset.bands
    )


def guard(train: Dataset, golden: Dataset, *, allow: bool) -> list[Overlap]:
    """Run the contamination guard.

    Args:
        train: the training set.
        golden: the dataset the model will be judged on.
        allow: report overlaps instead of refusing them.

    Raises:
        InputError: there are overlaps and they are not allowed; shows the first pairs.
    """
    overlaps = list(find_overlaps(train.items(), golden.items()))
    if overlaps and not allow:
        shown = "\n".join(f"  {o.train_id} ~ {o.golden_id} ({o.kind}): {o.shared[:80]}" for o in overlaps[:SHOWN_OVERLAPS])
        more = f"\n  and {len(overlaps) - SHOWN_OVERLAPS} more" if len(overlaps) > SHOWN_OVERLAPS else ""
        raise InputError(
            f"{train.path}: {len(overlaps)} training items overlap with {golden.name}; a gain would be memory, not skill:\n{shown}{more}\n"
            "Remove them, or set train.allow_contamination to train all the same; it is recorded, and the gate will refuse."
        )
    return overlaps
