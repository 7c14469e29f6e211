"""Training learns, repeats to the byte, stops on NaN, and refuses what it cannot train."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import HallmarkError, InputError, ResourceError
from core.progress import Progress
from experiments.references import TINY_BASE_DIRECTORY
from tests.support.training import tiny_training
from trainer.contract import TrainResult, TrainSpec

pytestmark = pytest.mark.model


def train(
    output: Path, dataset: Path, base: Path = TINY_BASE_DIRECTORY, finishes: bool = True, **config: object
) -> TrainResult:
    from trainer.job import run_training

    output.mkdir(exist_ok=True)
    settings = tiny_training(**{"steps": 6, "batch_size": 8, "warmup_steps": 1, **config})
    spec = TrainSpec(base=base, base_label="tiny-base", dataset=dataset, output=output, config=settings)
    seen: list[Progress] = []
    result = run_training(spec, seen.append)
    assert seen[-1].done == (settings.steps if finishes else result.steps)
    return result


def test_the_same_training_gives_the_same_bytes_and_another_seed_others(
    tmp_path: Path, small_dataset
) -> None:
    dataset = small_dataset("train-v1", 200)
    one, two, other = (
        train(tmp_path / name, dataset, seed=seed) for name, seed in (("one", 0), ("two", 0), ("other", 1))
    )
    assert one.model_sha256 == two.model_sha256
    assert (tmp_path / "one" / "training.jsonl").read_bytes() == (
        tmp_path / "two" / "training.jsonl"
    ).read_bytes()
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
    assert (
        model.generate(
            **tokenizer("Reverse baba\n", return_tensors="pt"), do_sample=False, max_new_tokens=4
        ).shape[1]
        == 17
    )


def test_a_loss_that_is_no_number_stops_the_training_and_leaves_no_model(
    tmp_path: Path, small_dataset, tiny_copy: Path
) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(tiny_copy / "model.safetensors")
    tensors["model.norm.weight"][:] = 3e38  # finite, and beyond the range once it is multiplied
    save_file(tensors, tiny_copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        HallmarkError, match="the loss became (nan|inf) and the gradient norm nan at step 1 of 6"
    ):
        train(tmp_path / "run", small_dataset("train-v1", 60), base=tiny_copy)
    assert not (tmp_path / "run" / "model").exists()


def test_a_training_item_that_does_not_fit_is_named(tmp_path: Path, small_dataset) -> None:
    with pytest.raises(
        InputError, match="60 of 60 traces have more tokens than train.sequence_length = 16: the longest"
    ):
        train(tmp_path / "run", small_dataset("train-v1", 60), sequence_length=16)


def test_a_shape_that_disagrees_with_the_config_is_named(
    tmp_path: Path, small_dataset, tiny_copy: Path
) -> None:
    config = json.loads((tiny_copy / "config.json").read_text())
    (tiny_copy / "config.json").write_text(json.dumps({**config, "intermediate_size": 100}))
    with pytest.raises(
        InputError,
        match=r"tensor model\.layers\.0\.mlp\.gate_proj\.weight has shape \[384, 128\].*\[100, 128\]",
    ):
        train(tmp_path / "run", small_dataset("train-v1", 60), base=tiny_copy)


@pytest.mark.long
@pytest.mark.slow
def test_the_gradients_of_a_step_do_not_depend_on_how_it_is_computed(tmp_path: Path, small_dataset) -> None:
    dataset = small_dataset("train-v1", 200)
    curves = []
    for name, settings in (
        ("whole", {}),
        ("parts", {"accumulation_steps": 4}),
        ("remat", {"remat": True}),
        ("chunks", {"loss_chunk": 100}),
        ("all", {"accumulation_steps": 2, "remat": True, "loss_chunk": 64}),
    ):
        train(tmp_path / name, dataset, **settings)
        curves.append([json.loads(line)["loss"] for line in (tmp_path / name / "training.jsonl").open()])
    for curve in curves[1:]:
        assert curve == pytest.approx(curves[0], abs=1e-5)


def test_packed_and_unpacked_traces_give_the_same_gradients(tmp_path: Path, small_dataset) -> None:
    import jax
    import numpy as np
    from flax import nnx

    from golden.tokenizer import load_tokenizer
    from trainer.data.stream import evaluation_batches
    from trainer.data.tokens import tokenize
    from trainer.huggingface.weights import load_decoder
    from trainer.model.architecture import read_architecture
    from trainer.step import DeviceBatch, summed_loss

    dataset = tokenize(
        small_dataset("train-v1", 24), load_tokenizer(TINY_BASE_DIRECTORY), tmp_path / "tokens"
    )
    graph, parameters = nnx.split(load_decoder(TINY_BASE_DIRECTORY, read_architecture(TINY_BASE_DIRECTORY)))
    gradients = []
    for packing in (True, False):
        [batch] = evaluation_batches(dataset, np.arange(24), batch=24, length=160, packing=packing)

        def loss(parameters: object, batch=batch) -> jax.Array:
            on_device = DeviceBatch(batch.tokens, batch.positions, batch.segments, batch.targets)
            return summed_loss(nnx.merge(graph, parameters), on_device) / 24

        gradients.append(jax.tree.leaves(jax.jit(jax.grad(loss))(parameters)))
    for packed, unpacked in zip(*gradients, strict=True):
        np.testing.assert_allclose(packed, unpacked, atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [{"dtype": "bfloat16"}, {"optimizer": "adafactor"}, {"packing": False, "sequence_length": 160}],
)
def test_every_way_of_training_lowers_the_loss(
    settings: dict[str, object], tmp_path: Path, small_dataset
) -> None:
    result = train(tmp_path / "run", small_dataset("train-v1", 60), steps=30, **settings)
    assert result.last_loss < 0.85 * result.first_loss


def test_held_out_traces_are_evaluated_and_the_best_step_is_kept(tmp_path: Path, small_dataset) -> None:
    settings = {"held_out": 0.5, "evaluate_every": 3, "patience": 2, "learning_rate": 0.001}
    result = train(tmp_path / "run", small_dataset("train-v1", 20), steps=60, finishes=False, **settings)
    evaluations = {
        row["step"]: row["held_out_loss"]
        for row in map(json.loads, (tmp_path / "run" / "training.jsonl").open())
        if row["held_out_loss"] is not None
    }
    assert result.stopped_early
    assert result.steps < 60
    assert result.best_step == min(evaluations, key=lambda step: evaluations[step])
    assert result.best_step == result.steps - 2 * 3
    assert result.held_out_loss == evaluations[result.best_step]


@pytest.mark.long
@pytest.mark.slow
def test_a_step_that_does_not_fit_is_refused_with_numbers_and_remedies(tmp_path: Path, small_dataset) -> None:
    with pytest.raises(ResourceError) as caught:
        train(tmp_path / "run", small_dataset("train-v1", 60), memory_gb=0.04)
    message = str(caught.value)
    assert "on a GPU of 0.04 GB. Nothing was started" in message
    assert "train.accumulation_steps=8: 0.02 GB, fits" in message
    assert "train.remat=true" in message
    assert "train.method=lora" in message
    assert not (tmp_path / "run" / "training.jsonl").exists()


def test_the_loss_curve_is_drawn_and_repeats_to_the_byte(tmp_path: Path, small_dataset) -> None:
    for name in ("one", "two"):
        train(tmp_path / name, small_dataset("train-v1", 60))
    picture = (tmp_path / "one" / "loss_curve.svg").read_bytes()
    assert picture == (tmp_path / "two" / "loss_curve.svg").read_bytes()
    assert b"<svg" in picture
