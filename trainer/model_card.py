"""The model card of a trained model. It holds no time and no run id: the same training is the same bytes."""

from __future__ import annotations

from pathlib import Path

from hallmark.files import atomic_writer
from trainer.contract import TrainSpec
from trainer.loop import StepRecord


def write_model_card(directory: Path, spec: TrainSpec, dataset_sha256: str, last: StepRecord) -> None:
    """Write README.md into a model directory.

    Args:
        directory: the model directory.
        spec: the training job.
        dataset_sha256: of the training file.
        last: record of the last step.
    """
    settings = "\n".join(f"| {name} | {value} |" for name, value in sorted(spec.config.model_dump().items()))
    text = f"""---
library_name: transformers
pipeline_tag: text-generation
tags: [hallmark]
---

# Fine-tuned from {spec.base_label}

Full fine-tuning with Hallmark (JAX, Flax NNX, Optax) on `{spec.dataset.stem}` (sha256 `{dataset_sha256}`), loss on the
completion only. Last step {last.step}: loss {last.loss:.4f} nats a token. How well it does is in the registry, beside
the version that was promoted.

| setting | value |
|---|---|
{settings}
"""
    with atomic_writer(directory / "README.md") as file:
        file.write(text.encode())
