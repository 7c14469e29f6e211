"""Stages run as they do in production: in processes of their own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.references import TINY_BASE_DIRECTORY
from golden.datasets import load_dataset


@pytest.fixture
def tiny_copy(tmp_path: Path) -> Path:
    """A copy of the tiny base model that a test may break."""
    target = tmp_path / "model-copy"
    shutil.copytree(TINY_BASE_DIRECTORY, target)
    return target


@pytest.fixture
def small_dataset(tmp_path: Path) -> Callable[[str, int], Path]:
    """The first items of a built-in dataset, as a dataset of its own."""

    def make(name: str, count: int) -> Path:
        path = tmp_path / f"small_{name.replace('-v1', '')}-v1.jsonl"
        rows = [item.model_dump() for item in load_dataset(name).items()][:count]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return make
