"""Before anything is loaded: a model that cannot fit is refused, and a batch that cannot is made smaller."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from core.errors import ResourceError
from core.progress import listening
from experiments.references import TINY_BASE_DIRECTORY
from inference import memory
from inference.contract import GenerationConfig
from inference.memory import (
    GB,
    available_bytes,
    fitting_batch_size,
    inference_memory,
    refuse_weights,
)
from tests.conftest import CommandLine
from tests.support.refusals import assert_refused

pytestmark = pytest.mark.unit

LLAMA_8B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
}


def model_of(folder: Path, config: dict[str, Any], *shapes: list[int]) -> Path:
    """A model directory whose weights are headers alone."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    header, end = {}, 0
    for number, shape in enumerate(shapes):
        size = 2
        for length in shape:
            size *= length
        header[f"w{number}"] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)  # a sparse file: no disk is used
    return folder


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    return model_of(tmp_path / "llama", LLAMA_8B, [128256, 4096], [7_500_000, 1000])


def settings(**chosen: Any) -> GenerationConfig:
    return GenerationConfig(max_new_tokens=512, **chosen)


def needed(model: Path, available_gb: float | None, **chosen: Any) -> memory.InferenceMemory:
    available = None if available_gb is None else int(available_gb * GB)
    return inference_memory(model, settings(**chosen), 512, device="cuda", available=available)


def test_weights_are_counted_in_the_dtype_that_is_computed_in(llama: Path) -> None:
    parameters = 128256 * 4096 + 7_500_000_000
    assert needed(llama, None).weights == 4 * parameters
    assert needed(llama, None, dtype="bfloat16").weights == 2 * parameters


def test_keys_and_values_are_two_for_each_layer_head_and_token(llama: Path) -> None:
    assert needed(llama, None, dtype="bfloat16").cache == 2 * 32 * 8 * 128 * (512 + 512) * 2


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"n_layer": 2, "n_head": 4, "n_embd": 64}, 2 * 2 * 1024 * 4 * 16 * 4),
        ({"n_layer": 2, "n_head": 4, "n_embd": 64, "multi_query": True}, 2 * 2 * 1024 * 1 * 16 * 4),
        ({**LLAMA_8B, "head_dim": 64}, 2 * 32 * 1024 * 8 * 64 * 4),
        ({"text_config": LLAMA_8B}, 2 * 32 * 1024 * 8 * 128 * 4),
        (
            {**LLAMA_8B, "sliding_window": 100, "layer_types": ["full_attention", "sliding_attention"] * 16},
            2 * 16 * (1024 + 100) * 8 * 128 * 4,
        ),
        ({**LLAMA_8B, "layer_types": ["linear_attention"] * 32}, None),
        ({**LLAMA_8B, "kv_lora_rank": 512}, None),
        ({"model_type": "unheard-of"}, None),
    ],
    ids=["gpt2", "multi-query", "head_dim", "text_config", "sliding", "recurrent", "latent", "unknown"],
)
def test_every_family_is_read_by_the_names_that_it_has_and_of_an_unknown_one_nothing_wrong_is_said(
    config: dict[str, Any], expected: int | None, tmp_path: Path
) -> None:
    assert needed(model_of(tmp_path / "model", config, [10, 10]), None).cache == expected


@pytest.mark.parametrize(("available", "batch_size"), [(80.0, 64), (24.0, 33), (16.5, 1), (None, 64)])
def test_a_batch_is_as_large_as_what_the_weights_leave(
    llama: Path, available: float | None, batch_size: int
) -> None:
    found = needed(llama, available, dtype="bfloat16")
    assert found.fitting == batch_size
    if available is not None and batch_size > 1:
        assert found.weights + found.fitting * found.per_row <= available * GB


def test_weights_that_do_not_fit_are_refused_with_figures_and_remedies(llama: Path) -> None:
    with pytest.raises(ResourceError) as refused:
        refuse_weights(llama, settings(), device="cuda", available=int(16.5 * GB))
    assert refused.value.exit_code == 4
    said = str(refused.value)
    assert "the weights need 32.1 GB as float32, and the GPU has 16.5 GB. Nothing was started." in said
    assert "generation.dtype=bfloat16: 16.1 GB, fits" in said
    assert "generation.device_map=auto" in said
    assert "a smaller model" in said
    refuse_weights(llama, settings(dtype="bfloat16"), device="cuda", available=int(16.5 * GB))
    refuse_weights(llama, settings(device_map="auto"), device="cuda", available=int(16.5 * GB))
    refuse_weights(llama, settings(), device="cuda", available=None)


def test_a_batch_that_is_made_smaller_is_said() -> None:
    said: list[str] = []
    with listening(lambda progress: said.append(progress.sentence())):
        size = fitting_batch_size(TINY_BASE_DIRECTORY, settings(memory_gb=0.05), 100, "cpu")
    assert 1 < size < 64
    [sentence] = said
    assert sentence.startswith("memory: a batch of 64 of the longest prompts needs ")
    assert sentence.endswith(f"and this machine has 0.05 GB, so batches begin with {size}")


def test_the_memory_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sizes() -> tuple[int | None, int | None]:
        found = (available_bytes(settings(), "cpu", whole=whole) for whole in (False, True))
        return next(found), next(found)

    (tmp_path / "meminfo").write_text("MemTotal: 2000 kB\nMemAvailable: 1000 kB\n")
    monkeypatch.setattr(memory, "MEMORY_INFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert sizes() == (1_024_000, 2_048_000)
    for name, text in (("max", "800000"), ("current", "500000"), ("stat", "anon 1\ninactive_file 100000\n")):
        (tmp_path / f"memory.{name}").write_text(text)
    assert sizes() == (400_000, 800_000)
    (tmp_path / "memory.max").write_text("max")
    assert sizes() == (1_024_000, 2_048_000)


def test_the_command_refuses_before_anything_is_started(hallmark: CommandLine) -> None:
    settings = ("--set", "generation.memory_gb=0.001")
    message = "the weights need 0.0032 GB as float32, and this machine has 0.001 GB"
    for command in (("evaluate", "tiny-base"), ("experiment",)):
        assert_refused(hallmark(*command, *settings), 4, message, "Nothing was started")
    assert json.loads(hallmark("runs", "list", "--json").stdout) == []


@pytest.mark.parametrize(
    "wrong",
    [{"num_hidden_layers": 10**12}, {"num_hidden_layers": -1}, {"layer_types": 3}, {"layer_types": {"a": 1}}],
)
def test_what_is_no_sensible_dimension_is_unknown(wrong: dict[str, Any], tmp_path: Path) -> None:
    assert needed(model_of(tmp_path / "m", {**LLAMA_8B, **wrong}, [2, 2]), None).cache is None
    vocabulary = needed(model_of(tmp_path / "m", {**LLAMA_8B, "vocab_size": -(10**12)}, [2, 2]), None)
    assert vocabulary.working > 0
