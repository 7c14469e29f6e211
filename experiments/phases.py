"""The phases of a run: export, train, predict, judge, record. Each is idempotent: what is done is not done
again.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol

from core.child_process import run_child
from core.errors import InputError, IntegrityError
from core.files import atomic_writer, read_json, read_jsonl, sha256_file, sha256_tree, write_json, write_jsonl
from core.gpus import own_device
from core.progress import Listener, announce
from core.sealed import seal
from evaluation.gate import CUT_SHARE
from evaluation.metrics import MetricsSnapshot, Summary
from experiments.engines import INFERENCE, engine_python
from experiments.environment import (
    TRAINING_CODE,
    TRAINING_PACKAGES,
    code_sha256,
    lock_sha256,
    package_versions,
)
from experiments.plan import DatasetRef, RunPlan, TrainingPlan
from experiments.run_files import RunFiles, left_files, predictions_damage, training_damage
from experiments.runs import RunRef
from golden.datasets import read_items
from golden.prompting import ResolvedPrompt
from golden.schema import Item
from inference.contract import CUT_OFF, GenerationConfig, PredictionMeta, PredictResult, PredictSpec
from judges import (
    JudgeError,
    SampleScore,
    Score,
    each_prediction,
    judge_fingerprint,
    judge_pairs,
    load_judge,
)
from judges.log_probs import LogProb, read_log_probs
from judges.samples import Written, majority, texts_of
from judges.thinking import answer_of, is_closed, unfinished_named
from registry import MetricRow, PredictionRow, Registry
from trainer.contract import RESUMABLE, TrainResult, TrainSpec


class Planned(Protocol):
    """The part of a plan that says which items are judged."""

    @property
    def dataset(self) -> DatasetRef:
        """The items, as the run sees them."""


def export_dataset(run: RunRef, plan: Planned) -> Path:
    """Copy the golden items into the run, byte for byte.

    Raises:
        IntegrityError: the file is no longer the one that was planned with.
    """
    target = run.files.dataset
    there = target.is_file()
    if not there or sha256_file(target) != plan.dataset.sha256:
        if there:
            announce("damaged:", f"{target}: changed since it was written. It is copied again")
        with plan.dataset.path.open("rb") as source, atomic_writer(target) as file:
            shutil.copyfileobj(source, file)
    if (found := sha256_file(target)) != plan.dataset.sha256:
        raise IntegrityError(
            f"{plan.dataset.path}: changed while the run was starting: expected sha256 "
            f"{plan.dataset.sha256}, found {found}."
        )
    return target


def train_model(run: RunRef, plan: RunPlan, listener: Listener) -> TrainResult:
    """Fine-tune the plan's model into `model/`, in a process of its own. A finished training is not repeated.

    Raises:
        InputError: the plan has no training, or the model cannot be trained.
        HallmarkError: the training failed; says why.
    """
    if plan.training is None:
        raise InputError(f"run {run.run_id}: a baseline run has nothing to train")
    result = _finished_training(run) or _train(run, plan, plan.training, listener)
    for name in RESUMABLE:  # only now: until the result is kept, a kill costs the last few steps alone
        shutil.rmtree(run.directory / name, ignore_errors=True)
    return result


def _train(run: RunRef, plan: RunPlan, training: TrainingPlan, listener: Listener) -> TrainResult:
    for earlier in (run.files.training_sums, run.files.predictions_sums):  # these belong to other weights
        earlier.unlink(missing_ok=True)
    spec = TrainSpec(
        base=plan.model.directory,
        base_label=plan.model.label,
        base_on_hub=plan.model.on_hub,
        dataset=training.dataset.path,
        dataset_label=training.label,
        output=run.directory,
        config=training.config,
        prompt=plan.prompt,
        inputs=training_inputs(plan),
        cache=run.directory.parent.parent / "cache" / "jax",
    )
    threads = training.config.threads
    with own_device(
        f"training, run {run.run_id}", listener, cpu=os.environ.get("JAX_PLATFORMS") == "cpu"
    ) as locks:
        result = run_child(
            "trainer", spec, TrainResult, threads=threads, log=run.files.log, listener=listener, keep=locks
        )
    write_json(run.files.training_result, result.model_dump())
    adapter = [run.files.adapter] if run.files.adapter.exists() else []
    seal(run.files.training_sums, [*run.files.trained, *adapter])
    return result


def training_inputs(plan: RunPlan) -> dict[str, Any]:
    """What decides the result of training beside its configuration. A checkpoint of other inputs is never
    continued.
    """
    return {
        "base_sha256": plan.model.sha256,
        "prompt": plan.prompt.recorded(),
        "dataset_sha256": plan.training.dataset.sha256 if plan.training else None,
        "code_sha256": code_sha256(TRAINING_CODE),
        "packages": package_versions(TRAINING_PACKAGES),
        "uv_lock_sha256": lock_sha256(),
        "python": platform.python_version(),
    }


def _finished_training(run: RunRef) -> TrainResult | None:
    """The result of a training whose files are all as it left them; the hash of the model is in it."""
    if not (run.files.training_sums.is_file() or run.files.training_result.is_file()):
        return None
    if (problem := training_damage(run.files)) is None:
        return TrainResult.model_validate(read_json(run.files.training_result))
    announce("damaged:", f"{problem}. The model is trained again")
    return None


def predict_items(run: RunRef, plan: RunPlan, listener: Listener) -> PredictResult:
    """Write predictions.jsonl with the model that the run judges, in a process of its own. What was predicted
    is not predicted again.

    Args:
        run: the run.
        plan: a baseline plan judges the plan's model, a training plan the run's own `model/`.
        listener: gets progress in items.
    """
    if (done := finished_predictions(run)) is not None:
        return done
    return infer(prediction_job(run, plan), run.run_id, run.files.log, listener)


def prediction_job(run: RunRef, plan: RunPlan) -> PredictSpec:
    """What inference is asked for a run."""
    trained = plan.training is not None
    return PredictSpec(
        model=run.files.model if trained else plan.model.path,
        dataset=run.files.dataset,
        output=run.directory,
        label=f"predict ({plan.judged_model}) on {plan.dataset.name}",
        generation=plan.generation,
        prompt=plan.prompt,
        served=plan.model.served,
        sign_in=plan.generation.endpoint.sign_in if plan.generation.endpoint else None,
    )


def infer(spec: PredictSpec, run_id: str, log: Path, listener: Listener) -> PredictResult:
    """Predict in a process of its own, which waits until its device is free.

    Args:
        spec: the job.
        run_id: of the run, for those who wait for the device.
        log: file for what the libraries print.
        listener: gets progress.

    Raises:
        HallmarkError: the child's own error.
    """
    generation = spec.generation
    here = spec.served is None  # else another machine computes, and nobody here has to wait
    device = own_device(f"inference, run {run_id}", listener, cpu=generation.device == "cpu")
    with device if here else nullcontext(()) as locks:
        return run_child(
            INFERENCE,
            spec,
            PredictResult,
            threads=generation.threads,
            log=log,
            listener=listener,
            keep=locks,
            python=engine_python(generation),
        )


def finished_predictions(run: RunRef) -> PredictResult | None:
    """What inference gave, where its files are as it left them."""
    sealed, begun = run.files.predictions_sums.is_file(), run.files.predictions_partial.is_file()
    if not sealed and (begun or not run.files.predictions_meta.is_file()):
        return None
    if (problem := predictions_damage(run.files)) is not None:
        announce("damaged:", f"{problem}. The predictions are made again")
        return None
    run.files.predictions_partial.unlink(missing_ok=True)  # of a job that was killed before it could
    meta = PredictionMeta.model_validate(read_json(run.files.predictions_meta))
    return PredictResult(
        predictions_sha256=meta.predictions_sha256, items=meta.items, resumed=meta.items, seconds=0.0
    )


class Judging(Protocol):
    """The part of a plan that says who judges what."""

    @property
    def judge(self) -> str:
        """As NAME@vN."""

    @property
    def judge_fingerprint(self) -> str:
        """What its code was when the plan was made."""

    @property
    def prompt(self) -> ResolvedPrompt:
        """How the model was asked."""

    @property
    def generation(self) -> GenerationConfig:
        """How the predictions were made."""


class Judged:
    """What judging found, handed on to be recorded.

    A plain class on purpose: Prefect looks for futures inside dataclasses and models, item by item.

    Attributes:
        files: of the run; predictions and scores stay in them, so that they need not be in memory together.
        items: how many were judged.
        predictions_sha256: of predictions.jsonl.
        scores_sha256: of scores.jsonl.
        predictions_meta: the content of predictions_meta.json.
        metrics: aggregates of the scores.
    """

    __slots__ = ("files", "items", "metrics", "predictions_meta", "predictions_sha256", "scores_sha256")

    def __init__(
        self,
        files: RunFiles,
        *,
        items: int,
        predictions_sha256: str,
        predictions_meta: Mapping[str, Any],
        metrics: MetricsSnapshot,
    ) -> None:
        self.files = files
        self.items = items
        self.predictions_sha256 = predictions_sha256
        self.scores_sha256 = sha256_file(files.scores)
        self.predictions_meta = predictions_meta
        self.metrics = metrics

    def rows(self) -> Iterator[PredictionRow]:
        """Every prediction with its score, in dataset order, read from the files.

        Raises:
            IntegrityError: one is no longer as it was judged.
        """
        for path, sha256 in (
            (self.files.predictions, self.predictions_sha256),
            (self.files.scores, self.scores_sha256),
        ):
            if (found := sha256_file(path)) != sha256:
                raise IntegrityError(
                    f"{path}: changed since it was judged: expected sha256 {sha256}, found {found}."
                )
        both = (read_jsonl(path, any_text=True) for path in (self.files.predictions, self.files.scores))
        for (_, said), (_, score) in zip(*both, strict=True):
            written = said["predictions"] if "predictions" in said else said["prediction"]
            yield prediction_row(Score.model_validate(score), written)


def judge_run(run: RunRef, plan: Judging) -> Judged:
    """Score every prediction and write scores.jsonl and metrics.json.

    Args:
        run: its files hold dataset and predictions.
        plan: says who judges.

    Raises:
        InputError: a prediction is missing, doubled or unknown; a missing one is an error, never a score of
            zero.
        JudgeError: the judge failed on items; all of them are in judge_errors.jsonl, and neither scores nor
            metrics are written.
        IntegrityError: predictions.jsonl is not the file that inference wrote, or the judge is not the one
            that was planned with.
    """
    predictions_sha256 = check_predictions_sha256(run)
    recorded = read_json(run.files.predictions_meta)
    meta = PredictionMeta.model_validate(recorded)
    summary, log_probs = Summary(meta.reached_max_new_tokens, meta.cut_samples), list[LogProb | None]()

    def lines() -> Iterator[dict[str, Any]]:
        for item, written, score in _scored(run, plan, meta):
            summary.add(item, score)
            if plan.generation.output == "log_probs":
                log_probs.extend(map(_of_reference, texts_of(written)))
            yield score_line(score)

    write_jsonl(run.files.scores, lines())
    snapshot = summary.snapshot(
        plan.judge.partition("@")[0],
        truncated_prompts=None if "truncated_prompts" in meta.unknown else meta.truncated_prompts,
        log_probs=[each for each in log_probs if each is not None] if None not in log_probs else (),
    )
    if CUT_OFF in meta.unknown:
        snapshot = snapshot.model_copy(update={"truncated": None})
    write_json(run.files.metrics, snapshot.model_dump())
    return Judged(
        run.files,
        items=len(summary.scores),
        predictions_sha256=predictions_sha256,
        predictions_meta=recorded,
        metrics=snapshot,
    )


def _of_reference(text: str) -> LogProb | None:
    """The log-probability of an item's reference; None where the item offers choices."""
    found = read_log_probs(text)
    return found if isinstance(found, LogProb) else None


