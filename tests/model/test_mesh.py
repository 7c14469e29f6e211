"""Training on eight devices is training on one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from experiments.references import TINY_BASE_DIRECTORY
from tests.support.child_process import run_child_process
from tests.support.training import tiny_training
from trainer.contract import TrainSpec

pytestmark = pytest.mark.model


def train(output: Path, dataset: Path, devices: int, **settings: object) -> dict[str, Any]:
    """Train in a process that sees so many devices; gives its last message."""
    output.mkdir()
    config = tiny_training(**{"steps": 8, "batch_size": 16, "warmup_steps": 1, **settings})
    spec = TrainSpec(
        base=TINY_BASE_DIRECTORY, base_label="tiny-base", dataset=dataset, output=output, config=config
    )
    flags = f"--xla_force_host_platform_device_count={devices}"
    return run_child_process("trainer", spec, XLA_FLAGS=flags, JAX_PLATFORMS="cpu")


def losses(output: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (output / "training.jsonl").open()]


@pytest.mark.long
@pytest.mark.slow
def test_eight_devices_and_one_give_the_same_loss_curve(tmp_path: Path, small_dataset) -> None:
    dataset = small_dataset("train-v1", 200)
    alone = train(tmp_path / "one", dataset, 1)
    for name, settings in (
        ("data", {"data_parallel": 8}),
        ("fsdp", {"data_parallel": 2, "fsdp": 4, "accumulation_steps": 2}),
    ):
        result = train(tmp_path / name, dataset, 8, **settings)
        assert result["event"] == "result", result
        assert losses(tmp_path / name) == pytest.approx(losses(tmp_path / "one"), abs=1e-5)
    assert result["body"]["memory_bytes"] < 0.5 * alone["body"]["memory_bytes"], "each device holds a part"


def test_more_devices_than_there_are_is_said(tmp_path: Path, small_dataset) -> None:
    answer = train(tmp_path / "run", small_dataset("train-v1", 60), 2, data_parallel=4)
    assert (answer["event"], answer["exit_code"]) == ("error", 4)
    assert "asks for 4 devices, but there are 2 (cpu)" in answer["body"]
