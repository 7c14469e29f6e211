"""Predictions for every item of a dataset, by any engine: resumable, and independent of batch size."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import islice
from typing import Any

from core.files import sha256_bytes, sha256_file, write_json, write_jsonl
from core.progress import Listener, Meter
from core.sealed import seal
from golden.datasets import read_items
from inference.asking import weights
from inference.batching import Prompt
from inference.contract import META, PARTIAL, PREDICTIONS, SUMS, PredictionMeta, PredictResult, PredictSpec
from inference.engines import Request, load_engine
from inference.loading import tokenizer_sha256
from inference.partial import PartialPredictions, Row


def predict(spec: PredictSpec, listener: Listener) -> PredictResult:
    """Write predictions.jsonl and predictions_meta.json for a dataset.

    Args:
        spec: the job.
        listener: gets progress in completions.

    Raises:
        InputError: a prompt cannot be rendered, or is longer than the context and the setting is to refuse
            it; nothing says where an answer ends; a prompt holds a token that the model has no embedding for;
            or the model computes NaN.
        IntegrityError: the weights are damaged.
        ResourceError: no GPU though one was asked for, or too little memory on it for a single prompt.
    """
    first, last = spec.part or (0, None)
    items = list(islice(read_items(spec.dataset), first, last))
    engine = load_engine(spec)
    prompts = engine.prompts(items)
    if prompts:
        engine.begin(*(choose(prompts, key=_size) for choose in (min, max)))
    partial = PartialPredictions(spec.output / PARTIAL, _identity(spec))
    done = partial.read()
    resumed = len(done)
    requests = [Request(prompt, sample) for prompt in prompts for sample in range(spec.generation.samples)]
    meter = Meter(spec.label, len(requests), "items", listener)
    meter.update(resumed)
    started = time.monotonic()
    left = [each for each in requests if each.key not in done]
    for made in engine.complete(left, lambda note: meter.update(len(done), note=note)):
        partial.append(made)
        done.update({row.key: row for row in made})
        meter.update(len(done))
    seconds = time.monotonic() - started
    ordered = [done[each.key] for each in requests]
    timing = _timing(seconds, ordered[resumed:] if resumed else ordered)
    meta = _write(spec, prompts, ordered, timing=timing, **engine.about(items))
    seal(spec.output / SUMS, [spec.output / PREDICTIONS, spec.output / META])
    partial.remove()
    return PredictResult(
        predictions_sha256=meta.predictions_sha256, items=len(items), resumed=resumed, seconds=seconds
    )


def _size(prompt: Prompt) -> tuple[int, str]:
    return len(prompt.tokens), prompt.trace_id


def _write(spec: PredictSpec, prompts: Sequence[Prompt], rows: Sequence[Row], **about: Any) -> PredictionMeta:
    """Write predictions.jsonl, in dataset order, and beside it predictions_meta.json.

    Args:
        spec: the job.
        prompts: what was asked, in dataset order.
        rows: what was answered, in dataset order.
        about: the fields of `PredictionMeta` that follow from none of these.
    """
    path = spec.output / PREDICTIONS
    write_jsonl(path, ({"trace_id": row.trace_id, "prediction": row.prediction} for row in rows))
    counted = sum(row.prompt_tokens or 0 for row in rows if row.sample == 0)
    known = {
        "dtype": spec.generation.dtype,
        "threads": spec.generation.threads,
        "items": len(rows),
        "prompt_tokens": sum(len(prompt.tokens) for prompt in prompts) or counted,
        "completion_tokens": sum(row.tokens for row in rows),
        "truncated_prompts": [prompt.trace_id for prompt in prompts if prompt.truncated],
        "reached_max_new_tokens": [row.trace_id for row in rows if row.cut_off],
        "ended_otherwise": {row.trace_id: row.ended for row in rows if row.ended is not None},
        "predictions_sha256": sha256_file(path),
    }
    meta = PredictionMeta(**{**known, **about})
    write_json(spec.output / META, meta.model_dump())
    return meta


def _identity(spec: PredictSpec) -> str:
    """What must be equal for a partial file to be continued: everything but what changes speed alone."""
    if spec.model is None:
        model: tuple[Any, ...] = (spec.served,)  # its endpoint is one of the settings
    else:
        tensors = [(name, sha256) for name, _, sha256 in weights(spec.model)]
        model = (tensors, tokenizer_sha256(spec.model))
    chosen = spec.generation.model_dump(exclude={"batch_size", "shards"})
    settings = [*sorted(chosen.items()), spec.prompt.recorded(), spec.part]
    return sha256_bytes(repr((*model, sha256_file(spec.dataset), settings)).encode())


def _timing(seconds: float, rows: Sequence[Row]) -> dict[str, float]:
    tokens = sum(row.tokens for row in rows)
    return {
        "seconds": round(seconds, 3),
        "items_per_second": round(len(rows) / seconds, 2) if seconds else 0.0,
        "tokens_per_second": round(tokens / seconds, 1) if seconds else 0.0,
    }
