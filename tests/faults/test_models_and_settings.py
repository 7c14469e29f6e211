"""Model directories and settings that cannot be used are refused before anything starts, and nothing is
recorded.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import InputError
from experiments.config import ExperimentConfig, configured
from experiments.references import TINY_BASE_DIRECTORY
from tests.support.refusals import assert_refused

pytestmark = pytest.mark.unit


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the tiny base that a test may break."""
    return Path(shutil.copytree(TINY_BASE_DIRECTORY, tmp_path / "broken-model"))


def rewrite_config(model: Path, **changes: object) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, **changes}))


def only_pickles(model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")


def missing_shard(model: Path) -> None:
    (model / "model.safetensors").unlink()
    (model / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "model-00001-of-00002.safetensors"}}'
    )


def link_outside(model: Path) -> None:
    (model / "tokenizer.json").unlink()
    (model / "tokenizer.json").symlink_to("/etc/hostname")


BROKEN: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "absent": (shutil.rmtree, ["no such model directory"]),
    "empty": (lambda model: [path.unlink() for path in model.iterdir()], ["is empty", "config.json"]),
    "a file": (
        lambda model: (shutil.rmtree(model), model.write_text("x")),
        ["is a file, expected a Hugging Face model directory"],
    ),
    "no config": (lambda model: (model / "config.json").unlink(), ["config.json is missing"]),
    "no tokenizer": (
        lambda model: (model / "tokenizer.json").unlink(),
        ["no tokenizer (looked for tokenizer.json"],
    ),
    "no weights": (
        lambda model: (model / "model.safetensors").unlink(),
        ["no weights (looked for model.safetensors"],
    ),
    "only pickles": (only_pickles, ["only pickled weights (pytorch_model.bin)", "loading them runs code"]),
    "a missing shard": (
        missing_shard,
        ["names weights that are not there", "model-00001-of-00002.safetensors"],
    ),
    "a link": (link_outside, ["tokenizer.json: a link out of the model directory is refused"]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_model_directory_that_is_not_whole_is_refused_with_what_is_missing(
    case: str, hallmark, model: Path, home: Path
) -> None:
    change, expected = BROKEN[case]
    change(model)
    assert_refused(hallmark("evaluate", model), 2, "broken-model", *expected)
    assert not (home / "runs").exists(), "nothing was begun"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"architectures": ["MambaForCausalLM"]},
            ["MambaForCausalLM cannot be trained", "LlamaForCausalLM", "Qwen3ForCausalLM"],
        ),
        ({"hidden_act": "relu"}, ["hidden_act", "'relu'", "'silu'"]),
        ({"num_hidden_layers": None, "architectures": []}, ["architectures: none given cannot be trained"]),
    ],
)
def test_an_architecture_that_cannot_be_trained_is_named_with_what_can(
    change: dict[str, object], expected: list[str], hallmark, model
) -> None:
    rewrite_config(model, **change)
    assert_refused(hallmark("train", "--base-model", model), 2, "config.json", *expected)


def test_a_missing_config_field_is_named(hallmark, model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    del config["intermediate_size"]
    (model / "config.json").write_text(json.dumps(config))
    assert_refused(
        hallmark("train", "--base-model", model), 2, "config.json: intermediate_size: missing field"
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--steps", "-1"], "train.steps: Input should be greater than or equal to 1, got -1"),
        (["--steps", "0"], "train.steps"),
        (["--batch-size", "0"], "generation.batch_size: Input should be greater than or equal to 1, got 0"),
        (["--learning-rate", "nan"], "train.learning_rate: Input should be a finite number"),
        (["--set", "train.learning_rate=inf"], "train.learning_rate"),
        (["--set", "train.bach_size=4"], "train.bach_size: unknown setting"),
        (["--set", "colour='red'"], "colour: unknown setting"),
        (["--set", "steps"], "--set steps: expected NAME=VALUE"),
        (["--set", "gate.alpha=2"], "gate.alpha: Input should be less than or equal to 0.5, got 2"),
        (["--set", "generation.dtype=int8"], "generation.dtype"),
        (["--model-name", "../x"], "model_name"),
    ],
)
def test_a_setting_out_of_bounds_is_named_with_its_bound(
    arguments: list[str], expected: str, hallmark, home: Path
) -> None:
    assert_refused(hallmark("experiment", *arguments), 2, expected)
    assert not home.exists(), "nothing was started"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("[train]\nstepz = 3\n", "nightly.toml: train.stepz: unknown setting"),
        ("[train\n", "nightly.toml: not valid TOML"),
        ("train = 3\n", "nightly.toml: train:"),
    ],
)
def test_a_configuration_file_that_cannot_be_used_is_named(
    content: str, expected: str, hallmark, tmp_path: Path
) -> None:
    (tmp_path / "nightly.toml").write_text(content)
    assert_refused(hallmark("experiment", "--config", "nightly.toml"), 2, expected)
    assert_refused(
        hallmark("experiment", "--config", "absent.toml"), 2, "absent.toml: no such configuration file"
    )


def test_a_configuration_that_is_neither_an_object_nor_a_path_is_refused() -> None:
    with pytest.raises(
        InputError, match="expected ExperimentConfig or the path of a TOML file, got {'train'"
    ):
        configured(ExperimentConfig, {"train": {"steps": 3}})  # type: ignore[arg-type]


def test_the_core_imports_neither_torch_nor_jax() -> None:
    code = (
        "import flows, tasks, registry, golden, sys; "
        "print([m for m in ('torch', 'jax', 'transformers') if m in sys.modules])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )
