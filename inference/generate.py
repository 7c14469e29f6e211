"""Greedy predictions for every item of a dataset, resumable and independent of batch size."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import InputError, ResourceError
from core.files import sha256_bytes, sha256_file, sha256_tensors, write_json, write_jsonl
from core.progress import Listener, Meter
from golden.datasets import read_items
from golden.rendering import encode_prompt, prompt_template_id
from golden.schema import Item
from inference.contract import PredictionMeta, PredictResult, PredictSpec
from inference.loading import generation_config, load, tokenizer_sha256
from inference.partial import PartialPredictions, Row


@dataclass(frozen=True)
class Prompt:
    """An item's prompt as token ids, cut on the left where it was longer than the context."""

    trace_id: str
    tokens: list[int]
    truncated: bool


def predict(spec: PredictSpec, listener: Listener) -> PredictResult:
    """Write predictions.jsonl and predictions_meta.json for a dataset.

    Batches wait in a queue. One that does not fit into the GPU's memory goes back to its front as two halves.

    Args:
        spec: the job.
        listener: gets progress in items.

    Raises:
        InputError: a prompt is longer than the context and the setting is to refuse it.
        IntegrityError: the weights are damaged.
        ResourceError: no GPU though one was asked for, or too little memory on it for a single prompt.
    """
    import torch

    items = list(read_items(spec.dataset))
    tokenizer, model, device = load(spec)
    config = generation_config(model, tokenizer, spec.generation.longest)
    prompts = _prompts(items, tokenizer, model, spec)
    tensors = _tensors(spec.model)
    partial = PartialPredictions(spec.output / "predictions.partial.jsonl", _identity(spec, tensors))
    rows = partial.read()
    resumed = len(rows)
    meter = Meter(spec.label, len(items), "items", listener)
    meter.update(resumed)
    started = time.monotonic()
    batch_size_used = spec.generation.batch_size
    waiting = deque(length_sorted_batches([p for p in prompts if p.trace_id not in rows], batch_size_used))
    while waiting:
        batch = waiting.popleft()
        made: list[Row] | None = None
        try:
            inputs = left_padded(batch, tokenizer).to(device)
            with torch.inference_mode():
                output = model.generate(
                    input_ids=inputs["input_ids"],
                    attention_mask=inputs["attention_mask"],
                    generation_config=config,
                )
            made = completions(batch, output[:, inputs["input_ids"].shape[1] :].tolist(), tokenizer, config)
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
        rows.update({row.trace_id: row for row in made})
        meter.update(len(rows))
    seconds = time.monotonic() - started
    ordered = [rows[item.trace_id] for item in items]
    meta = _write(
        spec,
        prompts,
        ordered,
        weights_bytes=sum(size for _, size, _ in tensors),
        tensors_sha256=sha256_tensors(spec.model),
        generation=_recorded(config),
        prompt_template=prompt_template_id(tokenizer),
        device=device,
        batch_size_used=batch_size_used,
        timing=_timing(seconds, ordered[resumed:] if resumed else ordered),
    )
    partial.remove()
    return PredictResult(
        predictions_sha256=meta.predictions_sha256, items=len(items), resumed=resumed, seconds=seconds
    )


def _prompts(items: Sequence[Item], tokenizer: Any, model: Any, spec: PredictSpec) -> list[Prompt]:
    """Every item's prompt, cut on the left to leave room for the longest completion.

    Raises:
        InputError: no room is left, or a prompt must be cut and the setting is to refuse that.
    """
    settings = spec.generation
    context = int(getattr(model.config.get_text_config(), "max_position_embeddings", 1 << 30))
    room = context - settings.longest
    if room < 1:
        raise InputError(
            f"generation.max_new_tokens: {settings.max_new_tokens} leaves no room for a prompt "
            f"in a context of {context} tokens."
        )
    encoded = [(item.trace_id, encode_prompt(tokenizer, item, spec.prompt)) for item in items]
    prompts = [Prompt(trace_id, tokens[-room:], truncated=len(tokens) > room) for trace_id, tokens in encoded]
    cut = [prompt.trace_id for prompt in prompts if prompt.truncated]
    if cut and settings.on_truncation == "refuse":
        raise InputError(
            f"{len(cut)} prompts are longer than the context, the first is {cut[0]}. "
            "Lower generation.max_new_tokens, shorten the prompts, or set generation.on_truncation to record."
        )
    return prompts


def length_sorted_batches(prompts: Sequence[Prompt], size: int) -> Iterator[list[Prompt]]:
    """Batches of prompts of like length, longest first: little padding; too large a batch fails at once."""
    ordered = sorted(prompts, key=lambda prompt: (-len(prompt.tokens), prompt.trace_id))
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]


def left_padded(batch: Sequence[Prompt], tokenizer: Any) -> Any:
    """Prompts as tensors, padded on the left, so that all completions of the batch begin at the same place.

    Padding is masked and positions are counted from the first real token, so it changes no prediction.

    Returns:
        `input_ids` and `attention_mask`, int64 [batch, time]; the mask is 0 on padding.
    """
    return tokenizer.pad({"input_ids": [prompt.tokens for prompt in batch]}, return_tensors="pt")


def completions(batch: Sequence[Prompt], written: list[list[int]], tokenizer: Any, config: Any) -> list[Row]:
    """What the model wrote, as text, up to its end.

    Args:
        batch: the prompts.
        written: the new token ids of each, all of the same length: what follows an end is padding.
        tokenizer: decodes them.
        config: names the tokens that end a completion.
    """
    ends = set(config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id])
    rows = []
    for prompt, tokens in zip(batch, written, strict=True):
        end = next((place for place, token in enumerate(tokens) if token in ends), None)
        kept = tokens[:end]
        text = tokenizer.decode(kept, skip_special_tokens=True)
        rows.append(Row(trace_id=prompt.trace_id, prediction=text, tokens=len(kept), cut_off=end is None))
    return rows


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
    path = spec.output / "predictions.jsonl"
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
    write_json(spec.output / "predictions_meta.json", meta.model_dump())
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
