"""A child process with heavy work, as the program runs it, that a test may kill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tests.support.warm_processes import INFERENCE, TRAINER, WarmProcess, warm_processes

MODULES = {"trainer": TRAINER, "inference": INFERENCE}


def start_child_process(
    module: str, spec: BaseModel, **environment: str
) -> subprocess.Popen[str] | WarmProcess:
    """Start trainer or inference on a job.

    Variables beside this process's take a new interpreter, since libraries read them while they are imported.
    """
    if environment:
        pipe = subprocess.PIPE
        command = [sys.executable, "-m", module]
        child = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, text=True, env={**os.environ, **environment}
        )
    else:
        child = warm_processes(MODULES[module]).start(module, [], os.environ, Path.cwd())
    assert child.stdin is not None
    child.stdin.write(spec.model_dump_json() + "\n")
    child.stdin.flush()
    return child


def run_child_process(
    module: str,
    spec: BaseModel,
    *,
    kill_at: Callable[[dict[str, Any]], bool] | None = None,
    **environment: str,
) -> dict[str, Any]:
    """Run a job to its end, or kill it at the first message that `kill_at` says yes to; gives the last
    message.
    """
    child = start_child_process(module, spec, **environment)
    assert child.stdin is not None
    assert child.stdout is not None
    last: dict[str, Any] = {}
    for line in child.stdout:
        last = json.loads(line)
        if kill_at is not None and kill_at(last):
            child.kill()
    child.stdin.close()
    child.wait()
    return last
