"""How predictions are made: the settings, what the process is asked and what it answers. Without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, field_validator

from core.config import Config
from core.errors import InputError
from golden.prompting import ResolvedPrompt

LONGEST = 32_768
"""The most that `max_new_tokens` may be."""


class GenerationConfig(Config):
    """How predictions are made. Always greedy; only `max_new_tokens` and `dtype` are meant to change them."""

    max_new_tokens: Annotated[int, Field(ge=1, le=LONGEST)] | Literal["fit"] | None = Field(
        default=None,
        description="Longest completion, in tokens; fit: half as long again as the longest reference. "
        "Default: fit; 128 for the built-in tiny base.",
    )
    batch_size: int = Field(
        default=64,
        ge=1,
        le=4096,
        description="Prompts per batch. Changes speed and memory, never predictions.",
    )
    dtype: Literal["float32", "bfloat16"] = Field(
        default="float32", description="What to compute in. bfloat16 can change predictions."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="auto takes the GPU where there is one."
    )
    threads: int = Field(
        default=2, ge=1, le=256, description="CPU threads. Recorded, because it can change results."
    )
    on_truncation: Literal["record", "refuse"] = Field(
        default="record",
        description="A prompt beyond the context: record leaves out the oldest of the history, then the "
        "beginning of what the user says, and records it; refuse stops.",
    )

    @field_validator("max_new_tokens", mode="before")
    @classmethod
    def _number_or_fit(cls, value: Any) -> Any:
        if value in (None, "fit"):
            return value
        if isinstance(value, bool) or not str(value).isdecimal() or not 1 <= int(value) <= LONGEST:
            raise ValueError(
                f"generation.max_new_tokens: expected a number from 1 to {LONGEST:,}, or fit, got {value!r}"
            )
        return int(value)

    @property
    def longest(self) -> int:
        """The longest completion, in tokens, once that is settled.

        Raises:
            InputError: it is not.
        """
        if not isinstance(self.max_new_tokens, int):
            raise InputError(
                f"generation.max_new_tokens: a number is needed, got {self.max_new_tokens or 'nothing'}."
            )
        return self.max_new_tokens


class FitSpec(BaseModel):
    """Can a model be asked everything, and how long may completions get?

    Attributes:
        model: a checked local model directory.
        datasets: files of golden items.
        prompt: how the model is asked.
        generation: the settings; without a number in `max_new_tokens` one is found.
    """

    model: Path
    datasets: list[Path]
    prompt: ResolvedPrompt = ResolvedPrompt()
    generation: GenerationConfig = GenerationConfig()


class FitResult(BaseModel):
    """The answer.

    Attributes:
        max_new_tokens: the longest completion, in tokens.
    """

    max_new_tokens: int


PREDICTIONS, META, SUMS = "predictions.jsonl", "predictions_meta.json", "predictions.sha256"
PARTIAL = "predictions.partial.jsonl"
"""Names of what a job leaves, and of what it resumes from, which goes when the others are sealed."""


class PredictSpec(BaseModel):
    """One inference job.

    Attributes:
        model: a checked local model directory.
        dataset: the exported dataset.jsonl.
        output: the run's directory; predictions.jsonl and predictions_meta.json are written there.
        label: what the progress line begins with.
        generation: the settings.
        prompt: how the model is asked.
    """

    model: Path
    dataset: Path
    output: Path
    label: str
    generation: GenerationConfig
    prompt: ResolvedPrompt = ResolvedPrompt()


class PredictResult(BaseModel):
    """What inference produced.

    Attributes:
        predictions_sha256: sha256 of predictions.jsonl.
        items: number of predictions.
        resumed: how many of them an interrupted attempt had made.
        seconds: time spent generating.
    """

    predictions_sha256: str
    items: int
    resumed: int
    seconds: float


class PredictionMeta(BaseModel):
    """predictions_meta.json: how the predictions beside it came to be.

    Attributes:
        generation: the generation config as used, special token ids included: all ids at which an answer
            ends, and the one that fills up shorter rows.
        prompt_template: `plain@v1` or the hash of the chat template.
        template_name: `default` where the tokenizer has several templates by name.
        date: what the template was told that today is; None where it does not ask.
        stop: strings at which a completion ended too.
        thinking_closed: the prompts themselves end thinking, so an answer need not.
        batching: `padded`; or `equal_length` where padding would change the model's predictions, so that only
            prompts of the same length go together; or `single` where any company would.
        tokenizer_sha256: sha256 over the tokenizer's files.
        items: number of predictions.
        prompt_tokens: sum over all prompts, as the model saw them.
        completion_tokens: sum over all completions, without the tokens that end them.
        truncated_prompts: ids of items whose prompt was shortened to fit the context.
        reached_max_new_tokens: ids of items whose completion was cut off before it ended.
        device: cpu or cuda.
        dtype: what was computed in.
        batch_size_used: smaller than asked for where the GPU had too little memory.
        timing: seconds, items per second, tokens per second; all that differs between two equal runs.
        weights_bytes: size of the model's safetensors files; None in files from before it was recorded.
        tensors_sha256: over their tensors alone, by which copies of the model are known; likewise.
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
    template_name: str | None = None
    date: str | None = None
    stop: list[str] = []
    thinking_closed: bool = False
    batching: Literal["padded", "equal_length", "single"] = "padded"
    weights_bytes: int | None = None
    tensors_sha256: str | None = None
