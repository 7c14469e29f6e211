"""A stage in a process of its own, as the program runs it, that a test may kill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel


def run_child_process(
    module: str, spec: BaseModel, *, kill_at: Callable[[dict[str, Any]], bool] | None = None, **environment: str
) -> dict[str, Any]:
    """Run a stage to its end, or kill it at the first message that `kill_at` says yes to; gives the last message that came."""
    child = subprocess.Popen(
        [sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(spec.model_dump_json() + "\n")
    child.stdin.flush()
    last: dict[str, Any] = {}
    for line in child.stdout:
        last = json.loads(line)
        if kill_at is not None and kill_at(last):
            child.kill()
    child.stdin.close()
    child.wait()
    return last
