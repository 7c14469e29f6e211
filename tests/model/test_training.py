"""Training learns, repeats to the byte, stops on NaN, and refuses what it cannot train."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.references import TINY_BASE_DIRECTORY
from hallmark.config import TrainConfig
from hallmark.errors import HallmarkError, InputError
from hallmark.progress import Progress
from trainer.contract import TrainResult, TrainSpec

pytestmark = pytest.mark.model


def train(output: Path, dataset: Path, base: Path = TINY_BASE_DIRECTORY, **config: object) -> TrainResult:
    from trainer.run import run_training

    output.mkdir(exist_ok=True)
    settings = TrainConfig.model_validate({"steps": 6, "batch_size": 8, "warmup_steps": 1, **config})
    spec = TrainSpec(base=base, base_label="tiny-base", dataset=dataset, output=output, config=settings)
    seen: list[Progress] = []
    result = run_training(spec, seen.append)
    assert seen[-1].done == settings.steps
    return result


def test_the_same_training_gives_the_same_bytes_and_another_seed_others(tmp_path: Path, small_dataset) -> None:
    dataset = small_dataset("train-v1", 200)
    one, two, other = (train(tmp_path / name, dataset, seed=seed) for name, seed in (("one", 0), ("two", 0), ("other", 1)))
    assert one.model_sha256 == two.model_sha256
    assert (tmp_path / "one" / "training.jsonl").read_bytes() == (tmp_path / "two" / "training.jsonl").read_bytes()
    assert other.model_sha256 != one.model_sha256


def test_training_lowers_the_loss_and_records_the_curve(tmp_path: Path, small_dataset) -> None:
    result = train(tmp_path / "run", small_dataset("train-v1", 60), steps=30)
    assert result.last_loss < 0.7 * result.first_loss
    curve = [json.loads(line) for line in (tmp_path / "run" / "training.jsonl").read_text().splitlines()]
    assert [row["step"] for row in curve] == list(range(1, 31))
    assert {"loss", "learning_rate", "gradient_norm", "loss_tokens"} < curve[0].keys()
    assert curve[0]["learning_rate"] == 0.0
    assert max(row["learning_rate"] for row in curve) == pytest.approx(2e-3)


def test_the_trained_model_loads_with_from_pretrained(tmp_path: Path, small_dataset) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    train(tmp_path / "run", small_dataset("train-v1", 60))
    model, report = AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "model", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "run" / "model")
    assert model.generate(**tokenizer("Reverse baba\n", return_tensors="pt"), do_sample=False, max_new_tokens=4).shape[1] == 17


def test_a_loss_that_is_no_number_stops_the_training_and_leaves_no_model(tmp_path: Path, small_dataset, tiny_copy: Path) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(tiny_copy / "model.safetensors")
    tensors["model.norm.weight"][:] = float("nan")
    save_file(tensors, tiny_copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(HallmarkError, match="the loss became nan at step 1 of 6"):
        train(tmp_path / "run", small_dataset("train-v1", 60), base=tiny_copy)
    assert not (tmp_path / "run" / "model").exists()


def test_a_training_item_that_does_not_fit_is_named(tmp_path: Path, small_dataset) -> None:
    with pytest.raises(InputError, match="do not fit into train.sequence_length 16"):
        train(tmp_path / "run", small_dataset("train-v1", 60), sequence_length=16)


def test_a_shape_that_disagrees_with_the_config_is_named(tmp_path: Path, small_dataset, tiny_copy: Path) -> None:
    config = json.loads((tiny_copy / "config.json").read_text())
    (tiny_copy / "config.json").write_text(json.dumps({**config, "intermediate_size": 100}))
    with pytest.raises(InputError, match=r"tensor model\.layers\.0\.mlp\.gate_proj\.weight has shape \[384, 128\].*\[100, 128\]"):
        train(tmp_path / "run", small_dataset("train-v1", 60), base=tiny_copy)
