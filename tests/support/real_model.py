"""A real pretrained chat model, SmolLM2-135M-Instruct, where the tool that makes it is at hand."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.gsm8k import SHARED


def real_model(folder: Path) -> Path:
    """The model's directory below `folder`, made once; the test that asks for it is skipped where the tool is
    absent.

    Args:
        folder: one that all workers of a test run share.
    """
    tool = SHARED / "tools" / "real_model"
    if not tool.is_file():
        pytest.skip(f"{tool} is not here; HALLMARK_SHARED names the folder that holds tools/real_model")
    project = Path(__file__).parents[2]
    if shutil.which("uv") is None and not (project / ".tools" / "bin" / "uv").is_file():
        pytest.skip("the tool needs uv, on PATH or in .tools/bin")
    place = folder / "SmolLM2-135M-Instruct"
    if not (place / "config.json").is_file():
        made = subprocess.run(
            [tool, place, sys.executable],
            capture_output=True,
            text=True,
            cwd=project,
            check=False,
        )
        assert made.returncode == 0, made.stderr
    return place
