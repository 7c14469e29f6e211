"""Greedy predictions for every item of a dataset, resumable and independent of batch size."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.errors import ResourceError
from core.files import sha256_bytes, sha256_file, write_json, write_jsonl
from core.progress import Listener, Meter, announce
from core.sealed import seal
from core.tensors import sha256_tensors
from golden.datasets import read_items
from golden.rendering import Renderer
from inference.batching import Prompt, batches, find_batching, left_padded
from inference.contract import META, PARTIAL, PREDICTIONS, SUMS, PredictionMeta, PredictResult, PredictSpec
from inference.decoding import TokenProgress, Writing, generation_config, pad_token
from inference.finite import FiniteLogits
from inference.loading import context_length, embedding_rows, load, tokenizer_sha256
from inference.partial import PartialPredictions, Row
from inference.prompts import make_prompts


def predict(spec: PredictSpec, listener: Listener) -> PredictResult:
    """Write predictions.jsonl and predictions_meta.json for a dataset.

    Batches wait in a queue. One that does not fit into the GPU's memory goes back to its front as two halves.

    Args:
        spec: the job.
        listener: gets progress in items.

    Raises:
        InputError: a prompt cannot be rendered, or is longer than the context and the setting is to refuse
            it; nothing says where an answer ends; a prompt holds a token that the model has no embedding for;
            or the model computes NaN.
        IntegrityError: the weights are damaged.
        ResourceError: no GPU though one was asked for, or too little memory on it for a single prompt.
    """
    import torch

    items = list(read_items(spec.dataset))
    tokenizer, model, device = load(spec)
    renderer = Renderer(tokenizer, spec.prompt)
    rows = embedding_rows(model)
    for note in renderer.notes():
        announce("prompt:", note)
    context = context_length(model.config)
    prompts = make_prompts(items, renderer, spec.generation, context=context, rows=rows)
    pad = pad_token(tokenizer, renderer.ends, rows)
    writing = Writing(tokenizer, renderer.ends, spec.prompt.config.stop)
    config = generation_config(renderer.ends, pad, spec.generation.longest)
    model.generation_config = config
    finite = FiniteLogits(config, spec.generation.dtype)
    batching = find_batching(model, prompts, pad, spec.generation.longest)
    tensors = _tensors(spec.model)
    partial = PartialPredictions(spec.output / PARTIAL, _identity(spec, tensors))
    done = partial.read()
    resumed = len(done)
    meter = Meter(spec.label, len(items), "items", listener)
    meter.update(resumed)
    started = time.monotonic()
    batch_size_used = spec.generation.batch_size
    left = [prompt for prompt in prompts if prompt.trace_id not in done]
    waiting = deque(batches(left, batch_size_used, batching))
    while waiting:
        batch = waiting.popleft()
        made: list[Row] | None = None
        try:
            ids, mask = (each.to(device) for each in left_padded([each.tokens for each in batch], pad))
            finite.begin([prompt.trace_id for prompt in batch], ids.shape[1])
            told = TokenProgress(meter, len(done), ids.shape[1], spec.generation.longest)
            with torch.inference_mode():
                output = model.generate(
                    input_ids=ids,
                    attention_mask=mask,
                    generation_config=config,
                    stopping_criteria=writing.stopping_criteria(ids.shape[1]),
                    logits_processor=[finite, told],
                )
            made = writing.completions(batch, output[:, ids.shape[1] :].tolist())
        except torch.cuda.OutOfMemoryError as error:
            _refuse_single(batch, error)
        if made is None:
            # Not in the handler above: there the traceback still holds what the failed attempt had allocated.
            torch.cuda.empty_cache()
            half = len(batch) // 2
            waiting.extendleft((batch[half:], batch[:half]))  # the first half will be the next batch
            batch_size_used = min(batch_size_used, half)
            continue
        partial.append(made)
        done.update({row.trace_id: row for row in made})
        meter.update(len(done))
    seconds = time.monotonic() - started
    ordered = [done[item.trace_id] for item in items]
    meta = _write(
        spec,
        prompts,
        ordered,
        weights_bytes=sum(size for _, size, _ in tensors),
        tensors_sha256=sha256_tensors(spec.model),
        generation=_recorded(config),
        prompt_template=renderer.template.id,
        template_name=renderer.template.name,
        date=str(renderer.template.date) if renderer.template.prints_date else None,
        stop=spec.prompt.config.stop,
        thinking_closed=any(map(renderer.closes_thinking, items[:1])),
        batching=batching,
        device=device,
        batch_size_used=batch_size_used,
        timing=_timing(seconds, ordered[resumed:] if resumed else ordered),
    )
    seal(spec.output / SUMS, [spec.output / PREDICTIONS, spec.output / META])
    partial.remove()
    return PredictResult(
        predictions_sha256=meta.predictions_sha256, items=len(items), resumed=resumed, seconds=seconds
    )


def _refuse_single(batch: Sequence[Prompt], error: Exception) -> None:
    """Raises a ResourceError where a batch that does not fit cannot be halved."""
    if len(batch) == 1:
        raise ResourceError(
            f"item {batch[0].trace_id}: the GPU has too little memory for a single prompt: {error}"
        ) from error


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
    meta = PredictionMeta(
        tokenizer_sha256=tokenizer_sha256(spec.model),
        dtype=spec.generation.dtype,
        threads=spec.generation.threads,
        items=len(rows),
        prompt_tokens=sum(len(prompt.tokens) for prompt in prompts),
        completion_tokens=sum(row.tokens for row in rows),
        truncated_prompts=[prompt.trace_id for prompt in prompts if prompt.truncated],
        reached_max_new_tokens=[row.trace_id for row in rows if row.cut_off],
        predictions_sha256=sha256_file(path),
        **about,
    )
    write_json(spec.output / META, meta.model_dump())
    return meta


def _recorded(config: Any) -> dict[str, Any]:
    names = ("do_sample", "num_beams", "max_new_tokens", "eos_token_id", "pad_token_id")
    return {name: getattr(config, name) for name in names}


def _tensors(model: Path) -> list[tuple[str, int, str]]:
    """Name, size in bytes and sha256 of each safetensors file."""
    return [
        (path.name, path.stat().st_size, sha256_file(path)) for path in sorted(model.glob("*.safetensors"))
    ]


def _identity(spec: PredictSpec, tensors: Sequence[tuple[str, int, str]]) -> str:
    """What must be equal for a partial file to be continued: everything but the batch size."""
    weights = [(name, sha256) for name, _, sha256 in tensors]
    settings = [*sorted(spec.generation.model_dump(exclude={"batch_size"}).items()), spec.prompt.recorded()]
    return sha256_bytes(
        repr((weights, tokenizer_sha256(spec.model), sha256_file(spec.dataset), settings)).encode()
    )


def _timing(seconds: float, rows: Sequence[Row]) -> dict[str, float]:
    tokens = sum(row.tokens for row in rows)
    return {
        "seconds": round(seconds, 3),
        "items_per_second": round(len(rows) / seconds, 2) if seconds else 0.0,
        "tokens_per_second": round(tokens / seconds, 1) if seconds else 0.0,
    }
