"""Adapters: nothing changes at the start, only they are trained, and merged they are an ordinary model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from experiments.references import TINY_BASE_DIRECTORY
from tests.support.training import tiny_training
from trainer.contract import TrainResult, TrainSpec

pytestmark = pytest.mark.model

SETTINGS = {"method": "lora", "steps": 25, "batch_size": 8, "warmup_steps": 1, "learning_rate": 0.01}


def train(output: Path, dataset: Path, lora: dict[str, object], **settings: object) -> TrainResult:
    from trainer.job import run_training

    output.mkdir(exist_ok=True)
    config = tiny_training(**{**SETTINGS, **settings, "lora": lora})
    return run_training(
        TrainSpec(
            base=TINY_BASE_DIRECTORY, base_label="tiny-base", dataset=dataset, output=output, config=config
        ),
        lambda _: None,
    )


def tensors(directory: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(directory)


def test_merged_adapters_are_the_base_plus_their_product(tmp_path: Path, small_dataset) -> None:
    result = train(
        tmp_path / "run", small_dataset("train-v1", 60), {"rank": 4, "alpha": 8, "targets": ["q", "down"]}
    )
    assert result.last_loss < 0.9 * result.first_loss
    base = tensors(TINY_BASE_DIRECTORY / "model.safetensors")
    merged = tensors(tmp_path / "run" / "model" / "model.safetensors")
    adapter = tensors(tmp_path / "run" / "adapter" / "adapter_model.safetensors")
    changed = {name for name in base if not np.array_equal(base[name], merged[name])}
    layers = len({name.split(".")[2] for name in base if ".layers." in name})
    assert changed == {
        f"model.layers.{n}.{part}.weight"
        for n in range(layers)
        for part in ("self_attn.q_proj", "mlp.down_proj")
    }
    for name in changed:
        stem = "base_model.model." + name.removesuffix(".weight")
        delta = 8 / 4 * adapter[f"{stem}.lora_B.weight"] @ adapter[f"{stem}.lora_A.weight"]
        np.testing.assert_allclose(merged[name], base[name] + delta, atol=1e-6)


def test_peft_reads_the_adapter_and_gives_the_merged_model(tmp_path: Path, small_dataset) -> None:
    peft = pytest.importorskip("peft")
    import torch
    from transformers import AutoModelForCausalLM

    train(tmp_path / "run", small_dataset("train-v1", 60), {"rank": 4})
    base = AutoModelForCausalLM.from_pretrained(TINY_BASE_DIRECTORY, dtype=torch.float32)
    adapted = peft.PeftModel.from_pretrained(base, tmp_path / "run" / "adapter")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "model", dtype=torch.float32)
    tokens = torch.arange(4, 40)[None]
    with torch.inference_mode():
        assert torch.allclose(adapted(tokens).logits, merged(tokens).logits, atol=1e-4)


@pytest.mark.slow
def test_dropout_changes_the_training_and_repeats(tmp_path: Path, small_dataset) -> None:
    dataset = small_dataset("train-v1", 60)
    one, two, none = (
        train(tmp_path / name, dataset, {"rank": 4, "dropout": dropout}, steps=5)
        for name, dropout in (("one", 0.3), ("two", 0.3), ("none", 0.0))
    )
    assert one.model_sha256 == two.model_sha256
    assert one.model_sha256 != none.model_sha256
    first = [
        json.loads((tmp_path / name / "training.jsonl").open().readline())["loss"] for name in ("one", "none")
    ]
    assert first[0] == pytest.approx(first[1], abs=1e-5), (
        "an adapter that is still zero drops nothing that matters"
    )
