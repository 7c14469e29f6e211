"""One training job from Hugging Face directory to Hugging Face directory."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from golden.datasets import read_items
from golden.rendering import encode_completion, encode_prompt
from golden.schema import Item
from hallmark.files import sha256_file, sha256_tree, write_jsonl
from hallmark.progress import Listener, Meter
from trainer.architecture import read_architecture
from trainer.contract import TrainResult, TrainSpec
from trainer.loop import StepRecord, train
from trainer.model_card import write_model_card
from trainer.packing import Example, batches, check_lengths
from trainer.weights import load_decoder, save_decoder

TAIL = 10


def run_training(spec: TrainSpec, listener: Listener) -> TrainResult:
    """Fine-tune `spec.base` and write the result to `spec.output / "model"`.

    Args:
        spec: the job.
        listener: gets progress in steps, with loss and tokens a second.

    Raises:
        InputError: the base cannot be trained, or a training item does not fit.
        IntegrityError: the base's weights are damaged.
        HallmarkError: the loss became NaN.
    """
    started = time.monotonic()
    arch = read_architecture(spec.base)
    model = load_decoder(spec.base, arch)
    examples = list(encode(_tokenizer(spec.base), read_items(spec.dataset)))
    check_lengths(examples, spec.config.sequence_length)
    stream = batches(examples, batch=spec.config.batch_size, length=spec.config.sequence_length, seed=spec.config.seed)
    records: list[StepRecord] = []
    meter = Meter("train", spec.config.steps, "steps", listener)
    meter.update(0)

    def on_step(record: StepRecord) -> None:
        records.append(record)
        meter.update(record.step, note=f"loss {record.loss:.3f}")

    trained = train(model, stream, spec.config, on_step)
    target = spec.output / "model"
    save_decoder(trained, spec.base, target, lambda folder: write_model_card(folder, spec, sha256_file(spec.dataset), records[-1]))
    write_jsonl(spec.output / "training.jsonl", (asdict(record) for record in records))
    tail = records[-TAIL:]
    return TrainResult(
        model_sha256=sha256_tree(target),
        steps=len(records),
        first_loss=records[0].loss,
        last_loss=sum(record.loss for record in tail) / len(tail),
        loss_tokens=sum(record.loss_tokens for record in records),
        seconds=time.monotonic() - started,
    )


def _tokenizer(directory: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)


def encode(tokenizer: Any, items: Iterable[Item]) -> Iterable[Example]:
    """Items to token ids: prompt, then completion ended by the end-of-sequence token."""
    for item in items:
        prompt = encode_prompt(tokenizer, item.prompt)
        yield Example(item.trace_id, prompt + encode_completion(tokenizer, item.steps, item.final_answer), len(prompt))
