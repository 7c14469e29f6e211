"""A folder with a HALLMARK_HOME of its own, in which commands run as a user types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.warm_processes import run_hallmark
from tests.support.workstation import processes_of

HALLMARK = str(Path(sys.executable).with_name("hallmark"))


class Workplace:
    """A folder with a HALLMARK_HOME of its own, in which commands run."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.environment = {**os.environ, "HALLMARK_HOME": str(self.home), "COLUMNS": "80", **environment}

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return run_hallmark(arguments, self.environment, self.folder)

    def json(self, *arguments: object) -> Any:
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        command = [HALLMARK, *map(str, arguments)]
        return subprocess.Popen(
            command,
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def move_away(self) -> Path:
        """Move the folder to where nothing looks for it; gives the new place."""
        return self.folder.rename(self.folder.with_name(f"{self.folder.name}-moved-away"))

    def processes(self) -> list[str]:
        """Command lines of the running processes of this home."""
        return processes_of(self.home)


def wait_until(ready: Callable[[], bool], child: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not ready():
        assert child.poll() is None, child.stderr.read() if child.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.1)