def score_line(score: Score) -> dict[str, Any]:
    """A line of scores.jsonl: `rung` only where the judge says one, and `samples` only where there are
    several, so that other files keep their bytes.
    """
    samples = [_sample_line(sample) for sample in score.samples or ()]
    line = _sample_line(score) | ({"samples": samples} if samples else {})
    return {"trace_id": score.trace_id, **line}


def _sample_line(score: SampleScore) -> dict[str, Any]:
    said = {"score": score.score, "extracted": score.extracted, "reason": score.reason}
    return said if score.rung is None else {**said, "rung": score.rung}


def cut_warning(judged: Judged, generation: GenerationConfig) -> str | None:
    """That many answers were cut off, in a sentence, so that it is known before hours of training; None where
    few were.

    Args:
        judged: what judging found.
        generation: how they were made.
    """
    truncated, answers = judged.metrics.truncated, judged.items * generation.samples
    if truncated is None or truncated.completions <= CUT_SHARE * answers:
        return None
    right = truncated.completions - truncated.completions_below_one
    return (
        f"{truncated.completions} of {answers} answers reached generation.max_new_tokens = "
        f"{generation.longest} ({right} of them right all the same); the gate asks for a gain without them"
    )


def _scored(run: RunRef, plan: Judging, meta: PredictionMeta) -> Iterator[tuple[Item, Written, Score]]:
    """Every item with what the model wrote and its score, in dataset order, one in memory at a time."""
    judge = load_judge(plan.judge)
    if (found := judge_fingerprint(judge)) != plan.judge_fingerprint:
        raise IntegrityError(
            f"judge {plan.judge}: its code changed while the run was under way: fingerprint "
            f"{plan.judge_fingerprint} was planned, "
            f"{found} is installed. Start the run again."
        )
    mark, latest = plan.prompt.config.thinking_end, list[tuple[Item, Written]]()

    def closed(item: Item) -> bool:
        return is_closed(meta.thinking_closed, item.trace_id)

    def pairs() -> Iterator[tuple[Item, Written]]:
        written = each_prediction(
            run.files.predictions, lambda: read_items(run.files.dataset), plan.generation.samples
        )
        for item, texts in written:
            latest[:] = [(item, texts)]
            yield item, answer_of(texts, mark, closed=closed(item))

    try:
        for score in judge_pairs(pairs(), judge, meta.items):
            [(item, texts)] = latest
            yield item, texts, unfinished_named(score, texts, mark, closed=closed(item))
    except JudgeError as error:
        write_jsonl(
            run.files.judge_errors,
            ({"trace_id": id_, "error": problem} for id_, problem in error.failures.items()),
        )
        remedy = (
            f"All of them are in {run.files.judge_errors}. The predictions are kept: when the judge is "
            f"repaired, `hallmark rejudge {run.run_id} --judge {shlex.quote(plan.judge)}` judges them "
            "without predicting again."
        )
        raise JudgeError(plan.judge, error.failures, meta.items, remedy) from error
    run.files.judge_errors.unlink(missing_ok=True)


