"""Every way in which a model directory can be unfit is refused by name, before anything starts: for judging,
and for training.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import InputError
from core.files import sha256_tree
from core.model_files import model_files, sha256_model
from core.tensors import nonfinite_tensors
from experiments.config import TrainRunConfig
from experiments.plan import plan_training
from experiments.references import TINY_BASE_DIRECTORY, resolve_model
from experiments.workspace import Workspace
from tests.support.hub_cache import hub_cache
from tests.support.model_faults import FAULTS, add_token, change_json, poison, shard
from tests.support.recorded_runs import workspace_at
from tests.support.refusals import assert_refused

pytestmark = pytest.mark.unit


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the tiny base that a test may damage."""
    return Path(shutil.copytree(TINY_BASE_DIRECTORY, tmp_path / "my-model"))


@pytest.fixture
def workspace(home: Path) -> Workspace:
    return workspace_at(home)


@pytest.mark.parametrize("name", FAULTS)
def test_an_unfit_model_directory_is_refused_with_file_and_remedy(
    name: str, model: Path, workspace: Workspace
) -> None:
    fault = FAULTS[name]
    fault.damage(model)
    with pytest.raises(fault.error) as judging:
        resolve_model(str(model), workspace)
    with pytest.raises(fault.error) as training:
        plan_training(TrainRunConfig(base_model=str(model)), workspace)
    assert str(judging.value) == str(training.value)
    assert "my-model" in str(judging.value)
    for words in fault.words:
        assert words in str(judging.value)


def test_the_command_line_gives_the_exit_codes(hallmark, model: Path, home: Path) -> None:
    poison(model)
    assert_refused(hallmark("evaluate", model), 2, "my-model: model.safetensors: tensor model.norm.weight")
    (model / "model.safetensors").write_bytes(b"")
    assert_refused(hallmark("train", "--base-model", model), 3, "model.safetensors: damaged safetensors file")
    assert not (home / "runs").exists(), "nothing was begun"


FINE: dict[str, Callable[[Path], object]] = {
    "sharded": shard,
    "an index for one file": lambda model: change_json(
        model / "model.safetensors.index.json", weight_map={"model.norm.weight": "model.safetensors"}
    ),
    "the same weights for another program": lambda model: shutil.copy(
        model / "model.safetensors", model / "consolidated.safetensors"
    ),
    "no architectures": lambda model: change_json(model / "config.json", architectures=None),
    "torch_dtype": lambda model: change_json(model / "config.json", torch_dtype="torch.bfloat16"),
    "an image token that no text holds": lambda model: add_token(model, "<image>", 99),
    "a padding token beyond the embeddings": lambda model: add_token(model, "<pad>", 99, pad_token="<pad>"),
    "infinity in the config": lambda model: (model / "config.json").write_text(
        (model / "config.json").read_text().replace("{", '{"time_step_limit": [0.0, Infinity],', 1)
    ),
    "no quantization": lambda model: change_json(model / "config.json", quantization_config=None),
    "pickles beside": lambda model: (model / "pytorch_model.bin").write_bytes(b""),
}


@pytest.mark.parametrize("name", FINE)
def test_what_real_models_hold_is_not_refused(name: str, model: Path, workspace: Workspace) -> None:
    FINE[name](model)
    tiny = resolve_model("tiny-base", workspace)
    assert resolve_model(str(model), workspace).tensors_sha256 == tiny.tensors_sha256


def test_tensors_that_are_not_finite_are_counted_by_name(model: Path) -> None:
    assert nonfinite_tensors(model) == []
    poison(model, value=float("-inf"))
    assert [(found.name, found.bad, found.total) for found in nonfinite_tensors(model)] == [
        ("model.norm.weight", 1, 128)
    ]


NOT_THE_MODEL = (
    ".git/config",
    ".gitattributes",
    ".cache/huggingface/download/config.json.metadata",
    ".DS_Store",
    "optimizer.pt",
    "scheduler.pt",
    "rng_state_0.pth",
    "trainer_state.json",
    "training_args.bin",
    "runs/today/events.out.tfevents.1",
    "checkpoint-500/model.safetensors",
    "onnx/model.onnx",
    "pytorch_model.bin",
    "model.safetensors.lock",
)


def test_caches_repositories_and_optimizers_are_not_the_model(model: Path) -> None:
    expected = sha256_tree(TINY_BASE_DIRECTORY)
    for name in NOT_THE_MODEL:
        (model / name).parent.mkdir(parents=True, exist_ok=True)
        (model / name).write_text("other")
        assert sha256_model(model) == expected, name
    assert sha256_tree(model) != expected


@pytest.mark.parametrize(
    "name", ["additional_chat_templates/tool_use.jinja", "vocab.txt", "chat_template.jinja", "LICENSE"]
)
def test_whatever_a_loader_reads_is_the_model(name: str, model: Path) -> None:
    (model / name).parent.mkdir(exist_ok=True)
    (model / name).write_text("text")
    assert sha256_model(model) != sha256_model(TINY_BASE_DIRECTORY)


def test_a_snapshot_of_the_hub_cache_is_the_model_that_its_links_lead_to(
    tmp_path: Path, workspace: Workspace
) -> None:
    found = resolve_model(str(hub_cache(tmp_path)), workspace)
    assert found.sha256 == sha256_tree(TINY_BASE_DIRECTORY)
    stored = workspace.registry.artifacts.put(found.path, files=model_files(found.path))
    assert stored == found.sha256
    kept = workspace.registry.artifacts.get(stored)
    assert not any(path.is_symlink() for path in kept.iterdir())


def test_a_link_out_of_the_hub_cache_is_refused(tmp_path: Path) -> None:
    snapshot = hub_cache(tmp_path)
    (tmp_path / "secret").write_text("secret")
    (snapshot / "LICENSE").symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match="LICENSE: a link out of the model directory is refused"):
        model_files(snapshot)
