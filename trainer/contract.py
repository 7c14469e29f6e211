"""How a model is trained: the settings, what the process is asked and what it answers. Without jax."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, Field, model_validator

from core.config import Config
from core.text import counted
from golden.prompting import ResolvedPrompt

GB = 1e9
"""Bytes in a gigabyte, as GPUs are sold."""

LoraTarget = Literal["q", "k", "v", "o", "gate", "up", "down"]
OnTooLong = Literal["refuse", "drop", "truncate"]
LORA_TARGETS: tuple[LoraTarget, ...] = get_args(LoraTarget)


class LoraConfig(Config):
    """Low-rank adapters (Hu et al. 2021, arXiv:2106.09685), for `method: lora`."""

    rank: int = Field(default=16, ge=1, le=1024, description="Rank of each adapter.")
    alpha: float = Field(default=32.0, gt=0, le=65_536, description="Adapters are scaled by alpha / rank.")
    targets: tuple[LoraTarget, ...] = Field(
        default=LORA_TARGETS,
        min_length=1,
        description="The linear layers of every block that get an adapter.",
    )
    dropout: float = Field(
        default=0.0, ge=0, lt=1, description="Share of an adapter's inputs that is dropped in training."
    )


class WeightedDataset(Config):
    """One training set of several."""

    dataset: str = Field(description="A built-in name, or the path of a .jsonl file.")
    weight: float = Field(
        default=1.0,
        gt=0,
        le=1000,
        description="How often each of its traces is seen per epoch: 2 twice, 0.5 a seeded half of them.",
    )


class TrainConfig(Config):
    """How the model is trained. What is not given suits the model and the data, and is settled before
    anything starts; see `experiments.defaults`.
    """

    dataset: str = Field(
        default="train-v1", description="Training dataset: a built-in name, or the path of a .jsonl file."
    )
    mix: list[WeightedDataset] = Field(
        default_factory=list, description="Several training sets with weights, instead of `dataset`."
    )
    method: Literal["full", "lora"] = Field(
        default="full",
        description="full trains every weight; lora trains adapters, merges them on export and keeps them in "
        "PEFT's format too.",
    )
    lora: LoraConfig = Field(default_factory=LoraConfig)
    steps: int | None = Field(
        default=None,
        ge=1,
        le=10_000_000,
        description="Optimizer steps. Default: those that `epochs` takes; 200 for the built-in tiny base.",
    )
    epochs: float | None = Field(
        default=None,
        gt=0,
        le=10_000,
        description="How often the training set is seen, instead of `steps`. Default: once.",
    )
    batch_size: int | None = Field(
        default=None,
        ge=1,
        le=65_536,
        description="Packed rows per step. Default: about 4,096 tokens in all; 32 rows for the built-in tiny "
        "base.",
    )
    accumulation_steps: int = Field(
        default=1,
        ge=1,
        le=65_536,
        description="Parts in which the rows of a step are computed. More parts need less memory.",
    )
    sequence_length: int | None = Field(
        default=None,
        ge=8,
        le=1_048_576,
        description="Tokens per packed row. Default: what the longest trace needs, up to the model's "
        "context; 128 for the built-in tiny base.",
    )
    on_too_long: OnTooLong = Field(
        default="refuse",
        description="A trace of more tokens than a row holds: refuse stops before anything is trained; drop "
        "leaves it out; truncate cuts its end off, the end token included. What was dropped and cut is "
        "recorded.",
    )
    packing: bool = Field(
        default=True,
        description="Pack several examples into one row; off: one example per row, the rest padding.",
    )
    optimizer: Literal["adamw", "adafactor"] = Field(
        default="adamw", description="adafactor keeps about half as many states as adamw."
    )
    learning_rate: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Peak learning rate; after the warm-up it decays to a tenth. Default: 2e-5, for lora "
        "2e-4; 2e-3 for the built-in tiny base.",
    )
    warmup_steps: int | None = Field(
        default=None,
        ge=0,
        description="Steps of linear warm-up before the cosine decay. Default: 3 % of the steps, at most 10; "
        "10 for the built-in tiny base.",
    )
    weight_decay: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="Decoupled weight decay of matrices; norms and biases have none.",
    )
    gradient_clip: float = Field(default=1.0, gt=0, description="Largest global gradient norm.")
    dtype: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="What to compute in. Trained weights and optimizer states stay float32.",
    )
    remat: bool = Field(
        default=False,
        description="Recompute activations in the backward pass: less memory, about a third slower.",
    )
    loss_chunk: int | None = Field(
        default=None,
        ge=1,
        description="Tokens whose logits are held at once. Default: what fits into 256 MB.",
    )
    seed: int = Field(
        default=0,
        ge=0,
        le=2**32 - 1,
        description="Decides the order of the data, which part is held out, and how adapters start.",
    )
    held_out: float = Field(
        default=0.0,
        ge=0,
        le=0.5,
        description="Share of the training set that is held out: evaluated on, not trained on. Copies of a "
        "trace go together.",
    )
    evaluate_every: int = Field(
        default=50, ge=1, description="Steps between two evaluations on the held-out part."
    )
    patience: int = Field(
        default=0,
        ge=0,
        description="Stop after this many evaluations without a lower held-out loss; 0 never stops early. "
        "The weights of the best step are kept.",
    )
    checkpoint_every: int = Field(
        default=100,
        ge=1,
        description="Steps between two checkpoints, from the newest of which an interrupted run resumes.",
    )
    keep_checkpoints: int = Field(
        default=2, ge=1, le=100, description="How many of the newest checkpoints are kept during training."
    )
    data_parallel: int = Field(
        default=1, ge=1, description="Devices that share the rows of a step, each with all weights."
    )
    fsdp: int = Field(default=1, ge=1, description="Devices that share rows, weights and optimizer states.")
    memory_gb: float | None = Field(
        default=None,
        gt=0,
        description="Memory of the GPU, in 10^9 bytes. Default: what the device reports. "
        "A training run that needs more is refused before it starts.",
    )
    threads: int = Field(
        default=2, ge=1, le=256, description="CPU threads. Recorded, because it changes the trained bytes."
    )
    allow_contamination: bool = Field(
        default=False,
        description="Train although training items overlap with the golden dataset; the gate then refuses.",
    )

    @property
    def parts(self) -> int:
        """In how many equal parts the rows of a step are shared out."""
        return self.accumulation_steps * self.data_parallel * self.fsdp

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.batch_size is not None and self.batch_size % self.parts:
            product = "accumulation_steps x data_parallel x fsdp"
            raise ValueError(f"batch_size {self.batch_size} must be a multiple of {product} = {self.parts}")
        return self

    @model_validator(mode="after")
    def _one_duration(self) -> Self:
        if self.steps is not None and self.epochs is not None:
            raise ValueError(
                f"train.steps = {self.steps} and train.epochs = {self.epochs:g} both say how long to train. "
                "Leave one out."
            )
        return self

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.mix and self.dataset != type(self).model_fields["dataset"].default:
            raise ValueError(
                f"train.dataset = {self.dataset} and train.mix both name training sets. Leave one out."
            )
        return self


class SettledTrainConfig(TrainConfig):
    """The same with nothing left open: what is trained by, recorded and hashed."""

    steps: int
    batch_size: int
    sequence_length: int
    learning_rate: float
    warmup_steps: int


class SettleSpec(BaseModel):
    """What a training run would be.

    Attributes:
        base: a checked local model directory.
        dataset: the training .jsonl file.
        prompt: how the model is asked.
        config: the settings, which may leave some open.
    """

    base: Path
    dataset: Path
    prompt: ResolvedPrompt = ResolvedPrompt()
    config: TrainConfig


class Settling(BaseModel):
    """The settings, settled, and what they come from.

    Attributes:
        config: the settings.
        traces: traces that are trained on or held out.
        longest: tokens of the longest trace of the training set.
        typical: tokens that 99 % of the traces do not exceed.
        dropped: traces that are left out, since they are too long.
        truncated: traces whose end is cut off.
        epochs: how often the traces are seen.
    """

    config: SettledTrainConfig
    traces: int
    longest: int
    typical: int
    dropped: int
    truncated: int
    epochs: float

    @property
    def sentence(self) -> str:
        """What will be done, for the plan."""
        config = self.config
        lost = "".join(
            f", {counted(count, 'trace')} {verb}"
            for count, verb in ((self.dropped, "dropped"), (self.truncated, "cut off"))
            if count
        )
        epochs = f"{self.epochs:.3g} epoch{'' if f'{self.epochs:.3g}' == '1' else 's'}"
        return (
            f"learning rate {config.learning_rate:g}, sequence length {config.sequence_length:,} (longest "
            f"trace {counted(self.longest, 'token')}){lost}, {epochs} of {counted(self.traces, 'trace')} = "
            f"{counted(config.steps, 'step')} of {counted(config.batch_size, 'row')}"
        )


CHECKPOINTS, TOKENS = "checkpoints", "tokens"
RESUMABLE = (CHECKPOINTS, TOKENS)
"""Folders below a job's output from which it resumes when it is interrupted."""