def check_predictions_sha256(run: RunRef) -> str:
    """Compare predictions.jsonl with the hash in predictions_meta.json; gives the hash.

    Raises:
        IntegrityError: they differ.
    """
    expected = str(read_json(run.files.predictions_meta)["predictions_sha256"])
    if not run.files.predictions.is_file():
        raise InputError(
            f"{run.files.predictions}: missing. Run the experiment again; it continues from what is there."
        )
    if (found := sha256_file(run.files.predictions)) != expected:
        raise IntegrityError(
            f"{run.files.predictions}: changed since it was written: expected sha256 {expected}, found "
            f"{found}."
        )
    return expected


def record_run(run: RunRef, plan: RunPlan, judged: Judged, registry: Registry) -> None:
    """Put metrics, predictions and scores into the registry, in one transaction, and mark the run finished.

    The trained weights are hashed here, after they were judged: what is recorded is what made the
    predictions. In a store that other machines may read they are kept, so that those can promote them; the
    home's own store would only hold them twice on this disk.
    """
    store, model_sha256 = registry.artifacts, plan.model.sha256
    if plan.training is not None:
        shared = store.shared
        model_sha256 = store.put(run.files.model, checkout=False) if shared else sha256_tree(run.files.model)
    evaluation_sha256 = plan.evaluation_sha256(model_sha256)
    record_judged(run, judged, registry, model_sha256=model_sha256, evaluation_sha256=evaluation_sha256)
    if plan.training and store.shared and not store.has(model_sha256):
        store.put(run.files.model, checkout=False)  # garbage collection came between: no run named them yet


