"""Comparing two recorded runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from core.files import write_json
from core.progress import announce
from evaluation.comparison import Comparison, RunScores, compare
from evaluation.groups import group_of
from experiments.answers import some_items
from experiments.datasets import dataset_file
from experiments.run_files import files_of
from golden.datasets import read_items
from golden.prompting import recorded_prompt
from golden.schema import Item
from inference.contract import EngineUsed, GenerationConfig, PredictionMeta
from registry import Dataset, Registry, Run
from registry.runs import OF_SPEED
from registry.tables import Prediction

DERIVED = ("do_sample", "num_beams")
"""What inference was told because of the temperature, which is a setting itself."""
OF_MODEL = "_token_id"
"""How the names of what a model brings along end, among the settings that inference used."""
PLACES = frozenset({*OF_SPEED, "endpoint"})
"""Settings that are no condition: what changes speed alone, and where a model is served."""


def compare_runs(baseline: str, candidate: str, registry: Registry) -> Comparison:
    """Compare two finished runs item by item, record the comparison, and write it beside the candidate. In a
    read-only registry nothing is recorded.

    Args:
        baseline: run id, or a unique beginning or end of one.
        candidate: run id, or a unique beginning or end of one.
        registry: holds both.

    Raises:
        InputError: a run is unknown or not finished, or the two are the same or not comparable; names the
            fields that differ.

    Example:
        >>> comparison = compare_runs("20261125-205318", "20261125-205329", registry)
        >>> comparison.delta, len(comparison.gained), len(comparison.lost)
        (0.364, 141, 10)
    """
    runs = registry.runs.finished(baseline), registry.runs.finished(candidate)
    comparison = compared(*runs, registry)
    if registry.is_read_only:
        announce("compare:", f"not recorded, since {registry.description} is read-only")
    else:
        record(comparison, registry)
    return comparison


def compared(baseline: Run, candidate: Run, registry: Registry) -> Comparison:
    """The same without recording it, for those who only look.

    Args:
        baseline: a finished run.
        candidate: likewise.
        registry: holds both.

    Raises:
        InputError: the two are the same or not comparable; names the fields that differ.
    """
    first, second = (
        conditions(run, registry.runs.scores(run.run_id), registry.datasets.get(run.dataset_id), registry)
        for run in (baseline, candidate)
    )
    return compare(first, second)


def record(comparison: Comparison, registry: Registry) -> None:
    """Put a comparison into the registry, and beside the candidate where its run's folder is ours."""
    document = comparison.model_dump(mode="json")
    registry.comparisons.record(
        comparison.baseline_run,
        comparison.candidate_run,
        delta=comparison.delta,
        p_value=comparison.p_value,
        ci_low=comparison.ci_low,
        ci_high=comparison.ci_high,
        report=document,
    )
    files = files_of(registry.runs.get(comparison.candidate_run), registry)
    if os.access(files.directory, os.W_OK):
        write_json(files.comparison, document)


class Flip(NamedTuple):
    """An item whose score changed.

    Attributes:
        answer: the right one.
        before: what the baseline wrote; of several samples how many were right, and one with the answer of
            most.
        after: likewise, the candidate.
    """

    trace_id: str
    prompt: str
    answer: str
    before: str
    after: str


def _written(row: Prediction) -> str:
    if row.samples is None:
        return row.prediction
    right = sum(sample["score"] >= 1 for sample in row.samples)
    return f"({right} of {len(row.samples)} samples right) {row.prediction}"


def flips(comparison: Comparison, count: int, registry: Registry) -> tuple[list[Flip], list[Flip]]:
    """The first items that got better, and the first that got worse.

    Args:
        comparison: of two runs.
        count: how many of each, at most.
        registry: holds both runs.

    Example:
        >>> better, worse = flips(comparison, 5, registry)
        >>> worse[0].prompt, worse[0].answer, worse[0].after
        ('What is 47 + 38?', '85', 'Answer: 75')
    """
    wanted = [*comparison.gained[:count], *comparison.lost[:count]]
    runs = (comparison.baseline_run, comparison.candidate_run)
    before, after = (
        {trace_id: _written(row) for trace_id, row in registry.runs.predictions_of(run, wanted).items()}
        for run in runs
    )
    run = registry.runs.get(comparison.candidate_run)
    dataset = dataset_file(run, registry.datasets.get(run.dataset_id), registry)
    items = some_items(dataset, wanted)

    def flip(trace_id: str) -> Flip:
        return Flip(
            trace_id, items[trace_id].question, items[trace_id].reference, before[trace_id], after[trace_id]
        )

    return [flip(trace_id) for trace_id in comparison.gained[:count]], [
        flip(trace_id) for trace_id in comparison.lost[:count]
    ]


