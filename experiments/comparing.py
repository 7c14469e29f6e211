"""Comparing two recorded runs."""

from __future__ import annotations

from typing import NamedTuple

from evaluation.comparison import Comparison, RunScores, compare
from experiments.runs import run_ref
from golden.datasets import read_items
from hallmark.errors import InputError
from hallmark.files import write_json
from inference.contract import PredictionMeta
from registry import Registry, Run


def compare_runs(baseline: str, candidate: str, registry: Registry) -> Comparison:
    """Compare two finished runs item by item, record the comparison, and write it beside the candidate.

    Args:
        baseline: run id, or a unique beginning of one.
        candidate: likewise.
        registry: holds both.

    Raises:
        InputError: a run is unknown or not finished, or the two are not comparable; names the fields that differ.
    """
    left, right = finished_run(baseline, registry), finished_run(candidate, registry)
    comparison = compare(scores_of(left, registry), scores_of(right, registry))
    registry.record_comparison(
        left.run_id,
        right.run_id,
        delta=comparison.delta,
        p_value=comparison.p_value,
        ci_low=comparison.ci_low,
        ci_high=comparison.ci_high,
        report=comparison.model_dump(mode="json"),
    )
    write_json(run_ref(right).files.comparison, comparison.model_dump(mode="json"))
    return comparison


class Flip(NamedTuple):
    """An item whose score changed.

    Attributes:
        answer: the right one.
        before: what the baseline wrote.
        after: what the candidate wrote.
    """

    trace_id: str
    prompt: str
    answer: str
    before: str
    after: str


def flips(comparison: Comparison, count: int, registry: Registry) -> tuple[list[Flip], list[Flip]]:
    """The first items that got better, and the first that got worse.

    Args:
        comparison: of two runs.
        count: how many of each, at most.
        registry: holds both runs.
    """
    runs = (comparison.baseline_run, comparison.candidate_run)
    before, after = ({row.trace_id: row.prediction for row in registry.run_predictions(run)} for run in runs)
    wanted = {*comparison.gained[:count], *comparison.lost[:count]}
    dataset = run_ref(registry.get_run(comparison.candidate_run)).files.dataset
    items = {item.trace_id: item for item in read_items(dataset) if item.trace_id in wanted}

    def flip(trace_id: str) -> Flip:
        return Flip(trace_id, items[trace_id].prompt, items[trace_id].final_answer, before[trace_id], after[trace_id])

    return [flip(trace_id) for trace_id in comparison.gained[:count]], [flip(trace_id) for trace_id in comparison.lost[:count]]


def finished_run(reference: str, registry: Registry) -> Run:
    """A run that can be compared or promoted.

    Raises:
        InputError: it is unknown, still running, or failed; says why.
    """
    run = registry.get_run(reference)
    if run.status == "failed":
        raise InputError(f"run {run.run_id} failed and has no scores: {run.error}")
    if run.status != "finished":
        raise InputError(f"run {run.run_id} is not finished. Wait for it, or start the same experiment again: it continues.")
    return run


def scores_of(run: Run, registry: Registry) -> RunScores:
    """A run's scores with everything that must be equal for a comparison to mean anything."""
    meta = PredictionMeta.model_validate(run.predictions_meta)
    dataset = registry.get_dataset(run.dataset_id)
    return RunScores(
        run_id=run.run_id,
        dataset=f"{dataset.key}-{dataset.version}",
        dataset_sha256=dataset.sha256,
        judge=run.judge,
        judge_fingerprint=run.judge_fingerprint,
        generation={**meta.generation, "prompt_template": meta.prompt_template, "dtype": meta.dtype},
        scores={row.trace_id: row.score for row in registry.run_predictions(run.run_id)},
        categories={item.trace_id: item.category for item in read_items(run_ref(run).files.dataset)},
        bands=run.manifest["dataset"]["bands"],
    )
