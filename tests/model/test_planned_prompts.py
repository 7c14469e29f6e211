"""What cannot be asked of a model is refused when a run is planned, not after hours of training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from core.errors import InputError
from experiments.config import ExperimentConfig, configured, training
from experiments.plan import plan_experiment, plan_training
from experiments.references import TINY_BASE_DIRECTORY
from experiments.workspace import Workspace
from tests.support.recorded_runs import workspace_at
from tests.support.registry_entries import finish, promote, start

pytestmark = pytest.mark.model

NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported.') }}{% endif %}"
    "{% for message in messages %}{{ message.content }}\n{% endfor %}"
)


def model(folder: Path, context: int = 256, template: str | None = None) -> Path:
    """The tiny base's weights with another context, and perhaps a chat template."""
    shutil.copytree(TINY_BASE_DIRECTORY, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": context}))
    if template:
        (folder / "chat_template.jinja").write_text(template)
    return folder


def write(path: Path, **row: Any) -> str:
    path.write_text(json.dumps({"trace_id": path.stem, "final_answer": "4", "category": "c", **row}) + "\n")
    return str(path)


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    return {
        "dataset": write(tmp_path / "mine-v1.jsonl", prompt="2 + 2?"),
        "train.dataset": write(tmp_path / "more-v1.jsonl", prompt="Say four"),
        "model_name": "m",
        "generation.max_new_tokens": 32,
    }


@pytest.fixture
def workspace(home: Path) -> Workspace:
    return workspace_at(home)


@pytest.mark.parametrize("plan", ["train", "experiment"])
def test_a_completion_that_leaves_no_room_is_refused_before_training(
    plan: str, settings: dict[str, Any], workspace: Workspace
) -> None:
    wanted = {**settings, "generation.max_new_tokens": 2048}
    with pytest.raises(InputError, match="2048 leaves no room for a prompt in a context of 256 tokens"):
        if plan == "train":
            plan_training(training(None, wanted), workspace)
        else:
            plan_experiment(configured(ExperimentConfig, None, wanted), workspace)


def test_a_prompt_that_must_be_shortened_or_cannot_be_rendered_is_refused_before_training(
    settings: dict[str, Any], workspace: Workspace, tmp_path: Path
) -> None:
    long = write(tmp_path / "long-v1.jsonl", prompt="2 + 2? " * 40)
    refuse = {**settings, "dataset": long, "generation.on_truncation": "refuse"}
    with pytest.raises(InputError, match="1 prompts are longer than the context, the first is long-v1"):
        plan_training(training(None, refuse), workspace)
    with_system = write(tmp_path / "system-v1.jsonl", prompt="2 + 2?", system="Add.")
    base = str(model(tmp_path / "base", template=NO_SYSTEM))
    with pytest.raises(InputError, match=r"item system-v1: .*cannot render it: System role not supported"):
        plan_training(training(None, {**settings, "base_model": base, "dataset": with_system}), workspace)


@pytest.mark.parametrize(
    ("made", "item", "message"),
    [
        ({"context": 32}, {}, "generation.max_new_tokens: 32 leaves no room"),
        ({"template": NO_SYSTEM}, {"system": "Add."}, "item other-v1: .*System role not supported"),
    ],
)
def test_a_champion_that_cannot_be_asked_is_named_before_anything_is_predicted(
    made: dict[str, Any],
    item: dict[str, Any],
    message: str,
    settings: dict[str, Any],
    workspace: Workspace,
    tmp_path: Path,
) -> None:
    """On any of the datasets that something is required on."""
    weights = model(tmp_path / "champion", **made)
    registry = workspace.registry
    promote(registry, finish(registry, start(registry), weights), weights)
    other = write(tmp_path / "other-v1.jsonl", prompt="2 + 2 = ?", **item)
    suite = [{"dataset": settings.pop("dataset")}, {"dataset": other, "aim": "not_worse", "margin": 0.1}]
    wanted = configured(ExperimentConfig, None, {**settings, "require": suite})
    with pytest.raises(InputError, match=f"^the champion m@v1: .*{message}"):
        plan_experiment(wanted, workspace)