def conditions(
    run: Run, scores: Mapping[str, float], dataset: Dataset, registry: Registry | None = None
) -> RunScores:
    """A run's scores with everything that must be equal for a comparison to mean anything.

    That is what a person chose. What belongs to the model is shown where it differs, and forbids nothing, so
    that a champion can be challenged by a model of another family.

    Args:
        run: a finished run.
        scores: trace_id -> score, in dataset order.
        dataset: the one it names.
        registry: knows where its items may be.

    Raises:
        InputError: the items of its dataset are not to be had.
        IntegrityError: they are, and were changed.
    """
    meta = PredictionMeta.model_validate(run.predictions_meta)
    items = _labels(_Items(dataset.sha256, dataset_file(run, dataset, registry)))
    of_model = {name: value for name, value in meta.generation.items() if name.endswith(OF_MODEL)}
    if meta.engine.name != "imported":  # of imported predictions nobody knows it
        of_model["prompt_template"] = meta.prompt_template
    return RunScores(
        run_id=run.run_id,
        dataset=dataset.name,
        dataset_sha256=dataset.sha256,
        judge=run.judge,
        judge_fingerprint=run.judge_fingerprint,
        generation=_chosen(run.manifest.get("generation") or {}, meta),
        prompt=recorded_prompt(run.manifest).conditions(),
        rungs={} if registry is None else _rungs(_Finished(run.run_id, str(run.content_sha256), registry)),
        scores=scores,
        categories=items.categories,
        bands=run.manifest["dataset"]["bands"],
        groups=items.groups,
        cut=frozenset(meta.reached_max_new_tokens),
        of_model={**of_model, "tokenizer_sha256": meta.tokenizer_sha256},
        imported=meta.engine.name == "imported",
        unknown=_unknown(run.manifest.get("generation") or {}, meta),
    )


def _unknown(settings: Mapping[str, Any], meta: PredictionMeta) -> frozenset[str]:
    """The conditions that nobody knows, of imported predictions. No file says how an engine was switched."""
    found = frozenset(meta.unknown) - {"truncated_prompts"}
    if meta.engine.name != "imported" or settings.get("engine", "transformers") == "transformers":
        return found
    return found | {"generation.engine_version", "generation.engine_switches"}


def _chosen(settings: Mapping[str, Any], meta: PredictionMeta) -> dict[str, Any]:
    """What a person chose that can change predictions; a setting that was added since has its default."""
    chosen = {**GenerationConfig().model_dump(exclude=set(OF_SPEED)), **settings}
    used = {name: value for name, value in meta.generation.items() if not name.endswith(OF_MODEL)}
    both = {**chosen, **used, "dtype": meta.dtype, **_of_engine(meta.engine)}
    return {name: value for name, value in both.items() if name not in (*PLACES, *DERIVED)}


def _of_engine(engine: EngineUsed) -> dict[str, Any]:
    """What is a condition of an engine beside its name. Versions of transformers are none: that what is
    recorded was made by another one is shown, but models must stay comparable for years.
    """
    if engine.name in ("transformers", "imported", "openai"):
        return {}
    return {"engine_version": engine.version, "engine_switches": engine.switches}


@dataclass(frozen=True)
class _Finished:
    """A finished run, which does not change."""

    run_id: str
    content_sha256: str
    registry: Registry = field(compare=False)


@lru_cache(maxsize=8)
def _rungs(run: _Finished) -> dict[str, str]:
    return run.registry.runs.rungs(run.run_id)


@dataclass(frozen=True)
class _Items:
    """A file whose sha256 was checked. Equal sha256, equal items, wherever the file is."""

    sha256: str
    path: Path = field(compare=False)


class _Labels(NamedTuple):
    """What a comparison needs to know of a dataset's items.

    Attributes:
        categories: trace_id -> category.
        groups: trace_id -> group, for items that hang together.
    """

    categories: dict[str, str]
    groups: dict[str, str]


@lru_cache(maxsize=4)
def _labels(items: _Items) -> _Labels:
    categories: dict[str, str] = {}

    def read() -> Iterator[Item]:
        for item in read_items(items.path):
            categories[item.trace_id] = sys.intern(item.category)
            yield item

    groups = group_of(read())
    return _Labels(categories, groups)
