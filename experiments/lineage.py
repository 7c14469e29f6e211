"""What a model, and every model that it was trained from, was trained on: are golden items among it?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from core.errors import InputError, IntegrityError
from evaluation.training_data import Ancestor, TrainingData, TrainingStatus, overall
from experiments.datasets import dataset_file, training_file
from experiments.workspace import Workspace
from golden.datasets import read_items, read_traces
from golden.guard import RULE, Overlap, find_overlaps
from registry import Dataset, Registry, Run
from registry.artifacts.store import Store

__all__ = ["File", "Golden", "TrainingData", "Weights", "held_items", "lineage", "training_data"]

TINY_BASE_SHA256 = "561ddc96434555bf5fc9529925288571e93635a723fa3c3cf15f7453c4a9b2a7"
GOLDEN_V1_SHA256 = "e2fa21c8851ec6df45d4dfde3ed9596b4f2f0736c196442d9c4e051d97048773"
KNOWN_CLEAN = frozenset({(TINY_BASE_SHA256, GOLDEN_V1_SHA256)})
"""Weights that no run made, and golden datasets of which what they were trained on holds nothing:
`trainer.make_tiny_base.curriculum` leaves out golden-v1.
"""


@dataclass(frozen=True)
class Golden:
    """A golden dataset that training sets are held against.

    Attributes:
        name: key and version.
        sha256: of its file.
        file: gives the file; called only where nothing is recorded.
    """

    name: str
    sha256: str
    file: Callable[[], Path] = field(compare=False)


@dataclass(frozen=True)
class Weights:
    """The weights of a model directory.

    Attributes:
        sha256: over all files of the directory.
        tensors_sha256: over its tensors alone; None where that was not recorded.
        reference: what a person calls the model; the root's name, where no run made it.
    """

    sha256: str
    tensors_sha256: str | None
    reference: str


def training_data(run: Run, dataset: Dataset, workspace: Workspace) -> TrainingData:
    """What is known of everything that the weights of a run were trained on, for one golden dataset.

    Quick where the runs behind them recorded what the guard found for this dataset; else the guard looks at
    the training sets that are at hand.

    Args:
        run: a finished run; it may have judged another dataset.
        dataset: the golden dataset.
        workspace: its registry knows the runs, its store holds their training sets.

    Raises:
        InputError: the golden items are needed and not to be had.
        ResourceError: the artifact store is not usable.

    Example:
        >>> training_data(run, registry.datasets.get(run.dataset_id), workspace).status
        'clean'
    """
    registry = workspace.registry
    judged = run if run.dataset_id == dataset.id else None
    golden = Golden(
        dataset.name,
        dataset.sha256,
        lambda: dataset_file(judged, dataset, registry),
    )
    tensors = (run.predictions_meta or {}).get("tensors_sha256")
    return lineage(Weights(run.model_sha256 or "", tensors, run.base_model), golden, registry)


def lineage(weights: Weights, golden: Golden, registry: Registry) -> TrainingData:
    """The same for any weights: from the run that made them to the run that made what it began with, and so
    on, to weights that no recorded run made.

    Args:
        weights: of a model directory; a copy of it with another card is known by its tensors.
        golden: the golden dataset.
        registry: knows the runs.
    """
    recorded: dict[str, int] = {}
    ancestors: dict[tuple[str, str], Ancestor] = {}
    tensors = registry.runs.tensors()
    waiting, seen, roots = [weights], {weights.sha256}, list[Weights]()
    while waiting:
        found = waiting.pop(0)
        began = False
        # The same weights may have been made twice, from data that taught the same: all of it counts.
        for run in _makers(found, tensors, registry):
            training = run.manifest.get("training")
            if not training:
                continue
            recorded.update(_recorded(training, run.manifest, golden))
            key = (found.sha256, training["dataset"]["sha256"])
            if key not in ancestors:
                ancestors[key] = _ancestor(run, golden, recorded, registry.artifacts)
            parent = _begun_with(run)
            began = began or parent.sha256 not in {"", found.sha256}
            if parent.sha256 and parent.sha256 not in seen:
                seen.add(parent.sha256)
                waiting.append(parent)
        if not began:
            roots.append(found)
    statuses: list[TrainingStatus] = [
        "clean" if (root.sha256, golden.sha256) in KNOWN_CLEAN else "unknown" for root in roots
    ]
    root_status = overall(statuses or ["unknown"])
    return TrainingData(
        status=overall([*(each.status for each in ancestors.values()), root_status]),
        golden=golden.name,
        ancestors=list(ancestors.values()),
        root=roots[0].reference if roots else weights.reference,
        root_status=root_status,
    )


def _makers(weights: Weights, tensors: Mapping[str, list[str]], registry: Registry) -> list[Run]:
    """The runs that trained these weights, oldest first."""
    made = {run.run_id: run for run in registry.runs.that_made(weights.sha256)}
    for run_id in tensors.get(weights.tensors_sha256 or "", []):
        if run_id not in made:
            made[run_id] = registry.runs.get(run_id)
    return sorted(made.values(), key=lambda run: run.id)


def _begun_with(run: Run) -> Weights:
    """The weights that a run's training began with."""
    tensors = (run.manifest.get("model") or {}).get("tensors_sha256")
    return Weights(run.parent_model_sha256 or "", tensors, run.base_model)


def _recorded(
    training: Mapping[str, Any], manifest: Mapping[str, Any], golden: Golden
) -> Iterator[tuple[str, int]]:
    """Training sets' sha256 and how many of their items hold golden items, as a run recorded by today's rule:
    of its own training set, and of those of its ancestors.
    """
    contamination = training["contamination"]
    if contamination.get("rule") != RULE or manifest["dataset"]["sha256"] != golden.sha256:
        return
    yield training["dataset"]["sha256"], contamination["overlaps"]
    for ancestor in (contamination.get("base") or {}).get("ancestors", []):
        if ancestor["status"] != "unknown":
            yield ancestor["sha256"], ancestor["overlaps"]


def _ancestor(run: Run, golden: Golden, recorded: Mapping[str, int], artifacts: Store) -> Ancestor:
    training = run.manifest["training"]
    pin, before = training["dataset"], training["contamination"]["overlaps"]
    overlaps = recorded.get(pin["sha256"])
    if overlaps is None:
        overlaps = _looked(training["config"]["dataset"], pin["sha256"], golden, artifacts)
    if overlaps is None and before and run.manifest["dataset"]["sha256"] == golden.sha256:
        overlaps = before  # by an older rule, and nobody can look again
    status: TrainingStatus = "unknown" if overlaps is None else "leaked" if overlaps else "clean"
    return Ancestor(
        run_id=run.run_id, dataset=pin["name"], sha256=pin["sha256"], status=status, overlaps=overlaps or 0
    )


def _looked(reference: str, sha256: str, golden: Golden, artifacts: Store) -> int | None:
    """How many items of a training set hold golden items; None where the set is not to be had."""
    try:
        train = training_file(reference, sha256, artifacts)
    except (InputError, IntegrityError):
        return None
    return len(held_items(File(sha256, train), File(golden.sha256, golden.file())))


@dataclass(frozen=True)
class File:
    """A dataset's file whose sha256 was checked. Equal sha256, equal items, wherever the file is."""

    sha256: str
    path: Path = field(compare=False)


@lru_cache(maxsize=64)
def held_items(train: File, golden: File) -> tuple[Overlap, ...]:
    """The training items that hold golden items. Asked again in the same process, it looks only once."""
    found = find_overlaps(read_traces(train.path), read_items(golden.path))
    return tuple(overlap for overlap in found if overlap.refuses)
