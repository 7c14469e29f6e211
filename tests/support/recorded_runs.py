"""Recorded runs without inference: everything is real but the predictions, which the test writes itself."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from core.files import sha256_file, write_json, write_jsonl
from core.sealed import seal
from core.tensors import sha256_tensors
from experiments import phases
from experiments.config import EvaluateConfig, TrainRunConfig
from experiments.engines import find_vllm
from experiments.plan import RunPlan, TrainingPlan, dataset_ref, plan_evaluation, plan_training
from experiments.references import TINY_BASE_DIRECTORY
from experiments.runs import RunRef, begin_run, owned
from experiments.workspace import Workspace
from golden.datasets import load_dataset, read_items
from golden.rendering import render_completion
from golden.schema import Item
from inference.contract import EngineUsed, PredictionMeta
from registry import Run, open_registry
from tests.support.training import tiny_training

Answers = Callable[[int, Item], str | list[str]]


def workspace_at(home: Path, url: str | None = None) -> Workspace:
    """The workspace that the command line uses for this home."""
    return Workspace(home.absolute(), open_registry(home, url))


def right_for(share: float) -> Answers:
    """Answers of which so many are right, spread evenly over the items."""

    def answer(place: int, item: Item) -> str:
        right = int((place + 1) * share) > int(place * share)
        return render_completion(item.steps, item.final_answer) if right else "Answer: no idea"

    return answer


def two_of_three(place: int, item: Item) -> str:
    """Every third answer is wrong."""
    return f"Answer: {item.final_answer}" if place % 3 else "Answer: no idea"


def record_baseline(workspace: Workspace, answers: Answers | None = None, **settings: object) -> Run:
    """A finished run of the tiny base model with these answers; 40 % are right where none are given."""
    plan = plan_evaluation(EvaluateConfig.model_validate(settings), workspace)
    run = record_planned(workspace, plan, answers or right_for(0.4), None)
    return workspace.registry.runs.get(run.run_id)


def record_trained(
    workspace: Workspace, answers: Answers, weights: str = "trained", **settings: object
) -> Run:
    """A finished run of a model "trained" from it: a directory of small files whose bytes the name `weights`
    decides.
    """
    plan = plan_evaluation(EvaluateConfig.model_validate(settings), workspace)
    training = TrainingPlan(
        config=tiny_training(), dataset=dataset_ref(load_dataset("train-v1"), 9600), overlaps=[]
    )
    run = record_planned(
        workspace, plan.model_copy(update={"kind": "trained", "training": training}), answers, weights
    )
    return workspace.registry.runs.get(run.run_id)


def record_from(
    workspace: Workspace, base_model: str, answers: Answers, weights: str, **settings: object
) -> Run:
    """A finished run that was planned as in production and "trained" from a model into a loadable directory:
    the tiny base's with one more safetensors file, whose content the name `weights` decides.
    """
    plan = plan_training(TrainRunConfig.model_validate({"base_model": base_model, **settings}), workspace)
    run = begin_run(plan, workspace.registry)
    with owned(run, workspace.registry):
        phases.export_dataset(run, plan)
        shutil.copytree(TINY_BASE_DIRECTORY, run.files.model)
        (run.files.model / "extra.safetensors").write_text(weights)
        write_predictions(run, plan, answers, tensors=sha256_tensors(run.files.model))
        phases.record_run(run, plan, phases.judge_run(run, plan), workspace.registry)
    return workspace.registry.runs.get(run.run_id)


def recorded_run(
    workspace: Workspace,
    answer: Answers = two_of_three,
    cut: Iterable[int] = (),
    trained: bool = False,
    **settings: Any,
) -> RunRef:
    """A finished run planned as in production; `cut` are the places of items whose completion was cut, each
    with the samples that were, where there are several.
    """
    return record_planned(
        workspace, plan_of(workspace, trained, **settings), answer, "trained" if trained else None, cut
    )


def plan_of(workspace: Workspace, trained: bool = False, **settings: Any) -> RunPlan:
    """The plan of a run."""
    if trained:
        return plan_training(TrainRunConfig(**settings), workspace)
    return plan_evaluation(EvaluateConfig(**settings), workspace)


def record_planned(
    workspace: Workspace, plan: RunPlan, answers: Answers, weights: str | None, cut: Iterable[int] = ()
) -> RunRef:
    """A finished run of a plan, with these answers, and a model where `weights` names one."""
    run = begin_run(plan, workspace.registry)
    with owned(run, workspace.registry):
        phases.export_dataset(run, plan)
        if weights is not None:
            run.files.model.mkdir()
            for name in ("config.json", "tokenizer.json", "model.safetensors", "README.md"):
                (run.files.model / name).write_text(f"{name} {weights}")
        tensors = sha256_tensors(run.files.model) if weights is not None else None
        write_predictions(run, plan, answers, cut, tensors)
        phases.record_run(run, plan, phases.judge_run(run, plan), workspace.registry)
    return run


def write_predictions(
    run: RunRef, plan: RunPlan, answers: Answers, cut: Iterable[int] = (), tensors: str | None = None
) -> None:
    """predictions.jsonl and predictions_meta.json, as inference writes them."""
    items = list(read_items(run.files.dataset))
    cut_samples = {items[place].trace_id: cut[place] for place in cut} if isinstance(cut, Mapping) else {}
    written = (answers(place, item) for place, item in enumerate(items))
    rows = (
        {"trace_id": item.trace_id, "prediction" if isinstance(text, str) else "predictions": text}
        for item, text in zip(items, written, strict=True)
    )
    write_jsonl(run.files.predictions, rows)
    meta = PredictionMeta(
        generation=plan.generation.model_dump(),
        prompt_template="plain@v1",
        tokenizer_sha256="0" * 64,
        device="cpu",
        dtype="float32",
        threads=2,
        items=len(items),
        prompt_tokens=0,
        completion_tokens=0,
        truncated_prompts=[],
        reached_max_new_tokens=[items[place].trace_id for place in cut],
        cut_samples=dict(cut_samples),
        batch_size_used=64,
        tensors_sha256=tensors or plan.model.tensors_sha256,
        predictions_sha256=sha256_file(run.files.predictions),
        timing={},
        engine=engine_used(plan),
    )
    write_json(run.files.predictions_meta, meta.model_dump())
    seal(run.files.predictions_sums, [run.files.predictions, run.files.predictions_meta])


def engine_used(plan: RunPlan) -> EngineUsed:
    """What the engine says of itself."""
    if plan.generation.engine != "vllm":
        return EngineUsed(name=plan.generation.engine)
    build = find_vllm(plan.generation).build
    return EngineUsed(name="vllm", version=build.version, switches=build.switches)