class TrainSpec(BaseModel):
    """One training job.

    Attributes:
        base: a checked local model directory to start from.
        base_label: what to call it in the model card.
        base_on_hub: its hub id and commit; None where it is not from there.
        dataset: the training .jsonl file.
        dataset_label: what the model card calls it; empty for the file's name.
        output: the run's directory; `model/`, `training.jsonl` and the checkpoints are written there.
        config: the settings.
        prompt: how the model is asked.
        inputs: hashes and versions that must be unchanged, as `config` must, for an interrupted job to
            resume.
        cache: folder of compiled programs, which may be shared; None for none.
    """

    base: Path
    base_label: str
    base_on_hub: tuple[str, str] | None = None
    dataset: Path
    dataset_label: str = ""
    output: Path
    config: SettledTrainConfig
    prompt: ResolvedPrompt = ResolvedPrompt()
    inputs: dict[str, Any] = {}
    cache: Path | None = None


class TrainResult(BaseModel):
    """What training produced.

    Attributes:
        model_sha256: over the files of `model/`.
        steps: steps taken in total.
        best_step: whose weights were kept: that of the lowest held-out loss, or the last where nothing is
            held out.
        first_loss: mean loss of the first step, in nats per loss-bearing token.
        last_loss: mean loss of the last ten steps, in nats per loss-bearing token.
        held_out_loss: at the best step, in nats per loss-bearing token; None where nothing is held out.
        loss_tokens: loss-bearing tokens seen in total.
        seconds: time that this attempt took, compilation included.
        resumed: the step from which this attempt resumed; 0 for none.
        stopped_early: patience ended it before its last step.
        memory_bytes: what the compiled step needs on each device.
        traces: traces that were trained on or held out; None in results from before it was counted, as with
            the following three.
        dropped: traces that were left out, since they were too long for a row.
        truncated: traces whose end was cut off.
        epochs: how often the traces were seen.
    """

    model_sha256: str
    steps: int
    best_step: int
    first_loss: float
    last_loss: float
    held_out_loss: float | None
    loss_tokens: int
    seconds: float
    resumed: int
    stopped_early: bool
    memory_bytes: int
    traces: int | None = None
    dropped: int | None = None
    truncated: int | None = None
    epochs: float | None = None


