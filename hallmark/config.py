"""Everything that a person may set for an experiment, with bounds. The same models make the form in the Prefect UI."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hallmark.errors import InputError

MODEL_NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"


class Config(BaseModel):
    """Base of all configuration: unknown keys, NaN and infinity are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class GenerationConfig(Config):
    """How predictions are made. Greedy always; nothing here but `max_new_tokens` and `dtype` can change them."""

    max_new_tokens: int = Field(128, ge=1, le=32_768, description="Longest completion, in tokens.")
    batch_size: int = Field(64, ge=1, le=4096, description="Prompts per batch. Changes speed and memory, never predictions.")
    dtype: str = Field(
        "float32", pattern="^(float32|bfloat16)$", description="float32 is the judged default; bfloat16 can change predictions."
    )
    device: str = Field("auto", pattern="^(auto|cpu|cuda)$", description="auto takes the GPU when there is one.")
    threads: int = Field(2, ge=1, le=256, description="CPU threads. Recorded, because it can change results.")
    on_truncation: str = Field("record", pattern="^(record|refuse)$", description="What to do with a prompt longer than the context.")


class TrainConfig(Config):
    """How the model is trained."""

    dataset: str = Field("train-v1", description="Training dataset: a built-in name, or the path of a .jsonl file.")
    steps: int = Field(200, ge=1, le=10_000_000, description="Optimizer steps.")
    batch_size: int = Field(32, ge=1, le=65_536, description="Packed rows per step.")
    sequence_length: int = Field(128, ge=8, le=1_048_576, description="Tokens per packed row.")
    learning_rate: float = Field(2e-3, gt=0, le=1, description="Peak learning rate of AdamW.")
    warmup_steps: int = Field(10, ge=0, description="Steps of linear warm-up before the cosine decay.")
    weight_decay: float = Field(0.01, ge=0, le=1, description="Decoupled weight decay of matrices.")
    gradient_clip: float = Field(1.0, gt=0, description="Largest global gradient norm.")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="Decides the order of the data.")
    threads: int = Field(2, ge=1, le=256, description="CPU threads. Recorded, because it changes the trained bytes.")
    allow_contamination: bool = Field(False, description="Train although items overlap with the golden dataset. Recorded.")


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
