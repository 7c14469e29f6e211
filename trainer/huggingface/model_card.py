"""The model card of a trained model. It holds no time and no run id: the same inputs give the same bytes."""

from __future__ import annotations

from pathlib import Path

from core.files import atomic_writer
from trainer.contract import TrainSpec
from trainer.curve import StepRecord
from trainer.data.tokens import Fitted

NEWER_SETTINGS = ("on_too_long", "mix", "epochs")
"""Listed only where they were chosen, so that the cards of older models keep their bytes."""


def write_model_card(
    directory: Path, spec: TrainSpec, dataset_sha256: str, last: StepRecord, fitted: Fitted
) -> None:
    """Write README.md into a model directory.

    Args:
        directory: the model directory.
        spec: the training job.
        dataset_sha256: sha256 of the training file.
        last: record of the step whose weights were kept.
        fitted: the traces, and how many were too long.
    """
    values = spec.config.model_dump(mode="json", exclude={"lora"} if spec.config.method == "full" else None)
    for name in NEWER_SETTINGS:
        if values[name] == type(spec.config).model_fields[name].get_default(call_default_factory=True):
            del values[name]
    settings = "\n".join(f"| {name} | {value} |" for name, value in sorted(values.items()))
    method = "Full fine-tuning" if spec.config.method == "full" else "LoRA, merged,"
    dataset = f"`{spec.dataset_label or spec.dataset.stem}` (sha256 `{dataset_sha256}`)"
    loss = f"Step {last.step}: loss {last.loss:.4f} nats a token."
    if fitted.dropped or fitted.truncated:
        lost = f"{fitted.dropped:,} were dropped and {fitted.truncated:,} cut off at the end"
        loss += f" Of the traces that were too long, {lost}."
    # The card is one of the model's files: with another text, the same training gives another model_sha256.
    text = f"""---
library_name: transformers
pipeline_tag: text-generation
tags: [hallmark]
---

# Fine-tuned from {spec.base_label}

{method} with Hallmark (JAX, Flax NNX, Optax) on {dataset}, loss on the
completion only. {loss} How well it does is in the registry, beside
the version that was promoted.

| setting | value |
|---|---|
{settings}
"""
    with atomic_writer(directory / "README.md") as file:
        file.write(text.encode())
