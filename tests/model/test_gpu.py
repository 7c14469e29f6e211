"""What only a GPU can show: the same predictions, the memory that training may use, one job at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.gpus import ask_driver, own_device, visible_gpus
from core.locks import holder
from experiments.references import TINY_BASE_DIRECTORY
from inference.contract import GenerationConfig, PredictSpec
from tests.support.child_process import run_child_process
from tests.support.training import tiny_training
from trainer.contract import PlanSpec

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not ask_driver("uuid"), reason="the NVIDIA driver lists no GPU here"),
]


def test_a_gpu_predicts_what_the_cpu_predicts(tmp_path: Path, small_dataset) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this torch cannot use the GPU")
    dataset = small_dataset("golden-v1", 60)
    written = {}
    for device in ("cpu", "cuda"):
        output = tmp_path / device
        output.mkdir()
        generation = GenerationConfig(max_new_tokens=128, device=device, dtype="float32", batch_size=16)
        spec = PredictSpec(
            model=TINY_BASE_DIRECTORY, dataset=dataset, output=output, label="predict", generation=generation
        )
        answer = run_child_process("inference", spec, CUBLAS_WORKSPACE_CONFIG=":4096:8")
        assert answer["event"] == "result", answer
        assert json.loads((output / "predictions_meta.json").read_text())["device"] == device
        written[device] = (output / "predictions.jsonl").read_bytes()
    assert written["cuda"] == written["cpu"]


def test_training_may_use_what_the_gpu_says_it_has(tmp_path: Path) -> None:
    spec = PlanSpec(model=TINY_BASE_DIRECTORY, config=tiny_training(), batches=[8], lengths=[128])
    answer = run_child_process("trainer.memory", spec)
    assert answer["event"] == "result", answer
    plan = answer["body"]
    if plan["platform"] != "gpu":
        pytest.skip("this jax cannot use the GPU")
    mebibytes = [int(line.split()[0]) for line in ask_driver("memory.total")]
    assert 0 < plan["limit_bytes"] <= max(mebibytes) * 2**20
    assert all(sum(row["memory"].values()) < plan["limit_bytes"] for row in plan["rows"])


def test_a_gpu_is_locked_by_its_uuid_however_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HALLMARK_LOCKS", str(tmp_path))
    index, uuid = (part.strip() for part in ask_driver("index,uuid")[0].split(","))
    seen = []
    for name in (index, uuid):
        code = "from core.gpus import visible_gpus; print(*visible_gpus())"
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": name}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        seen.append(done.stdout.split())
    assert seen == [[uuid], [uuid]]
    with own_device("my job", lambda _: None) as held:
        assert len(held) == len(visible_gpus()) > 0
        for gpu in visible_gpus():
            found = holder(tmp_path / f"{gpu}.lock")
            assert found is not None
            assert found.what == "my job"
    assert all(holder(path) is None for path in tmp_path.glob("*.lock"))
