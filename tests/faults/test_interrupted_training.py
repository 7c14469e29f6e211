"""Killed at any moment, and whatever it resumes from is damaged, training ends in the same bytes; with other
inputs it does not resume.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.files import remove_unfinished
from experiments.references import TINY_BASE_DIRECTORY
from golden.datasets import load_dataset
from tests.support.child_process import run_child_process
from tests.support.damage import damage_one_file
from tests.support.training import tiny_training
from trainer.contract import RESUMABLE, TrainSpec

pytestmark = pytest.mark.model

KILLS = int(os.environ.get("HALLMARK_TEST_KILLS", "20"))
"""CI, which has two cores and 25 minutes, makes fewer."""
STEPS = 40


def job(output: Path, dataset: Path, **changes: Any) -> TrainSpec:
    output.mkdir(exist_ok=True)
    settings = {
        "steps": STEPS,
        "batch_size": 4,
        "checkpoint_every": 2,
        "held_out": 0.1,
        "evaluate_every": 4,
        **changes.pop("settings", {}),
    }
    fields = {"inputs": {"uv_lock_sha256": "a" * 64}, **changes}
    config = tiny_training(**settings)
    return TrainSpec(
        base=TINY_BASE_DIRECTORY,
        base_label="tiny-base",
        dataset=dataset,
        output=output,
        config=config,
        **fields,
    )


def run(spec: TrainSpec, kill_at: Callable[[dict[str, Any]], bool] | None = None) -> dict[str, Any]:
    return run_child_process("trainer", spec, kill_at=kill_at)


def moment(step: int, delay: float) -> Callable[[dict[str, Any]], bool]:
    """So many seconds after the training first says that it reached the step; 0 is its start, before anything
    is compiled.
    """

    def reached(message: dict[str, Any]) -> bool:
        if (
            message["event"] != "progress"
            or message["body"]["unit"] != "steps"
            or message["body"]["done"] < step
        ):
            return False
        time.sleep(delay)
        return True

    return reached


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    path = tmp_path / "small-v1.jsonl"
    rows = [item.model_dump() for item in load_dataset("train-v1").items()][:200]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.slow
def test_a_training_killed_and_damaged_at_random_ends_in_the_same_bytes(
    tmp_path: Path, dataset: Path
) -> None:
    """After every second kill one of the files that it would resume from is damaged."""
    undisturbed = run(job(tmp_path / "undisturbed", dataset))["body"]
    again = run(job(tmp_path / "again", dataset))["body"]
    assert again["model_sha256"] == undisturbed["model_sha256"]
    chance = random.Random(7)
    number, reached, resumed = 0, 0, []
    for kill in range(KILLS):
        early = (
            kill % 5 == 0
        )  # while it compiles, reads the dataset or its checkpoint; the others meet its steps and its end
        at = (
            moment(0, chance.uniform(0, 5))
            if early
            else moment(min(reached + chance.randint(1, 8), STEPS), chance.uniform(0, 0.5))
        )
        result = run(job(tmp_path / f"disturbed-{number}", dataset, cache=tmp_path / "programs"), kill_at=at)
        if result["event"] == "result":  # it was done before the kill; the next kills meet another run
            resumed.append(finished(tmp_path, number, result["body"], undisturbed))
            number, reached = number + 1, 0
        else:
            reached = max(reached, result["body"]["done"] if result["body"]["unit"] == "steps" else 0)
            if kill % 2 and kill < KILLS - 1:  # the last one leaves a checkpoint to resume from
                damaged = damage_one_file(tmp_path / f"disturbed-{number}", chance)
                print(f"kill {kill} at step {reached}: {damaged}")
                if damaged is not None and "latest" in damaged:
                    reached = 0
    result = run(job(tmp_path / f"disturbed-{number}", dataset, cache=tmp_path / "programs"))
    resumed.append(finished(tmp_path, number, result["body"], undisturbed))
    assert max(resumed) > 0, "a run resumed where it was killed"


def finished(folder: Path, number: int, body: dict[str, Any], undisturbed: dict[str, Any]) -> int:
    """Compare a disturbed training with the undisturbed one; gives the step that it went on from."""
    directory = folder / f"disturbed-{number}"
    assert body["model_sha256"] == undisturbed["model_sha256"]
    for name in ("training.jsonl", "loss_curve.svg"):
        assert (directory / name).read_bytes() == (folder / "undisturbed" / name).read_bytes()
    remove_unfinished(directory)  # as whoever continues the run does
    left = {"model", "training.jsonl", "loss_curve.svg", *RESUMABLE}
    assert {path.name for path in directory.iterdir()} == left
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
    Checkpoints(spec.output / "checkpoints" / "latest", 2, inputs).save(
        2, {"weights": np.zeros(3)}, {"data": {}}
    )
    answer = run(job(tmp_path / "run", dataset, **changes))
    assert (answer["event"], answer["exit_code"]) == ("error", 2)
    assert named in answer["body"]
    assert "start a new run" in answer["body"]
