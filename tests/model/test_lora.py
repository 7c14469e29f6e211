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


def test_peft_reads_the_adapter_with_its_base_offline_and_gives_the_merged_model(
    tmp_path: Path, small_dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    peft = pytest.importorskip("peft")
    import huggingface_hub.constants
    import torch
    from transformers import AutoModelForCausalLM

    train(tmp_path / "run", small_dataset("train-v1", 60), {"rank": 4})
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    adapted = peft.AutoPeftModelForCausalLM.from_pretrained(tmp_path / "run" / "adapter", dtype=torch.float32)
    assert str(TINY_BASE_DIRECTORY) in (tmp_path / "run" / "adapter" / "README.md").read_text()
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "model", dtype=torch.float32)
    tokens = torch.arange(4, 40)[None]
    with torch.inference_mode():
        assert torch.allclose(adapted(tokens).logits, merged(tokens).logits, atol=1e-4)


def test_an_adapter_of_a_hub_model_names_it_with_its_commit(tmp_path: Path) -> None:
    from flax import nnx

    from trainer.contract import LoraConfig
    from trainer.huggingface.weights import load_decoder
    from trainer.model.architecture import read_architecture
    from trainer.model.lora import AdapterBase, add_lora, save_adapter

    config = LoraConfig(rank=2)
    model = load_decoder(TINY_BASE_DIRECTORY, read_architecture(TINY_BASE_DIRECTORY))
    add_lora(model, config, nnx.Rngs(0))
    save_adapter(model, config, AdapterBase(TINY_BASE_DIRECTORY, "org/name", "a" * 40), tmp_path)
    written = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (written["base_model_name_or_path"], written["revision"]) == ("org/name", "a" * 40)


@pytest.mark.long
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