def record_judged(
    run: RunRef, judged: Judged, registry: Registry, *, model_sha256: str, evaluation_sha256: str
) -> None:
    """The same, for weights that are known.

    Args:
        run: a run that is under way.
        judged: what judging found.
        registry: where it is recorded.
        model_sha256: of the weights that were judged.
        evaluation_sha256: hash of every input that decides the scores.
    """
    registry.runs.finish(
        run.run_id,
        model_sha256=model_sha256,
        evaluation_sha256=evaluation_sha256,
        predictions_sha256=judged.predictions_sha256,
        metrics=metric_rows(judged.metrics),
        predictions_meta=dict(judged.predictions_meta),
        files=left_files(run.files),
        predictions=judged.rows(),
    )


def prediction_row(score: Score, written: Written) -> PredictionRow:
    """A prediction with its score as a row of the registry. Of several samples the first that gives the
    answer of most of them stands for all.
    """
    samples = None
    if score.samples is not None:
        samples = [
            {"prediction": text, **_sample_line(sample)}
            for text, sample in zip(written, score.samples, strict=True)
        ]
    text = written if isinstance(written, str) else written[majority(score.samples or ())]
    return PredictionRow(
        score.trace_id, text, score.score, score.extracted, score.reason, score.rung, samples
    )


def metric_rows(snapshot: MetricsSnapshot) -> list[MetricRow]:
    """The snapshot as rows of the registry; an empty category means overall."""
    groups = {"": snapshot.overall, **snapshot.categories}
    return [
        MetricRow(name, metric.value, metric.n, category, metric.ci_low, metric.ci_high, metric.method)
        for category, metrics in groups.items()
        for name, metric in metrics.items()
    ]
