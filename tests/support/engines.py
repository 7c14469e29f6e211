"""Environments of engines: the real one of vLLM, and ones that only say what they have."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments.engines import VLLM_PYTHON
from inference.contract import PredictSpec
from tests.support.warm_processes import VLLM, WarmProcess, warm_processes

needs_vllm = pytest.mark.skipif(
    not VLLM_PYTHON.exists(), reason=".venv-vllm, the environment of the engine vllm, is absent: make vllm"
)


def environment_with(path: Path, **packages: str) -> Path:
    """Something to be taken for a Python: asked what it has installed, it names these packages."""
    said = json.dumps({"python": "3.11.9", "packages": {n.replace("_", "-"): v for n, v in packages.items()}})
    path.write_text(f"#!/bin/sh\necho '{said}'\n")
    path.chmod(0o755)
    return path


def start_vllm(spec: PredictSpec) -> WarmProcess:
    """Start a job in vLLM's environment."""
    variables = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "OMP_NUM_THREADS": "2",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
    }
    child = warm_processes(VLLM, str(VLLM_PYTHON)).start("inference", [], variables, Path.cwd())
    child.stdin.write(spec.model_dump_json() + "\n")
    child.stdin.flush()
    return child


def run_vllm(
    spec: PredictSpec, stop_at: Callable[[dict[str, Any]], bool] | None = None, *, kill: bool = False
) -> tuple[dict[str, Any], int]:
    """Run a job to its end, or to the first message that `stop_at` says yes to: then it loses its parent, or
    is killed.

    Returns:
        the last message, and the exit code.
    """
    child, last = start_vllm(spec), dict[str, Any]()
    for line in child.stdout:
        last = json.loads(line)
        if stop_at is not None and stop_at(last):
            child.kill() if kill else child.stdin.close()
            break
    code = child.wait(60)
    child.stdout.close()
    return last, code
