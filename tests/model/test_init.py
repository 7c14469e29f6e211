"""`hallmark init`: from a model and a file of questions to settings, with the built-in tiny model."""

from __future__ import annotations

import csv
import json
import shutil
import tomllib
from pathlib import Path

import pytest

from experiments.references import TINY_BASE_DIRECTORY
from golden.datasets import load_dataset
from tests.conftest import CommandLine

pytestmark = pytest.mark.model


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """A table of questions, as a spreadsheet writes it."""
    path = tmp_path / "sums.csv"
    with path.open("w", newline="", encoding="utf-16") as file:
        table = csv.writer(file, delimiter="\t")
        table.writerow(["question", "answer"])
        table.writerows([f"What is {left} + {left + 7}?", 2 * left + 7] for left in range(10, 50))
    return path


@pytest.fixture
def gpt2(tmp_path: Path) -> Path:
    """A model of a family that can be judged and not trained."""
    from transformers import GPT2Config, GPT2LMHeadModel

    path = tmp_path / "gpt2"
    shutil.copytree(TINY_BASE_DIRECTORY, path, ignore=shutil.ignore_patterns("*.safetensors", "config.json"))
    config = GPT2Config(vocab_size=128, n_embd=16, n_layer=1, n_head=2, n_positions=512)
    GPT2LMHeadModel(config).save_pretrained(path)
    return path


def test_one_file_becomes_a_golden_set_and_what_it_leaves_a_training_set(
    hallmark: CommandLine, questions: Path, tmp_path: Path
) -> None:
    done = hallmark("init", "--model", "tiny-base", "--data", questions, "--golden-items", 10)
    assert done.returncode == 0, done.stderr
    settings = tomllib.loads((tmp_path / "hallmark.toml").read_text())
    assert (settings["base_model"], settings["model_name"]) == ("tiny-base", "sums")
    golden, train = (
        load_dataset(tmp_path / name) for name in ("data/sums-v1.jsonl", "data/sums-train-v1.jsonl")
    )
    assert golden.manifest is not None
    assert golden.judge == "answer_correctness@v2"
    asked, taught = ({line.question for line in each} for each in (golden.items(), train.traces()))
    assert (len(asked), len(taught), asked & taught) == (10, 30, set())
    assert settings["train"]["learning_rate"] == 0.002, "the built-in tiny base has settings of its own"
    assert "  hallmark experiment --config hallmark.toml\n" in done.stdout
    assert "10 questions cannot show much" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_without_a_terminal_a_missing_option_is_named(hallmark: CommandLine, questions: Path) -> None:
    done = hallmark("init", "--data", questions)
    assert done.returncode == 2
    assert "--model: missing, and there is no terminal to ask on" in done.stderr
    assert "--model and --data: missing" in hallmark("init").stderr


def test_settings_that_are_there_are_not_overwritten(
    hallmark: CommandLine, questions: Path, tmp_path: Path
) -> None:
    (tmp_path / "hallmark.toml").write_text("mine = 1\n")
    done = hallmark("init", "--model", "tiny-base", "--data", questions)
    assert done.returncode == 2
    assert "hallmark.toml: is there already" in done.stderr
    assert (tmp_path / "hallmark.toml").read_text() == "mine = 1\n"


def test_a_model_that_cannot_be_trained_is_set_up_to_be_judged(
    hallmark: CommandLine, questions: Path, tmp_path: Path, gpt2: Path
) -> None:
    done = hallmark("init", "--model", gpt2, "--data", questions, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["untrained"]
    assert report["command"] == "hallmark evaluate --config hallmark.toml"
    assert tomllib.loads((tmp_path / "hallmark.toml").read_text())["model"] == str(gpt2)


@pytest.mark.long
def test_what_was_imported_goes_again_where_nothing_can_come_of_it(
    hallmark: CommandLine, questions: Path, tmp_path: Path
) -> None:
    long = tmp_path / "long.jsonl"
    rows = ({"question": f"{number}? {'word ' * 400}", "answer": str(number)} for number in range(40))
    long.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = hallmark("init", "--model", "tiny-base", "--data", questions, "--train-data", long)
    assert done.returncode == 2
    assert list((tmp_path / "data").glob("*")) == []
    assert not (tmp_path / "hallmark.toml").exists()
    done = hallmark("init", "--model", "tiny-base", "--data", questions, "--config", "my settings.toml")
    assert done.returncode == 0, done.stderr
    assert "hallmark experiment --config 'my settings.toml'" in done.stdout
