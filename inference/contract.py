"""How predictions are made: the settings, what the process is asked and what it answers. Without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from core.config import Config
from core.errors import InputError
from golden.prompting import ResolvedPrompt
from inference.endpoint import ENDPOINT_PREFIX, Endpoint

LONGEST = 32_768
"""The most that `max_new_tokens` may be."""

NO_INPUT = frozenset({"batch_size", "memory_gb", "shards"})
"""Settings that change no prediction, and so are no part of a run's identity."""

UNKNOWN = "unknown"
"""What is recorded of what nobody here knows, of a served model and of imported predictions."""
UNKNOWN_BEFORE = "not known"
"""What was recorded of a served model before that."""

EngineName = Literal["transformers", "vllm", "openai"]
Batching = Literal["padded", "equal_length", "single", "engine"]
"""Which prompts go through a model together: any; those of equal length; none; or as the engine decides."""


class GenerationConfig(Config):
    """How predictions are made: greedily, unless a temperature is chosen.

    What changes predictions is part of a run's identity and a condition of comparisons; `batch_size`,
    `shards`, `device`, `device_map`, `memory_gb` and `threads` change speed and memory.
    """

    engine: EngineName = Field(
        default="transformers",
        description="What runs the model: transformers; vllm, in an environment of its own; or openai, an "
        "endpoint that speaks the OpenAI API, which nobody can reproduce.",
    )
    endpoint: Endpoint | None = Field(
        default=None,
        description="For the engine openai, which it implies: base URL of the API, as in "
        "http://localhost:8000/v1. A key is taken from OPENAI_API_KEY and recorded nowhere.",
    )
    output: Literal["text", "log_probs"] = Field(
        default="text",
        description="What is asked for: text; or log_probs, the log-probabilities of each item's choices, or "
        "of its reference, for judges that read them.",
    )
    samples: int = Field(
        default=1, ge=1, le=1024, description="Completions per item; more than one needs a temperature."
    )
    temperature: float = Field(
        default=0.0, ge=0, le=10, allow_inf_nan=False, description="0: greedy. Above: drawn, from the seed."
    )
    top_p: float = Field(
        default=1.0, gt=0, le=1, description="Draw among the likeliest tokens that make up this share."
    )
    seed: int = Field(
        default=0, ge=0, lt=2**63, description="Decides what is drawn, for each item and sample by itself."
    )
    shards: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="Parts of a dataset that are predicted apart, by several workers where there are some. "
        "Changes speed, never predictions.",
    )
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
    device_map: Literal["none", "auto"] = Field(
        default="none",
        description="Where a model goes that is larger than a GPU: none loads it onto one device or refuses; "
        "auto spreads it over all GPUs, then memory, then the disk, by accelerate.",
    )
    memory_gb: float | None = Field(
        default=None,
        gt=0,
        description="Memory of the device, or with device_map of each, in 10^9 bytes. Default: what it has "
        "free. A model whose weights need more is refused; a batch that needs more is made smaller.",
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

    @model_validator(mode="before")
    @classmethod
    def _engine_of_an_endpoint(cls, values: Any) -> Any:
        """An endpoint alone says which engine is meant."""
        if isinstance(values, dict) and values.get("endpoint") and values.get("engine") is None:
            return {**values, "engine": "openai"}
        return values

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.samples > 1 and self.temperature == 0:
            raise ValueError(
                f"generation.samples: {self.samples} greedy answers would all be equal. Set "
                "generation.temperature, as in 0.7"
            )
        if self.top_p < 1 and self.temperature == 0:
            raise ValueError("generation.top_p: does nothing without generation.temperature")
        if (self.endpoint is not None) != (self.engine == "openai"):
            raise ValueError(
                "generation.endpoint: is for the engine openai, which needs one, as in "
                "http://localhost:8000/v1"
            )
        if self.engine == "vllm" and self.device_map != "none":
            raise ValueError(
                f"generation.device_map: {self.device_map} needs the engine transformers. Set "
                "generation.engine to it"
            )
        self._refuse_drawn_log_probs()
        if self.engine == "openai":
            self._refuse_what_a_server_decides()
        return self

    def _refuse_drawn_log_probs(self) -> None:
        if self.output == "log_probs" and (self.samples > 1 or self.temperature > 0):
            raise ValueError("generation.output: log_probs draws nothing, so no samples and no temperature")

    def _refuse_what_a_server_decides(self) -> None:
        if self.shards > 1:
            raise ValueError(
                "generation.shards: an endpoint is asked by one process, for generation.batch_size answers "
                "at once. Leave it out."
            )
        if self.output == "log_probs":
            raise ValueError(
                "generation.output: an endpoint writes text; it gives no log-probabilities of a text that it "
                "did not write. Use the engine transformers or vllm with the model's weights."
            )
        for name, usual in (("dtype", "float32"), ("device", "auto"), ("on_truncation", "record")):
            if getattr(self, name) != usual:
                raise ValueError(
                    f"generation.{name}: with the engine openai the server decides it, and does not say. "
                    "Leave it out."
                )

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


class ImportedGeneration(GenerationConfig):
    """How another program made predictions, as far as that is known: of settings that go together only some
    may be, and it may have done what nothing here is asked for, as in several greedy answers.
    """

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        self._refuse_drawn_log_probs()
        return self


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
        model: a checked local model directory; None where an endpoint serves the model.
        dataset: the exported dataset.jsonl.
        output: the run's directory; predictions.jsonl and predictions_meta.json are written there.
        label: what the progress line begins with.
        generation: the settings.
        prompt: how the model is asked.
        part: first item and the one behind the last, of a shard; None for the whole dataset.
        served: under which name an endpoint serves the model; None for a local one.
        sign_in: user and password of the endpoint, which `generation.endpoint` loses on its way here.
    """

    model: Path | None
    dataset: Path
    output: Path
    label: str
    generation: GenerationConfig
    prompt: ResolvedPrompt = ResolvedPrompt()
    part: tuple[int, int] | None = None
    served: str | None = None
    sign_in: tuple[str, str] | None = Field(default=None, repr=False)

    @property
    def directory(self) -> Path:
        """The directory of a local model.

        Raises:
            InputError: an endpoint serves it.
        """
        if self.model is None:
            raise InputError(
                f"{ENDPOINT_PREFIX}{self.served}: an endpoint serves it, so its files are not here"
            )
        return self.model


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


class EngineUsed(BaseModel):
    """What ran the model.

    Attributes:
        name: transformers, vllm or openai; or imported, where another program made the predictions.
        version: of its package; what the endpoint says of itself, or None.
        switches: what else it was told that can change a result, as in VLLM_BATCH_INVARIANT.
        reproducible: whether the same inputs give the same bytes again.
        ties: how many tokens were so nearly tied that a prompt's company could have decided them; these were
            decided by the prompt alone. None where nobody counts.
    """

    name: EngineName | Literal["imported"] = "transformers"
    version: str | None = None
    switches: dict[str, str] = {}
    reproducible: bool = True
    ties: int | None = None


CUT_OFF = "reached_max_new_tokens"
"""The field of predictions_meta.json that names the answers that were cut off."""


class PredictionMeta(BaseModel):
    """predictions_meta.json: how the predictions beside it came to be.

    Attributes:
        generation: the generation config as used, special token ids included: all ids at which an answer
            ends, and the one that fills up shorter rows.
        prompt_template: `plain@v1` or the hash of the chat template.
        template_name: `default` where the tokenizer has several templates by name.
        date: what the template was told that today is; None where it does not ask.
        stop: strings at which a completion ended too.
        thinking_closed: whether the prompts themselves end thinking, so that an answer need not; where some
            do, the ids of their items.
        batching: `padded`; or `equal_length` where padding would change the model's predictions, so that only
            prompts of the same length go together; or `single` where any company would; or `engine` where
            that decides.
        engine: what ran the model.
        tokenizer_sha256: sha256 over the tokenizer's files.
        items: number of predictions.
        prompt_tokens: sum over all prompts, as the model saw them.
        completion_tokens: sum over all completions, without the tokens that end them.
        truncated_prompts: ids of items whose prompt was shortened to fit the context.
        reached_max_new_tokens: ids of items whose completion was cut off before it ended; of several, at
            least one.
        cut_samples: where items have several completions, which of each of those items were cut off, from 0.
        ended_otherwise: why an endpoint ended some completions, by the ids of their items, where that is
            neither the model's end nor `max_new_tokens`: content_filter, tool_calls.
        device: cpu or cuda.
        dtype: what was computed in.
        batch_size_used: smaller than asked for where there was too little memory.
        timing: seconds, items per second, tokens per second; all that differs between two equal runs.
        weights_bytes: size of the model's safetensors files; None in files from before it was recorded.
        tensors_sha256: over their tensors alone, by which copies of the model are known; likewise.
        unknown: of imported predictions and of a served model's, what nobody said of how they were made:
            settings by their dotted names, as in prompt.system; and fields of this file, which are empty
            then.
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
    cut_samples: dict[str, list[int]] = {}
    ended_otherwise: dict[str, str] = {}
    stop: list[str] = []
    thinking_closed: bool | list[str] = False
    batching: Batching = "padded"
    engine: EngineUsed = EngineUsed()
    weights_bytes: int | None = None
    tensors_sha256: str | None = None
    unknown: list[str] = []

    @property
    def completions_cut_off(self) -> int:
        """How many completions were cut off."""
        return sum(map(len, self.cut_samples.values())) or len(self.reached_max_new_tokens)

    @property
    def ran_by(self) -> str:
        """What ran the model, for a person, as in "vllm 0.32.0, float32, cpu"."""
        return ", ".join(
            [" ".join(filter(None, (self.engine.name, self.engine.version))), self.dtype, self.device]
        )
