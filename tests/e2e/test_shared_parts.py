"""Two workers with homes of their own, one registry and one store: both predict parts of a run."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.files import sha256_file
from experiments.references import TINY_BASE_DIRECTORY
from golden.datasets import BUILT_IN
from inference.contract import GenerationConfig, PredictSpec
from registry import open_registry

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.long]

PROJECT = Path(__file__).parents[2]
PREFECT = str(Path(sys.executable).with_name("prefect"))
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@contextmanager
def worker(home: Path, environment: dict[str, str]) -> Iterator[None]:
    """A worker that takes one flow run at a time."""
    home.mkdir()
    with (home / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [PREFECT, "worker", "start", "--pool", "gpu", "--limit", "1", "--name", home.name],
            env={**environment, "HALLMARK_HOME": str(home), "PREFECT_WORKER_QUERY_SECONDS": "1"},
            cwd=PROJECT,
            stdout=log,
            stderr=log,
        )
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def flow_runs(address: str, deployment: str) -> list[dict[str, Any]]:
    body = {"deployments": {"name": {"any_": [deployment]}}}
    return list(httpx.post(f"{address}/flow_runs/filter", json=body, timeout=240).raise_for_status().json())


def test_parts_of_a_run_are_predicted_by_two_workers_and_are_the_bytes_of_one_job(
    tmp_path: Path, plain_server: dict[str, str]
) -> None:
    from inference.generate import predict

    url = f"sqlite:///{tmp_path / 'registry.db'}"
    environment = {
        **plain_server,
        "HALLMARK_REGISTRY_URL": url,
        "HALLMARK_ARTIFACTS": str(tmp_path / "store"),
    }
    address = plain_server["PREFECT_API_URL"]
    for command in (
        ("work-pool", "create", "gpu", "--type", "process", "--overwrite"),
        ("deploy", "-n", "evaluate/evaluate", "-n", "predict-part/predict-part"),
    ):
        done = subprocess.run(
            [PREFECT, "--no-prompt", *command], env=environment, cwd=PROJECT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
    dataset = tmp_path / "mine-v1.jsonl"
    dataset.write_bytes(b"".join((BUILT_IN / "golden-v1.jsonl").read_bytes().splitlines(True)[:24]))
    deployment = httpx.get(f"{address}/deployments/name/evaluate/evaluate").raise_for_status().json()["id"]
    config = {
        "model": "tiny-base",
        "dataset": str(dataset),
        "generation": {"shards": 4, "max_new_tokens": 8},
    }
    with worker(tmp_path / "one", environment), worker(tmp_path / "two", environment):
        httpx.post(
            f"{address}/deployments/{deployment}/create_flow_run", json={"parameters": {"config": config}}
        ).raise_for_status()
        output = tmp_path / "alone"
        output.mkdir()
        generation = GenerationConfig(max_new_tokens=8)
        alone = predict(
            PredictSpec(
                model=TINY_BASE_DIRECTORY,
                dataset=dataset,
                output=output,
                label="predict",
                generation=generation,
            ),
            lambda _: None,
        )
        deadline = time.monotonic() + 240
        while (found := flow_runs(address, "evaluate")[0]["state"])["type"] not in ENDED:
            assert time.monotonic() < deadline, found
            time.sleep(0.5)
    logs = "\n".join((tmp_path / name / "worker.log").read_text() for name in ("one", "two"))
    assert found["type"] == "COMPLETED", logs
    parts = flow_runs(address, "predict-part")
    made = [each for each in parts if each["state"]["type"] == "COMPLETED"]
    assert len(parts) == 3, logs
    assert made, logs
    assert all(len(each["state"]["message"]) == 64 for each in made)
    assert {each["state"]["type"] for each in parts} <= {"COMPLETED", "CANCELLED"}, logs
    [run] = open_registry(tmp_path / "three", url).runs.list(limit=2)
    assert run.predictions_sha256 == alone.predictions_sha256
    [written] = tmp_path.glob("*/runs/*/predictions.jsonl")
    assert sha256_file(written) == alone.predictions_sha256
    assert not list(tmp_path.glob("*/cache/parts/*/*/predictions.jsonl")), "they are in the store"
