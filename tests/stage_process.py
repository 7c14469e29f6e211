"""A stage in a process of its own, as the program runs it, that a test may kill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from typing import Any

from pydantic import BaseModel


def run_stage_process(module: str, spec: BaseModel, *, kill_after: float | None = None, **environment: str) -> dict[str, Any]:
    """Run a stage to its end, or kill it so many seconds after its first message; gives its last message."""
    child = subprocess.Popen(
        [sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(spec.model_dump_json() + "\n")
    child.stdin.flush()
    last: dict[str, Any] = {}
    for number, line in enumerate(child.stdout):
        if number == 0 and kill_after is not None:
            threading.Timer(kill_after, child.kill).start()
        last = json.loads(line)
    child.stdin.close()
    child.wait()
    return last
