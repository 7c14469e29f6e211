"""From toy to real: a pretrained chat model and a public dataset as people have them, in an empty folder."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from golden.datasets import load_dataset
from tests.support.gsm8k import SHARED
from tests.support.real_model import real_model
from tests.support.workplace import Workplace

pytestmark = pytest.mark.e2e

ITEMS, TOKENS = 6, 48


@pytest.fixture(scope="module")
def model(shared: Path) -> Path:
    return real_model(shared)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Workplace:
    """An empty folder in which `hallmark init` was typed."""
    place = Workplace(tmp_path_factory.mktemp("real"))
    data = SHARED / "data" / "gsm8k"
    done = place.run(
        *("init", "--model", model, "--data", data / "test.jsonl", "--train-data", data / "train.jsonl"),
        *("--name", "gsm8k", "--golden-items", 100, "--minutes", 1),
    )
    assert done.returncode == 0, done.stderr
    assert "hallmark experiment --config hallmark.toml" in done.stdout
    return place


@pytest.fixture(scope="module")
def base(place: Workplace) -> Any:
    """The base model's run on a few items."""
    return place.json("evaluate", "--config", "hallmark.toml", "--limit", ITEMS, "--max-new-tokens", TOKENS)


def test_one_command_brings_model_and_data_together(place: Workplace, model: Path) -> None:
    settings = tomllib.loads((place.folder / "hallmark.toml").read_text())
    assert settings["base_model"] == str(model)
    assert settings["model_name"] == "gsm8k"
    golden, train = (
        load_dataset(place.folder / name) for name in (settings["dataset"], settings["train"]["dataset"])
    )
    assert golden.manifest is not None
    assert golden.manifest.items == 100
    assert golden.judge == "answer_correctness@v2"
    assert sum(1 for _ in train.traces()) > 7_000
    assert settings["train"]["learning_rate"] < 1e-3, "0.002 is for the built-in tiny base"
    assert 0 < settings["generation"]["max_new_tokens"] <= 1024
    assert "Answer:" in settings["prompt"]["instruction"]


@pytest.mark.long
def test_predictions_are_those_of_a_plain_loop_over_transformers(
    place: Workplace, base: Any, model: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(2)
    settings = tomllib.loads((place.folder / "hallmark.toml").read_text())
    tokenizer = AutoTokenizer.from_pretrained(model)
    plain = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    folder = Path(base["directory"])
    predictions = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    items = [json.loads(line) for line in (folder / "dataset.jsonl").read_text().splitlines()]
    assert len(predictions) == ITEMS
    for item, found in zip(items, predictions, strict=True):
        asked = f"{item['prompt']}\n\n{settings['prompt']['instruction']}"
        inputs = tokenizer.apply_chat_template(
            [{"role": "user", "content": asked}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        written = plain.generate(**inputs, do_sample=False, max_new_tokens=TOKENS)
        expected = tokenizer.decode(
            written[0, inputs["input_ids"].shape[1] :],
            skip_special_tokens=True,
            clean_up_tokenization_spaces=False,
        )
        assert found["prediction"] == expected, item["trace_id"]


def test_after_evaluating_one_sees_what_the_model_said(place: Workplace, base: Any) -> None:
    shown = place.run("runs", "show", base["run_id"], "--wrong", 2)
    assert shown.returncode == 0, shown.stderr
    assert "Answer:" in shown.stdout, "the instruction is part of the prompt"


@pytest.mark.long
def test_the_whole_experiment_ends_in_a_decision(place: Workplace, base: Any) -> None:
    result = place.json(
        *("experiment", "--config", "hallmark.toml", "--limit", ITEMS, "--max-new-tokens", TOKENS),
        *("--steps", 2, "--set", "train.batch_size=1"),
        *("--set", "train.sequence_length=192", "--set", "train.on_too_long=drop"),
    )
    assert result["baseline"]["run_id"] == base["run_id"], "the base is judged once"
    assert result["decision"]["promote"] is False or result["outcome"] == "passed"
    assert result["version"] is None, "nothing is promoted on a quick look"
