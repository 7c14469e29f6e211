"""How a model is trained: the settings, what the process is asked and what it answers. Without jax."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, Field, model_validator

from core.config import Config
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


class TrainConfig(Config):
    """How the model is trained."""

    dataset: str = Field(
        default="train-v1", description="Training dataset: a built-in name, or the path of a .jsonl file."
    )
    method: Literal["full", "lora"] = Field(
        default="full",
        description="full trains every weight; lora trains adapters, merges them on export and keeps them in "
        "PEFT's format too.",
    )
    lora: LoraConfig = Field(default_factory=LoraConfig)
    steps: int = Field(default=200, ge=1, le=10_000_000, description="Optimizer steps.")
    batch_size: int = Field(default=32, ge=1, le=65_536, description="Packed rows per step.")
    accumulation_steps: int = Field(
        default=1,
        ge=1,
        le=65_536,
        description="Parts in which the rows of a step are computed. More parts need less memory.",
    )
    sequence_length: int = Field(default=128, ge=8, le=1_048_576, description="Tokens per packed row.")
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
    learning_rate: float = Field(
        default=2e-3, gt=0, le=1, description="Peak learning rate; after the warm-up it decays to a tenth."
    )
    warmup_steps: int = Field(
        default=10, ge=0, description="Steps of linear warm-up before the cosine decay."
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
        description="Share of the training set that is held out: evaluated on, not trained on.",
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

    @model_validator(mode="after")
    def _divides(self) -> TrainConfig:
        parts = self.accumulation_steps * self.data_parallel * self.fsdp
        if self.batch_size % parts:
            product = "accumulation_steps x data_parallel x fsdp"
            raise ValueError(f"batch_size {self.batch_size} must be a multiple of {product} = {parts}")
        return self


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
    config: TrainConfig
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
        first_loss: mean loss of the first step, in nats per completion token.
        last_loss: mean loss of the last ten steps, in nats per completion token.
        held_out_loss: at the best step, in nats per completion token; None where nothing is held out.
        loss_tokens: completion tokens seen in total.
        seconds: time that this attempt took, compilation included.
        resumed: the step from which this attempt resumed; 0 for none.
        stopped_early: patience ended it before its last step.
        memory_bytes: what the compiled step needs on each device.
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


class PlanSpec(BaseModel):
    """The configurations whose memory is asked for: every method with every batch size and length.

    Attributes:
        model: a directory with a config.json; its weights are not read.
        config: all other settings.
        batches: rows per step.
        lengths: tokens per row.
    """

    model: Path
    config: TrainConfig
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
