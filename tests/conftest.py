"""What every test may use."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CommandLine = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty HALLMARK_HOME of the test's own."""
    path = tmp_path / "home"
    monkeypatch.setenv("HALLMARK_HOME", str(path))
    monkeypatch.delenv("HALLMARK_REGISTRY_URL", raising=False)
    return path


@pytest.fixture
def hallmark(home: Path, tmp_path: Path) -> CommandLine:
    """The real command line in a process of its own, working in the test's folder."""

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("hallmark")), *map(str, arguments)]
        variables = {**os.environ, "COLUMNS": "80", **environment}
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=variables, check=False)

    return run
