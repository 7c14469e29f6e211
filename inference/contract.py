"""How predictions are made: the settings, what the inference process is asked, and what it answers. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field

from core.config import Config


class GenerationConfig(Config):
    """How predictions are made. Greedy always; nothing here but `max_new_tokens` and `dtype` can change them."""

    max_new_tokens: int = Field(128, ge=1, le=32_768, description="Longest completion, in tokens.")
    batch_size: int = Field(
        64, ge=1, le=4096, description="Prompts per batch. Changes speed and memory, never predictions."
    )
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="float32 is the judged default; bfloat16 can change predictions."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="auto takes the GPU when there is one."
    )
    threads: int = Field(2, ge=1, le=256, description="CPU threads. Recorded, because it can change results.")
    on_truncation: Literal["record", "refuse"] = Field(
        "record", description="What to do with a prompt longer than the context."
    )


class PredictSpec(BaseModel):
    """One inference job.

    Attributes:
        model: a checked local model directory.
        dataset: the exported dataset.jsonl.
        output: the run's directory; predictions.jsonl and predictions_meta.json are written there.
        label: what the progress line says.
    """

    model: Path
    dataset: Path
    output: Path
    label: str
    generation: GenerationConfig


class PredictResult(BaseModel):
    """What inference produced.

    Attributes:
        predictions_sha256: of predictions.jsonl.
        items: number of predictions.
        resumed: how many were already there from an interrupted attempt.
        seconds: time spent generating.
    """

    predictions_sha256: str
    items: int
    resumed: int
    seconds: float


class PredictionMeta(BaseModel):
    """predictions_meta.json: how the predictions beside it came to be.

    Attributes:
        generation: the generation config as used, special token ids included.
        prompt_template: `plain@v1` or the hash of the chat template.
        tokenizer_sha256: of the tokenizer's files.
        truncated_prompts: ids of items whose prompt was cut on the left to fit the context.
        reached_max_new_tokens: ids of items whose completion was cut off before it ended.
        batch_size_used: smaller than asked for when the card's memory did not suffice.
        timing: seconds, items a second, tokens a second; the only part that differs between two equal runs.
    """

    generation: dict[str, Any]
    prompt_template: str
    tokenizer_sha256: str
    device: str
    dtype: str
    threads: int
    items: int
    prompt_tokens: int
    completion_tokens: int
    truncated_prompts: list[str]
    reached_max_new_tokens: list[str]
    batch_size_used: int
    predictions_sha256: str
    timing: dict[str, float]
