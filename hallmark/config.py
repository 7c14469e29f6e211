"""Everything that a person may set for an experiment, with bounds. The same models make the form in the Prefect UI."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hallmark.errors import InputError

LoraTarget = Literal["q", "k", "v", "o", "gate", "up", "down"]
LORA_TARGETS: tuple[LoraTarget, ...] = get_args(LoraTarget)
MODEL_NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"


class Config(BaseModel):
    """Base of all configuration: unknown keys, NaN and infinity are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class GenerationConfig(Config):
    """How predictions are made. Greedy always; nothing here but `max_new_tokens` and `dtype` can change them."""

    max_new_tokens: int = Field(128, ge=1, le=32_768, description="Longest completion, in tokens.")
    batch_size: int = Field(64, ge=1, le=4096, description="Prompts per batch. Changes speed and memory, never predictions.")
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="float32 is the judged default; bfloat16 can change predictions.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes the GPU when there is one.")
    threads: int = Field(2, ge=1, le=256, description="CPU threads. Recorded, because it can change results.")
    on_truncation: Literal["record", "refuse"] = Field("record", description="What to do with a prompt longer than the context.")


class LoraConfig(Config):
    """Low-rank adapters (Hu et al. 2021, arXiv:2106.09685), for `method: lora`."""

    rank: int = Field(16, ge=1, le=1024, description="Rank of each adapter.")
    alpha: float = Field(32.0, gt=0, le=65_536, description="Adapters are scaled by alpha / rank.")
    targets: tuple[LoraTarget, ...] = Field(LORA_TARGETS, min_length=1, description="Which linear layers of every block get an adapter.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of an adapter's inputs that is dropped while training.")


class TrainConfig(Config):
    """How the model is trained."""

    dataset: str = Field("train-v1", description="Training dataset: a built-in name, or the path of a .jsonl file.")
    method: Literal["full", "lora"] = Field("full", description="full trains every weight; lora trains adapters and merges them.")
    lora: LoraConfig = Field(default_factory=LoraConfig)
    steps: int = Field(200, ge=1, le=10_000_000, description="Optimizer steps.")
    batch_size: int = Field(32, ge=1, le=65_536, description="Packed rows per step.")
    accumulation_steps: int = Field(1, ge=1, le=65_536, description="Parts that a step's rows are computed in. More parts, less memory.")
    sequence_length: int = Field(128, ge=8, le=1_048_576, description="Tokens per packed row.")
    packing: bool = Field(True, description="Lay several traces side by side in a row; off: one trace a row, the rest padding.")
    optimizer: Literal["adamw", "adafactor"] = Field("adamw", description="adafactor keeps about half of adamw's states.")
    learning_rate: float = Field(2e-3, gt=0, le=1, description="Peak learning rate.")
    warmup_steps: int = Field(10, ge=0, description="Steps of linear warm-up before the cosine decay.")
    weight_decay: float = Field(0.01, ge=0, le=1, description="Decoupled weight decay of matrices.")
    gradient_clip: float = Field(1.0, gt=0, description="Largest global gradient norm.")
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="What to compute in. Trained weights and states stay float32.")
    remat: bool = Field(False, description="Compute each layer again on the way back instead of keeping it: less memory, a third slower.")
    loss_chunk: int | None = Field(None, ge=1, description="Tokens whose logits are held at once. Default: what fits into 256 MB.")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="Decides the order of the data, the held-out part and the adapters' start.")
    held_out: float = Field(0.0, ge=0, le=0.5, description="Share of the training set that is not trained on but watched.")
    evaluate_every: int = Field(50, ge=1, description="Steps between two looks at the held-out loss.")
    patience: int = Field(0, ge=0, description="Stop after so many looks without a lower held-out loss; 0 never stops early.")
    checkpoint_every: int = Field(100, ge=1, description="Steps between two checkpoints, from which an interrupted training continues.")
    keep_checkpoints: int = Field(2, ge=1, le=100, description="Newest checkpoints that are kept while training.")
    data_parallel: int = Field(1, ge=1, description="Devices that share the rows of a step, each with all weights.")
    fsdp: int = Field(1, ge=1, description="Devices that share rows, weights and optimizer states.")
    memory_gb: float | None = Field(None, gt=0, description="Memory of the card, in 10^9 bytes. Default: what the device says.")
    threads: int = Field(2, ge=1, le=256, description="CPU threads. Recorded, because it changes the trained bytes.")
    allow_contamination: bool = Field(False, description="Train although items overlap with the golden dataset. Recorded.")

    @model_validator(mode="after")
    def _divides(self) -> TrainConfig:
        parts = self.accumulation_steps * self.data_parallel * self.fsdp
        if self.batch_size % parts:
            raise ValueError(f"batch_size {self.batch_size} must be a multiple of accumulation_steps x data_parallel x fsdp = {parts}")
        return self


Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], values: dict[str, Any], source: str) -> Model:
    """Build a configuration model, turning pydantic's report into one sentence a problem.

    Args:
        model: the configuration class.
        values: raw values.
        source: where they came from (a file, "command line").

    Raises:
        InputError: names every bad field, its value and its bound.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = []
        for problem in error.errors():
            field = ".".join(str(part) for part in problem["loc"]) or "configuration"
            if problem["type"] == "extra_forbidden":
                problems.append(f"{field}: unknown setting")
            else:
                problems.append(f"{field}: {problem['msg']}, got {problem['input']!r}")
        raise InputError(f"{source}: " + "; ".join(problems)) from None


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML configuration file.

    Raises:
        InputError: missing, unreadable, or not TOML; names the line.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such configuration file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not valid TOML: {error}") from None
