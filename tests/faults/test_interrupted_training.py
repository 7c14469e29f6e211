"""Killed at any moment, a training goes on and ends in the bytes of an undisturbed one; with other inputs it does not go on."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from experiments.references import TINY_BASE_DIRECTORY
from golden.datasets import load_dataset
from hallmark.config import TrainConfig
from tests.stage_process import run_stage_process
from trainer.contract import TrainSpec

pytestmark = pytest.mark.model

KILLS = 20


def job(output: Path, dataset: Path, **changes: Any) -> TrainSpec:
    output.mkdir(exist_ok=True)
    settings = {"steps": 40, "batch_size": 8, "checkpoint_every": 2, "held_out": 0.1, "evaluate_every": 4, **changes.pop("settings", {})}
    fields = {"inputs": {"uv_lock_sha256": "a" * 64}, **changes}
    config = TrainConfig.model_validate(settings)
    return TrainSpec(base=TINY_BASE_DIRECTORY, base_label="tiny-base", dataset=dataset, output=output, config=config, **fields)


def run(spec: TrainSpec, kill_after: float | None = None) -> dict[str, Any]:
    return run_stage_process("trainer", spec, kill_after=kill_after)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    path = tmp_path / "small-v1.jsonl"
    rows = [item.model_dump() for item in load_dataset("train-v1").items()][:200]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_training_killed_at_random_moments_ends_in_the_same_bytes(tmp_path: Path, dataset: Path) -> None:
    undisturbed = run(job(tmp_path / "undisturbed", dataset))["body"]
    again = run(job(tmp_path / "again", dataset))["body"]
    assert again["model_sha256"] == undisturbed["model_sha256"]
    moments = random.Random(7)
    number, resumed = 0, []
    for _ in range(KILLS):
        result = run(job(tmp_path / f"disturbed-{number}", dataset), kill_after=moments.uniform(0, again["seconds"] / 2))
        if result["event"] == "result":  # it was done before the kill; the next kills meet another training
            resumed.append(finished(tmp_path, number, result["body"], undisturbed))
            number += 1
    result = run(job(tmp_path / f"disturbed-{number}", dataset))
    resumed.append(finished(tmp_path, number, result["body"], undisturbed))
    assert max(resumed) > 0, "a training went on where it was killed"


def finished(folder: Path, number: int, body: dict[str, Any], undisturbed: dict[str, Any]) -> int:
    """Compare a disturbed training with the undisturbed one; gives the step that it went on from."""
    directory = folder / f"disturbed-{number}"
    assert body["model_sha256"] == undisturbed["model_sha256"]
    for name in ("training.jsonl", "loss_curve.svg"):
        assert (directory / name).read_bytes() == (folder / "undisturbed" / name).read_bytes()
    assert {path.name for path in directory.iterdir()} == {"model", "training.jsonl", "loss_curve.svg"}
    return int(body["resumed"])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"settings": {"learning_rate": 1e-4}}, "config.learning_rate: was 0.002, is 0.0001"),
        ({"inputs": {"uv_lock_sha256": "b" * 64}}, f'uv_lock_sha256: was "{"a" * 64}", is "{"b" * 64}"'),
    ],
)
def test_a_training_with_other_inputs_does_not_go_on_and_says_what_changed(
    changes: dict[str, Any], named: str, tmp_path: Path, dataset: Path
) -> None:
    import numpy as np

    from trainer.checkpoints import Checkpoints

    spec = job(tmp_path / "run", dataset)
    inputs = {"config": spec.config.model_dump(mode="json"), **spec.inputs}
    Checkpoints(spec.output / "checkpoints" / "latest", 2, inputs).save(2, {"weights": np.zeros(3)}, {"data": {}})
    answer = run(job(tmp_path / "run", dataset, **changes))
    assert (answer["event"], answer["exit_code"]) == ("error", 2)
    assert named in answer["body"]
    assert "start a new run" in answer["body"]
