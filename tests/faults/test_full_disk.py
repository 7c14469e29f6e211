"""Row 19: a disk that is full while predicting or saving a checkpoint is told; with room again, the result is
the same bytes.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments.references import TINY_BASE_DIRECTORY
from golden.datasets import load_dataset
from inference.contract import GenerationConfig, PredictSpec
from tests.support.child_process import run_child_process
from tests.support.training import tiny_training
from trainer.contract import TrainSpec

pytestmark = [pytest.mark.model, pytest.mark.slow]


@pytest.fixture
def dataset(tmp_path: Path) -> Callable[[str, int], Path]:
    def make(name: str, count: int) -> Path:
        path = tmp_path / f"small_{name.partition('-')[0]}-v1.jsonl"
        path.write_text(
            "".join(json.dumps(item.model_dump()) + "\n" for item in list(load_dataset(name).items())[:count])
        )
        return path

    return make


def resize(disk: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", disk], check=True)


def test_predictions_go_on_when_the_disk_has_room_again(small_disk: Path, dataset, tmp_path: Path) -> None:
    def predict(output: Path) -> dict[str, Any]:
        output.mkdir(exist_ok=True)
        generation = GenerationConfig(max_new_tokens=128, batch_size=8)
        spec = PredictSpec(
            model=TINY_BASE_DIRECTORY,
            dataset=dataset("golden-v1", 60),
            output=output,
            label="predict",
            generation=generation,
        )
        return run_child_process("inference", spec)

    undisturbed = predict(tmp_path / "undisturbed")
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * ((1 << 20) - (12 << 10)))  # three pages are left
    failed = predict(small_disk / "run")
    assert (failed["event"], failed["exit_code"]) == ("error", 4)
    assert f"{small_disk}/run/" in failed["body"]
    assert "the disk is full" in failed["body"]
    assert not (small_disk / "run" / "predictions.jsonl").exists()
    filler.unlink()
    done = predict(small_disk / "run")
    assert done["body"]["predictions_sha256"] == undisturbed["body"]["predictions_sha256"]


@pytest.mark.long
def test_a_checkpoint_that_does_not_fit_stops_the_training_which_then_goes_on(
    small_disk: Path, dataset, tmp_path: Path
) -> None:
    path = dataset("train-v1", 100)

    def train(output: Path) -> dict[str, Any]:
        output.mkdir(exist_ok=True)
        config = tiny_training(steps=6, batch_size=8, checkpoint_every=2)
        spec = TrainSpec(
            base=TINY_BASE_DIRECTORY,
            base_label="tiny-base",
            dataset=path,
            output=output,
            config=config,
            inputs={},
        )
        return run_child_process("trainer", spec)

    undisturbed = train(tmp_path / "undisturbed")
    failed = train(small_disk / "run")
    assert (failed["event"], failed["exit_code"]) == ("error", 4)
    assert f"{small_disk}/run/checkpoints" in failed["body"]
    assert "the disk is full. Free 9,606,152 bytes" in failed["body"]
    assert not (small_disk / "run" / "model").exists()
    resize(small_disk, "200m")
    done = train(small_disk / "run")
    assert done["body"]["model_sha256"] == undisturbed["body"]["model_sha256"]
