"""The settings that `hallmark init` proposes: they suit model, data and machine, and are written as TOML."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from experiments.references import TINY_BASE_DIRECTORY
from hallmark.preparing import name_of
from hallmark.proposal import (
    Machine,
    Setting,
    as_toml,
    instruction_for,
    parameter_count,
    propose_generation,
    propose_training,
    step_seconds,
)
from trainer.contract import SettledTrainConfig, Settling, TrainConfig

pytestmark = pytest.mark.unit

CPU = Machine(gpu=None, memory_gb=None, cores=2, flops=1e11)
RTX_4080 = Machine(gpu="NVIDIA GeForce RTX 4080", memory_gb=16.4, cores=16)
SMALL, LARGE = 135_000_000, 4_000_000_000

values = st.one_of(st.text(), st.integers(-(2**53), 2**53), st.booleans(), st.lists(st.text(), max_size=3))


@given(st.dictionaries(st.sampled_from(["a", "train.b", "train.c", "prompt.d"]), values))
def test_what_is_written_is_read_back(settings: dict[str, Any]) -> None:
    text = as_toml([Setting(name, value, "because of it") for name, value in settings.items()], "two\nlines")
    read = tomllib.loads(text)
    flat = {
        f"{name}.{inner}" if isinstance(value, dict) else name: inside
        for name, value in read.items()
        for inner, inside in (value.items() if isinstance(value, dict) else [("", value)])
    }
    assert flat == settings


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("/data/gsm8k/test.jsonl", "gsm8k"),
        ("support.csv", "support"),
        ("Support Tickets (2026).xlsx.csv", "support-tickets-2026"),
        ("hf:openai/gsm8k@main:test", "gsm8k"),
        ("golden/data/golden-v1.jsonl", "golden"),
    ],
)
def test_a_name_comes_from_where_the_questions_are(source: str, name: str) -> None:
    assert name_of(source) == name


def test_where_nothing_can_be_a_name_one_is_asked_for() -> None:
    with pytest.raises(InputError, match=r"--name: /data/train.jsonl suggests none"):
        name_of("/data/train.jsonl")


@pytest.mark.parametrize("judge", ["answer_correctness@v2", "choice@v1", 'math_equivalence@v2{"x":1}'])
def test_judges_that_look_for_an_answer_have_the_model_told_how_to_end(judge: str) -> None:
    assert "Answer: " in (instruction_for(judge) or "")
    assert instruction_for("f1@v1") is None


def test_weights_are_counted_from_the_headers() -> None:
    assert parameter_count(TINY_BASE_DIRECTORY) == 800_512


def test_predictions_are_made_in_float32_where_that_fits() -> None:
    assert propose_generation(SMALL, CPU)[0].value == "float32"
    assert propose_generation(SMALL, RTX_4080)[0].value == "float32"
    assert propose_generation(LARGE, RTX_4080)[0].value == "bfloat16"


def settled(longest: int, typical: int, epoch_tokens: int = 1_000_000, **given: Any) -> Settling:
    """What the training set of a test settles to: no trace is cut, those beyond the length are dropped."""
    length = given.get("sequence_length") or -(-longest // 64) * 64
    rows = max(1, 4096 // length)
    config = TrainConfig(**given).model_dump() | {
        "sequence_length": length,
        "batch_size": rows,
        "steps": -(-epoch_tokens // (rows * length)),
        "learning_rate": 2e-5,
        "warmup_steps": 10,
        "epochs": None,
    }
    dropped = 10 if longest > length else 0
    return Settling(
        config=SettledTrainConfig.model_validate(config),
        traces=1000 - dropped,
        longest=longest,
        typical=typical,
        dropped=dropped,
        truncated=0,
        epochs=1.0,
    )


def proposed(machine: Machine, longest: int, typical: int, minutes: float = 30) -> dict[str, Any]:
    def settle(**given: Any) -> Settling:
        return settled(longest, typical, **given)

    return {each.name: each.value for each in propose_training(settle, SMALL, machine, minutes)}


def test_rows_are_as_long_as_the_longest_trace() -> None:
    settings = proposed(RTX_4080, longest=494, typical=400)
    assert settings["train.sequence_length"] == 512
    assert "train.on_too_long" not in settings, "nothing is left out"


def test_one_trace_that_is_much_longer_than_all_others_is_left_out() -> None:
    settings = proposed(RTX_4080, longest=8_000, typical=384)
    assert settings["train.sequence_length"] == 384
    assert settings["train.on_too_long"] == "drop"


def test_a_gpu_trains_an_epoch_one_row_at_a_time() -> None:
    settings = proposed(RTX_4080, longest=494, typical=400)
    assert settings["train.accumulation_steps"] == settings["train.batch_size"] == 8
    assert settings["train.steps"] == 245


def test_a_cpu_trains_as_long_as_one_has_time_in_steps_that_are_not_too_few() -> None:
    settings = proposed(CPU, longest=494, typical=400, minutes=10)
    tokens = settings["train.batch_size"] * settings["train.sequence_length"]
    assert settings["train.steps"] >= 20
    assert settings["train.steps"] * step_seconds(SMALL, tokens, CPU) <= 600
    assert proposed(CPU, longest=494, typical=400, minutes=10_000)["train.steps"] == 245, (
        "no more than an epoch"
    )