class PlanSpec(BaseModel):
    """The configurations whose memory is asked for: every method with every batch size and length.

    Attributes:
        model: a directory with a config.json; its weights are not read.
        config: all other settings.
        batches: rows per step.
        lengths: tokens per row.
    """

    model: Path
    config: SettledTrainConfig
    batches: list[int]
    lengths: list[int]


class Memory(BaseModel):
    """What a training step needs on each device, in bytes.

    Attributes:
        weights: all weights, the trained ones in float32.
        optimizer: its states.
        working: activations, gradients and whatever else the compiled step holds at its peak.
    """

    weights: int
    optimizer: int
    working: int

    @property
    def total(self) -> int:
        """The sum of them."""
        return self.weights + self.optimizer + self.working

    def __str__(self) -> str:
        states = f"weights {self.weights / GB:.2f}, optimizer {self.optimizer / GB:.2f}"
        return f"{self.total / GB:.2f} GB ({states}, activations and gradients {self.working / GB:.2f})"


class PlanRow(BaseModel):
    """The memory of one configuration."""

    method: str
    batch_size: int
    sequence_length: int
    memory: Memory


class PlanResult(BaseModel):
    """The memory of all configurations.

    Attributes:
        parameters: how many the model has.
        limit_bytes: memory of the GPU; None where neither the setting nor the device says.
        platform: what the steps were compiled for: cpu, gpu.
    """

    parameters: int
    limit_bytes: int | None
    platform: str
    rows: list[PlanRow]
