"""Greedy predictions for every item of a dataset, resumable and independent of batch size."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import InputError, ResourceError
from core.files import sha256_bytes, sha256_file, write_json, write_jsonl
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

    Args:
        spec: the job.
        listener: gets progress in items.

    Raises:
        InputError: a prompt is longer than the context and the setting is to refuse it.
        IntegrityError: the weights are damaged.
        ResourceError: no GPU though one was asked for, or its memory does not suffice for a single prompt.
    """
    items = list(read_items(spec.dataset))
    tokenizer, model, device = load(spec)
    config = generation_config(model, tokenizer, spec.generation.max_new_tokens)
    prompts = [_prompt(item, tokenizer, _room(model, spec)) for item in items]
    _check_truncation(prompts, spec)
    partial = PartialPredictions(spec.output / "predictions.partial.jsonl", _identity(spec))
    rows = partial.read()
    resumed = len(rows)
    meter = Meter(spec.label, len(items), "items", listener)
    meter.update(resumed)
    started, smallest = time.monotonic(), spec.generation.batch_size
    for batch in length_sorted_batches([p for p in prompts if p.trace_id not in rows], spec.generation.batch_size):
        for part, made in _generate_within_memory(model, tokenizer, config, batch, device):
            smallest = min(smallest, part) if part < len(batch) else smallest
            partial.append(made)
            rows.update({row.trace_id: row for row in made})
            meter.update(len(rows))
    seconds = time.monotonic() - started
    path = spec.output / "predictions.jsonl"
    write_jsonl(path, ({"trace_id": item.trace_id, "prediction": rows[item.trace_id].prediction} for item in items))
    digest = sha256_file(path)
    ordered = [rows[item.trace_id] for item in items]
    meta = PredictionMeta(
        generation=_recorded(config),
        prompt_template=prompt_template_id(tokenizer),
        tokenizer_sha256=tokenizer_sha256(spec.model),
        device=device,
        dtype=spec.generation.dtype,
        threads=spec.generation.threads,
        items=len(items),
        prompt_tokens=sum(len(prompt.tokens) for prompt in prompts),
        completion_tokens=sum(row.tokens for row in ordered),
        truncated_prompts=[prompt.trace_id for prompt in prompts if prompt.truncated],
        reached_max_new_tokens=[row.trace_id for row in ordered if row.cut_off],
        batch_size_used=smallest,
        predictions_sha256=digest,
        timing=_timing(seconds, ordered[resumed:] if resumed else ordered),
    )
    write_json(spec.output / "predictions_meta.json", meta.model_dump())
    partial.remove()
    return PredictResult(predictions_sha256=digest, items=len(items), resumed=resumed, seconds=seconds)


def _recorded(config: Any) -> dict[str, Any]:
    return {name: getattr(config, name) for name in ("do_sample", "num_beams", "max_new_tokens", "eos_token_id", "pad_token_id")}


def _room(model: Any, spec: PredictSpec) -> int:
    """How many tokens a prompt may have: the context less the longest completion."""
    context = int(getattr(model.config.get_text_config(), "max_position_embeddings", 1 << 30))
    room = context - spec.generation.max_new_tokens
    if room < 1:
        raise InputError(
            f"generation.max_new_tokens: {spec.generation.max_new_tokens} leaves no room for a prompt in a context of {context} tokens."
        )
    return room


def _prompt(item: Item, tokenizer: Any, room: int) -> Prompt:
    tokens = encode_prompt(tokenizer, item.prompt)
    return Prompt(item.trace_id, tokens[-room:], len(tokens) > room)


def _check_truncation(prompts: Sequence[Prompt], spec: PredictSpec) -> None:
    cut = [prompt.trace_id for prompt in prompts if prompt.truncated]
    if cut and spec.generation.on_truncation == "refuse":
        raise InputError(
            f"{len(cut)} prompts are longer than the context, the first is {cut[0]}. Lower generation.max_new_tokens, shorten the prompts, "
            "or set generation.on_truncation to record."
        )


def length_sorted_batches(prompts: Sequence[Prompt], size: int) -> Iterator[list[Prompt]]:
    """Batches of prompts of like length, longest first, so that little is padded and too large a batch shows at once."""
    ordered = sorted(prompts, key=lambda prompt: (-len(prompt.tokens), prompt.trace_id))
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]


def _generate_within_memory(model: Any, tokenizer: Any, config: Any, batch: list[Prompt], device: str) -> Iterator[tuple[int, list[Row]]]:
    """Generate a batch, halving it for as long as the card's memory does not suffice. Yields the size used and the rows."""
    import torch

    try:
        made = _generate(model, tokenizer, config, batch, device)
    except torch.cuda.OutOfMemoryError as error:
        if len(batch) == 1:
            raise ResourceError(f"item {batch[0].trace_id}: the GPU's memory does not suffice for a single prompt: {error}") from error
        made = None
    if made is not None:
        yield len(batch), made
        return
    torch.cuda.empty_cache()
    half = len(batch) // 2
    for part in (batch[:half], batch[half:]):
        yield from _generate_within_memory(model, tokenizer, config, part, device)


def _generate(model: Any, tokenizer: Any, config: Any, batch: list[Prompt], device: str) -> list[Row]:
    import torch

    encoded = tokenizer.pad({"input_ids": [prompt.tokens for prompt in batch]}, return_tensors="pt").to(device)
    with torch.inference_mode():
        output = model.generate(input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"], generation_config=config)
    ends = set(config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id])
    written = output[:, encoded["input_ids"].shape[1] :].tolist()
    return [_row(prompt, tokens, ends, tokenizer) for prompt, tokens in zip(batch, written, strict=True)]


def _row(prompt: Prompt, tokens: list[int], ends: set[int], tokenizer: Any) -> Row:
    end = next((place for place, token in enumerate(tokens) if token in ends), None)
    kept = tokens if end is None else tokens[:end]
    return Row(trace_id=prompt.trace_id, prediction=tokenizer.decode(kept, skip_special_tokens=True), tokens=len(kept), cut_off=end is None)


def _identity(spec: PredictSpec) -> str:
    """What must be equal for a partial file to be continued: everything but the batch size."""
    weights = [(path.name, sha256_file(path)) for path in sorted(spec.model.glob("*.safetensors"))]
    settings = spec.generation.model_dump(exclude={"batch_size"})
    return sha256_bytes(repr((weights, tokenizer_sha256(spec.model), sha256_file(spec.dataset), sorted(settings.items()))).encode())


def _timing(seconds: float, rows: Sequence[Row]) -> dict[str, float]:
    tokens = sum(row.tokens for row in rows)
    return {
        "seconds": round(seconds, 3),
        "items_per_second": round(len(rows) / seconds, 2) if seconds else 0.0,
        "tokens_per_second": round(tokens / seconds, 1) if seconds else 0.0,
    }
