"""Two runs that should have written the same, as on two engines: which answers differ, and how sure the model
was where they part.
"""

from __future__ import annotations

import os

from pydantic import BaseModel

from core.child_process import run_child
from core.errors import InputError
from core.files import write_json
from core.gpus import own_device
from core.progress import current_listener
from core.tabular import Row, Tabular
from core.text import counted
from experiments.datasets import dataset_file
from experiments.defaults import LOG
from experiments.gatekeeper import settings_that_differ
from experiments.references import recorded_model
from experiments.run_files import files_of
from experiments.runs import recorded_generation
from experiments.weights import model_of
from experiments.workspace import Workspace
from golden.prompting import recorded_prompt
from inference.contract import PredictionMeta
from inference.endpoint import served_name
from inference.margins import Answers, Margin, Margins, MarginsSpec
from registry import Run

FREE = ("generation.engine", "generation.dtype")
"""Settings in which the runs may differ, beside those of speed."""


class RunDiff(Tabular, BaseModel):
    """How far two runs of one model, asked alike, wrote the same.

    Attributes:
        runs: ids of both.
        engines: what ran the model in each: engine, version, dtype, device.
        items: how many there are.
        differing: those whose answers differ, in dataset order.
    """

    runs: tuple[str, str]
    engines: tuple[str, str]
    items: int
    differing: list[Margin]

    @property
    def headline(self) -> str:
        """The answer in a line."""
        if not self.differing:
            return f"IDENTICAL: all {counted(self.items, 'answer is', 'answers are')} the same"
        margins = [each.margin for each in self.differing if each.margin is not None]
        most = f"; the largest top-2 margin at a first difference is {max(margins):.2g}" if margins else ""
        return f"{len(self.differing)} of {counted(self.items, 'answer')} differ{most}"

    def table_caption(self) -> str:
        """The answer in a line."""
        return self.headline

    def table_rows(self) -> list[Row]:
        """A row for each item whose answers differ."""
        return [
            {
                "item": each.trace_id,
                "token": each.token,
                self.runs[0]: None if each.tokens is None else each.tokens[0],
                self.runs[1]: None if each.tokens is None else each.tokens[1],
                "margin": each.margin,
                "likeliest": each.likeliest,
            }
            for each in self.differing
        ]


def diff_runs(one: str, other: str, workspace: Workspace) -> RunDiff:
    """Count the answers that differ between two runs of one model that were asked alike, and find the top-2
    margin of the logits at the first token that differs: where it is as small as rounding, the engines agree;
    where it is not, one of them is wrong. transformers computes it, in float32; of a model that an endpoint
    serves nobody can. The answer is kept beside the second run.

    Args:
        one: run id, or a unique beginning or end of one.
        other: likewise.
        workspace: its registry holds both.

    Raises:
        InputError: a run is unknown or not finished, or they are not of one model on one dataset, asked
            alike; or several answers were drawn for each item.

    Example:
        >>> diff_runs("20261125-205318", "20261125-205329", open_workspace()).headline
        'IDENTICAL: all 360 answers are the same'
    """
    registry = workspace.registry
    runs = registry.runs.finished(one), registry.runs.finished(other)
    _check_alike(*runs)
    metas = [PredictionMeta.model_validate(run.predictions_meta) for run in runs]
    texts = [
        {row.trace_id: row.prediction for row in registry.runs.each_prediction(run.run_id)} for run in runs
    ]
    cut = [set(meta.reached_max_new_tokens) for meta in metas]
    differing = [
        Answers(
            trace_id=trace_id,
            texts=(text, texts[1][trace_id]),
            ended=(trace_id not in cut[0], trace_id not in cut[1]),
        )
        for trace_id, text in texts[0].items()
        if text != texts[1][trace_id]
    ]
    found = RunDiff(
        runs=(runs[0].run_id, runs[1].run_id),
        engines=(metas[0].ran_by, metas[1].ran_by),
        items=len(texts[0]),
        differing=_margins(runs[0], differing, workspace) if differing else [],
    )
    files = files_of(runs[1], registry)
    if os.access(files.directory, os.W_OK):
        write_json(files.difference, found.model_dump(mode="json"))
    return found


def _check_alike(one: Run, other: Run) -> None:
    differing = [name for name in settings_that_differ(one, other) if name not in FREE]
    for name in ("model_sha256", "dataset_id"):
        if getattr(one, name) != getattr(other, name):
            differing.insert(0, name.partition("_")[0])
    if one.run_id == other.run_id:
        raise InputError(f"run {one.run_id}: is the same run twice. Name another run.")
    if differing:
        raise InputError(
            f"runs {one.run_id} and {other.run_id} were not asked alike: they differ in "
            f"{', '.join(differing)}. Only engine, dtype, batch size, device and threads may differ; "
            "`hallmark compare` compares the scores of two models."
        )
    generation = recorded_generation(one)
    if generation.temperature or generation.samples > 1:
        raise InputError(
            f"run {one.run_id}: its answers were drawn, and engines draw differently. Greedy answers can be "
            "the same."
        )


def _margins(run: Run, answers: list[Answers], workspace: Workspace) -> list[Margin]:
    """Where each pair of answers parts. Of a served model nobody here has the weights, so nothing is said of
    its logits.
    """
    if served_name(run.base_model) is not None:
        return [Margin(trace_id=each.trace_id, token=None) for each in answers]
    registry = workspace.registry
    if run.kind == "trained":
        model = model_of(run, registry)
    else:
        model = recorded_model(run.manifest["model"], workspace).directory
    usual = {"engine": "transformers", "dtype": "float32"}
    generation = recorded_generation(run).model_copy(update=usual)
    spec = MarginsSpec(
        model=model,
        dataset=dataset_file(run, registry.datasets.get(run.dataset_id), registry).absolute(),
        prompt=recorded_prompt(run.manifest),
        generation=generation,
        answers=answers,
    )
    listener = current_listener()
    with own_device(
        f"first differences, run {run.run_id}", listener, cpu=generation.device == "cpu"
    ) as locks:
        found = run_child(
            "inference.margins",
            spec,
            Margins,
            threads=generation.threads,
            log=workspace.home / LOG,
            listener=listener,
            keep=locks,
        )
    return found.found
